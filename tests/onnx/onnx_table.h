/* SPDX-License-Identifier: Apache-2.0 */
/* The table of ONNX operators in docs/onnx.md, made of the rows of onnx_ops.def and of the node tests
 * that pass. */
#ifndef ADJ_TESTS_ONNX_TABLE_H
#define ADJ_TESTS_ONNX_TABLE_H

#include <stdbool.h>

void table_count(const char *model); /* a test that passes: counts the operators of its model */
/* Is the text between the marks of the file the table? With ADJ_WRITE set it becomes it. */
bool table_agrees(const char *doc);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Reports as JSON files. */
#ifndef ADJ_TOOLS_JSON_FILE_H
#define ADJ_TOOLS_JSON_FILE_H

#include <jansson.h>

/* The file appears whole or not at all. Takes j; a NULL one stands for text that is not UTF-8.
 * The exit status, its message said. */
int json_write(const char *path, json_t *j);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What a fuzzer of a reader defines, as libFuzzer calls it: any bytes at all, and nothing worse
 * than an error of one line may come of them. replay.c calls it for the files of a corpus. */
#ifndef ADJ_TOOLS_FUZZ_HARNESS_H
#define ADJ_TOOLS_FUZZ_HARNESS_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern const char fuzz_name[]; /* for the closing line of replay */

/* scratch.c: a file of these bytes; the path is good until the next call. */
const char *scratch_file(const uint8_t *data, size_t size);
/* Aborts unless msg is one line that holds the path. */
void check_line(const char *msg, const char *path);

#endif

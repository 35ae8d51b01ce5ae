/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint is text: a line that says what it is, a key, what is done, and the CRC-32 of all
 * that as the last line. It is written whole beside its name and renamed, so a kill at any moment
 * leaves the last whole one. */
#ifndef ADJ_TOOLS_CHECKPOINT_H
#define ADJ_TOOLS_CHECKPOINT_H

#include <stddef.h>

/* n characters of text and their checksum. */
int checkpoint_save(const char *path, const char *text, size_t n);
/* The text, on the heap, in *text, with *body behind its first line ("adjoint COMMAND checkpoint
 * 1") and the key; NULL if there is no such file. A damaged one, or another key, is an error. */
int checkpoint_load(const char *path, const char *command, const char *key, char **text,
                    char **body);
/* There is a file though it is not to be resumed: says so. */
int checkpoint_refuse(const char *path);
/* The line at *at, which ends there; NULL behind the last one. */
char *checkpoint_line(char **at);

#endif

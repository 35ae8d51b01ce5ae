/* SPDX-License-Identifier: Apache-2.0 */
/* Files as text, for the tools of this folder. */
#ifndef ADJ_TOOLS_OPT_TEXT_H
#define ADJ_TOOLS_OPT_TEXT_H

#include "ir/base.h"

/* The whole file as a string of the arena; "-" is the standard input. err()s if it cannot be
 * read. */
char *text_read_file(Arena *, const char *path);
void text_release_arena(void *arena); /* for err_defer */

#endif

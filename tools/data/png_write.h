/* SPDX-License-Identifier: Apache-2.0 */
/* Writing PNG files; reading goes through data.h. */
#ifndef ADJ_TOOLS_DATA_PNG_WRITE_H
#define ADJ_TOOLS_DATA_PNG_WRITE_H

#include "data.h"

/* Writes 8-bit pixels [height][width][channels], 1 channel grey or 3 RGB, through a temporary
 * file and a rename. */
bool png_write(const char *path, int64_t height, int64_t width, int channels, const uint8_t *pixels,
               DataError *e);

#endif

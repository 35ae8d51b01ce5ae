/* SPDX-License-Identifier: Apache-2.0 */
/* Images made smaller or larger as Pillow's Image.resize with BILINEAR does for bytes: a triangle
 * filter as wide as the reduction (antialiased), along rows, then along columns, each pass rounded
 * to bytes. Bit for bit the same as Pillow 13's for images up to twice as tall as wide; for taller
 * ones that may take columns first, and some pixels then differ by one. The size and the crop are
 * torchvision's Resize and CenterCrop. */
#ifndef ADJ_TOOLS_DATA_RESIZE_H
#define ADJ_TOOLS_DATA_RESIZE_H

#include "format.h"

/* [height][width][channels] in both; the path is for messages. */
bool resize_bilinear(const char *path, const uint8_t *in, ImageSize from, uint8_t *out,
                     ImageSize to, DataError *e);

/* The size whose shorter side is given; the longer one is rounded down. */
ImageSize resize_shorter(ImageSize from, int64_t shorter);

/* The centre of crop x crop pixels; an odd margin is split to the even side, as Python rounds. */
void crop_centre(const uint8_t *in, ImageSize from, int64_t crop, uint8_t *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* PNG through libpng's simplified interface, which never leaves by longjmp.
 * Grey stays grey, everything else becomes RGB; 16-bit samples become 8-bit, and transparent
 * pixels are laid over black. */
#include <limits.h>
#include <png.h>
#include <string.h>

#include "format.h"
#include "png_write.h"

static bool probe(const Bytes *b)
{
    return b->n >= 8 && !memcmp(b->p, "\x89PNG\r\n\x1a\n", 8);
}

static bool begin(png_image *image, const Bytes *b, const char *path, DataError *e)
{
    *image = (png_image){.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(image, b->p, b->n))
        return data_fail(e, "%s: damaged PNG (%s)", path, image->message);
    /* without it libpng takes 16-bit samples for linear light */
    image->flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
    return true;
}

static bool size(const Bytes *b, const char *path, ImageSize *out, DataError *e)
{
    png_image image;
    if (!begin(&image, b, path, e)) return false;
    *out = (ImageSize){image.height, image.width, image.format & PNG_FORMAT_FLAG_COLOR ? 3 : 1};
    png_image_free(&image);
    return true;
}

static bool decode(const Bytes *b, const char *path, ImageSize want, uint8_t *out, DataError *e)
{
    png_image image;
    const png_color black = {0, 0, 0};
    if (!begin(&image, b, path, e)) return false;
    if (image.height != want.height || image.width != want.width) {
        png_image_free(&image);
        return data_fail(e, "%s: the file changed while it was open", path);
    }
    image.format = want.channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
    if (!png_image_finish_read(&image, &black, out, 0, NULL))
        return data_fail(e, "%s: damaged PNG (%s)", path, image.message);
    return true;
}

const ImageCodec codec_png = {probe, size, decode};

bool png_write(const char *path, int64_t height, int64_t width, int channels, const uint8_t *pixels,
               DataError *e)
{
    bool fits = height > 0 && width > 0 && height <= INT_MAX / 4 && width <= INT_MAX / 4;
    if (!fits || (channels != 1 && channels != 3))
        return data_fail(e, "%s: a PNG of %lld x %lld x %d cannot be written", path,
                         (long long)height, (long long)width, channels);
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)width,
                       .height = (png_uint_32)height,
                       .format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY};
    NewFile file;
    if (!file_create(path, &file, e)) return false;
    bool ok = png_image_write_to_stdio(&image, file.f, 0, pixels, 0, NULL);
    if (!ok) data_fail(e, "%s: cannot write: %s", path, image.message);
    return file_commit(&file, ok, e);
}

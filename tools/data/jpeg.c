/* SPDX-License-Identifier: Apache-2.0 */
/* JPEG through libjpeg. Its errors leave by longjmp, caught in with_jpeg and nowhere else; a file
 * that ends early is an error, not an image with a grey lower half. */
#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>
#include <jerror.h>

#include "format.h"

typedef struct {
    struct jpeg_error_mgr base; /* first, so that cinfo->err is a Failure */
    jmp_buf back;
    char message[JMSG_LENGTH_MAX];
} Failure;

typedef struct {
    const Bytes *bytes;
    ImageSize size; /* found by read_size, required by read_pixels */
    uint8_t *pixels;
} Job;

static bool probe(const Bytes *b)
{
    return b->n >= 3 && b->p[0] == 0xff && b->p[1] == 0xd8 && b->p[2] == 0xff;
}

static void leave(j_common_ptr cinfo)
{
    Failure *f = (Failure *)cinfo->err;
    f->base.format_message(cinfo, f->message);
    longjmp(f->back, 1);
}

static void on_message(j_common_ptr cinfo, int level)
{
    int code = cinfo->err->msg_code;
    if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER)) leave(cinfo);
}

/* Runs a job between creating and destroying a decompressor. The job returns false if the file is
 * not the one whose size was read. */
static bool with_jpeg(bool (*run)(struct jpeg_decompress_struct *, Job *), Job *job,
                      const char *path, DataError *e)
{
    struct jpeg_decompress_struct cinfo;
    Failure failure;
    cinfo.err = jpeg_std_error(&failure.base);
    failure.base.error_exit = leave;
    failure.base.emit_message = on_message;
    jpeg_create_decompress(&cinfo);
    if (setjmp(failure.back)) {
        jpeg_destroy_decompress(&cinfo);
        return data_fail(e, "%s: damaged JPEG (%s)", path, failure.message);
    }
    jpeg_mem_src(&cinfo, job->bytes->p, job->bytes->n);
    jpeg_read_header(&cinfo, TRUE);
    bool same = run(&cinfo, job);
    jpeg_destroy_decompress(&cinfo);
    return same || data_fail(e, "%s: the file changed while it was open", path);
}

static bool read_size(struct jpeg_decompress_struct *cinfo, Job *job)
{
    int channels = cinfo->num_components;
    job->size = (ImageSize){cinfo->image_height, cinfo->image_width, channels};
    return true;
}

static bool read_pixels(struct jpeg_decompress_struct *cinfo, Job *job)
{
    ImageSize want = job->size;
    if (cinfo->image_height != want.height || cinfo->image_width != want.width) return false;
    cinfo->out_color_space = want.channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_start_decompress(cinfo);
    size_t row_bytes = (size_t)want.width * (size_t)want.channels;
    while (cinfo->output_scanline < cinfo->output_height) {
        JSAMPROW row = job->pixels + cinfo->output_scanline * row_bytes;
        jpeg_read_scanlines(cinfo, &row, 1);
    }
    jpeg_finish_decompress(cinfo);
    return true;
}

static bool size(const Bytes *b, const char *path, ImageSize *out, DataError *e)
{
    Job job = {.bytes = b};
    if (!with_jpeg(read_size, &job, path, e)) return false;
    *out = job.size;
    if (out->channels == 1 || out->channels == 3) return true;
    return data_fail(e, "%s: a JPEG with %d channels; grey and colour are read", path,
                     out->channels);
}

static bool decode(const Bytes *b, const char *path, ImageSize want, uint8_t *out, DataError *e)
{
    Job job = {.bytes = b, .size = want, .pixels = out};
    return with_jpeg(read_pixels, &job, path, e);
}

const ImageCodec codec_jpeg = {probe, size, decode};

/* SPDX-License-Identifier: Apache-2.0 */
/* From samples as stored to NCHW pixels. */
#include "tools/images.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/say.h"

/* ---- opening ---- */

int images_open(Images *s, const char *path, const DataRange *r)
{
    DataError e;
    *s = (Images){.path = path, .labels = r->labels ? r->labels : path};
    s->data = data_open_resized(path, r->labels, r->resize, &e);
    if (!s->data) return fail_input("%s", e.msg);
    int64_t count = data_count(s->data);
    if (r->first >= count) {
        images_close(s);
        return fail_input("--first: %lld is beyond the %lld images of %s", (long long)r->first,
                          (long long)count, path);
    }
    s->first = r->first;
    s->n = count - r->first < r->limit ? count - r->first : r->limit;
    return 0;
}

void images_close(Images *s)
{
    data_close(s->data);
    free(s->row);
    *s = (Images){0};
}

/* ---- shapes ---- */

static void shape_text(char *out, size_t size, int rank, const int64_t *dim)
{
    size_t n = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < rank && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%lld", i ? "," : "", (long long)dim[i]);
    if (n < size) snprintf(out + n, size - n, "]");
}

static bool same_shape(int rank, const int64_t *a, const AdjTensor *t)
{
    return rank == t->rank && !memcmp(a, t->dim, sizeof *a * (size_t)rank);
}

/* Whether samples of that shape fit, and how; sets channels_last. */
static bool fits(Images *s, int rank, const int64_t *shape)
{
    const AdjTensor *x = s->x;
    if (!data_is_hwc(s->data) && same_shape(rank, shape, x)) return true;
    if (x->rank != 3) return false;
    int64_t hwc[3] = {x->dim[1], x->dim[2], x->dim[0]};
    if (rank == 2) return x->dim[0] == 1 && !memcmp(shape, hwc, sizeof *shape * 2);
    s->channels_last = rank == 3 && !memcmp(shape, hwc, sizeof hwc);
    return s->channels_last;
}

static bool wants_hwc(int rank, const int64_t *shape, const AdjTensor *x)
{
    return rank == 3 && x->rank == 3 && shape[0] == x->dim[2] && shape[1] == x->dim[0] &&
           shape[2] == x->dim[1];
}

int images_bind(Images *s, const Harness *h, const AdjTensor *x)
{
    int64_t shape[DATA_MAX_RANK];
    int rank = data_shape(s->data, shape);
    char have[160], want[160];
    s->x = x;
    s->model = h->path;
    if (x->dtype != ADJ_F32 && x->dtype != ADJ_F64)
        return fail_input("%s: the image input is neither f32 nor f64", h->path);
    if (!fits(s, rank, shape)) {
        shape_text(have, sizeof have, rank, shape);
        shape_text(want, sizeof want, x->rank, x->dim);
        return fail_input("%s: images are %s, the input of %s is %s%s", s->path, have, h->path,
                          want, wants_hwc(rank, shape, x) ? "; try --layout nhwc" : "");
    }
    s->row = malloc(tensor_bytes(x));
    return s->row ? 0 : fail_input("%s: no memory for an image", s->path);
}

/* ---- reading ---- */

/* [h, w, c] -> [c, h, w], elements of `size` bytes. */
static void channels_first(const AdjTensor *x, size_t size, const char *in, char *out)
{
    int64_t channels = x->dim[0], pixels = x->dim[1] * x->dim[2];
    for (int64_t c = 0; c < channels; c++)
        for (int64_t p = 0; p < pixels; p++, out += size)
            memcpy(out, in + (size_t)(p * channels + c) * size, size);
}

static bool read_stored(Images *s, int64_t at, void *out, DataError *e)
{
    if (s->x->dtype == ADJ_F64) return data_read_f64(s->data, s->first + at, 1, out, e);
    return data_read_f32(s->data, s->first + at, 1, out, e);
}

int images_read(Images *s, int64_t at, int64_t n, void *out)
{
    DataError e;
    size_t bytes = tensor_bytes(s->x), size = s->x->dtype == ADJ_F64 ? 8 : 4;
    char *to = out;
    for (int64_t i = at; i < at + n; i++, to += bytes) {
        if (!read_stored(s, i, s->channels_last ? s->row : to, &e)) return fail_input("%s", e.msg);
        if (s->channels_last) channels_first(s->x, size, s->row, to);
    }
    return 0;
}

bool images_have_labels(const Images *s)
{
    return data_has_labels(s->data);
}

int images_labels(Images *s, int64_t at, int64_t n, int64_t classes, int64_t *out)
{
    DataError e;
    if (!data_labels(s->data, s->first + at, n, out, &e)) return fail_input("%s", e.msg);
    for (int64_t i = 0; i < n; i++)
        if (out[i] < 0 || out[i] >= classes)
            return fail_input("%s: label %lld of image %lld is not one of the %lld classes of %s",
                              s->labels, (long long)out[i], (long long)(s->first + at + i),
                              (long long)classes, s->model);
    return 0;
}

int images_check_pixels(const Images *s, int64_t at, int64_t n, const void *pixels)
{
    int64_t each = tensor_elements(s->x);
    for (int64_t i = 0; i < n * each; i++) {
        double v = tensor_value(s->x, pixels, i);
        if (!(v >= 0 && v <= 1))
            return fail_input("%s: image %lld has a pixel of %g, outside [0, 1]", s->path,
                              (long long)(s->first + at + i / each), v);
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The table of formats and the reading of samples.
 * A range is checked before anything is read, so the readers see valid indices only. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format.h"

/* Probed in this order: first those with a magic number. */
static const Format *const formats[] = {&format_npy, &format_idx, &format_cifar, &format_images};

bool shape_product(const int64_t *shape, int rank, int64_t *out)
{
    int64_t n = 1;
    for (int i = 0; i < rank; i++)
        if (shape[i] < 0 || __builtin_mul_overflow(n, shape[i], &n)) return false;
    *out = n;
    return true;
}

bool array_is_integer(NpyType type)
{
    return type == NPY_U8 || type == NPY_I8 || type == NPY_I32 || type == NPY_I64;
}

int64_t array_integer(NpyType type, const uint8_t *p, int64_t i)
{
    int64_t v64;
    int32_t v32;
    p += (size_t)i * npy_size(type);
    if (type == NPY_U8) return *p;
    if (type == NPY_I8) return (int8_t)*p;
    if (type == NPY_I32) return memcpy(&v32, p, sizeof v32), v32;
    return memcpy(&v64, p, sizeof v64), v64;
}

bool data_from_array(Data *d, const ArrayHead *h, DataError *e)
{
    if (h->rank < 1 || h->elements == 0)
        return data_fail(e, "%s: an empty array or a scalar is no set of samples", d->path);
    d->type = h->type;
    d->count = h->shape[0];
    d->rank = h->rank - 1;
    memcpy(d->shape, h->shape + 1, (size_t)d->rank * sizeof *d->shape);
    d->base = d->bytes.p + h->offset;
    d->stride = (size_t)(h->elements / d->count) * npy_size(d->type);
    return true;
}

/* ---- opening ---- */

static bool load_source(Data *d, DataError *e)
{
    struct stat st;
    if (stat(d->path, &st) != 0) return data_fail(e, "%s: %s", d->path, strerror(errno));
    d->folder = S_ISDIR(st.st_mode);
    return d->folder || file_load(d->path, &d->bytes, e);
}

static const Format *find_format(const Data *d)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i]->probe(d)) return formats[i];
    return NULL;
}

static bool fail_unknown(const Data *d, DataError *e)
{
    char names[128] = "";
    for (size_t i = 0, n = 0; i < sizeof formats / sizeof *formats && n < sizeof names; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, " %s", formats[i]->name);
    return data_fail(e, "%s: not in a known format (%s)", d->path, names + 1);
}

static bool finish_open(Data *d, DataError *e)
{
    int64_t elements;
    if (!shape_product(d->shape, d->rank, &elements))
        return data_fail(e, "%s: the shape of a sample overflows", d->path);
    d->elements = (size_t)elements;
    if (d->base) return true;
    d->scratch = malloc(d->elements * npy_size(d->type));
    return d->scratch || data_fail(e, "%s: out of memory for one sample", d->path);
}

static bool open_any(Data *d, const char *labels, DataError *e)
{
    if (!load_source(d, e)) return false;
    const Format *f = find_format(d);
    if (!f) return fail_unknown(d, e);
    return f->open(d, e) && finish_open(d, e) && (!labels || labels_load(d, labels, e));
}

Data *data_open_resized(const char *path, const char *labels, DataResize r, DataError *e)
{
    Data *d = calloc(1, sizeof *d);
    if (d) d->path = strdup(path);
    if (d) d->resize = r;
    if (!d || !d->path)
        data_fail(e, "%s: out of memory", path);
    else if (open_any(d, labels, e))
        return d;
    data_close(d);
    return NULL;
}

Data *data_open(const char *path, const char *labels, DataError *e)
{
    return data_open_resized(path, labels, (DataResize){0}, e);
}

void data_close(Data *d)
{
    if (!d) return;
    if (d->free_state) d->free_state(d->state);
    file_unload(&d->bytes);
    free(d->labels);
    free(d->scratch);
    free(d->path);
    free(d);
}

/* ---- facts ---- */

int64_t data_count(const Data *d)
{
    return d->count;
}

int data_shape(const Data *d, int64_t shape[DATA_MAX_RANK])
{
    memcpy(shape, d->shape, (size_t)d->rank * sizeof *shape);
    return d->rank;
}

bool data_is_bytes(const Data *d)
{
    return d->type == NPY_U8;
}

bool data_is_hwc(const Data *d)
{
    return d->hwc;
}

bool data_has_labels(const Data *d)
{
    return d->labels != NULL;
}

/* ---- reading ---- */

static bool check_range(const Data *d, int64_t first, int64_t n, DataError *e)
{
    if (first >= 0 && n >= 0 && first <= d->count && n <= d->count - first) return true;
    return data_fail(e, "%s: samples %lld + %lld are outside its %lld", d->path, (long long)first,
                     (long long)n, (long long)d->count);
}

/* IEEE half to single, exactly; its numbers below 2^-14 are counted in units of 2^-24. */
static float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, fraction = h & 1023;
    float f = (float)fraction * 0x1p-24f;
    uint32_t bits;
    if (exponent == 0)
        memcpy(&bits, &f, sizeof bits);
    else
        bits = (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13;
    bits |= sign;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* The elements of a file may lie at any address. */
#define EACH(Stored, expression)                                                                   \
    for (size_t i = 0; i < n; i++) {                                                               \
        Stored v;                                                                                  \
        memcpy(&v, p + i * sizeof v, sizeof v);                                                    \
        out[i] = expression;                                                                       \
    }                                                                                              \
    break

#define DEFINE_READ(Real, suffix)                                                                  \
    static void convert_##suffix(NpyType type, const uint8_t *p, size_t n, Real *out)              \
    {                                                                                              \
        switch (type) {                                                                            \
        case NPY_F16: EACH(uint16_t, (Real)half_to_float(v));                                      \
        case NPY_F32: EACH(float, (Real)v);                                                        \
        case NPY_F64: EACH(double, (Real)v);                                                       \
        case NPY_U8: EACH(uint8_t, (Real)v / (Real)255);                                           \
        case NPY_I32: EACH(int32_t, (Real)v);                                                      \
        case NPY_I64: EACH(int64_t, (Real)v);                                                      \
        case NPY_I8: EACH(int8_t, (Real)v);                                                        \
        case NPY_BOOL: EACH(uint8_t, (Real)(v != 0));                                              \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    bool data_read_##suffix(Data *d, int64_t first, int64_t n, Real *out, DataError *e)            \
    {                                                                                              \
        if (!check_range(d, first, n, e)) return false;                                            \
        for (int64_t i = first; i < first + n; i++, out += d->elements) {                          \
            const uint8_t *p = sample(d, i, e);                                                    \
            if (!p) return false;                                                                  \
            convert_##suffix(d->type, p, d->elements, out);                                        \
        }                                                                                          \
        return true;                                                                               \
    }

/* The stored bytes of sample i, NULL on error. */
static const uint8_t *sample(Data *d, int64_t i, DataError *e)
{
    if (d->base) return d->base + (size_t)i * d->stride;
    return d->fetch(d, i, d->scratch, e) ? d->scratch : NULL;
}

DEFINE_READ(float, f32)
DEFINE_READ(double, f64)

bool data_labels(const Data *d, int64_t first, int64_t n, int64_t *out, DataError *e)
{
    if (!d->labels) return data_fail(e, "%s: has no labels; name a label file", d->path);
    if (!check_range(d, first, n, e)) return false;
    memcpy(out, d->labels + first, (size_t)n * sizeof *out);
    return true;
}

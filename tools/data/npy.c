/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy .npy: the header, whole arrays, and the set format.
 * The header is a Python dictionary; only the three keys NumPy writes are accepted. */
#include <stdlib.h>
#include <string.h>

#include "format.h"

#if defined(__BYTE_ORDER__)
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "elements are copied as they are stored");
#endif

static const struct {
    const char *descr;
    size_t size;
} types[] = {
    [NPY_F16] = {"<f2", 2}, [NPY_F32] = {"<f4", 4}, [NPY_F64] = {"<f8", 8}, [NPY_U8] = {"|u1", 1},
    [NPY_I32] = {"<i4", 4}, [NPY_I64] = {"<i8", 8}, [NPY_I8] = {"|i1", 1},  [NPY_BOOL] = {"|b1", 1},
};

size_t npy_size(NpyType type)
{
    return types[type].size;
}

/* ---- the header's dictionary ---- */

typedef struct {
    const char *p, *end;
} Cursor;

static void skip_spaces(Cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n')) c->p++;
}

/* Skips spaces; true and past it if the next character is the wanted one. */
static bool take(Cursor *c, char want)
{
    skip_spaces(c);
    if (c->p == c->end || *c->p != want) return false;
    c->p++;
    return true;
}

static bool take_word(Cursor *c, const char *word)
{
    size_t n = strlen(word);
    skip_spaces(c);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n)) return false;
    c->p += n;
    return true;
}

/* A quoted string without escapes, cut to what `out` holds. */
static bool take_string(Cursor *c, char *out, size_t size)
{
    char quote = '\'';
    if (!take(c, quote) && !take(c, quote = '"')) return false;
    size_t n = 0;
    for (; c->p < c->end && *c->p != quote; c->p++)
        if (n + 1 < size) out[n++] = *c->p;
    out[n] = 0;
    return take(c, quote);
}

static bool take_number(Cursor *c, int64_t *out)
{
    skip_spaces(c);
    const char *start = c->p;
    int64_t v = 0;
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *c->p - '0', &v))
            return false;
    *out = v;
    return c->p > start;
}

static bool take_shape(Cursor *c, ArrayHead *h)
{
    if (!take(c, '(')) return false;
    h->rank = 0;
    while (!take(c, ')')) {
        if (h->rank == DATA_MAX_RANK || !take_number(c, &h->shape[h->rank])) return false;
        h->rank++;
        if (!take(c, ',')) return take(c, ')');
    }
    return true;
}

static bool find_type(const char *descr, NpyType *out)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(descr, types[i].descr)) {
            *out = (NpyType)i;
            return true;
        }
    return false;
}

typedef struct {
    char descr[16];
    bool fortran;
    unsigned seen; /* bit 0 descr, 1 order, 2 shape */
} Dictionary;

static bool take_entry(Cursor *c, Dictionary *d, ArrayHead *h)
{
    char key[16];
    if (!take_string(c, key, sizeof key) || !take(c, ':')) return false;
    if (!strcmp(key, "descr")) {
        d->seen |= 1;
        return take_string(c, d->descr, sizeof d->descr);
    }
    if (!strcmp(key, "fortran_order")) {
        d->seen |= 2;
        d->fortran = take_word(c, "True");
        return d->fortran || take_word(c, "False");
    }
    d->seen |= 4;
    return !strcmp(key, "shape") && take_shape(c, h);
}

static bool take_dictionary(Cursor *c, Dictionary *d, ArrayHead *h)
{
    if (!take(c, '{')) return false;
    while (!take(c, '}')) {
        if (!take_entry(c, d, h)) return false;
        if (!take(c, ',')) return take(c, '}') && d->seen == 7;
    }
    return d->seen == 7;
}

/* ---- the file's head ---- */

bool npy_probe(const Bytes *b)
{
    return b->n >= 10 && !memcmp(b->p, "\x93NUMPY", 6);
}

/* Where the dictionary lies; version 1 has a 16-bit length, 2 and 3 a 32-bit one. */
static bool find_header(const Bytes *b, Cursor *c)
{
    const uint8_t *p = b->p;
    size_t start = p[6] == 1 ? 10 : 12;
    if (p[6] < 1 || p[6] > 3 || b->n < start) return false;
    size_t n = p[8] | (size_t)p[9] << 8;
    if (start == 12) n |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (n > b->n - start) return false;
    c->p = (const char *)p + start;
    c->end = c->p + n;
    return true;
}

static bool check_extent(const Bytes *b, const char *path, ArrayHead *h, DataError *e)
{
    int64_t need;
    if (!shape_product(h->shape, h->rank, &h->elements) ||
        __builtin_mul_overflow(h->elements, (int64_t)npy_size(h->type), &need))
        return data_fail(e, "%s: the shape in its header overflows", path);
    if ((uint64_t)need > b->n - h->offset)
        return data_fail(e, "%s: truncated: the header asks for %lld bytes of data, %zu are there",
                         path, (long long)need, b->n - h->offset);
    return true;
}

bool npy_head(const Bytes *b, const char *path, ArrayHead *h, DataError *e)
{
    Cursor c;
    Dictionary d = {0};
    if (!npy_probe(b)) return data_fail(e, "%s: not an .npy file", path);
    if (!find_header(b, &c)) return data_fail(e, "%s: truncated or unknown .npy header", path);
    h->offset = (size_t)((const uint8_t *)c.end - b->p);
    if (!take_dictionary(&c, &d, h))
        return data_fail(e, "%s: cannot read the .npy header (at most %d axes)", path,
                         DATA_MAX_RANK);
    if (!find_type(d.descr, &h->type))
        return data_fail(
            e, "%s: element type '%s' is not one of f2 f4 f8 b1 u1 i1 i4 i8 little-endian", path,
            d.descr);
    /* one axis has the same order both ways, and NumPy may say either */
    if (d.fortran && h->rank > 1)
        return data_fail(e, "%s: Fortran order; save it again with numpy.ascontiguousarray", path);
    return check_extent(b, path, h, e);
}

/* ---- whole arrays ---- */

bool npy_parse(const Bytes *b, const char *path, NpyArray *out, DataError *e)
{
    ArrayHead h;
    *out = (NpyArray){0};
    if (!npy_head(b, path, &h, e)) return false;
    size_t n = (size_t)h.elements * npy_size(h.type);
    *out = (NpyArray){.type = h.type, .rank = h.rank, .elements = h.elements};
    memcpy(out->shape, h.shape, (size_t)h.rank * sizeof *h.shape);
    out->data = malloc(n ? n : 1);
    if (!out->data) return data_fail(e, "%s: out of memory for %zu bytes", path, n);
    memcpy(out->data, b->p + h.offset, n);
    return true;
}

bool npy_read(const char *path, NpyArray *out, DataError *e)
{
    Bytes b;
    *out = (NpyArray){0};
    if (!file_load(path, &b, e)) return false;
    bool ok = npy_parse(&b, path, out, e);
    file_unload(&b);
    return ok;
}

void npy_free(NpyArray *a)
{
    free(a->data);
    *a = (NpyArray){0};
}

/* Magic, length, and the dictionary as NumPy prints it, padded so that the data starts at a
 * multiple of 64. */
static size_t format_head(char *out, size_t size, NpyType type, int rank, const int64_t *shape)
{
    memcpy(out, "\x93NUMPY\x01", 8);
    int n = 10 + snprintf(out + 10, size - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                          types[type].descr);
    for (int i = 0; i < rank; i++)
        n += snprintf(out + n, size - (size_t)n, "%s%lld%s", i ? " " : "", (long long)shape[i],
                      i + 1 < rank || rank == 1 ? "," : "");
    n += snprintf(out + n, size - (size_t)n, "), }");
    while ((n + 1) % 64) out[n++] = ' ';
    out[n++] = '\n';
    out[8] = (char)((n - 10) & 255);
    out[9] = (char)((n - 10) >> 8);
    return (size_t)n;
}

size_t npy_format_head(const char *path, char *out, NpyType type, int rank, const int64_t *shape,
                       size_t *bytes, DataError *e)
{
    int64_t elements, all;
    if (rank >= 0 && rank <= DATA_MAX_RANK && shape_product(shape, rank, &elements) &&
        !__builtin_mul_overflow(elements, (int64_t)npy_size(type), &all)) {
        *bytes = (size_t)all;
        return format_head(out, NPY_HEAD_MAX, type, rank, shape);
    }
    data_fail(e, "%s: a shape that .npy cannot hold", path);
    return 0;
}

bool npy_write(const char *path, NpyType type, int rank, const int64_t *shape, const void *data,
               DataError *e)
{
    char head[NPY_HEAD_MAX];
    size_t bytes, n = npy_format_head(path, head, type, rank, shape, &bytes, e);
    NewFile file;
    if (!n || !file_create(path, &file, e)) return false;
    fwrite(head, 1, n, file.f);
    if (bytes) fwrite(data, 1, bytes, file.f);
    return file_commit(&file, true, e);
}

/* ---- the set format ---- */

static bool probe(const Data *d)
{
    return npy_probe(&d->bytes);
}

static bool open_npy(Data *d, DataError *e)
{
    ArrayHead h;
    return npy_head(&d->bytes, d->path, &h, e) && data_from_array(d, &h, e);
}

const Format format_npy = {"npy", probe, open_npy};

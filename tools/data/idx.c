/* SPDX-License-Identifier: Apache-2.0 */
/* IDX (MNIST, Fashion-MNIST): bytes 0, 0, type, rank, big-endian 32-bit dimensions, elements.
 * Images named *-images-idx3-ubyte* find their labels in *-labels-idx1-ubyte* beside them. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format.h"

enum { IDX_UBYTE = 8 };

bool idx_probe(const Bytes *b)
{
    const uint8_t *p = b->p;
    bool known = b->n >= 4 && ((p[2] >= 0x08 && p[2] <= 0x0e && p[2] != 0x0a));
    return known && p[0] == 0 && p[1] == 0 && p[3] >= 1 && p[3] <= DATA_MAX_RANK;
}

static int64_t big32(const uint8_t *p)
{
    return (int64_t)((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
}

bool idx_head(const Bytes *b, const char *path, ArrayHead *h, DataError *e)
{
    if (!idx_probe(b)) return data_fail(e, "%s: not an IDX file", path);
    if (b->p[2] != IDX_UBYTE)
        return data_fail(e, "%s: IDX element type 0x%02x; only bytes (0x08) are read", path,
                         b->p[2]);
    *h = (ArrayHead){.type = NPY_U8, .rank = b->p[3]};
    h->offset = 4 + 4 * (size_t)h->rank;
    if (b->n < h->offset) return data_fail(e, "%s: truncated IDX header", path);
    for (int i = 0; i < h->rank; i++) h->shape[i] = big32(b->p + 4 + 4 * i);
    if (!shape_product(h->shape, h->rank, &h->elements))
        return data_fail(e, "%s: the shape in its header overflows", path);
    if ((uint64_t)h->elements != b->n - h->offset)
        return data_fail(e, "%s: the header asks for %lld bytes of data, %zu are there", path,
                         (long long)h->elements, b->n - h->offset);
    return true;
}

static bool probe(const Data *d)
{
    return idx_probe(&d->bytes);
}

/* The path of the labels of an image file, or NULL if the name is not the usual one. */
static char *labels_path(const char *path)
{
    static const char from[] = "-images-idx3-ubyte", to[] = "-labels-idx1-ubyte";
    const char *at = strstr(path_name(path), from);
    if (!at) return NULL;
    char *s = strdup(path);
    if (s) memcpy(s + (at - path), to, sizeof to - 1);
    return s;
}

static bool open_idx(Data *d, DataError *e)
{
    ArrayHead h;
    if (!idx_head(&d->bytes, d->path, &h, e) || !data_from_array(d, &h, e)) return false;
    char *labels = labels_path(d->path);
    bool ok = !labels || access(labels, F_OK) != 0 || labels_load(d, labels, e);
    free(labels);
    return ok;
}

const Format format_idx = {"idx", probe, open_idx};

/* SPDX-License-Identifier: Apache-2.0 */
/* Label files: .npy of integers, IDX, or text with one integer a line (blank lines are skipped).
 * There are exactly as many labels as samples. */
#include <stdlib.h>
#include <string.h>

#include "format.h"

typedef struct {
    int64_t *v;
    int64_t n, cap;
} Labels;

static bool push(Labels *l, int64_t value)
{
    if (l->n == l->cap) {
        int64_t cap = l->cap ? 2 * l->cap : 256;
        int64_t *v = realloc(l->v, (size_t)cap * sizeof *v);
        if (!v) return false;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = value;
    return true;
}

static bool from_array(const Bytes *b, const char *path, const ArrayHead *h, Labels *l,
                       DataError *e)
{
    if (!array_is_integer(h->type)) return data_fail(e, "%s: labels must be integers", path);
    if (h->rank < 1 || h->elements != h->shape[0])
        return data_fail(e, "%s: labels must have one axis", path);
    for (int64_t i = 0; i < h->elements; i++)
        if (!push(l, array_integer(h->type, b->p + h->offset, i)))
            return data_fail(e, "%s: out of memory", path);
    return true;
}

/* Parses the line [p, end); an integer may have spaces around it. */
static bool parse_line(const char *p, const char *end, int64_t *out)
{
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    bool negative = p < end && *p == '-';
    if (negative) p++;
    const char *digits = p;
    int64_t v = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v))
            return false;
    bool some = p > digits;
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r')) p++;
    *out = negative ? -v : v;
    return some && p == end;
}

static bool blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r')) p++;
    return p == end;
}

static bool from_text(const Bytes *b, const char *path, Labels *l, DataError *e)
{
    const char *p = (const char *)b->p, *end = p + b->n;
    for (int line = 1; p < end; line++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) stop = end;
        int64_t value;
        if (!blank(p, stop)) {
            if (!parse_line(p, stop, &value))
                return data_fail(e, "%s: line %d is not an integer", path, line);
            if (!push(l, value)) return data_fail(e, "%s: out of memory", path);
        }
        p = stop < end ? stop + 1 : end;
    }
    return true;
}

static bool parse(const Bytes *b, const char *path, Labels *l, DataError *e)
{
    ArrayHead h;
    if (npy_probe(b)) return npy_head(b, path, &h, e) && from_array(b, path, &h, l, e);
    if (idx_probe(b)) return idx_head(b, path, &h, e) && from_array(b, path, &h, l, e);
    return from_text(b, path, l, e);
}

bool integers_load(const char *path, int64_t **v, int64_t *n, DataError *e)
{
    Bytes b;
    Labels l = {0};
    if (!file_load(path, &b, e)) return false;
    bool ok = parse(&b, path, &l, e);
    file_unload(&b);
    if (ok && !l.n) ok = data_fail(e, "%s: holds no integers", path);
    if (ok) {
        *v = l.v;
        *n = l.n;
    } else {
        free(l.v);
    }
    return ok;
}

bool labels_load(Data *d, const char *path, DataError *e)
{
    Bytes b;
    Labels l = {0};
    if (!file_load(path, &b, e)) return false;
    bool ok = parse(&b, path, &l, e);
    file_unload(&b);
    if (ok && l.n != d->count)
        ok = data_fail(e, "%s: %lld labels for the %lld samples of %s", path, (long long)l.n,
                       (long long)d->count, d->path);
    if (!ok) {
        free(l.v);
        return false;
    }
    free(d->labels);
    d->labels = l.v;
    return true;
}

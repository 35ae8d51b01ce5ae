/* SPDX-License-Identifier: Apache-2.0 */
/* The file of large constants beside a graph's text. Native byte order:
 *
 *   char magic[8] = "ADJCONST";  u64 version = 1;  u64 count;
 *   count times: u64 hash, dtype, rank, bytes;  i64 dim[8];  the data, padded to a multiple of 8
 *
 * Every size is checked against the file before it is used. */
#include "graph_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct FileHead {
    char magic[8];
    uint64_t version, count;
} FileHead;

typedef struct ConstHead {
    uint64_t hash, dtype, rank, bytes;
    int64_t dim[MAX_RANK];
} ConstHead;

static const FileHead expected = {{'A', 'D', 'J', 'C', 'O', 'N', 'S', 'T'}, 1, 0};

/* ---- writing ---- */

static bool put(FILE *f, const void *p, size_t n)
{
    return fwrite(p, 1, n, f) == n;
}

static bool put_const(FILE *f, const Const *c)
{
    static const char zeros[8];
    ConstHead h = {
        c->hash, c->type.dtype, (uint64_t)c->type.rank, (uint64_t)type_bytes(c->type), {0}};
    memcpy(h.dim, c->type.dim, sizeof h.dim);
    return put(f, &h, sizeof h) && put(f, c->data, h.bytes) && put(f, zeros, -h.bytes & 7);
}

static bool is_large(const Node *n)
{
    return n->value && const_is_large(n->value);
}

static bool put_all(FILE *f, const Graph *g)
{
    FileHead head = expected;
    for (Ref r = 0; r < g->n; r++) head.count += is_large(&g->node[r]);
    bool ok = put(f, &head, sizeof head);
    for (Ref r = 0; r < g->n && ok; r++)
        if (is_large(&g->node[r])) ok = put_const(f, g->node[r].value);
    return ok;
}

bool graph_write_consts(const Graph *g, const char *path)
{
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    bool ok = put_all(f, g);
    return (fclose(f) == 0) && ok;
}

/* ---- reading ---- */

static bool slurp(FILE *f, Sidecar *s)
{
    size_t cap = 0, got;
    do {
        if (s->n == cap) {
            cap = cap ? cap * 2 : 1 << 16;
            void *p = realloc(s->data, cap);
            if (!p) return false;
            s->data = p;
        }
        got = fread((char *)s->data + s->n, 1, cap - s->n, f);
        s->n += got;
    } while (got);
    return !ferror(f);
}

void sidecar_close(Sidecar *s)
{
    if (s->data) err_keep(s->data);
    free(s->data);
    *s = (Sidecar){0};
}

Sidecar sidecar_open(const char *path)
{
    Sidecar s = {.path = path};
    FILE *f = fopen(path, "rb");
    if (!f) err(path, "cannot be opened");
    bool ok = slurp(f, &s);
    fclose(f);
    if (s.data) err_defer(free, s.data);
    if (!ok) err(path, "cannot be read");
    if (s.n < sizeof expected || memcmp(s.data, &expected, offsetof(FileHead, count)))
        err(path, "is not a file of constants");
    return s;
}

/* The header at *at, and *at moved behind its data; false if the file ends before. */
static bool next_const(const Sidecar *s, size_t *at, ConstHead *h, const void **data)
{
    if (s->n - *at < sizeof *h) return false;
    memcpy(h, (const char *)s->data + *at, sizeof *h);
    *at += sizeof *h;
    *data = (const char *)s->data + *at;
    uint64_t padded = h->bytes + (-h->bytes & 7);
    if (h->bytes > s->n || padded > s->n - *at) return false;
    *at += padded;
    return true;
}

static bool matches(const ConstHead *h, uint64_t hash, Type t)
{
    return h->hash == hash && h->dtype == (uint64_t)t.dtype && h->rank == (uint64_t)t.rank &&
           !memcmp(h->dim, t.dim, sizeof h->dim) && h->bytes == (uint64_t)type_bytes(t);
}

Ref sidecar_const(Graph *g, const Sidecar *s, uint64_t hash, Type t)
{
    FileHead head;
    ConstHead h;
    const void *data;
    memcpy(&head, s->data, sizeof head);
    for (size_t at = sizeof head; head.count; head.count--) {
        if (!next_const(s, &at, &h, &data)) err(s->path, "ends in the middle of a constant");
        if (!matches(&h, hash, t)) continue;
        if (const_hash(t, false, data) != hash)
            err(s->path, "constant 0x%016llx has other contents", (unsigned long long)hash);
        return graph_const(g, t, data);
    }
    return NOREF;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* gather and scatter_add, adjoints of each other: data is [outer, extent, inner], updates are
 * [outer, m, inner], and entry (o, j) of the updates meets row index[o's batch][j] of the data. An
 * index outside [0, extent) reads zeros and adds nothing. */
#include "eval_impl.h"

#include <stdlib.h>
#include <string.h>

typedef struct Rows {
    const Tensor *index;
    int64_t outer, extent, inner, m;
    int64_t each; /* outer entries of one batch entry: they share indices */
} Rows;

/* `data` is the type that carries the indexed axis. */
static Rows rows_of(const Type *data, const Tensor *index, const Attr *attr)
{
    int axis = (int)attr[0].i[0], batch = (int)attr[1].i[0];
    Rows r = {.index = index, .extent = data->dim[axis]};
    r.outer = count_dims(data->dim, 0, axis);
    r.inner = count_dims(data->dim, axis + 1, data->rank);
    r.each = count_dims(data->dim, batch, axis);
    r.m = count_dims(index->type.dim, batch, index->type.rank);
    return r;
}

/* The row of data, or -1. */
static int64_t row_at(const Rows *r, int64_t o, int64_t j)
{
    const Tensor *t = r->index;
    int64_t i = elem_get_int(t->type.dtype, t->data, o / r->each * r->m + j);
    return i >= 0 && i < r->extent ? o * r->extent + i : -1;
}

void eval_gather(const EvalCall *e)
{
    Rows r = rows_of(&e->args[0].type, &e->args[1], e->attr);
    size_t bytes = (size_t)(r.inner * dtype_bytes(e->out->type.dtype));
    const char *src = e->args[0].data;
    char *dst = e->out->data;
    for (int64_t o = 0; o < r.outer; o++) {
        for (int64_t j = 0; j < r.m; j++, dst += bytes) {
            int64_t row = row_at(&r, o, j);
            if (row < 0) {
                memset(dst, 0, bytes);
            } else {
                memcpy(dst, src + (size_t)row * bytes, bytes);
            }
        }
    }
}

static void add_row(const Tensor *upd, int64_t at, int64_t n, Scalar *acc)
{
    bool isf = dtype_is_float(upd->type.dtype);
    for (int64_t i = 0; i < n; i++) {
        Scalar x;
        scalars_load(upd->type.dtype, upd->data, at + i, 1, &x);
        if (isf) {
            acc[i].f += x.f;
        } else {
            acc[i].i = (int64_t)((uint64_t)acc[i].i + (uint64_t)x.i);
        }
    }
}

void eval_scatter_add(const EvalCall *e)
{
    Type t = e->out->type;
    Rows r = rows_of(&t, &e->args[1], e->attr);
    Scalar *acc = eval_alloc(type_count(t), sizeof *acc);
    for (int64_t o = 0; o < r.outer; o++) {
        for (int64_t j = 0; j < r.m; j++) {
            int64_t row = row_at(&r, o, j);
            if (row < 0) continue;
            add_row(&e->args[0], (o * r.m + j) * r.inner, r.inner, acc + row * r.inner);
        }
    }
    scalars_store(t.dtype, e->out->data, 0, type_count(t), acc);
    free(acc);
}

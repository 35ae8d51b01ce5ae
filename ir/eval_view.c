/* SPDX-License-Identifier: Apache-2.0 */
/* View rows and concat. All of them are one strided copy: a view gives the source an offset and a
 * stride an axis; pad and concat give them to the destination. */
#include "eval_impl.h"

#include <string.h>

void dense_strides(int rank, const int64_t *dim, int64_t *stride)
{
    int64_t s = 1;
    for (int i = rank - 1; i >= 0; i--) {
        stride[i] = s;
        s *= dim[i];
    }
}

int64_t count_dims(const int64_t *dim, int from, int to)
{
    int64_t n = 1;
    for (int i = from; i < to; i++) n *= dim[i];
    return n;
}

/* ---- the strided copy ---- */

typedef struct Copy {
    int rank, bytes;
    int64_t dim[MAX_RANK], dst[MAX_RANK], src[MAX_RANK];
} Copy;

/* Drops axes of extent 1 and merges neighbours that are one run in both operands. */
static Copy coalesce(int rank, const int64_t *dim, const int64_t *dst, const int64_t *src)
{
    Copy c = {0};
    for (int i = 0; i < rank; i++) {
        int last = c.rank - 1;
        if (dim[i] == 1) continue;
        if (last >= 0 && c.dst[last] == dim[i] * dst[i] && c.src[last] == dim[i] * src[i]) {
            c.dim[last] *= dim[i];
        } else {
            last = c.rank++;
            c.dim[last] = dim[i];
        }
        c.dst[last] = dst[i];
        c.src[last] = src[i];
    }
    return c;
}

#define COPY_RUN(T)                                                                                \
    for (int64_t i = 0; i < n; i++) ((T *)dst)[i * ds] = ((const T *)src)[i * ss];                 \
    break

static void copy_run(int64_t n, char *dst, int64_t ds, const char *src, int64_t ss, int bytes)
{
    if (ds == 1 && ss == 1) {
        memcpy(dst, src, (size_t)(n * bytes));
        return;
    }
    switch (bytes) {
    case 1: COPY_RUN(uint8_t);
    case 2: COPY_RUN(uint16_t);
    case 4: COPY_RUN(uint32_t);
    default: COPY_RUN(uint64_t);
    }
}

static void copy_axis(const Copy *c, int axis, char *dst, const char *src)
{
    if (axis == c->rank - 1) {
        copy_run(c->dim[axis], dst, c->dst[axis], src, c->src[axis], c->bytes);
        return;
    }
    for (int64_t i = 0; i < c->dim[axis]; i++) {
        copy_axis(c, axis + 1, dst + i * c->dst[axis] * c->bytes,
                  src + i * c->src[axis] * c->bytes);
    }
}

void strided_copy(int rank, const int64_t *dim, void *dst, const int64_t *dst_stride,
                  const void *src, const int64_t *src_stride, int bytes)
{
    Copy c = coalesce(rank, dim, dst_stride, src_stride);
    c.bytes = bytes;
    if (c.rank == 0) {
        memcpy(dst, src, (size_t)bytes);
    } else {
        copy_axis(&c, 0, dst, src);
    }
}

/* ---- views ---- */

/* out[i] = operand[offset + i . stride] */
static void view(const EvalCall *e, int64_t offset, const int64_t *stride)
{
    Type t = e->out->type;
    int bytes = dtype_bytes(t.dtype);
    int64_t dense[MAX_RANK];
    dense_strides(t.rank, t.dim, dense);
    strided_copy(t.rank, t.dim, e->out->data, dense, (const char *)e->args[0].data + offset * bytes,
                 stride, bytes);
}

static void operand_strides(const EvalCall *e, int64_t *stride)
{
    dense_strides(e->args[0].type.rank, e->args[0].type.dim, stride);
}

void eval_reshape(const EvalCall *e)
{
    eval_copy(e);
}

void eval_transpose(const EvalCall *e)
{
    int64_t from[MAX_RANK], stride[MAX_RANK];
    operand_strides(e, from);
    for (int i = 0; i < e->out->type.rank; i++) stride[i] = from[e->attr[0].i[i]];
    view(e, 0, stride);
}

void eval_broadcast(const EvalCall *e)
{
    int64_t stride[MAX_RANK];
    operand_strides(e, stride);
    for (int i = 0; i < e->out->type.rank; i++) {
        if (e->args[0].type.dim[i] == 1) stride[i] = 0;
    }
    view(e, 0, stride);
}

void eval_slice(const EvalCall *e)
{
    int64_t stride[MAX_RANK], offset = 0;
    operand_strides(e, stride);
    for (int i = 0; i < e->out->type.rank; i++) {
        offset += e->attr[0].i[i] * stride[i];
        stride[i] *= e->attr[2].i[i];
    }
    view(e, offset, stride);
}

void eval_reverse(const EvalCall *e)
{
    int64_t stride[MAX_RANK], offset = 0;
    operand_strides(e, stride);
    for (int i = 0; i < e->attr[0].n; i++) {
        int axis = (int)e->attr[0].i[i];
        offset += (e->out->type.dim[axis] - 1) * stride[axis];
        stride[axis] = -stride[axis];
    }
    view(e, offset, stride);
}

void window_strides(int rank, const int64_t *image, int k, const int64_t *strides,
                    const int64_t *dilations, int64_t *out)
{
    int64_t dense[MAX_RANK];
    dense_strides(rank, image, dense);
    for (int i = 0; i < rank - k; i++) out[i] = dense[i];
    for (int i = 0; i < k; i++) {
        out[rank - k + i] = dense[rank - k + i] * strides[i];
        out[rank + i] = dense[rank - k + i] * dilations[i];
    }
}

void eval_window(const EvalCall *e)
{
    const Type *image = &e->args[0].type;
    int64_t stride[MAX_RANK];
    window_strides(image->rank, image->dim, e->attr[0].n, e->attr[1].i, e->attr[2].i, stride);
    view(e, 0, stride);
}

/* ---- stores into a part of the result ---- */

static void fill(Tensor *t, double value)
{
    const int64_t zero = 0, one = 1;
    int64_t n = type_count(t->type), cell = 0;
    elem_set(t->type.dtype, &cell, 0, value);
    strided_copy(1, &n, t->data, &one, &cell, &zero, dtype_bytes(t->type.dtype));
}

void eval_pad(const EvalCall *e)
{
    const Type *in = &e->args[0].type;
    int64_t from[MAX_RANK], to[MAX_RANK], offset = 0;
    int bytes = dtype_bytes(in->dtype);
    fill(e->out, e->attr[3].f);
    operand_strides(e, from);
    dense_strides(in->rank, e->out->type.dim, to);
    for (int i = 0; i < in->rank; i++) {
        offset += e->attr[0].i[i] * to[i];
        to[i] *= e->attr[2].i[i] + 1;
    }
    strided_copy(in->rank, in->dim, (char *)e->out->data + offset * bytes, to, e->args[0].data,
                 from, bytes);
}

void eval_concat(const EvalCall *e)
{
    Type t = e->out->type;
    int axis = (int)e->attr[0].i[0], bytes = dtype_bytes(t.dtype);
    int64_t from[MAX_RANK], to[MAX_RANK];
    char *dst = e->out->data;
    dense_strides(t.rank, t.dim, to);
    for (int a = 0; a < e->nargs; a++) {
        const Tensor *x = &e->args[a];
        dense_strides(t.rank, x->type.dim, from);
        strided_copy(t.rank, x->type.dim, dst, to, x->data, from, bytes);
        dst += x->type.dim[axis] * to[axis] * bytes;
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions and matrix products. */
#include "onnx_node.h"

#include <string.h>

/* ---- convolution ---- */

static Ref with_bias(const OnnxNode *n, Ref y, Ref bias)
{
    if (bias == NOREF) return y;
    return b_binary(n->g, OP_add, y, onnx_channels(n, bias, y));
}

static ConvAttrs attrs_of(const Spatial *s, int64_t groups)
{
    ConvAttrs c = {.k = s->k, .groups = groups};
    size_t bytes = sizeof(int64_t) * (size_t)s->k;
    memcpy(c.strides, s->strides, bytes);
    memcpy(c.dilations, s->dilations, bytes);
    memcpy(c.pads, s->low, bytes);
    memcpy(c.pads + s->k, s->high, bytes);
    return c;
}

static void same_rank(const OnnxNode *n, Type x, Type w)
{
    if (x.rank != w.rank) onnx_fail(n, "input of rank %d, weights of rank %d", x.rank, w.rank);
}

Ref onnx_conv(const OnnxNode *n, Ref x, Ref w, Ref bias)
{
    Type tx = onnx_type(n, x), tw = onnx_type(n, w);
    same_rank(n, tx, tw);
    Spatial s = onnx_spatial(n, tx, tw.dim + 2);
    ConvAttrs c = attrs_of(&s, onnx_int(n, "group", 1));
    return with_bias(n, b_conv(n->g, x, w, &c), bias);
}

void build_conv(OnnxNode *n)
{
    onnx_out(n, 0, onnx_conv(n, onnx_in(n, 0), onnx_in(n, 1), onnx_opt(n, 2)));
}

/* ConvTranspose is the partial of a convolution in its input, whose extents `in` are to be found:
 * the convolution's own attributes, read the other way round. */
static void result_extents(const OnnxNode *n, const Spatial *s, int64_t *full)
{
    int64_t extra[MAX_RANK] = {0};
    int have = onnx_ints(n, "output_padding", extra, MAX_RANK);
    if (have >= 0 && have != s->k)
        onnx_fail(n, "output_padding has %d numbers, not %d", have, s->k);
    for (int i = 0; i < s->k; i++) {
        if (extra[i] < 0 || extra[i] > 1 << 24) onnx_fail(n, "output_padding is not supported");
        full[i] =
            (s->in[i] - 1) * s->strides[i] + extra[i] + (s->size[i] - 1) * s->dilations[i] + 1;
    }
}

static void transposed_pads(const OnnxNode *n, Spatial *s)
{
    const char *how = onnx_str(n, "auto_pad", "NOTSET");
    int64_t full[3], want[MAX_RANK];
    int have = onnx_ints(n, "output_shape", want, MAX_RANK);
    bool same = !strncmp(how, "SAME_", 5);
    if (have >= 0 && have < s->k) onnx_fail(n, "output_shape has %d numbers", have);
    result_extents(n, s, full);
    for (int i = 0; i < s->k; i++) {
        int64_t to = have >= 0 ? want[have - s->k + i] : same ? s->in[i] * s->strides[i] : 0;
        int64_t total = to ? full[i] - to : s->low[i] + s->high[i];
        if (total < 0) total = 0; /* what lies beyond the result is zero */
        if (to) s->low[i] = strcmp(how, "SAME_UPPER") ? total - total / 2 : total / 2;
        if (to) s->high[i] = total - s->low[i];
        s->out[i] = to ? to : full[i] - total;
    }
}

void build_conv_transpose(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), w = onnx_in(n, 1);
    Type tx = onnx_type(n, x), tw = onnx_type(n, w), wide = tx;
    same_rank(n, tx, tw);
    /* the window must fit what onnx_spatial takes for the input; the real one comes after */
    for (int i = 2; i < wide.rank; i++) wide.dim[i] = INT64_C(1) << 40;
    Spatial s = onnx_spatial(n, wide, tw.dim + 2);
    memcpy(s.in, tx.dim + 2, sizeof *s.in * (size_t)s.k);
    transposed_pads(n, &s);
    ConvAttrs c = attrs_of(&s, onnx_int(n, "group", 1));
    onnx_out(n, 0, with_bias(n, b_conv_dx(n->g, x, w, &c, s.out), onnx_opt(n, 2)));
}

/* ---- matrix products ---- */

static Ref matrix(const OnnxNode *n, int i, const char *flag)
{
    Ref r = onnx_in(n, i);
    if (onnx_type(n, r).rank != 2)
        onnx_fail(n, "input %d has rank %d, not 2", i, onnx_type(n, r).rank);
    return onnx_int(n, flag, 0) ? b_transpose(n->g, r, (int[]){1, 0}) : r;
}

static Ref scaled(const OnnxNode *n, Ref x, double by)
{
    return by == 1 ? x : b_binary(n->g, OP_mul, x, b_like(n->g, x, by));
}

void build_gemm(OnnxNode *n)
{
    Ref y = b_matmul(n->g, matrix(n, 0, "transA"), matrix(n, 1, "transB")), c = onnx_opt(n, 2);
    y = scaled(n, y, onnx_float(n, "alpha", 1));
    if (c != NOREF) {
        c = scaled(n, c, onnx_float(n, "beta", 1));
        y = b_binary(n->g, OP_add, y, b_broadcast_to(n->g, c, onnx_type(n, y)));
    }
    onnx_out(n, 0, y);
}

/* Leading extents of t, broadcast with those of `with`, and t's own last two. */
static Ref spread(const OnnxNode *n, Ref r, Type with)
{
    Type t = onnx_type(n, r), to = t.rank > with.rank ? t : with;
    for (int i = 1; i <= 2; i++) to.dim[to.rank - i] = t.dim[t.rank - i];
    for (int i = 3; i <= to.rank; i++) {
        int64_t a = i <= t.rank ? t.dim[t.rank - i] : 1;
        int64_t b = i <= with.rank ? with.dim[with.rank - i] : 1;
        to.dim[to.rank - i] = a == 1 ? b : a;
    }
    return b_broadcast_to(n->g, r, type_with(to, t.dtype));
}

/* A vector is a row on the left and a column on the right; its axis is dropped from the result. */
static Ref as_matrix(const OnnxNode *n, Ref r, bool left)
{
    Type t = onnx_type(n, r);
    if (t.rank == 0) onnx_fail(n, "a scalar is no matrix");
    int64_t dim[2] = {left ? 1 : t.dim[0], left ? t.dim[0] : 1};
    return t.rank == 1 ? b_reshape(n->g, r, 2, dim) : r;
}

Ref onnx_matmul(const OnnxNode *n, Ref a, Ref b)
{
    bool row = onnx_type(n, a).rank == 1, column = onnx_type(n, b).rank == 1;
    a = as_matrix(n, a, true);
    b = as_matrix(n, b, false);
    Type ta = onnx_type(n, a), tb = onnx_type(n, b);
    Ref left = spread(n, a, tb);
    Ref y = b_matmul(n->g, left, spread(n, b, ta));
    int rank = onnx_type(n, y).rank, axes[2], drop = 0;
    if (row) axes[drop++] = rank - 2;
    if (column) axes[drop++] = rank - 1;
    return onnx_drop_axes(n, y, drop, axes);
}

void build_matmul(OnnxNode *n)
{
    onnx_out(n, 0, onnx_matmul(n, onnx_in(n, 0), onnx_in(n, 1)));
}

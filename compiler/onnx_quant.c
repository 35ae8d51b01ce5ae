/* SPDX-License-Identifier: Apache-2.0 */
/* Quantised models, simulated: an 8-bit value is stored as one, what is computed with it is float.
 * Rounding has derivative 0, so no gradient passes through QuantizeLinear, as its definition
 * says. */
#include "onnx_node.h"

#include <string.h>

static Ref binary(const OnnxNode *n, Op op, Ref a, Ref b)
{
    return b_binary(n->g, op, a, b);
}

/* Blocks along the axis: one parameter for each `block` elements, the last block may be short. */
static Ref unblock(const OnnxNode *n, Ref p, Type t, int axis, int64_t block)
{
    int64_t d = t.dim[axis];
    if (onnx_type(n, p).rank != t.rank || block < 1 || block > d)
        onnx_fail(n, "blocks of %lld do not fit", (long long)block);
    p = onnx_repeat(n, p, axis, block, true);
    if (onnx_type(n, p).dim[axis] < d) onnx_fail(n, "its blocks do not cover axis %d", axis);
    return b_slice_axis(n->g, p, axis, 0, d, 1);
}

/* A parameter for all, for each slice of the axis, or for each block, to the shape of x. */
static Ref spread(const OnnxNode *n, Ref p, Type t, int axis)
{
    Type tp = onnx_type(n, p), to = type_with(t, tp.dtype);
    int64_t dim[MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1}, block = onnx_int(n, "block_size", 0);
    if (block) return b_broadcast_to(n->g, unblock(n, p, t, axis, block), to);
    if (type_count(tp) == 1) return b_broadcast_to(n->g, b_reshape(n->g, p, 0, NULL), to);
    if (tp.rank != 1) return b_broadcast_to(n->g, p, to);
    if (tp.dim[0] != t.dim[axis]) onnx_fail(n, "a parameter does not fit axis %d", axis);
    dim[axis] = tp.dim[0];
    return b_broadcast_to(n->g, b_reshape(n->g, p, t.rank, dim), to);
}

static int axis_of(const OnnxNode *n, Type t, int64_t absent)
{
    int64_t axis = onnx_int(n, "axis", absent);
    return t.rank < 2 ? 0 : onnx_axis(n, axis, t.rank);
}

static Ref quantise(const OnnxNode *n, Ref x, Ref scale, Ref zero, DType to, int axis)
{
    Type t = onnx_type(n, x);
    DType work = t.dtype == DT_F64 ? DT_F64 : DT_F32;
    if (to != DT_U8 && to != DT_I8) onnx_fail(n, "to other than 8 bits is not supported");
    scale = b_cast(n->g, spread(n, scale, t, axis), work);
    x = b_unary(n->g, OP_round, binary(n, OP_div, b_cast(n->g, x, work), scale));
    if (zero != NOREF) x = binary(n, OP_add, x, b_cast(n->g, spread(n, zero, t, axis), work));
    Ref lo = b_like(n->g, x, onnx_lowest(to)), hi = b_like(n->g, x, onnx_highest(to));
    return b_cast(n->g, b_clip(n->g, x, lo, hi), to);
}

static Ref dequantise(const OnnxNode *n, Ref x, Ref scale, Ref zero, int axis)
{
    Type t = onnx_type(n, x);
    DType out = onnx_type(n, scale).dtype, work = out == DT_F64 ? DT_F64 : DT_F32;
    x = b_cast(n->g, x, work);
    if (zero != NOREF) x = binary(n, OP_sub, x, b_cast(n->g, spread(n, zero, t, axis), work));
    scale = b_cast(n->g, spread(n, scale, t, axis), work);
    return b_cast(n->g, binary(n, OP_mul, x, scale), out);
}

void build_quantize_linear(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), zero = onnx_opt(n, 2);
    int64_t to = onnx_int(n, "output_dtype", 0);
    DType d = zero != NOREF ? onnx_type(n, zero).dtype : to ? onnx_dtype(n, to) : DT_U8;
    onnx_out(n, 0, quantise(n, x, onnx_in(n, 1), zero, d, axis_of(n, onnx_type(n, x), 1)));
}

void build_dequantize_linear(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    int axis = axis_of(n, onnx_type(n, x), 1);
    onnx_out(n, 0, dequantise(n, x, onnx_in(n, 1), onnx_opt(n, 2), axis));
}

/* u8, with scale and zero point from the range of x and 0. */
void build_dynamic_quantize_linear(OnnxNode *n)
{
    Graph *g = n->g;
    Ref x = onnx_in(n, 0), zero = graph_splat(g, type_scalar(DT_F32), 0);
    int axes[MAX_RANK], rank = onnx_type(n, x).rank;
    for (int i = 0; i < rank; i++) axes[i] = i;
    Ref lo = b_reshape(g, b_reduce(g, OP_min, x, rank, axes), 0, NULL);
    Ref hi = b_reshape(g, b_reduce(g, OP_max, x, rank, axes), 0, NULL);
    lo = binary(n, OP_min2, lo, zero);
    hi = binary(n, OP_max2, hi, zero);
    Ref scale = binary(n, OP_div, binary(n, OP_sub, hi, lo), b_like(g, lo, 255));
    Ref point = quantise(n, b_unary(g, OP_neg, lo), scale, NOREF, DT_U8, 0);
    onnx_out(n, 0, quantise(n, x, scale, point, DT_U8, 0));
    onnx_out(n, 1, scale);
    onnx_out(n, 2, point);
}

/* ---- convolutions and products of quantised values ---- */

static Ref channels_first(const OnnxNode *n, int value, int scale, int zero)
{
    return dequantise(n, onnx_in(n, value), onnx_in(n, scale), onnx_in(n, zero), 0);
}

/* The bias is in units of both scales. */
void build_qlinear_conv(OnnxNode *n)
{
    Ref x = channels_first(n, 0, 1, 2), w = channels_first(n, 3, 4, 5), bias = onnx_opt(n, 8);
    if (bias != NOREF) {
        Ref both = onnx_binary(n, OP_mul, onnx_in(n, 1), onnx_in(n, 4));
        Type t = onnx_type(n, bias);
        bias = binary(n, OP_mul, b_cast(n->g, bias, DT_F32), spread(n, both, t, 0));
    }
    Ref y = onnx_conv(n, x, w, bias), zero = onnx_in(n, 7);
    onnx_out(n, 0, quantise(n, y, onnx_in(n, 6), zero, onnx_type(n, zero).dtype, 1));
}

/* Parameters of a left operand are one a row, of a right one one a column. */
static Ref of_rows(const OnnxNode *n, Ref p)
{
    Type t = onnx_type(n, p);
    int64_t dim[2] = {t.dim[0], 1};
    return t.rank == 1 && t.dim[0] > 1 ? b_reshape(n->g, p, 2, dim) : p;
}

void build_qlinear_matmul(OnnxNode *n)
{
    Ref a = onnx_in(n, 0), b = onnx_in(n, 3), zero = onnx_in(n, 7);
    int last = onnx_type(n, b).rank - 1;
    a = dequantise(n, a, of_rows(n, onnx_in(n, 1)), of_rows(n, onnx_in(n, 2)), 0);
    b = dequantise(n, b, onnx_in(n, 4), onnx_in(n, 5), last);
    Ref y = onnx_matmul(n, a, b);
    Ref scale = of_rows(n, onnx_in(n, 6)), point = of_rows(n, zero);
    onnx_out(n, 0, quantise(n, y, scale, point, onnx_type(n, zero).dtype, 0));
}

/* An operand less its zero point, in a float that holds every sum of K products exactly. */
static Ref centred(const OnnxNode *n, Ref x, Ref zero, int axis, int64_t k)
{
    DType work = k < 256 ? DT_F32 : DT_F64;
    Type t = onnx_type(n, x);
    x = b_cast(n->g, x, work);
    if (zero == NOREF) return x;
    return binary(n, OP_sub, x, b_cast(n->g, spread(n, zero, t, axis), work));
}

void build_conv_integer(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), w = onnx_in(n, 1);
    Type t = onnx_type(n, w);
    int64_t k = type_count(t) / t.dim[0];
    x = centred(n, x, onnx_opt(n, 2), 0, k);
    w = centred(n, w, onnx_opt(n, 3), 0, k);
    onnx_out(n, 0, b_cast(n->g, onnx_conv(n, x, w, NOREF), DT_I32));
}

void build_matmul_integer(OnnxNode *n)
{
    Ref a = onnx_in(n, 0), b = onnx_in(n, 1), zero = onnx_opt(n, 2);
    Type t = onnx_type(n, a), tb = onnx_type(n, b);
    if (!t.rank || !tb.rank) onnx_fail(n, "a scalar is no matrix");
    int64_t k = t.dim[t.rank - 1];
    a = centred(n, a, zero == NOREF ? zero : of_rows(n, zero), 0, k);
    b = centred(n, b, onnx_opt(n, 3), tb.rank - 1, k);
    onnx_out(n, 0, b_cast(n->g, onnx_matmul(n, a, b), DT_I32));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Normalisations. Batch normalisation is the inference form, x * s + b, with s and b made of nodes
 * over the parameters, so that they fold where the parameters are constant. */
#include "onnx_node.h"

static Ref binary(const OnnxNode *n, Op op, Ref a, Ref b)
{
    return b_binary(n->g, op, a, b);
}

/* 1 / sqrt(var + epsilon), times what is above. */
static Ref over_deviation(const OnnxNode *n, Ref above, Ref var)
{
    Ref e = b_like(n->g, var, onnx_float(n, "epsilon", 1e-5));
    return binary(n, OP_div, above, b_unary(n->g, OP_sqrt, binary(n, OP_add, var, e)));
}

void build_batch_norm(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), gamma = onnx_in(n, 1), beta = onnx_in(n, 2);
    Ref mean = onnx_in(n, 3), var = onnx_in(n, 4);
    DType dtype = onnx_type(n, x).dtype, work = onnx_type(n, mean).dtype;
    if (onnx_int(n, "training_mode", 0))
        onnx_fail(n, "training_mode is set; export the model for inference");
    if (n->opset < 7 && !onnx_int(n, "is_test", 0))
        onnx_fail(n, "is_test is 0; export the model for inference");
    if (!onnx_int(n, "spatial", 1)) onnx_fail(n, "spatial 0 is not supported");
    onnx_note_norm(n, x, mean, var);
    gamma = b_cast(n->g, gamma, work); /* since opset 15 the two halves may differ in type */
    beta = b_cast(n->g, beta, work);
    Ref s = over_deviation(n, gamma, var);
    Ref b = binary(n, OP_sub, beta, binary(n, OP_mul, mean, s));
    Ref wide = b_cast(n->g, x, work);
    Ref y = binary(n, OP_mul, wide, onnx_channels(n, s, wide));
    y = binary(n, OP_add, y, onnx_channels(n, b, wide));
    onnx_out(n, 0, b_cast(n->g, y, dtype));
}

/* ---- statistics of the data itself ---- */

static Ref mean_over(const OnnxNode *n, Ref x, int naxes, const int *axes)
{
    double count = 1;
    for (int i = 0; i < naxes; i++) count *= (double)onnx_type(n, x).dim[axes[i]];
    Ref sum = b_reduce(n->g, OP_sum, x, naxes, axes);
    return binary(n, OP_div, sum, b_like(n->g, sum, count));
}

static Ref spread(const OnnxNode *n, Ref x, Ref like)
{
    return b_broadcast_to(n->g, x, onnx_type(n, like));
}

typedef struct Standard {
    Ref y, mean, inverse; /* (x - mean) * inverse, inverse = 1 / sqrt(var + epsilon) */
} Standard;

/* Over the axes from `first` on. */
static Standard standardise(const OnnxNode *n, Ref x, int first)
{
    int axes[MAX_RANK], k = 0;
    for (int i = first; i < onnx_type(n, x).rank; i++) axes[k++] = i;
    Standard s = {.mean = mean_over(n, x, k, axes)};
    Ref d = binary(n, OP_sub, x, spread(n, s.mean, x));
    Ref var = mean_over(n, binary(n, OP_mul, d, d), k, axes);
    s.inverse = over_deviation(n, b_like(n->g, var, 1), var);
    s.y = binary(n, OP_mul, d, spread(n, s.inverse, x));
    return s;
}

void build_instance_norm(OnnxNode *n)
{
    Ref y = standardise(n, onnx_in(n, 0), 2).y;
    y = binary(n, OP_mul, y, onnx_channels(n, onnx_in(n, 1), y));
    onnx_out(n, 0, binary(n, OP_add, y, onnx_channels(n, onnx_in(n, 2), y)));
}

/* Statistics in f32 at least, as stash_type says by default. */
void build_layer_norm(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), scale = onnx_in(n, 1), bias = onnx_opt(n, 2);
    Type t = onnx_type(n, x);
    int axis = onnx_axis(n, onnx_int(n, "axis", -1), t.rank);
    Standard s = standardise(n, b_cast(n->g, x, t.dtype == DT_F64 ? DT_F64 : DT_F32), axis);
    Ref y = b_cast(n->g, s.y, t.dtype);
    y = binary(n, OP_mul, y, spread(n, scale, y));
    if (bias != NOREF) y = binary(n, OP_add, y, spread(n, bias, y));
    onnx_out(n, 0, y);
    onnx_out(n, 1, s.mean);
    onnx_out(n, 2, s.inverse);
}

/* Groups of channels, each standardised by itself. The scale is one a group until opset 20, one a
 * channel since. */
static Ref group_parameter(const OnnxNode *n, Ref p, Ref x, int64_t groups)
{
    int64_t channels = onnx_type(n, x).dim[1], dim = onnx_type(n, p).dim[0];
    if (n->opset < 21 && dim == groups) p = onnx_repeat(n, p, 0, channels / groups, true);
    return onnx_channels(n, p, x);
}

void build_group_norm(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), scale = onnx_in(n, 1), bias = onnx_in(n, 2);
    Type t = onnx_type(n, x);
    int64_t groups = onnx_int(n, "num_groups", 0);
    if (t.rank < 3 || groups < 1 || t.dim[1] % groups)
        onnx_fail(n, "num_groups %lld of rank %d is not supported", (long long)groups, t.rank);
    int64_t dim[3] = {t.dim[0], groups, type_count(t) / t.dim[0] / groups};
    Ref wide = b_cast(n->g, x, t.dtype == DT_F64 ? DT_F64 : DT_F32);
    Ref y = standardise(n, b_reshape(n->g, wide, 3, dim), 2).y;
    y = b_cast(n->g, b_reshape(n->g, y, t.rank, t.dim), t.dtype);
    y = binary(n, OP_mul, y, group_parameter(n, scale, y, groups));
    onnx_out(n, 0, binary(n, OP_add, y, group_parameter(n, bias, y, groups)));
}

/* x / sqrt(mean of squares + epsilon) * scale */
void build_rms_norm(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), scale = onnx_in(n, 1);
    Type t = onnx_type(n, x);
    int axes[MAX_RANK], k = 0;
    for (int i = onnx_axis(n, onnx_int(n, "axis", -1), t.rank); i < t.rank; i++) axes[k++] = i;
    x = b_cast(n->g, x, t.dtype == DT_F64 ? DT_F64 : DT_F32);
    Ref squares = mean_over(n, binary(n, OP_mul, x, x), k, axes);
    Ref inverse = over_deviation(n, b_like(n->g, squares, 1), squares);
    Ref y = b_cast(n->g, binary(n, OP_mul, x, spread(n, inverse, x)), t.dtype);
    onnx_out(n, 0, binary(n, OP_mul, y, spread(n, scale, y)));
}

/* (x - mean) / (deviation + 1e-9); axis 0 by default, so samples are coupled. */
void build_mean_variance_norm(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    int64_t list[MAX_RANK] = {0, 2, 3};
    int axes[MAX_RANK], k = onnx_axes(n, 1, onnx_type(n, x).rank, axes);
    if (k < 0)
        for (k = 0; k < 3; k++) axes[k] = onnx_axis(n, list[k], onnx_type(n, x).rank);
    Ref d = binary(n, OP_sub, x, spread(n, mean_over(n, x, k, axes), x));
    Ref deviation = b_unary(n->g, OP_sqrt, mean_over(n, binary(n, OP_mul, d, d), k, axes));
    deviation = binary(n, OP_add, deviation, b_like(n->g, deviation, 1e-9));
    onnx_out(n, 0, binary(n, OP_div, d, spread(n, deviation, d)));
}

/* x / norm, and 0 where the norm is. */
void build_lp_norm(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    int axis = onnx_axis(n, onnx_int(n, "axis", -1), onnx_type(n, x).rank);
    Ref norm = onnx_lp_norm(n, x, 1, &axis);
    Ref zero = binary(n, OP_eq, norm, b_like(n->g, norm, 0));
    norm = b_select(n->g, zero, b_like(n->g, norm, 1), norm);
    onnx_out(n, 0, binary(n, OP_div, x, spread(n, norm, x)));
}

/* x / (bias + alpha/size * sum of squares of `size` channels around it)^beta */
void build_lrn(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), sum = NOREF;
    Type t = onnx_type(n, x);
    int64_t size = onnx_int(n, "size", 0), low[MAX_RANK] = {0}, high[MAX_RANK] = {0};
    int64_t inner[MAX_RANK] = {0};
    if (t.rank < 2 || size < 1 || size > 256)
        onnx_fail(n, "size %lld of rank %d is not supported", (long long)size, t.rank);
    low[1] = (size - 1) / 2;
    high[1] = size - 1 - low[1];
    Ref squares = b_pad(n->g, binary(n, OP_mul, x, x), low, high, inner, 0);
    for (int64_t i = 0; i < size; i++) {
        Ref part = b_slice_axis(n->g, squares, 1, i, t.dim[1], 1);
        sum = sum == NOREF ? part : binary(n, OP_add, sum, part);
    }
    Ref scale = b_like(n->g, x, onnx_float(n, "alpha", 1e-4) / (double)size);
    Ref base = b_like(n->g, x, onnx_float(n, "bias", 1));
    base = binary(n, OP_add, binary(n, OP_mul, sum, scale), base);
    Ref power = b_like(n->g, x, onnx_float(n, "beta", 0.75));
    onnx_out(n, 0, binary(n, OP_div, x, binary(n, OP_pow, base, power)));
}

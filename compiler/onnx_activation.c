/* SPDX-License-Identifier: Apache-2.0 */
/* Activations. Each is written so that it and its derivatives stay finite wherever the function is:
 * no overflow in a branch that a select drops (its gradient would be 0 * inf), and the derivative
 * ONNX's formula has on either side at a kink. */
#include "onnx_node.h"

static Ref num(Graph *g, Ref like, double v)
{
    return b_like(g, like, v);
}

static Ref scale(Graph *g, Ref x, double v)
{
    return v == 1 ? x : b_binary(g, OP_mul, x, num(g, x, v));
}

static Ref plus(Graph *g, Ref x, double v)
{
    return v == 0 ? x : b_binary(g, OP_add, x, num(g, x, v));
}

/* x <= 0 ? neg : pos */
static Ref by_sign(Graph *g, Ref x, Ref neg, Ref pos)
{
    return b_select(g, b_binary(g, OP_le, x, num(g, x, 0)), neg, pos);
}

/* min2 hands its derivative to the second operand at a tie: 1 at 0. */
static Ref below_zero(Graph *g, Ref x)
{
    return b_binary(g, OP_min2, num(g, x, 0), x);
}

/* ---- pieces of lines ---- */

void build_relu(OnnxNode *n)
{
    onnx_out(n, 0, b_relu(n->g, onnx_in(n, 0)));
}

static Ref leaky(Graph *g, Ref x, Ref slope)
{
    Ref negative = b_binary(g, OP_lt, x, num(g, x, 0));
    return b_select(g, negative, b_binary(g, OP_mul, x, slope), x);
}

void build_leaky_relu(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    onnx_out(n, 0, leaky(n->g, x, num(n->g, x, onnx_float(n, "alpha", 0.01))));
}

/* The slope broadcasts to x from the last axis; until opset 6 a vector of slopes is one a
 * channel. */
void build_prelu(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), slope = onnx_in(n, 1);
    Type t = onnx_type(n, slope);
    if (n->opset < 7 && t.rank == 1 && t.dim[0] > 1) slope = onnx_channels(n, slope, x);
    onnx_out(n, 0, leaky(n->g, x, b_broadcast_to(n->g, slope, onnx_type(n, x))));
}

void build_thresholded_relu(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Ref over = b_binary(n->g, OP_lt, num(n->g, x, onnx_float(n, "alpha", 1)), x);
    onnx_out(n, 0, b_select(n->g, over, x, num(n->g, x, 0)));
}

/* A bound: attribute until opset 10, input from 11, absent for none. */
static Ref bound(const OnnxNode *n, const char *name, int i, Ref x)
{
    if (onnx_has(n, name)) return num(n->g, x, onnx_float(n, name, 0));
    Ref r = onnx_opt(n, i);
    return r == NOREF ? NOREF : b_broadcast_to(n->g, r, onnx_type(n, x));
}

void build_clip(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), lo = bound(n, "min", 1, x), hi = bound(n, "max", 2, x);
    if (lo != NOREF) x = b_binary(n->g, OP_max2, lo, x);
    if (hi != NOREF) x = b_binary(n->g, OP_min2, hi, x);
    onnx_out(n, 0, x);
}

/* Towards zero by bias, and zero between -lambd and lambd. */
void build_shrink(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    DType d = onnx_type(n, x).dtype, work = dtype_is_float(d) ? d : DT_F32;
    double lambda = onnx_float(n, "lambd", 0.5), bias = onnx_float(n, "bias", 0);
    Ref wide = b_cast(n->g, x, work);
    Ref below = b_binary(n->g, OP_lt, wide, num(n->g, wide, -lambda));
    Ref above = b_binary(n->g, OP_lt, num(n->g, wide, lambda), wide);
    Ref y = b_select(n->g, above, plus(n->g, wide, -bias), num(n->g, wide, 0));
    onnx_out(n, 0, b_cast(n->g, b_select(n->g, below, plus(n->g, wide, bias), y), d));
}

static Ref hard_sigmoid(Graph *g, Ref x, double alpha, double beta)
{
    return b_clip(g, plus(g, scale(g, x, alpha), beta), num(g, x, 0), num(g, x, 1));
}

void build_hard_sigmoid(OnnxNode *n)
{
    double alpha = onnx_float(n, "alpha", 0.2), beta = onnx_float(n, "beta", 0.5);
    onnx_out(n, 0, hard_sigmoid(n->g, onnx_in(n, 0), alpha, beta));
}

void build_hard_swish(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    onnx_out(n, 0, b_binary(n->g, OP_mul, x, hard_sigmoid(n->g, x, 1.0 / 6, 0.5)));
}

/* ---- smooth ones ---- */

/* (1 + tanh(x/2)) / 2: nothing overflows, at any order of derivative. */
static Ref sigmoid(Graph *g, Ref x)
{
    return plus(g, scale(g, b_unary(g, OP_tanh, scale(g, x, 0.5)), 0.5), 0.5);
}

void build_sigmoid(OnnxNode *n)
{
    onnx_out(n, 0, sigmoid(n->g, onnx_in(n, 0)));
}

void build_swish(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Ref s = sigmoid(n->g, scale(n->g, x, onnx_float(n, "alpha", 1)));
    onnx_out(n, 0, b_binary(n->g, OP_mul, x, s));
}

/* log(1 + e^x) = x + log(1 + e^-x), each where its exponent is not positive. */
static Ref softplus(Graph *g, Ref x)
{
    Ref flipped = b_unary(g, OP_neg, x);
    Ref neg = b_unary(g, OP_log1p, b_unary(g, OP_exp, below_zero(g, x)));
    Ref pos = b_unary(g, OP_log1p, b_unary(g, OP_exp, below_zero(g, flipped)));
    return by_sign(g, x, neg, b_binary(g, OP_add, x, pos));
}

void build_softplus(OnnxNode *n)
{
    onnx_out(n, 0, softplus(n->g, onnx_in(n, 0)));
}

void build_mish(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    onnx_out(n, 0, b_binary(n->g, OP_mul, x, b_unary(n->g, OP_tanh, softplus(n->g, x))));
}

void build_softsign(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    onnx_out(n, 0, b_binary(n->g, OP_div, x, plus(n->g, b_unary(n->g, OP_abs, x), 1)));
}

/* x/2 (1 + erf(x / sqrt 2)), or its tanh approximation. */
void build_gelu(OnnxNode *n)
{
    Graph *g = n->g;
    Ref x = onnx_in(n, 0), inner;
    const char *form = onnx_str(n, "approximate", "none");
    if (form[0] == 'n') {
        inner = b_unary(g, OP_erf, scale(g, x, 0.70710678118654752440));
    } else {
        Ref cube = b_binary(g, OP_mul, x, b_binary(g, OP_mul, x, x));
        Ref sum = b_binary(g, OP_add, x, scale(g, cube, 0.044715));
        inner = b_unary(g, OP_tanh, scale(g, sum, 0.79788456080286535588));
    }
    onnx_out(n, 0, b_binary(g, OP_mul, scale(g, x, 0.5), plus(g, inner, 1)));
}

/* gamma * (x <= 0 ? alpha (e^(x/width) - 1) : x) */
static Ref elu(Graph *g, Ref x, double alpha, double width, double gamma)
{
    Ref t = below_zero(g, width == 1 ? x : b_binary(g, OP_div, x, num(g, x, width)));
    Ref neg = scale(g, plus(g, b_unary(g, OP_exp, t), -1), alpha);
    return scale(g, by_sign(g, x, neg, x), gamma);
}

void build_elu(OnnxNode *n)
{
    onnx_out(n, 0, elu(n->g, onnx_in(n, 0), onnx_float(n, "alpha", 1), 1, 1));
}

void build_selu(OnnxNode *n)
{
    double alpha = onnx_float(n, "alpha", 1.67326319217681884765625);
    double gamma = onnx_float(n, "gamma", 1.05070102214813232421875);
    onnx_out(n, 0, elu(n->g, onnx_in(n, 0), alpha, 1, gamma));
}

void build_celu(OnnxNode *n)
{
    double alpha = onnx_float(n, "alpha", 1);
    onnx_out(n, 0, elu(n->g, onnx_in(n, 0), alpha, alpha, 1));
}

/* ---- softmax and its kin ---- */

typedef Ref Along(Graph *, Ref x, int axis);

/* Shifted by the maximum. The shift cancels in value and derivative alike, so it takes no part in
 * the latter. */
static Ref shifted(Graph *g, Ref x, int axis)
{
    Type t = g->node[x].type;
    Ref top = b_unary(g, OP_stop, b_reduce(g, OP_max, x, 1, &axis));
    return b_binary(g, OP_sub, x, b_broadcast(g, top, t.rank, t.dim));
}

static Ref softmax(Graph *g, Ref x, int axis)
{
    Type t = g->node[x].type;
    Ref e = b_unary(g, OP_exp, shifted(g, x, axis)), sum = b_reduce(g, OP_sum, e, 1, &axis);
    return b_binary(g, OP_div, e, b_broadcast(g, sum, t.rank, t.dim));
}

Ref onnx_log_softmax(Graph *g, Ref x, int axis)
{
    Type t = g->node[x].type;
    Ref s = shifted(g, x, axis);
    Ref sum = b_unary(g, OP_log, b_reduce(g, OP_sum, b_unary(g, OP_exp, s), 1, &axis));
    return b_binary(g, OP_sub, s, b_broadcast(g, sum, t.rank, t.dim));
}

/* 1 at the first of the largest. */
static Ref hardmax(Graph *g, Ref x, int axis)
{
    Type t = g->node[x].type;
    Ref top = b_broadcast(g, b_reduce(g, OP_argmax, x, 1, &axis), t.rank, t.dim);
    Ref hit = b_binary(g, OP_eq, b_iota(g, type_with(t, DT_I64), axis), top);
    return b_cast(g, hit, t.dtype);
}

static void along_axis(OnnxNode *n, Along *f)
{
    Ref x = onnx_in(n, 0);
    int axis = onnx_axis(n, onnx_int(n, "axis", -1), onnx_type(n, x).rank);
    onnx_out(n, 0, f(n->g, x, axis));
}

/* Until opset 12: the axes from `axis` on are one. */
static void flattened(OnnxNode *n, Along *f)
{
    Ref x = onnx_in(n, 0);
    Type t = onnx_type(n, x);
    int axis = onnx_axis(n, onnx_int(n, "axis", 1), t.rank);
    int64_t dim[2] = {1, 1};
    for (int i = 0; i < t.rank; i++) dim[i >= axis] *= t.dim[i];
    if (axis == t.rank - 1) /* then it need not be flattened */
        x = f(n->g, x, axis);
    else
        x = f(n->g, b_reshape(n->g, x, 2, dim), 1);
    onnx_out(n, 0, b_reshape(n->g, x, t.rank, t.dim));
}

#define ALONG(name, f)                                                                             \
    void build_##name(OnnxNode *n)                                                                 \
    {                                                                                              \
        along_axis(n, f);                                                                          \
    }                                                                                              \
    void build_##name##_flat(OnnxNode *n)                                                          \
    {                                                                                              \
        flattened(n, f);                                                                           \
    }
ALONG(softmax, softmax)
ALONG(log_softmax, onnx_log_softmax)
ALONG(hardmax, hardmax)

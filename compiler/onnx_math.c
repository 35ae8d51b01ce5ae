/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that are compositions of exp, log1p, sqrt and tanh, written to keep their digits near
 * zero and their derivatives finite; questions to floats; shifts and remainders. */
#include "onnx_node.h"

#include <math.h>
#include <string.h>

static Ref num(Graph *g, Ref like, double v)
{
    return b_like(g, like, v);
}

static Ref plus(Graph *g, Ref x, double v)
{
    return b_binary(g, OP_add, x, num(g, x, v));
}

static Ref times(Graph *g, Ref x, double v)
{
    return b_binary(g, OP_mul, x, num(g, x, v));
}

static Ref mul(Graph *g, Ref a, Ref b)
{
    return b_binary(g, OP_mul, a, b);
}

/* ---- hyperbolic functions ---- */

static Ref cosh_of(Graph *g, Ref x)
{
    Ref up = b_unary(g, OP_exp, x);
    Ref down = b_unary(g, OP_exp, b_unary(g, OP_neg, x));
    return times(g, b_binary(g, OP_add, up, down), 0.5);
}

void build_cosh(OnnxNode *n)
{
    onnx_out(n, 0, cosh_of(n->g, onnx_in(n, 0)));
}

/* tanh x cosh x: nothing cancels at 0. */
void build_sinh(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), c = cosh_of(n->g, x);
    onnx_out(n, 0, mul(n->g, b_unary(n->g, OP_tanh, x), c));
}

/* log(x + sqrt(x^2 + 1)) for what is not negative in x, as log1p(x + x^2 / (1 + sqrt(x^2 + 1))) */
static Ref asinh_above(Graph *g, Ref x)
{
    Ref p = b_binary(g, OP_max2, num(g, x, 0), x); /* at 0 the derivative is x's */
    Ref square = mul(g, p, p);
    Ref root = b_unary(g, OP_sqrt, plus(g, square, 1));
    Ref more = b_binary(g, OP_div, square, plus(g, root, 1));
    return b_unary(g, OP_log1p, b_binary(g, OP_add, p, more));
}

void build_asinh(OnnxNode *n)
{
    Graph *g = n->g;
    Ref x = onnx_in(n, 0), flipped = b_unary(g, OP_neg, x);
    Ref below = b_unary(g, OP_neg, asinh_above(g, flipped));
    Ref negative = b_binary(g, OP_lt, x, num(g, x, 0));
    onnx_out(n, 0, b_select(g, negative, below, asinh_above(g, x)));
}

/* With t = x - 1: log1p(t + sqrt(t^2 + 2t)). */
void build_acosh(OnnxNode *n)
{
    Graph *g = n->g;
    Ref t = plus(g, onnx_in(n, 0), -1);
    Ref root = b_unary(g, OP_sqrt, mul(g, t, plus(g, t, 2)));
    onnx_out(n, 0, b_unary(g, OP_log1p, b_binary(g, OP_add, t, root)));
}

void build_atanh(OnnxNode *n)
{
    Graph *g = n->g;
    Ref x = onnx_in(n, 0), up = b_unary(g, OP_log1p, x);
    Ref down = b_unary(g, OP_log1p, b_unary(g, OP_neg, x));
    onnx_out(n, 0, times(g, b_binary(g, OP_sub, up, down), 0.5));
}

/* ---- questions ---- */

void build_is_nan(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    onnx_out(n, 0, b_unary(n->g, OP_not, b_binary(n->g, OP_eq, x, x)));
}

void build_is_inf(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), none = graph_splat(n->g, type_with(onnx_type(n, x), DT_BOOL), 0);
    bool up = onnx_int(n, "detect_positive", 1), down = onnx_int(n, "detect_negative", 1);
    Ref high = up ? b_binary(n->g, OP_eq, x, num(n->g, x, (double)INFINITY)) : none;
    Ref low = down ? b_binary(n->g, OP_eq, x, num(n->g, x, -(double)INFINITY)) : none;
    onnx_out(n, 0, b_binary(n->g, OP_or, high, low));
}

/* ---- remainders ---- */

/* x - y trunc(x/y), which has the sign of x. */
static Ref float_mod(OnnxNode *n, Ref x, Ref y)
{
    Graph *g = n->g;
    Ref q = b_binary(g, OP_div, x, y);
    Ref whole = b_unary(g, OP_floor, b_unary(g, OP_abs, q));
    whole = mul(g, b_unary(g, OP_sign, q), whole);
    return b_binary(g, OP_sub, x, mul(g, whole, y));
}

/* Of integers: the remainder of truncating division (fmod), or that with the sign of the
 * divisor. */
static Ref int_mod(OnnxNode *n, Ref x, Ref y)
{
    Graph *g = n->g;
    Ref r = b_binary(g, OP_sub, x, mul(g, b_binary(g, OP_div, x, y), y));
    if (onnx_int(n, "fmod", 0)) return r;
    Ref signs = mul(g, b_unary(g, OP_sign, r), b_unary(g, OP_sign, y));
    Ref differ = b_binary(g, OP_lt, signs, num(g, signs, 0));
    return b_select(g, differ, b_binary(g, OP_add, r, y), r);
}

void build_mod(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), y = onnx_in(n, 1);
    b_align(n->g, &x, &y);
    bool real = dtype_is_float(onnx_type(n, x).dtype);
    if (real && !onnx_int(n, "fmod", 0)) onnx_fail(n, "of floats needs fmod 1");
    onnx_out(n, 0, real ? float_mod(n, x, y) : int_mod(n, x, y));
}

/* Of u8, in i64: times or divided by a power of two. Shifts beyond 8 bits leave 0. */
void build_bit_shift(OnnxNode *n)
{
    Graph *g = n->g;
    Ref x = onnx_in(n, 0), y = onnx_in(n, 1);
    DType d = onnx_type(n, x).dtype;
    const char *way = onnx_str(n, "direction", "");
    if (d != DT_U8) onnx_fail(n, "of other than uint8 is not supported");
    if (strcmp(way, "LEFT") && strcmp(way, "RIGHT")) onnx_fail(n, "direction is missing");
    b_align(g, &x, &y);
    y = b_cast(g, y, DT_F64);
    y = b_binary(g, OP_min2, y, num(g, y, 8));
    y = b_cast(g, b_binary(g, OP_pow, num(g, y, 2), y), DT_I64);
    x = b_binary(g, *way == 'L' ? OP_mul : OP_div, b_cast(g, x, DT_I64), y);
    Ref high = mul(g, b_binary(g, OP_div, x, num(g, x, 256)), num(g, x, 256));
    onnx_out(n, 0, b_cast(g, b_binary(g, OP_sub, x, high), d));
}

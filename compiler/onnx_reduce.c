/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions. Axes are an attribute or, later, an input; absent they are all axes, unless the node
 * asks for none. Extents of 1 are dropped again where keepdims is 0. */
#include "onnx_node.h"

typedef struct Axes {
    int n, axis[MAX_RANK];
    double count; /* elements reduced into one */
} Axes;

static Axes axes_of(const OnnxNode *n, Ref x)
{
    Type t = onnx_type(n, x);
    Axes a = {.count = 1};
    a.n = onnx_axes(n, 1, t.rank, a.axis);
    if (a.n <= 0) {
        a.n = onnx_int(n, "noop_with_empty_axes", 0) ? 0 : t.rank;
        for (int i = 0; i < a.n; i++) a.axis[i] = i;
    }
    for (int i = 0; i < a.n; i++) a.count *= (double)t.dim[a.axis[i]];
    return a;
}

static Ref reduce(const OnnxNode *n, Op op, Ref x, const Axes *a)
{
    return a->n ? b_reduce(n->g, op, x, a->n, a->axis) : x;
}

static void finish(OnnxNode *n, Ref y, const Axes *a)
{
    onnx_out(n, 0, onnx_int(n, "keepdims", 1) ? y : onnx_drop_axes(n, y, a->n, a->axis));
}

static void plain(OnnxNode *n, Op op, Ref x)
{
    Axes a = axes_of(n, onnx_in(n, 0));
    finish(n, reduce(n, op, x, &a), &a);
}

static Ref square(const OnnxNode *n)
{
    return b_binary(n->g, OP_mul, onnx_in(n, 0), onnx_in(n, 0));
}

void build_reduce_sum(OnnxNode *n)
{
    plain(n, OP_sum, onnx_in(n, 0));
}

/* Of bools, max is "any" and min is "all". */
static void extremum(OnnxNode *n, Op op)
{
    Ref x = onnx_in(n, 0);
    bool logic = onnx_type(n, x).dtype == DT_BOOL;
    plain(n, op, logic ? b_cast(n->g, x, DT_U8) : x);
    if (logic && n->nout) onnx_out(n, 0, b_cast(n->g, n->out[0], DT_BOOL));
}

void build_reduce_max(OnnxNode *n)
{
    extremum(n, OP_max);
}

void build_reduce_min(OnnxNode *n)
{
    extremum(n, OP_min);
}

void build_reduce_prod(OnnxNode *n)
{
    plain(n, OP_prod, onnx_in(n, 0));
}

void build_reduce_l1(OnnxNode *n)
{
    plain(n, OP_sum, b_unary(n->g, OP_abs, onnx_in(n, 0)));
}

void build_reduce_sum_square(OnnxNode *n)
{
    plain(n, OP_sum, square(n));
}

void build_reduce_mean(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Axes a = axes_of(n, x);
    Ref sum = reduce(n, OP_sum, x, &a);
    finish(n, b_binary(n->g, OP_div, sum, b_like(n->g, sum, a.count)), &a);
}

void build_reduce_l2(OnnxNode *n)
{
    Axes a = axes_of(n, onnx_in(n, 0));
    finish(n, b_unary(n->g, OP_sqrt, reduce(n, OP_sum, square(n), &a)), &a);
}

void build_reduce_log_sum(OnnxNode *n)
{
    Axes a = axes_of(n, onnx_in(n, 0));
    finish(n, b_unary(n->g, OP_log, reduce(n, OP_sum, onnx_in(n, 0), &a)), &a);
}

/* Shifted by the maximum, whose derivative cancels. */
void build_reduce_log_sum_exp(OnnxNode *n)
{
    Graph *g = n->g;
    Ref x = onnx_in(n, 0);
    Axes a = axes_of(n, x);
    Ref top = b_unary(g, OP_stop, reduce(n, OP_max, x, &a));
    Ref shifted = b_binary(g, OP_sub, x, b_broadcast_to(g, top, onnx_type(n, x)));
    Ref sum = reduce(n, OP_sum, b_unary(g, OP_exp, shifted), &a);
    finish(n, b_binary(g, OP_add, top, b_unary(g, OP_log, sum)), &a);
}

/* ---- indices ---- */

/* The op takes the first of equal elements; the last is the first of the reversed axis. */
static void arg(OnnxNode *n, Ref x)
{
    Graph *g = n->g;
    Type t = onnx_type(n, x);
    int axis = onnx_axis(n, onnx_int(n, "axis", 0), t.rank);
    bool last = onnx_int(n, "select_last_index", 0) != 0;
    Axes a = {.n = 1, .axis = {axis}};
    if (last) x = b_reverse(g, x, 1, &axis);
    Ref y = b_reduce(g, OP_argmax, x, 1, &axis);
    if (last) y = b_binary(g, OP_sub, b_like(g, y, (double)(t.dim[axis] - 1)), y);
    finish(n, y, &a);
}

void build_arg_max(OnnxNode *n)
{
    arg(n, onnx_in(n, 0));
}

/* -x reverses the order of floats; of integers -1 - x does, which cannot overflow. */
void build_arg_min(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    if (dtype_is_float(onnx_type(n, x).dtype)) {
        arg(n, b_unary(n->g, OP_neg, x));
        return;
    }
    x = b_cast(n->g, x, DT_I64);
    arg(n, b_binary(n->g, OP_sub, b_like(n->g, x, -1), x));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Losses over classes, axis 1. The target's class is picked by comparison with an iota, so that
 * samples stay apart; reductions other than none run over samples, and a program that needs them
 * apart refuses those. */
#include "onnx_node.h"

#include <string.h>

static Ref binary(const OnnxNode *n, Op op, Ref a, Ref b)
{
    return b_binary(n->g, op, a, b);
}

/* bool of x's shape: is this the target's class? */
static Ref chosen(const OnnxNode *n, Type t, Ref target)
{
    Type column = t = type_with(t, DT_I64);
    if (t.rank < 2) onnx_fail(n, "rank %d has no classes", t.rank);
    column.dim[1] = 1;
    target = b_reshape(n->g, b_cast(n->g, target, DT_I64), column.rank, column.dim);
    target = b_broadcast(n->g, target, t.rank, t.dim);
    return binary(n, OP_eq, b_iota(n->g, t, 1), target);
}

/* What x has at the chosen classes, without their axis. */
static Ref pick(const OnnxNode *n, Ref hit, Ref x)
{
    int axis = 1;
    Ref r = b_select(n->g, hit, x, b_like(n->g, x, 0));
    return onnx_drop_axes(n, b_reduce(n->g, OP_sum, r, 1, &axis), 1, &axis);
}

static Ref total(const OnnxNode *n, Ref x)
{
    int axes[MAX_RANK], rank = onnx_type(n, x).rank;
    for (int i = 0; i < rank; i++) axes[i] = i;
    return b_reshape(n->g, b_reduce(n->g, OP_sum, x, rank, axes), 0, NULL);
}

/* The weight of each target: its class's, 0 if it is to be ignored. */
static Ref weights_of(const OnnxNode *n, Ref hit, Ref target, Ref weight, Ref x)
{
    Ref one = b_like(n->g, x, 1);
    Ref w = pick(n, hit, weight == NOREF ? one : onnx_channels(n, weight, x));
    if (!onnx_has(n, "ignore_index")) return w;
    double out = (double)onnx_int(n, "ignore_index", 0);
    target = b_cast(n->g, target, DT_I64);
    Ref ignored = binary(n, OP_eq, target, b_like(n->g, target, out));
    return b_select(n->g, ignored, b_like(n->g, w, 0), w);
}

static Ref loss(const OnnxNode *n, Ref logp, Ref target, Ref weight)
{
    const char *how = onnx_str(n, "reduction", "mean");
    Ref hit = chosen(n, onnx_type(n, logp), target);
    Ref w = weights_of(n, hit, target, weight, logp);
    Ref each = b_unary(n->g, OP_neg, binary(n, OP_mul, pick(n, hit, logp), w));
    if (!strcmp(how, "none")) return each;
    if (!strcmp(how, "sum")) return total(n, each);
    if (strcmp(how, "mean")) onnx_fail(n, "reduction %s is not supported", how);
    return binary(n, OP_div, total(n, each), total(n, w));
}

void build_nll_loss(OnnxNode *n)
{
    onnx_out(n, 0, loss(n, onnx_in(n, 0), onnx_in(n, 1), onnx_opt(n, 2)));
}

void build_softmax_cross_entropy_loss(OnnxNode *n)
{
    Ref logp = onnx_log_softmax(n->g, onnx_in(n, 0), 1);
    onnx_out(n, 0, loss(n, logp, onnx_in(n, 1), onnx_opt(n, 2)));
    onnx_out(n, 1, logp);
}

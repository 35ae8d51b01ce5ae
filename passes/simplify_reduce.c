/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of reductions and contractions; the laws are in simplify.def. */
#include "passes/simplify.h"

static int64_t reduced_count(Type x, const Attr *axes)
{
    int64_t n = 1;
    for (int i = 0; i < axes->n; i++) n *= x.dim[axes->i[i]];
    return n;
}

Ref simp_sum_splat(Graph *g, const Node *n)
{
    double v;
    if (!splat_value(g, n->args[0], &v) || !dtype_is_float(n->type.dtype)) return NOREF;
    int64_t count = reduced_count(operand(g, n, 0)->type, node_attr(n, "axes"));
    return graph_splat(g, n->type, v * (double)count);
}

/* Reduces what the broadcast repeats from: *repeats is how often each element occurs in a
 * result. */
static Ref reduce_source(Graph *g, const Node *n, int64_t *repeats)
{
    Ref x = operand(g, n, 0)->args[0];
    Type small = g->node[x].type, all = operand(g, n, 0)->type;
    const Attr *axes = node_attr(n, "axes");
    int left[MAX_RANK], nleft = 0;
    *repeats = 1;
    for (int i = 0; i < axes->n; i++) {
        int axis = (int)axes->i[i];
        if (small.dim[axis] == all.dim[axis])
            left[nleft++] = axis;
        else
            *repeats *= all.dim[axis];
    }
    return nleft ? simplify(g, b_reduce(g, n->op, x, nleft, left)) : x;
}

/* Is the count itself exact in the dtype? 70000 is infinite in f16, and 257 is 256 in bf16. */
static bool exact_in(DType t, int64_t count)
{
    int64_t buffer = 0;
    elem_set(t, &buffer, 0, (double)count);
    return elem_get(t, &buffer, 0) == (double)count;
}

Ref simp_sum_broadcast(Graph *g, const Node *n)
{
    int64_t repeats;
    if (!operand_is(g, n, 0, OP_broadcast)) return NOREF;
    Ref x = reduce_source(g, n, &repeats);
    if (!exact_in(n->type.dtype, repeats)) return NOREF;
    x = simplify(g, b_binary(g, OP_mul, x, b_like(g, x, (double)repeats)));
    return b_broadcast(g, x, n->type.rank, n->type.dim);
}

Ref simp_sum_neg(Graph *g, const Node *n)
{
    if (!operand_is(g, n, 0, OP_neg)) return NOREF;
    Ref sum = graph_node(g, OP_sum, 1, operand(g, n, 0)->args, n->attr);
    return b_unary(g, OP_neg, simplify(g, sum));
}

Ref simp_extremum_broadcast(Graph *g, const Node *n)
{
    int64_t repeats;
    if (!operand_is(g, n, 0, OP_broadcast)) return NOREF;
    return b_broadcast(g, reduce_source(g, n, &repeats), n->type.rank, n->type.dim);
}

/* ---- zeros around an image are what a convolution's pads mean ---- */

static bool pads_image(const Node *pad)
{
    if (pad->op != OP_pad || node_attr(pad, "value")->f != 0) return false;
    const Attr *low = node_attr(pad, "low"), *high = node_attr(pad, "high");
    return all_equal(low->i, 2, 0) && all_equal(high->i, 2, 0) &&
           all_equal(node_attr(pad, "inner")->i, pad->type.rank, 0);
}

static ConvAttrs with_pads(const Node *conv, const Node *pad)
{
    ConvAttrs c = conv_attrs(conv);
    for (int i = 0; i < c.k; i++) {
        c.pads[i] += node_attr(pad, "low")->i[i + 2];
        c.pads[c.k + i] += node_attr(pad, "high")->i[i + 2];
    }
    return c;
}

Ref simp_conv_pad(Graph *g, const Node *n)
{
    const Node *pad = operand(g, n, 0);
    if (!pads_image(pad)) return NOREF;
    ConvAttrs c = with_pads(n, pad);
    return b_conv(g, pad->args[0], n->args[1], &c);
}

Ref simp_conv_dw_pad(Graph *g, const Node *n)
{
    const Node *pad = operand(g, n, 0);
    if (!pads_image(pad)) return NOREF;
    ConvAttrs c = with_pads(n, pad);
    return b_conv_dw(g, pad->args[0], n->args[1], &c, node_attr(n, "kernel")->i);
}

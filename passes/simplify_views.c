/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of views and joins; the laws are in simplify.def. A chain of views becomes one, and a
 * broadcast moves towards the output, so that what is below it works on the smaller tensor. */
#include "passes/simplify.h"

/* A view, or a reduction, that changes no extent. Not for transpose and reverse, which may. */
Ref simp_same_shape(Graph *g, const Node *n)
{
    return type_same_dims(operand(g, n, 0)->type, n->type) ? n->args[0] : NOREF;
}

Ref simp_view_of_splat(Graph *g, const Node *n)
{
    double v;
    if (!splat_value(g, n->args[0], &v)) return NOREF;
    if (n->op == OP_pad && node_attr(n, "value")->f != v) return NOREF;
    return splat_resize(g, n->args[0], n->type);
}

Ref simp_reshape_reshape(Graph *g, const Node *n)
{
    if (!operand_is(g, n, 0, OP_reshape)) return NOREF;
    return b_reshape(g, operand(g, n, 0)->args[0], n->type.rank, n->type.dim);
}

/* ---- transpose ---- */

Ref simp_transpose_identity(Graph *g, const Node *n)
{
    const Attr *perm = node_attr(n, "perm");
    (void)g;
    for (int i = 0; i < perm->n; i++)
        if (perm->i[i] != i) return NOREF;
    return n->args[0];
}

Ref simp_transpose_transpose(Graph *g, const Node *n)
{
    if (!operand_is(g, n, 0, OP_transpose)) return NOREF;
    const Node *inner = operand(g, n, 0);
    const Attr *first = node_attr(inner, "perm"), *second = node_attr(n, "perm");
    int perm[MAX_RANK];
    for (int i = 0; i < first->n; i++) perm[i] = (int)first->i[second->i[i]];
    return b_transpose(g, inner->args[0], perm);
}

Ref simp_transpose_broadcast(Graph *g, const Node *n)
{
    if (!operand_is(g, n, 0, OP_broadcast)) return NOREF;
    Ref small = graph_node(g, OP_transpose, 1, operand(g, n, 0)->args, n->attr);
    return b_broadcast(g, simplify(g, small), n->type.rank, n->type.dim);
}

Ref simp_broadcast_broadcast(Graph *g, const Node *n)
{
    if (!operand_is(g, n, 0, OP_broadcast)) return NOREF;
    return b_broadcast(g, operand(g, n, 0)->args[0], n->type.rank, n->type.dim);
}

/* ---- slice ---- */

typedef struct Cut { /* the attributes of a slice */
    int64_t start[MAX_RANK], size[MAX_RANK], step[MAX_RANK];
} Cut;

static Cut cut_of(const Node *n)
{
    Cut c;
    for (int i = 0; i < n->type.rank; i++) {
        c.start[i] = node_attr(n, "starts")->i[i];
        c.size[i] = node_attr(n, "sizes")->i[i];
        c.step[i] = c.size[i] > 1 ? node_attr(n, "steps")->i[i] : 1;
    }
    return c;
}

static Ref cut(Graph *g, Ref x, const Cut *c)
{
    return b_slice(g, x, c->start, c->size, c->step);
}

Ref simp_slice_slice(Graph *g, const Node *n)
{
    if (!operand_is(g, n, 0, OP_slice)) return NOREF;
    Cut outer = cut_of(n), inner = cut_of(operand(g, n, 0));
    for (int i = 0; i < n->type.rank; i++) {
        outer.start[i] = inner.start[i] + outer.start[i] * inner.step[i];
        outer.step[i] *= inner.step[i];
    }
    return cut(g, operand(g, n, 0)->args[0], &outer);
}

/* Rebases one axis of a slice of a padded axis onto the axis itself, if it takes elements only. */
static bool unpad_axis(Cut *c, int i, int64_t low, int64_t inner, int64_t extent)
{
    int64_t pitch = inner + 1, at = c->start[i] - low;
    if (at < 0 || at % pitch || c->step[i] % (c->size[i] > 1 ? pitch : 1)) return false;
    c->start[i] = at / pitch;
    c->step[i] = c->size[i] > 1 ? c->step[i] / pitch : 1;
    return c->start[i] + (c->size[i] - 1) * c->step[i] < extent;
}

Ref simp_slice_pad(Graph *g, const Node *n)
{
    const Node *pad = operand(g, n, 0);
    if (pad->op != OP_pad) return NOREF;
    Ref x = pad->args[0];
    const int64_t *low = node_attr(pad, "low")->i, *inner = node_attr(pad, "inner")->i;
    Cut c = cut_of(n);
    for (int i = 0; i < n->type.rank; i++)
        if (!unpad_axis(&c, i, low[i], inner[i], g->node[x].type.dim[i])) return NOREF;
    return cut(g, x, &c);
}

Ref simp_slice_concat(Graph *g, const Node *n)
{
    const Node *join = operand(g, n, 0);
    if (join->op != OP_concat) return NOREF;
    int axis = (int)node_int(join, "axis");
    Cut c = cut_of(n);
    for (int i = 0; i < join->nargs; i++) {
        int64_t extent = g->node[join->args[i]].type.dim[axis];
        if (c.start[axis] < extent) {
            bool within = c.start[axis] + (c.size[axis] - 1) * c.step[axis] < extent;
            return within ? cut(g, join->args[i], &c) : NOREF;
        }
        c.start[axis] -= extent;
    }
    return NOREF;
}

Ref simp_slice_broadcast(Graph *g, const Node *n)
{
    if (!operand_is(g, n, 0, OP_broadcast)) return NOREF;
    Ref x = operand(g, n, 0)->args[0];
    Type small = g->node[x].type, all = operand(g, n, 0)->type;
    Cut c = cut_of(n);
    for (int i = 0; i < small.rank; i++)
        if (small.dim[i] != all.dim[i]) c.start[i] = 0, c.size[i] = 1, c.step[i] = 1;
    return b_broadcast(g, simplify(g, cut(g, x, &c)), n->type.rank, n->type.dim);
}

/* ---- pad, reverse, the rest ---- */

Ref simp_pad_pad(Graph *g, const Node *n)
{
    const Node *in = operand(g, n, 0);
    if (in->op != OP_pad || node_attr(in, "value")->f != node_attr(n, "value")->f) return NOREF;
    const Attr *inner = node_attr(n, "inner");
    if (!all_equal(inner->i, inner->n, 0)) return NOREF;
    int64_t low[MAX_RANK], high[MAX_RANK];
    for (int i = 0; i < inner->n; i++) {
        low[i] = node_attr(n, "low")->i[i] + node_attr(in, "low")->i[i];
        high[i] = node_attr(n, "high")->i[i] + node_attr(in, "high")->i[i];
    }
    return b_pad(g, in->args[0], low, high, node_attr(in, "inner")->i, node_attr(in, "value")->f);
}

Ref simp_reverse_unit(Graph *g, const Node *n)
{
    const Attr *axes = node_attr(n, "axes");
    (void)g;
    for (int i = 0; i < axes->n; i++)
        if (n->type.dim[axes->i[i]] != 1) return NOREF;
    return n->args[0];
}

Ref simp_reverse_reverse(Graph *g, const Node *n)
{
    if (!operand_is(g, n, 0, OP_reverse)) return NOREF;
    const Attr *a = node_attr(n, "axes"), *b = node_attr(operand(g, n, 0), "axes");
    for (int i = 0; i < a->n; i++)
        if (a->n != b->n || !has_axis(b, (int)a->i[i])) return NOREF;
    return a->n == b->n ? operand(g, n, 0)->args[0] : NOREF;
}

Ref simp_concat_one(Graph *g, const Node *n)
{
    (void)g;
    return n->nargs == 1 ? n->args[0] : NOREF;
}

Ref simp_stop_stop(Graph *g, const Node *n)
{
    return operand_is(g, n, 0, OP_stop) ? n->args[0] : NOREF;
}

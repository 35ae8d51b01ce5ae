/* SPDX-License-Identifier: Apache-2.0 */
/* Rewrites rows that have no kernel of their own into rows that have. argsort: the rank of element
 * i is the number of elements that come before it; position p holds the index whose rank is p. Both
 * are plain reductions over a square, fine for the class axes that argsort serves.
 *
 * And long sums of floats into sums of sums, an axis at a time from the last: rounding grows with
 * the number of terms that are added one after the other, which are so few instead of their
 * product (Higham 1993, "The accuracy of floating point summation").
 *
 * And weights of bf16 into such of f32, where the target is no faster with bf16.
 *
 * And the argmax of pooling windows to where their maximum is: the backward pass, which asks for
 * it, then finds a byte a window in memory, not the map itself. */
#include "ir/build.h"
#include "lowering.h"

/* [.., n at axis, ..] -> [.., n, 1 or n ..]: axis made two axes, one of them broadcast. */
static Ref square(Graph *g, Ref x, int axis, bool rows)
{
    Type t = g->node[x].type;
    int64_t dim[MAX_RANK];
    int rank = 0;
    for (int d = 0; d < t.rank; d++) {
        if (d == axis && rows) dim[rank++] = 1;
        dim[rank++] = t.dim[d];
        if (d == axis && !rows) dim[rank++] = 1;
    }
    x = b_reshape(g, x, rank, dim);
    dim[axis] = dim[axis + 1] = t.dim[axis];
    return b_broadcast(g, x, rank, dim);
}

static Ref squeeze_axis(Graph *g, Ref x, int axis)
{
    Type t = g->node[x].type;
    int64_t dim[MAX_RANK];
    int rank = 0;
    for (int d = 0; d < t.rank; d++)
        if (d != axis) dim[rank++] = t.dim[d];
    return b_reshape(g, x, rank, dim);
}

/* Does `other` come before `me` by value, and are the two a tie? NaN is the largest. */
static void order(Graph *g, Ref x, int axis, Ref *larger, Ref *equal)
{
    Ref me = square(g, x, axis, false), other = square(g, x, axis, true);
    *larger = b_binary(g, OP_lt, me, other);
    *equal = b_binary(g, OP_eq, other, me);
    if (!dtype_is_float(g->node[x].type.dtype)) return;
    Ref number = b_binary(g, OP_eq, x, x), nan = b_unary(g, OP_not, number);
    Ref my_number = square(g, number, axis, false), my_nan = square(g, nan, axis, false);
    Ref other_nan = square(g, nan, axis, true);
    Ref beats = b_binary(g, OP_and, other_nan, my_number);
    Ref both = b_binary(g, OP_and, other_nan, my_nan);
    *larger = b_binary(g, OP_or, *larger, beats);
    *equal = b_binary(g, OP_or, *equal, both);
}

static Ref expand_argsort(Graph *g, const Node *n, Ref x)
{
    int axis = (int)node_int(n, "axis");
    int64_t k = node_int(n, "k");
    if (g->node[x].type.rank >= MAX_RANK)
        err(NULL, "argsort of rank %d cannot be lowered", MAX_RANK);
    Ref larger, equal;
    order(g, x, axis, &larger, &equal);
    Type sq = type_with(g->node[equal].type, DT_I64);
    Ref i = b_iota(g, sq, axis), j = b_iota(g, sq, axis + 1);
    Ref earlier = b_binary(g, OP_lt, j, i), tie = b_binary(g, OP_and, equal, earlier);
    Ref before = b_binary(g, OP_or, larger, tie);
    int over[] = {axis + 1};
    Ref rank = squeeze_axis(g, b_reduce(g, OP_sum, b_cast(g, before, DT_I64), 1, over), axis + 1);
    Ref at = b_binary(g, OP_eq, square(g, rank, axis, true), i); /* rank of j equals position i */
    Ref hit = b_binary(g, OP_mul, b_cast(g, at, DT_I64), j);
    Ref sorted = squeeze_axis(g, b_reduce(g, OP_sum, hit, 1, over), axis + 1);
    return b_slice_axis(g, sorted, axis, 0, k, 1);
}

enum { LONG = 128 };

static int64_t terms(Type from, const Attr *axes)
{
    int64_t n = 1;
    for (int i = 0; i < axes->n; i++) n *= from.dim[axes->i[i]];
    return n;
}

static bool is_long_sum(const Graph *g, const Node *n)
{
    if (n->op != OP_sum || !dtype_is_float(n->type.dtype)) return false;
    Type from = g->node[n->args[0]].type;
    const Attr *axes = node_attr(n, "axes");
    int wide = 0;
    for (int i = 0; i < axes->n; i++) wide += from.dim[axes->i[i]] > 1;
    return wide > 1 && terms(from, axes) > LONG;
}

static Ref expand_sum(Graph *g, const Node *n, Ref x)
{
    const Attr *axes = node_attr(n, "axes");
    for (int i = axes->n; i-- > 0;) x = b_reduce(g, OP_sum, x, 1, (int[]){(int)axes->i[i]});
    return x;
}

bool widens_bf16(const Graph *g, const Node *n)
{
    return n->op == OP_cast && n->type.dtype == DT_F32 && g->node[n->args[0]].type.dtype == DT_BF16;
}

Ref widen_const(Graph *g, const Const *c)
{
    Type t = type_with(c->type, DT_F32);
    if (c->splat) return graph_splat(g, t, elem_get(DT_BF16, c->data, 0));
    int64_t n = type_count(t);
    float *data = NEW_N(g->arena, float, n);
    for (int64_t i = 0; i < n; i++) data[i] = (float)elem_get(DT_BF16, c->data, i);
    return c->id ? graph_weight_at(g, t, data, c->id) : graph_const_at(g, t, data);
}

static bool widens_const(const Graph *g, const Node *n)
{
    return widens_bf16(g, n) && g->node[n->args[0]].op == OP_const;
}

static Ref expand(Graph *g, const Target *t, const Graph *src, Ref r, const Ref *map)
{
    const Node *n = &src->node[r];
    if (!target_reads_bf16(t) && widens_const(src, n))
        return widen_const(g, src->node[n->args[0]].value);
    if (n->op == OP_argsort) return expand_argsort(g, n, map[n->args[0]]);
    if (is_long_sum(src, n)) return expand_sum(g, n, map[n->args[0]]);
    return graph_copy(g, src, r, map);
}

/* Windows -> the argmax over them, if there is one, and that -> its cast to bytes. */
static Ref *pooled(Arena *a, const Graph *g)
{
    Ref *of = NEW_N(a, Ref, g->n + 1);
    for (Ref r = 0; r < g->n; r++) {
        const Node *n = &g->node[r];
        Ref x = n->nargs == 1 ? n->args[0] : NOREF;
        of[r] = NOREF;
        if (n->op == OP_argmax && g->node[x].op == OP_window) of[x] = r;
        if (n->op == OP_cast && n->type.dtype == DT_U8 && g->node[x].op == OP_argmax) of[x] = r;
    }
    return of;
}

Graph *pass_expand(Arena *arena, const Target *t, const Graph *src)
{
    Graph *g = graph_new(arena, src->name);
    Ref *map = NEW_N(arena, Ref, src->n + 1), *argmax = pooled(arena, src);
    bool *done = NEW_N(arena, bool, src->n + 1);
    for (Ref next = 0; next < src->n; next++)
        for (Ref r = next; r != NOREF && !done[r]; r = argmax[r]) {
            graph_take_origin(g, src, r);
            map[r] = expand(g, t, src, r, map);
            done[r] = true;
        }
    for (uint32_t i = 0; i < src->nout; i++)
        graph_output(g, src->out[i].name, map[src->out[i].ref]);
    return g;
}

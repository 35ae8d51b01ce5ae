/* SPDX-License-Identifier: Apache-2.0 */
/* Derivatives of reductions. A maximum hands its cotangent to one element, the argmax, by comparing
 * positions: so a tie goes to the first index and no tie divides the gradient. */
#include "passes/rewrite.h"
#include "passes/vjp.h"

static Ref spread(Vjp *v, Ref small)
{
    Type x = type_of_arg(v, 0);
    return b_broadcast(v->g, small, x.rank, x.dim);
}

void vjp_sum(Vjp *v)
{
    accumulate(v, 0, spread(v, v->cot));
}

enum { BYTE_POSITIONS = 256 };

/* Row-major position of each element of x within the reduced axes, of x's shape; bytes if they hold
 * it. */
static Ref positions(Vjp *v, const Attr *axes, DType *as)
{
    Type x = type_of_arg(v, 0);
    int64_t dim[MAX_RANK], count = 1;
    for (int i = 0; i < x.rank; i++) {
        dim[i] = has_axis(axes, i) ? x.dim[i] : 1;
        count *= dim[i];
    }
    *as = count <= BYTE_POSITIONS ? DT_U8 : DT_I64;
    Ref flat = b_iota(v->g, type_of(DT_I64, 1, &count), 0);
    if (*as == DT_U8) flat = b_cast(v->g, flat, DT_U8);
    return spread(v, b_reshape(v->g, flat, x.rank, dim));
}

static void extremum(Vjp *v, Ref ranked)
{
    const Attr *axes = node_attr(&v->node, "axes");
    Ref best = graph_node(v->g, OP_argmax, 1, &ranked, v->node.attr);
    DType as;
    Ref where = positions(v, axes, &as); /* one builder a statement: C leaves argument order open */
    if (as == DT_U8) best = b_cast(v->g, best, DT_U8);
    Ref here = b_binary(v->g, OP_eq, where, spread(v, best));
    Ref x = arg_of(v, 0);
    Ref cot = spread(v, v->cot), zero = b_like(v->g, x, 0);
    accumulate(v, 0, b_select(v->g, here, cot, zero));
}

void vjp_max(Vjp *v)
{
    extremum(v, arg_of(v, 0));
}

void vjp_min(Vjp *v)
{
    extremum(v, b_unary(v->g, OP_neg, arg_of(v, 0)));
}

/* perm moves the axes that are not reduced to the front; returns how many elements are reduced. */
static int64_t reduced_last(Type x, const Attr *axes, int *perm, Type *moved)
{
    int64_t count = 1;
    int n = 0;
    for (int last = 0; last < 2; last++)
        for (int i = 0; i < x.rank; i++)
            if (has_axis(axes, i) == last) perm[n++] = i;
    *moved = x;
    for (int i = 0; i < x.rank; i++) {
        moved->dim[i] = x.dim[perm[i]];
        if (has_axis(axes, perm[i])) count *= moved->dim[i];
    }
    return count;
}

/* [L, R, K] -> [L, R, K]: the product of the others. Element i of a row is the product over j of a
 * K x K table that holds x[.., j], but 1 at j = i: no division, so zeros are no special case. */
static Ref product_of_others(Graph *g, Ref x, const int64_t flat[3])
{
    int64_t k = flat[2], row[] = {flat[0], flat[1], 1, k}, table[] = {flat[0], flat[1], k, k};
    DType t = g->node[x].type.dtype;
    Type index = type_of(DT_I64, 4, table);
    Ref i = b_iota(g, index, 2), j = b_iota(g, index, 3);
    Ref self = b_binary(g, OP_eq, i, j);
    Ref all = b_broadcast(g, b_reshape(g, x, 4, row), 4, table);
    Ref others = b_select(g, self, graph_splat(g, type_of(t, 4, table), 1), all);
    return b_reshape(g, b_reduce(g, OP_prod, others, 1, (int[]){3}), 3, flat);
}

/* The first axis that is not reduced, which may be the samples, stays an axis of its own. */
void vjp_prod(Vjp *v)
{
    Graph *g = v->g;
    Type x = type_of_arg(v, 0), moved;
    int perm[MAX_RANK], inverse[MAX_RANK];
    int64_t k = reduced_last(x, node_attr(&v->node, "axes"), perm, &moved);
    int64_t lead = 1, rows = type_count(x) / (k ? k : 1);
    if (x.rank && !has_axis(node_attr(&v->node, "axes"), perm[0])) lead = moved.dim[0];
    int64_t flat[] = {lead, rows / (lead ? lead : 1), k};
    for (int i = 0; i < x.rank; i++) inverse[perm[i]] = i;
    Ref in = b_reshape(g, b_transpose(g, arg_of(v, 0), perm), 3, flat);
    Ref others = b_reshape(g, product_of_others(g, in, flat), moved.rank, moved.dim);
    others = b_transpose(g, others, inverse);
    accumulate(v, 0, b_binary(g, OP_mul, spread(v, v->cot), others));
}

void vjp_scan(Vjp *v)
{
    int axis = (int)node_int(&v->node, "axis");
    bool reverse = node_int(&v->node, "reverse"), exclusive = node_int(&v->node, "exclusive");
    accumulate(v, 0, b_scan(v->g, v->cot, axis, !reverse, exclusive));
}

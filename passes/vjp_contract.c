/* SPDX-License-Identifier: Apache-2.0 */
/* Derivatives of contractions and indexed access. Convolution is one trilinear form
 *     T(x, w, y) = <y, conv(x, w)> = <x, conv_dx(y, w)> = <w, conv_dw(x, y)>,
 * so each row's derivatives are the other two, with the same attributes. */
#include "passes/vjp.h"

static Ref swap_last(Graph *g, Ref x)
{
    int perm[MAX_RANK], rank = g->node[x].type.rank;
    for (int i = 0; i < rank; i++) perm[i] = i;
    perm[rank - 1] = rank - 2;
    perm[rank - 2] = rank - 1;
    return b_transpose(g, x, perm);
}

void vjp_matmul(Vjp *v)
{
    Graph *g = v->g;
    Ref a = arg_of(v, 0), b = arg_of(v, 1);
    if (wants(v, 0)) accumulate(v, 0, b_matmul(g, v->cot, swap_last(g, b)));
    if (wants(v, 1)) accumulate(v, 1, b_matmul(g, swap_last(g, a), v->cot));
}

/* ---- the three partials of T; spatial extents come from the type that the result must have
 * ---- */

static Ref partial_x(Vjp *v, Ref y, Ref w, Type x)
{
    ConvAttrs c = conv_attrs(&v->node);
    return b_conv_dx(v->g, y, w, &c, x.dim + 2);
}

static Ref partial_w(Vjp *v, Ref x, Ref y, Type w)
{
    ConvAttrs c = conv_attrs(&v->node);
    return b_conv_dw(v->g, x, y, &c, w.dim + 2);
}

static Ref partial_y(Vjp *v, Ref x, Ref w)
{
    ConvAttrs c = conv_attrs(&v->node);
    return b_conv(v->g, x, w, &c);
}

void vjp_conv(Vjp *v)
{
    Ref x = arg_of(v, 0), w = arg_of(v, 1);
    if (wants(v, 0)) accumulate(v, 0, partial_x(v, v->cot, w, type_of_arg(v, 0)));
    if (wants(v, 1)) accumulate(v, 1, partial_w(v, x, v->cot, type_of_arg(v, 1)));
}

void vjp_conv_dx(Vjp *v)
{
    Ref y = arg_of(v, 0), w = arg_of(v, 1);
    if (wants(v, 0)) accumulate(v, 0, partial_y(v, v->cot, w));
    if (wants(v, 1)) accumulate(v, 1, partial_w(v, v->cot, y, type_of_arg(v, 1)));
}

void vjp_conv_dw(Vjp *v)
{
    Ref x = arg_of(v, 0), y = arg_of(v, 1);
    if (wants(v, 0)) accumulate(v, 0, partial_x(v, y, v->cot, type_of_arg(v, 0)));
    if (wants(v, 1)) accumulate(v, 1, partial_y(v, x, v->cot));
}

/* ---- gather and scatter_add are each other's adjoint ---- */

void vjp_gather(Vjp *v)
{
    int axis = (int)node_int(&v->node, "axis"), batch = (int)node_int(&v->node, "batch");
    int64_t size = type_of_arg(v, 0).dim[axis];
    accumulate(v, 0, b_scatter_add(v->g, v->cot, arg_of(v, 1), axis, batch, size));
}

void vjp_scatter_add(Vjp *v)
{
    int axis = (int)node_int(&v->node, "axis"), batch = (int)node_int(&v->node, "batch");
    accumulate(v, 0, b_gather(v->g, v->cot, arg_of(v, 1), axis, batch));
}

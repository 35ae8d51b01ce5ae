/* SPDX-License-Identifier: Apache-2.0 */
/* Derivatives of views, joins and the environment calls: linear rows, each handed to its
 * adjoint. */
#include "passes/vjp.h"

void vjp_reshape(Vjp *v)
{
    Type x = type_of_arg(v, 0);
    accumulate(v, 0, b_reshape(v->g, v->cot, x.rank, x.dim));
}

void vjp_transpose(Vjp *v)
{
    const Attr *perm = node_attr(&v->node, "perm");
    int inverse[MAX_RANK];
    for (int i = 0; i < perm->n; i++) inverse[perm->i[i]] = i;
    accumulate(v, 0, b_transpose(v->g, v->cot, inverse));
}

void vjp_broadcast(Vjp *v)
{
    Type x = type_of_arg(v, 0), y = v->node.type;
    int axes[MAX_RANK], n = 0;
    for (int i = 0; i < x.rank; i++)
        if (x.dim[i] != y.dim[i]) axes[n++] = i;
    accumulate(v, 0, n ? b_reduce(v->g, OP_sum, v->cot, n, axes) : v->cot);
}

void vjp_slice(Vjp *v)
{
    Type x = type_of_arg(v, 0);
    const int64_t *start = node_attr(&v->node, "starts")->i;
    const int64_t *size = node_attr(&v->node, "sizes")->i;
    const int64_t *step = node_attr(&v->node, "steps")->i;
    int64_t high[MAX_RANK], inner[MAX_RANK];
    for (int i = 0; i < x.rank; i++) {
        inner[i] = size[i] > 1 ? step[i] - 1 : 0; /* between elements, if there is a between */
        high[i] = x.dim[i] - start[i] - (size[i] - 1) * (inner[i] + 1) - 1;
    }
    accumulate(v, 0, b_pad(v->g, v->cot, start, high, inner, 0));
}

void vjp_pad(Vjp *v)
{
    Type x = type_of_arg(v, 0);
    const int64_t *low = node_attr(&v->node, "low")->i;
    const int64_t *inner = node_attr(&v->node, "inner")->i;
    int64_t step[MAX_RANK];
    for (int i = 0; i < x.rank; i++) step[i] = inner[i] + 1;
    accumulate(v, 0, b_slice(v->g, v->cot, low, x.dim, step));
}

void vjp_reverse(Vjp *v)
{
    accumulate(v, 0, graph_node(v->g, OP_reverse, 1, &v->cot, v->node.attr));
}

void vjp_window(Vjp *v)
{
    Type x = type_of_arg(v, 0);
    const Attr *size = node_attr(&v->node, "size");
    const int64_t *strides = node_attr(&v->node, "strides")->i;
    const int64_t *dil = node_attr(&v->node, "dilations")->i;
    int k = size->n;
    accumulate(v, 0, b_fold(v->g, v->cot, k, x.dim + x.rank - k, strides, dil));
}

void vjp_fold(Vjp *v)
{
    Type x = type_of_arg(v, 0);
    const Attr *strides = node_attr(&v->node, "strides");
    const int64_t *dil = node_attr(&v->node, "dilations")->i;
    int k = strides->n;
    accumulate(v, 0, b_window(v->g, v->cot, k, x.dim + x.rank - k, strides->i, dil));
}

void vjp_concat(Vjp *v)
{
    int axis = (int)node_int(&v->node, "axis");
    int64_t start = 0;
    for (int i = 0; i < v->node.nargs; i++) {
        int64_t size = type_of_arg(v, i).dim[axis];
        if (wants(v, i)) accumulate(v, i, b_slice_axis(v->g, v->cot, axis, start, size, 1));
        start += size;
    }
}

void vjp_allreduce(Vjp *v)
{
    accumulate(v, 0, b_unary(v->g, OP_allreduce, v->cot));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Weights that are not constant, transformed as a claim wants them: each kernel's taps become
 * `planes` sums of them, by a matrix of the target. Constant weights are transformed when the model
 * is compiled (Target.pack). */
#include <string.h>

#include "lowering.h"

/* The matrix as a constant [planes, kh, kw] of the weights' dtype. */
static const Const *matrix_of(const Lowering *l, const Group *gr)
{
    const Contract *c = &gr->contract;
    Arena *a = l->module->arena;
    int64_t dim[] = {gr->offer.planes, c->kh, c->kw};
    Type t = type_of(c->dtype, 3, dim);
    double *matrix = NEW_N(a, double, type_count(t));
    void *dense = arena_alloc(a, (size_t)type_bytes(t));
    l->target->transform(l->target, c, &gr->offer, matrix);
    for (int64_t i = 0; i < type_count(t); i++) elem_set(c->dtype, dense, i, matrix[i]);
    Graph *g = graph_new(a, "transform");
    Ref r = graph_const(g, t, dense);
    return g->node[r].value;
}

static KRef axis(Kernel *k, const char *name, AxisKind kind, int64_t extent)
{
    return kx_axis(k, kernel_axis(k, name, kind, extent, false));
}

/* Sum over taps of matrix[plane, ky, kx] * w[o, i, ky, kx]. */
static KRef sum_of_taps(Body *b, const Group *gr, const KRef at[3])
{
    Kernel *k = b->k;
    const Const *matrix = matrix_of(b->l, gr);
    Layout plain = layout_plain(matrix->type);
    DType d = gr->contract.dtype;
    KRef ky = axis(k, "ky", AX_RED, gr->contract.kh), kx = axis(k, "kx", AX_RED, gr->contract.kw);
    KRef mi[] = {at[2], ky, kx}, wi[] = {at[0], at[1], ky, kx}, v[2];
    v[0] = kx_load(k, body_param(b, buffer_const(b->l, matrix, &plain), false), 3, mi, NOK, 0);
    v[1] = kx_load(k, body_param(b, b->l->group[gr->weights].packed_to, false), 4, wi, NOK, 0);
    return kx_reduce(k, OP_sum, d, kx_eval(k, OP_mul, d, 2, v), NOK);
}

void lower_transform(Lowering *l, const Group *gr)
{
    Body b;
    Kernel *k = body_kernel(l, &b, -1, "transform");
    const Contract *c = &gr->contract;
    KRef at[] = {axis(k, "oc", AX_SEQ, c->oc), axis(k, "ic", AX_SEQ, c->ic),
                 axis(k, "p", AX_SEQ, gr->offer.planes)};
    KStore *s = &k->store[k->nstore++];
    *s = (KStore){.rank = 3, .value = sum_of_taps(&b, gr, at)};
    s->param = body_param(&b, gr->packed_to, true);
    memcpy(s->index, at, sizeof at);
    k = lower_schedule_pack(l->module->arena, l->target, k, &gr->packed);
    lower_call(l, k, &b, gr->root, NULL);
}

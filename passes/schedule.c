/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules by rule. A claim says which axis of its result are the lanes. Otherwise: if any
 * parameter is blocked by channels, the channel axis is split by that block and its inner part
 * becomes the lanes, so that loads and stores of blocked values are whole vectors; else the last
 * axis is split by the widest vector that divides it. Targets without vectors (a GPU's threads)
 * keep scalar code.
 *
 * A product of samples with weights that do not stay in the L1 cache (a last layer: 8 MB) reads
 * them once for all samples: tiles of some vectors of results outside, samples inside. */
#include "lowering.h"

static Kernel *split_lanes(Arena *a, Kernel *k, int axis, int64_t lanes)
{
    Kernel *s = kernel_split(a, k, axis, lanes);
    int inner = 0;
    while (inner < s->naxis && s->axis[inner].kind != AX_RED) inner++;
    s->axis[inner - 1].kind = AX_VEC;
    return s;
}

static int loops(const Kernel *k)
{
    int n = 0;
    while (n < k->naxis && k->axis[n].kind != AX_RED) n++;
    return n;
}

/* The block of a blocked layout: its innermost digit is part of axis 1. */
static int64_t block_of(const Layout *lay)
{
    if (lay->ndigit < 2) return 0;
    const Digit *last = &lay->digit[lay->ndigit - 1];
    for (int i = 0; i + 1 < lay->ndigit; i++)
        if (lay->digit[i].dim == last->dim && last->dim == 1) return last->extent;
    return 0;
}

/* Does it only move numbers of bf16? */
static bool moves_bf16(const Kernel *k)
{
    for (int p = 0; p < k->nparam; p++)
        if (k->param[p].dtype != DT_BF16) return false;
    for (KRef r = 0; r < k->nexpr; r++)
        if (k->expr[r].dtype == DT_F32) return false;
    return true;
}

/* Of blocks of several vectors, one. */
static int64_t blocked_lanes(const Target *t, const Kernel *k)
{
    int64_t lanes = t->vec_bytes / (moves_bf16(k) ? 2 : 4);
    for (int p = 0; p < k->nparam; p++) {
        const KParam *v = &k->param[p];
        int64_t b = v->layout.rank >= 4 ? block_of(&v->layout) : 0;
        if (b > lanes && b % lanes == 0) b = lanes;
        if (b > 1 && loops(k) >= 4 && k->axis[1].extent % b == 0) return b;
    }
    return 0;
}

static int64_t plain_lanes(const Target *t, const Kernel *k)
{
    int n = loops(k);
    if (!n || k->axis[n - 1].sample || (n == 1 && k->naxis > 1)) return 0;
    for (int64_t v = target_lanes(t, DT_F32); v >= 4; v /= 2)
        if (k->axis[n - 1].extent % v == 0) return v;
    return 0;
}

/* Do all loads stand still along the axis or go on by one, and all stores go on by one? */
static bool goes_along(Arena *a, const Kernel *old, int axis)
{
    int same[MAX_AXES];
    int64_t step;
    for (int i = 0; i < old->naxis; i++) same[i] = i;
    Kernel *k = kernel_reorder(a, old, same); /* addresses add expressions */
    for (KRef r = 0, n = k->nexpr; r < n; r++) {
        KExpr e = k->expr[r];
        if (e.kop != K_LOAD) continue;
        bool steps = kx_step(k, kx_element(k, e.param, e.arg), axis, &step);
        if (e.guard != NOK || !steps || step < 0 || step > 1) return false;
    }
    for (int i = 0; i < k->nstore; i++) {
        KRef at = kx_element(k, k->store[i].param, k->store[i].index);
        if (!kx_step(k, at, axis, &step) || step != 1) return false;
    }
    return true;
}

/* Over one axis: a vector whose loads divide its index, or ask where they are, keeps scalar code.
 * Its lanes would go one by one. */
static Kernel *split_vector(Arena *a, Kernel *k, int64_t lanes)
{
    Kernel *s = split_lanes(a, k, 0, lanes);
    return goes_along(a, s, 1) ? s : k;
}

/* ---- products ---- */

/* Vectors of a tile: as many sums in flight as hide the latency, or, where registers allow, long
 * stretches of each row of weights, which come from memory. */
static int64_t most_vectors(const Target *t)
{
    return t->vec_regs >= 32 ? 26 : 8;
}

/* The one reduction of a kernel, over one axis; NOK: there are others or none. */
static KRef lone_sum(const Kernel *k)
{
    KRef sum = NOK;
    for (KRef r = 0; r < k->nexpr; r++) {
        if (k->expr[r].kop != K_REDUCE) continue;
        if (sum != NOK) return NOK;
        sum = r;
    }
    return sum != NOK && k->naxis - loops(k) == 1 ? sum : NOK;
}

static const KExpr *loaded(const Kernel *k, KRef sum, int operand)
{
    const KExpr *product = &k->expr[k->expr[sum].arg[0]];
    if (product->kop != K_EVAL || product->op != OP_mul) return NULL;
    const KExpr *e = &k->expr[product->arg[operand]];
    if (e->kop == K_EVAL && e->op == OP_cast) e = &k->expr[e->arg[0]]; /* of bf16 */
    return e->kop == K_LOAD && e->guard == NOK ? e : NULL;
}

/* Samples by weights: [n, c] summed over one axis. */
static bool streams_weights(const Target *t, const Kernel *k)
{
    KRef sum = lone_sum(k);
    if (sum == NOK || loops(k) != 3 || !k->axis[0].sample) return false;
    const KExpr *x = loaded(k, sum, 0), *w = loaded(k, sum, 1);
    if (!x || !w || !k->param[x->param].sample || k->param[w->param].sample) return false;
    return layout_bytes(&k->param[w->param].layout, k->param[w->param].dtype) > t->l1;
}

/* [n, c, lanes | sum] to [c, n, c in the tile, lanes | sum] */
static Kernel *share_weights(Arena *a, const Target *t, Kernel *k)
{
    int64_t tile = most_vectors(t);
    while (k->axis[1].extent % tile) tile--;
    Kernel *s = kernel_split(a, k, 1, tile);
    s->axis[2].kind = AX_UNROLL;
    return kernel_reorder(a, s, (int[]){1, 0, 2, 3, 4});
}

Kernel *lower_schedule_pack(Arena *a, const Target *t, Kernel *k, const Layout *to)
{
    const Digit *last = &to->digit[to->ndigit - 1];
    if (!t->vec_bytes || last->extent < 2 || k->axis[last->dim].extent % last->extent) return k;
    return split_lanes(a, k, last->dim, last->extent);
}

Kernel *lower_schedule(Arena *a, const Target *t, Kernel *k)
{
    if (k->offer.claim >= 0)
        return k->offer.lanes > 1 ? split_lanes(a, k, k->offer.vec_dim, k->offer.lanes) : k;
    if (!t->vec_bytes) return k;
    int64_t v = blocked_lanes(t, k);
    if (v) return split_lanes(a, k, 1, v);
    v = plain_lanes(t, k);
    if (!v) return k;
    if (loops(k) == 1) return split_vector(a, k, v);
    k = split_lanes(a, k, loops(k) - 1, v);
    return streams_weights(t, k) ? share_weights(a, t, k) : k;
}

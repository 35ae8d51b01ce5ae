/* SPDX-License-Identifier: Apache-2.0 */
/* Scheduling: a new kernel in which every axis of the old one is some expression of the new
 * axes. All that the stores and the contraction need is built again through the builders, so it
 * is simplified for its new axes and nothing unused is carried along. */
#include "kernel_impl.h"

#include <stdio.h>

bool *kernel_live(Arena *a, const Kernel *k)
{
    bool *live = NEW_N(a, bool, k->nexpr);
    for (int i = 0; i < k->nstore; i++) {
        live[k->store[i].value] = true;
        for (int d = 0; d < k->store[i].rank; d++) live[k->store[i].index[d]] = true;
    }
    if (k->heavy != NOK) live[k->heavy] = true;
    for (uint32_t r = k->nexpr; r-- > 0;) {
        const KExpr *e = &k->expr[r];
        if (!live[r]) continue;
        for (int i = 0; i < e->nargs; i++) live[e->arg[i]] = true;
        if (e->guard != NOK) live[e->guard] = true;
    }
    return live;
}

/* ---- copying through a map ---- */

typedef struct Copy {
    Kernel *to;
    const Kernel *from;
    KRef axis[MAX_AXES]; /* an old axis in terms of the new ones */
    KRef *map;
} Copy;

static KRef mapped(const Copy *c, KRef r)
{
    return r == NOK ? NOK : c->map[r];
}

static KRef copy_expr(const Copy *c, const KExpr *e)
{
    KRef arg[MAX_KARGS];
    for (int i = 0; i < e->nargs; i++) arg[i] = c->map[e->arg[i]];
    switch (e->kop) {
    case K_AXIS: return c->axis[e->imm.i];
    case K_CONST: return kx_intern(c->to, e);
    case K_DIV: return kx_div(c->to, arg[0], e->imm.i);
    case K_MOD: return kx_mod(c->to, arg[0], e->imm.i);
    case K_LOAD: return kx_load(c->to, e->param, e->nargs, arg, mapped(c, e->guard), e->fill);
    case K_EVAL: return kx_eval(c->to, e->op, e->dtype, e->nargs, arg);
    case K_REDUCE: return kx_reduce(c->to, e->op, e->dtype, arg[0], e->nargs > 1 ? arg[1] : NOK);
    case K_RNG: break;
    }
    return kx_rng(c->to, e->dtype, arg[0], arg[1], arg[2], arg[3], (int)e->imm.i);
}

static void copy_store(const Copy *c, KStore s)
{
    for (int i = 0; i < s.rank; i++) s.index[i] = c->map[s.index[i]];
    s.value = c->map[s.value];
    c->to->store[c->to->nstore++] = s;
}

/* All but the axes: the new kernel has its axes already, and c->axis names them. */
static void copy_body(Copy *c)
{
    const Kernel *from = c->from;
    c->map = NEW_N(c->to->arena, KRef, from->nexpr);
    const bool *live = kernel_live(c->to->arena, from);
    for (int i = 0; i < from->nparam; i++) kernel_param(c->to, from->param[i]);
    for (KRef r = 0; r < from->nexpr; r++)
        if (live[r]) c->map[r] = copy_expr(c, &from->expr[r]);
    for (int i = 0; i < from->nstore; i++) copy_store(c, from->store[i]);
    c->to->heavy = mapped(c, from->heavy);
}

static Kernel *copy_head(Arena *a, const Kernel *k)
{
    Kernel *n = kernel_new(a);
    n->name = k->name;
    n->contract = k->contract;
    n->data_param = k->data_param;
    n->weight_param = k->weight_param;
    n->scratch_param = k->scratch_param;
    n->packed_param = k->packed_param;
    n->offer = k->offer;
    return n;
}

static int copy_axis(Kernel *to, const Axis *a)
{
    return kernel_axis(to, a->name, a->kind, a->extent, a->sample);
}

/* ---- edits ---- */

Kernel *kernel_reorder(Arena *a, const Kernel *k, const int *order)
{
    Copy c = {.to = copy_head(a, k), .from = k};
    uint32_t seen = 0;
    for (int i = 0; i < k->naxis; i++) {
        check(order[i] >= 0 && order[i] < k->naxis);
        seen |= 1u << order[i];
        copy_axis(c.to, &k->axis[order[i]]);
    }
    check(seen == (1u << k->naxis) - 1);
    for (int i = 0; i < k->naxis; i++) c.axis[order[i]] = kx_axis(c.to, i);
    copy_body(&c);
    return c.to;
}

/* The old axis behind which the inner one goes. Lanes are not a loop: it goes before them. */
static int inner_after(const Kernel *k, int a)
{
    int last = a;
    if (k->axis[a].kind == AX_RED || k->axis[a].kind == AX_VEC) return a;
    for (int i = a; i < k->naxis; i++)
        if (k->axis[i].kind != AX_RED && k->axis[i].kind != AX_VEC) last = i;
    return last;
}

static int add_half(Kernel *to, const Axis *a, int half, int64_t extent)
{
    char name[16];
    snprintf(name, sizeof name, "%.6s%d", a->name, half);
    /* Only one axis can be lanes: of a split one, that is the inner half. */
    AxisKind kind = a->kind == AX_VEC && !half ? AX_SEQ : a->kind;
    return kernel_axis(to, name, kind, extent, false);
}

Kernel *kernel_split(Arena *arena, const Kernel *k, int a, int64_t factor)
{
    Copy c = {.to = copy_head(arena, k), .from = k};
    check(a >= 0 && a < k->naxis);
    const Axis *axis = &k->axis[a];
    check(factor > 0 && axis->extent % factor == 0 && !axis->sample);
    int after = inner_after(k, a), outer = -1, inner = -1, at[MAX_AXES];
    for (int i = 0; i < k->naxis; i++) {
        if (i == a)
            outer = add_half(c.to, axis, 0, axis->extent / factor);
        else
            at[i] = copy_axis(c.to, &k->axis[i]);
        if (i == after) inner = add_half(c.to, axis, 1, factor);
    }
    for (int i = 0; i < k->naxis; i++) c.axis[i] = i == a ? NOK : kx_axis(c.to, at[i]);
    c.axis[a] = kx_mulc(c.to, kx_axis(c.to, outer), factor);
    c.axis[a] = kx_add(c.to, c.axis[a], kx_axis(c.to, inner));
    copy_body(&c);
    return c.to;
}

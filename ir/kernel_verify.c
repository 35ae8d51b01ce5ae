/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of a scheduled kernel: axes in order (loops, then lanes, then reductions); arguments
 * before users; dtypes that agree; what is stored depends on reduction axes only through
 * reductions; memory touched without a guard stays inside the parameter, halo included, wherever
 * the range of an index is known (a guarded load is trusted: its guard is not solved for). A
 * breach is our bug: die().
 *
 * A reduction need not depend on every reduction axis: the sum of a broadcast value does not. */
#include "kernel_impl.h"

typedef struct Verify {
    const Kernel *k;
    uint32_t red;
} Verify;

static _Noreturn void breach(const Verify *v, const char *rule, long long at)
{
    Str s = {0};
    kernel_print(&s, v->k);
    die("kernel %s breaks a rule: %s (%lld)\n%s", v->k->name, rule, at, s.s ? s.s : "");
}

static void rule(const Verify *v, bool ok, const char *what, long long at)
{
    if (!ok) breach(v, what, at);
}

/* ---- axes and parameters ---- */

static int axis_phase(AxisKind kind)
{
    return kind == AX_RED ? 2 : kind == AX_VEC ? 1 : 0;
}

static void verify_axes(Verify *v)
{
    int phase = 0, lanes = 0, samples = 0;
    for (int i = 0; i < v->k->naxis; i++) {
        const Axis *a = &v->k->axis[i];
        rule(v, axis_phase(a->kind) >= phase, "axes are loops, lanes, reductions in order", i);
        rule(v, a->extent >= 1, "an axis has an extent", i);
        phase = axis_phase(a->kind);
        lanes += a->kind == AX_VEC;
        samples += a->sample;
        if (a->kind == AX_RED) v->red |= 1u << i;
    }
    rule(v, lanes <= 1, "one axis is lanes", lanes);
    rule(v, samples <= 1, "one axis runs over samples", samples);
}

static void verify_param(const Verify *v, int i)
{
    const KParam *p = &v->k->param[i];
    const Layout *l = &p->layout;
    rule(v, l->rank >= 0 && l->rank <= MAX_RANK && l->ndigit <= MAX_DIGITS, "a layout's rank", i);
    for (int d = 0; d < l->ndigit; d++) {
        const Digit *g = &l->digit[d];
        rule(v, g->dim >= 0 && g->dim < l->rank && g->div >= 1, "a digit is of a dimension", i);
        rule(v, g->low >= 0 && g->extent > g->low, "a digit holds more than its halo", i);
        int64_t coarser = layout_coarser(l, d);
        rule(v, coarser % g->div == 0, "a digit's div divides the next coarser", i);
        rule(v, !coarser || g->extent - g->low >= coarser / g->div, "a digit has room", i);
    }
    rule(v, !l->bits || p->dtype == DT_BOOL, "bits are bool", i);
    rule(v, !l->bits || (l->ndigit && l->digit[l->ndigit - 1].extent % 8 == 0), "whole bytes", i);
    bool by_sample = l->ndigit && l->digit[0].dim == 0 && l->digit[0].div == 1 && !l->digit[0].low;
    rule(v, !p->sample || by_sample, "digit 0 is the sample axis", i);
}

/* ---- memory ---- */

static Range digit_range(const Digit *g)
{ /* of the coarsest digit: logical indices it can hold */
    return (Range){-g->low * g->div, (g->extent - g->low) * g->div - 1};
}

static bool index_fits(const Verify *v, const Layout *l, int dim, KRef index)
{
    Range r = range_of(v->k, index);
    for (int d = 0; d < l->ndigit; d++) {
        Range room = digit_range(&l->digit[d]);
        if (l->digit[d].dim != dim || layout_coarser(l, d)) continue;
        if ((r.lo != INT64_MIN && r.lo < room.lo) || (r.hi != INT64_MAX && r.hi > room.hi))
            return false;
    }
    return true;
}

static void verify_cell(const Verify *v, int param, int rank, const KRef *index, bool guarded,
                        long long at)
{
    rule(v, param >= 0 && param < v->k->nparam, "memory is a parameter", at);
    const Layout *l = &v->k->param[param].layout;
    rule(v, rank == l->rank, "an index a dimension", at);
    for (int i = 0; i < rank; i++) {
        rule(v, v->k->expr[index[i]].dtype == DT_I64, "indices are i64", at);
        rule(v, guarded || index_fits(v, l, i, index[i]), "an index stays inside", at);
    }
}

/* ---- expressions ---- */

static DType dtype_at(const Verify *v, KRef r)
{
    return v->k->expr[r].dtype;
}

static bool takes_bools(Op op)
{
    return op == OP_and || op == OP_or || op == OP_not;
}

static bool eval_agrees(const Verify *v, const KExpr *e)
{
    DType last = dtype_at(v, e->arg[e->nargs - 1]);
    bool compares = e->op == OP_lt || e->op == OP_le || e->op == OP_eq;
    for (int i = e->op == OP_select; i < e->nargs; i++)
        if (dtype_at(v, e->arg[i]) != last) return false;
    if (e->op == OP_select && dtype_at(v, e->arg[0]) != DT_BOOL) return false;
    if (takes_bools(e->op) && last != DT_BOOL) return false;
    return e->op == OP_cast || e->dtype == (compares ? DT_BOOL : last);
}

static bool reduce_agrees(const Verify *v, const KExpr *e)
{
    if (e->op == OP_argmax)
        return e->nargs == 2 && e->dtype == DT_I64 && dtype_at(v, e->arg[1]) == DT_I64;
    return e->nargs == 1 && e->dtype == dtype_at(v, e->arg[0]);
}

static bool draws_integers(const Verify *v, const KExpr *e)
{
    for (int i = 0; i < e->nargs; i++)
        if (dtype_is_float(dtype_at(v, e->arg[i]))) return false;
    return e->nargs == 4 && dtype_is_float(e->dtype);
}

static bool dtypes_agree(const Verify *v, const KExpr *e)
{
    switch (e->kop) {
    case K_AXIS: return e->dtype == DT_I64 && e->imm.i >= 0 && e->imm.i < v->k->naxis;
    case K_CONST: return true;
    case K_DIV:
    case K_MOD: return e->dtype == DT_I64 && dtype_at(v, e->arg[0]) == DT_I64 && e->imm.i > 0;
    case K_LOAD:
        return e->dtype == v->k->param[e->param].dtype &&
               (e->guard == NOK || dtype_at(v, e->guard) == DT_BOOL);
    case K_EVAL: return op_info[e->op].nargs == e->nargs && eval_agrees(v, e);
    case K_REDUCE: return reduce_agrees(v, e);
    case K_RNG: return draws_integers(v, e);
    }
    return false;
}

static uint32_t axes_of(const Verify *v, const KExpr *e)
{
    uint32_t set = e->kop == K_AXIS ? 1u << e->imm.i : 0;
    for (int i = 0; i < e->nargs; i++) set |= v->k->expr[e->arg[i]].axes;
    if (e->guard != NOK) set |= v->k->expr[e->guard].axes;
    return e->kop == K_REDUCE ? set & ~v->red : set;
}

/* Whether a reduction is needed before e can be computed. */
static bool reads_reduce(const bool *after, const KExpr *e)
{
    bool is = e->kop == K_REDUCE || (e->guard != NOK && after[e->guard]);
    for (int i = 0; i < e->nargs; i++) is |= after[e->arg[i]];
    return is;
}

static void verify_expr(const Verify *v, KRef r, bool *after)
{
    const KExpr *e = &v->k->expr[r];
    for (int i = 0; i < e->nargs; i++) rule(v, e->arg[i] < r, "arguments come first", r);
    rule(v, e->guard == NOK || e->guard < r, "guards come first", r);
    if (e->kop == K_LOAD) {
        verify_cell(v, e->param, e->nargs, e->arg, e->guard != NOK, r);
        rule(v, v->k->param[e->param].in, "what is loaded is marked so", r);
    }
    rule(v, dtypes_agree(v, e), "dtypes agree", r);
    rule(v, e->axes == axes_of(v, e), "an expression knows its axes", r);
    after[r] = reads_reduce(after, e);
    if (e->kop != K_REDUCE) return;
    rule(v, v->red != 0, "a reduction has axes", r);
    for (int i = 0; i < e->nargs; i++) rule(v, !after[e->arg[i]], "reductions are siblings", r);
}

static void verify_store(const Verify *v, int i)
{
    const KStore *s = &v->k->store[i];
    verify_cell(v, s->param, s->rank, s->index, false, i);
    const KParam *p = &v->k->param[s->param];
    rule(v, p->out, "what is stored to is marked so", i);
    rule(v, dtype_at(v, s->value) == p->dtype, "a store's dtype", i);
    rule(v, !(v->k->expr[s->value].axes & v->red), "stores are outside reductions", i);
    for (int d = 0; d < s->rank; d++)
        rule(v, !(v->k->expr[s->index[d]].axes & v->red), "stores are outside reductions", i);
}

void kernel_verify(const Kernel *k)
{
    Verify v = {.k = k};
    verify_axes(&v);
    for (int i = 0; i < k->nparam; i++) verify_param(&v, i);
    Arena *a = scratch_begin();
    const bool *live = kernel_live(a, k);
    bool *after = NEW_N(a, bool, k->nexpr);
    for (KRef r = 0; r < k->nexpr; r++)
        if (live[r]) verify_expr(&v, r, after);
    for (int i = 0; i < k->nstore; i++) verify_store(&v, i);
    rule(&v, k->heavy == NOK || k->expr[k->heavy].kop == K_REDUCE, "the contraction reduces", 0);
    scratch_end(a);
}

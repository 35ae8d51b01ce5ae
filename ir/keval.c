/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter of scheduled kernels: the loops of kernel.h taken literally, lanes as one more
 * loop. An expression is evaluated when the innermost axis that it depends on moves, in the
 * order of the array, as compiled code does: what depends on outer axes only is computed outside
 * inner loops, and what depends on a reduction is computed after the reduction loops.
 *
 * Floats are rounded to their dtype after every operation. A reduction accumulates in its own
 * dtype, in the order of the axes; a float sum whose value is a product of the same dtype is a
 * chain of fused multiply-adds, acc = fma(a, b, acc), which is what compiled code does. A target
 * without fused multiply-add rounds the product first, so there the last bits may differ. */
#include "kernel_impl.h"

#include "eval.h"

#include <math.h>
#include <string.h>

/* ---- the plan of a run ---- */

enum { MAX_REDUCES = 32 }; /* sibling reductions of one kernel */

typedef struct Place { /* a digit, ready for use */
    int dim;
    int64_t div, mod, low, stride; /* mod 0: not reduced */
} Place;

typedef struct Slot { /* a parameter's memory */
    char *base;
    int64_t stride; /* io: bytes a sample */
    bool by_table;
    int ndigit;
    Place digit[MAX_DIGITS];
} Slot;

typedef struct List {
    KRef *ref;
    int n;
} List;

typedef struct Run {
    const Kernel *k;
    const int64_t *table;
    int64_t lo, hi;
    int order[MAX_AXES]; /* loops from the outside in: reductions last */
    int nloop;           /* of them, those that are not reductions */
    int64_t at[MAX_AXES];
    Scalar *value;           /* by KRef; of a K_REDUCE: its accumulator */
    List when[MAX_AXES + 1]; /* what to compute when loop i - 1 moves; 0: once */
    List reduce, after;
    Slot slot[MAX_PARAMS];
} Run;

static int loop_of(const Run *r, uint32_t axes)
{
    for (int i = r->k->naxis; i-- > 0;)
        if (axes >> r->order[i] & 1) return i;
    return -1;
}

static void plan_loops(Run *r)
{
    int n = 0;
    for (int red = 0; red < 2; red++) {
        for (int i = 0; i < r->k->naxis; i++)
            if ((r->k->axis[i].kind == AX_RED) == red) r->order[n++] = i;
        if (!red) r->nloop = n;
    }
}

static void push(Arena *a, List *l, uint32_t most, KRef ref)
{
    if (!l->ref) l->ref = NEW_N(a, KRef, most);
    l->ref[l->n++] = ref;
}

/* Puts each live expression where it is computed: with its loop, in a reduction, or after them
 * all. */
static void plan_exprs(Run *r, Arena *a)
{
    const Kernel *k = r->k;
    const bool *live = kernel_live(a, k);
    bool *after = NEW_N(a, bool, k->nexpr);
    for (KRef e = 0; e < k->nexpr; e++) {
        const KExpr *x = &k->expr[e];
        if (!live[e]) continue;
        after[e] = x->kop == K_REDUCE || (x->guard != NOK && after[x->guard]);
        for (int i = 0; i < x->nargs; i++) after[e] |= after[x->arg[i]];
        if (x->kop == K_REDUCE)
            push(a, &r->reduce, k->nexpr, e);
        else
            push(a, after[e] ? &r->after : &r->when[loop_of(r, x->axes) + 1], k->nexpr, e);
    }
}

static void plan_param(Run *r, int i, KMem mem)
{
    const KParam *p = &r->k->param[i];
    Slot *s = &r->slot[i];
    *s = (Slot){.base = mem.base,
                .stride = mem.stride,
                .by_table = p->io && p->sample,
                .ndigit = p->layout.ndigit};
    check(!s->by_table || (s->ndigit && p->layout.digit[0].dim == 0 && !p->layout.digit[0].low));
    for (int d = 0; d < s->ndigit; d++) {
        const Digit *g = &p->layout.digit[d];
        s->digit[d] = (Place){g->dim, g->div, layout_coarser(&p->layout, d) / g->div, g->low,
                              layout_stride(&p->layout, d)};
    }
}

/* ---- memory ---- */

static int64_t digit_value(const Place *p, const int64_t *index)
{
    int64_t v = floor_div(index[p->dim], p->div);
    return (p->mod ? floor_mod(v, p->mod) : v) + p->low;
}

/* The cell of a logical index: the number of an element counted from *base. */
static int64_t cell(const Run *r, int param, const int64_t *index, char **base)
{
    const Slot *s = &r->slot[param];
    int64_t at = 0;
    int first = s->by_table;
    *base = s->base;
    if (first) *base += (r->table ? r->table[index[0]] : index[0]) * s->stride;
    for (int d = first; d < s->ndigit; d++)
        at += digit_value(&s->digit[d], index) * s->digit[d].stride;
    return at;
}

static void indices(const Run *r, const KRef *ref, int n, int64_t *index)
{
    for (int i = 0; i < n; i++) index[i] = r->value[ref[i]].i;
}

static Scalar load(const Run *r, const KExpr *e)
{
    const KParam *p = &r->k->param[e->param];
    if (e->guard != NOK && !r->value[e->guard].i)
        return scalar_cast(DT_F64, e->dtype, (Scalar){.f = e->fill});
    int64_t index[MAX_KARGS];
    char *base;
    indices(r, e->arg, e->nargs, index);
    int64_t at = cell(r, e->param, index, &base);
    if (p->layout.bits) return (Scalar){.i = base[at / 8] >> (at % 8) & 1};
    Scalar v;
    scalars_load(p->dtype, base, at, 1, &v);
    return v;
}

static void store(const Run *r, const KStore *s)
{
    const KParam *p = &r->k->param[s->param];
    int64_t index[MAX_RANK];
    char *base;
    indices(r, s->index, s->rank, index);
    int64_t at = cell(r, s->param, index, &base);
    Scalar v = r->value[s->value];
    if (p->layout.bits)
        base[at / 8] = (char)((base[at / 8] & ~(1 << (at % 8))) | (v.i != 0) << (at % 8));
    else
        scalars_store(p->dtype, base, at, 1, &v);
}

/* ---- expressions ---- */

static Scalar uniform(const Run *r, const KExpr *e)
{
    const Scalar *v = r->value;
    double u =
        philox_uniform((uint64_t)v[e->arg[0]].i, (uint64_t)v[e->arg[1]].i, (uint32_t)e->imm.i,
                       (uint32_t)v[e->arg[2]].i, (uint64_t)v[e->arg[3]].i);
    return scalar_cast(DT_F64, e->dtype, (Scalar){.f = u});
}

static Scalar elementwise(const Run *r, const KExpr *e)
{
    Scalar v[MAX_KARGS];
    for (int i = 0; i < e->nargs; i++) v[i] = r->value[e->arg[i]];
    return scalar_op(e->op, r->k->expr[e->arg[e->nargs - 1]].dtype, e->dtype, v);
}

static Scalar constant(const KExpr *e)
{
    return dtype_is_float(e->dtype) ? (Scalar){.f = e->imm.f} : (Scalar){.i = e->imm.i};
}

static Scalar compute(const Run *r, const KExpr *e)
{
    switch (e->kop) {
    case K_AXIS: return (Scalar){.i = r->at[e->imm.i]};
    case K_CONST: return constant(e);
    case K_DIV: return (Scalar){.i = floor_div(r->value[e->arg[0]].i, e->imm.i)};
    case K_MOD: return (Scalar){.i = floor_mod(r->value[e->arg[0]].i, e->imm.i)};
    case K_LOAD: return load(r, e);
    case K_EVAL: return elementwise(r, e);
    case K_RNG: return uniform(r, e);
    case K_REDUCE: break;
    }
    die("an accumulator has no value of its own");
}

static void compute_list(const Run *r, const List *l)
{
    for (int i = 0; i < l->n; i++) r->value[l->ref[i]] = compute(r, &r->k->expr[l->ref[i]]);
}

/* ---- reductions ---- */

/* Halves are computed with as f32, and rounded from there. */
static Scalar fused(DType d, Scalar a, Scalar b, Scalar acc)
{
    if (d == DT_F64) return (Scalar){.f = fma(a.f, b.f, acc.f)};
    return (Scalar){.f = round_to(d, fmaf((float)a.f, (float)b.f, (float)acc.f))};
}

static bool larger(DType d, Scalar a, Scalar b)
{ /* NaN is the largest, as in eval.h */
    if (!dtype_is_float(d)) return a.i > b.i;
    return isnan(b.f) ? false : isnan(a.f) || a.f > b.f;
}

static void fold_argmax(const Run *r, const KExpr *e, Scalar *best, Scalar *acc)
{
    Scalar v = r->value[e->arg[0]];
    if (!larger(r->k->expr[e->arg[0]].dtype, v, *best)) return;
    *best = v;
    *acc = r->value[e->arg[1]];
}

/* At a tie of max or min the accumulator stays, which shows in the sign of zero only. */
static Scalar fold_extreme(const KExpr *e, Scalar v, Scalar acc)
{
    bool isf = dtype_is_float(e->dtype);
    if (isf && isnan(v.f)) return v;
    bool above = isf ? v.f > acc.f : v.i > acc.i, below = isf ? v.f < acc.f : v.i < acc.i;
    return (e->op == OP_max ? above : below) ? v : acc;
}

static Scalar fold_value(const Run *r, const KExpr *e, Scalar acc)
{
    const KExpr *x = &r->k->expr[e->arg[0]];
    Scalar v = r->value[e->arg[0]];
    if (e->op == OP_max || e->op == OP_min) return fold_extreme(e, v, acc);
    if (e->op == OP_sum && x->kop == K_EVAL && x->op == OP_mul && dtype_is_float(e->dtype))
        return fused(e->dtype, r->value[x->arg[0]], r->value[x->arg[1]], acc);
    return scalar_op(e->op == OP_sum ? OP_add : OP_mul, e->dtype, e->dtype, (Scalar[]){acc, v});
}

static void fold_all(const Run *r, Scalar *best)
{
    for (int i = 0; i < r->reduce.n; i++) {
        const KExpr *e = &r->k->expr[r->reduce.ref[i]];
        Scalar *acc = &r->value[r->reduce.ref[i]];
        if (e->op == OP_argmax)
            fold_argmax(r, e, &best[i], acc);
        else
            *acc = fold_value(r, e, *acc);
    }
}

static void start_all(const Run *r, Scalar *best)
{
    for (int i = 0; i < r->reduce.n; i++) {
        const KExpr *e = &r->k->expr[r->reduce.ref[i]];
        bool arg = e->op == OP_argmax;
        DType d = arg ? r->k->expr[e->arg[0]].dtype : e->dtype;
        Scalar v = scalar_cast(DT_F64, d, (Scalar){.f = reduce_init(e->op, d)});
        best[i] = v;
        r->value[r->reduce.ref[i]] = arg ? (Scalar){.i = 0} : v;
    }
}

/* ---- loops ---- */

static void body(Run *r);

static void loops(Run *r, int depth, Scalar *best)
{
    if (depth == r->nloop && !best) {
        body(r);
        return;
    }
    if (depth == r->k->naxis) {
        fold_all(r, best);
        return;
    }
    int a = r->order[depth];
    const Axis *x = &r->k->axis[a];
    int64_t from = x->sample ? r->lo : 0, to = x->sample ? r->hi : x->extent;
    for (int64_t i = from; i < to; i++) {
        r->at[a] = i;
        compute_list(r, &r->when[depth + 1]);
        loops(r, depth + 1, best);
    }
}

static void body(Run *r)
{
    Scalar best[MAX_REDUCES]; /* of an argmax, whose own value is the index */
    start_all(r, best);
    if (r->reduce.n) loops(r, r->nloop, best);
    compute_list(r, &r->after);
    for (int i = 0; i < r->k->nstore; i++) store(r, &r->k->store[i]);
}

void kernel_eval(const Kernel *k, const KMem *mem, const int64_t *table, int64_t lo, int64_t hi)
{
    Arena *a = scratch_begin();
    Run *r = NEW(a, Run);
    *r = (Run){.k = k, .table = table, .lo = lo, .hi = hi, .value = NEW_N(a, Scalar, k->nexpr)};
    plan_loops(r);
    plan_exprs(r, a);
    for (int i = 0; i < k->nparam; i++) plan_param(r, i, mem[i]);
    check(r->reduce.n <= MAX_REDUCES);
    compute_list(r, &r->when[0]);
    loops(r, 0, NULL);
    scratch_end(a);
}

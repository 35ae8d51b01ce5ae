/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a kernel. Only what stores and the contraction need is printed, numbered in the
 * order of printing, so the text does not depend on what else was built along the way; it holds
 * all that code generation reads, so kernels of equal text (under equal names) are equal. Index
 * arithmetic is written in place, everything else has a line:
 *
 *   kernel k0_conv
 *     axes n:seq 8 sample, c:seq 4, h:par 32 | ic:red 64
 *     p0 f32 {0 1/16 2+1:34 3+1:34 1%16} 8x4x34x34x16 in sample
 *     %0 = le 1, h : bool
 *     %1 = load p0[n, ic, h - 1, w] if %0 else 0 : f32
 *     store p2[n, c, h, w] = %7
 */
#include "kernel_impl.h"

enum { INLINE_MAX = 24 }; /* nodes; a larger index gets a line, so that text stays linear */

typedef struct Printer {
    Str *s;
    const Kernel *k;
    const bool *live;
    int *number; /* by KRef: line + 1 */
    int lines;
} Printer;

static const char *const kind_names[] = {"seq", "par", "vec", "unroll", "red", "grid", "block"};

/* ---- axes and parameters ---- */

static void print_axes(Str *s, const Kernel *k)
{
    str_put(s, "  axes");
    for (int i = 0; i < k->naxis; i++) {
        const Axis *a = &k->axis[i];
        bool first_red = a->kind == AX_RED && i && k->axis[i - 1].kind != AX_RED;
        str_put(s, !i ? " " : first_red ? " | " : ", ");
        str_fmt(s, "%s:%s %lld", a->name, kind_names[a->kind], (long long)a->extent);
        if (a->sample) str_put(s, " sample");
    }
    str_put(s, "\n");
}

static void print_extents(Str *s, const Layout *l)
{
    for (int i = 0; i < l->ndigit; i++)
        str_fmt(s, "%s%lld", i ? "x" : " ", (long long)l->digit[i].extent);
}

static void print_param(Str *s, int i, const KParam *p)
{
    str_fmt(s, "  p%d %s ", i, dtype_name(p->dtype));
    layout_text(s, &p->layout);
    print_extents(s, &p->layout);
    str_fmt(s, "%s%s%s%s\n", p->in ? " in" : "", p->out ? " out" : "", p->io ? " io" : "",
            p->sample ? " sample" : "");
}

/* ---- the contraction and its claim ---- */

static void print_contract(Printer *p)
{
    const Contract *c = &p->k->contract;
    const int64_t fact[] = {c->batch, c->ic, c->oc, c->groups, c->ih, c->iw,  c->oh,  c->ow, c->kh,
                            c->kw,    c->sh, c->sw, c->ph,     c->pw, c->ph2, c->pw2, c->dh, c->dw};
    static const char *const name[] = {"n", "ic", " oc", " g", " x", "x", " y", "x",  " k",
                                       "x", " s", "x",   " p", ",",  ",", ",",  " d", "x"};
    if (c->op == OP_COUNT) return;
    str_fmt(p->s, "  contract %s %s ", op_info[c->op].name,
            dtype_name(c->bf16 ? DT_BF16 : c->dtype));
    for (int i = 0; i < COUNT(fact); i++)
        str_fmt(p->s, "%s%s%lld", i == 1 ? " " : "", name[i], (long long)fact[i]);
    str_fmt(p->s, " data %d weight %d scratch %d packed %d\n", p->k->data_param, p->k->weight_param,
            p->k->scratch_param, p->k->packed_param);
}

static void print_offer(Str *s, const Offer *o)
{
    if (o->claim < 0) return;
    str_fmt(s, "  claim %d in ", o->claim);
    layout_text(s, &o->in);
    print_extents(s, &o->in);
    str_put(s, " w ");
    layout_text(s, &o->w);
    print_extents(s, &o->w);
    str_put(s, " out ");
    layout_text(s, &o->out);
    print_extents(s, &o->out);
    str_fmt(s, " lanes %dx%d cost ", o->vec_dim, o->lanes);
    str_double(s, o->cost);
    str_put(s, " plan");
    for (int i = 0; i < OFFER_NUMBERS; i++) str_fmt(s, " %lld", (long long)o->number[i]);
    str_put(s, "\n");
}

/* ---- index arithmetic in place ---- */

static bool is_index(const KExpr *e)
{
    if (e->dtype != DT_I64) return false;
    return e->kop == K_DIV || e->kop == K_MOD ||
           (e->kop == K_EVAL && (e->op == OP_add || e->op == OP_mul));
}

/* What is left of the budget after e's nodes; negative if it does not suffice. */
static int inline_cost(const Printer *p, KRef r, int budget)
{
    const KExpr *e = &p->k->expr[r];
    if (budget < 0 || p->number[r] || !is_index(e)) return budget - 1;
    for (int i = 0; i < e->nargs && budget >= 0; i++)
        budget = inline_cost(p, e->arg[i], budget - 1);
    return budget;
}

static bool is_inline(const Printer *p, KRef r)
{
    KOp kop = p->k->expr[r].kop;
    if (kop == K_AXIS || kop == K_CONST) return true;
    return is_index(&p->k->expr[r]) && inline_cost(p, r, INLINE_MAX) >= 0;
}

static void print_ref(Printer *p, KRef r, bool tight);

static void print_const(Printer *p, const KExpr *e)
{
    if (dtype_is_float(e->dtype))
        str_double(p->s, e->imm.f);
    else if (e->dtype == DT_BOOL)
        str_put(p->s, e->imm.i ? "true" : "false");
    else
        str_fmt(p->s, "%lld", (long long)e->imm.i);
}

static void print_sum(Printer *p, const KExpr *e)
{
    int64_t c = 0;
    bool minus = kx_is_int(p->k, e->arg[1], &c) && c < 0 && c != INT64_MIN;
    print_ref(p, e->arg[0], false);
    str_put(p->s, minus ? " - " : " + ");
    if (minus)
        str_fmt(p->s, "%lld", (long long)-c);
    else
        print_ref(p, e->arg[1], false);
}

static void print_index(Printer *p, const KExpr *e, bool tight)
{
    if (e->kop == K_DIV || e->kop == K_MOD) {
        print_ref(p, e->arg[0], true);
        str_fmt(p->s, "%c%lld", e->kop == K_DIV ? '/' : '%', (long long)e->imm.i);
        return;
    }
    str_put(p->s, tight ? "(" : "");
    if (e->op == OP_add) {
        print_sum(p, e);
    } else {
        print_ref(p, e->arg[0], true);
        str_put(p->s, "*");
        print_ref(p, e->arg[1], true);
    }
    str_put(p->s, tight ? ")" : "");
}

static void print_ref(Printer *p, KRef r, bool tight)
{
    const KExpr *e = &p->k->expr[r];
    if (p->number[r])
        str_fmt(p->s, "%%%d", p->number[r] - 1);
    else if (e->kop == K_AXIS)
        str_put(p->s, p->k->axis[e->imm.i].name);
    else if (e->kop == K_CONST)
        print_const(p, e);
    else
        print_index(p, e, tight);
}

static void print_refs(Printer *p, int n, const KRef *refs)
{
    for (int i = 0; i < n; i++) {
        str_put(p->s, i ? ", " : "");
        print_ref(p, refs[i], false);
    }
}

/* ---- lines ---- */

static void print_cell(Printer *p, int param, int rank, const KRef *index)
{
    str_fmt(p->s, "p%d[", param);
    print_refs(p, rank, index);
    str_put(p->s, "]");
}

static void print_load(Printer *p, const KExpr *e)
{
    str_put(p->s, "load ");
    print_cell(p, e->param, e->nargs, e->arg);
    if (e->guard == NOK) return;
    str_put(p->s, " if ");
    print_ref(p, e->guard, false);
    str_put(p->s, " else ");
    str_double(p->s, e->fill);
}

static void print_expr(Printer *p, const KExpr *e)
{
    switch (e->kop) {
    case K_LOAD: print_load(p, e); return;
    case K_REDUCE: str_fmt(p->s, "reduce %s ", op_info[e->op].name); break;
    case K_RNG: str_fmt(p->s, "rng %lld ", (long long)e->imm.i); break;
    case K_EVAL: str_fmt(p->s, "%s ", op_info[e->op].name); break;
    default: print_index(p, e, false); return;
    }
    /* A literal has the dtype of the other operands: what has only literals has been folded. */
    print_refs(p, e->nargs, e->arg);
}

static void print_line(Printer *p, KRef r)
{
    const KExpr *e = &p->k->expr[r];
    str_fmt(p->s, "  %%%d = ", p->lines);
    print_expr(p, e);
    str_fmt(p->s, " : %s%s\n", dtype_name(e->dtype), r == p->k->heavy ? " heavy" : "");
    p->number[r] = ++p->lines;
}

static void print_store(Printer *p, const KStore *s)
{
    str_put(p->s, "  store ");
    print_cell(p, s->param, s->rank, s->index);
    str_put(p->s, " = ");
    print_ref(p, s->value, false);
    str_put(p->s, "\n");
}

void kernel_print(Str *s, const Kernel *k)
{
    Arena *a = scratch_begin();
    Printer p = {.s = s, .k = k, .live = kernel_live(a, k), .number = NEW_N(a, int, k->nexpr)};
    str_fmt(s, "kernel %s\n", k->name);
    print_axes(s, k);
    for (int i = 0; i < k->nparam; i++) print_param(s, i, &k->param[i]);
    print_contract(&p);
    print_offer(s, &k->offer);
    for (KRef r = 0; r < k->nexpr; r++)
        if (p.live[r] && !is_inline(&p, r)) print_line(&p, r);
    for (int i = 0; i < k->nstore; i++) print_store(&p, &k->store[i]);
    scratch_end(a);
}

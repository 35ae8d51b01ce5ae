/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as kernel expressions: a layout's digits are divisions and remainders of the index,
 * and the builders of ir/kernel.h simplify them with ranges. What is left tells, before any code
 * exists, how the address moves from lane to lane and how it is aligned. */
#include "targets/llvm/walk_impl.h"

/* The next coarser div of the digit's dimension; 0 if it is the coarsest. */
static int64_t coarser(const Layout *l, int digit)
{
    const Digit *d = &l->digit[digit];
    int64_t best = 0;
    for (int i = 0; i < l->ndigit; i++) {
        const Digit *e = &l->digit[i];
        if (e->dim == d->dim && e->div > d->div && (!best || e->div < best)) best = e->div;
    }
    return best;
}

static KRef digit_value(Kernel *k, const Layout *l, int digit, const KRef *index)
{
    const Digit *d = &l->digit[digit];
    int64_t mod = coarser(l, digit);
    KRef e = kx_div(k, index[d->dim], d->div);
    if (mod) e = kx_mod(k, e, mod / d->div);
    return kx_addc(k, e, d->low);
}

/* ---- what an index expression is made of ---- */

static bool is_eval(const KExpr *e, Op op)
{
    return e->kop == K_EVAL && e->op == op && e->dtype == DT_I64;
}

/* a * constant, on either side. */
static bool is_scaled(const Kernel *k, const KExpr *e, KRef *arg, int64_t *by)
{
    if (!is_eval(e, OP_mul)) return false;
    for (int i = 0; i < 2; i++) {
        const KExpr *c = &k->expr[e->arg[i]];
        if (c->kop == K_CONST) {
            *arg = e->arg[1 - i];
            *by = c->imm.i;
            return true;
        }
    }
    return false;
}

/* Whether r is x + step * axis with x free of the axis. */
static bool axis_step(const Kernel *k, KRef r, int axis, int64_t *step)
{
    const KExpr *e = &k->expr[r];
    int64_t a, b, by;
    KRef arg;
    *step = 0;
    if (!(e->axes >> axis & 1)) return true;
    if (e->kop == K_AXIS) {
        *step = 1;
        return true;
    }
    if (is_scaled(k, e, &arg, &by) && axis_step(k, arg, axis, &a))
        return mul_ok(a < 0 ? -a : a, by < 0 ? -by : by, &b) && (*step = a * by, true);
    bool sub = is_eval(e, OP_sub);
    if (!(sub || is_eval(e, OP_add)) || !axis_step(k, e->arg[0], axis, &a) ||
        !axis_step(k, e->arg[1], axis, &b))
        return false;
    *step = sub ? a - b : a + b;
    return true;
}

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return a < 0 ? -a : a;
}

/* A number that divides r wherever `axis` is 0; 0 if r is 0 then. */
static int64_t divisor(const Kernel *k, KRef r, int axis)
{
    const KExpr *e = &k->expr[r];
    int64_t by, n;
    KRef arg;
    if (e->kop == K_CONST) return gcd(e->imm.i, 0);
    if (e->kop == K_AXIS) return e->imm.i == axis ? 0 : 1;
    if (is_scaled(k, e, &arg, &by))
        return mul_ok(divisor(k, arg, axis), by < 0 ? -by : by, &n) ? n : 1;
    if (is_eval(e, OP_add) || is_eval(e, OP_sub))
        return gcd(divisor(k, e->arg[0], axis), divisor(k, e->arg[1], axis));
    if (e->kop == K_MOD) return gcd(divisor(k, e->arg[0], axis), e->imm.i);
    return 1;
}

/* ---- the address ---- */

Address walk_address(Walk *w, int param, const KRef *index)
{
    Kernel *k = (Kernel *)w->k; /* the walk's own copy */
    const KParam *p = &k->param[param];
    Address a = {.element = kx_int(k, 0), .sample = NOK};
    bool by_table = p->io && p->sample;
    if (by_table) a.sample = index[p->layout.digit[0].dim];
    for (int i = by_table; i < p->layout.ndigit; i++) {
        KRef term = kx_mulc(k, digit_value(k, &p->layout, i, index), layout_stride(&p->layout, i));
        a.element = kx_add(k, a.element, term);
    }
    walk_room(w);
    if (w->vec < 0) return a.affine = true, a;
    bool still = a.sample == NOK || !walk_on_vec(w, a.sample);
    a.affine = axis_step(k, a.element, w->vec, &a.step) && still;
    a.multiple = divisor(k, a.element, w->vec);
    return a;
}

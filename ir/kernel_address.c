/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as kernel expressions: a layout's digits are divisions and remainders of the index,
 * and the builders simplify them with ranges. What is left tells, before any code exists, how an
 * address moves along an axis. */
#include "kernel_impl.h"

static KRef digit_value(Kernel *k, const Layout *l, int digit, const KRef *index)
{
    const Digit *d = &l->digit[digit];
    int64_t mod = layout_coarser(l, digit);
    KRef e = kx_div(k, index[d->dim], d->div);
    if (mod) e = kx_mod(k, e, mod / d->div);
    return kx_addc(k, e, d->low);
}

KRef kx_element(Kernel *k, int param, const KRef *index)
{
    const KParam *p = &k->param[param];
    KRef element = kx_int(k, 0);
    for (int i = p->io && p->sample; i < p->layout.ndigit; i++) {
        KRef term = kx_mulc(k, digit_value(k, &p->layout, i, index), layout_stride(&p->layout, i));
        element = kx_add(k, element, term);
    }
    return element;
}

static bool is_eval(const KExpr *e, Op op)
{
    return e->kop == K_EVAL && e->op == op && e->dtype == DT_I64;
}

bool kx_is_scaled(const Kernel *k, KRef r, KRef *arg, int64_t *by)
{
    const KExpr *e = &k->expr[r];
    if (!is_eval(e, OP_mul)) return false;
    for (int i = 0; i < 2; i++)
        if (kx_is_int(k, e->arg[i], by)) {
            *arg = e->arg[1 - i];
            return true;
        }
    return false;
}

bool kx_step(const Kernel *k, KRef r, int axis, int64_t *step)
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
    if (kx_is_scaled(k, r, &arg, &by) && kx_step(k, arg, axis, &a))
        return mul_ok(a < 0 ? -a : a, by < 0 ? -by : by, &b) && (*step = a * by, true);
    bool sub = is_eval(e, OP_sub);
    if (!(sub || is_eval(e, OP_add)) || !kx_step(k, e->arg[0], axis, &a) ||
        !kx_step(k, e->arg[1], axis, &b))
        return false;
    *step = sub ? a - b : a + b;
    return true;
}

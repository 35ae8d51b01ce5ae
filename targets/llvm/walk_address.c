/* SPDX-License-Identifier: Apache-2.0 */
/* How an address (ir/kernel_address.c) moves from lane to lane and how it is aligned, before any
 * code exists. */
#include "targets/llvm/walk_impl.h"

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
    if (kx_is_scaled(k, r, &arg, &by))
        return mul_ok(divisor(k, arg, axis), by < 0 ? -by : by, &n) ? n : 1;
    if (e->kop == K_EVAL && e->dtype == DT_I64 && (e->op == OP_add || e->op == OP_sub))
        return gcd(divisor(k, e->arg[0], axis), divisor(k, e->arg[1], axis));
    if (e->kop == K_MOD) return gcd(divisor(k, e->arg[0], axis), e->imm.i);
    return 1;
}

/* ---- the address ---- */

Address walk_address(Walk *w, int param, const KRef *index)
{
    Kernel *k = (Kernel *)w->k; /* the walk's own copy */
    const KParam *p = &k->param[param];
    Address a = {.element = kx_element(k, param, index), .sample = NOK};
    if (p->io && p->sample) a.sample = index[p->layout.digit[0].dim];
    walk_room(w);
    if (w->vec < 0) return a.affine = true, a;
    bool still = a.sample == NOK || !walk_on_vec(w, a.sample);
    a.affine = kx_step(k, a.element, w->vec, &a.step) && still;
    a.multiple = divisor(k, a.element, w->vec);
    return a;
}

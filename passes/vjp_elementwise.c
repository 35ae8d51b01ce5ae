/* SPDX-License-Identifier: Apache-2.0 */
/* Derivatives of the elementwise rows. Where one is a matter of choice it follows ops.def: a tie of
 * max2 or min2, and a NaN, go to the second operand; abs has derivative 0 at 0; pow has derivative 0 in
 * a zero exponent's base and in the exponent of a base that is not positive. */
#include "passes/rewrite.h"
#include "passes/vjp.h"

static Ref mul(Vjp *v, Ref a, Ref b) {
    return b_binary(v->g, OP_mul, a, b);
}

static Ref splat(Vjp *v, double value) {
    return b_like(v->g, v->self, value);
}

static Ref scale(Vjp *v, Ref a, double by) {
    return mul(v, a, splat(v, by));
}

void vjp_neg(Vjp *v) {
    vjp_add(v, 0, b_unary(v->g, OP_neg, v->cot));
}

void vjp_abs(Vjp *v) {
    vjp_add(v, 0, mul(v, v->cot, b_unary(v->g, OP_sign, vjp_arg(v, 0))));
}

void vjp_exp(Vjp *v) {
    vjp_add(v, 0, mul(v, v->cot, v->self));
}

void vjp_log(Vjp *v) {
    vjp_add(v, 0, b_binary(v->g, OP_div, v->cot, vjp_arg(v, 0)));
}

void vjp_log1p(Vjp *v) {
    Ref one_plus = b_binary(v->g, OP_add, vjp_arg(v, 0), splat(v, 1));
    vjp_add(v, 0, b_binary(v->g, OP_div, v->cot, one_plus));
}

void vjp_sqrt(Vjp *v) {
    vjp_add(v, 0, b_binary(v->g, OP_div, scale(v, v->cot, 0.5), v->self));
}

void vjp_tanh(Vjp *v) {
    Ref slope = b_binary(v->g, OP_sub, splat(v, 1), mul(v, v->self, v->self));
    vjp_add(v, 0, mul(v, v->cot, slope));
}

void vjp_erf(Vjp *v) {
    const double two_over_sqrt_pi = 1.12837916709551257390;
    Ref x = vjp_arg(v, 0);
    Ref bell = b_unary(v->g, OP_exp, b_unary(v->g, OP_neg, mul(v, x, x)));
    vjp_add(v, 0, mul(v, v->cot, scale(v, bell, two_over_sqrt_pi)));
}

void vjp_cast(Vjp *v) {
    if (vjp_wants(v, 0)) vjp_add(v, 0, b_cast(v->g, v->cot, vjp_type(v, 0).dtype));
}

void vjp_add(Vjp *v, int arg, Ref cot); /* declared in vjp.h; the rule of `add` is below */

void vjp_sub(Vjp *v) {
    vjp_add(v, 0, v->cot);
    if (vjp_wants(v, 1)) vjp_add(v, 1, b_unary(v->g, OP_neg, v->cot));
}

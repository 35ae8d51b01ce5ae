/* SPDX-License-Identifier: Apache-2.0 */
/* Derivatives of the elementwise rows. Where one is a matter of choice it follows ops.def: a
 * tie of max2 or min2, and a NaN, go to the second operand; abs has derivative 0 at 0; pow has
 * derivative 0 in a zero exponent's base and in the exponent of a base that is not positive. */
#include "passes/rewrite.h"
#include "passes/vjp.h"

static Ref mul(Vjp *v, Ref a, Ref b)
{
    return b_binary(v->g, OP_mul, a, b);
}

static Ref splat(Vjp *v, double value)
{
    return b_like(v->g, v->self, value);
}

static Ref scale(Vjp *v, Ref a, double by)
{
    return mul(v, a, splat(v, by));
}

void vjp_neg(Vjp *v)
{
    accumulate(v, 0, b_unary(v->g, OP_neg, v->cot));
}

void vjp_abs(Vjp *v)
{
    accumulate(v, 0, mul(v, v->cot, b_unary(v->g, OP_sign, arg_of(v, 0))));
}

void vjp_exp(Vjp *v)
{
    accumulate(v, 0, mul(v, v->cot, v->self));
}

void vjp_log(Vjp *v)
{
    accumulate(v, 0, b_binary(v->g, OP_div, v->cot, arg_of(v, 0)));
}

void vjp_log1p(Vjp *v)
{
    Ref one_plus = b_binary(v->g, OP_add, arg_of(v, 0), splat(v, 1));
    accumulate(v, 0, b_binary(v->g, OP_div, v->cot, one_plus));
}

void vjp_sqrt(Vjp *v)
{
    accumulate(v, 0, b_binary(v->g, OP_div, scale(v, v->cot, 0.5), v->self));
}

void vjp_tanh(Vjp *v)
{
    Ref slope = b_binary(v->g, OP_sub, splat(v, 1), mul(v, v->self, v->self));
    accumulate(v, 0, mul(v, v->cot, slope));
}

void vjp_erf(Vjp *v)
{
    const double two_over_sqrt_pi = 1.12837916709551257390;
    Ref x = arg_of(v, 0);
    Ref bell = b_unary(v->g, OP_exp, b_unary(v->g, OP_neg, mul(v, x, x)));
    accumulate(v, 0, mul(v, v->cot, scale(v, bell, two_over_sqrt_pi)));
}

void vjp_cast(Vjp *v)
{
    if (wants(v, 0)) accumulate(v, 0, b_cast(v->g, v->cot, type_of_arg(v, 0).dtype));
}

void vjp_sub(Vjp *v)
{
    accumulate(v, 0, v->cot);
    if (wants(v, 1)) accumulate(v, 1, b_unary(v->g, OP_neg, v->cot));
}

void vjp_add(Vjp *v)
{
    accumulate(v, 0, v->cot);
    accumulate(v, 1, v->cot);
}

void vjp_mul(Vjp *v)
{
    if (wants(v, 0)) accumulate(v, 0, mul(v, v->cot, arg_of(v, 1)));
    if (wants(v, 1)) accumulate(v, 1, mul(v, v->cot, arg_of(v, 0)));
}

void vjp_div(Vjp *v)
{
    Ref over = b_binary(v->g, OP_div, v->cot, arg_of(v, 1));
    accumulate(v, 0, over);
    if (wants(v, 1)) accumulate(v, 1, b_unary(v->g, OP_neg, mul(v, over, v->self)));
}

/* d pow(a, c) = c * pow(a, c - 1): for c = 2, the common case, no power is left. */
static void pow_constant(Vjp *v, double c)
{
    Ref a = arg_of(v, 0);
    Ref power = c == 2 ? a : b_binary(v->g, OP_pow, a, splat(v, c - 1));
    if (c != 0) accumulate(v, 0, c == 1 ? v->cot : mul(v, v->cot, scale(v, power, c)));
}

/* b * pow(a, b - 1), which at a = b = 0 would be 0 * inf: there the exponent is taken as 0. */
static void pow_base(Vjp *v, Ref a, Ref b)
{
    Graph *g = v->g;
    Ref zero = splat(v, 0);
    Ref a_zero = b_binary(g, OP_eq, a, zero), b_zero = b_binary(g, OP_eq, b, zero);
    Ref both_zero = b_binary(g, OP_and, a_zero, b_zero);
    Ref less = b_binary(g, OP_sub, b, splat(v, 1));
    Ref power = b_binary(g, OP_pow, a, b_select(g, both_zero, zero, less));
    accumulate(v, 0, mul(v, v->cot, mul(v, b, power)));
}

/* The logarithm sees 1 where the base is not positive, so that no order of derivative meets 0 *
 * inf. */
static void pow_exponent(Vjp *v, Ref a)
{
    Graph *g = v->g;
    Ref zero = splat(v, 0), positive = b_binary(g, OP_lt, zero, a);
    Ref log = b_unary(g, OP_log, b_select(g, positive, a, splat(v, 1)));
    Ref slope = mul(v, v->self, log);
    accumulate(v, 1, b_select(g, positive, mul(v, v->cot, slope), zero));
}

void vjp_pow(Vjp *v)
{
    double c;
    Ref a = arg_of(v, 0), b = arg_of(v, 1);
    bool constant = splat_value(v->g, b, &c);
    if (wants(v, 0) && constant) pow_constant(v, c);
    if (wants(v, 0) && !constant) pow_base(v, a, b);
    if (wants(v, 1)) pow_exponent(v, a);
}

static void pick(Vjp *v, Ref first_wins)
{
    Ref zero = splat(v, 0);
    if (wants(v, 0)) accumulate(v, 0, b_select(v->g, first_wins, v->cot, zero));
    if (wants(v, 1)) accumulate(v, 1, b_select(v->g, first_wins, zero, v->cot));
}

void vjp_max2(Vjp *v)
{
    pick(v, b_binary(v->g, OP_lt, arg_of(v, 1), arg_of(v, 0)));
}

void vjp_min2(Vjp *v)
{
    pick(v, b_binary(v->g, OP_lt, arg_of(v, 0), arg_of(v, 1)));
}

void vjp_select(Vjp *v)
{
    Ref cond = arg_of(v, 0), zero = splat(v, 0);
    if (wants(v, 1)) accumulate(v, 1, b_select(v->g, cond, v->cot, zero));
    if (wants(v, 2)) accumulate(v, 2, b_select(v->g, cond, zero, v->cot));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A Gaussian is the inverse of the normal distribution at a uniform of 24 bits, by Wichura's
 * algorithm AS 241 (PPND7, Applied Statistics 37, 1988; 7 digits): with 24 bits it stays within 5.5
 * standard deviations, so its third range is never entered. The uniform is moved to the middle of
 * its cell, u + 2^-25, which is exact after 1/2 is taken off. */
#include "build.h"

/* c[0] + c[1] r + ... + c[n-1] r^(n-1) */
static Ref polynomial(Graph *g, Ref r, int n, const double *c)
{
    Ref sum = b_like(g, r, c[n - 1]);
    for (int i = n - 1; i-- > 0;) {
        Ref product = b_binary(g, OP_mul, sum, r);
        sum = b_binary(g, OP_add, product, b_like(g, r, c[i]));
    }
    return sum;
}

static Ref ratio(Graph *g, Ref r, int na, const double *a, int nb, const double *b)
{
    Ref above = polynomial(g, r, na, a);
    return b_binary(g, OP_div, above, polynomial(g, r, nb, b));
}

/* q = p - 1/2, |q| <= 0.425 */
static Ref normal_centre(Graph *g, Ref q)
{
    static const double a[] = {3.3871327179e0, 5.0434271938e1, 1.5929113202e2, 5.9109374720e1};
    static const double b[] = {1, 1.7895169469e1, 7.8757757664e1, 6.7187563600e1};
    Ref r = b_binary(g, OP_sub, b_like(g, q, 0.180625), b_binary(g, OP_mul, q, q));
    return b_binary(g, OP_mul, q, ratio(g, r, 4, a, 4, b));
}

static Ref normal_tail(Graph *g, Ref q)
{
    static const double c[] = {1.4234372777e0, 2.7568153900e0, 1.3067284816e0, 1.7023821103e-1};
    static const double d[] = {1, 7.3700164250e-1, 1.2021132975e-1};
    Ref p = b_binary(g, OP_sub, b_like(g, q, 0.5), b_unary(g, OP_abs, q));
    Ref r = b_unary(g, OP_sqrt, b_unary(g, OP_neg, b_unary(g, OP_log, p)));
    r = b_binary(g, OP_sub, r, b_like(g, r, 1.6));
    Ref size = ratio(g, r, 4, c, 3, d);
    return b_binary(g, OP_mul, b_unary(g, OP_sign, q), size);
}

Ref b_normal(Graph *g, Ref u)
{
    Ref q = b_binary(g, OP_sub, u, b_like(g, u, 0.5));
    q = b_binary(g, OP_add, q, b_like(g, q, 0x1p-25));
    Ref near = b_binary(g, OP_le, b_unary(g, OP_abs, q), b_like(g, q, 0.425));
    Ref centre = normal_centre(g, q);
    return b_select(g, near, centre, normal_tail(g, q));
}

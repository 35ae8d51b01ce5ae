/* SPDX-License-Identifier: Apache-2.0 */
/* Norms of each sample, and projections. Numbers a sample are vectors [b]; sums run over the
 * elements of one sample, in one order. */
#include "compiler/programs.h"

#include <float.h>

static Ref over_sample(Graph *g, Op op, Ref v)
{
    int axis[MAX_RANK], n = g->node[v].type.rank - 1;
    for (int i = 0; i < n; i++) axis[i] = i + 1;
    return to_vector(g, b_reduce(g, op, v, n, axis));
}

static Ref sum_of_squares(Graph *g, Ref v)
{
    return over_sample(g, OP_sum, b_binary(g, OP_mul, v, v));
}

Ref norm_l1(Graph *g, Ref v)
{
    return over_sample(g, OP_sum, b_unary(g, OP_abs, v));
}

Ref norm_l2(Graph *g, Ref v)
{
    return b_unary(g, OP_sqrt, sum_of_squares(g, v));
}

Ref norm_linf(Graph *g, Ref v)
{
    return over_sample(g, OP_max, b_unary(g, OP_abs, v));
}

Ref mean_square(Graph *g, Ref v)
{
    Type t = g->node[v].type;
    Ref sum = sum_of_squares(g, v);
    return b_binary(g, OP_div, sum, b_like(g, sum, (double)(type_count(t) / t.dim[0])));
}

Ref scaled(Graph *g, Ref v, Ref factor)
{
    return b_binary(g, OP_mul, v, per_sample(g, factor, g->node[v].type));
}

Ref ball_l2(Graph *g, Ref v, Ref eps)
{
    Ref n = norm_l2(g, v);
    Ref inside = b_binary(g, OP_le, n, eps);
    Ref factor = b_binary(g, OP_div, eps, b_binary(g, OP_max2, n, b_like(g, n, FLT_MIN)));
    return scaled(g, v, b_select(g, inside, b_like(g, n, 1), factor));
}

Ref ball_linf(Graph *g, Ref v, Ref eps)
{
    Ref wide = per_sample(g, eps, g->node[v].type);
    return b_clip(g, v, b_unary(g, OP_neg, wide), wide);
}

/* The point of the ball next to v: each size less t, at least 0 (Duchi, Shalev-Shwartz, Singer,
 * Chandra 2008). t by Michelot's rounds (1986): t = (sum of the sizes above t, minus eps) / their
 * number. It only grows, and stays once no size falls below it, after some 10 rounds on images. */
Ref ball_l1(Graph *g, Ref v, Ref eps)
{
    Ref size = b_unary(g, OP_abs, v), zero = b_like(g, size, 0), t = b_like(g, eps, 0);
    Type type = g->node[size].type;
    for (int round = 0; round < 24; round++) {
        Ref above = b_binary(g, OP_lt, per_sample(g, t, type), size);
        Ref sum = over_sample(g, OP_sum, b_select(g, above, size, zero));
        Ref count = over_sample(g, OP_sum, b_cast(g, above, type.dtype));
        Ref excess = b_binary(g, OP_sub, sum, eps);
        Ref next = b_binary(g, OP_div, excess, b_binary(g, OP_max2, count, b_like(g, count, 1)));
        t = b_binary(g, OP_max2, t, next);
    }
    Ref rest = b_binary(g, OP_sub, size, per_sample(g, t, type));
    return b_binary(g, OP_mul, b_unary(g, OP_sign, v), b_binary(g, OP_max2, rest, zero));
}

Ref to_pixels(Graph *g, Ref v)
{
    Ref zero = b_like(g, v, 0), one = b_like(g, v, 1);
    return b_clip(g, v, zero, one);
}

Ref farthest_pixels(Graph *g, Ref x)
{
    Ref other = b_binary(g, OP_sub, b_like(g, x, 1), x);
    return b_binary(g, OP_max2, x, other);
}

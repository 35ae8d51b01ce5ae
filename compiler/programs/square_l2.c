/* SPDX-License-Identifier: Apache-2.0 */
/* square-l2: the perturbation d is made of patterns eta, whose upper and lower halves have one
 * sign each and are largest in their middles:
 *
 *   eta(s): for i in the upper half of a rows (a = floor(s/2); below: s - a, negative), column j:
 *           sum over k = m + 1 .. M of 1/k^2;  m = max(|i - floor(a/2)|, |j - floor(s/2)|),
 *           M = floor(s/2) + 1;  each half divided by its norm, the whole by sqrt(2);
 *           transposed or not at random
 *
 * Query 0 tiles the image with eta(floor(H/5)), a sign for each tile and channel. A candidate has
 * two windows w1, w2 of an odd side, 3 or more. With norms within channels:
 *
 *   e = eta * sign + d / (1e-12 + ||d in w1||)  in w1
 *   d = e / (1e-12 + ||e||) * sqrt(max(eps^2 - ||d||^2, 0) / C + ||d in w1 or w2||^2)  in w1,
 *       0 in w2 outside of it
 *
 * The image is x + eps d / (1e-12 + ||d||), clipped to [0,1]. Streams: 0 signs of tiles, 1 corners,
 * 2 signs, 3 transposition, 4 that of tiles. */
#include <math.h>

#include "compiler/programs/square.h"

static Ref plus(Graph *g, Ref v, double value)
{
    return b_binary(g, OP_add, v, b_like(g, v, value));
}

/* ---- eta ---- */

static Ref half_of(Graph *g, Ref v)
{
    return b_unary(g, OP_floor, b_binary(g, OP_mul, v, b_like(g, v, 0.5)));
}

static Ref off_middle(Graph *g, Ref i, Ref extent)
{
    return b_unary(g, OP_abs, b_binary(g, OP_sub, i, half_of(g, extent)));
}

/* sum over k = 1 .. n of 1/k^2, n from 0 to `most` */
static Ref sums(Attack *a, Ref n, int most)
{
    Graph *g = a->g;
    double *table = arena_alloc(a->m->arena, sizeof *table * (size_t)(most + 1));
    table[0] = 0;
    for (int k = 1; k <= most; k++) table[k] = table[k - 1] + 1.0 / ((double)k * k);
    int64_t count = most + 1;
    Ref all = b_cast(g, graph_const(g, type_of(DT_F64, 1, &count), table), a->column.dtype);
    return b_gather(g, all, b_cast(g, n, DT_I64), 0, 0);
}

/* Norm over the last two axes where `flag` holds: [b, C, 1, 1] */
static Ref norm_where(Graph *g, Ref flag, Ref v)
{
    Ref square = b_select(g, flag, b_binary(g, OP_mul, v, v), b_like(g, v, 0));
    return b_unary(g, OP_sqrt, b_reduce(g, OP_sum, square, 2, (int[]){2, 3}));
}

static Ref over_norm(Graph *g, Ref flag, Ref v)
{
    Ref n = b_broadcast_to(g, norm_where(g, flag, v), g->node[v].type);
    return b_binary(g, OP_div, v, n);
}

/* The pattern at row i, column j of a window whose side is at most `most`, all of one type
 * [b, 1, ., .]; 0 where `inside` is false. */
static Ref eta(Attack *a, Ref i, Ref j, Ref side, Ref inside, int most)
{
    Graph *g = a->g;
    Ref half = half_of(g, side), upper = b_binary(g, OP_lt, i, half);
    Ref lower = b_unary(g, OP_not, upper), rest = b_binary(g, OP_sub, side, half);
    Ref row = b_select(g, upper, i, b_binary(g, OP_sub, i, half));
    Ref v = off_middle(g, row, b_select(g, upper, half, rest));
    Ref top = plus(g, half, 1);
    Ref m = b_binary(g, OP_max2, v, off_middle(g, j, side));
    Ref all = sums(a, top, most / 2 + 1);
    v = b_binary(g, OP_sub, all, sums(a, b_binary(g, OP_min2, m, top), most / 2 + 1));
    upper = b_binary(g, OP_and, upper, inside);
    lower = b_binary(g, OP_and, lower, inside);
    Ref above = over_norm(g, upper, v), below = b_unary(g, OP_neg, over_norm(g, lower, v));
    v = b_select(g, upper, above, b_select(g, lower, below, b_like(g, v, 0)));
    return b_binary(g, OP_mul, v, b_like(g, v, sqrt(0.5)));
}

/* ---- query 0 ---- */

/* L2, summed by rows first: a sum of thousands in f32 would be off by more than 1e-6. */
static Ref length(Graph *g, Ref d)
{
    Ref rows = b_reduce(g, OP_sum, b_binary(g, OP_mul, d, d), 1, (int[]){3});
    return b_unary(g, OP_sqrt, to_vector(g, b_sum_samples(g, rows)));
}

static Ref at_length(Attack *a, Ref d)
{
    Graph *g = a->g;
    Ref factor = b_binary(g, OP_div, knob(a, "eps", 0), plus(g, length(g, d), 1e-12));
    return to_pixels(g, b_binary(g, OP_add, image_in(a, "x"), scaled(g, d, factor)));
}

static Ref tile(Attack *a, int64_t s, int row_axis)
{
    Graph *g = a->g;
    Type t = type_of(a->column.dtype, 4, (int64_t[]){a->m->b, 1, s, s});
    Ref i = b_cast(g, b_iota(g, type_with(t, DT_I32), row_axis), t.dtype);
    Ref j = b_cast(g, b_iota(g, type_with(t, DT_I32), 5 - row_axis), t.dtype);
    Ref all = graph_splat(g, type_with(t, DT_BOOL), 1);
    return eta(a, i, j, graph_splat(g, t, (double)s), all, (int)s);
}

/* One tile to all of them: [b, 1, s, s] -> [b, C, rows, s, columns, s] */
static Ref spread(Attack *a, Ref v, const int64_t *all)
{
    int64_t one[] = {all[0], 1, 1, all[3], 1, all[5]};
    return b_broadcast(a->g, b_reshape(a->g, v, 6, one), 6, all);
}

static Ref tiles(Attack *a)
{
    Graph *g = a->g;
    int64_t c = a->image.dim[1], h = a->image.dim[2], w = a->image.dim[3], s = h / 5;
    int64_t from = (h - 5 * s) / 2, rows = (h - from) / s, cols = (w - from) / s;
    int64_t all[] = {a->m->b, c, rows, s, cols, s}, whole[] = {a->m->b, c, rows * s, cols * s};
    Ref sign = square_sign(a, square_draw(a, 5, (int64_t[]){c, rows, 1, cols, 1}, ints(a, 0), 0));
    Ref turn = square_draw(a, 5, (int64_t[]){1, rows, 1, cols, 1}, ints(a, 0), 4);
    Ref keep = b_binary(g, OP_le, turn, b_like(g, turn, 0.5));
    Ref upright = spread(a, tile(a, s, 2), all), turned = spread(a, tile(a, s, 3), all);
    Ref d = b_select(g, b_broadcast(g, keep, 6, all), upright, turned);
    d = b_binary(g, OP_mul, d, b_broadcast(g, sign, 6, all));
    int64_t low[] = {0, 0, from, from}, none[4] = {0};
    int64_t high[] = {0, 0, h - from - rows * s, w - from - cols * s};
    return at_length(a, b_pad(g, b_reshape(g, d, 4, whole), low, high, none, 0));
}

/* ---- later ones ---- */

typedef struct Window {
    Ref down, right; /* rows and columns past its corner */
    Ref plane, wide; /* bool [b, 1, H, W] and [b, C, H, W]: inside */
} Window;

/* By numbers k and k + 1 of the four uniforms. */
static Window window(Attack *a, Ref u, int k, Ref side)
{
    Graph *g = a->g;
    Ref row = to_vector(g, b_slice_axis(g, u, 1, k, 1, 1));
    Ref col = to_vector(g, b_slice_axis(g, u, 1, k + 1, 1, 1));
    Window w = {.down = square_past(a, 2, row, side), .right = square_past(a, 3, col, side)};
    w.plane = square_inside(a, w.down, w.right, side);
    w.wide = b_broadcast(g, w.plane, 4, a->image.dim);
    return w;
}

/* eta times a sign a channel, in the window */
static Ref pattern(Attack *a, const Window *w, Ref side)
{
    Graph *g = a->g;
    Type plane = g->node[w->down].type;
    int64_t h = plane.dim[2], v = plane.dim[3];
    Ref t = int_in(a, "t"), turn = to_vector(g, square_draw(a, 1, (int64_t[]){1}, t, 3));
    Ref keep = b_binary(g, OP_le, turn, number(a, 0.5));
    keep = per_sample(g, keep, type_with(plane, DT_BOOL));
    Ref i = b_select(g, keep, w->down, w->right), j = b_select(g, keep, w->right, w->down);
    Ref e = eta(a, i, j, per_sample(g, side, plane), w->plane, (int)(h < v ? h : v));
    Ref u = square_draw(a, 3, (int64_t[]){a->image.dim[1], 1, 1}, t, 2);
    Ref sign = b_broadcast(g, square_sign(a, u), 4, a->image.dim);
    return b_binary(g, OP_mul, b_broadcast(g, e, 4, a->image.dim), sign);
}

/* What the pattern's window may weigh, [b, C, 1, 1]: its budget left, and the windows' own. */
static Ref budget(Attack *a, Ref d, Ref either)
{
    Graph *g = a->g;
    Ref eps = knob(a, "eps", 0), n = length(g, d), own = norm_where(g, either, d);
    Ref left = b_binary(g, OP_sub, b_binary(g, OP_mul, eps, eps), b_binary(g, OP_mul, n, n));
    left = b_binary(g, OP_max2, left, number(a, 0));
    left = b_binary(g, OP_div, left, number(a, (double)a->image.dim[1]));
    Ref wide = per_sample(g, left, g->node[own].type);
    return b_unary(g, OP_sqrt, b_binary(g, OP_add, wide, b_binary(g, OP_mul, own, own)));
}

static Ref over(Attack *a, Ref v, Ref n)
{
    return b_binary(a->g, OP_div, v, b_broadcast(a->g, plus(a->g, n, 1e-12), 4, a->image.dim));
}

static Ref candidate(Attack *a)
{
    Graph *g = a->g;
    Ref side = square_side(a, 3, true);
    Ref u = square_draw(a, 1, (int64_t[]){4}, int_in(a, "t"), 1);
    Window into = window(a, u, 0, side), from = window(a, u, 2, side);
    Ref d = b_binary(g, OP_sub, image_in(a, "state.x"), image_in(a, "x"));
    Ref old = over(a, d, norm_where(g, into.wide, d));
    Ref e = b_binary(g, OP_add, pattern(a, &into, side), old);
    Ref weight = budget(a, d, b_binary(g, OP_or, into.wide, from.wide));
    e = over(a, e, norm_where(g, into.wide, e));
    e = b_binary(g, OP_mul, e, b_broadcast(g, weight, 4, a->image.dim));
    Ref rest = b_select(g, from.wide, b_like(g, d, 0), d);
    return at_length(a, b_select(g, into.wide, e, rest));
}

void program_square_l2(const Model *m, ProgramSpec *s)
{
    const Type *t = &m->g->node[m->x].type;
    if (t->rank == 4 && (t->dim[2] < 5 || t->dim[3] < 5)) err(s->name, "needs 5 pixels a side");
    square_build(m, s, &(Square){0.5, 1e4, tiles, candidate});
}

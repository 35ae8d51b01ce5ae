/* SPDX-License-Identifier: Apache-2.0 */
/* square-linf: the Square attack (Andriushchenko, Croce, Flammarion, Hein 2020, algorithms 1 and
 * 2), as in AutoAttack. Random search by forward passes alone: query 0 is x plus vertical stripes
 * of +eps or -eps; each later one adds +2 eps or -2 eps, a sign a channel, inside a square window
 *
 *   side = round(sqrt(p H W)), at least 1;  p = p_0 halved after 10, 50, 200, 500, 1000, 2000,
 *          4000, 6000, 8000 queries (with `rescale` 1: of each 10000th part of the queries)
 *   corner uniform;  candidate = clip to the ball, then to [0,1]
 *
 * and is taken if the margin z_y - max over j != y of z_j falls, or is at most 0, which ends the
 * attack. Each sample has its own windows and signs; the authors' code shares one window a query in
 * the batch. Query t draws from streams 0 (stripes), 1 (corner), 2 (signs) at draw t. */
#include <math.h>

#include "compiler/programs/attack.h"

static void build_init(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->init, "init");
    graph_output(a.g, "state.x", image_in(&a, "x"));
    graph_output(a.g, "state.margin", number(&a, INFINITY));
    graph_output(a.g, "state.queries", int_in(&a, "limit"));
}

/* ---- random choices ---- */

/* Uniforms of shape [b, c, h, w]. */
static Ref draw(Attack *a, int64_t c, int64_t h, int64_t w, int stream)
{
    Type t = a->image;
    t.dim[1] = c;
    t.dim[2] = h;
    t.dim[3] = w;
    Ref seed = b_input(a->g, "seed", type_scalar(DT_I64));
    Ref id = sample_input(a->g, "id", DT_I64, a->m->b);
    return b_rng(a->g, seed, id, int_in(a, "t"), t, stream);
}

/* eps times `times` or its negative for each uniform, spread over the image */
static Ref signs(Attack *a, Ref u, double times)
{
    Graph *g = a->g;
    Ref low = b_binary(g, OP_lt, u, b_like(g, u, 0.5));
    Ref sign = b_select(g, low, b_like(g, u, -times), b_like(g, u, times));
    Ref wide = b_broadcast(g, sign, 4, a->image.dim);
    return scaled(g, wide, knob(a, "eps", 0));
}

/* 1, halved for each of the schedule's marks that `it` (i32 [b]) is past. */
static Ref halvings(Attack *a, Ref it)
{
    static const int32_t after[] = {10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000};
    enum { MARKS = COUNT(after) };
    Graph *g = a->g;
    int axis[] = {1};
    int64_t one[] = {1, MARKS}, all[] = {a->m->b, MARKS};
    Ref mark = b_broadcast(g, graph_const(g, type_of(DT_I32, 2, one), after), 2, all);
    Ref late = b_binary(g, OP_lt, mark, per_sample(g, it, type_of(DT_I32, 2, all)));
    Type t = type_of(a->column.dtype, 2, all);
    Ref factor = b_select(g, late, graph_splat(g, t, 0.5), graph_splat(g, t, 1));
    return to_vector(g, b_reduce(g, OP_prod, factor, 1, axis));
}

/* Query t's share p of the pixels. */
static Ref share(Attack *a)
{
    Graph *g = a->g;
    Ref it = b_binary(g, OP_sub, int_in(a, "t"), ints(a, 1));
    Ref part = b_binary(g, OP_mul, it, ints(a, 10000));
    part = b_binary(g, OP_div, part, int_in(a, "state.queries"));
    it = b_select(g, knob_is(a, "rescale", 1), part, it);
    return b_binary(g, OP_mul, knob(a, "p", 0), halvings(a, it));
}

static Ref side_of(Attack *a)
{
    Graph *g = a->g;
    int64_t h = a->image.dim[2], w = a->image.dim[3];
    Ref area = b_binary(g, OP_mul, share(a), number(a, (double)(h * w)));
    Ref side = b_unary(g, OP_round, b_unary(g, OP_sqrt, area));
    side = b_binary(g, OP_max2, side, number(a, 1));
    return b_binary(g, OP_min2, side, number(a, (double)(h < w ? h : w)));
}

/* bool, wide: a sample's range of `side` positions along an axis, from floor(u (extent - side)) */
static Ref range(Attack *a, int axis, Ref u, Ref side)
{
    Graph *g = a->g;
    Ref room = b_binary(g, OP_sub, number(a, (double)a->image.dim[axis]), side);
    Ref from = b_unary(g, OP_floor, b_binary(g, OP_mul, u, room));
    Ref at = b_cast(g, b_iota(g, type_with(a->image, DT_I32), axis), a->column.dtype);
    Ref past = b_binary(g, OP_sub, at, per_sample(g, from, a->image));
    Ref begun = b_binary(g, OP_le, b_like(g, past, 0), past);
    return b_binary(g, OP_and, begun, b_binary(g, OP_lt, past, per_sample(g, side, a->image)));
}

static Ref window(Attack *a)
{
    Graph *g = a->g;
    Ref u = draw(a, 2, 1, 1, 1), side = side_of(a);
    Ref row = to_vector(g, b_slice_axis(g, u, 1, 0, 1, 1));
    Ref col = to_vector(g, b_slice_axis(g, u, 1, 1, 1, 1));
    Ref rows = range(a, 2, row, side);
    return b_binary(g, OP_and, rows, range(a, 3, col, side));
}

/* ---- step ---- */

static Ref candidate(Attack *a)
{
    Graph *g = a->g;
    Ref x = image_in(a, "x"), best = image_in(a, "state.x"), eps = knob(a, "eps", 0);
    int64_t c = a->image.dim[1], w = a->image.dim[3];
    Ref stripes = signs(a, draw(a, c, 1, w, 0), 1);
    Ref change = signs(a, draw(a, c, 1, 1, 2), 2);
    change = b_select(g, window(a), change, b_like(g, change, 0));
    Ref first = is_value(g, int_in(a, "t"), 0);
    Ref v = b_binary(g, OP_add, pick(a, first, x, best), pick(a, first, stripes, change));
    Ref wide = per_sample(g, eps, a->image);
    Ref low = b_binary(g, OP_sub, x, wide), high = b_binary(g, OP_add, x, wide);
    return to_pixels(g, b_clip(g, v, low, high));
}

static void build_step(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->step, "step");
    Graph *g = a.g;
    Ref v = candidate(&a), z = model_apply(g, m, v), least = column_in(&a, "state.margin");
    graph_set_origin(g, arena_printf(m->arena, "%s update", s->name));
    Ref margin = to_vector(g, loss_margin(g, z, sample_input(g, "y", DT_I64, m->b)));
    margin = b_binary(g, OP_mul, margin, b_unary(g, OP_neg, ascent(&a)));
    Ref wins = b_binary(g, OP_le, margin, number(&a, 0));
    Ref better = b_binary(g, OP_or, wins, b_binary(g, OP_lt, margin, least));
    graph_output(g, "state.x", pick(&a, better, v, image_in(&a, "state.x")));
    graph_output(g, "state.margin", b_select(g, better, margin, least));
    graph_output(g, "done", b_select(g, wins, ints(&a, 2), ints(&a, 0)));
}

static void build_finish(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->finish, "finish");
    Ref wins = b_binary(a.g, OP_le, column_in(&a, "state.margin"), number(&a, 0));
    graph_output(a.g, "adv", image_in(&a, "state.x"));
    graph_output(a.g, "success", b_cast(a.g, wins, DT_I32));
}

void program_square_linf(const Model *m, ProgramSpec *s)
{
    if (m->g->node[m->x].type.rank != 4) err(s->name, "needs images [batch, C, H, W]");
    attack_tensors(m, s, false, "image of least margin");
    spec_hyper(s, "eps", m->dtype, 8.0 / 255, 0, 1, "radius of the ball");
    spec_hyper(s, "p", m->dtype, 0.8, 0, 1, "share of the pixels in a window at first");
    spec_hyper(s, "rescale", DT_I32, 0, 0, 1, "1: the schedule is for 10000 queries, stretched");
    spec_hyper(s, "targeted", DT_I32, 0, 0, 1, "1: y is the class to reach");
    s->step_forwards = 1;
    build_init(m, s);
    build_step(m, s);
    build_finish(m, s);
}

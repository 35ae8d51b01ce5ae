/* SPDX-License-Identifier: Apache-2.0 */
/* square-linf, square-l2: the Square attack (Andriushchenko, Croce, Flammarion, Hein 2020,
 * algorithms 1 to 3), as in AutoAttack. Random search by forward passes alone: query 0 is x with a
 * random pattern; each later one changes square windows of the best image so far
 *
 *   side = round(sqrt(p H W));  p = p_0 halved after 10, 50, 200, 500, 1000, 2000, 4000, 6000,
 *          8000 queries (with `rescale` 1: of each 10000th part of the queries)
 *   corner uniform
 *
 * and is taken if the margin z_y - max over j != y of z_j falls, or is at most 0, which ends the
 * attack. Each sample has its own windows and signs; the authors' code shares a query's windows in
 * the batch. What a candidate is: square_linf.c, square_l2.c. */
#include "compiler/programs/square.h"

#include <math.h>

static void build_init(const Model *m, ProgramSpec *s, const Square *how)
{
    Attack a = attack_phase(m, s, &s->init, "init");
    graph_output(a.g, "state.x", how->first(&a));
    graph_output(a.g, "state.margin", number(&a, INFINITY)); /* of an image that was evaluated */
    graph_output(a.g, "state.queries", int_in(&a, "limit"));
}

/* ---- random choices ---- */

Ref square_draw(Attack *a, int rank, const int64_t *dim, Ref draw, int stream)
{
    int64_t shape[MAX_RANK] = {a->m->b};
    for (int i = 0; i < rank; i++) shape[i + 1] = dim[i];
    Ref seed = b_input(a->g, "seed", type_scalar(DT_I64));
    Ref id = sample_input(a->g, "id", DT_I64, a->m->b);
    return b_rng(a->g, seed, id, draw, type_of(a->column.dtype, rank + 1, shape), stream);
}

Ref square_sign(Attack *a, Ref u)
{
    Graph *g = a->g;
    Ref low = b_binary(g, OP_lt, u, b_like(g, u, 0.5));
    return b_select(g, low, b_like(g, u, -1), b_like(g, u, 1));
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

/* v, and 1 more where it is even */
static Ref made_odd(Attack *a, Ref v)
{
    Graph *g = a->g;
    Ref half = b_unary(g, OP_floor, b_binary(g, OP_mul, v, number(a, 0.5)));
    Ref down = b_binary(g, OP_add, half, half);
    return b_binary(g, OP_add, down, number(a, 1));
}

Ref square_side(Attack *a, int least, bool odd)
{
    Graph *g = a->g;
    int64_t h = a->image.dim[2], w = a->image.dim[3];
    Ref area = b_binary(g, OP_mul, share(a), number(a, (double)(h * w)));
    Ref side = b_unary(g, OP_round, b_unary(g, OP_sqrt, area));
    side = b_binary(g, OP_max2, side, number(a, least));
    if (odd) side = made_odd(a, side);
    return b_binary(g, OP_min2, side, number(a, (double)(h < w ? h : w)));
}

Ref square_past(Attack *a, int axis, Ref u, Ref side)
{
    Graph *g = a->g;
    Type plane = a->image;
    plane.dim[1] = 1;
    Ref room = b_binary(g, OP_sub, number(a, (double)plane.dim[axis]), side);
    Ref from = b_unary(g, OP_floor, b_binary(g, OP_mul, u, room));
    Ref at = b_cast(g, b_iota(g, type_with(plane, DT_I32), axis), plane.dtype);
    return b_binary(g, OP_sub, at, per_sample(g, from, plane));
}

static Ref begun_not_over(Graph *g, Ref past, Ref side)
{
    Ref begun = b_binary(g, OP_le, b_like(g, past, 0), past);
    Ref ahead = b_binary(g, OP_lt, past, per_sample(g, side, g->node[past].type));
    return b_binary(g, OP_and, begun, ahead);
}

Ref square_inside(Attack *a, Ref down, Ref right, Ref side)
{
    Ref rows = begun_not_over(a->g, down, side);
    return b_binary(a->g, OP_and, rows, begun_not_over(a->g, right, side));
}

/* ---- step ---- */

static void build_step(const Model *m, ProgramSpec *s, const Square *how)
{
    Attack a = attack_phase(m, s, &s->step, "step");
    Graph *g = a.g;
    Ref best = image_in(&a, "state.x"), first = is_value(g, int_in(&a, "t"), 0);
    Ref v = pick(&a, first, best, how->another(&a));
    Ref z = model_apply(g, m, v), least = column_in(&a, "state.margin");
    graph_set_origin(g, arena_printf(m->arena, "%s update", s->name));
    Ref margin = to_vector(g, loss_margin(g, z, sample_input(g, "y", DT_I64, m->b)));
    margin = b_binary(g, OP_mul, margin, b_unary(g, OP_neg, ascent(&a)));
    Ref wins = b_binary(g, OP_le, margin, number(&a, 0));
    Ref better = b_binary(g, OP_or, wins, b_binary(g, OP_lt, margin, least));
    graph_output(g, "state.x", pick(&a, better, v, best));
    graph_output(g, "state.margin", b_select(g, better, margin, least));
    graph_output(g, "done", b_select(g, wins, ints(&a, 2), ints(&a, 0)));
}

/* Without a query there is no image but x. */
static void build_finish(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->finish, "finish");
    Ref margin = column_in(&a, "state.margin");
    Ref wins = b_binary(a.g, OP_le, margin, number(&a, 0));
    Ref tried = b_binary(a.g, OP_lt, margin, number(&a, INFINITY));
    graph_output(a.g, "adv", pick(&a, tried, image_in(&a, "state.x"), image_in(&a, "x")));
    graph_output(a.g, "success", b_cast(a.g, wins, DT_I32));
}

void square_build(const Model *m, ProgramSpec *s, const Square *how)
{
    if (m->g->node[m->x].type.rank != 4) err(s->name, "needs images [batch, C, H, W]");
    attack_tensors(m, s, false, "image of least margin");
    spec_hyper(s, "eps", m->dtype, how->eps, 0, how->most, "radius of the ball");
    spec_hyper(s, "p", m->dtype, 0.8, 0, 1, "share of the pixels in a window at first");
    spec_hyper(s, "rescale", DT_I32, 0, 0, 1, "1: the schedule is for 10000 queries, stretched");
    spec_hyper(s, "targeted", DT_I32, 0, 0, 1, "1: y is the class to reach");
    s->step_forwards = 1;
    build_init(m, s, how);
    build_step(m, s, how);
    build_finish(m, s);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* fab, fab-t and their -l2 forms: the fast adaptive boundary attack (Croce, Hein 2020, algorithm
 * 1), as in AutoAttack. An iteration at x_k, with f_j = z_j - z_y and g_j its gradient:
 *
 *   fab    j: the class of least |f_j| / (1e-12 + ||g_j||_q);  q = 1 for Linf, 2 for L2
 *   fab-t  j: the class of rank `rank` among the logits of x
 *   plane  P = {v: f_j + <g_j, v - x_k> = 0}
 *   d_1, d_2 = least steps in the norm from x_k, from x to P within [0,1] (as far as there is any)
 *   a_i    = max(||d_i||, 1e-8);  alpha = min(a_1 / (a_1 + a_2), alpha_max)
 *   v      = clip((1 - alpha) (x_k + eta d_1) + alpha (x + eta d_2), 0, 1)
 *   x_k+1  = v, or x + beta (v - x) if v fools, which is then kept if it is the nearest so far
 *
 * It starts at x, or (random 1: a restart) at x + eps/2 in a random direction. The result is the
 * nearest v, if it is within eps.
 *
 * A step is one evaluation: of v, which ends there if it fools; else, and of x_k, for one j. The
 * call's steps are iterations. The least step to a plane within a box is d_i = -+min(l r_i, room_i)
 * (r_i: 1, or |w_i| in L2), l such that it reaches the plane: the root of an increasing, concave,
 * piecewise linear function. Newton's rule from 0 only grows and ends at it: after 11 rounds (Linf)
 * or 21 (L2) on the worst of many random planes. The authors' code sorts the pixels instead. */
#include <math.h>

#include "compiler/programs/attack.h"

typedef struct Fab {
    bool l2, targeted;
} Fab;

static Ref plus(Graph *g, Ref v, double value)
{
    return b_binary(g, OP_add, v, b_like(g, v, value));
}

static Ref length(Graph *g, const Fab *how, Ref v)
{
    return how->l2 ? norm_l2(g, v) : norm_linf(g, v);
}

/* ---- planes in the box ---- */

enum { ROUNDS = 28 };

typedef struct Planes { /* two points p, each with a plane {p + d: <w, d> = -cost} at its side */
    Ref weight, rate;   /* |w|; what a pixel moves for l = 1 */
    Ref room, rises;    /* how far it can; the way it goes, bool */
    Ref cost;           /* all of them [b, 2, n], this one [b, 2, 1] */
} Planes;

static Ref over_pixels(Graph *g, Ref v)
{
    return b_reduce(g, OP_sum, v, 1, (int[]){2});
}

static Planes planes(Graph *g, const Fab *how, Ref points, Ref w, Ref offset)
{
    Type t = g->node[points].type;
    Ref wide = b_broadcast_to(g, offset, t), zero = b_like(g, w, 0);
    Ref above = b_binary(g, OP_le, zero, wide), falls = b_binary(g, OP_lt, w, zero);
    Planes p = {.weight = b_unary(g, OP_abs, w), .cost = b_unary(g, OP_abs, offset)};
    Ref ahead = b_binary(g, OP_lt, zero, w);
    p.rises = b_select(g, above, falls, ahead);
    Ref live = b_binary(g, OP_lt, b_like(g, w, how->l2 ? 1e-8 : 0), p.weight);
    Ref up = b_binary(g, OP_sub, b_like(g, points, 1), points);
    p.room = b_select(g, live, b_select(g, p.rises, up, points), zero);
    p.rate = how->l2 ? p.weight : b_like(g, w, 1);
    return p;
}

static Ref next_level(Graph *g, const Planes *p, Ref level)
{
    Ref far = b_binary(g, OP_mul, b_broadcast_to(g, level, g->node[p->rate].type), p->rate);
    Ref stuck = b_binary(g, OP_le, p->room, far), zero = b_like(g, p->room, 0);
    Ref reached = b_binary(g, OP_mul, p->weight, p->room);
    Ref slope = b_binary(g, OP_mul, p->weight, p->rate);
    reached = over_pixels(g, b_select(g, stuck, reached, zero));
    slope = over_pixels(g, b_select(g, stuck, zero, slope));
    slope = b_binary(g, OP_max2, slope, b_like(g, slope, 1e-30));
    Ref next = b_binary(g, OP_div, b_binary(g, OP_sub, p->cost, reached), slope);
    return b_binary(g, OP_max2, level, next);
}

/* The steps d [b, 2, n] from two points to one plane w, [b, 1, n], by how much <w, .> is above it
 * at each, [b, 2, 1]. */
static Ref onto_plane(Graph *g, const Fab *how, Ref points, Ref w, Ref offset)
{
    Planes p = planes(g, how, points, b_broadcast_to(g, w, g->node[points].type), offset);
    Ref level = b_like(g, p.cost, 0);
    for (int round = 0; round < ROUNDS; round++) level = next_level(g, &p, level);
    Ref far = b_binary(g, OP_mul, b_broadcast_to(g, level, g->node[p.rate].type), p.rate);
    Ref d = b_binary(g, OP_min2, far, p.room);
    return b_select(g, p.rises, d, b_unary(g, OP_neg, d));
}

/* ---- init ---- */

static Ref random_start(Attack *a, const Fab *how, Ref x)
{
    Graph *g = a->g;
    Ref n = how->l2 ? noise_gaussian(g, a->image, ints(a, 0), 0)
                    : noise_uniform(g, a->image, ints(a, 0), 0);
    Ref half = b_binary(g, OP_mul, knob(a, "eps", 0), number(a, 0.5));
    Ref by = scaled(g, n, b_binary(g, OP_div, half, length(g, how, n)));
    return to_pixels(g, b_binary(g, OP_add, x, by));
}

static int64_t borders(const Model *m, const Fab *how)
{
    return how->targeted ? 1 : model_classes(m) - 1;
}

/* An iteration is at most one step for each border, and one for a v that fools. */
static void build_init(const Model *m, ProgramSpec *s, const Fab *how)
{
    Attack a = attack_phase(m, s, &s->init, "init");
    Graph *g = a.g;
    Ref x = image_in(&a, "x"), zero = ints(&a, 0), steps = int_in(&a, "limit");
    Ref most = b_binary(g, OP_mul, steps, ints(&a, (int)borders(m, how) + 1));
    Ref some = b_binary(g, OP_min2, steps, ints(&a, 1));
    nearest_begin(&a, x);
    graph_output(g, "limit", b_binary(g, OP_add, most, some));
    graph_output(g, "state.x", x);
    graph_output(g, "state.start", random_start(&a, how, x));
    graph_output(g, "state.fresh", zero); /* 1: x is a v that was not judged */
    graph_output(g, "state.rest", steps); /* iterations to go */
    graph_output(g, "state.k", zero);     /* the border of this iteration */
    graph_output(g, "state.near", number(&a, INFINITY));
    graph_output(g, "state.gap", number(&a, 0));
    graph_output(g, "state.way", b_like(g, x, 0));
    graph_output(g, "state.aim", graph_splat(g, type_with(a.column, DT_I64), 0));
}

/* ---- step ---- */

typedef struct Step {
    Ref x, xk, y, z;
    Ref first, waiting; /* bool: x_k is x; and the random start is still to come */
    Ref hit;            /* bool: x_k is a v that fools */
    Ref k, last;        /* the border, and bool: it is the iteration's last one */
    Ref gap, way;       /* f_j and g_j of the nearest border so far */
} Step;

/* i64 [b]: the class behind border k. */
static Ref rival(Attack *a, const Fab *how, const Step *p)
{
    Graph *g = a->g;
    Ref k = b_cast(g, p->k, DT_I64), above = b_binary(g, OP_le, p->y, k);
    Ref other = b_binary(g, OP_add, k, b_cast(g, above, DT_I64));
    if (how->targeted) {
        Ref ranked = class_of_rank(g, p->z, knob(a, "rank", 2));
        other = b_select(g, p->first, ranked, sample_input(g, "state.aim", DT_I64, a->m->b));
    }
    graph_output(g, "state.aim", other);
    return other;
}

static void nearest_border(Attack *a, const Fab *how, Step *p, Ref f, Ref grad)
{
    Graph *g = a->g;
    Ref n = plus(g, how->l2 ? norm_l2(g, grad) : norm_l1(g, grad), 1e-12);
    Ref d = b_binary(g, OP_div, b_unary(g, OP_abs, f), n), near = column_in(a, "state.near");
    Ref better = b_binary(g, OP_or, b_binary(g, OP_lt, d, near), is_value(g, p->k, 0));
    p->gap = b_select(g, better, f, column_in(a, "state.gap"));
    p->way = pick(a, better, grad, image_in(a, "state.way"));
    graph_output(g, "state.near", b_select(g, better, d, near));
    graph_output(g, "state.gap", p->gap);
    graph_output(g, "state.way", p->way);
}

static Ref line(Attack *a, Ref v)
{
    int64_t n = type_count(a->image) / a->m->b, shape[] = {a->m->b, 1, n};
    return b_reshape(a->g, v, 3, shape);
}

/* One of two steps, as an image. */
static Ref step_of(Attack *a, Ref both, int which)
{
    return b_reshape(a->g, b_slice_axis(a->g, both, 1, which, 1, 1), a->image.rank, a->image.dim);
}

/* What is moved of the way from a point: it + eta d, times a number. */
static Ref share(Attack *a, Ref from, Ref d, Ref factor)
{
    Graph *g = a->g;
    Ref to = b_binary(g, OP_add, from, scaled(g, d, knob(a, "eta", 1.05)));
    return scaled(g, to, factor);
}

static Ref mixed(Attack *a, const Fab *how, const Step *p, Ref d1, Ref d2)
{
    Graph *g = a->g;
    Ref least = number(a, 1e-8);
    Ref a1 = b_binary(g, OP_max2, length(g, how, d1), least);
    Ref a2 = b_binary(g, OP_max2, length(g, how, d2), least);
    Ref alpha = b_binary(g, OP_div, a1, b_binary(g, OP_add, a1, a2));
    alpha = b_binary(g, OP_min2, alpha, knob(a, "alpha", 0.1));
    Ref rest = b_binary(g, OP_sub, number(a, 1), alpha);
    Ref own = share(a, p->xk, d1, rest), back = share(a, p->x, d2, alpha);
    return to_pixels(g, b_binary(g, OP_add, own, back));
}

static Ref next_point(Attack *a, const Fab *how, const Step *p)
{
    Graph *g = a->g;
    Ref here = line(a, p->xk), home = line(a, p->x), w = line(a, p->way);
    Ref back = b_binary(g, OP_mul, w, b_binary(g, OP_sub, home, here));
    Ref gap = per_sample(g, p->gap, g->node[over_pixels(g, back)].type);
    Ref offset[] = {gap, b_binary(g, OP_add, gap, over_pixels(g, back))}, points[] = {here, home};
    Ref from = b_concat(g, 2, points, 1), by = b_concat(g, 2, offset, 1);
    Ref d = onto_plane(g, how, from, w, by);
    return mixed(a, how, p, step_of(a, d, 0), step_of(a, d, 1));
}

/* Where the next step evaluates, and what it is. */
static void move(Attack *a, const Fab *how, const Step *p)
{
    Graph *g = a->g;
    Ref ahead = b_binary(g, OP_sub, p->xk, p->x);
    Ref pulled = b_binary(g, OP_add, p->x, scaled(g, ahead, knob(a, "beta", 0.9)));
    Ref next = pick(a, p->last, next_point(a, how, p), p->xk);
    next = pick(a, p->hit, pulled, next);
    next = pick(a, p->waiting, image_in(a, "state.start"), next);
    Ref moved = b_cast(g, p->last, DT_I32), rest = int_in(a, "state.rest");
    Ref k = b_binary(g, OP_add, p->k, ints(a, 1));
    Ref stays = b_binary(g, OP_or, p->last, b_binary(g, OP_or, p->hit, p->waiting));
    graph_output(g, "state.x", next);
    graph_output(g, "state.fresh", moved);
    graph_output(g, "state.rest", b_binary(g, OP_sub, rest, moved));
    graph_output(g, "state.k", b_select(g, stays, ints(a, 0), k));
}

/* 2: x is misclassified, or the sample may leave at success; 1: the last v is to be judged. */
static Ref done(Attack *a, const Step *p, Ref wrong, Ref size)
{
    Graph *g = a->g;
    Ref near = b_binary(g, OP_le, size, knob(a, "eps", 0));
    near = b_binary(g, OP_and, near, knob_is(a, "stop", 1));
    Ref over = b_binary(g, OP_or, b_binary(g, OP_and, p->first, wrong), near);
    Ref last = b_binary(g, OP_and, p->last, is_value(g, int_in(a, "state.rest"), 1));
    return b_select(g, over, ints(a, 2), b_cast(g, last, DT_I32));
}

static void begin_step(Attack *a, const Fab *how, Step *p)
{
    Graph *g = a->g;
    Ref random = knob_is(a, "random", 1), fresh = is_value(g, int_in(a, "state.fresh"), 1);
    p->first = is_value(g, int_in(a, "t"), 0);
    p->waiting = b_binary(g, OP_and, p->first, random);
    p->k = int_in(a, "state.k");
    p->hit = b_binary(g, OP_and, fresh, fooled(a, p->z, p->y));
    Ref last = is_value(g, p->k, (double)(borders(a->m, how) - 1));
    Ref busy = b_binary(g, OP_or, p->hit, p->waiting);
    p->last = b_binary(g, OP_and, last, b_unary(g, OP_not, busy));
}

static void build_step(const Model *m, ProgramSpec *s, const Fab *how)
{
    Attack a = attack_phase(m, s, &s->step, "step");
    Graph *g = a.g;
    Step p = {.x = image_in(&a, "x"), .xk = image_in(&a, "state.x")};
    p.y = sample_input(g, "y", DT_I64, m->b);
    p.z = model_apply(g, m, p.xk);
    graph_set_origin(g, arena_printf(m->arena, "%s update", s->name));
    begin_step(&a, how, &p);
    Ref wrong = fooled(&a, p.z, p.y), far = b_binary(g, OP_sub, p.xk, p.x);
    Ref ok = b_binary(g, OP_or, p.hit, b_binary(g, OP_and, p.first, wrong));
    Ref size = nearest_note(&a, ok, p.xk, length(g, how, far));
    Ref other = loss_label_logit(g, p.z, rival(&a, how, &p));
    Ref loss = b_binary(g, OP_sub, other, loss_label_logit(g, p.z, p.y));
    Ref grad = attack_gradient(&a, loss, p.xk);
    nearest_border(&a, how, &p, to_vector(g, loss), grad);
    move(&a, how, &p);
    graph_output(g, "done", done(&a, &p, wrong, size));
}

/* ---- judge, finish ---- */

static void build_judge(const Model *m, ProgramSpec *s, const Fab *how)
{
    Attack a = attack_phase(m, s, &s->judge, "judge");
    Ref v = image_in(&a, "state.x"), z = model_apply(a.g, m, v);
    Ref ok = fooled(&a, z, sample_input(a.g, "y", DT_I64, m->b));
    Ref far = b_binary(a.g, OP_sub, v, image_in(&a, "x"));
    nearest_note(&a, ok, v, length(a.g, how, far));
}

static void build_finish(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->finish, "finish");
    Graph *g = a.g;
    Ref size = column_in(&a, "state.size"), eps = knob(&a, "eps", 0);
    Ref found = b_binary(g, OP_le, size, eps);
    graph_output(g, "adv", pick(&a, found, image_in(&a, "state.best"), image_in(&a, "x")));
    graph_output(g, "size", b_select(g, found, size, number(&a, INFINITY)));
    graph_output(g, "success", b_cast(g, found, DT_I32));
}

static void build(const Model *m, ProgramSpec *s, Fab how)
{
    attack_tensors(m, s, false, "nearest image found that fools within eps; x if there is none");
    attack_number(m, s, "size", m->dtype, how.l2 ? "its L2 distance" : "its Linf distance");
    spec_hyper(s, "eps", m->dtype, how.l2 ? 1 : 0.3, 0, how.l2 ? 1e4 : 1,
               "farthest that counts; random starts are half as far");
    spec_hyper(s, "alpha", m->dtype, 0.1, 0, 1, "largest share of the step from x");
    spec_hyper(s, "eta", m->dtype, 1.05, 1, 10, "steps to the plane, lengthened");
    spec_hyper(s, "beta", m->dtype, 0.9, 0, 1, "share that is kept of a perturbation that fools");
    spec_hyper(s, "random", DT_I32, 0, 0, 1, "1: random start");
    spec_hyper(s, "stop", DT_I32, 0, 0, 1, "0 never, 1 at success within eps");
    if (how.targeted)
        spec_hyper(s, "rank", DT_I32, 2, 2, (double)model_classes(m),
                   "the target: the class with the rank-th largest logit of x");
    attack_passes(m, s, 1);
    build_init(m, s, &how);
    build_step(m, s, &how);
    build_judge(m, s, &how);
    build_finish(m, s);
}

void program_fab(const Model *m, ProgramSpec *s)
{
    build(m, s, (Fab){false, false});
}

void program_fab_t(const Model *m, ProgramSpec *s)
{
    build(m, s, (Fab){false, true});
}

void program_fab_l2(const Model *m, ProgramSpec *s)
{
    build(m, s, (Fab){true, false});
}

void program_fab_t_l2(const Model *m, ProgramSpec *s)
{
    build(m, s, (Fab){true, true});
}

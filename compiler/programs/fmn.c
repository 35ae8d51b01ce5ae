/* SPDX-License-Identifier: Apache-2.0 */
/* fmn-l1, fmn-l2, fmn-linf: the fast minimum-norm attack (Pintor, Roli, Brendel, Biggio 2021,
 * algorithm 1). L = max over j != y of z_j, minus z_y (its negative towards a target); q is the
 * dual norm of p:
 *
 *   for t = 0 .. T-1:   fools = f(x + d) fools; the nearest x + d that does is kept
 *     e = fools: min(e (1 - gamma_t), nearest)
 *         before anything fooled: ||d||_p + |L| / ||g||_q;  after it: e (1 + gamma_t)
 *     e = min(e, ||max(x, 1 - x)||_p)
 *     d = d + a_t g / ||g||_2, projected to ||d||_p <= e, x + d clipped to [0,1]
 *
 * a_t goes from `step` to `step`/100 and gamma_t from `gamma` to 0.001 along a cosine. The
 * projection only shortens, as in the paper (adv-lib's L2 also lengthens, foolbox's does nothing).
 * The gradient is divided by its L2 norm also for Linf, as in the authors' code. The last point is
 * not tried. */
#include <math.h>

#include "compiler/programs/attack.h"

typedef struct Norms {
    Ref (*p)(Graph *, Ref), (*dual)(Graph *, Ref);
    Ref (*ball)(Graph *, Ref v, Ref eps);
} Norms;

static void build_init(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->init, "init");
    graph_output(a.g, "state.delta", graph_splat(a.g, a.image, 0));
    graph_output(a.g, "state.eps", number(&a, INFINITY));
    nearest_begin(&a, image_in(&a, "x"));
}

/* least + (most - least) * ramp */
static Ref between(Attack *a, Ref least, Ref most, Ref ramp)
{
    Graph *g = a->g;
    Ref rest = b_binary(g, OP_mul, b_binary(g, OP_sub, most, least), ramp);
    return b_binary(g, OP_add, least, rest);
}

typedef struct Facts { /* of the point x + d */
    Ref ok, size, nearest, loss;
    Ref worst, gamma;
} Facts;

static Ref next_eps(Attack *a, const Facts *f, Ref dual)
{
    Graph *g = a->g;
    Ref eps = column_in(a, "state.eps"), one = number(a, 1);
    Ref less = b_binary(g, OP_mul, eps, b_binary(g, OP_sub, one, f->gamma));
    Ref more = b_binary(g, OP_mul, eps, b_binary(g, OP_add, one, f->gamma));
    Ref gap = b_binary(g, OP_div, b_unary(g, OP_abs, f->loss), dual);
    Ref found = b_binary(g, OP_lt, f->nearest, number(a, INFINITY));
    Ref out = b_select(g, found, more, b_binary(g, OP_add, f->size, gap));
    Ref e = b_select(g, f->ok, b_binary(g, OP_min2, less, f->nearest), out);
    e = b_binary(g, OP_min2, e, f->worst);
    graph_output(g, "state.eps", e);
    return e;
}

static Ref at_least_tiny(Graph *g, Ref v)
{
    return b_binary(g, OP_max2, v, b_like(g, v, 1e-12));
}

static void build_step(const Model *m, ProgramSpec *s, const Norms *norm)
{
    Attack a = attack_phase(m, s, &s->step, "step");
    Graph *g = a.g;
    Ref x = image_in(&a, "x"), delta = image_in(&a, "state.delta"), ramp = cosine_ramp(&a);
    Ref y = sample_input(g, "y", DT_I64, m->b), here = b_binary(g, OP_add, x, delta);
    Ref z = model_apply(g, m, here);
    graph_set_origin(g, arena_printf(m->arena, "%s update", s->name));
    Ref loss = loss_margin(g, z, y), most = knob(&a, "step", 1);
    Facts f = {.ok = fooled(&a, z, y), .size = norm->p(g, delta), .loss = to_vector(g, loss)};
    f.nearest = nearest_note(&a, f.ok, here, f.size);
    f.worst = norm->p(g, farthest_pixels(g, x));
    f.gamma = between(&a, number(&a, 0.001), knob(&a, "gamma", 0), ramp);
    Ref least = b_binary(g, OP_mul, most, number(&a, 0.01));
    Ref by = b_binary(g, OP_mul, between(&a, least, most, ramp), ascent(&a));
    Ref grad = attack_gradient(&a, loss, delta);
    Ref dual = at_least_tiny(g, norm->dual(g, grad));
    Ref eps = next_eps(&a, &f, dual);
    Ref factor = b_binary(g, OP_div, by, at_least_tiny(g, norm_l2(g, grad)));
    Ref moved = b_binary(g, OP_add, delta, scaled(g, grad, factor));
    Ref there = to_pixels(g, b_binary(g, OP_add, x, norm->ball(g, moved, eps)));
    graph_output(g, "state.delta", b_binary(g, OP_sub, there, x));
}

static void build(const Model *m, ProgramSpec *s, const Norms *norm, double step, const char *size)
{
    nearest_tensors(m, s, size);
    spec_hyper(s, "step", m->dtype, step, 0, 1e4, "step size at first, L2 whatever the norm");
    spec_hyper(s, "gamma", m->dtype, 0.05, 0.001, 1, "relative change of the radius at first");
    spec_hyper(s, "targeted", DT_I32, 0, 0, 1, "1: y is the class to reach");
    attack_passes(m, s, 0);
    build_init(m, s);
    build_step(m, s, norm);
    Attack a = attack_phase(m, s, &s->finish, "finish");
    nearest_finish(&a);
}

void program_fmn_l1(const Model *m, ProgramSpec *s)
{
    static const Norms l1 = {norm_l1, norm_linf, ball_l1};
    build(m, s, &l1, 1, "L1 distance of adv; infinity if nothing fools");
}

void program_fmn_l2(const Model *m, ProgramSpec *s)
{
    static const Norms l2 = {norm_l2, norm_l2, ball_l2};
    build(m, s, &l2, 1, "L2 distance of adv; infinity if nothing fools");
}

void program_fmn_linf(const Model *m, ProgramSpec *s)
{
    static const Norms linf = {norm_linf, norm_l1, ball_linf};
    build(m, s, &linf, 10, "Linf distance of adv; infinity if nothing fools");
}

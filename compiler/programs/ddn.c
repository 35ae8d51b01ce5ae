/* SPDX-License-Identifier: Apache-2.0 */
/* ddn: decoupling direction and norm (Rony, Hafemann, Oliveira, Ben Ayed, Sabourin, Granger 2019,
 * algorithm 1). The perturbation d lies on a sphere whose radius shrinks while it fools and grows
 * while it does not:
 *
 *   for t = 0 .. T-1:   fools = f(x + d) fools; the nearest x + d that does is kept
 *     d = d + a_t * s g / ||g||_2;  a_t from `step` to `step`/100 along a cosine
 *     r = min(r * (fools ? 1 - gamma : 1 + gamma), ||max(x, 1 - x)||_2)
 *     d = d * r / ||d||_2;  x + d clipped to [0,1], then rounded to `levels` values (0: not)
 *
 * s = 1, or -1 towards a target. The last point is not tried, as in the authors' code. A gradient
 * of exactly zero moves nothing (there: a random direction). */
#include <float.h>

#include "compiler/programs/attack.h"

static Ref delta_zero(Attack *a)
{
    return graph_splat(a->g, a->image, 0);
}

static void build_init(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->init, "init");
    Ref x = image_in(&a, "x");
    graph_output(a.g, "state.delta", delta_zero(&a));
    graph_output(a.g, "state.radius", knob(&a, "radius", 1));
    nearest_begin(&a, x);
}

/* step/100 + (step - step/100) * ramp */
static Ref pace(Attack *a)
{
    Graph *g = a->g;
    Ref most = knob(a, "step", 1), ramp = cosine_ramp(a);
    Ref least = b_binary(g, OP_mul, most, number(a, 0.01));
    Ref rest = b_binary(g, OP_mul, b_binary(g, OP_sub, most, least), ramp);
    return b_binary(g, OP_add, least, rest);
}

static Ref next_radius(Attack *a, Ref x, Ref ok)
{
    Graph *g = a->g;
    Ref gamma = knob(a, "gamma", 0), one = number(a, 1);
    Ref less = b_binary(g, OP_sub, one, gamma), more = b_binary(g, OP_add, one, gamma);
    Ref radius = b_binary(g, OP_mul, column_in(a, "state.radius"), b_select(g, ok, less, more));
    Ref r = b_binary(g, OP_min2, radius, norm_l2(g, farthest_pixels(g, x)));
    graph_output(g, "state.radius", r);
    return r;
}

/* v to length r; a zero stays. */
static Ref lengthen(Graph *g, Ref v, Ref r)
{
    Ref n = norm_l2(g, v);
    Ref below = b_binary(g, OP_max2, n, b_like(g, n, FLT_MIN));
    return scaled(g, v, b_binary(g, OP_div, r, below));
}

static Ref quantised(Attack *a, Ref image)
{
    Graph *g = a->g;
    Ref levels = knob(a, "levels", 0), two = b_like(g, levels, 2);
    Ref last = b_cast(g, levels, a->column.dtype);
    last = b_binary(g, OP_sub, last, number(a, 1));
    Ref wide = per_sample(g, last, a->image);
    Ref grid = b_unary(g, OP_round, b_binary(g, OP_mul, image, wide));
    Ref off = b_binary(g, OP_lt, levels, two);
    return pick(a, off, image, b_binary(g, OP_div, grid, wide));
}

static void build_step(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->step, "step");
    Graph *g = a.g;
    Ref x = image_in(&a, "x"), delta = image_in(&a, "state.delta");
    Ref y = sample_input(g, "y", DT_I64, m->b), here = b_binary(g, OP_add, x, delta);
    Ref z = model_apply(g, m, here);
    graph_set_origin(g, arena_printf(m->arena, "%s update", s->name));
    Ref loss = loss_cross_entropy(g, z, y), ok = fooled(&a, z, y), by = pace(&a);
    nearest_note(&a, ok, here, norm_l2(g, delta));
    Ref radius = next_radius(&a, x, ok);
    by = b_binary(g, OP_mul, by, ascent(&a));
    Ref grad = attack_gradient(&a, loss, delta);
    Ref moved = b_binary(g, OP_add, delta, lengthen(g, grad, by));
    Ref there = b_binary(g, OP_add, x, lengthen(g, moved, radius));
    there = quantised(&a, to_pixels(g, there));
    graph_output(g, "state.delta", b_binary(g, OP_sub, there, x));
}

static void build_finish(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->finish, "finish");
    nearest_finish(&a);
}

void program_ddn(const Model *m, ProgramSpec *s)
{
    nearest_tensors(m, s, "L2 distance of adv; infinity if nothing fools");
    spec_hyper(s, "step", m->dtype, 1, 0, 1e4, "step size at first, L2");
    spec_hyper(s, "radius", m->dtype, 1, 0, 1e4, "radius at first, L2");
    spec_hyper(s, "gamma", m->dtype, 0.05, 0, 1, "relative change of the radius a step");
    spec_hyper(s, "levels", DT_I32, 256, 0, 65536, "values of a pixel; 0: any");
    spec_hyper(s, "targeted", DT_I32, 0, 0, 1, "1: y is the class to reach");
    attack_passes(m, s, 0);
    build_init(m, s);
    build_step(m, s);
    build_finish(m, s);
}

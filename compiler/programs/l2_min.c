/* SPDX-License-Identifier: Apache-2.0 */
/* l2-min, btr, g-explain: the walks of Woods, Chen, Teuscher, "Adversarial explanations for
 * understanding image classification decisions and improved neural network robustness", 2019
 * (algorithm 1 and section III, and the code published with it). A perturbation d follows the
 * gradient until a criterion holds, and is pulled back to the image while it does:
 *
 *   for t = 0 .. T-1:   g = gradient of the cross-entropy in d (minus it, towards a target)
 *     ok     = l2-min: f(x + d) fools    btr: p_y <= 1/classes    g-explain: RMSE(d) >= eps
 *     v      = ok ? -d : g;   v = v / (1e-8 + RMSE(v))
 *     m      = mu m + (1 - mu) v
 *     d      = d + eps * overshoot * (T - t) / (T (T + 1) / 2) * m
 *
 * l2-min and btr return the d of least RMSE among those that were ok, the last one (t = T)
 * included: judge evaluates it. A sample that never was ok returns d = 0 with first_ok = 10^9.
 * g-explain returns the last d. Nothing is clipped to [0,1] unless `box` is 1. */
#include <math.h>

#include "compiler/programs/attack.h"

enum { NEVER = 1000000000 };
typedef enum Goal { GOAL_FOOL, GOAL_CHANCE, GOAL_SIZE } Goal;

/* ---- init ---- */

static void build_init(const Model *m, ProgramSpec *s, Goal goal)
{
    Attack a = attack_phase(m, s, &s->init, "init");
    Ref zero = graph_splat(a.g, a.image, 0);
    graph_output(a.g, "state.delta", zero);
    graph_output(a.g, "state.m", zero);
    graph_output(a.g, "state.first", ints(&a, NEVER));
    if (goal != GOAL_SIZE) nearest_begin(&a, zero); /* size: the mean square of delta */
}

/* ---- the criterion ---- */

/* p_y > 1/classes, as classes > sum of exp(z_j - z_y): an overflow of exp is a no. */
static Ref above_chance(Attack *a, Ref z, Ref y)
{
    Graph *g = a->g;
    Type t = g->node[z].type;
    int over_classes[] = {1};
    Ref own = b_broadcast(g, loss_label_logit(g, z, y), t.rank, t.dim);
    Ref e = b_unary(g, OP_exp, b_binary(g, OP_sub, z, own));
    Ref sum = to_vector(g, b_reduce(g, OP_sum, e, 1, over_classes));
    return b_binary(g, OP_lt, sum, number(a, (double)t.dim[1]));
}

static Ref criterion(Attack *a, Goal goal, Ref z, Ref y, Ref size)
{
    Graph *g = a->g;
    if (goal == GOAL_FOOL) return fooled(a, z, y);
    if (goal == GOAL_CHANCE) {
        Ref above = above_chance(a, z, y);
        return b_select(g, knob_is(a, "targeted", 1), above, b_unary(g, OP_not, above));
    }
    Ref eps = knob(a, "eps", 0);
    return b_unary(g, OP_not, b_binary(g, OP_lt, size, b_binary(g, OP_mul, eps, eps)));
}

/* Notes that delta is ok at time t: the first time, and the least one. */
static void note(Attack *a, Goal goal, Ref ok, Ref delta, Ref size)
{
    Graph *g = a->g;
    Ref first = int_in(a, "state.first");
    Ref now = b_select(g, ok, int_in(a, "t"), ints(a, NEVER));
    graph_output(g, "state.first", b_binary(g, OP_min2, first, now));
    if (goal != GOAL_SIZE) nearest_note(a, ok, delta, size);
}

/* ---- step ---- */

/* eps * overshoot * (T - t) / (T (T + 1) / 2) */
static Ref stride(Attack *a)
{
    Graph *g = a->g;
    Ref t = b_cast(g, int_in(a, "t"), a->column.dtype);
    Ref all = b_cast(g, int_in(a, "limit"), a->column.dtype);
    Ref size = b_binary(g, OP_mul, knob(a, "eps", 0), knob(a, "overshoot", 1));
    Ref above = b_binary(g, OP_mul, size, b_binary(g, OP_sub, all, t));
    Ref pairs = b_binary(g, OP_mul, all, b_binary(g, OP_add, all, number(a, 1)));
    return b_binary(g, OP_div, above, b_binary(g, OP_mul, pairs, number(a, 0.5)));
}

static Ref unit_rms(Attack *a, Ref v)
{
    Graph *g = a->g;
    Ref rms = b_unary(g, OP_sqrt, mean_square(g, v));
    Ref below = b_binary(g, OP_add, rms, number(a, 1e-8));
    return b_binary(g, OP_div, v, per_sample(g, below, a->image));
}

static Ref momentum(Attack *a, Ref v)
{
    Graph *g = a->g;
    Ref mu = knob(a, "mu", 0);
    Ref rest = b_binary(g, OP_sub, number(a, 1), mu);
    Ref old = scaled(g, image_in(a, "state.m"), mu), fresh = scaled(g, v, rest);
    Ref m = b_binary(g, OP_add, old, fresh);
    graph_output(g, "state.m", m);
    return m;
}

static Ref boxed(Attack *a, Ref delta)
{
    Graph *g = a->g;
    Ref x = image_in(a, "x");
    Ref inside = b_binary(g, OP_sub, to_pixels(g, b_binary(g, OP_add, x, delta)), x);
    return pick(a, knob_is(a, "box", 1), inside, delta);
}

static void build_step(const Model *m, ProgramSpec *s, Goal goal)
{
    Attack a = attack_phase(m, s, &s->step, "step");
    Graph *g = a.g;
    Ref delta = image_in(&a, "state.delta"), y = sample_input(g, "y", DT_I64, m->b);
    Ref z = model_apply(g, m, b_binary(g, OP_add, image_in(&a, "x"), delta));
    graph_set_origin(g, arena_printf(m->arena, "%s update", s->name));
    Ref loss = loss_cross_entropy(g, z, y), size = mean_square(g, delta);
    Ref ok = criterion(&a, goal, z, y, size), by = stride(&a);
    Ref sign = per_sample(g, ascent(&a), a.image), back = b_unary(g, OP_neg, delta);
    note(&a, goal, ok, delta, size);
    Ref grad = attack_gradient(&a, loss, delta);
    Ref way = pick(&a, ok, back, b_binary(g, OP_mul, grad, sign));
    Ref v = momentum(&a, unit_rms(&a, way));
    Ref next = b_binary(g, OP_add, delta, scaled(g, v, by));
    graph_output(g, "state.delta", boxed(&a, next));
}

/* ---- judge, finish ---- */

static void build_judge(const Model *m, ProgramSpec *s, Goal goal)
{
    Attack a = attack_phase(m, s, &s->judge, "judge");
    Graph *g = a.g;
    Ref delta = image_in(&a, "state.delta"), y = sample_input(g, "y", DT_I64, m->b);
    Ref z = model_apply(g, m, b_binary(g, OP_add, image_in(&a, "x"), delta));
    if (goal == GOAL_SIZE) {
        graph_output(g, "success", b_cast(g, fooled(&a, z, y), DT_I32));
        return;
    }
    Ref size = mean_square(g, delta);
    note(&a, goal, criterion(&a, goal, z, y, size), delta, size);
}

static void build_finish(const Model *m, ProgramSpec *s, Goal goal)
{
    Attack a = attack_phase(m, s, &s->finish, "finish");
    Graph *g = a.g;
    Ref delta = image_in(&a, goal == GOAL_SIZE ? "state.delta" : "state.best");
    Ref first = int_in(&a, "state.first");
    graph_output(g, "adv", b_binary(g, OP_add, image_in(&a, "x"), delta));
    graph_output(g, "delta", delta);
    graph_output(g, "rmse", b_unary(g, OP_sqrt, mean_square(g, delta)));
    graph_output(g, "first_ok", first);
    if (goal == GOAL_SIZE) return;
    Ref ever = b_binary(g, OP_lt, first, ints(&a, NEVER));
    graph_output(g, "success", b_cast(g, ever, DT_I32));
}

/* ---- the rows ---- */

static void build(const Model *m, ProgramSpec *s, Goal goal)
{
    attack_tensors(m, s, false, "x + delta");
    spec_output(s, "delta", m->g->node[m->x].type, "the perturbation");
    attack_number(m, s, "rmse", m->dtype, "root of the mean square of delta");
    attack_number(m, s, "first_ok", DT_I32, "step that first met the goal; 10^9: none");
    spec_hyper(s, "eps", m->dtype, goal == GOAL_SIZE ? 0.1 : 20, 0, 1e6,
               goal == GOAL_SIZE ? "RMSE to reach" : "length of all steps together, in RMSE");
    if (goal == GOAL_SIZE)
        spec_hyper(s, "overshoot", m->dtype, 5, 0, 1e6, "length of all steps together, in eps");
    spec_hyper(s, "mu", m->dtype, goal == GOAL_SIZE ? 0 : 0.9, 0, 1, "momentum");
    spec_hyper(s, "targeted", DT_I32, goal == GOAL_SIZE, 0, 1, "1: y is the class to reach");
    spec_hyper(s, "box", DT_I32, 0, 0, 1, "1: keep x + delta in [0,1]");
    attack_passes(m, s, 1);
    build_init(m, s, goal);
    build_step(m, s, goal);
    build_judge(m, s, goal);
    build_finish(m, s, goal);
}

void program_l2_min(const Model *m, ProgramSpec *s)
{
    build(m, s, GOAL_FOOL);
}

void program_btr(const Model *m, ProgramSpec *s)
{
    build(m, s, GOAL_CHANCE);
}

void program_g_explain(const Model *m, ProgramSpec *s)
{
    build(m, s, GOAL_SIZE);
}

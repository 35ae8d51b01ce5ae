/* SPDX-License-Identifier: Apache-2.0 */
/* Climbing a loss L within a ball:
 *
 *   x_0     = project(start), or project(x + noise)
 *   g_k     = d L(f(x_k), y) / d x_k;  with momentum m_k = mu m_{k-1} + g_k / ||g_k||_1 for it
 *   x_{k+1} = project(x_k + s * step * u(g_k));  s = 1, or -1 where the loss is to fall
 *   Linf:     u(g) = sign(g);  project = clip to [x - eps, x + eps], then to [0,1]
 *   L2:       u(g) = g / (||g||_2 + 1e-10);  project = shorten x_k - x to eps, then clip to [0,1]
 *   L1:       u(g) = g / (||g||_1 + 1e-10);  project = x_k - x to the ball's nearest point, then
 *             clip to [0,1]
 *
 * The result (`keep`): the last iterate; the one of the best loss; the first that fools, else the
 * last. Early exits (`stop`): never; success, as soon as an iterate fools; cycle, when the iterate
 * repeats exactly (Brent's algorithm): the steps left are then taken modulo the period, so the last
 * iterate is the one that all steps would have given. */
#include "compiler/programs/bounded.h"

#include <float.h>
#include <math.h>

/* ---- balls ---- */

static Ref project(Attack *a, const Bounded *how, Ref v, Ref x, Ref eps)
{
    Graph *g = a->g;
    if (how->ball != BALL_LINF) {
        Ref delta = b_binary(g, OP_sub, v, x);
        delta = how->ball == BALL_L2 ? ball_l2(g, delta, eps) : ball_l1(g, delta, eps);
        return to_pixels(g, b_binary(g, OP_add, x, delta));
    }
    Ref wide = per_sample(g, eps, a->image);
    Ref low = b_binary(g, OP_sub, x, wide), high = b_binary(g, OP_add, x, wide);
    return to_pixels(g, b_clip(g, v, low, high));
}

static Ref length(Graph *g, const Bounded *how, Ref v)
{
    return how->ball == BALL_L2 ? norm_l2(g, v) : norm_l1(g, v);
}

/* Linf: uniform in the ball. L2, L1: a Gaussian direction, on the sphere. */
static Ref noise(Attack *a, const Bounded *how, Ref eps)
{
    Graph *g = a->g;
    if (how->ball == BALL_LINF) return scaled(g, noise_uniform(g, a->image, ints(a, 0), 0), eps);
    Ref direction = noise_gaussian(g, a->image, ints(a, 0), 0);
    return scaled(g, direction, b_binary(g, OP_div, eps, length(g, how, direction)));
}

/* ---- init ---- */

static Ref first_iterate(Attack *a, const Bounded *how)
{
    Ref x = image_in(a, "x"), eps = knob(a, "eps", 0);
    if (how->once) return x;
    Ref start = image_in(a, "start");
    if (!has_knob(a, "random")) return project(a, how, start, x, eps);
    Ref noisy = b_binary(a->g, OP_add, x, noise(a, how, eps));
    Ref from = pick(a, knob_is(a, "random", 1), noisy, start);
    return project(a, how, from, x, eps);
}

/* The next iterate follows from this one alone. */
static bool may_cycle(const Attack *a, const Bounded *how)
{
    return has_knob(a, "stop") && !how->momentum && !a->m->random;
}

static void begin_cycle(Attack *a, Ref x)
{
    graph_output(a->g, "state.saved", b_like(a->g, x, -1)); /* no iterate is ever -1 */
    graph_output(a->g, "state.power", ints(a, 1));
    graph_output(a->g, "state.lap", ints(a, 0));
}

/* Scores: the loss, in its wanted direction; or 1 for an iterate that fools, 0 for one that does
 * not, where 1/2 must be beaten. */
static void begin_keep(Attack *a, Ref x)
{
    Ref least = b_select(a->g, knob_is(a, "keep", 1), number(a, -INFINITY), number(a, 0.5));
    graph_output(a->g, "state.best", x);
    graph_output(a->g, "state.score", least);
    graph_output(a->g, "state.hit", ints(a, 0));
}

static void build_init(const Model *m, ProgramSpec *s, const Bounded *how)
{
    Attack a = attack_phase(m, s, &s->init, "init");
    Ref x = first_iterate(&a, how);
    graph_output(a.g, "state.x", x);
    if (how->momentum) graph_output(a.g, "state.g", b_like(a.g, x, 0));
    if (how->once)
        graph_output(a.g, "limit", b_binary(a.g, OP_min2, int_in(&a, "limit"), ints(&a, 1)));
    if (has_knob(&a, "keep")) begin_keep(&a, x);
    if (may_cycle(&a, how)) begin_cycle(&a, x);
}

/* ---- step ---- */

/* All that the update needs besides the gradient is built before the gradient, so that the update
 * can be the epilogue of the convolution that ends the backward pass. */
typedef struct Move {
    Ref x, eps;
    Ref stride;    /* [b]: signed step */
    Ref wide;      /* stride, wide */
    Ref low, high; /* Linf */
    Ref stay;      /* bool, wide: this iterate fools and is kept */
} Move;

static Move prepare_move(Attack *a, const Bounded *how, Ref x, Ref leave)
{
    Graph *g = a->g;
    Ref eps = knob(a, "eps", 0), step = how->once ? eps : knob(a, "step", 0);
    Ref stride = b_binary(g, OP_mul, ascent(a), step);
    Ref wide = per_sample(g, eps, a->image);
    Ref low = b_binary(g, OP_sub, x, wide), high = b_binary(g, OP_add, x, wide);
    Ref stay = wide_bool(a, leave);
    return (Move){x, eps, stride, per_sample(g, stride, a->image), low, high, stay};
}

static Ref move_linf(Attack *a, const Move *m, Ref xk, Ref grad)
{
    Graph *g = a->g;
    Ref by = b_binary(g, OP_mul, b_unary(g, OP_sign, grad), m->wide);
    Ref v = b_clip(g, b_binary(g, OP_add, xk, by), m->low, m->high);
    return b_select(g, m->stay, xk, to_pixels(g, v));
}

static Ref move_along(Attack *a, const Bounded *how, const Move *m, Ref xk, Ref grad)
{
    Graph *g = a->g;
    Ref n = length(g, how, grad);
    Ref factor = b_binary(g, OP_div, m->stride, b_binary(g, OP_add, n, b_like(g, n, 1e-10)));
    Ref v = b_binary(g, OP_add, xk, scaled(g, grad, factor));
    return b_select(g, m->stay, xk, project(a, how, v, m->x, m->eps));
}

static Ref accumulate(Attack *a, Ref grad)
{
    Graph *g = a->g;
    Ref n = norm_l1(g, grad);
    Ref inverse = b_binary(g, OP_max2, n, b_like(g, n, FLT_MIN));
    Ref unit = b_binary(g, OP_div, grad, per_sample(g, inverse, a->image));
    Ref old = scaled(g, image_in(a, "state.g"), knob(a, "mu", 1));
    Ref sum = b_binary(g, OP_add, old, unit);
    graph_output(g, "state.g", sum);
    return sum;
}

/* bool [b]: all elements equal */
static Ref same_image(Graph *g, Ref a, Ref b)
{
    Ref differ = b_cast(g, b_unary(g, OP_not, b_binary(g, OP_eq, a, b)), DT_I32);
    return is_value(g, to_vector(g, b_sum_samples(g, differ)), 0);
}

/* Brent: compare with a saved iterate; save anew after 1, 2, 4 ... steps. A repeat after `lap`
 * steps means period lap: the limit becomes the steps taken plus those left modulo the period. */
static void watch_cycle(Attack *a, Ref next)
{
    Graph *g = a->g;
    Ref saved = image_in(a, "state.saved"), power = int_in(a, "state.power");
    Ref t = int_in(a, "t"), limit = int_in(a, "limit"), one = ints(a, 1);
    Ref lap = b_binary(g, OP_add, int_in(a, "state.lap"), one);
    Ref found = b_binary(g, OP_and, same_image(g, next, saved), knob_is(a, "stop", 2));
    Ref taken = b_binary(g, OP_add, t, one), left = b_binary(g, OP_sub, limit, taken);
    Ref whole = b_binary(g, OP_mul, b_binary(g, OP_div, left, lap), lap);
    Ref save = b_binary(g, OP_eq, lap, power);
    graph_output(g, "limit", b_select(g, found, b_binary(g, OP_sub, limit, whole), limit));
    graph_output(g, "state.saved", pick(a, save, next, saved));
    graph_output(g, "state.power", b_select(g, save, b_binary(g, OP_add, power, power), power));
    graph_output(g, "state.lap", b_select(g, save, ints(a, 0), lap));
}

/* Keeps xk if it beats what was kept; returns the flag of what is kept then, i32 [b]. */
static Ref keep_better(Attack *a, Ref xk, Ref loss, Ref hit)
{
    Graph *g = a->g;
    Ref best = image_in(a, "state.best"), top = column_in(a, "state.score");
    Ref signed_loss = b_binary(g, OP_mul, ascent(a), to_vector(g, loss));
    Ref found = b_cast(g, hit, a->column.dtype);
    Ref score = b_select(g, knob_is(a, "keep", 1), signed_loss, found);
    Ref wanted = b_unary(g, OP_not, knob_is(a, "keep", 0));
    Ref better = b_binary(g, OP_and, b_binary(g, OP_lt, top, score), wanted);
    Ref flag = b_select(g, better, b_cast(g, hit, DT_I32), int_in(a, "state.hit"));
    graph_output(g, "state.best", pick(a, better, xk, best));
    graph_output(g, "state.score", b_select(g, better, score, top));
    graph_output(g, "state.hit", flag);
    return flag;
}

static void build_step(const Model *m, ProgramSpec *s, const Bounded *how)
{
    Attack a = attack_phase(m, s, &s->step, "step");
    Graph *g = a.g;
    Ref x = image_in(&a, "x"), xk = image_in(&a, "state.x");
    Ref y = sample_input(g, "y", DT_I64, m->b);
    Ref z = model_apply(g, m, xk);
    graph_set_origin(g, arena_printf(m->arena, "%s update", s->name));
    Ref loss = chosen_loss(&a, z, y), hit = fooled(&a, z, y);
    Ref leave = b_binary(g, OP_and, hit, knob_is(&a, "stop", 1));
    Move to = prepare_move(&a, how, x, leave);
    Ref grad = attack_gradient(&a, loss, xk);
    if (how->momentum) grad = accumulate(&a, grad);
    Ref next =
        how->ball == BALL_LINF ? move_linf(&a, &to, xk, grad) : move_along(&a, how, &to, xk, grad);
    graph_output(g, "state.x", next);
    graph_output(g, "done", b_cast(g, leave, DT_I32));
    if (has_knob(&a, "keep")) keep_better(&a, xk, loss, hit);
    if (may_cycle(&a, how)) watch_cycle(&a, next);
}

/* ---- judge, finish ---- */

static void build_judge(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->judge, "judge");
    Graph *g = a.g;
    Ref xk = image_in(&a, "state.x"), z = model_apply(g, m, xk);
    Ref y = sample_input(g, "y", DT_I64, m->b), hit = fooled(&a, z, y);
    Ref flag = b_cast(g, hit, DT_I32);
    if (has_knob(&a, "keep")) {
        Ref kept = keep_better(&a, xk, chosen_loss(&a, z, y), hit);
        flag = b_select(g, knob_is(&a, "keep", 0), flag, kept);
    }
    graph_output(g, "success", flag);
}

static void build_finish(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->finish, "finish");
    Graph *g = a.g;
    Ref result = image_in(&a, "state.x");
    if (has_knob(&a, "keep")) {
        Ref found = b_binary(g, OP_lt, number(&a, 0.5), column_in(&a, "state.score"));
        found = b_binary(g, OP_and, found, knob_is(&a, "keep", 2));
        Ref kept = b_binary(g, OP_or, found, knob_is(&a, "keep", 1));
        result = pick(&a, kept, image_in(&a, "state.best"), result);
    }
    graph_output(g, "adv", result);
}

/* ---- declaration ---- */

static void declare_walk(const Model *m, ProgramSpec *s, const Bounded *how)
{
    double far = how->ball == BALL_LINF ? 1 : 1e6;
    spec_hyper(s, "step", m->dtype, how->step, 0, far, "step size");
    spec_hyper(s, "targeted", DT_I32, 0, 0, 1, "1: y is the class to reach");
    if (!how->momentum)
        spec_hyper(s, "random", DT_I32, how->random, 0, 1,
                   how->ball != BALL_LINF ? "1: random start on the surface of the ball"
                                          : "1: uniform random start in the ball");
    bool cycles = !how->momentum && !m->random;
    spec_hyper(s, "stop", DT_I32, 0, 0, cycles ? 2 : 1,
               cycles ? "0 never, 1 at success, 2 at an exact cycle" : "0 never, 1 at success");
}

static void declare(const Model *m, ProgramSpec *s, const Bounded *how)
{
    attack_tensors(m, s, !how->once, how->once ? "the image after the step" : "what `keep` says");
    spec_hyper(s, "eps", m->dtype, how->eps, 0, how->ball == BALL_LINF ? 1 : 1e6,
               "radius of the ball, pixels in [0,1]");
    if (how->once)
        spec_hyper(s, "targeted", DT_I32, 0, 0, 1, "1: y is the class to reach");
    else
        declare_walk(m, s, how);
    spec_loss(m, s);
    if (!how->once)
        spec_hyper(s, "keep", DT_I32, 0, 0, 2, "0 last iterate, 1 best loss, 2 first that fools");
    if (how->momentum) spec_hyper(s, "mu", m->dtype, 1, 0, 1, "decay of the gradients' sum");
    attack_passes(m, s, 1);
}

void bounded_build(const Model *m, ProgramSpec *s, const Bounded *how)
{
    declare(m, s, how);
    build_init(m, s, how);
    build_step(m, s, how);
    build_judge(m, s);
    build_finish(m, s);
}

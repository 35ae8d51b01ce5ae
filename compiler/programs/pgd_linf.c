/* SPDX-License-Identifier: Apache-2.0 */
/* pgd-linf: projected gradient descent in the Linf ball (Madry, Makelov, Schmidt, Tsipras, Vladu
 * 2018, section 2.1), cross-entropy, last iterate:
 *
 *   x_0     = x + U(-eps, eps) a pixel, or a given start, or x; projected
 *   x_{k+1} = project(x_k + s * step * sign(d CE(f(x_k), y) / d x_k))
 *   project = clamp to [x - eps, x + eps], then to [0, 1];  s = 1, or -1 when targeted (y the
 * target)
 *
 * Early exits (`stop`): never; success, as soon as an iterate fools; cycle, when the iterate
 * repeats exactly (Brent's algorithm): the steps left are then taken modulo the period, so the last
 * iterate is the one that all steps would have given. */
#include "compiler/programs.h"
#include "passes/passes.h"

typedef struct Pgd {
    const Model *m;
    Graph *g;
    Type image, column; /* [b, C, H, W]; [b] of the model's dtype */
} Pgd;

static Ref to_pixels(Graph *g, Ref v)
{
    Ref zero = b_like(g, v, 0), one = b_like(g, v, 1);
    return b_clip(g, v, zero, one);
}

static Ref project(Pgd *p, Ref v, Ref x, Ref eps)
{
    Graph *g = p->g;
    Ref wide = per_sample(g, eps, p->image);
    Ref low = b_binary(g, OP_sub, x, wide), high = b_binary(g, OP_add, x, wide);
    return to_pixels(g, b_clip(g, v, low, high));
}

static Ref scalar_is(Graph *g, Ref v, double value)
{
    return b_binary(g, OP_eq, v, b_like(g, v, value));
}

static Pgd open_graph(const Model *m, Graph **slot, const char *name)
{
    Type image = m->g->node[m->x].type;
    *slot = graph_new(m->arena, name);
    return (Pgd){m, *slot, image, type_of(m->dtype, 1, &m->b)};
}

/* ---- init ---- */

static void build_init(const Model *m, ProgramSpec *s)
{
    Pgd p = open_graph(m, &s->init, "pgd-linf.init");
    Graph *g = p.g;
    Ref x = b_input(g, "x", p.image), start = b_input(g, "start", p.image);
    Ref eps = b_input(g, "eps", p.column), how = sample_input(g, "random", DT_I32, m->b);
    Ref seed = b_input(g, "seed", type_scalar(DT_I64)), id = sample_input(g, "id", DT_I64, m->b);
    Ref u = b_rng(g, seed, id, graph_splat(g, type_of(DT_I32, 1, &m->b), 0), p.image, 0);
    Ref twice = b_binary(g, OP_add, u, u), one = b_like(g, u, 1);
    Ref centred = b_binary(g, OP_sub, twice, one);
    Ref noise = b_binary(g, OP_mul, centred, per_sample(g, eps, p.image));
    Ref random = per_sample(g, scalar_is(g, how, 1), type_with(p.image, DT_BOOL));
    Ref from = b_select(g, random, b_binary(g, OP_add, x, noise), start);
    graph_output(g, "state.x", project(&p, from, x, eps));
    graph_output(g, "state.saved", b_like(g, x, -1)); /* no iterate is ever -1 */
    graph_output(g, "state.power", graph_splat(g, type_of(DT_I32, 1, &m->b), 1));
    graph_output(g, "state.lap", graph_splat(g, type_of(DT_I32, 1, &m->b), 0));
}

/* ---- step ---- */

static Ref fooled(Pgd *p, Ref z, Ref y, Ref targeted)
{
    Graph *g = p->g;
    Ref hit = predicts(g, z, y);
    return b_select(g, scalar_is(g, targeted, 1), hit, b_unary(g, OP_not, hit));
}

/* All that the update needs besides the gradient is built before the gradient, so that the update
 * can be the epilogue of the convolution that ends the backward pass. */
typedef struct Move {
    Ref stride; /* signed step, wide */
    Ref low, high;
    Ref stay; /* bool, wide: this iterate fools and is kept */
} Move;

static Move prepare_move(Pgd *p, Ref x, Ref targeted, Ref leave)
{
    Graph *g = p->g;
    Ref eps = per_sample(g, b_input(g, "eps", p->column), p->image);
    Ref step = b_input(g, "step", p->column);
    Ref s = b_select(g, scalar_is(g, targeted, 1), b_unary(g, OP_neg, step), step);
    return (Move){per_sample(g, s, p->image), b_binary(g, OP_sub, x, eps),
                  b_binary(g, OP_add, x, eps), per_sample(g, leave, type_with(p->image, DT_BOOL))};
}

static Ref move(Pgd *p, const Move *m, Ref xk, Ref grad)
{
    Graph *g = p->g;
    Ref by = b_binary(g, OP_mul, b_unary(g, OP_sign, grad), m->stride);
    Ref v = b_clip(g, b_binary(g, OP_add, xk, by), m->low, m->high);
    return b_select(g, m->stay, xk, to_pixels(g, v));
}

/* bool [b]: all elements equal */
static Ref same_image(Graph *g, Ref a, Ref b)
{
    Ref differ = b_cast(g, b_unary(g, OP_not, b_binary(g, OP_eq, a, b)), DT_I32);
    return scalar_is(g, to_vector(g, b_sum_samples(g, differ)), 0);
}

/* Brent: compare with a saved iterate; save anew after 1, 2, 4 ... steps. A repeat after `lap`
 * steps means period lap: the limit becomes the steps taken plus those left modulo the period. */
static void watch_cycle(Pgd *p, Ref next, Ref stop)
{
    Graph *g = p->g;
    int64_t b = p->m->b;
    Ref saved = b_input(g, "state.saved", p->image);
    Ref power = sample_input(g, "state.power", DT_I32, b);
    Ref t = sample_input(g, "t", DT_I32, b), limit = sample_input(g, "limit", DT_I32, b);
    Ref one = b_like(g, t, 1);
    Ref lap = b_binary(g, OP_add, sample_input(g, "state.lap", DT_I32, b), one);
    Ref found = b_binary(g, OP_and, same_image(g, next, saved), scalar_is(g, stop, 2));
    Ref taken = b_binary(g, OP_add, t, one), left = b_binary(g, OP_sub, limit, taken);
    Ref whole = b_binary(g, OP_mul, b_binary(g, OP_div, left, lap), lap);
    Ref save = b_binary(g, OP_eq, lap, power);
    Ref wide = per_sample(g, save, type_with(p->image, DT_BOOL));
    graph_output(g, "limit", b_select(g, found, b_binary(g, OP_sub, limit, whole), limit));
    graph_output(g, "state.saved", b_select(g, wide, next, saved));
    graph_output(g, "state.power", b_select(g, save, b_binary(g, OP_add, power, power), power));
    graph_output(g, "state.lap", b_select(g, save, b_like(g, lap, 0), lap));
}

static void build_step(const Model *m, ProgramSpec *s)
{
    Pgd p = open_graph(m, &s->step, "pgd-linf.step");
    Graph *g = p.g;
    Ref x = b_input(g, "x", p.image), xk = b_input(g, "state.x", p.image), grad;
    Ref y = sample_input(g, "y", DT_I64, m->b), stop = sample_input(g, "stop", DT_I32, m->b);
    Ref targeted = sample_input(g, "targeted", DT_I32, m->b);
    Ref z = model_apply(g, m, xk), loss = loss_cross_entropy(g, z, y);
    graph_set_origin(g, "pgd-linf update");
    Ref leave = b_binary(g, OP_and, fooled(&p, z, y, targeted), scalar_is(g, stop, 1));
    Move how = prepare_move(&p, x, targeted, leave);
    grad_append(g, 1, &loss, NULL, 1, &xk, &grad);
    graph_set_origin(g, "pgd-linf update");
    Ref next = move(&p, &how, xk, grad);
    graph_output(g, "state.x", next);
    graph_output(g, "done", b_cast(g, leave, DT_I32));
    watch_cycle(&p, next, stop);
}

/* ---- judge, finish ---- */

static void build_judge(const Model *m, ProgramSpec *s)
{
    Pgd p = open_graph(m, &s->judge, "pgd-linf.judge");
    Graph *g = p.g;
    Ref z = model_apply(g, m, b_input(g, "state.x", p.image));
    Ref y = sample_input(g, "y", DT_I64, m->b);
    Ref targeted = sample_input(g, "targeted", DT_I32, m->b);
    graph_output(g, "success", b_cast(g, fooled(&p, z, y, targeted), DT_I32));
}

static void build_finish(const Model *m, ProgramSpec *s)
{
    Pgd p = open_graph(m, &s->finish, "pgd-linf.finish");
    graph_output(p.g, "adv", b_input(p.g, "state.x", p.image));
}

void program_pgd_linf(const Model *m, ProgramSpec *s)
{
    Type image = m->g->node[m->x].type, label = type_of(DT_I64, 1, &m->b);
    model_classes(m);
    spec_input(s, "x", image, -1, "pixels in [0,1]");
    spec_input(s, "y", label, -1, "labels (targets when targeted), 0-based");
    spec_input(s, "start", image, 0, "first iterate when random = 0; NULL: x");
    spec_output(s, "adv", image, "last iterate");
    spec_output(s, "success", type_with(label, DT_I32), "1 if it fools (is the target)");
    spec_hyper(s, "eps", m->dtype, 8.0 / 255, 0, 1, "radius of the Linf ball, pixels in [0,1]");
    spec_hyper(s, "step", m->dtype, 2.0 / 255, 0, 1, "step size");
    spec_hyper(s, "targeted", DT_I32, 0, 0, 1, "1: y is the class to reach");
    spec_hyper(s, "random", DT_I32, 1, 0, 1, "1: uniform random start in the ball");
    spec_hyper(s, "stop", DT_I32, 0, 0, 2, "0 never, 1 at success, 2 at an exact cycle");
    s->loop = true;
    s->step_forwards = s->step_backwards = s->judge_forwards = 1;
    build_init(m, s);
    build_step(m, s);
    build_judge(m, s);
    build_finish(m, s);
}

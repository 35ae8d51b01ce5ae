/* SPDX-License-Identifier: Apache-2.0 */
/* apgd-ce, apgd-dlr, apgd-t and their -l2 forms: auto-PGD (Croce, Hein 2020, algorithm 1, and the
 * code published with it). Steps with momentum, whose size is halved at checkpoints:
 *
 *   u       = project(x_k + step * v(g));  v: sign, or g / (||g||_2 + 1e-12)
 *   x_{k+1} = project(x_k + a (u - x_k) + (1 - a) (x_k - x_{k-1}));  a = 3/4, 1 at first
 *   the step is 2 eps at first; the iterate of the best loss is kept with its gradient
 *   a checkpoint comes after p = 22% of the steps, the next ones each 3% sooner, 6% at least:
 *     if the loss rose in at most rho p of the last p steps, or if neither the step was halved at
 *     the last checkpoint nor the best loss has grown since, halve the step and go on from the best
 *
 * The first rise is counted against a loss of 0, as in the authors' code (it reads a row not yet
 * written). Projection: Linf clips to the ball, then to [0,1]; L2 shortens to eps, then clips.
 *
 * apgd-t climbs targeted DLR towards one class, the one of rank `rank` among the logits of x; its
 * step 0 evaluates x to find it, so it takes one step more than the call asks for. The result is
 * the last iterate that fools, else x. `stop` 1 returns the first: success is the same. */
#include "compiler/programs/attack.h"

#include <math.h>

typedef struct Apgd {
    bool l2;
    enum { CE, DLR, TARGETED } loss;
} Apgd;

typedef struct Step { /* what is known at iterate x_k */
    Ref x, xk, eps, t;
    Ref first;   /* bool: x_k is x_0 */
    Ref waiting; /* bool: targeted, and x_k is x, whose logits give the target */
    Ref loss, hit, grad;
    Ref best, best_grad, score; /* of the best loss, x_k considered */
    Ref halve;                  /* bool: a checkpoint says so */
} Step;

static Ref plus(Graph *g, Ref v, double value)
{
    return b_binary(g, OP_add, v, b_like(g, v, value));
}

static Ref within(Attack *a, const Apgd *how, Ref v, Ref x, Ref eps)
{
    Graph *g = a->g;
    if (how->l2) {
        Ref delta = b_binary(g, OP_sub, v, x), n = norm_l2(g, delta);
        Ref least = b_binary(g, OP_min2, n, eps);
        Ref factor = b_binary(g, OP_div, least, plus(g, n, 1e-12));
        return to_pixels(g, b_binary(g, OP_add, x, scaled(g, delta, factor)));
    }
    Ref wide = per_sample(g, eps, a->image);
    Ref low = b_binary(g, OP_sub, x, wide), high = b_binary(g, OP_add, x, wide);
    return to_pixels(g, b_clip(g, v, low, high));
}

/* ---- init ---- */

/* Linf: uniform, stretched until a pixel is at eps; L2: a Gaussian direction of length eps. */
static Ref random_start(Attack *a, const Apgd *how, Ref x, Ref eps)
{
    Graph *g = a->g;
    Ref n = how->l2 ? noise_gaussian(g, a->image, ints(a, 0), 0)
                    : noise_uniform(g, a->image, ints(a, 0), 0);
    Ref size = how->l2 ? plus(g, norm_l2(g, n), 1e-12) : norm_linf(g, n);
    Ref by = scaled(g, n, b_binary(g, OP_div, eps, size));
    return to_pixels(g, b_binary(g, OP_add, x, by));
}

/* max(int(percent of T), 1) */
static Ref share(Attack *a, int percent)
{
    Graph *g = a->g;
    Ref of = b_binary(g, OP_mul, int_in(a, "limit"), ints(a, percent));
    return b_binary(g, OP_max2, b_binary(g, OP_div, of, ints(a, 100)), ints(a, 1));
}

static void build_init(const Model *m, ProgramSpec *s, const Apgd *how)
{
    Attack a = attack_phase(m, s, &s->init, "init");
    Graph *g = a.g;
    Ref x = image_in(&a, "x"), eps = knob(&a, "eps", 0), zero = ints(&a, 0);
    Ref given = within(&a, how, image_in(&a, "start"), x, eps);
    Ref from = pick(&a, knob_is(&a, "random", 1), random_start(&a, how, x, eps), given);
    graph_output(g, "state.x", how->loss == TARGETED ? x : from);
    graph_output(g, "state.old", from); /* targeted: the start, until step 0 is over */
    graph_output(g, "state.adv", x);
    graph_output(g, "state.best", from);
    graph_output(g, "state.grad", b_like(g, from, 0));
    graph_output(g, "state.score", number(&a, -INFINITY));
    graph_output(g, "state.checked", number(&a, 0)); /* the best loss at the last checkpoint */
    graph_output(g, "state.loss", number(&a, 0));
    graph_output(g, "state.step", b_binary(g, OP_mul, eps, number(&a, 2)));
    graph_output(g, "state.period", share(&a, 22));
    graph_output(g, "state.since", zero); /* steps since the last checkpoint */
    graph_output(g, "state.rises", zero);
    graph_output(g, "state.halved", ints(&a, 1)); /* at the last checkpoint */
    graph_output(g, "state.hit", zero);
    graph_output(g, "state.shorter", share(&a, 3));
    graph_output(g, "state.shortest", share(&a, 6));
    if (how->loss != TARGETED) return;
    Ref limit = int_in(&a, "limit"), some = b_binary(g, OP_min2, limit, ints(&a, 1));
    graph_output(g, "limit", b_binary(g, OP_add, limit, some));
    graph_output(g, "state.aim", graph_splat(g, type_with(a.column, DT_I64), 0));
}

/* ---- step ---- */

static Ref loss_of(Attack *a, const Apgd *how, const Step *k, Ref z, Ref y)
{
    Graph *g = a->g;
    if (how->loss == CE) return loss_cross_entropy(g, z, y);
    if (how->loss == DLR) return loss_dlr(g, z, y);
    Ref ranked = class_of_rank(g, z, knob(a, "rank", 2));
    Ref kept = sample_input(g, "state.aim", DT_I64, a->m->b);
    Ref aim = b_select(g, k->waiting, ranked, kept);
    graph_output(g, "state.aim", aim);
    return loss_dlr_targeted(g, z, y, aim);
}

static void note_success(Attack *a, Ref xk, Ref hit)
{
    Graph *g = a->g;
    Ref flag = b_binary(g, OP_max2, int_in(a, "state.hit"), b_cast(g, hit, DT_I32));
    graph_output(g, "state.adv", pick(a, hit, xk, image_in(a, "state.adv")));
    graph_output(g, "state.hit", flag);
}

static void note_best(Attack *a, Step *k)
{
    Graph *g = a->g;
    Ref top = column_in(a, "state.score"), old = image_in(a, "state.best");
    Ref better = b_binary(g, OP_lt, top, k->loss);
    better = b_binary(g, OP_and, better, b_unary(g, OP_not, k->waiting));
    k->score = b_select(g, better, k->loss, top);
    k->best = pick(a, better, k->xk, old);
    k->best_grad = pick(a, better, k->grad, image_in(a, "state.grad"));
    graph_output(g, "state.score", k->score);
    graph_output(g, "state.best", k->best);
    graph_output(g, "state.grad", k->best_grad);
}

/* Rises of the loss since the last checkpoint, with this iterate's. */
static Ref count_rises(Attack *a, const Step *k)
{
    Graph *g = a->g;
    Ref rose = b_cast(g, b_binary(g, OP_lt, column_in(a, "state.loss"), k->loss), DT_I32);
    Ref rises = b_binary(g, OP_add, int_in(a, "state.rises"), rose);
    graph_output(g, "state.loss", b_select(g, k->first, number(a, 0), k->loss));
    return b_select(g, k->first, ints(a, 0), rises);
}

static Ref must_halve(Attack *a, const Step *k, Ref rises, Ref period)
{
    Graph *g = a->g;
    Ref few = b_binary(g, OP_mul, b_cast(g, period, a->column.dtype), knob(a, "rho", 0.75));
    Ref wavers = b_binary(g, OP_le, b_cast(g, rises, a->column.dtype), few);
    Ref stuck = b_binary(g, OP_le, k->score, column_in(a, "state.checked"));
    Ref whole = is_value(g, int_in(a, "state.halved"), 0);
    return b_binary(g, OP_or, wavers, b_binary(g, OP_and, stuck, whole));
}

static Ref checkpoint(Attack *a, const Step *k)
{
    Graph *g = a->g;
    Ref zero = ints(a, 0), rises = count_rises(a, k), period = int_in(a, "state.period");
    Ref since = b_binary(g, OP_add, int_in(a, "state.since"), ints(a, 1));
    Ref still = b_binary(g, OP_or, k->first, k->waiting); /* x is no step, with p = 1 either */
    since = b_select(g, still, zero, since);
    Ref now = b_binary(g, OP_eq, since, period), must = must_halve(a, k, rises, period);
    Ref kept = b_select(g, k->first, k->score, column_in(a, "state.checked"));
    Ref halved = b_select(g, now, b_cast(g, must, DT_I32), int_in(a, "state.halved"));
    Ref less = b_binary(g, OP_sub, period, int_in(a, "state.shorter"));
    Ref next = b_binary(g, OP_max2, less, int_in(a, "state.shortest"));
    graph_output(g, "state.checked", b_select(g, now, k->score, kept));
    graph_output(g, "state.halved", halved);
    graph_output(g, "state.period", b_select(g, now, next, period));
    graph_output(g, "state.since", b_select(g, now, zero, since));
    graph_output(g, "state.rises", b_select(g, now, zero, rises));
    return b_binary(g, OP_and, now, must);
}

static Ref direction(Attack *a, const Apgd *how, Ref grad)
{
    Graph *g = a->g;
    if (!how->l2) return b_unary(g, OP_sign, grad);
    Ref n = plus(g, norm_l2(g, grad), 1e-12);
    return b_binary(g, OP_div, grad, per_sample(g, n, a->image));
}

static Ref mixed(Attack *a, const Step *k, Ref from, Ref ahead)
{
    Graph *g = a->g;
    Ref most = b_select(g, k->first, number(a, 1), number(a, 0.75));
    Ref rest = b_select(g, k->first, number(a, 0), number(a, 0.25));
    Ref forth = scaled(g, b_binary(g, OP_sub, ahead, from), most);
    Ref drift = b_binary(g, OP_sub, from, image_in(a, "state.old"));
    Ref sum = b_binary(g, OP_add, from, forth);
    return b_binary(g, OP_add, sum, scaled(g, drift, rest));
}

static void move(Attack *a, const Apgd *how, const Step *k)
{
    Graph *g = a->g;
    Ref size = column_in(a, "state.step"), half = b_binary(g, OP_mul, size, number(a, 0.5));
    size = b_select(g, k->halve, half, size);
    Ref from = pick(a, k->halve, k->best, k->xk), grad = pick(a, k->halve, k->best_grad, k->grad);
    Ref by = scaled(g, direction(a, how, grad), size);
    Ref ahead = within(a, how, b_binary(g, OP_add, from, by), k->x, k->eps);
    Ref next = within(a, how, mixed(a, k, from, ahead), k->x, k->eps);
    if (how->loss == TARGETED) next = pick(a, k->waiting, image_in(a, "state.old"), next);
    graph_output(g, "state.x", next);
    graph_output(g, "state.old", from);
    graph_output(g, "state.step", size);
}

static void build_step(const Model *m, ProgramSpec *s, const Apgd *how)
{
    Attack a = attack_phase(m, s, &s->step, "step");
    Graph *g = a.g;
    bool aims = how->loss == TARGETED;
    Step k = {.x = image_in(&a, "x"), .xk = image_in(&a, "state.x"), .t = int_in(&a, "t")};
    Ref y = sample_input(g, "y", DT_I64, m->b), z = model_apply(g, m, k.xk);
    graph_set_origin(g, arena_printf(m->arena, "%s update", s->name));
    k.eps = knob(&a, "eps", 0);
    k.first = is_value(g, k.t, aims);
    k.waiting = is_value(g, k.t, aims ? 0 : -1);
    Ref loss = loss_of(&a, how, &k, z, y);
    k.loss = to_vector(g, loss);
    k.hit = fooled(&a, z, y);
    note_success(&a, k.xk, k.hit);
    Ref ends = b_binary(g, OP_or, knob_is(&a, "stop", 1), k.waiting);
    Ref done = b_cast(g, b_binary(g, OP_and, k.hit, ends), DT_I32);
    graph_output(g, "done", b_binary(g, OP_add, done, done)); /* 2: nothing is left to judge */
    k.grad = attack_gradient(&a, loss, k.xk);
    note_best(&a, &k);
    k.halve = checkpoint(&a, &k);
    move(&a, how, &k);
}

/* ---- judge, finish ---- */

static void build_judge(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->judge, "judge");
    Ref xk = image_in(&a, "state.x"), z = model_apply(a.g, m, xk);
    note_success(&a, xk, fooled(&a, z, sample_input(a.g, "y", DT_I64, m->b)));
}

static void build_finish(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->finish, "finish");
    graph_output(a.g, "adv", image_in(&a, "state.adv"));
    graph_output(a.g, "success", int_in(&a, "state.hit"));
}

/* ---- the rows ---- */

static void need_classes(const Model *m, const ProgramSpec *s, int least)
{
    if (model_classes(m) < least)
        err(m->g->out[0].name, "has %d classes; %s needs %d", (int)model_classes(m), s->name,
            least);
}

static void build(const Model *m, ProgramSpec *s, Apgd how)
{
    double far = how.l2 ? 1e4 : 1;
    need_classes(m, s, how.loss == TARGETED ? 4 : how.loss == DLR ? 3 : 2);
    attack_tensors(m, s, true, "last iterate that fools; x if none does");
    spec_hyper(s, "eps", m->dtype, how.l2 ? 0.5 : 8.0 / 255, 0, far, "radius of the ball");
    spec_hyper(s, "rho", m->dtype, 0.75, 0, 1, "share of steps in which the loss must rise");
    spec_hyper(s, "random", DT_I32, 1, 0, 1, "1: random start on the surface of the ball");
    spec_hyper(s, "stop", DT_I32, 0, 0, 1, "0 never, 1 at success");
    if (how.loss == TARGETED)
        spec_hyper(s, "rank", DT_I32, 2, 2, (double)model_classes(m),
                   "the target: the class with the rank-th largest logit of x");
    attack_passes(m, s, 1);
    build_init(m, s, &how);
    build_step(m, s, &how);
    build_judge(m, s);
    build_finish(m, s);
}

void program_apgd_ce(const Model *m, ProgramSpec *s)
{
    build(m, s, (Apgd){false, CE});
}

void program_apgd_dlr(const Model *m, ProgramSpec *s)
{
    build(m, s, (Apgd){false, DLR});
}

void program_apgd_t(const Model *m, ProgramSpec *s)
{
    build(m, s, (Apgd){false, TARGETED});
}

void program_apgd_ce_l2(const Model *m, ProgramSpec *s)
{
    build(m, s, (Apgd){true, CE});
}

void program_apgd_dlr_l2(const Model *m, ProgramSpec *s)
{
    build(m, s, (Apgd){true, DLR});
}

void program_apgd_t_l2(const Model *m, ProgramSpec *s)
{
    build(m, s, (Apgd){true, TARGETED});
}

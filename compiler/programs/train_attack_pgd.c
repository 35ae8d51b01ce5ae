/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks of training that climb within a ball (Madry et al. 2018): pgd-linf, pgd-l2 climb
 * cross-entropy, kl-linf climbs KL(softmax f(x) || softmax f(x')) (Zhang et al. 2019, in TRADES).
 *
 *   x_0     = x; or by attack_random 1: x plus a draw in the ball (Linf: uniform; L2: of length
 *             eps), clipped to [0,1]; 2: x plus 0.001 times a Gaussian, not clipped (TRADES, MART)
 *   x_{k+1} = project(x_k + step u(g));  u and project as in bounded.c
 *
 * Images that are not `attacked` stay as they are. */
#include "compiler/programs/train.h"
#include "passes/passes.h"

typedef struct Climb {
    bool l2, kl;
    double eps, step;
    int random;
} Climb;

typedef struct Ball {
    Ref eps, step, attacked; /* [B] */
} Ball;

static Ball ball_of(TrainStep *p, const Climb *how)
{
    Type each = type_of(p->t->dtype, 1, &p->m->b);
    double most = how->l2 ? 1e6 : 1;
    Ref eps = train_knob(p, "attack_eps", how->eps, 0, most, "radius of the ball");
    Ref step = train_knob(p, "attack_step", how->step, 0, most, "length of a step");
    Ref attacked = train_attacked(p);
    return (Ball){t_spread(p, eps, each), t_spread(p, step, each), attacked};
}

static Ref masked(TrainStep *p, const Ball *b, Ref yes, Ref no)
{
    return b_select(p->g, per_sample(p->g, b->attacked, type_with(t_image(p), DT_BOOL)), yes, no);
}

/* ---- init ---- */

static Ref in_ball(TrainStep *p, const Climb *how, const Ball *b, Ref u)
{
    Graph *g = p->g;
    if (!how->l2) return scaled(g, t_plus(p, t_times(p, u, 2), -1), b->eps);
    Ref way = b_normal(g, u);
    return scaled(g, way, b_binary(g, OP_div, b->eps, norm_l2(g, way)));
}

static void begin(TrainStep *p, const Climb *how)
{
    train_phase(p, &p->s->init, "init");
    Graph *g = p->g;
    Ball b = ball_of(p, how);
    Ref random = train_whole_knob(p, "attack_random", how->random, 0, 2,
                                  "start: 0 x, 1 in the ball, 2 beside x");
    Ref u = t_uniform(p, t_image(p), TRAIN_START);
    Ref far = to_pixels(g, t_binary(p, OP_add, p->clean, in_ball(p, how, &b, u)));
    Ref near = t_binary(p, OP_add, p->clean, t_times(p, b_normal(g, u), 1e-3));
    Ref one = t_binary(p, OP_eq, random, b_like(g, random, 1));
    Ref two = t_binary(p, OP_eq, random, b_like(g, random, 2));
    Ref start = t_where(p, one, far, t_where(p, two, near, p->clean));
    train_put_state(p, "adversarial", masked(p, &b, start, p->clean));
    if (p->attack_by_batch && p->t->nstat) train_put_state(p, "stats", p->stats);
}

/* ---- step ---- */

static Ref climbed(TrainStep *p, const Climb *how, Ref x)
{
    Graph *g = p->g;
    Ref z = train_attack_logits(p, x);
    if (!how->kl) return loss_cross_entropy(g, z, p->y);
    Ref own = b_unary(g, OP_stop, t_log_softmax(p, train_attack_logits(p, p->clean)));
    Ref far = t_binary(p, OP_sub, own, t_log_softmax(p, z));
    return t_class_sum(p, t_binary(p, OP_mul, b_unary(g, OP_exp, own), far));
}

static Ref moved(TrainStep *p, const Climb *how, const Ball *b, Ref x, Ref grad)
{
    Graph *g = p->g;
    if (!how->l2) {
        Ref to = t_binary(p, OP_add, x, scaled(g, b_unary(g, OP_sign, grad), b->step));
        Ref delta = ball_linf(g, t_binary(p, OP_sub, to, p->clean), b->eps);
        return to_pixels(g, t_binary(p, OP_add, p->clean, delta));
    }
    Ref n = norm_l2(g, grad);
    Ref by = b_binary(g, OP_div, b->step, b_binary(g, OP_add, n, b_like(g, n, 1e-10)));
    Ref to = t_binary(p, OP_add, x, scaled(g, grad, by));
    Ref delta = ball_l2(g, t_binary(p, OP_sub, to, p->clean), b->eps);
    return to_pixels(g, t_binary(p, OP_add, p->clean, delta));
}

static void advance(TrainStep *p, const Climb *how)
{
    train_phase(p, &p->s->step, "attack");
    Ball b = ball_of(p, how);
    Ref x = train_state(p, "adversarial", t_image(p)), grad;
    Ref loss = climbed(p, how, x);
    grad_append(p->g, 1, &loss, NULL, 1, &x, &grad);
    train_put_state(p, "adversarial", masked(p, &b, moved(p, how, &b, x, grad), x));
    train_end_attack(p);
}

static void climb(TrainStep *p, const Climb *how)
{
    begin(p, how);
    advance(p, how);
}

void train_attack_pgd_linf(TrainStep *p)
{
    static const Climb how = {.eps = 8.0 / 255, .step = 2.0 / 255, .random = 1};
    climb(p, &how);
}

void train_attack_pgd_l2(TrainStep *p)
{
    static const Climb how = {.l2 = true, .eps = .5, .step = .1};
    climb(p, &how);
}

void train_attack_kl_linf(TrainStep *p)
{
    static const Climb how = {.kl = true, .eps = .031, .step = .007, .random = 2};
    climb(p, &how);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The attacks that Woods, Chen, Teuscher 2019 train with: the walks of l2_min.c on a batch, without
 * momentum, from the image itself. A perturbation d follows the gradient until a criterion holds,
 * and is pulled back while it does:
 *
 *   for t = 0 .. T-1:   ok = walk: RMSE(d) >= eps    l2-min: f(x + d) names another class than y
 *     v = ok ? -d : gradient of cross-entropy;   d = d + eps (T - t) / (T (T+1) / 2) v / (1e-8 +
 *     RMSE(v))
 *
 * walk gives the last d; l2-min the d of least RMSE among those that were ok, the last one included
 * (one evaluation more), and d = 0 where none was. Nothing is clipped to [0,1]. Images that are not
 * `attacked` keep d = 0. */
#include "compiler/programs/train.h"

#include <math.h>

#include "passes/passes.h"

static Ref eps_of(TrainStep *p, bool least)
{
    double eps = least ? .1 : .01;
    return train_knob(p, "attack_eps", eps, 0, 1e6,
                      least ? "length of all steps, in RMSE" : "RMSE");
}

/* ---- init ---- */

static void begin(TrainStep *p, bool least)
{
    train_phase(p, &p->s->init, "init");
    Graph *g = p->g;
    Type each = type_of(p->t->dtype, 1, &p->m->b);
    Ref zero = b_like(g, p->clean, 0);
    train_put_state(p, "delta", zero);
    train_put_state(p, "adversarial", p->clean);
    if (least) {
        Ref limit = train_clock(p, "limit");
        train_put_state(p, "size", graph_splat(g, each, INFINITY));
        graph_output(g, "limit", t_plus(p, limit, 1));
    }
    if (p->attack_by_batch && p->t->nstat) train_put_state(p, "stats", p->stats);
}

/* ---- step ---- */

/* eps (T - t) / (T (T + 1) / 2), [1] */
static Ref stride(TrainStep *p, bool least)
{
    Graph *g = p->g;
    DType d = p->t->dtype;
    Ref all = b_cast(g, train_clock(p, "limit"), d), t = b_cast(g, train_clock(p, "t"), d);
    if (least) all = t_plus(p, all, -1);
    Ref left = t_binary(p, OP_mul, eps_of(p, least), t_binary(p, OP_sub, all, t));
    Ref pairs = t_times(p, t_binary(p, OP_mul, all, t_plus(p, all, 1)), .5);
    pairs = t_binary(p, OP_max2, pairs, b_like(g, pairs, 1));
    return t_binary(p, OP_div, left, pairs);
}

static Ref wide(TrainStep *p, Ref flag)
{
    return per_sample(p->g, flag, type_with(t_image(p), DT_BOOL));
}

/* The nearest that fools, kept as the attacked image. */
static void keep_least(TrainStep *p, Ref ok, Ref delta, Ref size)
{
    Graph *g = p->g;
    Type each = g->node[size].type;
    Ref best = train_state(p, "size", each), held = train_state(p, "adversarial", t_image(p));
    Ref better = t_binary(p, OP_and, ok, t_binary(p, OP_lt, size, best));
    Ref now = t_binary(p, OP_add, p->clean, delta);
    train_put_state(p, "size", b_select(g, better, size, best));
    train_put_state(p, "adversarial", b_select(g, wide(p, better), now, held));
}

static void advance(TrainStep *p, bool least)
{
    train_phase(p, &p->s->step, "attack");
    Graph *g = p->g;
    Ref delta = train_state(p, "delta", t_image(p)), grad, size = mean_square(g, delta);
    Ref z = train_attack_logits(p, t_binary(p, OP_add, p->clean, delta));
    Ref loss = loss_cross_entropy(g, z, p->y), far = eps_of(p, least), follow;
    if (least)
        follow = predicts(g, z, p->y);
    else
        follow = t_binary(p, OP_lt, size,
                          t_spread(p, t_binary(p, OP_mul, far, far), g->node[size].type));
    if (least) keep_least(p, b_unary(g, OP_not, follow), delta, size);
    grad_append(g, 1, &loss, NULL, 1, &delta, &grad);
    Ref way = b_select(g, wide(p, follow), grad, b_unary(g, OP_neg, delta));
    Ref length = t_plus(p, b_unary(g, OP_sqrt, mean_square(g, way)), 1e-8);
    way = t_binary(p, OP_div, way, per_sample(g, length, t_image(p)));
    Ref next = t_binary(p, OP_add, delta, t_scaled(p, way, stride(p, least)));
    next = b_select(g, wide(p, train_attacked(p)), next, delta);
    train_put_state(p, "delta", next);
    if (!least) train_put_state(p, "adversarial", t_binary(p, OP_add, p->clean, next));
    train_end_attack(p);
}

/* An image that is not attacked may be wrong at d = 0: that is its nearest. */
static void walk(TrainStep *p, bool least)
{
    begin(p, least);
    advance(p, least);
}

void train_attack_walk(TrainStep *p)
{
    walk(p, false);
}

void train_attack_l2_min(TrainStep *p)
{
    walk(p, true);
}

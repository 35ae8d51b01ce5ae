/* SPDX-License-Identifier: Apache-2.0 */
/* MART (Wang, Zou, Yi, Bailey, Ma, Gu 2020, "Improving adversarial robustness requires revisiting
 * misclassified examples", equation 11), as in the authors' code: with p = softmax f(x), q =
 * softmax f(x'), k the wrong class of largest q,
 *
 *   loss = mean of CE(f(x'), y) - log(1.0001 - q_k + 1e-12)
 *          + beta (1.0000001 - p_y) sum over j of p_j (log p_j - log(q_j + 1e-12))
 *
 * Running statistics move with x, then with x'. */
#include "compiler/programs/train.h"

#include <math.h>

/* The largest q of a wrong class, [B, 1]. */
static Ref rival(TrainStep *p, Ref q)
{
    Graph *g = p->g;
    int axis[] = {1};
    Ref hot = b_onehot(g, p->y, g->node[q].type);
    return b_reduce(g, OP_max, b_select(g, hot, b_like(g, q, -INFINITY), q), 1, axis);
}

static Ref boosted(TrainStep *p, Ref z, Ref q)
{
    Graph *g = p->g;
    Ref best = rival(p, q), left = t_plus(p, b_unary(g, OP_neg, best), 1.0001);
    Ref wrong = b_unary(g, OP_log, t_plus(p, left, 1e-12));
    return t_binary(p, OP_sub, loss_cross_entropy(g, z, p->y), wrong);
}

static Ref divergence(TrainStep *p, Ref z, Ref q)
{
    Graph *g = p->g;
    Ref log_p = t_log_softmax(p, z), log_q = b_unary(g, OP_log, t_plus(p, q, 1e-12));
    Ref prob = b_unary(g, OP_exp, log_p), far = t_binary(p, OP_sub, log_p, log_q);
    Ref kl = t_class_sum(p, t_binary(p, OP_mul, prob, far));
    Ref unsure = t_plus(p, b_unary(g, OP_neg, loss_label_logit(g, prob, p->y)), 1.0000001);
    return t_binary(p, OP_mul, kl, unsure);
}

void train_mart(TrainStep *p)
{
    if (!p->s->loop) err("--train", "loss=mart needs an attack, as in attack=pgd-linf");
    Ref beta = train_knob(p, "beta", 6, 0, 1e6, "weight of the divergence");
    p->net = train_by_batch(p, p->clean);
    TrainNet attacked = train_by_batch(p, p->x);
    Ref q = b_unary(p->g, OP_exp, t_log_softmax(p, attacked.logits));
    Ref ce = boosted(p, attacked.logits, q), kl = divergence(p, p->net.logits, q);
    p->loss = t_mean(p, t_binary(p, OP_add, ce, t_scaled(p, kl, beta)));
    train_out(p, "loss", train_whole(p, p->loss),
              "mean of boosted cross-entropy and beta times the divergence");
}

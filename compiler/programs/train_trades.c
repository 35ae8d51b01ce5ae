/* SPDX-License-Identifier: Apache-2.0 */
/* TRADES (Zhang, Yu, Jiao, Xing, El Ghaoui, Jordan 2019, "Theoretically principled trade-off
 * between robustness and accuracy", equation 5): with p = softmax f(x), q = softmax f(x'),
 *
 *   loss = mean of CE(f(x), y) + beta KL(p || q)
 *
 * As in the authors' code the gradient goes through p too, and running statistics move three
 * times: with x, x' and x, which it evaluates twice. x' is what the attack gives; theirs is
 * kl-linf. */
#include "compiler/programs/train.h"

void train_trades(TrainStep *p)
{
    Graph *g = p->g;
    if (!p->s->loop) err("--train", "loss=trades needs an attack, as in attack=kl-linf");
    Ref beta = train_knob(p, "beta", 6, 0, 1e6, "weight of the attacked images");
    p->net = train_by_batch(p, p->clean);
    TrainNet attacked = train_by_batch(p, p->x);
    train_move_statistics(p,
                          &(TrainNet){.stats = p->stats, .mean = p->net.mean, .var = p->net.var});
    Ref ce = t_mean(p, loss_cross_entropy(g, p->net.logits, p->y));
    Ref own = t_log_softmax(p, p->net.logits), other = t_log_softmax(p, attacked.logits);
    Ref far = t_binary(p, OP_sub, own, other);
    Ref kl = t_sum(p, t_binary(p, OP_mul, b_unary(g, OP_exp, own), far));
    kl = train_part(p, t_times(p, kl, 1 / (double)p->m->b));
    p->loss = t_binary(p, OP_add, ce, t_scaled(p, kl, beta));
    train_out(p, "loss", train_whole(p, p->loss), "mean of cross-entropy and beta KL");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW (Loshchilov, Hutter 2019, "Decoupled weight decay regularization", algorithm 2, with the
 * decay times the learning rate as in PyTorch):
 *
 *   m' = beta1 m + (1 - beta1) g;  v' = beta2 v + (1 - beta2) g^2;  t the number of this step
 *   p' = (1 - lr decay) p - lr / (1 - beta1^t) m' / (sqrt(v') / sqrt(1 - beta2^t) + epsilon)
 */
#include "compiler/programs/train.h"

/* 1 - beta^t */
static Ref bias(TrainStep *p, Ref beta, Ref t)
{
    Ref power = t_binary(p, OP_pow, beta, t);
    return t_binary(p, OP_sub, b_like(p->g, power, 1), power);
}

static Ref moved(TrainStep *p, Ref lr, Ref m, Ref v)
{
    Graph *g = p->g;
    Ref beta1 = train_knob(p, "beta1", .9, 0, 1, "of the gradient's mean");
    Ref beta2 = train_knob(p, "beta2", .999, 0, 1, "of the mean of its square");
    Ref epsilon = train_knob(p, "epsilon", 1e-8, 0, 1, "added to the root of that mean");
    Ref t = t_plus(p, train_count(p), 1);
    Ref root = b_unary(g, OP_sqrt, bias(p, beta2, t));
    Ref stride = t_binary(p, OP_div, lr, bias(p, beta1, t));
    Ref below = t_binary(p, OP_div, b_unary(g, OP_sqrt, v), t_spread(p, root, t_params(p)));
    below = t_binary(p, OP_add, below, t_spread(p, epsilon, t_params(p)));
    return t_scaled(p, t_binary(p, OP_div, m, below), stride);
}

void train_adamw(TrainStep *p)
{
    Ref grad = train_grad(p);
    Ref lr = train_knob(p, "lr", .001, 0, 1e6, "learning rate");
    Ref beta1 = train_knob(p, "beta1", .9, 0, 1, "of the gradient's mean");
    Ref beta2 = train_knob(p, "beta2", .999, 0, 1, "of the mean of its square");
    Ref mean = train_vector_in(p, "mean", p->t->params, "of the gradient; 0 at first");
    Ref square = train_vector_in(p, "square", p->t->params, "mean of its square; 0 at first");
    Ref m = t_mix(p, mean, grad, beta1);
    Ref v = t_mix(p, square, t_binary(p, OP_mul, grad, grad), beta2);
    Ref kept = t_scaled(p, p->params, lr), decay = train_decays(p);
    kept = t_binary(p, OP_sub, p->params, t_binary(p, OP_mul, decay, kept));
    p->next = t_binary(p, OP_sub, kept, moved(p, lr, m, v));
    train_out(p, "new_mean", m, "after the step");
    train_out(p, "new_square", v, "after the step");
}

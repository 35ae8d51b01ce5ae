/* SPDX-License-Identifier: Apache-2.0 */
/* Stochastic gradient descent as PyTorch has it (Sutskever, Martens, Dahl, Hinton 2013, "On the
 * importance of initialization and momentum", written without the learning rate in the velocity):
 *
 *   g += decay p;  v' = momentum v + g;  p' = p - lr (nesterov ? g + momentum v' : v')
 */
#include "compiler/programs/train.h"

void train_sgd(TrainStep *p)
{
    Graph *g = p->g;
    Ref grad = train_grad(p);
    Ref velocity = train_vector_in(p, "velocity", p->t->params, "of each parameter; 0 at first");
    Ref decay = train_decays(p);
    Ref momentum = train_knob(p, "momentum", .9, 0, 1, "of the velocity");
    Ref lr = train_knob(p, "lr", .1, 0, 1e6, "learning rate");
    Ref nesterov = train_knob(p, "nesterov", 0, 0, 1, "1: look ahead; 0: do not");
    Ref decayed = t_binary(p, OP_add, grad, t_binary(p, OP_mul, decay, p->params));
    Ref kept = t_scaled(p, velocity, momentum);
    velocity = t_binary(p, OP_add, kept, decayed);
    Ref ahead = t_binary(p, OP_add, decayed, t_scaled(p, velocity, momentum));
    Ref plain = t_binary(p, OP_eq, nesterov, b_like(g, nesterov, 0));
    Ref move = t_where(p, plain, velocity, ahead);
    p->next = t_binary(p, OP_sub, p->params, t_scaled(p, move, lr));
    train_out(p, "new_velocity", velocity, "after the step");
}

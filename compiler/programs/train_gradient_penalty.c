/* SPDX-License-Identifier: Apache-2.0 */
/* Input-gradient regularisation (Ross, Doshi-Velez 2018, "Improving the adversarial robustness and
 * interpretability of deep neural networks by regularizing their input gradients", equation 3): the
 * mean over images of the squared norm of the gradient of cross-entropy in the pixels. */
#include "compiler/programs/train.h"
#include "passes/passes.h"

void train_gradient_penalty(TrainStep *p)
{
    Ref weight = train_knob(p, "penalty_weight", .01, 0, 1e12, "of the penalty"), slope;
    Ref ce = loss_cross_entropy(p->g, p->net.logits, p->y);
    grad_append(p->g, 1, &ce, NULL, 1, &p->net.x, &slope);
    p->backwards += 2;
    Ref size = t_sum(p, t_binary(p, OP_mul, slope, slope));
    size = train_part(p, t_times(p, size, 1 / (double)p->m->b));
    train_out(p, "penalty", train_whole(p, size),
              "mean squared norm of the gradient of cross-entropy in x");
    p->penalty = t_binary(p, OP_mul, size, weight);
}

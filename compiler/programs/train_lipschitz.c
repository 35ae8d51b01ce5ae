/* SPDX-License-Identifier: Apache-2.0 */
/* The Lipschitz penalty of Woods, Chen, Teuscher 2019: psi times the mean over all pixels of the
 * batch of G^2, G the gradient in the pixels of the sum over images of logit `pick` or, where pick
 * is -1, of the logit of the label minus the largest other. Batch normalisation couples the images
 * in G too. psi follows the loss L of the batch: r' = max(0, r + clip(-ln(L / psi_loss), -0.01,
 * 1)), psi_used = psi exp(psi_rate r'); r is `control`, 0 at first, and psi_rate = 0 keeps psi as
 * it is. */
#include "compiler/programs/train.h"
#include "passes/passes.h"

/* [B, 1]: logit `pick`, or the margin where pick is negative. */
static Ref picked_output(TrainStep *p)
{
    Graph *g = p->g;
    Type label = g->node[p->y].type;
    Ref z = p->net.logits;
    Ref pick = train_in(p, "pick", label, "the logit whose gradient is made small; -1: the margin");
    Ref none = b_reshape(g, t_binary(p, OP_lt, pick, b_like(g, pick, 0)), 2,
                         (const int64_t[]){label.dim[0], 1});
    Ref margin = b_unary(g, OP_neg, loss_margin(g, z, p->y));
    Ref logit = loss_label_logit(g, z, pick);
    return b_select(g, none, margin, logit);
}

static Ref size_of_gradient(TrainStep *p)
{
    Ref s = picked_output(p), slope;
    grad_append(p->g, 1, &s, NULL, 1, &p->net.x, &slope);
    p->backwards += 2;
    return t_mean(p, t_binary(p, OP_mul, slope, slope));
}

/* psi for this batch, a vector of one that carries no gradient. */
static Ref controlled_psi(TrainStep *p)
{
    Graph *g = p->g;
    Ref psi = train_knob(p, "psi", 220, 0, 1e12, "weight of the penalty, at first");
    Ref goal = train_knob(p, "psi_loss", 1.5, 1e-6, 1e6, "the loss at which psi stays as it is");
    Ref rate = train_knob(p, "psi_rate", .02, 0, 1e3, "how fast psi follows the loss; 0: not");
    Ref control = train_vector_in(p, "control", 1, "of psi; 0 at first");
    Ref loss = b_unary(g, OP_stop, train_whole(p, p->loss));
    Ref far = b_unary(g, OP_log, t_binary(p, OP_div, loss, goal));
    Ref move = b_clip(g, b_unary(g, OP_neg, far), b_like(g, far, -.01), b_like(g, far, 1));
    control = t_binary(p, OP_add, control, move);
    control = t_binary(p, OP_max2, control, b_like(g, control, 0));
    Ref grown = b_unary(g, OP_exp, t_binary(p, OP_mul, rate, control));
    psi = t_binary(p, OP_mul, psi, grown);
    train_out(p, "new_control", control, "after the step");
    train_out(p, "psi_used", psi, "weight of the penalty in this step");
    return psi;
}

void train_lipschitz(TrainStep *p)
{
    Ref psi = controlled_psi(p), size = size_of_gradient(p);
    train_out(p, "penalty", train_whole(p, size), "mean square of the gradient in the pixels");
    p->penalty = t_binary(p, OP_mul, size, psi);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Stochastic depth (Huang, Sun, Liu, Sedra, Weinberger 2016, "Deep networks with stochastic
 * depth"): block l of L survives with probability p_l = 1 - l / L (1 - survival), l from 1. Its
 * branch, what goes beside the shortcut, is divided by p_l where it survives, so that evaluation
 * is without change (as torchvision.ops.stochastic_depth has it, by rows). Drawn once a step for
 * each image and block, for all evaluations by the batch. */
#include "compiler/programs/train.h"

void train_stochastic_depth(TrainStep *p)
{
    if (!p->t->nblock) err("--train", "depth=stochastic: the model has no residual sums");
    p->drops = true;
}

Ref train_drop(void *step, Graph *g, Ref branch, int block)
{
    TrainStep *p = step;
    int64_t all = p->t->nblock, dim[] = {p->m->b, all};
    Ref survival = train_knob(p, "survival", .5, 1e-3, 1, "probability of the last block");
    Ref u = t_uniform(p, type_of(p->t->dtype, 2, dim), TRAIN_DEPTH);
    u = b_reshape(g, b_slice_axis(g, u, 1, block, 1, 1), 1, dim);
    Ref loss = b_binary(g, OP_sub, b_like(g, survival, 1), survival);
    loss = t_times(p, loss, (double)(block + 1) / (double)all);
    Ref chance =
        t_spread(p, b_binary(g, OP_sub, b_like(g, loss, 1), loss), type_of(p->t->dtype, 1, dim));
    Ref alive = b_cast(g, b_binary(g, OP_lt, u, chance), p->t->dtype);
    Ref factor = b_binary(g, OP_div, alive, chance);
    return scaled(g, branch, factor);
}

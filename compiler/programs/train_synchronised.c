/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks whose batches are one: means over the batch, those of batch normalisation among them, are
 * of the images of all ranks (of batch normalisation: Peng, Xiao, Li, Jiang, Zhang, Jia, Yu, Sun
 * 2018, "MegDet: a large mini-batch object detector"). As in one rank the variance is a second sum,
 * of squared differences from the mean. Without env->allreduce there is one rank, and nothing
 * changes. */
#include "compiler/programs/train.h"

void train_synchronised(TrainStep *p)
{
    p->together = true;
}

Ref train_whole(TrainStep *p, Ref part)
{
    return p->together ? b_unary(p->g, OP_allreduce, part) : part;
}

/* Each has 1. */
Ref train_ranks(TrainStep *p)
{
    int64_t one = 1;
    if (!p->together) return NOREF;
    return train_whole(p, graph_splat(p->g, type_of(p->t->dtype, 1, &one), 1));
}

Ref train_part(TrainStep *p, Ref mean)
{
    return p->together ? t_binary(p, OP_div, mean, train_ranks(p)) : mean;
}

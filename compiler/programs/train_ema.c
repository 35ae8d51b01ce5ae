/* SPDX-License-Identifier: Apache-2.0 */
/* Exponential moving average of weights (Polyak, Juditsky 1992; Tarvainen, Valpola 2017): average'
 * = ema average + (1 - ema) parameters after the step, and the same of the running statistics. The
 * first step's is what the step gave, as in torch.optim.swa_utils. */
#include "compiler/programs/train.h"

static void average(TrainStep *p, const char *in, const char *out, Ref now)
{
    Ref ema = train_knob(p, "ema", .999, 0, 1, "share of the average that a step keeps");
    Ref old = train_vector_in(p, in, p->g->node[now].type.dim[0], "moving average; 0 at first");
    Ref count = train_count(p), mixed = t_mix(p, old, now, ema);
    Ref first = t_binary(p, OP_eq, count, b_like(p->g, count, 0));
    train_out(p, out, t_where(p, first, now, mixed), "after the step");
}

void train_ema(TrainStep *p)
{
    average(p, "average", "new_average", p->next);
    if (p->t->nstat) average(p, "average_stats", "new_average_stats", p->stats);
}

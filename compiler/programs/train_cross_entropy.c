/* SPDX-License-Identifier: Apache-2.0 */
/* Mean cross-entropy of the attacked images (Madry, Makelov, Schmidt, Tsipras, Vladu 2018), or of
 * the images where there is no attack. With label smoothing s (Szegedy et al. 2016, section 7) it
 * is (1-s) CE(y) + s mean_k CE(k), which is CE(y) + s (z_y - mean z). */
#include "compiler/programs/train.h"

static Ref smoothed(TrainStep *p, Ref z)
{
    Ref smoothing = train_knob(p, "smoothing", 0, 0, 1, "of the labels");
    Ref own = loss_label_logit(p->g, z, p->y);
    Ref mean = t_times(p, t_class_sum(p, z), 1 / (double)p->g->node[z].type.dim[1]);
    Ref rest = t_binary(p, OP_sub, own, mean);
    Ref ce = loss_cross_entropy(p->g, z, p->y);
    return t_mean(p, t_binary(p, OP_add, ce, t_scaled(p, rest, smoothing)));
}

void train_cross_entropy(TrainStep *p)
{
    p->net = train_by_batch(p, p->x);
    p->loss = smoothed(p, p->net.logits);
    train_out(p, "loss", train_whole(p, p->loss), "mean cross-entropy, label smoothing included");
}

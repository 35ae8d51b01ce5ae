/* SPDX-License-Identifier: Apache-2.0 */
/* Jacobian regularisation (Hoffman, Roberts, Yaida 2019, "Robust learning with Jacobian
 * regularization", equations 6 and 7): half the mean over images of the squared Frobenius norm of J
 * = d logits / d pixels. It is C |J^T v|^2 for a random direction v of length 1 in expectation, or
 * the sum of |J^T e_k|^2 over the C logits, which costs C gradients. */
#include "compiler/programs/train.h"
#include "passes/passes.h"

/* Sum over the batch of |J^T v|^2; v [B, C]. */
static Ref pulled_square(TrainStep *p, Ref v)
{
    Ref z = p->net.logits, slope;
    grad_append(p->g, 1, &z, &v, 1, &p->net.x, &slope);
    p->backwards += 2;
    return t_sum(p, t_binary(p, OP_mul, slope, slope));
}

static void take(TrainStep *p, Ref sum, double factor)
{
    Ref weight = train_knob(p, "penalty_weight", .01, 0, 1e12, "of the penalty");
    Ref size = train_part(p, t_times(p, sum, factor / (double)p->m->b));
    train_out(p, "penalty", train_whole(p, size), "half the mean squared norm of the Jacobian");
    p->penalty = t_binary(p, OP_mul, size, weight);
}

void train_jacobian_penalty(TrainStep *p)
{
    Graph *g = p->g;
    Type t = g->node[p->net.logits].type;
    Ref v = b_normal(g, t_uniform(p, t, TRAIN_PROJECTION));
    Ref length = b_unary(g, OP_sqrt, t_class_sum(p, t_binary(p, OP_mul, v, v)));
    v = t_binary(p, OP_div, v, b_broadcast(g, length, t.rank, t.dim));
    take(p, pulled_square(p, v), .5 * (double)t.dim[1]);
}

void train_jacobian_exact(TrainStep *p)
{
    Graph *g = p->g;
    Type t = g->node[p->net.logits].type;
    Ref at = b_iota(g, type_with(t, DT_I64), 1), sum = NOREF;
    for (int64_t k = 0; k < t.dim[1]; k++) {
        Ref here = t_binary(p, OP_eq, at, b_like(g, at, (double)k));
        Ref square = pulled_square(p, b_cast(g, here, t.dtype));
        sum = k ? t_binary(p, OP_add, sum, square) : square;
    }
    take(p, sum, .5);
}

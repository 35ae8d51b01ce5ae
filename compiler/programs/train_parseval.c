/* SPDX-License-Identifier: Apache-2.0 */
/* Parseval networks (Cisse, Bojanowski, Grave, Dauphin, Usunier 2017, equation 9): after the step
 * each weight, as a matrix of its first extent by the rest, goes towards orthonormal rows,
 *
 *   W' = (1 + pull) W - pull W W^T W
 *
 * Their convex combinations in place of residual sums are a matter of the network. */
#include "compiler/programs/train.h"

static Ref pulled(TrainStep *p, Ref w, void *user)
{
    Graph *g = p->g;
    Ref *pull = user;
    Ref square = b_matmul(g, w, t_transposed(p, w)), cube = b_matmul(g, square, w);
    Ref off = t_binary(p, OP_sub, w, cube);
    return t_binary(p, OP_add, w, t_scaled(p, off, *pull));
}

void train_parseval(TrainStep *p)
{
    Ref pull = train_knob(p, "pull", 1e-4, 0, 1, "towards orthonormal rows, a step");
    train_each_matrix(p, pulled, &pull);
}

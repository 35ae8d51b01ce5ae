/* SPDX-License-Identifier: Apache-2.0 */
/* Losses, one value a sample. Cross-entropy is log1p(u) + m with d_j = z_j - z_y, m = max(0, max
 * d_j), u = (exp(-m) - 1) + sum over j != y of exp(d_j - m): where the label wins, m = 0 and
 * neither the loss nor its gradient subtracts numbers near 1, so probabilities of 1 - 1e-11 keep
 * their digits. m carries no gradient: the loss does not depend on it. */
#include "compiler/programs.h"

#include <math.h>

static Ref over_classes(Graph *g, Op op, Ref v)
{
    int axis[] = {1};
    return b_reduce(g, op, v, 1, axis);
}

static Ref widen(Graph *g, Ref column, Type t)
{
    return b_broadcast(g, column, t.rank, t.dim);
}

Ref loss_label_logit(Graph *g, Ref z, Ref y)
{
    Ref hot = b_onehot(g, y, g->node[z].type);
    return over_classes(g, OP_sum, b_select(g, hot, z, b_like(g, z, 0)));
}

Ref loss_cross_entropy(Graph *g, Ref z, Ref y)
{
    Type t = g->node[z].type;
    Ref hot = b_onehot(g, y, t);
    Ref d = b_binary(g, OP_sub, z, widen(g, loss_label_logit(g, z, y), t));
    Ref rival = over_classes(g, OP_max, b_select(g, hot, b_like(g, d, -INFINITY), d));
    Ref m = b_unary(g, OP_stop, b_binary(g, OP_max2, rival, b_like(g, rival, 0)));
    Ref e = b_unary(g, OP_exp, b_binary(g, OP_sub, d, widen(g, m, t)));
    Ref sum = over_classes(g, OP_sum, b_select(g, hot, b_like(g, e, 0), e));
    Ref one = b_like(g, m, 1), e_own = b_unary(g, OP_exp, b_unary(g, OP_neg, m));
    Ref own = b_binary(g, OP_sub, e_own, one);
    return b_binary(g, OP_add, m, b_unary(g, OP_log1p, b_binary(g, OP_add, own, sum)));
}

Ref predicts(Graph *g, Ref z, Ref y)
{
    return b_binary(g, OP_eq, to_vector(g, over_classes(g, OP_argmax, z)), y);
}

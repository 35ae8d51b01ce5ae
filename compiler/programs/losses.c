/* SPDX-License-Identifier: Apache-2.0 */
/* Losses, one value a sample. Cross-entropy is log1p(u) + m with d_j = z_j - z_y, m = max(0, max
 * d_j), u = (exp(-m) - 1) + sum over j != y of exp(d_j - m): where the label wins, m = 0 and
 * neither the loss nor its gradient subtracts numbers near 1, so probabilities of 1 - 1e-11 keep
 * their digits. m carries no gradient: the loss does not depend on it.
 *
 * Margin: max over j != y of z_j, minus z_y (Carlini, Wagner 2017). DLR and targeted DLR: Croce,
 * Hein 2020, section 4 and 5; with p_1, p_2 ... the classes by falling logit
 *
 *   DLR          = (max over j != y of z_j - z_y) / (z_p1 - z_p3 + 1e-12)
 *   targeted DLR = (z_t - z_y) / (z_p1 - (z_p3 + z_p4) / 2 + 1e-12)
 *
 * All grow towards a wrong answer. The largest logits are found one after another, each masked
 * before the next is looked for, so the gradient goes to the first class of a tie. */
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

Ref loss_margin(Graph *g, Ref z, Ref y)
{
    Ref hot = b_onehot(g, y, g->node[z].type);
    Ref others = b_select(g, hot, b_like(g, z, -INFINITY), z);
    Ref rival = over_classes(g, OP_max, others);
    return b_binary(g, OP_sub, rival, loss_label_logit(g, z, y));
}

/* top[0..n): the n largest logits, [b,1] each. */
static void largest(Graph *g, Ref z, int n, Ref *top)
{
    Type t = g->node[z].type;
    for (int i = 0; i < n; i++) {
        top[i] = over_classes(g, OP_max, z);
        Ref hot = b_onehot(g, to_vector(g, over_classes(g, OP_argmax, z)), t);
        z = b_select(g, hot, b_like(g, z, -INFINITY), z);
    }
}

static Ref over_spread(Graph *g, Ref v, Ref high, Ref low)
{
    Ref spread = b_binary(g, OP_sub, high, low);
    return b_binary(g, OP_div, v, b_binary(g, OP_add, spread, b_like(g, spread, 1e-12)));
}

Ref loss_dlr(Graph *g, Ref z, Ref y)
{
    Ref top[3], margin = loss_margin(g, z, y);
    largest(g, z, 3, top);
    return over_spread(g, margin, top[0], top[2]);
}

Ref loss_dlr_targeted(Graph *g, Ref z, Ref y, Ref target)
{
    Ref top[4], own = loss_label_logit(g, z, y), other = loss_label_logit(g, z, target);
    largest(g, z, 4, top);
    Ref pair = b_binary(g, OP_add, top[2], top[3]);
    Ref low = b_binary(g, OP_mul, pair, b_like(g, pair, 0.5));
    return over_spread(g, b_binary(g, OP_sub, other, own), top[0], low);
}

Ref predicted(Graph *g, Ref z)
{
    return to_vector(g, over_classes(g, OP_argmax, z));
}

Ref predicts(Graph *g, Ref z, Ref y)
{
    return b_binary(g, OP_eq, predicted(g, z), y);
}

Ref class_of_rank(Graph *g, Ref z, Ref rank)
{
    Type t = g->node[z].type, place = type_with(t, DT_I32);
    Ref order = b_argsort(g, z, 1, t.dim[1]), at = b_iota(g, place, 1);
    Ref wanted = per_sample(g, b_binary(g, OP_sub, rank, b_like(g, rank, 1)), place);
    Ref here = b_binary(g, OP_eq, at, wanted);
    return to_vector(g, over_classes(g, OP_sum, b_select(g, here, order, b_like(g, order, 0))));
}

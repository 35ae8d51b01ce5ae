/* SPDX-License-Identifier: Apache-2.0 */
/* After the step each weight, as a matrix of its first extent by the rest, is divided by its
 * largest singular value over `norm` where that is above 1 (Gouk, Frank, Pfahringer, Cree 2021,
 * "Regularisation of neural networks by enforcing Lipschitz continuity", algorithm 2 for p = 2).
 * The singular value is that of one round of the power method, from the vector that the step
 * before ended with (Miyato, Kataoka, Koyama, Yoshida 2018), of ones at first. Of a convolution it
 * is of the matrix, as in torch.nn.utils.spectral_norm, not of the operator. */
#include "compiler/programs/train.h"

typedef struct Power { /* the vectors of all matrices, one behind the other */
    Ref norm, before;
    int64_t at;
    Ref *after;
    int n;
} Power;

static int64_t all_rows(const Trainable *t, int *matrices)
{
    int64_t rows = 0;
    int i = 0;
    for (; i < t->nparam && t->param[i].type.rank > 1; i++) rows += t->param[i].type.dim[0];
    *matrices = i;
    return rows;
}

static Ref unit(TrainStep *p, Ref v)
{
    Graph *g = p->g;
    Ref length = b_unary(g, OP_sqrt, t_sum(p, t_binary(p, OP_mul, v, v)));
    length = t_binary(p, OP_max2, length, b_like(g, length, 1e-12));
    return t_binary(p, OP_div, v, t_spread(p, length, g->node[v].type));
}

/* [1, rows] of length 1 */
static Ref start_of(TrainStep *p, Power *power, int64_t rows)
{
    Graph *g = p->g;
    int64_t dim[] = {1, rows};
    Ref u = b_slice_axis(g, power->before, 0, power->at, rows, 1);
    Ref sum = t_sum(p, t_binary(p, OP_mul, u, u));
    Ref fresh = t_binary(p, OP_eq, sum, b_like(g, sum, 0));
    power->at += rows;
    return unit(p, b_reshape(g, t_where(p, fresh, b_like(g, u, 1), u), 2, dim));
}

static Ref shortened(TrainStep *p, Ref w, void *user)
{
    Graph *g = p->g;
    Power *power = user;
    Ref u = start_of(p, power, g->node[w].type.dim[0]);
    Ref v = unit(p, b_matmul(g, u, w));
    Ref wv = t_transposed(p, b_matmul(g, w, t_transposed(p, v)));
    Ref next = unit(p, wv);
    Ref sigma = t_sum(p, t_binary(p, OP_mul, next, wv));
    Ref over = t_binary(p, OP_div, sigma, power->norm);
    over = t_binary(p, OP_max2, over, b_like(g, over, 1));
    power->after[power->n++] = next;
    return t_binary(p, OP_div, w, t_spread(p, over, g->node[w].type));
}

void train_spectral(TrainStep *p)
{
    Power power = {.at = 0};
    int matrices;
    int64_t rows = all_rows(p->t, &matrices);
    if (!matrices) err("--train", "constraint=spectral: the model has no matrices");
    power.norm = train_knob(p, "norm", 1, 1e-6, 1e6, "largest singular value of a weight");
    power.before = train_vector_in(p, "power", rows, "of the power method; 0 at first");
    power.after = NEW_N(p->m->arena, Ref, matrices);
    train_each_matrix(p, shortened, &power);
    train_out(p, "new_power", t_joined(p, power.after, power.n), "after the step");
}

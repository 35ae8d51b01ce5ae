/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a step of training share: tensors of a batch as one sample of the machine, and
 * arithmetic with numbers that are inputs. */
#include "compiler/programs/train.h"

#include <string.h>

/* ---- arithmetic ---- */

Ref t_binary(TrainStep *p, Op op, Ref a, Ref b)
{
    return b_binary(p->g, op, a, b);
}

Ref t_times(TrainStep *p, Ref v, double factor)
{
    return b_binary(p->g, OP_mul, v, b_like(p->g, v, factor));
}

Ref t_plus(TrainStep *p, Ref v, double term)
{
    return b_binary(p->g, OP_add, v, b_like(p->g, v, term));
}

Ref t_spread(TrainStep *p, Ref number, Type t)
{
    int64_t ones[MAX_RANK];
    for (int i = 0; i < MAX_RANK; i++) ones[i] = 1;
    return b_broadcast(p->g, b_reshape(p->g, number, t.rank, ones), t.rank, t.dim);
}

Ref t_scaled(TrainStep *p, Ref v, Ref number)
{
    return b_binary(p->g, OP_mul, v, t_spread(p, number, p->g->node[v].type));
}

Ref t_mix(TrainStep *p, Ref a, Ref b, Ref share)
{
    Ref rest = b_binary(p->g, OP_sub, b_like(p->g, share, 1), share);
    Ref first = t_scaled(p, a, share), second = t_scaled(p, b, rest);
    return b_binary(p->g, OP_add, first, second);
}

Ref t_where(TrainStep *p, Ref flag, Ref a, Ref b)
{
    return b_select(p->g, t_spread(p, flag, p->g->node[a].type), a, b);
}

Ref t_sum(TrainStep *p, Ref v)
{
    int axes[MAX_RANK], rank = p->g->node[v].type.rank;
    int64_t one = 1;
    for (int i = 0; i < rank; i++) axes[i] = i;
    return b_reshape(p->g, b_reduce(p->g, OP_sum, v, rank, axes), 1, &one);
}

Ref t_mean(TrainStep *p, Ref v)
{
    return train_part(p, t_times(p, t_sum(p, v), 1 / (double)type_count(p->g->node[v].type)));
}

Ref t_class_sum(TrainStep *p, Ref scores)
{
    int axis[] = {1};
    return b_reduce(p->g, OP_sum, scores, 1, axis);
}

/* z - max - log of the sum of exp(z - max); the maximum carries no gradient. */
Ref t_log_softmax(TrainStep *p, Ref z)
{
    Graph *g = p->g;
    int axis[] = {1};
    Type t = g->node[z].type;
    Ref top = b_unary(g, OP_stop, b_reduce(g, OP_max, z, 1, axis));
    Ref d = b_binary(g, OP_sub, z, b_broadcast(g, top, t.rank, t.dim));
    Ref sum = b_unary(g, OP_log, t_class_sum(p, b_unary(g, OP_exp, d)));
    return b_binary(g, OP_sub, d, b_broadcast(g, sum, t.rank, t.dim));
}

Ref t_joined(TrainStep *p, Ref *v, int n)
{
    for (int i = 0; i < n; i++) {
        int64_t count = type_count(p->g->node[v[i]].type);
        v[i] = b_reshape(p->g, v[i], 1, &count);
    }
    return b_concat(p->g, n, v, 0);
}

Type t_image(const TrainStep *p)
{
    return p->t->g->node[p->t->x].type;
}

Type t_params(const TrainStep *p)
{
    return type_of(p->t->dtype, 1, &p->t->params);
}

/* ---- tensors of the entry ---- */

static bool declared(const ProgramSpec *s, const char *name)
{
    for (int i = 0; i < s->nio; i++)
        if (!strcmp(s->io[i].name, name)) return true;
    return false;
}

static Type one_batch(Type t)
{
    int64_t dim[MAX_RANK] = {1};
    if (t.rank == MAX_RANK) err("train", "the image has too many axes");
    for (int i = 0; i < t.rank; i++) dim[i + 1] = t.dim[i];
    return type_of(t.dtype, t.rank + 1, dim);
}

Ref train_in(TrainStep *p, const char *name, Type t, const char *help)
{
    Type all = one_batch(t);
    if (!declared(p->s, name)) spec_input(p->s, name, all, -1, help);
    return b_reshape(p->g, b_input(p->g, name, all), t.rank, t.dim);
}

Ref train_vector_in(TrainStep *p, const char *name, int64_t n, const char *help)
{
    return train_in(p, name, type_of(p->t->dtype, 1, &n), help);
}

static Ref with_batch(TrainStep *p, Ref v)
{
    Type all = one_batch(p->g->node[v].type);
    return b_reshape(p->g, v, all.rank, all.dim);
}

void train_out(TrainStep *p, const char *name, Ref v, const char *help)
{
    v = with_batch(p, v);
    graph_output(p->g, name, v);
    spec_output(p->s, name, p->g->node[v].type, help);
}

static Ref knob(TrainStep *p, ProgHyper h)
{
    if (!spec_hyper_find(p->s, h.name))
        spec_hyper(p->s, h.name, h.dtype, h.value, h.lo, h.hi, h.help);
    return sample_input(p->g, h.name, h.dtype, 1);
}

Ref train_knob(TrainStep *p, const char *name, double value, double lo, double hi, const char *help)
{
    return knob(p, (ProgHyper){name, p->t->dtype, value, lo, hi, help});
}

Ref train_whole_knob(TrainStep *p, const char *name, int value, int lo, int hi, const char *help)
{
    return knob(p, (ProgHyper){name, DT_I32, value, lo, hi, help});
}

/* ---- states ---- */

static const char *state_name(TrainStep *p, const char *name)
{
    return arena_printf(p->m->arena, "state.%s", name);
}

Ref train_state(TrainStep *p, const char *name, Type t)
{
    return b_reshape(p->g, b_input(p->g, state_name(p, name), one_batch(t)), t.rank, t.dim);
}

void train_put_state(TrainStep *p, const char *name, Ref v)
{
    graph_output(p->g, state_name(p, name), with_batch(p, v));
}

Ref train_clock(TrainStep *p, const char *name)
{
    return sample_input(p->g, name, DT_I32, 1);
}

/* ---- matrices ---- */

static Ref matrix_of(TrainStep *p, const TrainTensor *t)
{
    int64_t dim[] = {t->type.dim[0], t->count / t->type.dim[0]};
    return b_reshape(p->g, b_slice_axis(p->g, p->next, 0, t->offset, t->count, 1), 2, dim);
}

void train_each_matrix(TrainStep *p, MatrixChange *change, void *user)
{
    const Trainable *t = p->t;
    Ref *part = NEW_N(t->arena, Ref, t->nparam + 1);
    int64_t rest = t->params - t->decayed;
    int n = 0;
    for (; n < t->nparam && t->param[n].type.rank > 1; n++)
        part[n] = change(p, matrix_of(p, &t->param[n]), user);
    if (rest) part[n++] = b_slice_axis(p->g, p->next, 0, t->decayed, rest, 1);
    p->next = t_joined(p, part, n);
}

Ref t_transposed(TrainStep *p, Ref matrix)
{
    int swap[] = {1, 0};
    return b_transpose(p->g, matrix, swap);
}

/* ---- random numbers ---- */

Ref t_uniform(TrainStep *p, Type t, int stream)
{
    Graph *g = p->g;
    Type each = type_of(DT_I64, 1, t.dim);
    Ref ids = train_in(p, "ids", each, "identity of each image, for its random numbers");
    Ref draw = train_whole_knob(p, "draw", 0, 0, 0xffffff, "of the random numbers: the epoch, say");
    Ref seed = b_input(g, "seed", type_scalar(DT_I64));
    return b_rng(g, seed, ids, t_spread(p, draw, each), t, stream);
}

Ref train_attacked(TrainStep *p)
{
    Type each = type_of(DT_I64, 1, &p->m->b);
    Ref flag = train_in(p, "attacked", each, "1: the image is attacked; 0: it stays as it is");
    return b_unary(p->g, OP_not, b_binary(p->g, OP_eq, flag, b_like(p->g, flag, 0)));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Training. What these entries call one sample is one batch, and its weights are arguments, so a
 * call with n = 1 is one step: it reads params, stats and what else its parts remember, which the
 * caller owns, and writes what they become. compiler/trainable.h has the order of the vectors,
 * train.h how a step is put together, train_<name>.c the parts.
 *
 * Batch normalisation in training takes mean and variance of the batch. Running statistics keep
 * `momentum` of the file's node, and take the variance times n/(n-1), as PyTorch does; ONNX's own
 * training form takes it as it is. Each evaluation by the batch moves them, in the order of
 * PyTorch's code of the same method. */
#include "compiler/programs/train.h"

#include "passes/passes.h"

/* ---- evaluations ---- */

static Ref moved(TrainStep *p, const TrainNet *net, int stat, Ref batch, double keep, double factor)
{
    const TrainTensor *t = &p->t->stat[stat];
    Ref old = b_slice_axis(p->g, net->stats, 0, t->offset, t->count, 1);
    if (batch == NOREF) return old;
    old = t_times(p, old, keep);
    return t_binary(p, OP_add, old, t_times(p, batch, (1 - keep) * factor));
}

/* n / (n - 1) times the variance, n = count elements on each rank. */
static Ref unbiased_of_all(TrainStep *p, Ref var, double count)
{
    Ref n = t_times(p, train_ranks(p), count), rest = t_plus(p, n, -1);
    rest = t_binary(p, OP_max2, rest, b_like(p->g, rest, 1));
    return t_scaled(p, var, t_binary(p, OP_div, n, rest));
}

void train_move_statistics(TrainStep *p, const TrainNet *net)
{
    const Trainable *t = p->t;
    Ref *part = NEW_N(t->arena, Ref, t->nstat + 1);
    if (!t->nstat) return;
    for (int i = 0; i < t->nnorm; i++) {
        const TrainNorm *n = &t->norm[i];
        Type x = t->g->node[n->x].type;
        double count = (double)(type_count(x) / x.dim[1]);
        double unbiased = count > 1 && !p->together ? count / (count - 1) : 1;
        Ref var = net->var[i];
        if (p->together && var != NOREF) var = unbiased_of_all(p, var, count);
        part[n->mean] = moved(p, net, n->mean, net->mean[i], n->momentum, 1);
        part[n->var] = moved(p, net, n->var, var, n->momentum, unbiased);
    }
    p->stats = t_joined(p, part, t->nstat);
}

TrainNet train_by_batch(TrainStep *p, Ref x)
{
    TrainNet net = {
        .g = p->g, .x = x, .params = p->params, .stats = p->stats, .ranks = train_ranks(p)};
    if (p->drops) net.branch = train_drop, net.user = p;
    train_apply(p->t, &net, true);
    train_move_statistics(p, &net);
    p->forwards++;
    return net;
}

Ref train_by_running(TrainStep *p, Ref x)
{
    TrainNet net = {.g = p->g, .x = x, .params = p->params, .stats = p->stats, .ranks = NOREF};
    train_apply(p->t, &net, false);
    p->forwards++;
    return net.logits;
}

/* ---- evaluations of an attack ---- */

void train_attack_by_batch(TrainStep *p)
{
    p->attack_by_batch = true;
}

Ref train_attack_logits(TrainStep *p, Ref x)
{
    return p->attack_by_batch ? train_by_batch(p, x).logits : train_by_running(p, x);
}

void train_end_attack(TrainStep *p)
{
    if (p->attack_by_batch && p->t->nstat) train_put_state(p, "stats", p->stats);
}

/* ---- phases ---- */

static void read_weights(TrainStep *p)
{
    p->params = train_vector_in(p, "params", p->t->params, "parameters, one behind the other");
    p->stats = NOREF;
    if (p->t->nstat)
        p->stats = train_vector_in(p, "stats", p->t->stats, "running statistics, likewise");
}

void train_phase(TrainStep *p, Graph **slot, const char *phase)
{
    p->g = *slot = graph_new(p->m->arena, arena_printf(p->m->arena, "%s.%s", p->s->name, phase));
    p->clean = p->x = train_in(p, "x", t_image(p), "pixels of the batch");
    p->y = train_in(p, "y", type_of(DT_I64, 1, &p->m->b), "labels, 0-based");
    read_weights(p);
    if (p->s->init && p->g != p->s->init && p->attack_by_batch && p->t->nstat)
        p->stats = train_state(p, "stats", type_of(p->t->dtype, 1, &p->t->stats));
}

static void open_step(TrainStep *p, const Model *m, ProgramSpec *s)
{
    model_classes(m);
    *p = (TrainStep){.m = m,
                     .t = model_trainable(m),
                     .s = s,
                     .loss = NOREF,
                     .penalty = NOREF,
                     .grad = NOREF,
                     .next = NOREF,
                     .count = NOREF};
    s->slots = 1;
    s->whole = true; /* a step needs the one before: workers share it */
}

/* ---- the gradient ---- */

Ref train_grad(TrainStep *p)
{
    const Trainable *t = p->t;
    Ref total = p->loss, *each = NEW_N(t->arena, Ref, t->nparam);
    if (p->grad != NOREF) return p->grad;
    if (p->penalty != NOREF) total = t_binary(p, OP_add, total, p->penalty);
    grad_append(p->g, 1, &total, NULL, t->nparam, p->net.weight, each);
    p->grad = train_whole(p, t_joined(p, each, t->nparam));
    p->backwards++;
    train_out(p, "grad", p->grad, "d (loss + weighted penalty) / d params");
    return p->grad;
}

Ref train_count(TrainStep *p)
{
    if (p->count != NOREF) return p->count;
    p->count = train_vector_in(p, "count", 1, "steps before this one");
    train_out(p, "new_count", t_plus(p, p->count, 1), "after the step");
    return p->count;
}

Ref train_decays(TrainStep *p)
{
    Type t = t_params(p);
    Ref matrices = train_knob(p, "decay", 0, 0, 1e3, "of weights of rank 2 and up");
    Ref vectors = train_knob(p, "vector_decay", 0, 0, 1e3, "of biases and normalisations");
    Ref at = b_iota(p->g, type_with(t, DT_I64), 0);
    Ref first = t_binary(p, OP_lt, at, b_like(p->g, at, (double)p->t->decayed));
    Ref a = t_spread(p, matrices, t), b = t_spread(p, vectors, t);
    return b_select(p->g, first, a, b);
}

/* ---- the entries ---- */

static void build(TrainStep *p, int from, int to)
{
    for (int k = from; k < to; k++) p->part[k]->build(p);
}

/* Attacks have built init and step, and left the name of the state that is attacked images. */
static void open_training(TrainStep *p)
{
    ProgramSpec *s = p->s;
    bool attacks = s->step != NULL;
    train_phase(p, attacks ? &s->finish : &s->step, attacks ? "update" : "step");
    s->loop = attacks;
    p->forwards = 0;
    if (attacks) p->x = train_state(p, "adversarial", t_image(p));
}

static void count_passes(TrainStep *p)
{
    int b = (int)p->m->b, forwards = p->forwards;
    if (p->s->loop) {
        p->s->step_forwards = p->s->step_backwards = b;
        p->s->finish_forwards = b * forwards;
        p->s->finish_backwards = b * p->backwards;
    } else {
        p->s->step_forwards = b * forwards;
        p->s->step_backwards = b * p->backwards;
    }
}

/* Up to the kind that comes behind the gradient, or all. */
static TrainStep step(const Model *m, ProgramSpec *s, const char *parts, int to)
{
    TrainStep p;
    open_step(&p, m, s);
    train_parts_choose(&p, parts);
    build(&p, 0, KIND_loss);
    open_training(&p);
    build(&p, KIND_loss, to);
    train_grad(&p);
    if (p.next != NOREF) train_out(&p, "new_params", p.next, "after the step");
    if (p.t->nstat) train_out(&p, "new_stats", p.stats, "running statistics after the step");
    train_out(&p, "logits", p.net.logits, "scores of the batch, before the step");
    count_passes(&p);
    return p;
}

void program_train_step(const Model *m, ProgramSpec *s)
{
    step(m, s, m->train, KINDS);
}

void program_train_lipschitz_step(const Model *m, ProgramSpec *s)
{
    const char *more = m->train ? m->train : "";
    step(m, s, arena_printf(m->arena, "penalty=lipschitz,%s", more), KINDS);
}

/* The two halves of train-step, for who brings gradients of several batches together in between. */
void program_train_gradient(const Model *m, ProgramSpec *s)
{
    step(m, s, m->train, KIND_optimiser);
}

void program_train_update(const Model *m, ProgramSpec *s)
{
    TrainStep p;
    open_step(&p, m, s);
    train_parts_choose(&p, m->train);
    p.g = s->step = graph_new(m->arena, "update");
    read_weights(&p);
    p.grad = train_vector_in(&p, "grad", p.t->params, "what the parameters are to follow");
    build(&p, KIND_optimiser, KINDS);
    train_out(&p, "new_params", p.next, "after the step");
}

void program_train_logits(const Model *m, ProgramSpec *s)
{
    TrainStep p;
    open_step(&p, m, s);
    p.g = s->step = graph_new(m->arena, "evaluate");
    Ref x = train_in(&p, "x", t_image(&p), "pixels of the batch");
    read_weights(&p);
    train_out(&p, "logits", train_by_running(&p, x), "scores of the batch");
    s->step_forwards = (int)m->b;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Training. What these entries call one sample is one batch, and its weights are arguments, so a
 * call with n = 1 is one step: it reads params, velocity and stats, which the caller owns, and
 * writes what they become. compiler/trainable.h has the order of the vectors.
 *
 * train-step: batch normalisation of the batch, mean cross-entropy, its gradient in every
 * parameter, and stochastic gradient descent as PyTorch has it (Sutskever, Martens, Dahl, Hinton
 * 2013, "On the importance of initialization and momentum", written without the learning rate in
 * the velocity):
 *
 *   g += decay p;  v' = momentum v + g;  p' = p - lr (nesterov ? g + momentum v' : v')
 *
 * with `decay` for tensors of rank 2 and up, `vector_decay` for biases and normalisations. With
 * label smoothing s (Szegedy et al. 2016, section 7) the loss is (1-s) CE(y) + s mean_k CE(k),
 * which is CE(y) + s (z_y - mean z). Running statistics keep `momentum` of the file's node, and
 * take the variance times n/(n-1), as PyTorch does; ONNX's own training form takes it as it is.
 *
 * train-lipschitz-step adds psi times the mean over all pixels of the batch of G^2, G the gradient
 * in the pixels of the sum over images of logit `pick` or, where pick is -1, of the logit of the
 * label minus the largest other (Woods, Chen, Teuscher 2019). Batch normalisation couples the
 * images in G too. The gradient in the parameters is of both: `grad` applied twice. psi follows the
 * loss L of the batch: r' = max(0, r + clip(-ln(L / psi_loss), -0.01, 1)), psi_used = psi
 * exp(psi_rate r'); r is `control`, 0 at first, and psi_rate = 0 keeps psi as it is.
 *
 * train-logits: the logits under given params and running statistics. */
#include "compiler/programs.h"
#include "compiler/trainable.h"
#include "passes/passes.h"

#include <math.h>

enum { JOIN = 12 }; /* parts that are brought together at once: a kernel has so many buffers */

typedef struct Step {
    const Trainable *t;
    ProgramSpec *s;
    Graph *g;
    TrainNet net;
    Ref y;
} Step;

static Ref binary(Step *p, Op op, Ref a, Ref b)
{
    return b_binary(p->g, op, a, b);
}

static Ref times(Step *p, Ref v, double factor)
{
    return binary(p, OP_mul, v, b_like(p->g, v, factor));
}

/* ---- tensors of the entries ---- */

static Type vector(const Step *p, int64_t n)
{
    int64_t dim[] = {1, n};
    return type_of(p->t->dtype, 2, dim);
}

static Type one_batch(Type t)
{
    int64_t dim[MAX_RANK] = {1};
    if (t.rank == MAX_RANK) err("train", "the image has too many axes");
    for (int i = 0; i < t.rank; i++) dim[i + 1] = t.dim[i];
    return type_of(t.dtype, t.rank + 1, dim);
}

/* An input of a batch, without the axis that counts batches. */
static Ref batch_in(Step *p, const char *name, Type t, const char *help)
{
    Type all = one_batch(t);
    spec_input(p->s, name, all, -1, help);
    return b_reshape(p->g, b_input(p->g, name, all), t.rank, t.dim);
}

static Ref vector_in(Step *p, const char *name, int64_t n, const char *help)
{
    Type t = vector(p, n);
    spec_input(p->s, name, t, -1, help);
    return b_reshape(p->g, b_input(p->g, name, t), 1, &n);
}

/* Any value, as one sample of an output. */
static void out(Step *p, const char *name, Ref v, int rank, const int64_t *dim, const char *help)
{
    int64_t all[MAX_RANK] = {1};
    for (int i = 0; i < rank; i++) all[i + 1] = dim[i];
    v = b_reshape(p->g, v, rank + 1, all);
    graph_output(p->g, name, v);
    spec_output(p->s, name, p->g->node[v].type, help);
}

static void vector_out(Step *p, const char *name, Ref v, const char *help)
{
    out(p, name, v, 1, p->g->node[v].type.dim, help);
}

static Ref knob(Step *p, const char *name, double value, double lo, double hi, const char *help)
{
    spec_hyper(p->s, name, p->t->dtype, value, lo, hi, help);
    return sample_input(p->g, name, p->t->dtype, 1);
}

/* A number as a tensor of that type. */
static Ref spread(Step *p, Ref number, Type t)
{
    int64_t ones[MAX_RANK];
    for (int i = 0; i < MAX_RANK; i++) ones[i] = 1;
    return b_broadcast(p->g, b_reshape(p->g, number, t.rank, ones), t.rank, t.dim);
}

static Ref scaled_by(Step *p, Ref v, Ref number)
{
    return binary(p, OP_mul, v, spread(p, number, p->g->node[v].type));
}

/* ---- sums over a batch ---- */

/* The mean of all elements: a vector of one. */
static Ref mean_all(Step *p, Ref v)
{
    Type t = p->g->node[v].type;
    int64_t one = 1;
    int axes[MAX_RANK];
    for (int i = 0; i < t.rank; i++) axes[i] = i;
    Ref sum = b_reshape(p->g, b_reduce(p->g, OP_sum, v, t.rank, axes), 1, &one);
    return times(p, sum, 1 / (double)type_count(t));
}

static Ref class_mean(Step *p, Ref z)
{
    int axis[] = {1};
    return times(p, b_reduce(p->g, OP_sum, z, 1, axis), 1 / (double)p->g->node[z].type.dim[1]);
}

/* Tensors one behind the other, as a vector. */
static Ref joined(Step *p, Ref *v, int n)
{
    for (int i = 0; i < n; i++) {
        int64_t count = type_count(p->g->node[v[i]].type);
        v[i] = b_reshape(p->g, v[i], 1, &count);
    }
    while (n > 1) {
        int made = 0;
        for (int i = 0; i < n; i += JOIN)
            v[made++] = b_concat(p->g, n - i < JOIN ? n - i : JOIN, v + i, 0);
        n = made;
    }
    return v[0];
}

/* ---- the loss ---- */

static Ref smoothed_loss(Step *p)
{
    Ref z = p->net.logits, smoothing = knob(p, "smoothing", 0, 0, 1, "of the labels");
    Ref own = loss_label_logit(p->g, z, p->y);
    Ref rest = binary(p, OP_sub, own, class_mean(p, z));
    Ref ce = loss_cross_entropy(p->g, z, p->y);
    return mean_all(p, binary(p, OP_add, ce, scaled_by(p, rest, smoothing)));
}

/* [B, 1]: logit `pick`, or the margin where pick is negative. */
static Ref picked_output(Step *p)
{
    Graph *g = p->g;
    Type label = g->node[p->y].type;
    Ref z = p->net.logits;
    Ref pick = batch_in(p, "pick", label, "the logit whose gradient is made small; -1: the margin");
    Ref none = b_reshape(g, binary(p, OP_lt, pick, b_like(g, pick, 0)), 2,
                         (const int64_t[]){label.dim[0], 1});
    Ref margin = b_unary(g, OP_neg, loss_margin(g, z, p->y));
    Ref logit = loss_label_logit(g, z, pick);
    return b_select(g, none, margin, logit);
}

static Ref penalty(Step *p)
{
    Ref s = picked_output(p), slope;
    grad_append(p->g, 1, &s, NULL, 1, &p->net.x, &slope);
    return mean_all(p, binary(p, OP_mul, slope, slope));
}

/* psi for this batch, a vector of one that carries no gradient. */
static Ref controlled_psi(Step *p, Ref loss)
{
    Graph *g = p->g;
    Ref psi = knob(p, "psi", 220, 0, 1e12, "weight of the penalty, at first");
    Ref goal = knob(p, "psi_loss", 1.5, 1e-6, 1e6, "the loss at which psi stays as it is");
    Ref rate = knob(p, "psi_rate", .02, 0, 1e3, "how fast psi follows the loss; 0: not at all");
    Ref control = vector_in(p, "control", 1, "of psi; 0 at first");
    Ref far = b_unary(g, OP_log, binary(p, OP_div, b_unary(g, OP_stop, loss), goal));
    Ref move = b_clip(g, b_unary(g, OP_neg, far), b_like(g, far, -.01), b_like(g, far, 1));
    control = binary(p, OP_add, control, move);
    control = binary(p, OP_max2, control, b_like(g, control, 0));
    Ref grown = b_unary(g, OP_exp, binary(p, OP_mul, rate, control));
    psi = binary(p, OP_mul, psi, grown);
    vector_out(p, "new_control", control, "after the step");
    vector_out(p, "psi_used", psi, "weight of the penalty in this step");
    return psi;
}

/* ---- the update ---- */

/* weight decay's factor of each element */
static Ref decays(Step *p)
{
    Type t = type_of(p->t->dtype, 1, &p->t->params);
    Ref matrices = knob(p, "decay", 0, 0, 1e3, "of weights of rank 2 and up");
    Ref vectors = knob(p, "vector_decay", 0, 0, 1e3, "of biases and normalisations");
    Ref at = b_iota(p->g, type_with(t, DT_I64), 0);
    Ref first = binary(p, OP_lt, at, b_like(p->g, at, (double)p->t->decayed));
    Ref a = spread(p, matrices, t), b = spread(p, vectors, t);
    return b_select(p->g, first, a, b);
}

static void descend(Step *p, Ref grad)
{
    Graph *g = p->g;
    Ref params = p->net.params;
    Ref velocity = vector_in(p, "velocity", p->t->params, "of each parameter; 0 at first");
    Ref momentum = knob(p, "momentum", .9, 0, 1, "of the velocity");
    Ref lr = knob(p, "lr", .1, 0, 1e6, "learning rate");
    Ref nesterov = knob(p, "nesterov", 0, 0, 1, "1: look ahead; 0: do not");
    Ref decayed = binary(p, OP_add, grad, binary(p, OP_mul, decays(p), params));
    Ref kept = scaled_by(p, velocity, momentum);
    velocity = binary(p, OP_add, kept, decayed);
    Ref ahead = binary(p, OP_add, decayed, scaled_by(p, velocity, momentum));
    Ref flag = spread(p, nesterov, g->node[velocity].type);
    Ref plain = binary(p, OP_eq, flag, b_like(g, flag, 0));
    Ref move = b_select(g, plain, velocity, ahead);
    params = binary(p, OP_sub, params, scaled_by(p, move, lr));
    vector_out(p, "new_params", params, "after the step");
    vector_out(p, "new_velocity", velocity, "after the step");
}

static Ref moved(Step *p, int stat, Ref batch, double keep, double factor)
{
    const TrainTensor *t = &p->t->stat[stat];
    Ref old = b_slice_axis(p->g, p->net.stats, 0, t->offset, t->count, 1);
    if (batch == NOREF) return old;
    old = times(p, old, keep);
    return binary(p, OP_add, old, times(p, batch, (1 - keep) * factor));
}

static void running_statistics(Step *p)
{
    const Trainable *t = p->t;
    Ref *part = NEW_N(t->arena, Ref, t->nstat);
    if (!t->nstat) return;
    for (int i = 0; i < t->nnorm; i++) {
        const TrainNorm *n = &t->norm[i];
        Type x = t->g->node[n->x].type;
        double count = (double)(type_count(x) / x.dim[1]);
        double unbiased = count > 1 ? count / (count - 1) : 1;
        part[n->mean] = moved(p, n->mean, p->net.mean[i], n->momentum, 1);
        part[n->var] = moved(p, n->var, p->net.var[i], n->momentum, unbiased);
    }
    vector_out(p, "new_stats", joined(p, part, t->nstat), "running statistics after the step");
}

/* ---- the entries ---- */

static void open(Step *p, const Model *m, ProgramSpec *s, const char *name, bool batch)
{
    int64_t b = m->b;
    model_classes(m);
    *p = (Step){.t = model_trainable(m), .s = s, .g = s->step = graph_new(m->arena, name)};
    s->slots = 1;
    s->whole = false;
    p->net.g = p->g;
    p->net.x = batch_in(p, "x", p->t->g->node[p->t->x].type, "pixels of the batch");
    if (batch) p->y = batch_in(p, "y", type_of(DT_I64, 1, &b), "labels, 0-based");
    p->net.params = vector_in(p, "params", p->t->params, "parameters, one behind the other");
    p->net.stats = NOREF;
    if (p->t->nstat)
        p->net.stats = vector_in(p, "stats", p->t->stats, "running statistics, likewise");
    train_apply(p->t, &p->net, batch);
}

static void logits_out(Step *p)
{
    Type z = p->g->node[p->net.logits].type;
    out(p, "logits", p->net.logits, z.rank, z.dim, "scores of the batch");
}

static void step(const Model *m, ProgramSpec *s, bool lipschitz)
{
    Step p;
    open(&p, m, s, "train", true);
    Ref *dloss = NEW_N(m->arena, Ref, p.t->nparam), loss = smoothed_loss(&p), size = NOREF;
    vector_out(&p, "loss", loss, "mean cross-entropy");
    if (lipschitz) {
        Ref psi = controlled_psi(&p, loss);
        size = penalty(&p);
        vector_out(&p, "penalty", size, "mean square of the gradient in the pixels");
        loss = binary(&p, OP_add, loss, binary(&p, OP_mul, size, psi));
    }
    grad_append(p.g, 1, &loss, NULL, p.t->nparam, p.net.weight, dloss);
    Ref grad = joined(&p, dloss, p.t->nparam);
    vector_out(&p, "grad", grad, "d (loss + psi penalty) / d params");
    descend(&p, grad);
    running_statistics(&p);
    logits_out(&p);
    s->step_forwards = (int)m->b;
    s->step_backwards = (int)m->b * (lipschitz ? 3 : 1);
}

void program_train_step(const Model *m, ProgramSpec *s)
{
    step(m, s, false);
}

void program_train_lipschitz_step(const Model *m, ProgramSpec *s)
{
    step(m, s, true);
}

void program_train_logits(const Model *m, ProgramSpec *s)
{
    Step p;
    open(&p, m, s, "evaluate", false);
    logits_out(&p);
    s->step_forwards = (int)m->b;
}

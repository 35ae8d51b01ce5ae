/* SPDX-License-Identifier: Apache-2.0 */
/* The importer makes a batch normalisation x * s + b with s and b of its four parameters. In the
 * training form mean and variance are those of the batch: the same nodes, of other operands. So the
 * model is copied from its outputs up, and where the copy comes to a running mean it puts the mean
 * of what that normalisation reads. */
#include "compiler/trainable.h"

#include <string.h>

#include "passes/passes.h"

/* ---- the vectors ---- */

static int find(const TrainTensor *t, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(t[i].name, name)) return i;
    return -1;
}

static bool is_stat(const OnnxParams *p, const char *name)
{
    for (uint32_t i = 0; i < p->nnorm; i++)
        if (!strcmp(p->norm[i].mean, name) || !strcmp(p->norm[i].var, name)) return true;
    return false;
}

static const OnnxParam *param_of(const OnnxParams *p, const char *name)
{
    for (uint32_t i = 0; i < p->n; i++)
        if (!strcmp(p->param[i].name, name)) return &p->param[i];
    die("no parameter %s", name);
}

static void add(TrainTensor *t, int *n, int64_t *all, const OnnxParam *p)
{
    Type type = p->value->type;
    t[*n] = (TrainTensor){p->name, type, *all, type_count(type), p->value};
    *all += t[(*n)++].count;
}

static void list_params(Trainable *t, const OnnxParams *p)
{
    t->param = NEW_N(t->arena, TrainTensor, p->n + 1);
    for (int vectors = 0; vectors < 2; vectors++) {
        for (uint32_t i = 0; i < p->n; i++)
            if (!is_stat(p, p->param[i].name) && (p->param[i].value->type.rank < 2) == vectors)
                add(t->param, &t->nparam, &t->params, &p->param[i]);
        if (!vectors) t->decayed = t->params;
    }
}

static int add_stat(Trainable *t, const OnnxParams *p, const char *name)
{
    if (find(t->stat, t->nstat, name) >= 0)
        err(name, "belongs to two batch normalisations, which cannot be trained");
    add(t->stat, &t->nstat, &t->stats, param_of(p, name));
    return t->nstat - 1;
}

static void list_norms(Trainable *t, const OnnxParams *p)
{
    t->stat = NEW_N(t->arena, TrainTensor, 2 * p->nnorm + 1);
    t->norm = NEW_N(t->arena, TrainNorm, p->nnorm + 1);
    for (uint32_t i = 0; i < p->nnorm; i++) {
        const char *x = arena_printf(t->arena, "norm.%u", (unsigned)i);
        TrainNorm *n = &t->norm[t->nnorm++];
        *n = (TrainNorm){.x = graph_find_output(t->g, x), .momentum = p->norm[i].momentum};
        n->mean = add_stat(t, p, p->norm[i].mean);
        n->var = add_stat(t, p, p->norm[i].var);
    }
}

/* ---- residual sums ---- */

/* Convolutions on the longest way from the image to each value; -1: it does not depend on it. */
static int *depths(const Trainable *t)
{
    const Graph *g = t->g;
    int *depth = NEW_N(t->arena, int, g->n + 1);
    for (Ref r = 0; r < g->n; r++) {
        const Node *n = &g->node[r];
        depth[r] = r == t->x ? 0 : -1;
        for (int a = 0; a < n->nargs; a++)
            if (depth[n->args[a]] > depth[r]) depth[r] = depth[n->args[a]];
        if (depth[r] >= 0 && n->op == OP_conv) depth[r]++;
    }
    return depth;
}

/* Sums of two values of which one went through more convolutions: that is the branch. */
static void list_blocks(Trainable *t)
{
    const int *depth = depths(t);
    t->block = NEW_N(t->arena, TrainBlock, t->g->n + 1);
    for (Ref r = 0; r < t->g->n; r++) {
        const Node *n = &t->g->node[r];
        if (n->op != OP_add) continue;
        int a = depth[n->args[0]], b = depth[n->args[1]];
        if (a >= 0 && b >= 0 && a != b) t->block[t->nblock++] = (TrainBlock){r, a < b};
    }
}

static void check_inputs(const Trainable *t)
{
    for (Ref r = 0; r < t->g->n; r++)
        if (t->g->node[r].op == OP_input && r != t->x)
            err(node_attr(&t->g->node[r], "name")->s,
                "a model of several inputs cannot be trained; give this one a constant (--const)");
    if (!t->nparam) err(NULL, "has no weights that training could change");
}

const Trainable *trainable_new(const Model *m, const char *path, const OnnxOptions *options,
                               int64_t batch)
{
    OnnxParams p = {.arena = m->arena, .trainable = true};
    OnnxOptions o = *options;
    Trainable *t = NEW(m->arena, Trainable);
    if (batch < 1) err("--batch", "training needs a number of images, not none");
    o.params = &p;
    o.weights = false;
    *t = (Trainable){.b = batch, .dtype = m->dtype, .arena = m->arena};
    Graph *g = onnx_import(m->arena, path, &o);
    if (m->dtype == DT_F64) g = pass_retype(m->arena, g, DT_F32, DT_F64);
    g = pass_batch(m->arena, pass_simplify(m->arena, g), batch);
    t->g = pass_simplify(m->arena, g); /* broadcasts that batching added join the file's */
    t->x = graph_find_input(t->g, "x");
    t->logits = t->g->out[0].ref;
    list_params(t, &p);
    list_norms(t, &p);
    list_blocks(t);
    check_inputs(t);
    return t;
}

/* ---- the model as a function of them ---- */

typedef struct Copy {
    const Trainable *t;
    TrainNet *net;
    Ref *map;
    bool batch;
} Copy;

static Ref part(Graph *g, Ref vector, const TrainTensor *t)
{
    Ref flat = b_slice_axis(g, vector, 0, t->offset, t->count, 1);
    return b_reshape(g, flat, t->type.rank, t->type.dim);
}

/* [1] in the shape of v */
static Ref spread(Graph *g, Ref number, Ref v)
{
    Type t = g->node[v].type;
    int64_t ones[MAX_RANK];
    for (int i = 0; i < MAX_RANK; i++) ones[i] = 1;
    return b_broadcast(g, b_reshape(g, number, t.rank, ones), t.rank, t.dim);
}

/* Over all axes but that of channels: [1, C, 1, ..]. */
static Ref channel_mean(const TrainNet *net, Ref x)
{
    Graph *g = net->g;
    Type t = g->node[x].type;
    int axes[MAX_RANK], n = 0;
    for (int i = 0; i < t.rank; i++)
        if (i != 1) axes[n++] = i;
    Ref sum = b_reduce(g, OP_sum, x, n, axes);
    Ref count = b_like(g, sum, (double)(type_count(t) / t.dim[1]));
    if (net->ranks != NOREF) {
        sum = b_unary(g, OP_allreduce, sum);
        count = b_binary(g, OP_mul, count, spread(g, net->ranks, sum));
    }
    return b_binary(g, OP_div, sum, count);
}

static Ref visit(Copy *, Ref);

static void batch_moments(Copy *c, int norm)
{
    TrainNet *net = c->net;
    Graph *g = net->g;
    Ref x = visit(c, c->t->norm[norm].x), mean = channel_mean(net, x);
    Type t = g->node[x].type;
    int64_t channels = t.dim[1];
    Ref d = b_binary(g, OP_sub, x, b_broadcast(g, mean, t.rank, t.dim));
    Ref var = channel_mean(net, b_binary(g, OP_mul, d, d));
    net->mean[norm] = b_reshape(g, mean, 1, &channels);
    net->var[norm] = b_reshape(g, var, 1, &channels);
}

static Ref statistic(Copy *c, int stat)
{
    int norm = stat / 2;
    if (!c->batch) return part(c->net->g, c->net->stats, &c->t->stat[stat]);
    if (c->net->mean[norm] == NOREF) batch_moments(c, norm);
    return stat % 2 ? c->net->var[norm] : c->net->mean[norm];
}

/* A residual sum with its branch changed, for this reader alone. */
static Ref copy_node(Copy *c, Ref r)
{
    int i = 0;
    TrainNet *net = c->net;
    while (net->branch && i < c->t->nblock && c->t->block[i].sum != r) i++;
    if (!net->branch || i == c->t->nblock) return graph_copy(net->g, c->t->g, r, c->map);
    Ref *at = &c->map[c->t->g->node[r].args[c->t->block[i].branch]], held = *at;
    *at = net->branch(net->user, net->g, held, i);
    Ref sum = graph_copy(net->g, c->t->g, r, c->map);
    *at = held;
    return sum;
}

static Ref make(Copy *c, Ref r)
{
    const Node *n = &c->t->g->node[r];
    if (n->op == OP_param) {
        const char *name = node_attr(n, "name")->s;
        int stat = find(c->t->stat, c->t->nstat, name);
        if (stat >= 0) return statistic(c, stat);
        return c->net->weight[find(c->t->param, c->t->nparam, name)];
    }
    for (int a = 0; a < n->nargs; a++) visit(c, n->args[a]);
    graph_take_origin(c->net->g, c->t->g, r);
    return copy_node(c, r);
}

static Ref visit(Copy *c, Ref r)
{
    if (c->map[r] == NOREF) c->map[r] = make(c, r);
    return c->map[r];
}

static Ref *unknown(Arena *a, int64_t n)
{
    Ref *r = NEW_N(a, Ref, n + 1);
    for (int64_t i = 0; i <= n; i++) r[i] = NOREF;
    return r;
}

void train_apply(const Trainable *t, TrainNet *net, bool batch)
{
    Copy c = {t, net, unknown(t->arena, t->g->n), batch};
    net->weight = unknown(t->arena, t->nparam);
    net->mean = unknown(t->arena, t->nnorm);
    net->var = unknown(t->arena, t->nnorm);
    c.map[t->x] = net->x;
    for (int i = 0; i < t->nparam; i++) net->weight[i] = part(net->g, net->params, &t->param[i]);
    net->logits = visit(&c, t->logits);
    graph_set_origin(net->g, NULL);
}

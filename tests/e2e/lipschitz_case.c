/* SPDX-License-Identifier: Apache-2.0 */
#include "lipschitz_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/programs.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

static const double psi = 1000;

/* ---- statistics of the batch ----
 * The file has y = x * s + b with s = scale / sqrt(var + eps) and b = shift - mean * s: each `var`
 * and `mean` that is an input becomes the variance or mean of that x. */

typedef struct Train {
    Graph *to;
    const Graph *from;
    Ref *map, *of; /* of: the x that an input is a statistic of, or NOREF */
} Train;

static Ref below_views(const Graph *g, Ref r)
{
    while (op_info[g->node[r].op].cls == CL_VIEW) r = g->node[r].args[0];
    return r;
}

static Ref arg(const Graph *g, Ref r, Op op, int i)
{
    return r != NOREF && g->node[r].op == op ? below_views(g, g->node[r].args[i]) : NOREF;
}

static void find_statistics(Train *t)
{
    const Graph *g = t->from;
    for (Ref r = 0; r < g->n; r++) {
        Ref product = arg(g, r, OP_add, 0), shift = arg(g, r, OP_add, 1);
        Ref scale = arg(g, product, OP_mul, 1), over = arg(g, scale, OP_div, 1);
        Ref var = arg(g, arg(g, over, OP_sqrt, 0), OP_add, 0);
        Ref mean = arg(g, arg(g, shift, OP_sub, 1), OP_mul, 0);
        if (var == NOREF || mean == NOREF) continue;
        t->of[var] = t->of[mean] = g->node[product].args[0];
    }
}

static Ref over_batch(Graph *g, Ref x)
{
    Type t = g->node[x].type;
    Ref sum = b_reduce(g, OP_sum, x, 3, (int[]){0, 2, 3});
    return b_binary(g, OP_div, sum, b_like(g, sum, (double)(type_count(t) / t.dim[1])));
}

static Ref statistic(Train *t, Ref r)
{
    Graph *g = t->to;
    bool mean = strstr(node_attr(&t->from->node[r], "name")->s, "mean") != NULL;
    Ref x = t->map[t->of[r]], v = over_batch(g, x);
    if (!mean) {
        Ref d = b_binary(g, OP_sub, x, b_broadcast_to(g, v, g->node[x].type));
        v = over_batch(g, b_binary(g, OP_mul, d, d));
    }
    return b_reshape(g, v, 1, t->from->node[r].type.dim);
}

/* The references have epsilon 1e-5; the file, an attribute of 32 bits, 9.99999975e-6. */
static Ref copy(Train *t, Ref r)
{
    Type type = t->from->node[r].type;
    if (is_splat_of(t->from, r, (double)1e-5f)) return graph_splat(t->to, type, 1e-5);
    return graph_copy(t->to, t->from, r, t->map);
}

/* In the order of need: the file's inputs come before what they are now made of. */
static void copy_needed(Train *t, Ref r)
{
    const Node *n = &t->from->node[r];
    if (t->map[r] != NOREF) return;
    if (t->of[r] != NOREF) copy_needed(t, t->of[r]);
    for (int i = 0; i < n->nargs; i++) copy_needed(t, n->args[i]);
    t->map[r] = t->of[r] != NOREF ? statistic(t, r) : copy(t, r);
}

static Graph *as_referenced(Arena *a, const Graph *from, bool train)
{
    size_t bytes = (from->n + 1) * sizeof(Ref);
    Train t = {graph_new(a, from->name), from, arena_alloc(a, bytes), arena_alloc(a, bytes)};
    memset(t.map, 0xff, bytes);
    memset(t.of, 0xff, bytes);
    if (train) find_statistics(&t);
    copy_needed(&t, from->out[0].ref);
    graph_output(t.to, from->out[0].name, t.map[from->out[0].ref]);
    return t.to;
}

/* Of the file's weights those that the graph still has: not the statistics that it computes. */
static void drop_unused(Case *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->params.n; i++)
        if (graph_find_input(c->g, c->params.param[i].name) != NOREF)
            c->params.param[n++] = c->params.param[i];
    c->params.n = n;
}

/* A finished graph with one more pass over it may not be appended to: pass_dce copies. */
static void import(Case *c)
{
    OnnxOptions o = {.params = &c->params};
    Graph *g =
        onnx_import(c->a, shared_path("models/resnet44-cifar10/%s-op13-bnkept.onnx", c->net), &o);
    if (c->dtype == DT_F64) g = pass_retype(c->a, g, DT_F32, DT_F64);
    g = pass_batch(c->a, g, CASE_IMAGES);
    g = as_referenced(c->a, g, !strcmp(c->mode, "train"));
    c->g = pass_dce(c->a, pass_simplify(c->a, g));
    c->x = graph_find_input(c->g, "x");
    drop_unused(c);
}

static Ref per_class(Case *c, Op op, Ref v)
{
    int axis[] = {1};
    return b_reduce(c->g, op, v, 1, axis);
}

static Ref mean_all(Case *c, Ref v)
{
    Graph *g = c->g;
    Type t = g->node[v].type;
    int axis[MAX_RANK];
    for (int i = 0; i < t.rank; i++) axis[i] = i;
    Ref s = b_reduce(g, OP_sum, v, t.rank, axis);
    s = b_reshape(g, s, 0, NULL);
    Ref count = b_like(g, s, (double)type_count(t));
    return b_binary(g, OP_div, s, count);
}

/* z_y - max of the others, or the picked logit */
static Ref smooth_output(Case *c, Ref z)
{
    Graph *g = c->g;
    Type t = g->node[z].type;
    Ref hot = b_onehot(g, c->y, t), low = b_like(g, z, -INFINITY);
    Ref rival = per_class(c, OP_max, b_select(g, hot, low, z));
    Ref margin = b_binary(g, OP_sub, loss_label_logit(g, z, c->y), rival);
    Ref picked = loss_label_logit(g, z, c->pick);
    int64_t column[] = {CASE_IMAGES, 1};
    return b_select(g, b_reshape(g, c->tandem, 2, column), margin, picked);
}

static void build(Case *c)
{
    int64_t n = CASE_IMAGES;
    Graph *g = c->g;
    Ref z = g->out[0].ref, s;
    c->y = b_input(g, "y", type_of(DT_I64, 1, &n));
    c->pick = b_input(g, "pick", type_of(DT_I64, 1, &n));
    c->tandem = b_input(g, "tandem", type_of(DT_BOOL, 1, &n));
    s = smooth_output(c, z);
    grad_append(g, 1, &s, NULL, 1, &c->x, &c->input_grad);
    c->penalty = mean_all(c, b_binary(g, OP_mul, c->input_grad, c->input_grad));
    c->ce = mean_all(c, loss_cross_entropy(g, z, c->y));
    Ref weighted = b_binary(g, OP_mul, c->penalty, b_like(g, c->penalty, psi));
    Ref loss = b_binary(g, OP_add, c->ce, weighted);
    c->wrt = NEW_N(c->a, Ref, c->params.n);
    c->dloss = NEW_N(c->a, Ref, c->params.n);
    for (uint32_t i = 0; i < c->params.n; i++)
        c->wrt[i] = graph_find_input(g, c->params.param[i].name);
    grad_append(g, 1, &loss, NULL, (int)c->params.n, c->wrt, c->dloss);
}

void case_open(Case *c, const char *net, const char *mode, DType dtype)
{
    *c = (Case){.net = net, .mode = mode, .dtype = dtype, .a = arena_new()};
    c->params.arena = c->a;
    import(c);
    build(c);
}

void case_close(Case *c)
{
    arena_free(c->a);
}

/* ---- stored references ---- */

NpyArray case_golden(const Case *c, const char *what)
{
    return npy_need(shared_path("golden/lipschitz-%s-%s/%s.npy", c->net, c->mode, what));
}

double *case_pixels(const Case *c)
{
    NpyArray x = case_golden(c, "x");
    double *exact = npy_doubles(&x);
    for (int64_t i = 0; i < x.elements; i++) /* stored as float32, computed from u8/255 */
        exact[i] = round(exact[i] * 255) / 255;
    npy_free(&x);
    return exact;
}

void case_flags(const Case *c, uint8_t *flag)
{
    NpyArray tandem = case_golden(c, "tandem");
    for (int i = 0; i < CASE_IMAGES; i++) flag[i] = ((float *)tandem.data)[i] != 0;
    npy_free(&tandem);
}

void case_scalars(const Case *c, double *ce, double *penalty)
{
    FILE *f = fopen(shared_path("golden/lipschitz-%s-%s/README.txt", c->net, c->mode), "r");
    char line[256];
    *ce = *penalty = NAN;
    while (f && fgets(line, sizeof line, f)) {
        sscanf(line, "cross_entropy %lf", ce);
        sscanf(line, "penalty %lf", penalty);
    }
    if (f) fclose(f);
}

CaseNorms case_norms(const Case *c, CaseGet *get, const void *of)
{
    FILE *f = fopen(shared_path("golden/lipschitz-%s-%s/README.txt", c->net, c->mode), "r");
    CaseNorms n = {0};
    char line[256], name[128];
    double want;
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%127s %*d %*f %*f %lf", name, &want) != 2) continue;
        int i = case_weight(c, name);
        if (i < 0) continue;
        n.worst = fmax(n.worst, fabs(get(of, i) - want) / want);
        n.compared++;
    }
    if (f) fclose(f);
    return n;
}

int case_weight(const Case *c, const char *name)
{
    for (uint32_t i = 0; i < c->params.n; i++)
        if (!strcmp(c->params.param[i].name, name)) return (int)i;
    return -1;
}

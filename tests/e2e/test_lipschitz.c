/* SPDX-License-Identifier: Apache-2.0 */
/* Double backprop on a trained network: loss = mean CE + psi * mean |ds/dx|^2 over N, C, H, W, s a picked
 * logit or, where `tandem` is 1, z_y minus the largest other (Woods, Chen, Teuscher 2019). The graph of
 * its gradient in every weight is `grad` applied twice, with nothing in it but table rows; evaluated in
 * f64 it must give the stored references, with running statistics (eval) and those of the batch
 * (train) in batch normalisation. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/onnx.h"
#include "compiler/programs.h"
#include "e2e.h"
#include "ir/eval.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

enum { N = 8, PIXELS = 3 * 32 * 32, CLASSES = 10 };
static const double psi = 1000;

typedef struct Case {
    const char *net, *mode; /* eval or train */
    double tol, loose;      /* loose: of d loss / d weight */
    Arena *a;
    Graph *g;
    OnnxParams params;
    Ref x, y, pick, tandem;
    Ref ce, penalty, input_grad;
    Ref *wrt, *dloss;
} Case;

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
    g = pass_retype(c->a, g, DT_F32, DT_F64);
    g = pass_batch(c->a, g, N);
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
    int64_t column[] = {N, 1};
    return b_select(g, b_reshape(g, c->tandem, 2, column), margin, picked);
}

static void build(Case *c)
{
    int64_t n = N;
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

/* ---- evaluation ---- */

static NpyArray golden(const Case *c, const char *what)
{
    return npy_need(shared_path("golden/lipschitz-%s-%s/%s.npy", c->net, c->mode, what));
}

static void bind_pixels(Case *c, Eval *ev)
{
    NpyArray x = golden(c, "x");
    double *exact = npy_doubles(&x);
    for (int i = 0; i < N * PIXELS; i++) /* stored as float32, computed from u8/255 */
        exact[i] = round(exact[i] * 255) / 255;
    eval_bind(ev, c->x, exact);
    free(exact);
    npy_free(&x);
}

static void bind(Case *c, Eval *ev)
{
    NpyArray y = golden(c, "labels"), pick = golden(c, "pick"), tandem = golden(c, "tandem");
    uint8_t flag[N];
    for (int i = 0; i < N; i++) flag[i] = ((float *)tandem.data)[i] != 0;
    bind_pixels(c, ev);
    eval_bind(ev, c->y, y.data);
    eval_bind(ev, c->pick, pick.data);
    eval_bind(ev, c->tandem, flag);
    for (uint32_t i = 0; i < c->params.n; i++) {
        const Const *v = c->params.param[i].value;
        int64_t count = type_count(v->type);
        double *d = arena_alloc(c->a, 8 * (size_t)count);
        for (int64_t k = 0; k < count; k++)
            d[k] = elem_get(v->type.dtype, v->data, v->splat ? 0 : k);
        eval_bind(ev, c->wrt[i], d);
    }
    npy_free(&y);
    npy_free(&pick);
    npy_free(&tandem);
}

static double scalar(const Eval *ev, Ref r)
{
    return *(const double *)eval_get(ev, r)->data;
}

static double norm(const double *v, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += v[i] * v[i];
    return sqrt(s);
}

static void check_value(Count *k, const Case *c, const char *what, double got, double want)
{
    double e = fabs(got - want) / fabs(want);
    count_check(k, e <= c->tol, "%s %s %s: %.12g, reference %.12g, relative %.1e", c->net, c->mode,
                what, got, want, e);
}

static Ref gradient_of(const Case *c, const char *name)
{
    for (uint32_t i = 0; i < c->params.n; i++)
        if (!strcmp(c->params.param[i].name, name)) return c->dloss[i];
    return NOREF;
}

/* The norms of README.txt, for every weight it lists. */
static void check_norms(Count *k, const Case *c, const Eval *ev)
{
    FILE *f = fopen(shared_path("golden/lipschitz-%s-%s/README.txt", c->net, c->mode), "r");
    char line[256], name[128];
    long long count;
    double ce, penalty, loss, worst = 0;
    int compared = 0;
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%127s %lld %lf %lf %lf", name, &count, &ce, &penalty, &loss) != 5)
            continue;
        Ref r = gradient_of(c, name);
        if (r == NOREF) continue;
        double got = norm(eval_get(ev, r)->data, count);
        worst = fmax(worst, fabs(got - loss) / loss);
        compared++;
    }
    if (f) fclose(f);
    count_check(k, compared >= 100 && worst <= c->loose,
                "%s %s norms of d loss / d weight: %d weights, worst relative %.1e", c->net,
                c->mode, compared, worst);
}

static void check_stored(Count *k, const Case *c, const Eval *ev, const char *name)
{
    char what[160];
    snprintf(what, sizeof what, "dloss.%s", name);
    NpyArray a = golden(c, what);
    Ref r = gradient_of(c, name);
    double e = r == NOREF ? NAN : relative(eval_get(ev, r)->data, a.data, 0, a.elements, true);
    count_check(k, e <= c->loose, "%s %s d loss / d %s: relative %.1e", c->net, c->mode, name, e);
    npy_free(&a);
}

static void read_scalars(const Case *c, double *ce, double *penalty)
{
    FILE *f = fopen(shared_path("golden/lipschitz-%s-%s/README.txt", c->net, c->mode), "r");
    char line[256];
    while (f && fgets(line, sizeof line, f)) {
        sscanf(line, "cross_entropy %lf", ce);
        sscanf(line, "penalty %lf", penalty);
    }
    if (f) fclose(f);
}

/* PyTorch in f64 on the file itself (lipschitz_reference.py). */
static const struct {
    const char *weight;
    double norm;
} of_file[] = {
    {"pipe.0.weight", 0.169934542639702},
    {"pipe.1.0.pre.0.weight", 0.0366023122338496},
    {"pipe.2.2.main.1.weight", 0.0583243692065166},
    {"pipe.4.weight", 0.281445364188747},
    {"pipe.7.bias", 0.36297336874031},
};

static void check_of_file(Count *k, const Case *c, const Eval *ev)
{
    check_value(k, c, "cross-entropy, of the file", scalar(ev, c->ce), 1.36097062467754);
    check_value(k, c, "penalty, of the file", scalar(ev, c->penalty), 3.25889798551071e-05);
    for (int i = 0; i < COUNT(of_file); i++) {
        Ref r = gradient_of(c, of_file[i].weight);
        double got = norm(eval_get(ev, r)->data, type_count(c->g->node[r].type));
        check_value(k, c, of_file[i].weight, got, of_file[i].norm);
    }
}

static void check_net(Count *k, const char *net, const char *mode, double tol, double loose)
{
    /* pipe.7.weight lies in Fortran order: its norm alone is checked */
    static const char *const stored[] = {"pipe.0.weight", "pipe.1.0.pre.0.weight",
                                         "pipe.2.2.main.1.weight", "pipe.4.weight", "pipe.7.bias"};
    Case c = {.net = net, .mode = mode, .tol = tol, .loose = loose, .a = arena_new()};
    double ce = NAN, penalty = NAN;
    c.params.arena = c.a;
    import(&c);
    build(&c);
    Eval *ev = eval_new(c.g);
    bind(&c, ev);
    Ref *want = NEW_N(c.a, Ref, c.params.n + 3);
    int n = 0;
    want[n++] = c.ce;
    want[n++] = c.penalty;
    want[n++] = c.input_grad;
    for (uint32_t i = 0; i < c.params.n; i++) want[n++] = c.dloss[i];
    eval_run(ev, want, n);
    read_scalars(&c, &ce, &penalty);
    check_value(k, &c, "cross-entropy", scalar(ev, c.ce), ce);
    check_value(k, &c, "penalty", scalar(ev, c.penalty), penalty);
    NpyArray g = golden(&c, "smooth_grad");
    double e = relative(eval_get(ev, c.input_grad)->data, g.data, 0, g.elements, true);
    count_check(k, e <= tol, "%s %s input gradient: relative %.1e", net, mode, e);
    npy_free(&g);
    for (size_t i = 0; i < sizeof stored / sizeof stored[0]; i++)
        check_stored(k, &c, ev, stored[i]);
    check_norms(k, &c, ev);
    c.tol = 1e-11;
    if (loose > tol) check_of_file(k, &c, ev);
    eval_free(ev);
    arena_free(c.a);
}

int main(void)
{
    Count k = {.name = "lipschitz"};
    if (!shared_present()) {
        count_skip(&k, "ADJ_SHARED is not set: no trained networks here");
        return count_close(&k);
    }
    check_net(&k, "resnet44-standard", "eval", 1e-9, 1e-9);
    check_net(&k, "resnet44-standard", "train", 1e-9, 1e-9);
    check_net(&k, "resnet44-all", "eval", 1e-7, 1e-7);
    /* PyTorch in f64 is as far from these references on this file, digit for digit (1.1e-6). */
    check_net(&k, "resnet44-all", "train", 1e-7, 2e-6);
    return count_close(&k);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Double backprop on a trained network: loss = mean CE + psi * mean |ds/dx|^2 over N, C, H, W, s a picked
 * logit or, where `tandem` is 1, z_y minus the largest other (Woods, Chen, Teuscher 2019). The graph of
 * its gradient in every weight is `grad` applied twice, with nothing in it but table rows; evaluated in
 * f64 it must give the stored references. Batch normalisation uses its running statistics. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/onnx.h"
#include "compiler/programs.h"
#include "e2e.h"
#include "ir/eval.h"
#include "passes/passes.h"

enum { N = 8, PIXELS = 3 * 32 * 32, CLASSES = 10 };
static const double psi = 1000;

typedef struct Case {
    const char *net;
    Arena *a;
    Graph *g;
    OnnxParams params;
    Ref x, y, pick, tandem;
    Ref ce, penalty, input_grad;
    Ref *wrt, *dloss;
} Case;

/* A finished graph with one more pass over it may not be appended to: pass_dce copies. */
static void import(Case *c)
{
    OnnxOptions o = {.params = &c->params};
    Graph *g =
        onnx_import(c->a, shared_path("models/resnet44-cifar10/%s-op13-bnkept.onnx", c->net), &o);
    g = pass_retype(c->a, g, DT_F32, DT_F64);
    g = pass_batch(c->a, pass_simplify(c->a, g), N);
    c->g = pass_dce(c->a, g);
    c->x = graph_find_input(c->g, "x");
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
    return npy_need(shared_path("golden/lipschitz-%s-eval/%s.npy", c->net, what));
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
    count_check(k, e <= 1e-7, "%s %s: %.12g, reference %.12g, relative %.1e", c->net, what, got,
                want, e);
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
    FILE *f = fopen(shared_path("golden/lipschitz-%s-eval/README.txt", c->net), "r");
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
    count_check(k, compared >= 100 && worst <= 1e-7,
                "%s norms of d loss / d weight: %d weights, worst relative %.1e", c->net, compared,
                worst);
}

static void check_stored(Count *k, const Case *c, const Eval *ev, const char *name)
{
    char what[160];
    snprintf(what, sizeof what, "dloss.%s", name);
    NpyArray a = golden(c, what);
    Ref r = gradient_of(c, name);
    double e = r == NOREF ? NAN : relative(eval_get(ev, r)->data, a.data, 0, a.elements, true);
    count_check(k, e <= 1e-7, "%s d loss / d %s: relative %.1e", c->net, name, e);
    npy_free(&a);
}

static void read_scalars(const Case *c, double *ce, double *penalty)
{
    FILE *f = fopen(shared_path("golden/lipschitz-%s-eval/README.txt", c->net), "r");
    char line[256];
    while (f && fgets(line, sizeof line, f)) {
        sscanf(line, "cross_entropy %lf", ce);
        sscanf(line, "penalty %lf", penalty);
    }
    if (f) fclose(f);
}

static void check_net(Count *k, const char *net)
{
    /* pipe.7.weight lies in Fortran order: its norm alone is checked */
    static const char *const stored[] = {"pipe.0.weight", "pipe.1.0.pre.0.weight",
                                         "pipe.2.2.main.1.weight", "pipe.4.weight", "pipe.7.bias"};
    Case c = {.net = net, .a = arena_new()};
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
    /* the file holds batch norm epsilons as float32: 1e-5 off by 2.5e-8 where variances are small */
    count_check(k, e <= 1e-7, "%s input gradient: relative %.1e", net, e);
    npy_free(&g);
    for (size_t i = 0; i < sizeof stored / sizeof stored[0]; i++)
        check_stored(k, &c, ev, stored[i]);
    check_norms(k, &c, ev);
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
    check_net(&k, "resnet44-standard");
    check_net(&k, "resnet44-all");
    return count_close(&k);
}

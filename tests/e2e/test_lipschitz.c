/* SPDX-License-Identifier: Apache-2.0 */
/* Double backprop on trained networks: the graph of lipschitz_case.h, evaluated in f64, must give the
 * stored references, in eval and train mode. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ir/eval.h"
#include "lipschitz_case.h"

typedef struct Check {
    Count *count;
    Case c;
    Eval *ev;
    double tol, loose; /* loose: of d loss / d weight */
} Check;

/* ---- evaluation ---- */

static void bind_weights(Check *k)
{
    const Case *c = &k->c;
    for (uint32_t i = 0; i < c->params.n; i++) {
        const Const *v = c->params.param[i].value;
        int64_t count = type_count(v->type);
        double *d = arena_alloc(c->a, 8 * (size_t)count);
        for (int64_t j = 0; j < count; j++)
            d[j] = elem_get(v->type.dtype, v->data, v->splat ? 0 : j);
        eval_bind(k->ev, c->wrt[i], d);
    }
}

static void bind(Check *k)
{
    const Case *c = &k->c;
    NpyArray y = case_golden(c, "labels"), pick = case_golden(c, "pick");
    double *x = case_pixels(c);
    uint8_t flag[CASE_IMAGES];
    case_flags(c, flag);
    eval_bind(k->ev, c->x, x);
    eval_bind(k->ev, c->y, y.data);
    eval_bind(k->ev, c->pick, pick.data);
    eval_bind(k->ev, c->tandem, flag);
    bind_weights(k);
    free(x);
    npy_free(&y);
    npy_free(&pick);
}

static void run(Check *k)
{
    const Case *c = &k->c;
    Ref *want = NEW_N(c->a, Ref, c->params.n + 3);
    int n = 0;
    want[n++] = c->ce;
    want[n++] = c->penalty;
    want[n++] = c->input_grad;
    for (uint32_t i = 0; i < c->params.n; i++) want[n++] = c->dloss[i];
    eval_run(k->ev, want, n);
}

static const double *value(const Check *k, Ref r)
{
    return eval_get(k->ev, r)->data;
}

/* ---- checks ---- */

static double norm(const void *of, int i)
{
    const Check *k = of;
    Ref r = k->c.dloss[i];
    double s = 0;
    for (int64_t j = 0; j < type_count(k->c.g->node[r].type); j++) s += pow(value(k, r)[j], 2);
    return sqrt(s);
}

static void check_value(Check *k, const char *what, double got, double want, double tol)
{
    double e = fabs(got - want) / fabs(want);
    count_check(k->count, e <= tol, "%s %s %s: %.12g, reference %.12g, relative %.1e", k->c.net,
                k->c.mode, what, got, want, e);
}

static void check_tensor(Check *k, const char *file, Ref r, double tol)
{
    NpyArray a = case_golden(&k->c, file);
    double e = relative(value(k, r), a.data, 0, a.elements, true);
    count_check(k->count, e <= tol, "%s %s %s: relative %.1e", k->c.net, k->c.mode, file, e);
    npy_free(&a);
}

/* Of stored gradients; pipe.7.weight lies in Fortran order: its norm alone is checked. */
static void check_gradients(Check *k)
{
    static const char *const stored[] = {"pipe.0.weight", "pipe.1.0.pre.0.weight",
                                         "pipe.2.2.main.1.weight", "pipe.4.weight", "pipe.7.bias"};
    for (int i = 0; i < COUNT(stored); i++) {
        char what[160];
        snprintf(what, sizeof what, "dloss.%s", stored[i]);
        check_tensor(k, what, k->c.dloss[case_weight(&k->c, stored[i])], k->loose);
    }
    CaseNorms n = case_norms(&k->c, norm, k);
    count_check(k->count, n.compared >= 100 && n.worst <= k->loose,
                "%s %s norms of d loss / d weight: %d weights, worst relative %.1e", k->c.net,
                k->c.mode, n.compared, n.worst);
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

static void check_of_file(Check *k)
{
    const double tol = 1e-11;
    check_value(k, "cross-entropy, of the file", *value(k, k->c.ce), 1.36097062467754, tol);
    check_value(k, "penalty, of the file", *value(k, k->c.penalty), 3.25889798551071e-05, tol);
    for (int i = 0; i < COUNT(of_file); i++)
        check_value(k, of_file[i].weight, norm(k, case_weight(&k->c, of_file[i].weight)),
                    of_file[i].norm, tol);
}

static void check_net(Count *count, const char *net, const char *mode, double tol, double loose)
{
    Check k = {.count = count, .tol = tol, .loose = loose};
    double ce, penalty;
    case_open(&k.c, net, mode, DT_F64);
    k.ev = eval_new(k.c.g);
    bind(&k);
    run(&k);
    case_scalars(&k.c, &ce, &penalty);
    check_value(&k, "cross-entropy", *value(&k, k.c.ce), ce, tol);
    check_value(&k, "penalty", *value(&k, k.c.penalty), penalty, tol);
    check_tensor(&k, "smooth_grad", k.c.input_grad, tol);
    check_gradients(&k);
    if (loose > tol) check_of_file(&k);
    eval_free(k.ev);
    case_close(&k.c);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* Logits, input gradients and PGD iterates against stored float64 references. Tolerances are those of
 * the references: gradients are stored as float32, and files with batch norm already folded carry
 * float32 rounding in their weights. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e2e.h"

enum { N = 16, PIXELS = 3 * 32 * 32, CLASSES = 10 };

typedef struct NetRow {
    const char *file, *golden;
    double grad_tolerance; /* f64, label logit */
    bool smooth;           /* half-Huber: f32 gradients have no flipping masks */
} NetRow;

static const NetRow nets[] = {
    {"resnet44-cifar10/resnet44-standard-op13-bnkept.onnx", "resnet44-standard", 1e-7, false},
    {"resnet44-cifar10/resnet44-standard-op13.onnx", "resnet44-standard", 2e-5, false},
    {"resnet44-cifar10/resnet44-standard-op9.onnx", "resnet44-standard", 2e-5, false},
    {"resnet44-cifar10/resnet44-all-op13-bnkept.onnx", "resnet44-all", 1e-7, true},
    {"resnet44-cifar10/resnet44-all-op13.onnx", "resnet44-all", 2e-5, true},
    {"resnet44-cifar10/resnet44-all-op9.onnx", "resnet44-all", 2e-5, true},
    {"resnet-cifar10/resnet20-cifar10-op13-bnkept.onnx", "resnet20", 1e-7, false},
    {"resnet-cifar10/resnet20-cifar10-op13.onnx", "resnet20", 2e-5, false},
    {"resnet-cifar10/resnet20-cifar10-op11.onnx", "resnet20", 2e-5, false},
    {"resnet-cifar10/resnet44-cifar10-op13.onnx", "resnet44", 2e-5, false},
    {"vnncomp/resnet_2b.onnx", "resnet_2b", 1e-7, false},
    {"vnncomp/resnet_4b.onnx", "resnet_4b", 1e-7, false},
};

typedef struct Golden {
    double *x, *logits, *ce, *label;
    int64_t *y;
} Golden;

static double *doubles_of(const char *net, const char *what)
{
    NpyArray a = npy_need(shared_path("golden/%s/%s.npy", net, what));
    double *d = npy_doubles(&a);
    npy_free(&a);
    return d;
}

static Golden golden_open(const char *net)
{
    Golden g = {doubles_of(net, "x"), doubles_of(net, "logits"), doubles_of(net, "ce_grad"),
                doubles_of(net, "label_logit_grad"), NULL};
    NpyArray y = npy_need(shared_path("golden/%s/labels.npy", net));
    g.y = malloc(sizeof(int64_t) * N);
    memcpy(g.y, y.data, sizeof(int64_t) * N);
    npy_free(&y);
    return g;
}

static void golden_free(Golden *g)
{
    free(g->x);
    free(g->logits);
    free(g->ce);
    free(g->label);
    free(g->y);
}

static double worst_logit(const Golden *g, const void *z, bool f64)
{
    double big = 0, worst = 0;
    for (int i = 0; i < N * CLASSES; i++) big = fmax(big, fabs(g->logits[i]));
    for (int i = 0; i < N * CLASSES; i++) worst = fmax(worst, fabs(get(z, i, f64) - g->logits[i]));
    return worst / fmax(1, big / 10);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Largest excess over each image's tolerance, as a ratio, and the median relative error. */
static double gradient_ratio(const Golden *g, const void *grad, const double *ref, bool ce,
                             double tolerance, bool f64, double *median)
{
    double e[N], worst = 0;
    for (int i = 0; i < N; i++) {
        double sum = 0, zy = g->logits[i * CLASSES + g->y[i]];
        for (int k = 0; k < CLASSES; k++)
            sum += k == g->y[i] ? 0 : exp(g->logits[i * CLASSES + k] - zy);
        double rest = sum / (1 + sum); /* 1 - p_y */
        e[i] = relative(grad, ref, (int64_t)i * PIXELS, PIXELS, f64);
        worst = fmax(worst, e[i] / (tolerance + (ce ? 1e-15 / rest : 0)));
    }
    qsort(e, N, sizeof e[0], by_value);
    *median = (e[N / 2 - 1] + e[N / 2]) / 2;
    return worst;
}

static void check_gradient(Count *c, const NetRow *row, const Net *net, const Golden *g, bool ce)
{
    const char *entry = ce ? "gradient" : "logit-gradient";
    Run r = {.n = N};
    double median;
    void *x = to_precision(g->x, N * PIXELS, net->f64);
    void *z = malloc(8 * N * CLASSES), *loss = malloc(8 * N), *grad = malloc(8 * N * PIXELS);
    memcpy(r.io, (void *[]){x, g->y, z, loss, grad}, 5 * sizeof(void *));
    net_run(net, entry, &r);
    double zw = worst_logit(g, z, net->f64);
    count_check(c, zw <= 1e-4, "%s %s %s logits %.2e", row->file, net->f64 ? "f64" : "f32", entry,
                zw);
    double tolerance = net->f64 ? row->grad_tolerance : 1e-4;
    double ratio = gradient_ratio(g, grad, ce ? g->ce : g->label, ce, tolerance, net->f64, &median);
    bool ok = net->f64 || row->smooth ? ratio <= 1 : median <= 1e-4;
    count_check(c, ok, "%s %s %s: worst/tolerance %.3g, median %.2e", row->file,
                net->f64 ? "f64" : "f32", entry, ratio, median);
    free(x);
    free(z);
    free(loss);
    free(grad);
}

static void check_net(Count *c, const NetRow *row, bool f64)
{
    AdjOptions o = {.model = shared_path("models/%s", row->file),
                    .f64 = f64,
                    .batch = 8,
                    .entries = "gradient,logit-gradient",
                    .generic = getenv("ADJ_GENERIC")};
    Net net = net_open(&o);
    Golden g = golden_open(row->golden);
    check_gradient(c, row, &net, &g, false);
    check_gradient(c, row, &net, &g, true);
    golden_free(&g);
    net_close(&net);
}

/* ---- PGD ---- */

static double *attack_doubles(const char *net, const char *what)
{
    NpyArray a = npy_need(shared_path("golden/attacks/%s/%s.npy", net, what));
    double *d = npy_doubles(&a);
    npy_free(&a);
    return d;
}

static const int stored_at[] = {1, 2, 3, 5, 10};

static void check_iterates(Count *c, const Net *net, const char *name, bool targeted, double *x,
                           int64_t *y, double *start, const double *want)
{
    double eps = strstr(name, "standard") ? 1.0 / 255 : 8.0 / 255, step = eps / 4;
    int32_t yes = targeted, no = 0;
    double *adv = malloc(8 * N * PIXELS);
    for (int k = 0; k < 5; k++) {
        Run r = {.n = N, .steps = stored_at[k]};
        int32_t success[N];
        memcpy(r.io, (void *[]){x, y, start, adv, success}, 5 * sizeof(void *));
        memcpy(r.hyper, (const void *[]){&eps, &step, &yes, &no, &no}, 5 * sizeof(void *));
        net_run(net, "pgd-linf", &r);
        int64_t off = 0;
        for (int64_t i = 0; i < N * PIXELS; i++)
            off += !(fabs(adv[i] - want[(int64_t)k * N * PIXELS + i]) <= 1e-9);
        count_check(c, off <= N * PIXELS / 5000, "%s %s iterate %d: %lld of %d pixels differ", name,
                    targeted ? "targeted" : "pgd", stored_at[k], (long long)off, N * PIXELS);
    }
    free(adv);
}

static void check_pgd(Count *c, const char *name)
{
    AdjOptions o = {.f64 = true,
                    .batch = 8,
                    .entries = "pgd-linf",
                    .model = shared_path("models/resnet44-cifar10/%s-op13.onnx", name)};
    Net net = net_open(&o);
    double *x = attack_doubles(name, "x"), *start = attack_doubles(name, "linf_start");
    for (int i = 0; i < N * PIXELS; i++) /* stored as an offset from x */
        start[i] = fmin(1, fmax(0, x[i] + start[i]));
    double *plain = attack_doubles(name, "pgd_linf_iterates");
    double *aimed = attack_doubles(name, "pgd_linf_targeted_iterates");
    NpyArray label = npy_need(shared_path("golden/attacks/%s/labels.npy", name));
    int64_t *y = label.data, target[N];
    for (int i = 0; i < N; i++) target[i] = (y[i] + 1) % CLASSES;
    check_iterates(c, &net, name, false, x, y, start, plain);
    check_iterates(c, &net, name, true, x, target, x, aimed); /* no random start */
    npy_free(&label);
    free(x);
    free(start);
    free(plain);
    free(aimed);
    net_close(&net);
}

int main(int argc, char **argv)
{
    Count c = {.name = "goldens"};
    const char *only = argc > 1 ? argv[1] : "";
    if (!shared_present()) {
        count_skip(&c, "ADJ_SHARED is not set: no trained networks here");
        return count_close(&c);
    }
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++) {
        if (!strstr(nets[i].file, only)) continue;
        check_net(&c, &nets[i], true);
        check_net(&c, &nets[i], false);
    }
    check_pgd(&c, "resnet44-standard");
    check_pgd(&c, "resnet44-all");
    return count_close(&c);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks against stored float64 references (PyTorch; see the README of the shared data), from the
 * networks whose batch norms are kept: their weights are those of the references. What no reference
 * is needed for is test_attack_rules.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e2e.h"
#include "tools/data/data.h"

enum { N = 16, FEW = 8, PIXELS = 3 * 32 * 32, CLASSES = 10, STORED = 5, NEVER = 1000000000 };

static const char entries[] = "fgsm,mi-fgsm,pgd-l2,l2-min,btr,g-explain";
static const int stored_at[STORED] = {1, 2, 3, 5, 10};

typedef struct Case {
    const char *name;
    double eps, radius; /* Linf, L2 */
    double near;        /* allowed in what rounding does not amplify, relative */
    double flips;       /* share of pixels whose gradient's sign rounding may decide */
    Net net;
    double *x, *aim_x; /* the first test images; those of ara_indices_1776 */
    int64_t y[N], aim_y[FEW];
} Case;

static double *stored(const Case *k, const char *what)
{
    NpyArray a = npy_need(shared_path("golden/attacks/%s/%s.npy", k->name, what));
    double *d = npy_doubles(&a);
    npy_free(&a);
    return d;
}

static void stored_ints(const Case *k, const char *what, int n, int64_t *to)
{
    NpyArray a = npy_need(shared_path("golden/attacks/%s/%s.npy", k->name, what));
    memcpy(to, a.data, sizeof *to * (size_t)n);
    npy_free(&a);
}

static Run start(const Case *k, const char *entry, bool aim, int n, int steps, double *adv)
{
    Run r = {.n = n, .steps = steps};
    run_bind(&k->net, entry, &r, "x", aim ? k->aim_x : k->x);
    run_bind(&k->net, entry, &r, "y", (int64_t *)(aim ? k->aim_y : k->y));
    run_bind(&k->net, entry, &r, "adv", adv);
    return r;
}

/* ---- bounded ---- */

static double off_share(const double *a, const double *b)
{
    int64_t off = 0;
    for (int64_t i = 0; i < N * PIXELS; i++) off += !(fabs(a[i] - b[i]) <= 1e-9);
    return (double)off / (N * PIXELS);
}

static void check_fgsm(Count *c, const Case *k)
{
    double *adv = malloc(8 * N * PIXELS), *want = stored(k, "fgsm");
    Run r = start(k, "fgsm", false, N, 1, adv);
    run_set(&k->net, "fgsm", &r, "eps", k->eps);
    net_run(&k->net, "fgsm", &r);
    double off = off_share(adv, want);
    count_check(c, off <= k->flips, "%s fgsm: %.1e of the pixels differ", k->name, off);
    free(adv);
    free(want);
}

static void check_mi(Count *c, const Case *k)
{
    double *adv = malloc(8 * N * PIXELS), *want = stored(k, "mifgsm_iterates");
    for (int i = 0; i < STORED; i++) {
        Run r = start(k, "mi-fgsm", false, N, stored_at[i], adv);
        run_set(&k->net, "mi-fgsm", &r, "eps", k->eps);
        run_set(&k->net, "mi-fgsm", &r, "step", k->eps / 4);
        net_run(&k->net, "mi-fgsm", &r);
        double off = off_share(adv, want + (int64_t)i * N * PIXELS);
        count_check(c, off <= k->flips, "%s mi-fgsm iterate %d: %.1e of the pixels differ", k->name,
                    stored_at[i], off);
    }
    free(adv);
    free(want);
}

/* Largest distance of two perturbations of x, relative to the second, over images. */
static double worst_gap(const double *x, const double *a, const double *b, int n)
{
    double worst = 0;
    for (int i = 0; i < n; i++) {
        double gap = 0, size = 0;
        for (int64_t p = (int64_t)i * PIXELS; p < (int64_t)(i + 1) * PIXELS; p++) {
            double from = x ? x[p] : 0;
            gap += (a[p] - b[p]) * (a[p] - b[p]);
            size += (b[p] - from) * (b[p] - from);
        }
        worst = fmax(worst, size > 0 ? sqrt(gap / size) : sqrt(gap));
    }
    return worst;
}

static void check_l2(Count *c, const Case *k)
{
    double *adv = malloc(8 * N * PIXELS), *want = stored(k, "pgd_l2_iterates");
    for (int i = 0; i < STORED; i++) {
        Run r = start(k, "pgd-l2", false, N, stored_at[i], adv);
        run_set(&k->net, "pgd-l2", &r, "eps", k->radius);
        run_set(&k->net, "pgd-l2", &r, "step", k->radius / 4);
        run_set(&k->net, "pgd-l2", &r, "random", 0);
        net_run(&k->net, "pgd-l2", &r);
        double gap = worst_gap(k->x, adv, want + (int64_t)i * N * PIXELS, N);
        count_check(c, gap <= k->near, "%s pgd-l2 iterate %d: off by %.1e", k->name, stored_at[i],
                    gap);
    }
    free(adv);
    free(want);
}

/* ---- minimal ---- */

typedef struct Walk {
    double delta[FEW * PIXELS], adv[FEW * PIXELS], rmse[FEW];
    int32_t first[FEW], success[FEW];
    AdjStatus status;
} Walk;

static void walk(const Case *k, const char *entry, int n, int steps, double eps, const int64_t *y,
                 Walk *w)
{
    Run r = start(k, entry, true, n, steps, w->adv);
    if (y) run_bind(&k->net, entry, &r, "y", (int64_t *)y);
    run_bind(&k->net, entry, &r, "delta", w->delta);
    run_bind(&k->net, entry, &r, "rmse", w->rmse);
    run_bind(&k->net, entry, &r, "first_ok", w->first);
    run_bind(&k->net, entry, &r, "success", w->success);
    run_set(&k->net, entry, &r, "eps", eps);
    net_run(&k->net, entry, &r);
    w->status = r.status;
}

static int first_matches(const Walk *w, const int64_t *want, int n)
{
    int same = 0;
    for (int i = 0; i < n; i++) same += w->first[i] == want[i];
    return same;
}

static void check_short(Count *c, const Case *k, const char *entry, const char *file, Walk *w)
{
    char name[64];
    int64_t first[FEW];
    snprintf(name, sizeof name, "%s_short_delta", file);
    double *want = stored(k, name);
    snprintf(name, sizeof name, "%s_short_first_ok", file);
    stored_ints(k, name, FEW, first);
    walk(k, entry, FEW, 20, 2, NULL, w);
    double gap = worst_gap(NULL, w->delta, want, FEW);
    count_check(c, gap <= k->near, "%s %s, 20 steps: off by %.1e", k->name, entry, gap);
    int same = first_matches(w, first, FEW);
    count_check(c, same == FEW, "%s %s, 20 steps: %d of %d first successes", k->name, entry, same,
                FEW);
    count_check(c, w->status.forwards == FEW * 21 && w->status.backwards == FEW * 20,
                "%s %s: %d forwards, %d backwards", k->name, entry, (int)w->status.forwards,
                (int)w->status.backwards);
    free(want);
}

/* 450 steps amplify rounding, on the standard net until no digit is left: sizes are compared, in
 * pixels. */
static void check_long(Count *c, const Case *k, const char *entry, const char *file, Walk *w)
{
    char name[64];
    int64_t first[FEW];
    double worst = 0;
    snprintf(name, sizeof name, "%s_rmse", file);
    double *want = stored(k, name);
    snprintf(name, sizeof name, "%s_first_ok", file);
    stored_ints(k, name, FEW, first);
    walk(k, entry, FEW, 450, 20, NULL, w);
    for (int i = 0; i < FEW; i++) worst = fmax(worst, fabs(w->rmse[i] - want[i]));
    count_check(c, worst <= 1e-3, "%s %s, 450 steps: RMSE off by %.1e", k->name, entry, worst);
    int same = first_matches(w, first, FEW);
    count_check(c, same == FEW, "%s %s, 450 steps: %d of %d first successes", k->name, entry, same,
                FEW);
    free(want);
}

static void check_explain(Count *c, const Case *k, Walk *w)
{
    int64_t first[4], target[4];
    double *want = stored(k, "explain_delta");
    stored_ints(k, "explain_first_ok", 4, first);
    stored_ints(k, "explain_target", 4, target);
    walk(k, "g-explain", 4, 35, 0.1, target, w);
    double gap = worst_gap(NULL, w->delta, want, 4);
    count_check(c, gap <= k->near, "%s g-explain: off by %.1e", k->name, gap);
    int same = first_matches(w, first, 4);
    count_check(c, same == 4, "%s g-explain: %d of 4 first times", k->name, same);
    free(want);
}

/* ---- all ---- */

/* The first images of the list, in double: u8/255. */
static void read_aims(Case *k)
{
    DataError e;
    FILE *list = fopen(shared_path("cifar10/ara_indices_1776.txt"), "r");
    Data *d = data_open(shared_path("cifar10/test_batch.bin.xz"), NULL, &e);
    float pixel[PIXELS];
    k->aim_x = malloc(8 * FEW * PIXELS);
    for (int i = 0; i < FEW; i++) {
        int at;
        if (!list || !d || fscanf(list, "%d", &at) != 1 || !data_read_f32(d, at, 1, pixel, &e) ||
            !data_labels(d, at, 1, &k->aim_y[i], &e))
            exit(fprintf(stderr, "CIFAR-10 cannot be read\n"));
        for (int p = 0; p < PIXELS; p++)
            k->aim_x[i * PIXELS + p] = nearbyint((double)pixel[p] * 255) / 255;
    }
    fclose(list);
    data_close(d);
}

static void check_net(Count *c, Case *k)
{
    AdjOptions o = {.f64 = true,
                    .batch = 8,
                    .entries = entries,
                    .model = shared_path("models/resnet44-cifar10/%s-op13.onnx", k->name)};
    Walk *w = malloc(sizeof *w);
    k->net = net_open(&o);
    k->x = stored(k, "x");
    stored_ints(k, "labels", N, k->y);
    read_aims(k);
    check_fgsm(c, k);
    check_mi(c, k);
    check_l2(c, k);
    check_short(c, k, "l2-min", "l2min", w);
    check_short(c, k, "btr", "btr", w);
    check_explain(c, k, w);
    check_long(c, k, "l2-min", "l2min", w);
    check_long(c, k, "btr", "btr", w);
    free(w);
    free(k->x);
    free(k->aim_x);
    net_close(&k->net);
}

int main(void)
{
    Count c = {.name = "attacks"};
    Case cases[] = {{.name = "resnet44-all", .eps = 8.0 / 255, .radius = 0.5, .near = 1e-9},
                    {.name = "resnet44-standard",
                     .eps = 1.0 / 255,
                     .radius = 0.1,
                     .near = 1e-6,
                     .flips = 1e-4}};
    if (!shared_present()) {
        count_skip(&c, "ADJ_SHARED is not set: no trained networks here");
        return count_close(&c);
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) check_net(&c, &cases[i]);
    return count_close(&c);
}

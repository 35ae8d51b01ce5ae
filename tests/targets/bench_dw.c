/* SPDX-License-Identifier: Apache-2.0 */
/* Speed of gradients in weights on one thread, plan beside plan, as a share of the multiply-add
 * rate that this machine shows around each measurement. Plans are called in turn, so that what else
 * runs meets all of them. Flops are those of the convolution by definition. Not a test.
 *
 *     bench_dw [resnet44|resnet50] [batch] [part of a layer's name] [plan, as in a schedule]...
 *
 * Without plans: dwconv beside winograd. */
#include "dwrun.h"
#include "peak.h"

#include "targets/llvm/emit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Layer {
    const char *name;
    int64_t ch, size; /* 3x3, stride 1 */
} Layer;
static const Layer resnet44[] = {{"16@32", 16, 32}, {"32@16", 32, 16}, {"64@8", 64, 8}};
static const Layer resnet50[] = {
    {"64@56", 64, 56}, {"128@28", 128, 28}, {"256@14", 256, 14}, {"512@7", 512, 7}};

enum { REPEATS = 41, MOST_PLANS = 16 };

typedef struct Plan {
    Dw d;
    Loaded *loaded;
    void *code;
    double share[REPEATS];
} Plan;

static void make(void *user)
{
    Plan *p = user;
    p->d.a = arena_new();
    if (!dw_kernel(&p->d)) return;
    const Kernel *k = p->d.kernel;
    Bytes object = emit_kernels(&k, 1, p->d.t, EMIT_OBJ);
    p->loaded = object_load(&object, "k", &p->code);
    bytes_free(&object);
    dw_fill(&p->d);
    memset(p->d.mem[DW_SCRATCH], 0, (size_t)k->offer.scratch_bytes);
}

static double flops(const Plan *p)
{
    const Contract *c = &p->d.k;
    return 2.0 * (double)(c->batch * c->ic * c->oc * c->kh * c->kw * c->oh * c->ow);
}

static void measure(Plan *p, int repeat)
{
    int turns = 1 + (int)(2e8 / flops(p));
    int64_t pieces = kernel_pieces(p->d.kernel);
    double before = peak_flops(), t = cpu_seconds();
    for (int i = 0; i < turns; i++) dw_call(&p->d, p->code, 0, pieces);
    t = cpu_seconds() - t;
    p->share[repeat] = flops(p) * turns / t / ((before + peak_flops()) / 2);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const Layer *l, int64_t batch, Plan *p)
{
    Str text = {0};
    qsort(p->share, REPEATS, sizeof *p->share, compare);
    target_plan_text(&text, &p->d.kernel->offer);
    printf("%-7s b%-4lld %6.1f %% (quartiles %.1f %.1f)  %s, cost %.4g\n", l->name,
           (long long)batch, 100 * p->share[REPEATS / 2], 100 * p->share[REPEATS / 4],
           100 * p->share[REPEATS - 1 - REPEATS / 4], text.s, p->d.kernel->offer.cost);
    fflush(stdout);
    str_free(&text);
}

static void bench(const Target *t, const Layer *l, int64_t batch, int n, char **plans)
{
    Plan plan[MOST_PLANS];
    char why[512];
    Case c = {.dtype = DT_F32,
              .op = OP_conv_dw,
              .n = batch,
              .ic = l->ch,
              .oc = l->ch,
              .ih = l->size,
              .iw = l->size,
              .kh = 3,
              .kw = 3,
              .stride = 1,
              .dilation = 1,
              .pad = {1, 1, 1, 1}};
    for (int i = 0; i < n; i++) {
        plan[i] = (Plan){.d = {.c = c, .t = t, .plan = plans[i], .bare = true}};
        if (!err_guard(make, &plan[i], why, sizeof why)) printf("%s: %s\n", l->name, why);
    }
    for (int r = 0; r < REPEATS; r++)
        for (int i = 0; i < n; i++)
            if (plan[i].code) measure(&plan[i], r);
    for (int i = 0; i < n; i++) {
        if (plan[i].code) report(l, batch, &plan[i]);
        if (plan[i].loaded) object_unload(plan[i].loaded);
        arena_free(plan[i].d.a);
    }
}

int main(int argc, char **argv)
{
    static char *both[] = {"dwconv", "winograd"};
    bool big = argc > 1 && !strcmp(argv[1], "resnet50");
    int64_t batch = argc > 2 ? atoi(argv[2]) : 16;
    const char *part = argc > 3 ? argv[3] : "";
    const Layer *l = big ? resnet50 : resnet44;
    int n = argc > 4 ? argc - 4 : COUNT(both);
    Arena *a = arena_new();
    const Target *t = target_find(a, NULL, NULL);
    if (n > MOST_PLANS) return fprintf(stderr, "at most %d plans\n", MOST_PLANS), 2;
    printf("%s, peak %.1f Gflop/s\n", t->cpu, peak_flops() / 1e9);
    for (int i = 0; i < (big ? COUNT(resnet50) : COUNT(resnet44)); i++)
        if (strstr(l[i].name, part)) bench(t, &l[i], batch, n, argc > 4 ? argv + 4 : both);
    arena_free(a);
    return 0;
}

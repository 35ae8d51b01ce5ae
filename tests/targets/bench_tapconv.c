/* SPDX-License-Identifier: Apache-2.0 */
/* Speed of the claimed convolutions on one thread, as a share of the multiply-add rate that this
 * machine shows around each measurement (clocks wander by more than good tiles differ). Flops are
 * those of the convolution by definition, halo included. Not a test.
 *
 * Winograd needs fewer than those and may pass 100 %.
 *
 *     bench_tapconv [net] [batch] [part of a layer's name] [plan ...]
 *
 * net: resnet44 (default), resnet50, or either with -direct: without Winograd, or with -tiles: f32 by
 * matrix tiles too. Plans ("" is the heuristic's) take turns with each other; a layer that one does
 * not fit takes its own. */
#include "tapkernel.h"

#include "ir/schedule.h"
#include "peak.h"
#include "targets/llvm/emit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one layer ---- */

typedef struct Layer {
    const char *name;
    int64_t k, stride, ic, oc, size;
} Layer;

static void *memory(const Kernel *k, int p)
{
    size_t n = (size_t)layout_bytes(&k->param[p].layout, k->param[p].dtype);
    char *m = aligned_alloc(64, (n + 127) / 64 * 64);
    memset(m, 0, n);
    if (k->param[p].dtype == DT_F32)
        for (size_t i = 0; i < n / 4; i++) ((float *)m)[i] = (float)(i % 17) * 0.01f - 0.08f;
    return m;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum { REPEATS = 51, MOST_PLANS = 16 };

/* A plan of a layer, ready to run. */
typedef struct Ready {
    Kernel *k;
    void *m[ALL_PARAMS], *code;
    Bytes object;
    Loaded *loaded;
    double share[REPEATS]; /* of peak, a turn each */
} Ready;

static void get_ready(Arena *a, const Target *t, const Case *c, Ready *r)
{
    r->k = case_kernel(a, c, t, "k");
    if (!r->k) return;
    r->object = emit_kernels((const Kernel *const *)&r->k, 1, t, EMIT_OBJ);
    r->loaded = object_load(&r->object, "k", &r->code);
    for (int p = 0; p < r->k->nparam; p++) r->m[p] = memory(r->k, p);
}

static void forget(Ready *r)
{
    if (!r->k) return;
    for (int p = 0; p < r->k->nparam; p++) free(r->m[p]);
    object_unload(r->loaded);
    bytes_free(&r->object);
}

/* Share of peak, measured between two looks at it. */
static double share(const Ready *r)
{
    const Contract *f = &r->k->contract;
    double flops = 2.0 * (double)(f->batch * f->ic * f->oc * f->kh * f->kw * f->oh * f->ow);
    int turns = 1 + (int)(5e7 / flops);
    int64_t pieces = kernel_pieces(r->k);
    double before = peak_flops(), t = cpu_seconds();
    for (int i = 0; i < turns; i++)
        case_call(r->k, r->code, NULL, 0, f->batch, 0, pieces, (void **)r->m, 0);
    t = cpu_seconds() - t;
    return flops * turns / t / ((before + peak_flops()) / 2);
}

static Case case_of(const Layer *l, int64_t batch, Op op)
{
    int64_t p = l->k / 2;
    return (Case){.dtype = DT_F32,
                  .op = op,
                  .n = batch,
                  .ic = l->ic,
                  .oc = l->oc,
                  .ih = l->size,
                  .iw = l->size,
                  .kh = l->k,
                  .kw = l->k,
                  .stride = l->stride,
                  .dilation = 1,
                  .pad = {p, p, p, p},
                  .epilogue = true};
}

static void print(const Ready *r, const Layer *l, Op op)
{
    Str plan = {0};
    target_plan_text(&plan, &r->k->offer);
    printf("%-18s %-8s %5.1f %% (best quarter %5.1f)   %s\n", l->name, op_info[op].name,
           100 * r->share[REPEATS / 2], 100 * r->share[REPEATS * 3 / 4], plan.s);
    fflush(stdout);
    str_free(&plan);
}

/* The plans take turns, so that what else the machine does falls on all of them. */
static void bench(const Target *t, const Layer *l, int64_t batch, Op op, char **plan, int nplan)
{
    static Ready ready[MOST_PLANS];
    Arena *a = arena_new();
    Case c = case_of(l, batch, op);
    for (int i = 0; i < nplan; i++) {
        Target own = *t;
        ScheduleLine line = {.cpu = t->cpu, .contract = case_contract(&c), .plan = plan[i]};
        Schedule s = {.n = 1, .line = &line};
        if (*plan[i]) own.schedule = &s;
        ready[i] = (Ready){0};
        get_ready(a, &own, &c, &ready[i]);
    }
    for (int k = 0; k < REPEATS; k++)
        for (int i = 0; i < nplan; i++)
            if (ready[i].k) ready[i].share[k] = share(&ready[i]);
    for (int i = 0; i < nplan; i++) {
        qsort(ready[i].share, REPEATS, sizeof(double), compare);
        if (ready[i].k) print(&ready[i], l, op);
        forget(&ready[i]);
    }
    arena_free(a);
}

static const Layer resnet44[] = {
    {"3s1_3_16_32", 3, 1, 3, 16, 32},   {"3s1_16_16_32", 3, 1, 16, 16, 32},
    {"3s2_16_32_32", 3, 2, 16, 32, 32}, {"1s2_16_32_32", 1, 2, 16, 32, 32},
    {"3s1_32_32_16", 3, 1, 32, 32, 16}, {"3s2_32_64_16", 3, 2, 32, 64, 16},
    {"1s2_32_64_16", 1, 2, 32, 64, 16}, {"3s1_64_64_8", 3, 1, 64, 64, 8},
};
static const Layer resnet50[] = {
    {"7s2_3_64_224", 7, 2, 3, 64, 224},       {"1s1_64_64_56", 1, 1, 64, 64, 56},
    {"3s1_64_64_56", 3, 1, 64, 64, 56},       {"1s1_64_256_56", 1, 1, 64, 256, 56},
    {"1s1_256_64_56", 1, 1, 256, 64, 56},     {"3s2_128_128_56", 3, 2, 128, 128, 56},
    {"1s2_256_512_56", 1, 2, 256, 512, 56},   {"3s1_128_128_28", 3, 1, 128, 128, 28},
    {"1s1_512_128_28", 1, 1, 512, 128, 28},   {"3s1_256_256_14", 3, 1, 256, 256, 14},
    {"1s1_1024_256_14", 1, 1, 1024, 256, 14}, {"3s2_512_512_14", 3, 2, 512, 512, 14},
    {"3s1_512_512_7", 3, 1, 512, 512, 7},     {"1s1_512_2048_7", 1, 1, 512, 2048, 7},
};

int main(int argc, char **argv)
{
    const char *net = argc > 1 ? argv[1] : "resnet44", *part = argc > 3 ? argv[3] : "";
    bool big = !strncmp(net, "resnet50", 8);
    int64_t batch = argc > 2 ? atoi(argv[2]) : 8;
    const Layer *l = big ? resnet50 : resnet44;
    int n = big ? COUNT(resnet50) : COUNT(resnet44);
    Arena *a = arena_new();
    Target t = *target_find(a, NULL, NULL);
    t.f32_tiles = strstr(net, "-tiles") && tiles_granted(&t);
    if (strstr(net, "-direct")) t.winograd = false;
    printf("%s, batch %lld, peak %.1f Gflop/s\n", t.cpu, (long long)batch, peak_flops() / 1e9);
    char *own = "", **plan = argc > 4 ? argv + 4 : &own;
    int nplan = argc > 4 ? argc - 4 : 1;
    if (nplan > MOST_PLANS) nplan = MOST_PLANS;
    for (int i = 0; i < 2 * n; i++)
        if (strstr(l[i / 2].name, part))
            bench(&t, &l[i / 2], batch, i % 2 ? OP_conv_dx : OP_conv, plan, nplan);
    arena_free(a);
    return 0;
}

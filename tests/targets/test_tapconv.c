/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU's claims on convolutions: shapes, strides, dilations, halos, element types and CPU
 * rows, against the kernel interpreter where that is quick and else against the definition
 * written out here. The whole result buffer is compared, halo included, so that a store out of
 * place shows; a call in pieces must give the bits of one call. */
#include "taprun.h"

#include "targets/llvm/emit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the results should be ---- */

enum { QUICK_MACS = 200000 };

static void interpret(Run *r)
{
    KMem mem[ALL_PARAMS] = {0}; /* scratch and packed weights: not read */
    for (int p = 0; p < NPARAM; p++)
        mem[p] = (KMem){p < P_OUT ? r->mem[p] : r->want[p], p == P_OUT ? run_stride(r) : 0};
    kernel_eval(r->k, mem, r->table, 0, r->c.n);
}

static void expect(Run *r)
{
    Type t = r->type[P_OUT];
    double macs = (double)type_count(t) * (double)(r->c.kh * r->c.kw) *
                  (double)(r->c.op == OP_conv ? r->c.ic : r->c.oc);
    if (macs <= QUICK_MACS)
        interpret(r);
    else
        run_define(r);
}

/* ---- what they are ---- */

static void compare(Run *r)
{
    DType d = r->type[P_OUT].dtype;
    double most = d == DT_F64 ? 1e-13 : d == DT_BF16 ? 0x1p-7 : 3e-5, scale = 1;
    int64_t n = (int64_t)r->bytes[P_OUT] / dtype_bytes(d);
    for (int64_t i = 0; i < n; i++) {
        double got = elem_get(d, r->mem[P_OUT], i), want = elem_get(d, r->want[P_OUT], i);
        scale = fmax(1, fabs(want));
        if (memcmp(&got, &want, 8) && !(fabs(got - want) <= most * scale)) {
            if (r->bad++ < 3)
                printf("  element %lld: %.17g, want %.17g\n", (long long)i, got, want);
        }
    }
    if (r->c.epilogue && d == DT_F64 && memcmp(r->mem[P_MASK], r->want[P_MASK], r->bytes[P_MASK])) {
        r->bad++;
        printf("  masks differ\n");
    }
}

static void clear(Run *r)
{
    memset(r->mem[P_OUT], 0x5a, r->bytes[P_OUT]);
    memset(r->mem[P_MASK], 0x5a, r->bytes[P_MASK]);
}

static void expect_bits(Run *r, const void *out, const void *mask, const char *what)
{
    if (!memcmp(out, r->mem[P_OUT], r->bytes[P_OUT]) &&
        !memcmp(mask, r->mem[P_MASK], r->bytes[P_MASK]))
        return;
    r->bad++;
    printf("  %s: other bits\n", what);
}

/* The samples in three calls, last first; and the kernel in parts. */
static void check_pieces(Run *r, void *code)
{
    void *whole = run_buffer(r, r->bytes[P_OUT]), *mask = run_buffer(r, r->bytes[P_MASK]);
    int64_t n = r->c.n, one = n / 3, two = 2 * n / 3;
    memcpy(whole, r->mem[P_OUT], r->bytes[P_OUT]);
    memcpy(mask, r->mem[P_MASK], r->bytes[P_MASK]);
    clear(r);
    run_call(r, code, two, n);
    run_call(r, code, one, two);
    run_call(r, code, 0, one);
    expect_bits(r, whole, mask, "samples apart");
    clear(r);
    run_shared(r, code);
    expect_bits(r, whole, mask, "a shared kernel");
}

static void describe(const Run *r)
{
    const Case *c = &r->c;
    const int64_t *n = r->k->offer.number;
    printf("%s %s %s %lldx%lld s%lld d%lld %lld->%lld @%lldx%lld n%lld%s plan %lldx%lldx%lld\n",
           r->t->cpu, dtype_name(c->bf16 ? DT_BF16 : c->dtype), op_info[c->op].name,
           (long long)c->kh, (long long)c->kw, (long long)c->stride, (long long)c->dilation,
           (long long)c->ic, (long long)c->oc, (long long)c->ih, (long long)c->iw, (long long)c->n,
           c->io ? " io" : "", (long long)n[0], (long long)n[1], (long long)n[2]);
}

static void run_case(void *user)
{
    Run *r = user;
    void *code;
    r->k = case_kernel(r->a, &r->c, r->t, "k");
    if (!r->k) return;
    const Kernel *k = r->k;
    Bytes object = emit_kernels(&k, 1, r->t, EMIT_OBJ);
    Loaded *l = object_load(&object, "k", &code);
    run_fill(r);
    expect(r);
    run_call(r, code, 0, r->c.n);
    compare(r);
    check_pieces(r, code);
    object_unload(l);
    bytes_free(&object);
}

/* ---- the cases ---- */

#define SAME(n)                                                                                    \
    {                                                                                              \
        n, n, n, n                                                                                 \
    }
#define DEPTHWISE(channels, height, width, size, by, pads)                                         \
    {                                                                                              \
        .ic = channels, .oc = channels, .ih = height, .iw = width, .kh = size, .kw = size,         \
        .stride = by, .pad = SAME(pads), .groups = channels                                        \
    }
static const Case cases[] = {
    {.ic = 16, .oc = 16, .ih = 6, .iw = 32, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.ic = 32, .oc = 32, .ih = 5, .iw = 16, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.ic = 64, .oc = 32, .ih = 8, .iw = 8, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.ic = 32, .oc = 64, .ih = 4, .iw = 4, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.ic = 32, .oc = 32, .ih = 7, .iw = 7, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.ic = 64, .oc = 16, .ih = 1, .iw = 1, .kh = 1, .kw = 1, .stride = 1},
    {.ic = 16, .oc = 32, .ih = 1, .iw = 1, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.ic = 16, .oc = 48, .ih = 9, .iw = 28, .kh = 1, .kw = 1, .stride = 1},
    {.ic = 32, .oc = 64, .ih = 14, .iw = 14, .kh = 1, .kw = 1, .stride = 2},
    {.ic = 128, .oc = 32, .ih = 3, .iw = 28, .kh = 1, .kw = 1, .stride = 1},
    {.ic = 128, .oc = 16, .ih = 7, .iw = 7, .kh = 3, .kw = 3, .stride = 2, .pad = SAME(1)},
    {.ic = 16, .oc = 32, .ih = 10, .iw = 28, .kh = 3, .kw = 3, .stride = 2, .pad = SAME(1)},
    {.ic = 32, .oc = 16, .ih = 13, .iw = 11, .kh = 3, .kw = 3, .stride = 2, .pad = {0, 1, 1, 0}},
    {.ic = 16, .oc = 16, .ih = 14, .iw = 9, .kh = 5, .kw = 5, .stride = 1, .pad = SAME(2)},
    {.ic = 16, .oc = 16, .ih = 15, .iw = 20, .kh = 5, .kw = 3, .stride = 3, .pad = {2, 1, 0, 3}},
    {.ic = 16,
     .oc = 32,
     .ih = 12,
     .iw = 17,
     .kh = 3,
     .kw = 3,
     .stride = 1,
     .pad = SAME(2),
     .dilation = 2},
    {.ic = 16,
     .oc = 16,
     .ih = 12,
     .iw = 17,
     .kh = 3,
     .kw = 3,
     .stride = 2,
     .pad = SAME(2),
     .dilation = 2},
    {.ic = 16, .oc = 16, .ih = 11, .iw = 16, .kh = 4, .kw = 4, .stride = 4},
    {.ic = 3, .oc = 32, .ih = 12, .iw = 48, .kh = 7, .kw = 7, .stride = 2, .pad = SAME(3)},
    {.ic = 3, .oc = 16, .ih = 7, .iw = 32, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.ic = 1, .oc = 32, .ih = 8, .iw = 28, .kh = 5, .kw = 5, .stride = 1, .pad = SAME(2)},
    {.ic = 1, .oc = 16, .ih = 28, .iw = 28, .kh = 3, .kw = 3, .stride = 2, .pad = {0, 0, 1, 1}},
    {.ic = 32,
     .oc = 32,
     .ih = 9,
     .iw = 28,
     .kh = 3,
     .kw = 3,
     .stride = 1,
     .pad = SAME(1),
     .groups = 8},
    {.ic = 32,
     .oc = 32,
     .ih = 9,
     .iw = 11,
     .kh = 3,
     .kw = 3,
     .stride = 2,
     .pad = SAME(1),
     .groups = 4},
    {.ic = 32,
     .oc = 32,
     .ih = 7,
     .iw = 16,
     .kh = 3,
     .kw = 3,
     .stride = 1,
     .pad = SAME(1),
     .groups = 16},
    {.ic = 64,
     .oc = 64,
     .ih = 7,
     .iw = 7,
     .kh = 3,
     .kw = 3,
     .stride = 1,
     .pad = SAME(1),
     .groups = 4},
    {.ic = 64,
     .oc = 128,
     .ih = 8,
     .iw = 8,
     .kh = 3,
     .kw = 3,
     .stride = 2,
     .pad = SAME(1),
     .groups = 2},
    {.ic = 128, .oc = 64, .ih = 5, .iw = 9, .kh = 1, .kw = 1, .stride = 1, .groups = 2},
    {.ic = 3, .oc = 16, .ih = 9, .iw = 10, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    /* one channel a group */
    DEPTHWISE(32, 9, 56, 3, 1, 1),
    DEPTHWISE(16, 7, 7, 3, 1, 1),
    DEPTHWISE(48, 12, 33, 3, 2, 1),
    DEPTHWISE(16, 8, 28, 5, 1, 2),
    DEPTHWISE(16, 13, 29, 5, 2, 2),
    DEPTHWISE(32, 1, 1, 3, 1, 1),
    DEPTHWISE(16, 11, 20, 7, 3, 3),
    DEPTHWISE(16, 5, 6, 1, 1, 0),
    DEPTHWISE(32, 9, 50, 3, 1, 0),
    {.ic = 16,
     .oc = 16,
     .ih = 12,
     .iw = 37,
     .kh = 3,
     .kw = 5,
     .stride = 1,
     .pad = {2, 3, 1, 4},
     .dilation = 2,
     .groups = 16},
    {.ic = 16,
     .oc = 16,
     .ih = 13,
     .iw = 21,
     .kh = 4,
     .kw = 2,
     .stride = 2,
     .pad = {1, 0, 0, 1},
     .dilation = 3,
     .groups = 16},
};

static int one(Case c, const Target *t, int *count)
{
    char why[512];
    if (!c.dilation) c.dilation = 1;
    Run r = {.a = arena_new(), .c = c, .t = t};
    if (!err_guard(run_case, &r, why, sizeof why)) {
        printf("  error: %s\n", why);
        r.bad++;
    }
    if (r.k) ++*count;
    if (r.bad) describe(&r);
    arena_free(r.a);
    return r.bad > 0;
}

/* Order C with a small L1 cache: one row of tiles a block, or some, and weights are fetched ahead. */
static int by_rows(Case c, const Target *t, int *count)
{
    Target own = *t;
    if (!c.dilation) c.dilation = 1;
    ScheduleLine line = {.cpu = t->cpu, .contract = case_contract(&c), .plan = "tapconv order=C"};
    Schedule s = {.n = 1, .line = &line};
    own.l1 = 4096;
    own.schedule = &s;
    return one(c, &own, count);
}

/* Forms of a case: with an epilogue, by samples and by blocks of rows; bare with a wide halo; into
 * the caller's memory, by groups of channels as when weights exceed the L2 cache. */
static int forms(Case c, const Target *t, bool all, int *count)
{
    Target small = *t;
    small.l2 = 0;
    c.n = 3;
    c.epilogue = true;
    int bad = one(c, t, count);
    if (!all) return bad;
    bad += by_rows(c, t, count);
    c.n = 2;
    c.io = true;
    bad += one(c, &small, count);
    c.io = c.epilogue = false;
    c.halo = 1;
    return bad + one(c, t, count);
}

/* Maps of one point: columns of tiles are samples, and some are left. */
static int products(DType dtype, Op op, const Target *t, int *count)
{
    static const int64_t samples[] = {8, 17, 35};
    int bad = 0;
    for (int i = 0; i < COUNT(samples); i++) {
        Case c = {.dtype = dtype, .op = op, .n = samples[i], .ic = 80, .oc = 48, .stride = 1};
        c.ih = c.iw = c.kh = c.kw = 1;
        c.io = i == 1;
        c.epilogue = i < 2;
        bad += one(c, t, count);
    }
    return bad;
}

/* By other numbers than the plan's own, so that blocks, registers and waiting samples vary. */
static int by_plan(Case c, const Target *t, const char *plan, int *count)
{
    Target own = *t;
    if (!c.dilation) c.dilation = 1;
    ScheduleLine line = {.cpu = t->cpu, .contract = case_contract(&c), .plan = plan};
    own.schedule = &(Schedule){.n = 1, .line = &line};
    return one(c, &own, count);
}

static int by_plans(Case c, const Target *t, int *count)
{
    c.n = 5;
    c.epilogue = true;
    return by_plan(c, t, "amxconv tile=3x1 rows=2", count) +
           by_plan(c, t, "amxconv tile=6x1 samples=2", count) +
           by_plan(c, t, "amxconv tile=1x1 rows=1 samples=3", count);
}

/* In bf16, by vdpbf16ps or by matrix tiles: emitted for any machine, run where there are some. */
static int pairs(Arena *a, const char *cpu, int *count)
{
    Target direct = *target_find(a, NULL, cpu);
    int bad = 0, before = *count;
    direct.winograd = false;
    if (!target_runs_here(&direct) || (direct.tiles > 0 && !tiles_granted(&direct))) {
        printf("%s does not run here\n", cpu);
        return 0;
    }
    for (int j = 0; j < COUNT(cases) * 2; j++) {
        Case c = cases[j / 2];
        c.dtype = DT_F32;
        c.bf16 = true;
        c.op = j % 2 ? OP_conv_dx : OP_conv;
        bad += forms(c, &direct, j % 5 == 0 && direct.dot > 0, count);
        if (direct.tiles > 0 && j % 3 == 0) bad += by_plans(c, &direct, count);
    }
    return bad + (*count == before);
}

int main(int argc, char **argv)
{
    static const char *const row[] = {NULL, "haswell", "x86-64"};
    static const DType dtype[] = {DT_F32, DT_F64};
    static const Op op[] = {OP_conv, OP_conv_dx};
    Arena *a = arena_new();
    int bad = 0, count = 0;
    for (int i = argc > 1 ? atoi(argv[1]) : 0; i < COUNT(row); i++) {
        if (!run_possible(row[i])) continue;
        Target direct = *target_find(a, NULL, row[i]), *t = &direct;
        t->winograd = false; /* test_winograd.c */
        for (int j = 0; j < COUNT(cases) * 4; j++) {
            Case c = cases[j / 4];
            c.dtype = dtype[j / 2 % 2];
            c.op = op[j % 2];
            bad += forms(c, t, i == 0, &count);
        }
        for (int j = 0; j < 4; j++) bad += products(dtype[j / 2], op[j % 2], t, &count);
    }
#if defined(__x86_64__)
    bad += pairs(a, "znver4", &count);
    bad += pairs(a, "sapphirerapids", &count);
#endif
    printf("%d claims, %d wrong\n", count, bad);
    arena_free(a);
    return bad > 0 || count == 0;
}

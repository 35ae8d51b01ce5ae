/* SPDX-License-Identifier: Apache-2.0 */
/* First layers in parts of bf16 (amxparts.c): which are claimed; results against sums in f64, to
 * the bound in units of the largest result; samples apart, a shared kernel and other plans give the
 * same bits. */
#include "taprun.h"

#include "targets/llvm/emit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double bound = 8e-6, lean = 5e-7; /* of the largest; of their mean size */
static const char *const plans[] = {"amxconv", "amxconv tile=1x1 rows=1", "amxconv tile=3x1 rows=4",
                                    "amxconv tile=4x1 rows=2 samples=2"};

#define SAME(n)                                                                                    \
    {                                                                                              \
        n, n, n, n                                                                                 \
    }
static const Case claimed[] = {
    {.ic = 3, .oc = 64, .ih = 48, .iw = 64, .kh = 7, .kw = 7, .stride = 2, .pad = SAME(3)},
    {.ic = 3, .oc = 32, .ih = 21, .iw = 45, .kh = 7, .kw = 7, .stride = 2, .pad = {3, 2, 1, 4}},
    {.ic = 3, .oc = 16, .ih = 24, .iw = 32, .kh = 5, .kw = 5, .stride = 1, .pad = SAME(2)},
    {.ic = 1, .oc = 48, .ih = 30, .iw = 31, .kh = 7, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.ic = 2, .oc = 16, .ih = 40, .iw = 40, .kh = 8, .kw = 8, .stride = 4},
    {.ic = 4, .oc = 32, .ih = 37, .iw = 50, .kh = 5, .kw = 8, .stride = 3, .pad = SAME(2)},
    {.ic = 3, .oc = 32, .ih = 64, .iw = 64, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.ic = 3, .oc = 32, .ih = 30, .iw = 400, .kh = 4, .kw = 6, .stride = 11, .pad = SAME(1)},
};
static const Case declined[] = {
    {.ic = 5, .oc = 64, .ih = 48, .iw = 64, .kh = 7, .kw = 7, .stride = 2, .pad = SAME(3)},
    {.ic = 3, .oc = 24, .ih = 48, .iw = 64, .kh = 7, .kw = 7, .stride = 2, .pad = SAME(3)},
    {.ic = 3, .oc = 64, .ih = 48, .iw = 64, .kh = 9, .kw = 9, .stride = 2, .pad = SAME(4)},
    {.ic = 3, .oc = 64, .ih = 48, .iw = 7, .kh = 7, .kw = 7, .stride = 1, .pad = SAME(1)},
    {.ic = 3,
     .oc = 64,
     .ih = 48,
     .iw = 64,
     .kh = 7,
     .kw = 7,
     .stride = 1,
     .pad = SAME(6),
     .dilation = 2},
};

static int passed, failed;
static double worst;

static void verdict(bool ok, const char *what, const Case *c, const char *plan)
{
    ok ? passed++ : failed++;
    if (!ok)
        printf("FAIL %s: %lldx%lld s%lld %lld->%lld @%lldx%lld %s\n", what, (long long)c->kh,
               (long long)c->kw, (long long)c->stride, (long long)c->ic, (long long)c->oc,
               (long long)c->ih, (long long)c->iw, plan ? plan : "");
}

static Target target_of(Arena *a)
{
    Target t = *target_find(a, NULL, "sapphirerapids");
    t.bf16_parts = true;
    t.winograd = false;
    return t;
}

static const char *claim_of(const Target *t, Case c)
{
    Offer o = {.claim = -1};
    c.n = 2;
    if (!c.dilation) c.dilation = 1;
    Contract k = case_contract(&c);
    return target_claim_name(t->offer(t, &k, &o) ? o.claim : -1);
}

static bool tiles(const char *claim)
{
    return !strcmp(claim, "amxconv");
}

static void check_claims(Arena *a)
{
    Target t = target_of(a), strict = t, f32 = t, old = *target_find(a, NULL, "skylake-avx512");
    strict.max_error = bound / 2;
    f32.bf16_parts = false;
    old.bf16_parts = true;
    for (int i = 0; i < COUNT(declined); i++) {
        Case c = declined[i];
        c.op = OP_conv;
        c.dtype = DT_F32;
        verdict(!tiles(claim_of(&t, c)), "declined", &c, NULL);
    }
    Case c = claimed[0];
    c.op = OP_conv;
    c.dtype = DT_F32;
    verdict(tiles(claim_of(&t, c)), "claimed", &c, NULL);
    verdict(!tiles(claim_of(&f32, c)), "only if parts are allowed", &c, NULL);
    verdict(!tiles(claim_of(&strict, c)), "--max-error", &c, NULL);
    verdict(!tiles(claim_of(&old, c)), "no matrix tiles", &c, NULL);
    c.bf16 = true;
    verdict(!tiles(claim_of(&t, c)), "data that are bf16", &c, NULL);
    c.bf16 = false;
    c.op = OP_conv_dx;
    verdict(!tiles(claim_of(&t, c)), "the gradient", &c, NULL);
    c.op = OP_conv;
    c.dtype = DT_F64;
    verdict(!tiles(claim_of(&t, c)), "f64", &c, NULL);
}

/* ---- results ---- */
static bool written(double v)
{
    return !(fabs(v) > 1e6); /* cells that nobody writes hold 1.5e16; NaN is */
}

static void compare(Run *r, const char *plan)
{
    const float *got = r->mem[P_OUT], *want = r->want[P_OUT];
    int64_t n = (int64_t)(r->bytes[P_OUT] / sizeof *got);
    double scale = 0, most = 0, size = 0, longer = 0;
    for (int64_t i = 0; i < n; i++)
        if (written(want[i])) scale = fmax(scale, fabs(want[i]));
    for (int64_t i = 0; i < n; i++) {
        double e = fabs((double)got[i] - want[i]);
        if (!written(want[i])) {
            e = got[i] == want[i] ? 0 : INFINITY;
        } else {
            longer += copysign(1, want[i]) * ((double)got[i] - want[i]);
            size += fabs(want[i]);
        }
        if (!(e <= most)) most = e;
    }
    if (!(most / scale <= worst)) worst = most / scale;
    verdict(most <= bound * scale, "error", &r->c, plan);
    verdict(fabs(longer) <= lean * size, "mean error", &r->c, plan);
}

static void same_bits(Run *r, const void *whole, const char *what, const char *plan)
{
    verdict(!memcmp(whole, r->mem[P_OUT], r->bytes[P_OUT]), what, &r->c, plan);
}

static void run_case(void *user)
{
    Run *r = user;
    const char *plan = r->t->schedule->line->plan;
    void *code;
    r->k = case_kernel(r->a, &r->c, r->t, "k");
    if (!r->k || !tiles(target_claim_name(r->k->offer.claim))) {
        verdict(false, "claimed", &r->c, plan);
        return;
    }
    const Kernel *k = r->k;
    Bytes object = emit_kernels(&k, 1, r->t, EMIT_OBJ);
    Loaded *l = object_load(&object, "k", &code);
    run_fill(r);
    run_define(r);
    run_call(r, code, 0, r->c.n);
    compare(r, plan);
    void *whole = run_buffer(r, r->bytes[P_OUT]);
    memcpy(whole, r->mem[P_OUT], r->bytes[P_OUT]);
    memset(r->mem[P_OUT], 0x5a, r->bytes[P_OUT]);
    run_call(r, code, 1, r->c.n);
    run_call(r, code, 0, 1);
    same_bits(r, whole, "samples apart", plan);
    memset(r->mem[P_OUT], 0x5a, r->bytes[P_OUT]);
    run_shared(r, code);
    same_bits(r, whole, "a shared kernel", plan);
    object_unload(l);
    bytes_free(&object);
}

/* A sum over the bits of the results. */
static uint64_t run_plan(Case c, const char *plan)
{
    char why[512];
    Arena *a = arena_new();
    Target t = target_of(a);
    c.op = OP_conv;
    c.dtype = DT_F32;
    c.n = 3;
    if (!c.dilation) c.dilation = 1;
    ScheduleLine line = {.cpu = t.cpu, .contract = case_contract(&c), .plan = plan};
    Schedule s = {.n = 1, .line = &line};
    t.schedule = &s;
    Run r = {.a = a, .c = c, .t = &t};
    run_same_again();
    if (!err_guard(run_case, &r, why, sizeof why)) verdict(false, why, &c, plan);
    uint64_t bits = 0;
    for (size_t i = 0; r.mem[P_OUT] && i < r.bytes[P_OUT]; i++)
        bits = bits * 31 + ((unsigned char *)r.mem[P_OUT])[i];
    arena_free(a);
    return bits;
}

int main(void)
{
    Arena *a = arena_new();
    check_claims(a);
    Target t = target_of(a);
    bool runs = tiles_granted(&t);
    for (int i = 0; i < COUNT(claimed) && runs; i++) {
        uint64_t bits = run_plan(claimed[i], plans[0]);
        for (int j = 1; j < COUNT(plans); j++)
            verdict(run_plan(claimed[i], plans[j]) == bits, "other bits", &claimed[i], plans[j]);
    }
    printf("%d passed, %d failed; %s, error at most %.2g\n", passed, failed,
           runs ? "run" : "no matrix tiles here", worst);
    arena_free(a);
    return failed > 0;
}

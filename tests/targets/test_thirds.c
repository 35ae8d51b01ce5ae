/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions of f32 in three parts of bf16 (amxthirds.c): which are claimed; results against sums
 * in f64, to the bound in units of the largest result, beside those of the direct claim; samples
 * apart, a shared kernel and other plans give the same bits. */
#include "thirdsrun.h"

#include "targets/llvm/emit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Errors in units of the largest result, of sums of up to 4608 products; those of all bare results
 * along what is wanted; what a result is rounded by. */
static const double bound = 1.5e-6, lean = 1e-8, rounding = 6e-8;
static const double named = 1.5e-6; /* what --max-error must admit */
static const char *const plans[] = {"amxconv", "amxconv tile=1x1 rows=1",
                                    "amxconv tile=6x1 rows=3 samples=2", "amxconv tile=2x2"};

#define SAME(n)                                                                                    \
    {                                                                                              \
        n, n, n, n                                                                                 \
    }
static const Case claimed[] = {
    {.ic = 32, .oc = 32, .ih = 14, .iw = 14, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.ic = 64, .oc = 16, .ih = 7, .iw = 9, .kh = 1, .kw = 1, .stride = 1},
    {.ic = 32, .oc = 48, .ih = 15, .iw = 13, .kh = 3, .kw = 3, .stride = 2, .pad = SAME(1)},
    {.ic = 64, .oc = 32, .ih = 17, .iw = 14, .kh = 3, .kw = 3, .stride = 3, .pad = {2, 0, 1, 3}},
    {.ic = 32,
     .oc = 32,
     .ih = 12,
     .iw = 11,
     .kh = 3,
     .kw = 3,
     .stride = 1,
     .pad = SAME(2),
     .dilation = 2},
    {.ic = 64, .oc = 64, .ih = 14, .iw = 13, .kh = 1, .kw = 1, .stride = 2},
    {.ic = 128, .oc = 32, .ih = 1, .iw = 1, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.ic = 256, .oc = 80, .ih = 1, .iw = 1, .kh = 1, .kw = 1, .stride = 1},
    {.ic = 512, .oc = 32, .ih = 7, .iw = 7, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.ic = 512, .oc = 64, .ih = 5, .iw = 8, .kh = 1, .kw = 1, .stride = 1},
    {.ic = 96, .oc = 16, .ih = 10, .iw = 21, .kh = 5, .kw = 3, .stride = 1, .pad = {0, 1, 3, 2}},
    {.ic = 32, .oc = 32, .ih = 19, .iw = 20, .kh = 6, .kw = 2, .stride = 2, .pad = SAME(3)},
};
static const Case declined[] = {
    {.ic = 48, .oc = 64, .ih = 14, .iw = 14, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.ic = 16, .oc = 64, .ih = 14, .iw = 14, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.ic = 64, .oc = 24, .ih = 14, .iw = 14, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.ic = 64, .oc = 64, .ih = 24, .iw = 24, .kh = 9, .kw = 9, .stride = 1, .pad = SAME(4)},
    {.ic = 64, .oc = 64, .ih = 24, .iw = 24, .kh = 1, .kw = 17, .stride = 1, .pad = SAME(4)},
    {.ic = 64,
     .oc = 64,
     .ih = 14,
     .iw = 14,
     .kh = 3,
     .kw = 3,
     .stride = 1,
     .pad = SAME(1),
     .groups = 2},
};

typedef struct Measure {
    double error;        /* the worst */
    double along, whole; /* sums over bare results, in units of the largest: got * want, want^2 */
} Measure;

static Measure thirds, direct;

/* ---- what is claimed ---- */
static bool is_thirds(const Offer *o)
{
    return !strcmp(target_claim_name(o->claim), "amxconv") && o->packed_bytes > 0;
}

/* plan: what a schedule asks for; NULL: the heuristic. */
static bool claims(Target t, Contract k, const char *plan)
{
    ScheduleLine line = {.cpu = t.cpu, .contract = k, .plan = plan};
    Schedule s = {.n = 1, .line = &line};
    Offer o = {.claim = -1};
    if (plan) t.schedule = &s;
    return t.offer(&t, &k, &o) && is_thirds(&o);
}

static void check_declined(const Target *t, Op op)
{
    for (int i = 0; i < COUNT(declined); i++) {
        Case c = thirds_case(declined[i], op);
        thirds_verdict(!claims(*t, case_contract(&c), plans[0]), "declined", &c, NULL);
    }
}

static void check_claims(Arena *a, Op op)
{
    Target t = thirds_target(a), strict = t, exact = t, off = t, usual = t;
    Case c = thirds_case(claimed[0], op);
    Contract k = case_contract(&c), varies = k, f64 = k, bf16 = k;
    strict.max_error = named / 2;
    exact.max_error = named;
    off.tiles = 0;
    usual.f32_tiles = false;
    varies.varies = true;
    f64.dtype = DT_F64;
    bf16.bf16 = true;
    thirds_verdict(claims(t, k, plans[0]), "claimed", &c, NULL);
    thirds_verdict(claims(exact, k, plans[0]), "--max-error as large", &c, NULL);
    thirds_verdict(!claims(strict, k, plans[0]), "--max-error", &c, NULL);
    thirds_verdict(!claims(off, k, plans[0]), "--tiles off", &c, NULL);
    thirds_verdict(!claims(usual, k, plans[0]), "--tiles bf16", &c, NULL);
    thirds_verdict(!claims(*target_find(a, NULL, "skylake-avx512"), k, plans[0]), "another CPU", &c,
                   NULL);
    thirds_verdict(!claims(t, varies, plans[0]), "weights that are no constants", &c, NULL);
    thirds_verdict(!claims(t, f64, plans[0]), "f64", &c, NULL);
    thirds_verdict(!claims(t, bf16, plans[0]), "data that are bf16", &c, NULL);
    check_declined(&t, op);
}

/* Of its own accord where it gains most, for any batch from 8 on. */
static void check_heuristic(Arena *a)
{
    Target t = thirds_target(a);
    Case c = {.ic = 512, .oc = 128, .ih = 28, .iw = 28, .kh = 1, .kw = 1, .stride = 1};
    c = thirds_case(c, OP_conv);
    Contract k = case_contract(&c);
    for (k.batch = 8; k.batch <= 128; k.batch *= 4)
        thirds_verdict(claims(t, k, NULL), "the heuristic", &c, NULL);
    k.varies = true;
    thirds_verdict(!claims(t, k, NULL), "the heuristic, no constants", &c, NULL);
}

/* ---- results ---- */
static bool written(double v)
{
    return !(fabs(v) > 1e6); /* cells that nobody writes hold 1.5e16; NaN is */
}

static void raise(double *most, double v)
{
    if (!(v <= *most)) *most = v;
}

static double largest(const Run *r)
{
    const float *want = r->want[P_OUT];
    double most = 0;
    for (size_t i = 0; i < r->bytes[P_OUT] / sizeof *want; i++)
        if (written(want[i])) most = fmax(most, fabs(want[i]));
    return most;
}

static double measure(Run *r, void *code, Measure *all)
{
    const float *got = r->mem[P_OUT], *want = r->want[P_OUT];
    double most = 0, scale;
    run_define(r);
    run_call(r, code, 0, r->c.n);
    scale = largest(r);
    for (size_t i = 0; i < r->bytes[P_OUT] / sizeof *got; i++) {
        double is = got[i] / scale, was = want[i] / scale;
        raise(&most, written(want[i]) || got[i] != want[i] ? fabs(is - was) : 0);
        if (r->c.epilogue || !written(want[i])) continue;
        all->along += is * was;
        all->whole += was * was;
    }
    raise(&all->error, most);
    return most;
}

/* What results are too long by, on the average. */
static double longer(const Measure *m)
{
    return m->whole > 0 ? m->along / m->whole - 1 : 0;
}

static double direct_error; /* of the case at hand */

static void run_direct(Run *r, void *code, const char *plan)
{
    (void)plan;
    direct_error = measure(r, code, &direct);
}

static void run_whole(Run *r, void *code, const char *plan)
{
    (void)plan;
    run_call(r, code, 0, r->c.n);
}

static void run_thirds(Run *r, void *code, const char *plan)
{
    double error = measure(r, code, &thirds);
    thirds_verdict(error <= bound, "error", &r->c, plan);
    thirds_verdict(error <= direct_error + rounding, "error beside a direct sum's", &r->c, plan);
    thirds_verdict(!r->c.epilogue || !memcmp(r->mem[P_MASK], r->want[P_MASK], r->bytes[P_MASK]),
                   "mask", &r->c, plan);
    uint64_t bits = thirds_bits(r);
    thirds_clear(r);
    for (int64_t i = r->c.n; i-- > 0;) run_call(r, code, i, i + 1);
    thirds_verdict(thirds_bits(r) == bits, "samples apart", &r->c, plan);
    thirds_clear(r);
    run_shared(r, code);
    thirds_verdict(thirds_bits(r) == bits, "a shared kernel", &r->c, plan);
}

static void check_case(Case c)
{
    int64_t results = c.op == OP_conv ? c.oc : c.ic;
    thirds_run(c, "tapconv", run_direct);
    uint64_t bits = thirds_run(c, plans[0], run_thirds);
    if (c.epilogue) return; /* which plans do not know */
    for (int i = 1; i < COUNT(plans) - (results % 32 != 0); i++)
        thirds_verdict(thirds_run(c, plans[i], run_whole) == bits, "other bits", &c, plans[i]);
}

int main(void)
{
    static const Op ops[] = {OP_conv, OP_conv_dx};
    Arena *a = arena_new();
    bool runs = thirds_granted(a);
    check_heuristic(a);
    for (int o = 0; o < COUNT(ops); o++) {
        check_claims(a, ops[o]);
        for (int i = 0; i < COUNT(claimed) && runs; i++) {
            Case c = thirds_case(claimed[i], ops[o]);
            c.epilogue = i % 2 == o;
            check_case(c);
        }
    }
    thirds_verdict(fabs(longer(&thirds)) <= lean, "too long or too short", &claimed[0], NULL);
    printf("error at most %.2g, too long by %.1g; direct %.2g, %.1g\n", thirds.error,
           longer(&thirds), direct.error, longer(&direct));
    arena_free(a);
    return thirds_close(runs);
}

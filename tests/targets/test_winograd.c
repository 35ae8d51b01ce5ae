/* SPDX-License-Identifier: Apache-2.0 */
/* The Winograd claim against the definition in double: an error above what its form admits fails,
 * and so do results that are too small or too large on the average, and a byte of a result's halo
 * that changed. Samples in pieces, and a kernel made for one sample, must give the bits of one call.
 */
#include "taprun.h"

#include "targets/cpu/wino.h"
#include "targets/llvm/emit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GAIN_OFF 1e-8 /* one that all layers share adds up in a network */

static double worst[WINO_FORMS]; /* error over all cases */
static double along[WINO_FORMS]; /* sums over bare results: got * want, */
static double whole[WINO_FORMS]; /* want * want */
static double slowest;           /* compile, ms */
static int count, declined;      /* claims, and offers of other rows */
static int of_form[WINO_FORMS];

static double now(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static void *compile(Run *r, Loaded **l)
{
    const Kernel *k = r->k;
    void *code;
    double t = now();
    Bytes object = emit_kernels(&k, 1, r->t, EMIT_OBJ);
    t = (now() - t) * 1e3;
    if (t > slowest) slowest = t;
    *l = object_load(&object, "k", &code);
    bytes_free(&object);
    return code;
}

/* ---- against the definition ---- */

static double largest(const Run *r)
{
    const float *want = r->want[P_OUT];
    double most = 0;
    for (size_t i = 0; i < r->bytes[P_OUT] / 4; i++)
        if (fabsf(want[i]) < 1e6f && fabsf(want[i]) > most) most = fabsf(want[i]);
    return most; /* cells that nobody writes hold 1.5e16 */
}

/* The factor that takes what is wanted nearest to what came is 1 but for chance. */
static void add_gain(const Run *r)
{
    const float *got = r->mem[P_OUT], *want = r->want[P_OUT];
    int64_t form = r->k->offer.number[WINO_FORM];
    for (size_t i = 0; i < r->bytes[P_OUT] / 4; i++) {
        if (!(fabsf(want[i]) < 1e6f)) continue;
        along[form] += (double)got[i] * (double)want[i];
        whole[form] += (double)want[i] * (double)want[i];
    }
}

static int check_gain(int form)
{
    if (!(whole[form] > 0)) return 0;
    double off = along[form] / whole[form] - 1;
    printf("  %s: on the average off by %.1e\n", wino_forms[form].name, off);
    return !(fabs(off) <= GAIN_OFF);
}

static void compare(Run *r)
{
    const float *got = r->mem[P_OUT], *want = r->want[P_OUT];
    int64_t form = r->k->offer.number[WINO_FORM];
    double scale = largest(r), most = 0;
    for (size_t i = 0; i < r->bytes[P_OUT] / 4; i++) {
        if (!memcmp(&got[i], &want[i], 4)) continue;
        double e = fabs((double)got[i] - (double)want[i]) / scale;
        if (!(e <= wino_forms[form].error) && r->bad++ < 3)
            printf("  element %zu: %.9g, want %.9g\n", i, got[i], want[i]);
        if (!(e <= most)) most = e;
    }
    if (!(most <= worst[form])) worst[form] = most;
}

/* A bit tells whether the result that was stored is above 0. */
static void compare_mask(Run *r)
{
    const Layout *lm = &r->k->param[P_MASK].layout, *lo = &r->k->param[P_OUT].layout;
    const unsigned char *mask = r->mem[P_MASK];
    const float *out = r->mem[P_OUT];
    Type t = r->type[P_OUT];
    for (int64_t i = 0; i < type_count(t); i++) {
        int64_t x = i / t.dim[3], y = x / t.dim[2];
        int64_t at[] = {y / t.dim[1], y % t.dim[1], x % t.dim[2], i % t.dim[3]};
        int64_t bit = layout_address(lm, at);
        if (r->c.io) at[0] = r->table[at[0]];
        bool set = lm->bits ? mask[bit / 8] >> bit % 8 & 1 : mask[bit];
        if (set != (out[layout_address(lo, at)] > 0) && r->bad++ < 3)
            printf("  bit %lld is %d\n", (long long)bit, set);
    }
}

/* ---- same bits ---- */

static void clear(Run *r)
{
    memset(r->mem[P_OUT], 0x5a, r->bytes[P_OUT]);
    memset(r->mem[P_MASK], 0x5a, r->bytes[P_MASK]);
    memset(r->mem[P_SCRATCH], 0xff, (size_t)r->k->offer.scratch_bytes);
}

static void expect_bits(Run *r, const void *out, const void *mask, const char *what)
{
    if (memcmp(out, r->mem[P_OUT], r->bytes[P_OUT]) ||
        memcmp(mask, r->mem[P_MASK], r->bytes[P_MASK])) {
        r->bad++;
        printf("  %s: other bits\n", what);
    }
}

static void check_pieces(Run *r, void *code, const void *out, const void *mask)
{
    int64_t n = r->c.n, one = n / 3, two = 2 * n / 3;
    clear(r);
    run_call(r, code, two, n);
    run_call(r, code, one, two);
    run_call(r, code, 0, one);
    expect_bits(r, out, mask, "pieces");
    clear(r);
    for (int64_t i = 0; i < n; i++) run_call(r, code, i, i + 1);
    expect_bits(r, out, mask, "one by one");
    clear(r);
    run_shared(r, code);
    expect_bits(r, out, mask, "a shared kernel");
}

/* The code of a kernel for one sample, on each sample of this one's memory. */
static void check_single(Run *r, const void *out, const void *mask)
{
    Run s = *r;
    s.c.n = 1;
    s.k = case_kernel(r->a, &s.c, r->t, "k");
    if (!s.k || s.k->offer.claim != r->k->offer.claim || r->c.io) {
        r->bad += !s.k || s.k->offer.claim != r->k->offer.claim;
        return;
    }
    Loaded *l;
    void *code = compile(&s, &l), *dense = run_buffer(r, 4 * (size_t)type_count(r->type[P_WEIGHT]));
    for (int64_t i = 0; i < type_count(r->type[P_WEIGHT]); i++)
        elem_set(DT_F32, dense, i, r->dense[P_WEIGHT][i]);
    s.mem[P_PACKED] = run_buffer(r, (size_t)s.k->offer.packed_bytes);
    s.mem[P_SCRATCH] = run_buffer(r, (size_t)s.k->offer.scratch_bytes);
    r->t->pack(r->t, &s.k->contract, &s.k->offer, dense, s.mem[P_PACKED]);
    clear(r);
    for (int64_t i = 0; i < r->c.n; i++) {
        for (int p = 0; p < NPARAM; p++)
            if (p != P_WEIGHT && p != P_BIAS)
                s.mem[p] = (char *)r->mem[p] + (size_t)i * (r->bytes[p] / (size_t)r->c.n);
        run_call(&s, code, 0, 1);
    }
    object_unload(l);
    expect_bits(r, out, mask, "kernel for one");
}

/* The batch as a step of training has it, in no slots: all its tiles are there to be shared. */
static void check_batch(Run *r, const void *out, const void *mask)
{
    Run s = *r;
    int64_t block = r->k->offer.number[WINO_BLOCK], tiles[2];
    TapShape shape;
    if (r->c.io || r->c.n < 3 || !strcmp(r->t->cpu, "x86-64")) return;
    s.k = case_kernel(r->a, &r->c, r->t, "k");
    for (int i = 0; i < s.k->naxis; i++) s.k->axis[i].sample = false;
    for (int i = 0; i < s.k->nparam; i++) s.k->param[i].sample = false;
    Loaded *l;
    void *code = compile(&s, &l);
    clear(r);
    run_shared(&s, code);
    object_unload(l);
    expect_bits(r, out, mask, "a batch of its own");
    check(tap_shape(&r->k->contract, &shape));
    wino_tiles(&shape, &wino_forms[r->k->offer.number[WINO_FORM]], tiles);
    int64_t all = r->c.n * tiles[0] * tiles[1], pieces = kernel_pieces(s.k);
    if (pieces < 64 && pieces * block < all) {
        printf("  %lld pieces of %lld tiles\n", (long long)pieces, (long long)all);
        r->bad++;
    }
}

static void check_bits(Run *r, void *code)
{
    void *out = run_buffer(r, r->bytes[P_OUT]), *mask = run_buffer(r, r->bytes[P_MASK]);
    memcpy(out, r->mem[P_OUT], r->bytes[P_OUT]);
    memcpy(mask, r->mem[P_MASK], r->bytes[P_MASK]);
    check_pieces(r, code, out, mask);
    check_single(r, out, mask);
    check_batch(r, out, mask);
}

/* ---- the cases ---- */

static void run_case(void *user)
{
    Run *r = user;
    Loaded *l;
    r->k = case_kernel(r->a, &r->c, r->t, "k");
    if (!r->k || strcmp(cpu_claims[r->k->offer.claim].name, "winograd")) {
        declined++;
        return;
    }
    count++;
    of_form[r->k->offer.number[WINO_FORM]]++;
    void *code = compile(r, &l);
    run_fill(r);
    run_define(r);
    run_call(r, code, 0, r->c.n);
    compare(r);
    if (r->c.epilogue) compare_mask(r);
    if (!r->c.epilogue) add_gain(r);
    check_bits(r, code);
    object_unload(l);
}

static void describe(const Run *r)
{
    const Case *c = &r->c;
    printf("%s %s %lld->%lld @%lldx%lld s%lld pads %lld %lld %lld %lld n%lld%s%s", r->t->cpu,
           op_info[c->op].name, (long long)c->ic, (long long)c->oc, (long long)c->ih,
           (long long)c->iw, (long long)c->stride, (long long)c->pad[0], (long long)c->pad[1],
           (long long)c->pad[2], (long long)c->pad[3], (long long)c->n, c->io ? " io" : "",
           c->epilogue ? " epi" : "");
    for (int i = 0; r->k && i < 5; i++) printf(" %lld", (long long)r->k->offer.number[i]);
    printf("\n");
}

/* Those with stride 2 that are possible, pay or not; all of the batch, and one sample of it. */
static void ask(const Case *c, Target *t, Schedule *s, ScheduleLine line[2])
{
    TapShape shape;
    Contract whole = case_contract(c), one = whole;
    one.batch = 1;
    if (c->stride == 1 || t->max_error > 0 || !tap_shape(&whole, &shape)) return;
    if (!wino_fits(t, &whole, &shape)) return;
    line[0] = (ScheduleLine){.cpu = t->cpu, .contract = whole, .plan = "winograd"};
    line[1] = (ScheduleLine){.cpu = t->cpu, .contract = one, .plan = "winograd"};
    *s = (Schedule){.line = line, .n = 2};
    t->schedule = s;
}

static int one(Case c, const Target *usual)
{
    char why[512];
    Target asked = *usual, *t = &asked;
    Schedule s;
    ScheduleLine line[2];
    ask(&c, t, &s, line);
    Run r = {.a = arena_new(), .c = c, .t = t};
    if (!err_guard(run_case, &r, why, sizeof why)) {
        printf("  error: %s\n", why);
        r.bad++;
    }
    if (r.bad) describe(&r);
    arena_free(r.a);
    return r.bad > 0;
}

#define SAME(n)                                                                                    \
    {                                                                                              \
        n, n, n, n                                                                                 \
    }
static const Case cases[] = {
    {.n = 3, .ic = 16, .oc = 16, .ih = 32, .iw = 32, .pad = SAME(1)},
    {.n = 5, .ic = 32, .oc = 32, .ih = 16, .iw = 16, .pad = SAME(1)},
    {.n = 8, .ic = 64, .oc = 64, .ih = 8, .iw = 8, .pad = SAME(1)},
    {.n = 9, .ic = 64, .oc = 32, .ih = 7, .iw = 7, .pad = SAME(1)},
    {.n = 2, .ic = 32, .oc = 48, .ih = 14, .iw = 14, .pad = SAME(1)},
    {.n = 2, .ic = 16, .oc = 32, .ih = 28, .iw = 28, .pad = SAME(1)},
    {.n = 1, .ic = 64, .oc = 64, .ih = 56, .iw = 56, .pad = SAME(1)},
    {.n = 1, .ic = 512, .oc = 32, .ih = 7, .iw = 7, .pad = SAME(1)},
    {.n = 1, .ic = 192, .oc = 32, .ih = 14, .iw = 14, .pad = SAME(1)},
    {.n = 4, .ic = 32, .oc = 16, .ih = 5, .iw = 9, .pad = SAME(1)},
    {.n = 4, .ic = 32, .oc = 32, .ih = 9, .iw = 5, .pad = SAME(0)},
    {.n = 3, .ic = 16, .oc = 32, .ih = 8, .iw = 13, .pad = SAME(2)},
    {.n = 3, .ic = 32, .oc = 32, .ih = 11, .iw = 8, .pad = {0, 1, 2, 0}},
    {.n = 3, .ic = 32, .oc = 32, .ih = 10, .iw = 10, .pad = {2, 0, 0, 1}},
    {.n = 7, .ic = 64, .oc = 64, .ih = 4, .iw = 4, .pad = SAME(1)},
    {.n = 3, .ic = 16, .oc = 32, .ih = 32, .iw = 32, .pad = SAME(1), .stride = 2},
    {.n = 5, .ic = 32, .oc = 64, .ih = 16, .iw = 16, .pad = SAME(1), .stride = 2},
    {.n = 2, .ic = 64, .oc = 32, .ih = 28, .iw = 20, .pad = SAME(1), .stride = 2},
    {.n = 1, .ic = 192, .oc = 32, .ih = 14, .iw = 14, .pad = SAME(1), .stride = 2},
    {.n = 4, .ic = 32, .oc = 32, .ih = 17, .iw = 23, .pad = SAME(1), .stride = 2},
    {.n = 4, .ic = 32, .oc = 48, .ih = 18, .iw = 26, .pad = SAME(0), .stride = 2},
    {.n = 3, .ic = 32, .oc = 32, .ih = 20, .iw = 26, .pad = {1, 1, 0, 2}, .stride = 2},
    {.n = 3, .ic = 32, .oc = 32, .ih = 24, .iw = 16, .pad = {3, 1, 1, 3}, .stride = 2},
    {.n = 9, .ic = 64, .oc = 64, .ih = 8, .iw = 8, .pad = SAME(1), .stride = 2},
};

/* With an epilogue; bare with wider halos; into the caller's memory. */
static int forms(Case c, const Target *t, bool all)
{
    c.dtype = DT_F32;
    c.kh = c.kw = 3;
    c.dilation = 1;
    if (c.stride == 0) c.stride = 1;
    c.epilogue = true;
    int bad = one(c, t);
    if (!all) return bad;
    c.io = true;
    bad += one(c, t);
    c.io = c.epilogue = false;
    c.halo = 1;
    return bad + one(c, t);
}

/* Without leave (--winograd off) the same contraction goes to another row. */
static int check_off(const Target *t)
{
    Arena *a = arena_new();
    Target off = *t;
    Case c = cases[0];
    c.op = OP_conv;
    c.dtype = DT_F32;
    c.kh = c.kw = 3;
    c.stride = c.dilation = 1;
    off.winograd = false;
    Kernel *k = case_kernel(a, &c, &off, "k");
    bool bad = !k || !strcmp(cpu_claims[k->offer.claim].name, "winograd");
    if (bad) printf("  %s: not off\n", t->cpu);
    arena_free(a);
    return bad;
}

/* All cases on a CPU, in the forms that max_error leaves. */
static int on_cpu(Target t, double max_error, bool all)
{
    int bad = 0, before = count, without = declined;
    t.max_error = max_error;
    slowest = 0;
    for (int i = 0; i < WINO_FORMS; i++) worst[i] = along[i] = whole[i] = of_form[i] = 0;
    for (int j = 0; j < 2 * COUNT(cases); j++) {
        Case c = cases[j / 2];
        c.op = j % 2 ? OP_conv_dx : OP_conv;
        bad += forms(c, &t, all);
    }
    printf("%s, error %g: %d claims (%d declined), compiled in at most %.0f ms\n", t.cpu, max_error,
           count - before, declined - without, slowest);
    for (int i = 0; i < WINO_FORMS; i++) {
        printf("  %s: %d, error at most %.2g\n", wino_forms[i].name, of_form[i], worst[i]);
        bool barred = max_error > 0 && wino_forms[i].error > max_error;
        bad += check_gain(i);
        if (barred && of_form[i]) bad++, printf("  a form that errs by more than was allowed\n");
    }
    return bad;
}

int main(void)
{
    static const char *const row[] = {NULL, "x86-64", "haswell"};
    Arena *a = arena_new();
    int bad = 0;
    for (int i = 0; i < COUNT(row); i++) {
        if (!run_possible(row[i])) continue;
        const Target *t = target_find(a, NULL, row[i]);
        count++;
        bad += check_off(t);
        bad += on_cpu(*t, 0, i != 1);
        bad += on_cpu(*t, 1e-6, i == 0);
    }
    arena_free(a);
    printf("winograd: %d passed, %d failed\n", count - bad, bad);
    return bad > 0 || count == 0;
}

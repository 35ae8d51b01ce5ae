/* SPDX-License-Identifier: Apache-2.0 */
/* The claim on gradients in weights: shapes, strides, dilations, halos, element types and CPU rows
 * against the definition in double. An f32 result may be off by 1e-6 of the largest one. What is
 * fused behind it reads a value and stores the sum a second time, in another layout; the scratch
 * starts as NaN, and a byte behind a result must not change. */
#include "taprun.h"

#include "targets/llvm/emit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { X, Y, OTHER, OUT, PLAIN, SCRATCH, PARAMS, GUARD = 64 };

typedef struct Dw {
    Arena *a;
    Case c;
    Contract k;
    const Target *t;
    Kernel *kernel;
    Type type[PARAMS];
    void *mem[PARAMS];
    double *dense[PARAMS], largest;
    int bad;
} Dw;

static double worst;

/* ---- the kernel ---- */

static Layout widened(Layout l, int64_t by)
{
    for (int i = 0; i < l.ndigit && by; i++)
        if (l.digit[i].dim >= 2) {
            l.digit[i].low += by;
            l.digit[i].extent += 2 * by;
        }
    return l;
}

static void set_types(Dw *d, const Offer *o)
{
    const Contract *k = &d->k;
    int64_t x[] = {k->batch, k->ic, k->ih, k->iw}, y[] = {k->batch, k->oc, k->oh, k->ow};
    int64_t w[] = {k->oc, k->ic, k->kh, k->kw}, scratch[] = {o->scratch_bytes};
    for (int p = OTHER; p <= PLAIN; p++) d->type[p] = type_of(k->dtype, 4, w);
    d->type[X] = type_of(k->dtype, 4, x);
    d->type[Y] = type_of(k->dtype, 4, y);
    d->type[SCRATCH] = type_of(DT_U8, 1, scratch);
}

static void add_params(Dw *d, Kernel *k, const Offer *o)
{
    Layout plain = layout_plain(d->type[OUT]);
    Layout layout[] = {
        widened(o->in, d->c.halo),     widened(o->w, d->c.halo), plain, o->out, plain,
        layout_plain(d->type[SCRATCH])};
    for (int p = 0; p < PARAMS; p++)
        kernel_param(
            k, (KParam){
                   .dtype = d->type[p].dtype, .layout = layout[p], .in = p < OUT, .out = p >= OUT});
    k->data_param = X;
    k->weight_param = Y;
    k->scratch_param = SCRATCH;
}

static KRef position(Kernel *k, KRef o, int64_t stride, KRef tap, int64_t dilation, int64_t pad)
{
    KRef far = kx_mulc(k, o, stride), near = kx_mulc(k, tap, dilation);
    return kx_addc(k, kx_add(k, far, near), -pad);
}

static KRef contraction(const Dw *d, Kernel *k, const KRef at[4])
{
    KRef n = kx_axis(k, kernel_axis(k, "n", AX_RED, d->k.batch, false));
    KRef oy = kx_axis(k, kernel_axis(k, "oy", AX_RED, d->k.oh, false));
    KRef ox = kx_axis(k, kernel_axis(k, "ox", AX_RED, d->k.ow, false));
    KRef y = position(k, oy, d->k.sh, at[2], d->k.dh, d->k.ph);
    KRef x = position(k, ox, d->k.sw, at[3], d->k.dw, d->k.pw);
    KRef row = kx_in_range(k, y, 0, d->k.ih), col = kx_in_range(k, x, 0, d->k.iw);
    KRef xi[] = {n, at[1], y, x}, yi[] = {n, at[0], oy, ox};
    KRef v[] = {kx_load(k, X, 4, xi, kx_and(k, row, col), 0), kx_load(k, Y, 4, yi, NOK, 0)};
    return kx_reduce(k, OP_sum, d->k.dtype, kx_eval(k, OP_mul, d->k.dtype, 2, v), NOK);
}

static void store(Kernel *k, int param, const KRef at[4], KRef value)
{
    KStore *s = &k->store[k->nstore++];
    *s = (KStore){.param = param, .rank = 4, .value = value};
    memcpy(s->index, at, sizeof(KRef) * 4);
}

static Kernel *lanes_split(Arena *a, Kernel *k, const Offer *o)
{
    Kernel *s = kernel_split(a, k, o->vec_dim, o->lanes);
    int inner = 0;
    while (inner < s->naxis && s->axis[inner].kind != AX_RED) inner++;
    s->axis[inner - 1].kind = AX_VEC;
    return s;
}

static bool make_kernel(Dw *d)
{
    static const char *const axis[] = {"o", "i", "ky", "kx"};
    Offer o = {.claim = -1};
    if (!d->t->offer(d->t, &d->k, &o) || strcmp(cpu_claims[o.claim].name, "dwconv")) return false;
    Kernel *k = kernel_new(d->a);
    KRef at[4];
    set_types(d, &o);
    add_params(d, k, &o);
    k->name = "k";
    for (int i = 0; i < 4; i++)
        at[i] = kx_axis(k, kernel_axis(k, axis[i], AX_SEQ, d->type[OUT].dim[i], false));
    k->contract = d->k;
    k->offer = o;
    k->heavy = contraction(d, k, at);
    KRef sum[] = {k->heavy, kx_load(k, OTHER, 4, at, NOK, 0)};
    store(k, OUT, at, k->heavy);
    store(k, PLAIN, at, kx_eval(k, OP_add, d->k.dtype, 2, sum));
    d->kernel = lanes_split(d->a, k, &o);
    return true;
}

/* ---- memory ---- */

static double unit(uint64_t *s)
{ /* xorshift; in [-1, 1) */
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return (double)(int64_t)*s / 9223372036854775808.0;
}

static size_t param_bytes(const Dw *d, int p)
{
    return (size_t)layout_bytes(&d->kernel->param[p].layout, d->type[p].dtype);
}

static void fill(Dw *d)
{
    uint64_t s = 88172645463325252u;
    for (int p = 0; p < PARAMS; p++) {
        char *raw = arena_alloc(d->a, param_bytes(d, p) + 2 * GUARD);
        d->mem[p] = raw + (GUARD - (uintptr_t)raw % GUARD) % GUARD;
        memset(d->mem[p], p == SCRATCH ? 0xff : 0x5a, param_bytes(d, p) + GUARD);
        if (p >= OUT) continue;
        int64_t n = type_count(d->type[p]);
        void *dense = arena_alloc(d->a, (size_t)type_bytes(d->type[p]));
        d->dense[p] = NEW_N(d->a, double, n);
        for (int64_t i = 0; i < n; i++) {
            elem_set(d->k.dtype, dense, i, unit(&s));
            d->dense[p][i] = elem_get(d->k.dtype, dense, i);
        }
        layout_pack(&d->kernel->param[p].layout, d->type[p], dense, d->mem[p]);
    }
}

/* ---- what it should be ---- */

static double define(const Dw *d, const int64_t *at)
{
    const Contract *k = &d->k;
    double sum = 0;
    for (int64_t n = 0; n < k->batch; n++)
        for (int64_t oy = 0; oy < k->oh; oy++) {
            int64_t y = oy * k->sh + at[2] * k->dh - k->ph;
            const double *dy = d->dense[Y] + ((n * k->oc + at[0]) * k->oh + oy) * k->ow;
            const double *x = d->dense[X] + ((n * k->ic + at[1]) * k->ih + y) * k->iw;
            for (int64_t ox = 0; ox < k->ow && y >= 0 && y < k->ih; ox++) {
                int64_t col = ox * k->sw + at[3] * k->dw - k->pw;
                if (col >= 0 && col < k->iw) sum += dy[ox] * x[col];
            }
        }
    return sum;
}

static void compare_one(Dw *d, int p, const int64_t *at, double want)
{
    double most = d->k.dtype == DT_F64 ? 1e-14 : 1e-6;
    int64_t cell = layout_address(&d->kernel->param[p].layout, at);
    double e = fabs(elem_get(d->k.dtype, d->mem[p], cell) - want) / d->largest;
    if (!(e <= most) && d->bad++ < 3)
        printf("  %s %lld %lld %lld %lld: off by %.2g\n", p == OUT ? "sum" : "fused",
               (long long)at[0], (long long)at[1], (long long)at[2], (long long)at[3], e);
    if (d->k.dtype == DT_F32 && !(e <= worst)) worst = e;
}

static void compare(Dw *d)
{
    Type t = d->type[OUT];
    int64_t n = type_count(t);
    double *want = NEW_N(d->a, double, n);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < n; i++) {
            int64_t x = i / t.dim[3], y = x / t.dim[2];
            int64_t at[] = {y / t.dim[1], y % t.dim[1], x % t.dim[2], i % t.dim[3]};
            if (pass) {
                compare_one(d, OUT, at, want[i]);
                compare_one(d, PLAIN, at, want[i] + d->dense[OTHER][i]);
            } else {
                want[i] = define(d, at);
                d->largest = fmax(d->largest, fabs(want[i]));
            }
        }
    for (int p = OUT; p <= SCRATCH; p++)
        for (size_t i = 0; i < GUARD; i++)
            d->bad += ((uint8_t *)d->mem[p])[param_bytes(d, p) + i] != (p == SCRATCH ? 0xff : 0x5a);
}

/* ---- the cases ---- */

typedef void Fn(const int64_t *table, int64_t lo, int64_t hi, int64_t from, int64_t to, void *x,
                void *y, void *other, void *out, void *plain, void *scratch);

static void call(const Dw *d, void *code, int64_t from, int64_t to)
{
    void *const *m = d->mem;
    ((Fn *)code)(NULL, 0, 1, from, to, m[X], m[Y], m[OTHER], m[OUT], m[PLAIN], m[SCRATCH]);
}

/* As workers would that share it: uneven parts, the last first, each with a scratch of its own. */
static void call_shared(Dw *d, void *code)
{
    int64_t n = kernel_pieces(d->kernel), cut[] = {0, n / 5, n / 2, n - n / 7, n, n};
    void *whole = arena_dup(d->a, d->mem[OUT], param_bytes(d, OUT));
    memset(d->mem[OUT], 0x5a, param_bytes(d, OUT));
    for (int i = COUNT(cut) - 1; i-- > 0;) {
        memset(d->mem[SCRATCH], 0xff, param_bytes(d, SCRATCH));
        call(d, code, cut[i], cut[i + 1]);
    }
    if (!memcmp(whole, d->mem[OUT], param_bytes(d, OUT))) return;
    d->bad++;
    printf("  parts give other bits\n");
}

static void run_case(void *user)
{
    Dw *d = user;
    void *code;
    d->k = case_contract(&d->c);
    if (!make_kernel(d)) return;
    kernel_verify(d->kernel);
    const Kernel *k = d->kernel;
    Bytes object = emit_kernels(&k, 1, d->t, EMIT_OBJ);
    Loaded *l = object_load(&object, "k", &code);
    fill(d);
    call(d, code, 0, kernel_pieces(k));
    compare(d);
    call_shared(d, code);
    object_unload(l);
    bytes_free(&object);
}

#define SAME(n)                                                                                    \
    {                                                                                              \
        n, n, n, n                                                                                 \
    }
static const Case cases[] = {
    {.n = 3, .ic = 16, .oc = 16, .ih = 32, .iw = 32, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.n = 9, .ic = 32, .oc = 64, .ih = 8, .iw = 8, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.n = 7, .ic = 64, .oc = 32, .ih = 4, .iw = 4, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.n = 2, .ic = 16, .oc = 32, .ih = 28, .iw = 19, .kh = 3, .kw = 3, .stride = 2, .pad = SAME(1)},
    {.n = 2,
     .ic = 32,
     .oc = 16,
     .ih = 13,
     .iw = 11,
     .kh = 3,
     .kw = 3,
     .stride = 2,
     .pad = {0, 1, 1, 0}},
    {.n = 3, .ic = 64, .oc = 16, .ih = 9, .iw = 28, .kh = 1, .kw = 1, .stride = 1},
    {.n = 2, .ic = 32, .oc = 64, .ih = 14, .iw = 14, .kh = 1, .kw = 1, .stride = 2},
    {.n = 5, .ic = 64, .oc = 32, .ih = 1, .iw = 1, .kh = 1, .kw = 1, .stride = 1},
    {.n = 2, .ic = 3, .oc = 64, .ih = 30, .iw = 34, .kh = 7, .kw = 7, .stride = 2, .pad = SAME(3)},
    {.n = 3, .ic = 3, .oc = 16, .ih = 32, .iw = 32, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.n = 3, .ic = 1, .oc = 32, .ih = 9, .iw = 10, .kh = 5, .kw = 5, .stride = 1, .pad = SAME(2)},
    {.n = 3, .ic = 32, .oc = 10, .ih = 6, .iw = 7, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.n = 3,
     .ic = 16,
     .oc = 16,
     .ih = 12,
     .iw = 17,
     .kh = 3,
     .kw = 3,
     .stride = 1,
     .pad = SAME(2),
     .dilation = 2},
    {.n = 3,
     .ic = 48,
     .oc = 16,
     .ih = 9,
     .iw = 9,
     .kh = 5,
     .kw = 3,
     .stride = 3,
     .pad = {2, 1, 0, 3}},
};

static int one(Case c, const Target *t, int *count)
{
    char why[512];
    if (!c.dilation) c.dilation = 1;
    Dw d = {.a = arena_new(), .c = c, .t = t};
    if (!err_guard(run_case, &d, why, sizeof why)) {
        printf("  error: %s\n", why);
        d.bad++;
    }
    *count += d.kernel != NULL;
    if (d.bad)
        printf("%s %s %lldx%lld s%lld %lld->%lld @%lldx%lld n%lld: %d wrong\n", t->cpu,
               dtype_name(c.dtype), (long long)c.kh, (long long)c.kw, (long long)c.stride,
               (long long)c.ic, (long long)c.oc, (long long)c.ih, (long long)c.iw, (long long)c.n,
               d.bad);
    arena_free(d.a);
    return d.bad > 0;
}

int main(void)
{
    static const char *const row[] = {NULL, "haswell", "x86-64"};
    Arena *a = arena_new();
    int bad = 0, count = 0;
    for (int i = 0; i < COUNT(row); i++) {
        if (!run_possible(row[i])) continue;
        const Target *t = target_find(a, NULL, row[i]);
        for (int j = 0; j < 2 * COUNT(cases); j++) {
            Case c = cases[j / 2];
            c.op = OP_conv_dw;
            c.dtype = j % 2 ? DT_F64 : DT_F32;
            bad += one(c, t, &count);
            c.halo = 2;
            if (i == 0) bad += one(c, t, &count);
        }
    }
    printf("dwconv: %d claims, %d wrong, f32 off by at most %.2g\n", count, bad, worst);
    arena_free(a);
    return bad > 0 || count < 2 * COUNT(cases);
}

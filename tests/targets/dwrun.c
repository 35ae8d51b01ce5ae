/* SPDX-License-Identifier: Apache-2.0 */
#include "dwrun.h"

#include "targets/llvm/emit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64 };

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
    int64_t w[] = {k->oc, k->ic / k->groups, k->kh, k->kw}, scratch[] = {o->scratch_bytes};
    for (int p = DW_OTHER; p <= DW_PLAIN; p++) d->type[p] = type_of(k->dtype, 4, w);
    d->type[DW_X] = type_of(k->dtype, 4, x);
    d->type[DW_Y] = type_of(k->dtype, 4, y);
    d->type[DW_SCRATCH] = type_of(DT_U8, 1, scratch);
}

static void add_params(Dw *d, Kernel *k, const Offer *o)
{
    Layout plain = layout_plain(d->type[DW_OUT]);
    Layout layout[] = {
        widened(o->in, d->c.halo),        widened(o->w, d->c.halo), plain, o->out, plain,
        layout_plain(d->type[DW_SCRATCH])};
    for (int p = 0; p < DW_PARAMS; p++)
        kernel_param(k, (KParam){.dtype = d->type[p].dtype,
                                 .layout = layout[p],
                                 .in = p < DW_OUT,
                                 .out = p >= DW_OUT});
    k->data_param = DW_X;
    k->weight_param = DW_Y;
    k->scratch_param = DW_SCRATCH;
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
    KRef from = kx_div(k, at[0], d->k.oc / d->k.groups); /* its group's first channel of x */
    from = kx_mulc(k, from, d->k.ic / d->k.groups);
    KRef xi[] = {n, kx_add(k, from, at[1]), y, x}, yi[] = {n, at[0], oy, ox};
    KRef v[] = {kx_load(k, DW_X, 4, xi, kx_and(k, row, col), 0), kx_load(k, DW_Y, 4, yi, NOK, 0)};
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

static bool find_offer(const Dw *d, Offer *o)
{
    char why[PLAN_WHY];
    if (!d->plan)
        return d->t->offer(d->t, &d->k, o) && !strcmp(target_claim_name(o->claim), d->claim);
    if (plan_offer(d->t, &d->k, d->plan, o, why)) return true;
    err("plan", "%s", why);
}

bool dw_kernel(Dw *d)
{
    static const char *const axis[] = {"o", "i", "ky", "kx"};
    Offer o = {.claim = -1};
    d->k = case_contract(&d->c);
    if (!find_offer(d, &o)) return false;
    Kernel *k = kernel_new(d->a);
    KRef at[4];
    set_types(d, &o);
    add_params(d, k, &o);
    k->name = "k";
    for (int i = 0; i < 4; i++)
        at[i] = kx_axis(k, kernel_axis(k, axis[i], AX_SEQ, d->type[DW_OUT].dim[i], false));
    k->contract = d->k;
    k->offer = o;
    k->heavy = contraction(d, k, at);
    KRef sum[] = {k->heavy, kx_load(k, DW_OTHER, 4, at, NOK, 0)};
    store(k, DW_OUT, at, k->heavy);
    if (!d->bare) store(k, DW_PLAIN, at, kx_eval(k, OP_add, d->k.dtype, 2, sum));
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

void dw_fill(Dw *d)
{
    uint64_t s = 88172645463325252u;
    for (int p = 0; p < DW_PARAMS; p++) {
        char *raw = arena_alloc(d->a, param_bytes(d, p) + 2 * GUARD);
        d->mem[p] = raw + (GUARD - (uintptr_t)raw % GUARD) % GUARD;
        memset(d->mem[p], p == DW_SCRATCH ? 0xff : 0x5a, param_bytes(d, p) + GUARD);
        if (p >= DW_OUT) continue;
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
    int64_t channel = at[0] / (k->oc / k->groups) * (k->ic / k->groups) + at[1];
    double sum = 0;
    for (int64_t n = 0; n < k->batch; n++)
        for (int64_t oy = 0; oy < k->oh; oy++) {
            int64_t y = oy * k->sh + at[2] * k->dh - k->ph;
            const double *dy = d->dense[DW_Y] + ((n * k->oc + at[0]) * k->oh + oy) * k->ow;
            const double *x = d->dense[DW_X] + ((n * k->ic + channel) * k->ih + y) * k->iw;
            for (int64_t ox = 0; ox < k->ow && y >= 0 && y < k->ih; ox++) {
                int64_t col = ox * k->sw + at[3] * k->dw - k->pw;
                if (col >= 0 && col < k->iw) sum += dy[ox] * x[col];
            }
        }
    return sum;
}

static void compare_one(Dw *d, int p, const int64_t *at, double want)
{
    int64_t cell = layout_address(&d->kernel->param[p].layout, at);
    double e = fabs(elem_get(d->k.dtype, d->mem[p], cell) - want) / d->largest;
    if (!(e <= d->allowed) && d->bad++ < 3)
        printf("  %s %lld %lld %lld %lld: off by %.2g\n", p == DW_OUT ? "sum" : "fused",
               (long long)at[0], (long long)at[1], (long long)at[2], (long long)at[3], e);
    if (!(e <= d->worst)) d->worst = e;
}

static void compare(Dw *d)
{
    Type t = d->type[DW_OUT];
    int64_t n = type_count(t);
    double *want = NEW_N(d->a, double, n);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < n; i++) {
            int64_t x = i / t.dim[3], y = x / t.dim[2];
            int64_t at[] = {y / t.dim[1], y % t.dim[1], x % t.dim[2], i % t.dim[3]};
            if (pass) {
                compare_one(d, DW_OUT, at, want[i]);
                if (!d->bare) compare_one(d, DW_PLAIN, at, want[i] + d->dense[DW_OTHER][i]);
            } else {
                want[i] = define(d, at);
                d->largest = fmax(d->largest, fabs(want[i]));
            }
        }
    for (int p = DW_OUT; p <= DW_SCRATCH; p++)
        for (size_t i = 0; i < GUARD; i++)
            d->bad +=
                ((uint8_t *)d->mem[p])[param_bytes(d, p) + i] != (p == DW_SCRATCH ? 0xff : 0x5a);
}

/* ---- a case ---- */

typedef void Fn(const int64_t *table, int64_t lo, int64_t hi, int64_t from, int64_t to, void *x,
                void *y, void *other, void *out, void *plain, void *scratch);

void dw_call(const Dw *d, void *code, int64_t from, int64_t to)
{
    void *const *m = d->mem;
    ((Fn *)code)(NULL, 0, 1, from, to, m[DW_X], m[DW_Y], m[DW_OTHER], m[DW_OUT], m[DW_PLAIN],
                 m[DW_SCRATCH]);
}

/* As workers would that share it: uneven parts, the last first, each with a scratch of its own. */
static void call_shared(Dw *d, void *code)
{
    int64_t n = kernel_pieces(d->kernel), cut[] = {0, n / 5, n / 2, n - n / 7, n, n};
    void *whole = arena_dup(d->a, d->mem[DW_OUT], param_bytes(d, DW_OUT));
    memset(d->mem[DW_OUT], 0x5a, param_bytes(d, DW_OUT));
    for (int i = COUNT(cut) - 1; i-- > 0;) {
        memset(d->mem[DW_SCRATCH], 0xff, param_bytes(d, DW_SCRATCH));
        dw_call(d, code, cut[i], cut[i + 1]);
    }
    if (!memcmp(whole, d->mem[DW_OUT], param_bytes(d, DW_OUT))) return;
    d->bad++;
    printf("  parts give other bits\n");
}

static void run_case(void *user)
{
    Dw *d = user;
    void *code;
    if (!dw_kernel(d)) return;
    kernel_verify(d->kernel);
    const Kernel *k = d->kernel;
    Bytes object = emit_kernels(&k, 1, d->t, EMIT_OBJ);
    Loaded *l = object_load(&object, "k", &code);
    dw_fill(d);
    dw_call(d, code, 0, kernel_pieces(k));
    compare(d);
    call_shared(d, code);
    object_unload(l);
    bytes_free(&object);
}

void dw_one(Dw d, DwCount *n)
{
    char why[512];
    d.a = arena_new();
    if (!d.c.dilation) d.c.dilation = 1;
    if (!err_guard(run_case, &d, why, sizeof why)) {
        printf("  error: %s\n", why);
        d.bad++;
    }
    n->claims += d.kernel != NULL;
    n->wrong += d.bad > 0;
    if (!(d.worst <= n->worst)) n->worst = d.worst;
    if (d.bad)
        printf("%s %s %lldx%lld s%lld %lld->%lld @%lldx%lld n%lld %s: %d wrong\n", d.t->cpu,
               dtype_name(d.c.dtype), (long long)d.c.kh, (long long)d.c.kw, (long long)d.c.stride,
               (long long)d.c.ic, (long long)d.c.oc, (long long)d.c.ih, (long long)d.c.iw,
               (long long)d.c.n, d.plan ? d.plan : "", d.bad);
    arena_free(d.a);
}

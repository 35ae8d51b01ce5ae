/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the kernels: axes, contraction by its definition, epilogue, then layouts and lanes from
 * the target's offer. */
#include "tapkernel.h"

#if defined(__linux__) && defined(__x86_64__)
#    include <sys/syscall.h>
#    include <unistd.h>
#endif

bool tiles_granted(const Target *t)
{
#if defined(__linux__) && defined(__x86_64__)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    bool runs = t->tiles > 0 && target_runs_here(t);
    return runs && !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA);
#else
    (void)t;
    return false;
#endif
}

static int64_t out_extent(int64_t in, int64_t k, int64_t s, int64_t d, int64_t pads)
{
    return (in + pads - (k - 1) * d - 1) / s + 1;
}

Contract case_contract(const Case *c)
{
    const int64_t *p = c->pad;
    return (Contract){.op = c->op,
                      .dtype = c->dtype,
                      .bf16 = c->bf16,
                      .batch = c->n,
                      .ic = c->ic,
                      .oc = c->oc,
                      .groups = c->groups ? c->groups : 1,
                      .ih = c->ih,
                      .iw = c->iw,
                      .oh = out_extent(c->ih, c->kh, c->stride, c->dilation, p[0] + p[2]),
                      .ow = out_extent(c->iw, c->kw, c->stride, c->dilation, p[1] + p[3]),
                      .kh = c->kh,
                      .kw = c->kw,
                      .sh = c->stride,
                      .sw = c->stride,
                      .ph = p[0],
                      .pw = p[1],
                      .ph2 = p[2],
                      .pw2 = p[3],
                      .dh = c->dilation,
                      .dw = c->dilation};
}

static DType case_dtype(const Case *c, int param)
{
    if (param == P_MASK) return DT_BOOL;
    bool operand = param == P_DATA || param == P_WEIGHT;
    bool stored = c->epilogue && (param == P_RESIDUAL || param == P_OUT);
    return c->bf16 && (operand || stored) ? DT_BF16 : c->dtype;
}

Type case_type(const Case *c, int param)
{
    DType dtype = case_dtype(c, param);
    Contract k = case_contract(c);
    bool x = (c->op == OP_conv) == (param == P_DATA); /* has the shape of the forward input */
    int64_t image[] = {k.batch, x ? k.ic : k.oc, x ? k.ih : k.oh, x ? k.iw : k.ow};
    int64_t weight[] = {k.oc, k.ic / k.groups, k.kh, k.kw},
            bias[] = {c->op == OP_conv ? k.oc : k.ic};
    if (param == P_WEIGHT) return type_of(dtype, 4, weight);
    if (param == P_BIAS) return type_of(dtype, 1, bias);
    return type_of(dtype, 4, image);
}

/* ---- layouts ---- */

static Layout widened(Layout l, int64_t by)
{
    for (int i = 0; i < l.ndigit; i++)
        if (l.digit[i].dim >= 2 && by) {
            l.digit[i].low += by;
            l.digit[i].extent += 2 * by + 1;
        }
    return l;
}

static Layout mask_layout(const Case *c, const Target *t)
{
    Type type = case_type(c, P_MASK);
    int lanes = target_lanes(t, c->dtype);
    bool blocked = type.dim[1] % lanes == 0;
    Layout l = blocked ? layout_blocked(type, lanes, NULL, NULL) : layout_plain(type);
    l.bits = l.digit[l.ndigit - 1].extent % 8 == 0;
    return l;
}

/* A map of one pixel is row-major where no halo is wanted, as the passes have it. */
static Layout data_layout(const Case *c, const Offer *o)
{
    Type type = case_type(c, P_DATA);
    Layout l = widened(o->in, c->halo);
    bool one = type.dim[2] * type.dim[3] == 1 && !layout_has_halo(&l);
    return one ? layout_plain(type) : l;
}

/* What the offer wants beside operands and results. */
static void add_own_params(Kernel *k, const Offer *o)
{
    int64_t bytes[] = {o->scratch_bytes, o->packed_bytes ? o->packed_bytes : 1};
    if (!o->scratch_bytes) return;
    for (int i = 0; i < 2; i++)
        kernel_param(k, (KParam){.dtype = DT_U8,
                                 .layout = layout_plain(type_of(DT_U8, 1, &bytes[i])),
                                 .in = true,
                                 .out = i == 0});
    k->scratch_param = P_SCRATCH;
    if (o->packed_bytes) k->packed_param = P_PACKED;
}

static void add_params(Kernel *k, const Case *c, const Target *t, const Offer *o)
{
    Layout out = widened(o->out, c->halo), residual = widened(o->out, 2 * c->halo);
    Layout layout[NPARAM] = {data_layout(c, o),
                             o->w,
                             layout_plain(case_type(c, P_BIAS)),
                             residual,
                             c->io ? layout_plain(case_type(c, P_OUT)) : out,
                             mask_layout(c, t)};
    for (int p = 0; p < NPARAM; p++)
        kernel_param(k, (KParam){.dtype = case_type(c, p).dtype,
                                 .layout = layout[p],
                                 .sample = p != P_WEIGHT && p != P_BIAS,
                                 .io = c->io && p == P_OUT,
                                 .in = p < P_OUT,
                                 .out = p >= P_OUT});
    k->data_param = P_DATA;
    k->weight_param = P_WEIGHT;
    add_own_params(k, o);
}

/* ---- the contraction ---- */

typedef struct Build {
    Kernel *k;
    const Case *c;
    Contract f;
    KRef at[4]; /* result index */
} Build;

/* Data coordinate that tap `t` of result coordinate `r` reads; guard says whether it is inside. */
static KRef data_index(Build *b, KRef r, KRef t, int64_t pad, int64_t extent, KRef *guard)
{
    Kernel *k = b->k;
    KRef tap = kx_mulc(k, t, b->c->dilation);
    if (b->c->op == OP_conv) {
        KRef i = kx_addc(k, kx_add(k, kx_mulc(k, r, b->c->stride), tap), -pad);
        *guard = kx_and(k, *guard, kx_in_range(k, i, 0, extent));
        return i;
    }
    KRef i = kx_addc(k, kx_add(k, r, kx_mulc(k, tap, -1)), pad);
    *guard = kx_and(k, *guard, kx_in_range(k, kx_mod(k, i, b->c->stride), 0, 1));
    i = kx_div(k, i, b->c->stride);
    *guard = kx_and(k, *guard, kx_in_range(k, i, 0, extent));
    return i;
}

static KRef load(Build *b, int param, const KRef *index, KRef guard)
{
    KRef v = kx_load(b->k, param, 4, index, guard, 0);
    bool wide = b->k->param[param].dtype == b->c->dtype;
    return wide ? v : kx_eval(b->k, OP_cast, b->c->dtype, 1, &v);
}

static KRef contraction(Build *b)
{
    Kernel *k = b->k;
    bool fwd = b->c->op == OP_conv;
    int64_t groups = b->f.groups, depth = (fwd ? b->f.ic : b->f.oc) / groups;
    int64_t width = (fwd ? b->f.oc : b->f.ic) / groups;
    KRef ch = kx_axis(k, kernel_axis(k, "k", AX_RED, depth, false));
    KRef first = kx_mulc(k, kx_div(k, b->at[1], width), depth), from = kx_add(k, first, ch);
    KRef ky = kx_axis(k, kernel_axis(k, "ky", AX_RED, b->f.kh, false));
    KRef kx = kx_axis(k, kernel_axis(k, "kx", AX_RED, b->f.kw, false)), guard = NOK;
    KRef row = data_index(b, b->at[2], ky, b->f.ph, fwd ? b->f.ih : b->f.oh, &guard);
    KRef col = data_index(b, b->at[3], kx, b->f.pw, fwd ? b->f.iw : b->f.ow, &guard);
    KRef within = kx_mod(k, b->at[1], width); /* of the group's results */
    KRef di[] = {b->at[0], from, row, col};
    KRef wi[] = {fwd ? b->at[1] : from, fwd ? ch : within, ky, kx};
    KRef v[] = {load(b, P_DATA, di, guard), load(b, P_WEIGHT, wi, NOK)};
    return kx_reduce(k, OP_sum, b->c->dtype, kx_eval(k, OP_mul, b->c->dtype, 2, v), NOK);
}

static void store(Build *b, int param, KRef value)
{
    KStore *s = &b->k->store[b->k->nstore++];
    *s = (KStore){.param = param, .rank = 4, .value = value};
    for (int d = 0; d < 4; d++) s->index[d] = b->at[d];
}

static void epilogue(Build *b, KRef sum)
{
    Kernel *k = b->k;
    DType d = b->c->dtype;
    KRef zero = kx_const(k, d, 0);
    KRef bias[] = {sum, kx_load(k, P_BIAS, 1, &b->at[1], NOK, 0)};
    KRef residual[] = {kx_eval(k, OP_add, d, 2, bias), load(b, P_RESIDUAL, b->at, NOK)};
    KRef v = kx_eval(k, OP_add, d, 2, residual);
    KRef relu = kx_eval(k, OP_max2, d, 2, (KRef[]){v, zero});
    store(b, P_OUT, b->c->bf16 ? kx_eval(k, OP_cast, DT_BF16, 1, &relu) : relu);
    store(b, P_MASK, kx_eval(k, OP_lt, DT_BOOL, 2, (KRef[]){zero, v}));
}

/* ---- lanes ---- */

static Kernel *split_lanes(Arena *a, Kernel *k, int axis, int64_t lanes)
{
    Kernel *s = kernel_split(a, k, axis, lanes);
    int inner = 0;
    while (inner < s->naxis && s->axis[inner].kind != AX_RED) inner++;
    s->axis[inner - 1].kind = AX_VEC;
    return s;
}

Kernel *case_kernel(Arena *a, const Case *c, const Target *t, const char *name)
{
    static const char *const axis[] = {"n", "c", "y", "x"};
    Build b = {.k = kernel_new(a), .c = c, .f = case_contract(c)};
    Offer o = {.claim = -1};
    if (!t->offer(t, &b.f, &o) || o.claim < 0) return NULL;
    b.k->name = name;
    add_params(b.k, c, t, &o);
    Type out = case_type(c, P_OUT);
    for (int d = 0; d < 4; d++)
        b.at[d] = kx_axis(b.k, kernel_axis(b.k, axis[d], AX_SEQ, out.dim[d], d == 0));
    b.k->contract = b.f;
    b.k->offer = o;
    b.k->heavy = contraction(&b);
    if (c->epilogue)
        epilogue(&b, b.k->heavy);
    else
        store(&b, P_OUT, b.k->heavy);
    return split_lanes(a, b.k, o.vec_dim, o.lanes);
}

typedef void PlainFn(const int64_t *table, int64_t lo, int64_t hi, int64_t from, int64_t to,
                     void *data, void *weight, void *bias, void *residual, void *out, void *mask);
typedef void PlainOwnFn(const int64_t *table, int64_t lo, int64_t hi, int64_t from, int64_t to,
                        void *data, void *weight, void *bias, void *residual, void *out, void *mask,
                        void *scratch, void *packed);
typedef void IoFn(const int64_t *table, int64_t lo, int64_t hi, int64_t from, int64_t to,
                  void *data, void *weight, void *bias, void *residual, void *out, int64_t stride,
                  void *mask);
typedef void IoOwnFn(const int64_t *table, int64_t lo, int64_t hi, int64_t from, int64_t to,
                     void *data, void *weight, void *bias, void *residual, void *out,
                     int64_t stride, void *mask, void *scratch, void *packed);

void case_call(const Kernel *k, void *code, const int64_t *table, int64_t lo, int64_t hi,
               int64_t from, int64_t to, void *const mem[ALL_PARAMS], int64_t stride)
{
    void *const *m = mem;
    bool io = k->param[P_OUT].io, own = k->scratch_param >= 0;
    void *w = k->packed_param >= 0 ? NULL : m[1];
    if (io && own)
        ((IoOwnFn *)code)(table, lo, hi, from, to, m[0], w, m[2], m[3], m[4], stride, m[5], m[6],
                          m[7]);
    else if (io)
        ((IoFn *)code)(table, lo, hi, from, to, m[0], m[1], m[2], m[3], m[4], stride, m[5]);
    else if (own)
        ((PlainOwnFn *)code)(table, lo, hi, from, to, m[0], w, m[2], m[3], m[4], m[5], m[6], m[7]);
    else
        ((PlainFn *)code)(table, lo, hi, from, to, m[0], m[1], m[2], m[3], m[4], m[5]);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels built by hand, emitted for every CPU row this machine runs, loaded and compared with the
 * kernel interpreter on the same memory, sentinels included; the inlined mathematics against libm
 * in long double; and what objects import. */
#define _POSIX_C_SOURCE 200809L

#include <elf.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "targets/llvm/emit.h"

static int passed, failed;

static void result(bool ok, const char *name, const char *why)
{
    ok ? passed++ : failed++;
    if (!ok) printf("FAILED %s: %s\n", name, why);
}

/* ---- the targets this machine runs ---- */

static const Target *targets[8];
static int ntarget;

static void find_targets(Arena *a)
{
    static const char *const names[] = {"x86-64", "haswell", "skylake-avx512", "sapphirerapids",
                                        "znver4", "znver5"};
    if (strcmp(target_find(a, NULL, NULL)->name, "x86-64")) {
        targets[ntarget++] = target_find(a, NULL, NULL);
        return;
    }
    for (int i = 0; i < COUNT(names); i++) {
        const Target *t = target_find(a, "x86-64", names[i]);
        if (target_runs_here(t)) targets[ntarget++] = t;
    }
}

/* ---- memory ---- */

enum { SENTINEL = 64, SAMPLES = 5 };
static uint64_t rng_state = 1;

static uint64_t random_bits(void)
{
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return rng_state >> 11;
}

static double uniform(double lo, double hi)
{
    return lo + (hi - lo) * (double)random_bits() * 0x1p-53;
}

typedef struct Memory {
    uint8_t *data[MAX_PARAMS];
    int64_t bytes[MAX_PARAMS], stride[MAX_PARAMS];
} Memory;

static const double specials[] = {0,   -0.0, 1,        -1,        0.5, -0.5,
                                  2.5, -1.5, INFINITY, -INFINITY, NAN, 3e38};

static void fill(DType d, void *data, int64_t n, bool special)
{
    for (int64_t i = 0; i < n; i++) {
        double v = dtype_is_float(d) ? uniform(-4, 4) : floor(uniform(-40, 40));
        if (d == DT_U8) v = fabs(v);
        if (d == DT_BOOL) v = random_bits() & 1;
        if (special && i % 3 == 0 && dtype_is_float(d))
            v = specials[random_bits() % COUNT(specials)];
        elem_set(d, data, i, v);
    }
}

static void memory_new(Arena *a, const Kernel *k, Memory *m, bool special)
{
    for (int i = 0; i < k->nparam; i++) {
        const KParam *p = &k->param[i];
        int64_t bytes = layout_bytes(&p->layout, p->dtype);
        bool samples = p->io && p->sample;
        m->stride[i] = samples ? bytes / p->layout.digit[0].extent : 0;
        m->bytes[i] = samples ? m->stride[i] * SAMPLES * 2 : bytes;
        m->data[i] = arena_alloc(a, (size_t)m->bytes[i] + 2 * SENTINEL);
        memset(m->data[i], 0x5a, (size_t)m->bytes[i] + 2 * SENTINEL);
        void *at = m->data[i] + SENTINEL;
        if (p->layout.bits)
            for (int64_t j = 0; j < m->bytes[i]; j++) ((uint8_t *)at)[j] = (uint8_t)random_bits();
        else
            fill(p->dtype, at, m->bytes[i] / dtype_bytes(p->dtype), special);
    }
}

static Memory memory_copy(Arena *a, const Kernel *k, const Memory *m)
{
    Memory c = *m;
    for (int i = 0; i < k->nparam; i++)
        c.data[i] = arena_dup(a, m->data[i], (size_t)m->bytes[i] + 2 * SENTINEL);
    return c;
}

/* ---- running both ways ---- */

static const int64_t table[SAMPLES] = {3, 0, 4, 1, 2};
typedef void AnyFn(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                   int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t);

enum { MOST_WORDS = 18 };

static void call_part(void *fn, const Kernel *k, const Memory *m, const int64_t range[4])
{
    int64_t a[MOST_WORDS] = {(int64_t)(intptr_t)table, range[0], range[1], range[2], range[3]};
    int n = 5;
    for (int i = 0; i < k->nparam; i++) {
        check(n + 2 <= MOST_WORDS);
        a[n++] = (int64_t)(intptr_t)(m->data[i] + SENTINEL);
        if (k->param[i].io) a[n++] = m->stride[i];
    }
    AnyFn *f = (AnyFn *)(uintptr_t)fn;
    f(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14],
      a[15], a[16], a[17]);
}

/* In three parts, the last first, as workers may share it. */
static void call(void *fn, const Kernel *k, const Memory *m, int64_t lo, int64_t hi)
{
    int64_t n = kernel_pieces(k), one = n / 3, two = 2 * n / 3;
    call_part(fn, k, m, (int64_t[]){lo, hi, two, n});
    call_part(fn, k, m, (int64_t[]){lo, hi, one, two});
    call_part(fn, k, m, (int64_t[]){lo, hi, 0, one});
}

static void interpret(const Kernel *k, const Memory *m, int64_t lo, int64_t hi)
{
    KMem mem[MAX_PARAMS];
    for (int i = 0; i < k->nparam; i++) mem[i] = (KMem){m->data[i] + SENTINEL, m->stride[i]};
    kernel_eval(k, mem, table, lo, hi);
}

static bool close_enough(DType d, double x, double y, double tol)
{
    if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
    if (x == y) return true;
    return dtype_is_float(d) && fabs(x - y) <= tol * (fabs(x) + fabs(y) + (tol > 1e-10 ? 10 : 0));
}

/* NULL, or where they differ. */
static const char *differ(Arena *a, const Kernel *k, const Memory *x, const Memory *y, double tol)
{
    for (int i = 0; i < k->nparam; i++) {
        const KParam *p = &k->param[i];
        size_t whole = (size_t)x->bytes[i] + 2 * SENTINEL;
        if (!memcmp(x->data[i], y->data[i], whole)) continue;
        if (p->layout.bits || memcmp(x->data[i], y->data[i], SENTINEL) ||
            memcmp(x->data[i] + whole - SENTINEL, y->data[i] + whole - SENTINEL, SENTINEL))
            return arena_printf(a, "parameter %d: bytes differ", i);
        for (int64_t j = 0; j < x->bytes[i] / dtype_bytes(p->dtype); j++) {
            double u = elem_get(p->dtype, x->data[i] + SENTINEL, j);
            double v = elem_get(p->dtype, y->data[i] + SENTINEL, j);
            if (!close_enough(p->dtype, u, v, tol))
                return arena_printf(a, "parameter %d, cell %lld: %.17g, interpreter %.17g", i,
                                    (long long)j, u, v);
        }
    }
    return NULL;
}

/* Names an ELF object imports, but memcpy and memset. */
static bool imports_nothing(const Bytes *o)
{
    const Elf64_Ehdr *h = (const void *)o->data;
    const Elf64_Shdr *s = (const void *)(o->data + h->e_shoff);
    bool none = true;
    for (int i = 0; i < h->e_shnum; i++) {
        if (s[i].sh_type != SHT_SYMTAB) continue;
        const Elf64_Sym *sym = (const void *)(o->data + s[i].sh_offset);
        const char *names = (const char *)o->data + s[s[i].sh_link].sh_offset;
        for (size_t j = 1; j < s[i].sh_size / sizeof *sym; j++) {
            const char *name = names + sym[j].st_name;
            if (sym[j].st_shndx != SHN_UNDEF || !strcmp(name, "memcpy") || !strcmp(name, "memset"))
                continue;
            printf("imports %s\n", name);
            none = false;
        }
    }
    return none;
}

typedef struct Try {
    const Target *t;
    Kernel *k;
    const Memory *m;
    int64_t lo, hi;
} Try;

static void compile_and_call(void *arg)
{
    Try *t = arg;
    const Kernel *k = t->k;
    Bytes o = emit_kernels(&k, 1, t->t, EMIT_OBJ);
    result(imports_nothing(&o), k->name, "imports");
    void *fn;
    Loaded *l = object_load(&o, k->name, &fn);
    call(fn, k, t->m, t->lo, t->hi);
    object_unload(l);
    bytes_free(&o);
}

/* ---- GPU: every kernel without lanes in one module, which ptxas, if here, must take ---- */

static const Kernel *gpu_kernels[1024];
static int ngpu;

static bool fits_gpu(const Kernel *k)
{
    for (int i = 0; i < k->naxis; i++)
        if (k->axis[i].kind == AX_VEC) return false;
    for (int i = 0; i < k->nparam; i++)
        if (k->param[i].out && k->param[i].layout.bits) return false;
    return !ngpu || gpu_kernels[ngpu - 1] != k;
}

static void keep_for_gpu(const Kernel *k)
{
    if (fits_gpu(k) && ngpu < COUNT(gpu_kernels)) gpu_kernels[ngpu++] = k;
}

static int assemble(const char *cpu, const Bytes *ptx)
{
    char path[] = "/tmp/walkXXXXXX", line[256];
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    fwrite(ptx->data, 1, ptx->size, f);
    fclose(f);
    snprintf(line, sizeof line, "ptxas -arch=%s -o /dev/null %s", cpu, path);
    int status = system(line);
    remove(path);
    return status;
}

static bool imports_nothing(const Bytes *);

/* Not run here: but it compiles, and calls no library. */
static void other_cpu(Arena *a, const char *name)
{
    Bytes o = emit_kernels(gpu_kernels, ngpu, target_find(a, name, NULL), EMIT_OBJ);
    result(imports_nothing(&o), name, "imports");
    bytes_free(&o);
}

static void gpu_module(Arena *a, const char *cpu)
{
    Bytes ptx = emit_kernels(gpu_kernels, ngpu, target_find(a, "nvptx64", cpu), EMIT_OBJ);
    const char *text = (const char *)ptx.data;
    char *copy = arena_alloc(a, ptx.size + 1);
    memcpy(copy, text, ptx.size);
    int entries = 0;
    for (const char *p = copy; (p = strstr(p, ".entry")) != NULL; p++) entries++;
    result(entries == ngpu, cpu, "an entry for each kernel");
    result(!strstr(copy, ".extern"), cpu, "PTX imports");
    if (system("command -v ptxas > /dev/null 2>&1"))
        printf("%s: no ptxas here\n", cpu);
    else
        result(!assemble(cpu, &ptx), cpu, "ptxas");
    bytes_free(&ptx);
}

#define UNFUSED                                                                                    \
    (-1.0) /* tolerance: equal bits where multiply-adds are fused, else sums may differ */

static double tolerance(const Target *t, double tol)
{
    return tol != UNFUSED ? tol : t->fma ? 0 : 1e-5;
}

static void compare(Arena *a, Kernel *k, const char *name, int64_t lo, int64_t hi, double tol,
                    bool special)
{
    Memory start, want;
    k->name = name;
    kernel_verify(k);
    keep_for_gpu(k);
    memory_new(a, k, &start, special);
    want = memory_copy(a, k, &start);
    interpret(k, &want, lo, hi);
    for (int i = 0; i < ntarget; i++) {
        Memory got = memory_copy(a, k, &start);
        Try t = {targets[i], k, &got, lo, hi};
        char message[256], label[256];
        snprintf(label, sizeof label, "%s on %s", name, targets[i]->cpu);
        if (!err_guard(compile_and_call, &t, message, sizeof message))
            result(false, label, message);
        const char *why = differ(a, k, &got, &want, tolerance(targets[i], tol));
        result(!why, label, why);
    }
}

/* ---- pieces of kernels ---- */

static Type type2(DType d, int64_t n, int64_t m)
{
    return type_of(d, 2, (int64_t[]){n, m});
}

static KParam param(DType d, Layout l, bool out)
{
    return (KParam){.dtype = d, .layout = l, .in = !out, .out = out};
}

/* [rows, cols] with cols in vectors of `lanes`: index of an element. */
typedef struct Flat {
    Kernel *k;
    KRef index[2];
} Flat;

static Flat flat(Arena *a, int64_t rows, int64_t cols, int lanes)
{
    Flat f = {.k = kernel_new(a)};
    f.index[0] = kx_axis(f.k, kernel_axis(f.k, "i", AX_SEQ, rows, true));
    KRef outer = kx_axis(f.k, kernel_axis(f.k, "j", AX_SEQ, cols / lanes, false));
    f.index[1] = kx_mulc(f.k, outer, lanes);
    if (lanes > 1)
        f.index[1] =
            kx_add(f.k, f.index[1], kx_axis(f.k, kernel_axis(f.k, "l", AX_VEC, lanes, false)));
    return f;
}

static void store(Kernel *k, int p, int rank, const KRef *index, KRef value)
{
    KStore *s = &k->store[k->nstore++];
    *s = (KStore){.param = p, .rank = rank, .value = value};
    memcpy(s->index, index, sizeof *index * (size_t)rank);
}

/* ---- every elementwise row ---- */

static void one_op(Arena *a, Op op, DType d, DType out, int lanes, double tol)
{
    enum { ROWS = 2, COLS = 192 };
    Flat f = flat(a, ROWS, COLS, lanes);
    KRef arg[3];
    int n = op_info[op].nargs;
    for (int i = 0; i < n; i++) {
        DType t = op == OP_select && i == 0 ? DT_BOOL : d;
        int p = kernel_param(f.k, param(t, layout_plain(type2(t, ROWS, COLS)), false));
        arg[i] = kx_load(f.k, p, 2, f.index, NOK, 0);
    }
    int o = kernel_param(f.k, param(out, layout_plain(type2(out, ROWS, COLS)), true));
    store(f.k, o, 2, f.index, kx_eval(f.k, op, out, n, arg));
    char *name =
        arena_printf(a, "%s_%s_%s_%d", op_info[op].name, dtype_name(d), dtype_name(out), lanes);
    compare(a, f.k, name, 0, ROWS, tol, true);
}

static double op_tolerance(Op op, DType d)
{
    bool inexact = op == OP_exp || op == OP_log || op == OP_log1p || op == OP_tanh ||
                   op == OP_erf || op == OP_pow;
    return inexact && d == DT_F64 ? 4e-16 : 0; /* floats come from doubles: all but never off */
}

static void float_ops(Arena *a, DType d, int lanes)
{
    static const Op ops[] = {OP_neg,  OP_abs, OP_sign,  OP_exp,   OP_log,   OP_log1p, OP_sqrt,
                             OP_tanh, OP_erf, OP_floor, OP_round, OP_add,   OP_sub,   OP_mul,
                             OP_div,  OP_pow, OP_max2,  OP_min2,  OP_select};
    for (int i = 0; i < COUNT(ops); i++) one_op(a, ops[i], d, d, lanes, op_tolerance(ops[i], d));
}

static void int_ops(Arena *a, DType d, int lanes)
{
    static const Op ops[] = {OP_neg, OP_abs, OP_sign, OP_add,  OP_sub,
                             OP_mul, OP_div, OP_max2, OP_min2, OP_select};
    for (int i = 0; i < COUNT(ops); i++) one_op(a, ops[i], d, d, lanes, 0);
}

static void all_ops(Arena *a, int lanes)
{
    static const DType floats[] = {DT_F64, DT_F32, DT_F16, DT_BF16};
    static const DType ints[] = {DT_I64, DT_I32, DT_I8, DT_U8};
    for (int i = 0; i < 4; i++) {
        float_ops(a, floats[i], lanes);
        int_ops(a, ints[i], lanes);
        for (Op op = OP_lt; op <= OP_eq; op++) {
            one_op(a, op, floats[i], DT_BOOL, lanes, 0);
            one_op(a, op, ints[i], DT_BOOL, lanes, 0);
        }
    }
    one_op(a, OP_and, DT_BOOL, DT_BOOL, lanes, 0);
    one_op(a, OP_or, DT_BOOL, DT_BOOL, lanes, 0);
    one_op(a, OP_not, DT_BOOL, DT_BOOL, lanes, 0);
    for (DType from = 0; from < DT_COUNT; from++)
        for (DType to = 0; to < DT_COUNT; to++)
            if (from != to) one_op(a, OP_cast, from, to, lanes, 0);
}

/* ---- shapes of memory ---- */

/* relu of a blocked tensor into a mask of bits and a halo'd plain one; then the mask applied. */
static void masks(Arena *a, int lanes, bool blocked)
{
    enum { N = 3, C = 32, H = 4, W = 8 };
    Type t = type_of(DT_F32, 4, (int64_t[]){N, C, H, W});
    Kernel *k = kernel_new(a);
    KRef ix[4];
    ix[0] = kx_axis(k, kernel_axis(k, "n", AX_SEQ, N, true));
    KRef cb = kx_axis(k, kernel_axis(k, "cb", AX_SEQ, C / lanes, false));
    ix[2] = kx_axis(k, kernel_axis(k, "h", AX_SEQ, H, false));
    ix[3] = kx_axis(k, kernel_axis(k, "w", AX_SEQ, W, false));
    KRef cv = lanes > 1 ? kx_axis(k, kernel_axis(k, "cv", AX_VEC, lanes, false)) : kx_int(k, 0);
    ix[1] = kx_add(k, kx_mulc(k, cb, lanes), cv);
    int64_t one[2] = {1, 1};
    Layout in = layout_blocked(t, blocked ? 8 : 1, one, one), plain = layout_halo(t, one, one);
    Layout bits = layout_blocked(type_with(t, DT_BOOL), blocked ? 16 : 1, NULL, NULL);
    bits.bits = true;
    int x = kernel_param(k, param(DT_F32, in, false)),
        m = kernel_param(k, param(DT_BOOL, bits, false));
    int y = kernel_param(k, param(DT_F32, plain, true)),
        o = kernel_param(k, param(DT_BOOL, bits, true));
    KRef v = kx_load(k, x, 4, ix, NOK, 0), zero = kx_const(k, DT_F32, 0);
    KRef on = kx_load(k, m, 4, ix, NOK, 0);
    KRef relu = kx_eval(k, OP_max2, DT_F32, 2, (KRef[]){v, zero});
    store(k, y, 4, ix, kx_eval(k, OP_select, DT_F32, 3, (KRef[]){on, relu, v}));
    store(k, o, 4, ix, kx_eval(k, OP_lt, DT_BOOL, 2, (KRef[]){zero, v}));
    compare(a, k, arena_printf(a, "masks_%d%s", lanes, blocked ? "_blocked" : ""), 0, N, 0, true);
}

/* A convolution with pads and strides, lanes over oc (blocked), over ow (guards a lane), or
 * none. */
static void conv(Arena *a, int lanes, int over, int tile, bool io)
{
    enum { N = SAMPLES, IC = 5, OC = 16, H = 9, OH = 8, K = 3 };
    int64_t stride = 1;
    Type xt = type_of(DT_F32, 4, (int64_t[]){N, IC, H, H});
    Type wt = type_of(DT_F32, 4, (int64_t[]){OC, IC, K, K});
    Type yt = type_of(DT_F32, 4, (int64_t[]){N, OC, OH, OH});
    Kernel *k = kernel_new(a);
    KRef y[4], x[4], w[4], guard = NOK;
    y[0] = kx_axis(k, kernel_axis(k, "n", AX_SEQ, N, true));
    for (int d = 1; d < 4; d++) {
        static const char *const names[] = {"", "oc", "oh", "ow"};
        int64_t extent = yt.dim[d] / (d == over ? lanes : 1);
        if (d == 2 && tile > 1) {
            KRef outer = kx_axis(k, kernel_axis(k, "oh", AX_SEQ, extent / tile, false));
            KRef inner = kx_axis(k, kernel_axis(k, "t", AX_UNROLL, tile, false));
            y[d] = kx_add(k, kx_mulc(k, outer, tile), inner);
            continue;
        }
        y[d] = kx_axis(k, kernel_axis(k, names[d], AX_SEQ, extent, false));
    }
    if (lanes > 1)
        y[over] = kx_add(k, kx_mulc(k, y[over], lanes),
                         kx_axis(k, kernel_axis(k, "v", AX_VEC, lanes, false)));
    w[0] = y[1];
    x[0] = y[0];
    x[1] = w[1] = kx_axis(k, kernel_axis(k, "ic", AX_RED, IC, false));
    for (int d = 2; d < 4; d++) {
        w[d] = kx_axis(k, kernel_axis(k, d == 2 ? "kh" : "kw", AX_RED, K, false));
        x[d] = kx_addc(k, kx_add(k, kx_mulc(k, y[d], stride), w[d]), -1);
        guard = kx_and(k, guard, kx_in_range(k, x[d], 0, H));
    }
    KParam xp = param(DT_F32, layout_plain(xt), false);
    xp.sample = xp.io = io;
    int px = kernel_param(k, xp);
    int pw = kernel_param(k, param(DT_F32, layout_plain(wt), false));
    KParam yp = param(DT_F32, layout_blocked(yt, over == 1 ? lanes : 1, NULL, NULL), true);
    yp.sample = yp.io = io;
    int py = kernel_param(k, yp);
    KRef v = kx_load(k, px, 4, x, guard, 0), f = kx_load(k, pw, 4, w, NOK, 0);
    KRef p = kx_eval(k, OP_mul, DT_F32, 2, (KRef[]){v, f});
    KRef sum = kx_reduce(k, OP_sum, DT_F32, p, NOK);
    store(k, py, 4, y, kx_eval(k, OP_max2, DT_F32, 2, (KRef[]){sum, kx_const(k, DT_F32, 0)}));
    compare(a, k, arena_printf(a, "conv_%d_%d_%d%s", lanes, over, tile, io ? "_io" : ""), 1, N,
            UNFUSED, false);
}

/* sum, prod, max, min and argmax of rows at once; lanes over columns of the result. */
static void reductions(Arena *a, DType d, int lanes, bool special)
{
    enum { N = 3, R = 21, C = 32 };
    Type t = type_of(d, 3, (int64_t[]){N, R, C});
    static const Op ops[] = {OP_sum, OP_prod, OP_max, OP_min, OP_argmax};
    Flat f = flat(a, N, C, lanes);
    Kernel *k = f.k;
    KRef r = kx_axis(k, kernel_axis(k, "r", AX_RED, R, false));
    int p = kernel_param(k, param(d, layout_plain(t), false));
    KRef v = kx_load(k, p, 3, (KRef[]){f.index[0], r, f.index[1]}, NOK, 0);
    for (int i = 0; i < COUNT(ops); i++) {
        DType to = ops[i] == OP_argmax ? DT_I64 : d;
        int o = kernel_param(k, param(to, layout_plain(type2(to, N, C)), true));
        KRef e = kx_reduce(k, ops[i], to, v, ops[i] == OP_argmax ? r : NOK);
        store(k, o, 2, f.index, e);
    }
    compare(a, k,
            arena_printf(a, "reduce_%s_%d%s", dtype_name(d), lanes, special ? "_special" : ""), 0,
            N, 0, special);
}

/* Element i of y is x[idx[i] clamped], transposed reads, reversed reads, and a reshape through /
 * and %. */
static void gathers(Arena *a, int lanes)
{
    enum { N = 4, C = 48 };
    Flat f = flat(a, N, C, lanes);
    Kernel *k = f.k;
    int x = kernel_param(k, param(DT_F32, layout_plain(type2(DT_F32, N, C)), false));
    int xt = kernel_param(k, param(DT_F32, layout_plain(type2(DT_F32, C, N)), false));
    int xr = kernel_param(
        k, param(DT_F32, layout_plain(type_of(DT_F32, 3, (int64_t[]){N, 6, 8})), false));
    int at = kernel_param(k, param(DT_I32, layout_plain(type2(DT_I32, N, C)), false));
    int y = kernel_param(k, param(DT_F32, layout_plain(type2(DT_F32, N, C)), true));
    KRef i = kx_load(k, at, 2, f.index, NOK, 0);
    i = kx_eval(k, OP_cast, DT_I64, 1, &i);
    KRef in = kx_in_range(k, i, 0, C);
    KRef v = kx_load(k, x, 2, (KRef[]){f.index[0], i}, in, -7);
    KRef back = kx_addc(k, kx_mulc(k, f.index[1], -1), C - 1);
    KRef sum = v, term[3];
    term[0] = kx_load(k, xt, 2, (KRef[]){f.index[1], f.index[0]}, NOK, 0);
    term[1] = kx_load(k, x, 2, (KRef[]){f.index[0], back}, NOK, 0);
    KRef rot = kx_addc(k, f.index[1], 3),
         where[3] = {f.index[0], kx_mod(k, kx_div(k, rot, 8), 6), kx_mod(k, rot, 8)};
    term[2] = kx_load(k, xr, 3, where, NOK, 0);
    for (int j = 0; j < 3; j++) sum = kx_eval(k, OP_add, DT_F32, 2, (KRef[]){sum, term[j]});
    KRef number = kx_eval(k, OP_cast, DT_F32, 1, &f.index[1]);
    sum = kx_eval(k, OP_add, DT_F32, 2, (KRef[]){sum, number});
    store(k, y, 2, f.index, sum);
    compare(a, k, arena_printf(a, "gather_%d", lanes), 0, N, 0, false);
}

/* Guards of lanes against the edge, with a fill. */
static void shifted(Arena *a, DType d, int lanes, int64_t step, int64_t shift)
{
    enum { N = 2, C = 48 };
    Flat f = flat(a, N, C, lanes);
    Kernel *k = f.k;
    int x = kernel_param(k, param(d, layout_plain(type2(d, N, C)), false));
    int y = kernel_param(k, param(d, layout_plain(type2(d, N, C)), true));
    KRef i = kx_addc(k, kx_mulc(k, f.index[1], step), shift);
    KRef v =
        kx_load(k, x, 2, (KRef[]){f.index[0], i}, kx_in_range(k, i, 0, C), d == DT_BOOL ? 1 : 9);
    store(k, y, 2, f.index, v);
    compare(
        a, k,
        arena_printf(a, "shift_%s_%d_%d_%d", dtype_name(d), lanes, (int)step + 1, (int)shift + 3),
        0, N, 0, false);
}

static void random_numbers(Arena *a, DType d, int lanes)
{
    enum { N = 3, C = 64 };
    Flat f = flat(a, N, C, lanes);
    Kernel *k = f.k;
    Type one = type_of(DT_I64, 0, NULL), each = type_of(DT_I64, 1, (int64_t[]){N});
    int seed = kernel_param(k, param(DT_I64, layout_plain(one), false));
    int id = kernel_param(k, param(DT_I64, layout_plain(each), false));
    int draw = kernel_param(k, param(DT_U8, layout_plain(type_with(each, DT_U8)), false));
    int y = kernel_param(k, param(d, layout_plain(type2(d, N, C)), true));
    KRef arg[3] = {kx_load(k, seed, 0, NULL, NOK, 0), kx_load(k, id, 1, f.index, NOK, 0),
                   kx_load(k, draw, 1, f.index, NOK, 0)};
    store(k, y, 2, f.index, kx_rng(k, d, arg[0], arg[1], arg[2], f.index[1], 5));
    compare(a, k, arena_printf(a, "rng_%s_%d", dtype_name(d), lanes), 0, N, 0, false);
}

/* x = x + y in place, a value of one lane splat, nothing outside [lo, hi). */
static void in_place(Arena *a, int lanes)
{
    enum { N = 4, C = 32 };
    Flat f = flat(a, N, C, lanes);
    Kernel *k = f.k;
    KParam p = param(DT_F32, layout_plain(type2(DT_F32, N, C)), true);
    p.in = true;
    int x = kernel_param(k, p);
    int y = kernel_param(k, param(DT_F32, layout_plain(type2(DT_F32, N, 1)), false));
    KRef v = kx_load(k, x, 2, f.index, NOK, 0);
    KRef u = kx_load(k, y, 2, (KRef[]){f.index[0], kx_int(k, 0)}, NOK, 0);
    store(k, x, 2, f.index, kx_eval(k, OP_add, DT_F32, 2, (KRef[]){v, u}));
    compare(a, k, arena_printf(a, "in_place_%d", lanes), 1, 3, 0, false);
    compare(a, k, arena_printf(a, "empty_%d", lanes), 2, 2, 0, false);
}

/* ---- mathematics ---- */

typedef long double Exact(long double, long double);
static long double exact_exp(long double x, long double y)
{
    return (void)y, expl(x);
}
static long double exact_log(long double x, long double y)
{
    return (void)y, logl(x);
}
static long double exact_log1p(long double x, long double y)
{
    return (void)y, log1pl(x);
}
static long double exact_tanh(long double x, long double y)
{
    return (void)y, tanhl(x);
}
static long double exact_erf(long double x, long double y)
{
    return (void)y, erfl(x);
}
static long double exact_pow(long double x, long double y)
{
    return powl(x, y);
}

static double ulps(double got, long double want)
{
    double rounded = (double)want;
    if (isnan(rounded) || isinf(rounded) || rounded == 0)
        return (isnan(rounded) && isnan(got)) || got == rounded ? 0 : INFINITY;
    if (isinf(got) || isnan(got)) return INFINITY;
    int e;
    frexpl(want, &e);
    double ulp = ldexp(1, (e < -1021 ? -1021 : e) - 53);
    return fabs((double)((long double)got - want)) / ulp;
}

typedef struct Math {
    Op op;
    Exact *exact;
    double lo, hi, ylo, yhi;
    bool log_scale; /* |x| = 2^[lo, hi] */
    double limit;
} Math;

static const Math maths[] = {
    {OP_exp, exact_exp, -750, 712, 0, 0, false, 1.1},
    {OP_exp, exact_exp, -60, 9, 0, 0, true, 1.1},
    {OP_log, exact_log, -1074, 1023, 0, 0, true, 1},
    {OP_log, exact_log, 0.4, 2.2, 0, 0, false, 1.1},
    {OP_log1p, exact_log1p, -0.9999, 4, 0, 0, false, 2},
    {OP_log1p, exact_log1p, -1070, 1000, 0, 0, true, 2},
    {OP_tanh, exact_tanh, -22, 22, 0, 0, false, 2.5},
    {OP_tanh, exact_tanh, -1070, 6, 0, 0, true, 2.5},
    {OP_erf, exact_erf, -6.5, 6.5, 0, 0, false, 2},
    {OP_erf, exact_erf, -1000, 3, 0, 0, true, 2},
    {OP_pow, exact_pow, 0, 10, -300, 300, false, 2},
    {OP_pow, exact_pow, -1074, 1023, -1.1, 1.1, true, 2},
    {OP_pow, exact_pow, 0.9, 1.1, -8000, 8000, false, 2},
};

enum { POINTS = 1 << 15 };

static double point(const Math *m)
{
    if (!m->log_scale) return uniform(m->lo, m->hi);
    double v = ldexp(uniform(1, 2), (int)floor(uniform(m->lo, m->hi)));
    return m->op != OP_log && m->op != OP_pow && m->op != OP_log1p && random_bits() & 1 ? -v : v;
}

static void math_accuracy(Arena *a, const Math *m, const Target *t)
{
    int lanes = target_lanes(t, DT_F64);
    Flat f = flat(a, 1, POINTS, lanes);
    Layout l = layout_plain(type2(DT_F64, 1, POINTS));
    KRef arg[2];
    int n = op_info[m->op].nargs;
    for (int i = 0; i < n; i++)
        arg[i] = kx_load(f.k, kernel_param(f.k, param(DT_F64, l, false)), 2, f.index, NOK, 0);
    int o = kernel_param(f.k, param(DT_F64, l, true));
    store(f.k, o, 2, f.index, kx_eval(f.k, m->op, DT_F64, n, arg));
    f.k->name = arena_printf(a, "ulps_%s", op_info[m->op].name);
    Memory mem;
    memory_new(a, f.k, &mem, false);
    double *x = (double *)(mem.data[0] + SENTINEL), *y = (double *)(mem.data[n - 1] + SENTINEL);
    for (int i = 0; i < POINTS; i++) {
        x[i] = point(m);
        if (n == 2) y[i] = i % 4 ? uniform(m->ylo, m->yhi) : floor(uniform(m->ylo, m->yhi));
    }
    compile_and_call(&(Try){t, f.k, &mem, 0, 1});
    double *got = (double *)(mem.data[n] + SENTINEL), worst = 0;
    int at = 0;
    for (int i = 0; i < POINTS; i++) {
        double u = ulps(got[i], m->exact(x[i], y[i]));
        if (u > worst) worst = u, at = i;
    }
    printf("%s on %s, [%g, %g]%s: %.3f ulp at %a\n", f.k->name, t->cpu, m->lo, m->hi,
           m->log_scale ? " log2" : "", worst, x[at]);
    result(worst <= m->limit, f.k->name, "too many ulps");
}

/* ---- all ---- */

static void shapes(Arena *a, int lanes)
{
    static const DType types[] = {DT_F32, DT_F64, DT_BF16, DT_I8, DT_BOOL, DT_I64};
    for (int blocked = 0; blocked < 2; blocked++) masks(a, lanes, blocked);
    for (int over = 1; over < 4; over += 2)
        for (int tile = 1; tile < 5; tile *= 2)
            for (int io = 0; io < 2; io++)
                if (over == 1 || lanes <= 8) conv(a, lanes, over, tile, io);
    for (int i = 0; i < COUNT(types); i++) {
        shifted(a, types[i], lanes, 1, -1);
        shifted(a, types[i], lanes, 1, 5);
        shifted(a, types[i], lanes, -1, 40);
        shifted(a, types[i], lanes, 2, -3);
    }
    gathers(a, lanes);
    in_place(a, lanes);
    random_numbers(a, DT_F32, lanes);
    random_numbers(a, DT_F64, lanes);
}

static void all(void *arg)
{
    static const int lanes[] = {1, 2, 4, 8, 16};
    Arena *a = arg;
    llvm_start();
    find_targets(a);
    for (int i = 0; i < COUNT(lanes); i++) shapes(a, lanes[i]);
    for (int i = 0; i < COUNT(lanes); i += 2) {
        reductions(a, DT_F32, lanes[i], false);
        reductions(a, DT_F32, lanes[i], true);
        reductions(a, DT_F64, lanes[i], true);
        reductions(a, DT_BF16, lanes[i], false);
        reductions(a, DT_I32, lanes[i], false);
        reductions(a, DT_U8, lanes[i], false);
    }
    all_ops(a, 1);
    all_ops(a, 16);
    for (int i = 0; i < COUNT(maths); i++)
        for (int j = 0; j < ntarget; j++)
            if (j < 2 || j == ntarget - 1) math_accuracy(a, &maths[i], targets[j]);
    gpu_module(a, "sm_80");
    gpu_module(a, "sm_90");
    other_cpu(a, "aarch64");
}

int main(void)
{
    char message[512];
    setvbuf(stdout, NULL, _IOLBF, 0);
    Arena *a = arena_new();
    if (!err_guard(all, a, message, sizeof message)) result(false, "test", message);
    arena_free(a);
    printf("walk: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}

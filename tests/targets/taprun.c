/* SPDX-License-Identifier: Apache-2.0 */
#include "taprun.h"

#include "targets/llvm/emit.h"

#include <string.h>

static uint64_t random_state = 1;

static double random_unit(void)
{ /* xorshift; in [-1, 1) */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(int64_t)random_state / 9223372036854775808.0;
}

void run_same_again(void)
{
    random_state = 1;
}

/* ---- memory ---- */

void *run_buffer(Run *r, size_t bytes)
{
    char *p = arena_alloc(r->a, bytes + 128);
    return p + (64 - (uintptr_t)p % 64) % 64;
}

/* Weights to be transformed are f32 (f64), whatever they are in memory. */
static void *as_computed(Run *r, int p)
{
    int64_t n = type_count(r->type[p]);
    void *wide = arena_alloc(r->a, (size_t)(n * dtype_bytes(r->c.dtype)));
    for (int64_t i = 0; i < n; i++) elem_set(r->c.dtype, wide, i, r->dense[p][i]);
    return wide;
}

static void fill_operand(Run *r, int p)
{
    Type t = r->type[p];
    int64_t n = type_count(t);
    void *dense = arena_alloc(r->a, (size_t)type_bytes(t));
    double scale = p == P_WEIGHT ? 0.1 : 1;
    r->dense[p] = NEW_N(r->a, double, n);
    for (int64_t i = 0; i < n; i++) {
        elem_set(t.dtype, dense, i, random_unit() * scale);
        r->dense[p][i] = elem_get(t.dtype, dense, i);
    }
    layout_pack(&r->k->param[p].layout, t, dense, r->mem[p]);
    if (p == P_WEIGHT && r->k->packed_param >= 0)
        r->t->pack(r->t, &r->k->contract, &r->k->offer, as_computed(r, p), r->mem[P_PACKED]);
}

/* Scratch holds NaN: nothing may depend on it. */
static void fill_own(Run *r)
{
    if (r->k->scratch_param < 0) return;
    r->mem[P_SCRATCH] = run_buffer(r, (size_t)r->k->offer.scratch_bytes);
    r->mem[P_PACKED] = run_buffer(r, (size_t)r->k->offer.packed_bytes);
    memset(r->mem[P_SCRATCH], 0xff, (size_t)r->k->offer.scratch_bytes);
}

void run_fill(Run *r)
{
    fill_own(r);
    for (int p = 0; p < NPARAM; p++) {
        r->type[p] = case_type(&r->c, p);
        r->bytes[p] = (size_t)layout_bytes(&r->k->param[p].layout, r->k->param[p].dtype);
        r->mem[p] = run_buffer(r, r->bytes[p]);
        if (p < P_OUT) {
            fill_operand(r, p);
            continue;
        }
        r->want[p] = run_buffer(r, r->bytes[p]);
        memset(r->mem[p], 0x5a, r->bytes[p]);
        memset(r->want[p], 0x5a, r->bytes[p]);
    }
    r->table = NEW_N(r->a, int64_t, r->c.n);
    for (int64_t i = 0; i < r->c.n; i++) r->table[i] = r->c.n - 1 - i;
}

int64_t run_stride(const Run *r)
{
    Type t = r->type[P_OUT];
    return type_bytes(t) / t.dim[0];
}

/* ---- what the results should be ---- */

static const double *operand(const Run *r, int p, int64_t a, int64_t b)
{
    const Type *t = &r->type[p];
    return r->dense[p] + (a * t->dim[1] + b) * t->dim[2] * t->dim[3];
}

/* Data coordinate under a tap, or -1 where there is none. */
static int64_t meets(const Case *c, int64_t r, int64_t k, int64_t pad, int64_t extent)
{
    int64_t i = r * c->stride + k * c->dilation - pad;
    if (c->op != OP_conv) {
        i = r + pad - k * c->dilation;
        if (i < 0 || i % c->stride) return -1;
        i /= c->stride;
    }
    return i < extent ? i : -1;
}

/* Adds one data channel's part of a result. */
static double sum_taps(const Run *r, const int64_t *at, int64_t channel, double sum)
{
    bool fwd = r->c.op == OP_conv;
    const Type *t = &r->type[P_DATA];
    const double *d = operand(r, P_DATA, at[0], channel);
    int64_t groups = r->c.groups ? r->c.groups : 1, depth = t->dim[1] / groups;
    int64_t width = r->type[P_OUT].dim[1] / groups;
    if (channel / depth != at[1] / width) return sum;
    const double *w = fwd ? operand(r, P_WEIGHT, at[1], channel % depth)
                          : operand(r, P_WEIGHT, channel, at[1] % width);
    for (int64_t ky = 0; ky < r->c.kh; ky++) {
        int64_t y = meets(&r->c, at[2], ky, r->c.pad[0], t->dim[2]);
        for (int64_t kx = 0; y >= 0 && kx < r->c.kw; kx++) {
            int64_t x = meets(&r->c, at[3], kx, r->c.pad[1], t->dim[3]);
            if (x >= 0) sum += d[y * t->dim[3] + x] * w[ky * r->c.kw + kx];
        }
    }
    return sum;
}

static double define(const Run *r, const int64_t *at)
{
    double sum = 0;
    for (int64_t i = 0; i < r->type[P_DATA].dim[1]; i++) sum = sum_taps(r, at, i, sum);
    if (r->c.epilogue)
        sum += r->dense[P_BIAS][at[1]] +
               operand(r, P_RESIDUAL, at[0], at[1])[at[2] * r->type[P_OUT].dim[3] + at[3]];
    return sum;
}

static void expect_bit(Run *r, int64_t at, bool bit)
{
    unsigned char *m = r->want[P_MASK];
    if (r->k->param[P_MASK].layout.bits)
        m[at / 8] = (unsigned char)((m[at / 8] & ~(1u << at % 8)) | (unsigned)bit << at % 8);
    else
        m[at] = bit;
}

static void expect_element(Run *r, const int64_t *at)
{
    double v = define(r, at);
    int64_t to[4] = {r->c.io ? r->table[at[0]] : at[0], at[1], at[2], at[3]};
    if (r->c.epilogue) expect_bit(r, layout_address(&r->k->param[P_MASK].layout, at), v > 0);
    elem_set(r->type[P_OUT].dtype, r->want[P_OUT], layout_address(&r->k->param[P_OUT].layout, to),
             r->c.epilogue && !(v > 0) ? 0 : v);
}

void run_define(Run *r)
{
    Type t = r->type[P_OUT];
    for (int64_t i = 0; i < type_count(t); i++) {
        int64_t x = i / t.dim[3], y = x / t.dim[2];
        expect_element(r, (int64_t[]){y / t.dim[1], y % t.dim[1], x % t.dim[2], i % t.dim[3]});
    }
}

/* ---- what they are ---- */

void run_call(const Run *r, void *code, int64_t lo, int64_t hi)
{
    case_call(r->k, code, r->table, lo, hi, 0, kernel_pieces(r->k), r->mem,
              r->c.io ? run_stride(r) : 0);
}

/* As workers would that share a kernel: uneven parts, the last first; then what is empty. */
void run_shared(const Run *r, void *code)
{
    int64_t n = kernel_pieces(r->k), cut[] = {0, n / 5, n / 2, n - n / 7, n, n};
    for (int i = COUNT(cut) - 1; i-- > 0;)
        case_call(r->k, code, r->table, 0, r->c.n, cut[i], cut[i + 1], r->mem,
                  r->c.io ? run_stride(r) : 0);
}

bool run_possible(const char *cpu)
{
    if (!cpu) return true;
#if defined(__x86_64__)
    return strcmp(cpu, "haswell") ||
           (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
#else
    return false;
#endif
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions of f32 in three parts of bf16 on unusual data: numbers far apart, subnormal,
 * infinite. */
#include "thirdsrun.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double bound = 1e-6; /* of the largest result */

static void raise(double *most, double v)
{
    if (!(v <= *most)) *most = v;
}

#define SAME(n)                                                                                    \
    {                                                                                              \
        n, n, n, n                                                                                 \
    }
static const Case cases[] = {
    {.ic = 32, .oc = 32, .ih = 14, .iw = 14, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
    {.ic = 64, .oc = 16, .ih = 7, .iw = 9, .kh = 1, .kw = 1, .stride = 1},
    {.ic = 32, .oc = 48, .ih = 15, .iw = 13, .kh = 3, .kw = 3, .stride = 2, .pad = SAME(1)},
    {.ic = 128, .oc = 32, .ih = 1, .iw = 1, .kh = 3, .kw = 3, .stride = 1, .pad = SAME(1)},
};
static const char plan[] = "amxconv";

/* ---- changing data ---- */
typedef double Change(double v, int64_t i, int64_t sample);

static void change_data(Run *r, Change *to)
{
    Type t = r->type[P_DATA];
    int64_t n = type_count(t), sample = n / t.dim[0];
    float *dense = arena_alloc(r->a, (size_t)n * sizeof *dense);
    for (int64_t i = 0; i < n; i++) {
        dense[i] = (float)to(r->dense[P_DATA][i], i, i / sample);
        r->dense[P_DATA][i] = dense[i];
    }
    layout_pack(&r->k->param[P_DATA].layout, t, dense, r->mem[P_DATA]);
}

static double far_apart(double v, int64_t i, int64_t sample)
{
    (void)sample;
    return v * pow(10, (double)(i * 37 % 61) - 30);
}

static double of_a_size(double v, int64_t i, int64_t sample)
{
    (void)i;
    return v * pow(10, 30 * (double)(sample - 1));
}

static double without_some(double v, int64_t i, int64_t sample)
{
    (void)sample;
    return i % 3 ? v : 0;
}

static double subnormal_some(double v, int64_t i, int64_t sample)
{
    (void)sample;
    return i % 3 ? v : v * 1e-39;
}

static double all_subnormal(double v, int64_t i, int64_t sample)
{
    (void)i, (void)sample;
    return v * 1e-39;
}

/* To the bound for each sample by itself. */
static bool samples_right(Run *r, void *code)
{
    const float *got = r->mem[P_OUT], *want = r->want[P_OUT];
    int64_t each = (int64_t)(r->bytes[P_OUT] / sizeof *got) / r->c.n;
    bool ok = true;
    run_define(r);
    run_call(r, code, 0, r->c.n);
    for (int64_t s = 0; s < r->c.n; s++) {
        double scale = 0, most = 0;
        for (int64_t i = s * each; i < (s + 1) * each; i++) {
            scale = fmax(scale, fabs(want[i]));
            raise(&most, fabs((double)got[i] - (double)want[i]));
        }
        ok &= scale > 0 && most <= bound * scale;
    }
    return ok;
}

static void run_sizes(Run *r, void *code, const char *plan)
{
    change_data(r, far_apart);
    thirds_verdict(samples_right(r, code), "numbers far apart", &r->c, plan);
    run_fill(r);
    change_data(r, of_a_size);
    thirds_verdict(samples_right(r, code), "samples of any size", &r->c, plan);
}

/* Subnormal numbers count as 0, which is below what is lost of any other. */
static void run_subnormal(Run *r, void *code, const char *plan)
{
    const float *got = r->mem[P_OUT];
    bool zero = true;
    change_data(r, subnormal_some);
    run_call(r, code, 0, r->c.n);
    uint64_t bits = thirds_bits(r);
    thirds_clear(r);
    change_data(r, without_some);
    run_call(r, code, 0, r->c.n);
    thirds_verdict(thirds_bits(r) == bits, "subnormal numbers beside others", &r->c, plan);
    change_data(r, all_subnormal);
    run_call(r, code, 0, r->c.n);
    for (size_t i = 0; i < r->bytes[P_OUT] / sizeof *got; i++) zero &= got[i] == 0;
    thirds_verdict(zero, "subnormal numbers alone", &r->c, plan);
}

/* The pixel in the middle of sample 1, channel 5. */
enum { CHANNEL = 5 };
static double odd_one;

static bool sees(const Case *c, const int64_t *at)
{
    int64_t y = at[2] - c->ih / 2, x = at[3] - c->iw / 2;
    return at[0] == 1 && llabs(y) <= 1 && llabs(x) <= 1;
}

/* Is what sees the pixel NaN, and all else as `before`? */
static bool only_there(const Run *r, const float *before)
{
    const float *got = r->mem[P_OUT];
    Type t = r->type[P_OUT];
    bool ok = true;
    for (int64_t i = 0; i < type_count(t); i++) {
        int64_t x = i / t.dim[3], y = x / t.dim[2];
        int64_t at[] = {y / t.dim[1], y % t.dim[1], x % t.dim[2], i % t.dim[3]};
        int64_t o = layout_address(&r->k->param[P_OUT].layout, at);
        ok &= sees(&r->c, at) ? isnan(got[o]) : !memcmp(&got[o], &before[o], sizeof *got);
    }
    return ok;
}

static void set_odd_one(Run *r)
{
    int64_t at[] = {1, CHANNEL, r->c.ih / 2, r->c.iw / 2};
    float *data = r->mem[P_DATA];
    data[layout_address(&r->k->param[P_DATA].layout, at)] = (float)odd_one;
}

/* What is infinite, or becomes it when rounded to bf16, gives NaN, where the definition has
 * infinity; NaN gives NaN. Results that do not read it are what they were. */
static void run_infinite(Run *r, void *code, const char *plan)
{
    static const double odd[] = {INFINITY, -INFINITY, NAN};
    float *before = run_buffer(r, r->bytes[P_OUT]);
    run_call(r, code, 0, r->c.n);
    memcpy(before, r->mem[P_OUT], r->bytes[P_OUT]);
    for (int i = 0; i < COUNT(odd); i++) {
        thirds_clear(r);
        odd_one = odd[i];
        set_odd_one(r);
        run_call(r, code, 0, r->c.n);
        thirds_verdict(only_there(r, before), "infinity", &r->c, plan);
    }
}

static void check_unusual(Op op)
{
    for (int i = 0; i < COUNT(cases); i++) {
        Case c = thirds_case(cases[i], op);
        thirds_run(c, plan, run_sizes);
        thirds_run(c, plan, run_subnormal);
    }
    thirds_run(thirds_case(cases[0], op), plan, run_infinite);
}

int main(void)
{
    Arena *a = arena_new();
    bool runs = thirds_granted(a);
    if (runs) check_unusual(OP_conv);
    if (runs) check_unusual(OP_conv_dx);
    arena_free(a);
    return thirds_close(runs);
}

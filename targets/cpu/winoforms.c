/* SPDX-License-Identifier: Apache-2.0 */
/* The forms of Winograd's algorithm, a row each. Rows of the matrices come in pairs even +- odd.
 * Sums are additions where they can be, for which some CPUs have units beside the multiply-adds.
 *
 * F(2, 3), at the points 0, 1, -1 and infinity; its sums are so short that it errs less than the
 * direct sum does:
 *
 *        1  0 -1  0           1   0   0
 *   BT = 0  1  1  0    G =   1/2 1/2 1/2    AT = 1  1  1  0
 *        0 -1  1  0          1/2-1/2 1/2         0  1 -1 -1
 *        0  1  0 -1           0   0   1
 *
 * F(4, 3), at 0, +-a, +-b and infinity with a = 1/sqrt 2, b = sqrt 2, so that a b = 1, a^2 = 1/2,
 * b^2 = 2; its error is a quarter of that at 0, +-1, +-2:
 *
 *        1   0 -5/2  0   1   0           1    0   0
 *        0  -b  -2   a   1   0       -1/3 (1  a  1/2)            1  2   2   1    1   0
 *   BT = 0   b  -2  -a   1   0    G = -1/3 (1 -a  1/2)      AT = 0  b  -b   b   -b   0
 *        0  -a -1/2  b   1   0        1/6 (1  b   2)             0  1   1   2    2   0
 *        0   a -1/2 -b   1   0        1/6 (1 -b   2)             0  a  -a  2b  -2b  1
 *        0   1   0 -5/2  0   1           0    0   1
 *
 * (AT has twice what it has for +-a, G half of it: that is one operation less.)
 *
 * F(4, 3) of stride 2 (wino.h), at +-3/2, +-1/2 and infinity, all exact in f32. BT is that of even
 * data, and without the last row and column that of odd ones, which meet tap 1 / 6:
 *
 *        -3/8 -1/4  3/2  1   0           1/6  1/4
 *         3/8 -1/4 -3/2  1   0           1/6 -1/4               1   -1   -3    3   0
 *   BT = -9/8 -9/4  1/2  1   0    G =    1/6  1/12       AT =  3/2  3/2 -3/2 -3/2  0
 *         9/8 -9/4 -1/2  1   0           1/6 -1/12             9/4 -9/4 -3/4  3/4  0
 *         9/16  0  -5/2  0   1            0    1               27/8 27/8 -3/8 -3/8  1
 *
 * (The factors of the points are in AT, so that odd data meet the same weights at all.) At +-1 and
 * +-1/2 it would err by half as much again, at +-1 and +-2 by four times as much.
 *
 * In f32 the roots a and b are both too small by the same part, so that results would be too, by
 * 3e-8 on the average, in every layer alike. The rows of G that meet them are as much larger. */
#include "wino.h"

#include "tile.h"

#define ROOT_HALF 0.70710678118654752440
#define ROOT_TWO 1.41421356237309504880
#define LOW ((float)ROOT_HALF / ROOT_HALF) /* what f32 makes of the roots, as a part of them */

static LLVMValueRef times(Walk *w, double k, LLVMValueRef v)
{
    return LLVMBuildFMul(w->b, tile_real(v, k), v, "");
}

/* k*v + add */
static LLVMValueRef plus(Walk *w, double k, LLVMValueRef v, LLVMValueRef add)
{
    return tile_fma(w, tile_real(v, k), v, add);
}

static LLVMValueRef sum(Walk *w, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFAdd(w->b, a, b, "");
}

static LLVMValueRef difference(Walk *w, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFSub(w->b, a, b, "");
}

static void spread_2(Walk *w, const LLVMValueRef r[WINO_OUT], LLVMValueRef t[WINO_IN])
{
    t[0] = r[0];
    t[1] = sum(w, r[0], r[1]);
    t[2] = difference(w, r[0], r[1]);
    t[3] = LLVMBuildFNeg(w->b, r[1], "");
}

static void data_2(Walk *w, const LLVMValueRef d[WINO_IN], LLVMValueRef t[WINO_IN])
{
    t[0] = difference(w, d[0], d[2]);
    t[1] = sum(w, d[1], d[2]);
    t[2] = difference(w, d[2], d[1]);
    t[3] = difference(w, d[1], d[3]);
}

static void sums_2(Walk *w, const LLVMValueRef m[WINO_IN], LLVMValueRef r[WINO_OUT])
{
    r[0] = sum(w, m[0], sum(w, m[1], m[2]));
    r[1] = difference(w, difference(w, m[1], m[2]), m[3]);
}

/* even +- k*odd, by two multiply-adds or, where additions have units of their own, two of them. */
static void pair(Walk *w, LLVMValueRef even, double k, LLVMValueRef odd, LLVMValueRef t[2])
{
    if (w->target->adds) {
        odd = times(w, k, odd);
        t[0] = sum(w, even, odd);
        t[1] = difference(w, even, odd);
    } else {
        t[0] = plus(w, k, odd, even);
        t[1] = plus(w, -k, odd, even);
    }
}

static void data_4(Walk *w, const LLVMValueRef d[WINO_IN], LLVMValueRef t[WINO_IN])
{
    t[0] = plus(w, -2.5, d[2], sum(w, d[0], d[4]));
    pair(w, plus(w, -2, d[2], d[4]), ROOT_HALF, plus(w, -2, d[1], d[3]), t + 1);
    pair(w, plus(w, -0.5, d[2], d[4]), ROOT_TWO, plus(w, -0.5, d[1], d[3]), t + 3);
    t[5] = plus(w, -2.5, d[3], sum(w, d[1], d[5]));
}

static void sums_4(Walk *w, const LLVMValueRef m[WINO_IN], LLVMValueRef r[WINO_OUT])
{
    LLVMValueRef even_a = sum(w, m[1], m[2]), odd_a = difference(w, m[1], m[2]);
    LLVMValueRef even_b = sum(w, m[3], m[4]), odd_b = difference(w, m[3], m[4]);
    r[0] = plus(w, 2, even_a, sum(w, m[0], even_b));
    r[1] = times(w, ROOT_TWO, sum(w, odd_a, odd_b));
    r[2] = plus(w, 2, even_b, even_a);
    r[3] = plus(w, 2 * ROOT_TWO, odd_b, plus(w, ROOT_HALF, odd_a, m[5]));
}

static void spread_4(Walk *w, const LLVMValueRef r[WINO_OUT], LLVMValueRef t[WINO_IN])
{
    t[0] = r[0];
    pair(w, plus(w, 2, r[0], r[2]), ROOT_HALF, plus(w, 2, r[1], r[3]), t + 1);
    pair(w, plus(w, 2, r[2], r[0]), ROOT_TWO, plus(w, 2, r[3], r[1]), t + 3);
    t[5] = r[3];
}

/* What four data in a row, `by` apart, give at 3/2, -3/2, 1/2, -1/2. */
static void points_strided(Walk *w, const LLVMValueRef *d, int by, LLVMValueRef t[4])
{
    const LLVMValueRef a = d[0], b = d[by], c = d[2 * by], e = d[3 * by];
    pair(w, plus(w, -0.25, b, e), 1.5, plus(w, -0.25, a, c), t);
    pair(w, plus(w, -2.25, b, e), 0.5, plus(w, -2.25, a, c), t + 2);
}

/* What five give at infinity. */
static LLVMValueRef last_strided(Walk *w, const LLVMValueRef *d, int by)
{
    return plus(w, 0.5625, d[0], plus(w, -2.5, d[2 * by], d[4 * by]));
}

static void data_strided(Walk *w, const LLVMValueRef d[WINO_IN], LLVMValueRef t[WINO_IN])
{
    for (int odd = 0; odd < 2; odd++) {
        LLVMValueRef at[4];
        points_strided(w, d + odd, 2, at);
        for (int i = 0; i < 4; i++) t[2 * i + odd] = at[i];
    }
    t[8] = last_strided(w, d, 2);
}

static void data_spread(Walk *w, const LLVMValueRef d[WINO_IN], LLVMValueRef t[WINO_IN])
{
    points_strided(w, d, 1, t);
    t[4] = last_strided(w, d, 1);
}

/* Even results of a gradient have no product at infinity. */
static void sums_strided(Walk *w, const LLVMValueRef m[WINO_IN], LLVMValueRef r[WINO_OUT])
{
    LLVMValueRef even = difference(w, m[0], m[1]), odd = sum(w, m[0], m[1]);
    LLVMValueRef even_half = difference(w, m[2], m[3]), odd_half = sum(w, m[2], m[3]);
    r[0] = plus(w, -3, even_half, even);
    r[1] = times(w, 1.5, difference(w, odd, odd_half));
    r[2] = plus(w, 2.25, even, times(w, -0.75, even_half));
    r[3] = plus(w, -0.375, odd_half, m[4] ? plus(w, 3.375, odd, m[4]) : times(w, 3.375, odd));
}

#define STRIDED_G                                                                                  \
    {                                                                                              \
        {1 / 6.0, 0, 1 / 4.0}, {1 / 6.0, 0, -1 / 4.0}, {1 / 6.0, 0, 1 / 12.0},                     \
            {1 / 6.0, 0, -1 / 12.0}, {0, 0, 1}, {0, 1 / 6.0, 0},                                   \
    }

/* Errors are of test_winograd and test_winodw; cycles of a Zen 4. */
const WinoForm wino_forms[WINO_FORMS] = {
    {.name = "F(4,3)",
     .out = 4,
     .stride = 1,
     .parts = 2,
     .error = 3e-6,
     .data_cycles = 140,
     .sums_cycles = 140,
     .spread_cycles = 90,
     .data = data_4,
     .sums = sums_4,
     .spread = spread_4,
     .g = {{1, 0, 0},
           {-1 / 3.0 / LOW, -1 / 3.0 * ROOT_HALF / LOW, -1 / 6.0 / LOW},
           {-1 / 3.0 / LOW, 1 / 3.0 * ROOT_HALF / LOW, -1 / 6.0 / LOW},
           {1 / 6.0 / LOW, ROOT_TWO / 6 / LOW, 1 / 3.0 / LOW},
           {1 / 6.0 / LOW, -ROOT_TWO / 6 / LOW, 1 / 3.0 / LOW},
           {0, 0, 1}}},
    {.name = "F(2,3)",
     .out = 2,
     .stride = 1,
     .parts = 2,
     .error = 1e-6,
     .data_cycles = 55,
     .sums_cycles = 45,
     .spread_cycles = 35,
     .data = data_2,
     .sums = sums_2,
     .spread = spread_2,
     .g = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}}},
    {.name = "F(4,3) of stride 2",
     .out = 4,
     .stride = 2,
     .parts = 5,
     .error = 3e-6,
     .data_cycles = 450,
     .sums_cycles = 200,
     .data = data_strided,
     .sums = sums_strided,
     .g = STRIDED_G},
    {.name = "F(4,3) of the gradient of stride 2",
     .out = 4,
     .stride = 2,
     .dx = true,
     .parts = 2,
     .error = 3e-6,
     .data_cycles = 150,
     .sums_cycles = 550,
     .data = data_spread,
     .sums = sums_strided,
     .g = STRIDED_G},
};

WinoRows wino_rows(const WinoForm *f, int parts, int part)
{
    int in = wino_in(f);
    WinoRows r = {.n = in / parts};
    for (int i = 0; i < r.n; i++) r.at[i] = part * r.n + i;
    if (in == 6 && parts == 3) {
        r.at[0] = part ? 2 * part - 1 : 0;
        r.at[1] = part ? 2 * part : in - 1;
    }
    if (f->stride == 2 && !f->dx) { /* pairs of even data, of odd, and the last row */
        r.n = part == parts - 1 ? 1 : 2;
        r.at[0] = part / 2 * 4 + part % 2;
        r.at[1] = r.at[0] + 2;
    }
    if (f->stride == 2 && f->dx && part == parts - 1) r.at[r.n++] = in - 1;
    return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The transforms of F(4, 3) at the points 0, +-a, +-b, infinity with a = 1/sqrt 2, b = sqrt 2, so
 * that a b = 1, a^2 = 1/2, b^2 = 2:
 *
 *        1   0 -5/2  0   1   0           1    0   0
 *        0  -b  -2   a   1   0       -2/3 (1  a  1/2)            1  1   1   1    1   0
 *   BT = 0   b  -2  -a   1   0    G = -2/3 (1 -a  1/2)      AT = 0  a  -a   b   -b   0
 *        0  -a -1/2  b   1   0        1/6 (1  b   2)             0 1/2 1/2  2    2   0
 *        0   a -1/2 -b   1   0        1/6 (1 -b   2)             0 a/2 -a/2 2b  -2b  1
 *        0   1   0 -5/2  0   1           0    0   1
 *
 * Rows come in pairs even +- odd. Sums are additions where they can be: these have units of their
 * own beside the multiply-adds. */
#include "wino.h"

#include "tile.h"

#include <string.h>

enum { MOST_LANES = 64 };
#define ROOT_HALF 0.70710678118654752440
#define ROOT_TWO 1.41421356237309504880

/* ---- along one axis ---- */
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

void wino_data(Walk *w, const LLVMValueRef d[WINO_IN], LLVMValueRef t[WINO_IN])
{
    LLVMValueRef even_a = plus(w, -2, d[2], d[4]), even_b = plus(w, -0.5, d[2], d[4]);
    LLVMValueRef odd_a = plus(w, -ROOT_TWO, d[1], times(w, ROOT_HALF, d[3]));
    LLVMValueRef odd_b = plus(w, -ROOT_HALF, d[1], times(w, ROOT_TWO, d[3]));
    t[0] = plus(w, -2.5, d[2], sum(w, d[0], d[4]));
    t[1] = sum(w, even_a, odd_a);
    t[2] = difference(w, even_a, odd_a);
    t[3] = sum(w, even_b, odd_b);
    t[4] = difference(w, even_b, odd_b);
    t[5] = plus(w, -2.5, d[3], sum(w, d[1], d[5]));
}

void wino_sums(Walk *w, const LLVMValueRef m[WINO_IN], LLVMValueRef r[WINO_OUT])
{
    LLVMValueRef even_a = sum(w, m[1], m[2]), odd_a = difference(w, m[1], m[2]);
    LLVMValueRef even_b = sum(w, m[3], m[4]), odd_b = difference(w, m[3], m[4]);
    r[0] = sum(w, sum(w, m[0], even_a), even_b);
    r[1] = plus(w, ROOT_TWO, odd_b, times(w, ROOT_HALF, odd_a));
    r[2] = plus(w, 2, even_b, times(w, 0.5, even_a));
    r[3] = plus(w, 2 * ROOT_TWO, odd_b, plus(w, ROOT_HALF / 2, odd_a, m[5]));
}

/* ---- weights, at compile time ---- */
static const double G[WINO_IN][WINO_TAPS] = {
    {1, 0, 0},
    {-2 / 3.0, -2 / 3.0 * ROOT_HALF, -1 / 3.0},
    {-2 / 3.0, 2 / 3.0 * ROOT_HALF, -1 / 3.0},
    {1 / 6.0, ROOT_TWO / 6, 1 / 3.0},
    {1 / 6.0, -ROOT_TWO / 6, 1 / 3.0},
    {0, 0, 1},
};

/* u = G g GT; g is the kernel as a correlation reads it. */
static void transform_kernel(double g[WINO_TAPS][WINO_TAPS], double u[WINO_IN][WINO_IN])
{
    for (int i = 0; i < WINO_IN; i++) {
        double half[WINO_TAPS];
        for (int x = 0; x < WINO_TAPS; x++)
            half[x] = G[i][0] * g[0][x] + G[i][1] * g[1][x] + G[i][2] * g[2][x];
        for (int j = 0; j < WINO_IN; j++)
            u[i][j] = half[0] * G[j][0] + half[1] * G[j][1] + half[2] * G[j][2];
    }
}

/* Kernel of a result and a data channel; conv_dx correlates with it turned round. */
static void read_kernel(const TapShape *s, const float *dense, int64_t result, int64_t data,
                        double g[WINO_TAPS][WINO_TAPS])
{
    int64_t oc = s->dx ? data : result, ic = s->dx ? result : data;
    const float *k = dense + (oc * (s->dx ? s->result_ch : s->data_ch) + ic) * 9;
    for (int i = 0; i < WINO_TAPS * WINO_TAPS; i++)
        g[i / WINO_TAPS][i % WINO_TAPS] = k[s->dx ? WINO_TAPS * WINO_TAPS - 1 - i : i];
}

/* The kernels of one data channel and a block of result channels. The planes lie far apart, so
 * each gets its block of cells at once. */
static void pack_block(const TapShape *s, int lanes, const float *dense, int64_t result,
                       int64_t data, float *to)
{
    float block[WINO_PLANES][MOST_LANES];
    for (int l = 0; l < lanes; l++) {
        double g[WINO_TAPS][WINO_TAPS], u[WINO_IN][WINO_IN];
        read_kernel(s, dense, result + l, data, g);
        transform_kernel(g, u);
        for (int i = 0; i < WINO_PLANES; i++) block[i][l] = (float)u[i / WINO_IN][i % WINO_IN];
    }
    for (int i = 0; i < WINO_PLANES; i++)
        memcpy(to + i * s->result_ch * s->data_ch, block[i], sizeof(float) * (size_t)lanes);
}

/* [plane] [result / VC] [data] [VC of the result channels] */
void winograd_pack(const Target *t, const Contract *c, const Offer *o, const void *dense,
                   void *packed)
{
    TapShape s;
    (void)t;
    check(tap_shape(c, &s) && o->lanes <= MOST_LANES);
    int64_t group = o->lanes * o->number[WINO_BLOCKS];
    for (int64_t r = 0; r < s.result_ch; r += o->lanes)
        for (int64_t d = 0; d < s.data_ch; d++) {
            float *to = (float *)packed + (r / group * s.data_ch + d) * group + r % group;
            pack_block(&s, o->lanes, dense, r, d, to);
        }
}

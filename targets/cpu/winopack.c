/* SPDX-License-Identifier: Apache-2.0 */
/* Weights of winograd.c, transformed when the model is compiled. */
#include "wino.h"

#include <string.h>

enum { MOST_LANES = 64 };

/* u = G g GT; g is the kernel as a correlation reads it. */
static void transform_kernel(const WinoForm *f, double g[WINO_TAPS][WINO_TAPS],
                             double u[WINO_KERNEL][WINO_KERNEL])
{
    int in = wino_kernel(f);
    for (int i = 0; i < in; i++) {
        double half[WINO_TAPS];
        for (int x = 0; x < WINO_TAPS; x++)
            half[x] = f->g[i][0] * g[0][x] + f->g[i][1] * g[1][x] + f->g[i][2] * g[2][x];
        for (int j = 0; j < in; j++)
            u[i][j] = half[0] * f->g[j][0] + half[1] * f->g[j][1] + half[2] * f->g[j][2];
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
static void pack_block(const TapShape *s, const WinoForm *f, int lanes, const float *dense,
                       int64_t result, int64_t data, float *to)
{
    int in = wino_kernel(f);
    float block[WINO_PLANES][MOST_LANES];
    for (int l = 0; l < lanes; l++) {
        double g[WINO_TAPS][WINO_TAPS], u[WINO_KERNEL][WINO_KERNEL];
        read_kernel(s, dense, result + l, data, g);
        transform_kernel(f, g, u);
        for (int i = 0; i < in * in; i++) block[i][l] = (float)u[i / in][i % in];
    }
    for (int i = 0; i < in * in; i++)
        memcpy(to + i * s->result_ch * s->data_ch, block[i], sizeof(float) * (size_t)lanes);
}

/* [plane] [result / VC] [data] [VC of the result channels] */
void winograd_pack(const Target *t, const Contract *c, const Offer *o, const void *dense,
                   void *packed)
{
    TapShape s;
    (void)t;
    check(tap_shape(c, &s) && o->lanes <= MOST_LANES);
    const WinoForm *f = &wino_forms[o->number[WINO_FORM]];
    int64_t group = o->lanes * o->number[WINO_BLOCKS];
    for (int64_t r = 0; r < s.result_ch; r += o->lanes)
        for (int64_t d = 0; d < s.data_ch; d++) {
            float *to = (float *)packed + (r / group * s.data_ch + d) * group + r % group;
            pack_block(&s, f, o->lanes, dense, r, d, to);
        }
}

void winograd_transform(const Target *t, const Contract *c, const Offer *o, double *matrix)
{
    const WinoForm *f = &wino_forms[o->number[WINO_FORM]];
    (void)t;
    for (int p = 0; p < wino_planes(f); p++)
        for (int i = 0; i < WINO_TAPS * WINO_TAPS; i++) {
            int tap = c->op == OP_conv_dx ? WINO_TAPS * WINO_TAPS - 1 - i : i;
            matrix[p * WINO_TAPS * WINO_TAPS + tap] =
                f->g[p / wino_kernel(f)][i / WINO_TAPS] * f->g[p % wino_kernel(f)][i % WINO_TAPS];
        }
}

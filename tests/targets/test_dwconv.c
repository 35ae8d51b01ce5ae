/* SPDX-License-Identifier: Apache-2.0 */
/* The direct claim on gradients in weights: shapes, strides, dilations, halos, element types and
 * CPU rows against the definition in double. An f32 result may be off by 1e-6 of the largest one. */
#include "dwrun.h"

#include <stdio.h>

#define SAME(n)                                                                                    \
    {                                                                                              \
        n, n, n, n                                                                                 \
    }
#define DEPTHWISE(count, channels, height, width, size, by, pads)                                  \
    {                                                                                              \
        .n = count, .ic = channels, .oc = channels, .ih = height, .iw = width, .kh = size,         \
        .kw = size, .stride = by, .pad = SAME(pads), .groups = channels                            \
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
    DEPTHWISE(3, 48, 14, 14, 3, 1, 1),
    DEPTHWISE(2, 32, 28, 19, 3, 2, 1),
    DEPTHWISE(5, 16, 7, 9, 5, 1, 2),
    DEPTHWISE(2, 64, 15, 12, 5, 2, 2),
    DEPTHWISE(9, 32, 4, 4, 3, 1, 1),
    DEPTHWISE(3, 16, 6, 7, 1, 1, 0),
};

int main(void)
{
    static const char *const row[] = {NULL, "haswell", "x86-64"};
    DwCount n[2] = {{0}, {0}}; /* of f32, f64 */
    Arena *a = arena_new();
    for (int i = 0; i < COUNT(row); i++) {
        if (!run_possible(row[i])) continue;
        Target t = *target_find(a, NULL, row[i]);
        t.winograd = false;
        for (int j = 0; j < 2 * COUNT(cases); j++) {
            bool wide = j % 2;
            Dw d = {.c = cases[j / 2], .claim = "dwconv", .t = &t, .allowed = wide ? 1e-14 : 1e-6};
            d.c.op = OP_conv_dw;
            d.c.dtype = wide ? DT_F64 : DT_F32;
            dw_one(d, &n[wide]);
            d.c.halo = 2;
            if (i == 0) dw_one(d, &n[wide]);
        }
    }
    int claims = n[0].claims + n[1].claims, wrong = n[0].wrong + n[1].wrong;
    printf("dwconv: %d claims, %d wrong, f32 off by at most %.2g\n", claims, wrong, n[0].worst);
    arena_free(a);
    return wrong > 0 || claims < 2 * COUNT(cases);
}

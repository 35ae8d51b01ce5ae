/* SPDX-License-Identifier: Apache-2.0 */
/* Geometry of tap convolutions. conv and conv_dx are one thing seen along a spatial axis:
 *
 *   result[first + i*step] = sum over t < taps of
 *                            data[in0 + i*in_point + t*in_tap] * w[k0 + t*k_tap]
 *
 * A forward convolution has one such class of results an axis; the gradient of one with stride s
 * has s classes (results of equal remainder modulo s), each a dense convolution of the taps that
 * meet it. Data coordinates outside the value read a zero halo, so no tap need be left out; tiles
 * of one row leave out those of which they read nothing else. */
#ifndef ADJ_TARGETS_CPU_TAPGEOM_H
#define ADJ_TARGETS_CPU_TAPGEOM_H

#include "ir/kernel.h"

typedef struct TapAxis {
    int64_t points, first, step; /* results of this class; points and taps may be 0 */
    int64_t taps, k0, k_tap;
    int64_t in0, in_point, in_tap; /* in_tap is negative for conv_dx */
} TapAxis;

typedef struct TapShape { /* a contract by roles: data and result instead of x and y */
    bool dx;
    int64_t data_ch, result_ch, groups; /* a group's data make a group's results */
    int64_t data[2], result[2], kernel[2], stride[2], pad[2], dilation[2]; /* rows, columns */
    int data_dim, result_dim; /* dimensions of the weight that hold these channels */
} TapShape;

bool tap_shape(const Contract *, TapShape *);      /* false: another op */
static inline int64_t tap_depth(const TapShape *s) /* data channels that a result sums over */
{
    return s->data_ch / s->groups;
}
static inline int64_t tap_width(const TapShape *s) /* result channels of a group */
{
    return s->result_ch / s->groups;
}
Type tap_data(const Contract *, const TapShape *);
Type tap_result(const Contract *, const TapShape *);
int64_t tap_classes(const TapShape *, int axis);
TapAxis tap_axis(const TapShape *, int axis, int64_t class);
/* Of the taps of an axis along `extent` data those that find some at one of `tall` points from
 * `first` on; the others find but halo there. */
void tap_met(const TapAxis *, int64_t extent, int64_t first, int64_t tall, int64_t *from,
             int64_t *to);
/* Whether tiles of so many points may leave out taps: some have less to do, each has something. */
bool tap_skips(const TapAxis *, int64_t extent, int64_t tall);
/* One point is all there is of a map: of a matrix product, whose rows are samples. */
bool tap_is_product(const TapShape *);
/* Least halo of the data: rows, then columns. */
void tap_halo(const TapShape *, int64_t low[2], int64_t high[2]);

int layout_find(const Layout *, int dim, int64_t div);  /* position of the digit, or -1 */
int layout_digit(const Layout *, int dim, int64_t div); /* die()s if there is none */
/* Appends a digit of the given extent, without halo. */
void layout_push(Layout *, int dim, int64_t div, int64_t extent);

#endif

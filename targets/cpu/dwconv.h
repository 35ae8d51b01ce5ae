/* SPDX-License-Identifier: Apache-2.0 */
/* The gradient of a convolution in its weights, claimed:
 *
 *   dw[o, i, ky, kx] = sum over n, y, x of dy[n, o, y, x] * x[n, i, y*sh + ky*dh - ph, x*sw + ..]
 *
 * Lanes are channels of one operand, x where its channels fill vectors and else dy; of the other
 * one a scalar at a time is broadcast. A tile is `s` scalar channels by `taps` columns of the
 * kernel by `c` vectors of channels, all in registers while a chunk of pixels runs by.
 *
 * With one channel a group lanes are channels of both, and a tile is `taps` by `c` vectors. */
#ifndef ADJ_TARGETS_CPU_DWCONV_H
#define ADJ_TARGETS_CPU_DWCONV_H

#include "tapgeom.h"

#include "targets/llvm/walk.h"

/* Row of claims.c. */
bool dwconv_offer(const Target *, const Contract *, Offer *);
void dwconv_emit(Walk *);
int64_t dwconv_pieces(const Kernel *);
bool dwconv_fit(const Target *, const Contract *, Offer *, char *why);
extern const PlanField dwconv_fields[];

/* dwplan.c */
typedef struct DwPlan {
    bool lanes_x;         /* lanes are channels of x, else of dy or of both */
    int64_t s, taps, c;   /* the tile; each divides what it is a part of */
    int64_t rows, images; /* most of a chunk; several images only if all rows are in it */
    double cost;          /* cycles for the whole batch */
} DwPlan;
static inline bool dw_depthwise(const Contract *c)
{
    return c->groups > 1 && c->groups == c->ic && c->groups == c->oc;
}
/* false: neither operand's channels fill vectors. */
bool dw_plan(const Target *, const Contract *, DwPlan *);
/* Chooses what is below 0; false: the numbers do not go together. */
bool dw_plan_fit(const Target *, const Contract *, DwPlan *, char *why);
int64_t dw_unit(const DwPlan *, const Contract *, int lanes); /* scalar channels that s divides */

#endif

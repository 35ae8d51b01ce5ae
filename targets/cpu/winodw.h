/* SPDX-License-Identifier: Apache-2.0 */
/* conv_dw of 3x3 kernels and stride 1 by Winograd's algorithm, the third face of the same trilinear
 * form (wino.h): for a tile of m x m of dy and the patch d of x that it meets,
 *
 *   dw = GT [ sum over tiles of (BT d B) * (A dy AT) ] G
 *
 * A plane of the sum is a matrix product over tiles, x channels by dy channels, and only the whole
 * sum is transformed. */
#ifndef ADJ_TARGETS_CPU_WINODW_H
#define ADJ_TARGETS_CPU_WINODW_H

#include "wino.h"

/* Row of claims.c. */
bool winodw_offer(const Target *, const Contract *, Offer *);
bool winodw_fit(const Target *, const Contract *, Offer *, char *why);
extern const PlanField winodw_fields[];
void winodw_emit(Walk *);
int64_t winodw_pieces(const Kernel *);

/* winodwplan.c */
enum { WINODW_PARTS = 3 }; /* at most */
typedef struct WinoDwPlan {
    int64_t s, c;   /* register tile of the products: s channels of dy by c vectors of x's */
    int64_t xs, ys; /* a slab: blocks of x's channels by blocks of dy's, see below */
    int64_t block;  /* tiles whose products are summed before they are added to the sum */
    int64_t form;   /* of wino_forms */
    int64_t parts;  /* of the planes, one after the other: wino_rows */
} WinoDwPlan;

/* Pieces are register tiles: in groups of c blocks of x's channels, parts of s of dy's. A slab goes
 * over all tiles before the next one, so that its sums stay in the L2 cache. Its pieces are
 * neighbours, group by group. */
typedef struct WinoDwShape {
    int64_t groups, parts; /* of a slab */
    int64_t slab;          /* pieces of it */
    int64_t across, down;  /* slabs along x's channels, which come first, and dy's */
} WinoDwShape;
WinoDwShape winodw_shape(const TapShape *, const WinoDwPlan *, int lanes);
/* Blocks that go through one part of the planes before its next: short ones, all that there are at
 * most. Their sums are kept apart, since an element's error grows with how many are added. */
int64_t winodw_run(const WinoDwPlan *, int64_t tiles);
/* Whether a block of tiles, its part of the planes and their sums stay in the nearest cache. */
bool winodw_near(const Target *, const WinoDwPlan *, int lanes);
/* Neighbouring pieces whose products are made together by who has them all: where vectors of x are
 * few, each is loaded for more scalars, and more sums hide the latency. */
int64_t winodw_joint(const Target *, const WinoDwPlan *, int lanes);

/* false: no tile fits, or the direct sum is better. */
bool winodw_plan(const Target *, const Contract *, const TapShape *, WinoDwPlan *, double *cost);
/* Completes a plan of which some numbers are given, others below 0; false: why it cannot be. */
bool winodw_plan_fit(const Target *, const Contract *, const TapShape *, WinoDwPlan *, double *cost,
                     char *why);

#endif

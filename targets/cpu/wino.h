/* SPDX-License-Identifier: Apache-2.0 */
/* Winograd's F(4x4, 3x3): a tile of 4x4 results is AT [(G g GT) * (BT d B)] A, where d is the 6x6
 * patch of data under it, g the 3x3 kernel, * the product of matching entries ("planes"). Summed
 * over data channels, a plane is a matrix product: 36 multiply-adds a tile and channel pair, not
 * 144. The points are 0, +-1/sqrt 2, +-sqrt 2 and infinity, whose error is a quarter of that of
 * 0, +-1, +-2. After A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks",
 * CVPR 2016, section 4. */
#ifndef ADJ_TARGETS_CPU_WINO_H
#define ADJ_TARGETS_CPU_WINO_H

#include "tapgeom.h"

#include "targets/llvm/walk.h"

enum { WINO_OUT = 4, WINO_TAPS = 3, WINO_IN = 6, WINO_PLANES = WINO_IN * WINO_IN };
enum { WINO_TILES, WINO_BLOCKS, WINO_BLOCK, WINO_UNROLL }; /* Offer.number: WinoPlan's fields */

/* Row of claims.c. */
bool winograd_offer(const Target *, const Contract *, Offer *);
void winograd_emit(Walk *);
void winograd_pack(const Target *, const Contract *, const Offer *, const void *dense,
                   void *packed);

/* winomath.c: the transforms along one axis. */
void wino_data(Walk *, const LLVMValueRef d[WINO_IN], LLVMValueRef t[WINO_IN]);  /* t = BT d */
void wino_sums(Walk *, const LLVMValueRef m[WINO_IN], LLVMValueRef r[WINO_OUT]); /* r = AT m */

/* winoplan.c: a block of tiles goes through all three stages before the next. */
typedef struct WinoPlan {
    int64_t t, c;   /* register tile of the products: t tiles by c blocks of result channels */
    int64_t block;  /* tiles of a block, a multiple of t */
    int64_t unroll; /* k-steps in a basic block */
} WinoPlan;
/* false: no tile fits, or direct convolution is better. The answer does not depend on the batch:
 * a sample's bits must not. */
bool wino_plan(const Target *, const Contract *, const TapShape *, WinoPlan *, double *cost);
void wino_tiles(const TapShape *, int64_t tiles[2]); /* of a sample: rows, columns */

#endif

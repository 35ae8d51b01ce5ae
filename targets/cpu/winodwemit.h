/* SPDX-License-Identifier: Apache-2.0 */
/* What the stages of winodw.c share. */
#ifndef ADJ_TARGETS_CPU_WINODWEMIT_H
#define ADJ_TARGETS_CPU_WINODWEMIT_H

#include "winodw.h"
#include "winoemit.h"

/* What a run of pieces of a slab needs, counted within it. Memory begins with the first of each. */
typedef struct WinoReach {
    Slice pieces, groups;
    Slice x, y; /* blocks of channels */
} WinoReach;

typedef struct WinoDw {
    WinoEmit e; /* of the forward convolution; its data are x */
    WinoDwPlan p;
    WinoDwShape shape;
    WinoPatches y;
    int64_t tiles, sum_planes, sum_plane; /* tiles in all; sums in the scratch, in elements */
    int64_t run, kept_planes;             /* blocks of a run; its sums, of a part of the planes */
    bool near;                            /* what is transformed stays in the nearest cache */
    int part;                             /* the one at hand; each has stages of its own: */
    Tile data[WINODW_PARTS], spread[WINODW_PARTS], products[WINODW_PARTS], taps;
    WinoReach at;        /* the slab at hand */
    LLVMValueRef x0, y0; /* its first blocks of channels */
} WinoDw;

enum { A_OC, A_IC, A_KY, A_KX }; /* kernel axes; then A_LANE */

WinoReach winodw_reach(const WinoDw *, Walk *, Slice pieces);
Tile winodw_product_stage(const WinoDw *); /* winodwproduct.c */
Tile winodw_tap_stage(const WinoDw *);     /* winodwsums.c */

#endif

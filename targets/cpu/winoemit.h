/* SPDX-License-Identifier: Apache-2.0 */
/* What the stages of winograd.c share. */
#ifndef ADJ_TARGETS_CPU_WINOEMIT_H
#define ADJ_TARGETS_CPU_WINOEMIT_H

#include "tile.h"
#include "wino.h"

enum { S_FIRST, S_COUNT, S_GROUP, S_GROUPS };     /* Tile.scalar: tiles of the block; groups */
enum { A_SAMPLE, A_BLOCK, A_ROW, A_COL, A_LANE }; /* kernel axes */

typedef struct WinoEmit {
    Walk *w; /* the kernel's function; stages have their own */
    TapShape s;
    WinoPlan p;
    const WinoForm *f;
    int axis[MAX_CLAIM_AXES], lanes, bytes; /* bytes of a vector */
    int64_t tiles[2];
    LLVMTypeRef elem, vec;
    int64_t in_block, in_row, in_col, in_first[2]; /* strides in elements; first row and column */
    int64_t data_plane, result_plane;
    bool fetches; /* weights ahead of the products that read them */
    Tile data, products, sums;
    Slice tiles_at, groups_at; /* the part at hand: tiles, groups of c channel blocks */
} WinoEmit;

typedef struct WinoPlace {
    LLVMValueRef n, row, col; /* sample; row and column of tiles */
} WinoPlace;

WinoPlace wino_place(const WinoEmit *, Walk *, LLVMValueRef tile);
/* Scratch: [plane] [channel / V] [tile of block] [V], transformed data and products. */
LLVMValueRef wino_data_planes(const WinoEmit *, Walk *);
LLVMValueRef wino_result_planes(const WinoEmit *, Walk *);
LLVMValueRef wino_load(const WinoEmit *, Walk *, LLVMValueRef at);
void wino_store(const WinoEmit *, Walk *, LLVMValueRef at, LLVMValueRef);

/* The stages: functions of a block of tiles. */
Tile wino_data_stage(const WinoEmit *);    /* winodata.c */
Tile wino_product_stage(const WinoEmit *); /* winoproduct.c */
Tile wino_sum_stage(const WinoEmit *);     /* winosums.c */

#endif

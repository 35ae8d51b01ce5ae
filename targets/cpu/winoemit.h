/* SPDX-License-Identifier: Apache-2.0 */
/* What the stages of winograd.c share. */
#ifndef ADJ_TARGETS_CPU_WINOEMIT_H
#define ADJ_TARGETS_CPU_WINOEMIT_H

#include "tile.h"
#include "wino.h"

enum { S_FIRST, S_COUNT, S_GROUP, S_GROUPS };     /* Tile.scalar: tiles of the block; groups */
enum { A_SAMPLE, A_BLOCK, A_ROW, A_COL, A_LANE }; /* kernel axes */

enum { ALL_PARTS = -1 };

/* A value that is read in patches, and where their transforms go in the scratch. */
typedef struct WinoPatches {
    int param, size;         /* elements of a patch along an axis */
    int64_t block, row, col; /* strides in elements */
    int64_t first[2];        /* row and column of the first patch, halo counted */
    int64_t blocks;          /* of channels; 0: a part of them, from S_GROUP to S_GROUPS */
    int64_t planes, plane;   /* the first and the way to the next, in elements */
    WinoLine *line;          /* size elements to wino_in of them */
    int parts, part;         /* in which a transform is made; the only one to make, or ALL_PARTS */
    bool near;               /* planes are in the nearest cache when they are written */
    bool far;                /* not in the L2 cache when it is read */
} WinoPatches;

typedef struct WinoEmit {
    Walk *w; /* the kernel's function; stages have their own */
    TapShape s;
    WinoPlan p;
    const WinoForm *f;
    int axis[MAX_CLAIM_AXES], lanes, bytes; /* bytes of a vector */
    int64_t tiles[2];
    LLVMTypeRef elem, vec;
    WinoPatches in;
    int64_t result_plane;
    int64_t wait; /* element of the scratch: results of a tile that wait to be stored */
    bool fetches; /* weights ahead of the products that read them */
    Tile data, products, sums;
    Slice tiles_at, groups_at; /* the part at hand: tiles, groups of c channel blocks */
} WinoEmit;

typedef struct WinoPlace {
    LLVMValueRef n, row, col; /* sample; row and column of tiles */
} WinoPlace;

/* What stages know of a kernel whose data_param is read in patches. */
WinoEmit wino_emit(Walk *, const TapShape *, const WinoPlan *);
/* Where a parameter's values lie; its patches begin at the logical row and column `first`. */
WinoPatches wino_patches(const WinoEmit *, int param, const int64_t first[2]);
WinoPlace wino_place(const WinoEmit *, Walk *, LLVMValueRef tile);
/* Scratch: [plane] [channel / V] [tile of block] [V], transformed data and products. */
LLVMValueRef wino_scratch(const WinoEmit *, Walk *, int64_t element);
LLVMValueRef wino_data_planes(const WinoEmit *, Walk *);
LLVMValueRef wino_result_planes(const WinoEmit *, Walk *);
LLVMValueRef wino_results(const WinoEmit *, Walk *); /* of a tile, where they wait */
LLVMValueRef wino_load(const WinoEmit *, Walk *, LLVMValueRef at);
void wino_store(const WinoEmit *, Walk *, LLVMValueRef at, LLVMValueRef);

/* The stages: functions of a block of tiles. */
Tile wino_data_stage(const WinoEmit *, const WinoPatches *, const char *name); /* winodata.c */
Tile wino_product_stage(const WinoEmit *);                                     /* winoproduct.c */
Tile wino_sum_stage(const WinoEmit *);                                         /* winosums.c */

#endif

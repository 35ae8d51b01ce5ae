/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that emit amxconv know of each other: the loops (amxconv.c) and the functions they
 * call (amxtile.c). */
#ifndef ADJ_TARGETS_CPU_AMXEMIT_H
#define ADJ_TARGETS_CPU_AMXEMIT_H

#include "amxconv.h"
#include "amxplan.h"
#include "tile.h"

enum { A_SAMPLE, A_BLOCK, A_ROW, A_COL, A_LANE }; /* kernel axes */
/* Tile.scalar of a call (which block and which call of it: unit), and of a copy. A slot is an
 * element of the scratch, where a sample's copy begins. */
enum { S_SAMPLE, S_GROUP, S_UNIT, S_SLOT, S_BLOCK = S_UNIT };

typedef struct AmxEmit {
    Walk *w; /* the kernel's function; tiles have their own */
    TapShape s;
    AmxPlan p;
    AmxClass c; /* the class at hand */
    int axis[MAX_CLAIM_AXES];
    int64_t depth;
    bool fetches;                                /* weights of the next group of results */
    LLVMTypeRef elem;                            /* bf16 in memory */
    int64_t in_block, in_row, in_col, in_low[2]; /* of the data, in elements */
    int64_t wt_tile, wt_tap, wt_channels, wt_group;
    /* loops around the tiles */
    LLVMValueRef from, to; /* samples whose copies wait together */
    LLVMValueRef n, block, group;
    Slice pieces, groups;
    Tile copy, wide, narrow; /* calls of p.t tiles of points, and of the rest */
    const Tile *tile;
} AmxEmit;

/* Tile registers by number: the sums, points by blocks of results, then weights, then data. */
int64_t amx_sum_tile(const AmxEmit *, int64_t t, int64_t j);
int64_t amx_weight_tile(const AmxEmit *, int64_t j);
int64_t amx_data_tile(const AmxEmit *, int64_t t); /* as many as are left take turns */

Tile amx_copy(const AmxEmit *);
Tile amx_call(const AmxEmit *, int64_t tiles);
void amx_configure(const AmxEmit *); /* the tile registers, for the class at hand */
/* Scratch: sums of a call, weights in parts, then copies. */
int64_t amx_sum_bytes(void);
LLVMValueRef amx_slot_at(const AmxEmit *, Tile *);
/* Row 0 and column 0 of what a block of results reads, without halo. */
LLVMValueRef amx_block_data(const AmxEmit *, Tile *, LLVMValueRef block);

/* In three parts: amxthirds.c. */
Layout amx_third_layout(const TapShape *); /* of the weights that are packed */
void amx_pack_thirds(const TapShape *, int64_t c, const float *dense, uint16_t *to);
void amx_third_places(AmxEmit *);
void amx_split_cell(const AmxEmit *, Walk *, LLVMValueRef from, LLVMValueRef to);
/* The products of a tap. */
void amx_third_products(const AmxEmit *, Walk *, int64_t tiles, LLVMValueRef in, LLVMValueRef wt);

/* In parts: amxparts.c. */
Layout amx_part_weights(const TapShape *, int64_t c);
void amx_part_halo(const TapShape *, int64_t high[2]); /* raises it to the pixels of a copy */
void amx_part_places(AmxEmit *);
void amx_split_weights(const AmxEmit *);
Tile amx_split(const AmxEmit *);                    /* copies a sample's data */
LLVMValueRef amx_parts_at(const AmxEmit *, Walk *); /* the weights' */
/* The products of some tiles of points with a group's weights. */
void amx_part_products(const AmxEmit *, Walk *, int64_t tiles, LLVMValueRef in, LLVMValueRef wt);
LLVMValueRef amx_at_least_0(Walk *, LLVMValueRef); /* the index, or 0 */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions of matrix tiles (AMX). A tile register has up to 16 rows of 64 bytes; a product adds
 * to each of 16 columns of sums (f32) those of as many pairs of bf16 as a row of data has. */
#ifndef ADJ_TARGETS_CPU_AMX_H
#define ADJ_TARGETS_CPU_AMX_H

#include "tile.h"

enum {
    AMX_ROWS = 16,  /* of a tile register */
    AMX_LANES = 16, /* f32 of a row */
    AMX_TILES = 8,  /* registers */
    AMX_TILE_BYTES = 1024,
    AMX_LINE = 64, /* bytes of a row */
    AMX_THIRDS = 3 /* parts of bf16 that a number of f32 is the sum of */
};

/* Bytes of a row and rows of each register. */
typedef struct AmxShapes {
    unsigned char bytes[AMX_TILES], rows[AMX_TILES];
} AmxShapes;
void amx_shape(Walk *, const AmxShapes *);
void amx_release(Walk *);

void amx_zero(Walk *, int64_t tile);
void amx_load(Walk *, int64_t tile, LLVMValueRef at, int64_t bytes); /* from row to row */
void amx_store(Walk *, int64_t tile, LLVMValueRef at, int64_t bytes);
void amx_product(Walk *, int64_t sum, int64_t data, int64_t weights);

#endif

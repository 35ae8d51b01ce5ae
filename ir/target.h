/* SPDX-License-Identifier: Apache-2.0 */
/* What passes may know of a target: facts, and the one hook by which it bids for contractions.
 * Passes and targets never include each other; both meet here. */
#ifndef ADJ_IR_TARGET_H
#define ADJ_IR_TARGET_H

#include "kernel.h"
#include "schedule.h"

typedef struct Target {
    const char *name; /* "x86-64", "nvptx64" */
    const char *triple;
    const char *cpu; /* row of the target's CPU table */
    int vec_bytes;   /* widest vector register, bytes; 0: scalar code (GPU threads) */
    int vec_regs;
    double rate;    /* multiply-adds of whole vectors a cycle; as many loads */
    double dot;     /* sums of two bf16 products a cycle, of whole vectors of f32; 0: none */
    double tiles;   /* products of bf16 a cycle by matrix tiles; 0: none */
    bool fma;       /* multiply-adds round once */
    bool adds;      /* additions have units of their own beside those of multiply-adds */
    bool gpu;       /* loops over outer axes become the grid */
    int64_t l1, l2; /* bytes a core */
    double l3_rate, memory_rate; /* bytes a core reads a cycle */
    /* Bids for a contraction; false: generic lowering. */
    bool (*offer)(const struct Target *, const Contract *, Offer *);
    bool winograd;    /* offers may use it */
    bool bf16_parts;  /* f32 may be multiplied as the sum of two numbers of bf16 */
    bool f32_tiles;   /* matrix tiles may multiply f32 as the sum of three numbers of bf16 */
    bool depth_first; /* calls may run for some slots before the others (passes/depth.c) */
    double max_error; /* of an offer, in units of the largest result; 0: any */
    const Schedule *schedule; /* lines that bids obey; NULL: none */
    /* Transforms the weights of an offer with packed_bytes, at compile time. dense: row-major. */
    void (*pack)(const struct Target *, const Contract *, const Offer *, const void *dense,
                 void *packed);
    /* The transform as a matrix, for weights of run time: planes rows of kh*kw factors. */
    void (*transform)(const struct Target *, const Contract *, const Offer *, double *matrix);
    const void *row; /* the target's own row */
} Target;

/* Has instructions for bf16: operands of contractions are bf16 in memory. */
static inline bool target_reads_bf16(const Target *t)
{
    return t->dot > 0 || t->tiles > 0;
}

/* Channels of a map's block in memory, of those that fill vectors of `lanes`: where matrix tiles
 * read it as many as one product sums over. */
static inline int target_block(const Target *t, DType d, int64_t channels, int lanes)
{
    bool tiles = t->tiles > 0 && d == DT_BF16 && channels % (2 * lanes) == 0;
    return tiles ? 2 * lanes : lanes;
}

static inline int target_lanes(const Target *t, DType d)
{
    return t->vec_bytes ? t->vec_bytes / dtype_bytes(d) : 1;
}

#endif

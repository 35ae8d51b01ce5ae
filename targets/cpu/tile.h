/* SPDX-License-Identifier: Apache-2.0 */
/* What tile emitters share: the function of one tile shape, pointers into operands, and nests of
 * loops that carry accumulators.
 *
 * A tile is an internal function that is not inlined, so that registers are allocated for it
 * alone. It takes every parameter of the kernel (the epilogue needs them) and a few i64 that say
 * which tile. */
#ifndef ADJ_TARGETS_CPU_TILE_H
#define ADJ_TARGETS_CPU_TILE_H

#include "targets/llvm/walk.h"

enum { TILE_SCALARS = 4, MAX_ACC = COUNT(((Loop *)0)->acc), MAX_LEVELS = 4 };

typedef struct Tile {
    Walk w; /* walks the tile's function: own builder, own memo, parameters rebound */
    LLVMTypeRef type;
    LLVMValueRef scalar[TILE_SCALARS];
} Tile;

/* A slot in use, which guarded loads of the caller's memory fall back on: that of sample n, or,
 * where the samples of axis 0 are not slots (a batch in one), the first. */
LLVMValueRef tile_slot(const Walk *, LLVMValueRef n);
/* Begins the function; the builder stands in its entry. Its scalar 0 is the sample at hand, in
 * kernels that have one. */
Tile tile_begin(const Walk *outer, const char *suffix);
void tile_end(Tile *); /* ret void; the function may still be called */
void tile_call(const Walk *outer, const Tile *, const LLVMValueRef scalar[TILE_SCALARS]);

/* Axes of a claimed kernel by position, reductions left out: the last is the lanes. */
enum { MAX_CLAIM_AXES = 5 };
void claim_axes(const Kernel *, int axis[MAX_CLAIM_AXES]);
/* Range of the sample axis: the slots in use, or all. */
void claim_samples(const Walk *, int axis, LLVMValueRef *from, LLVMValueRef *to);

/* The body of a claimed kernel: nothing is done where there are no samples (or no pieces). */
LLVMBasicBlockRef claim_begin(Walk *, LLVMValueRef from, LLVMValueRef to);
void claim_end(Walk *, LLVMBasicBlockRef);

LLVMTypeRef tile_elem(const Walk *, int param); /* as it is in memory */
/* Pointer to logical element [n, 0, 0, 0] of a parameter of rank 4, halo not added. */
LLVMValueRef tile_sample(Walk *, int param, LLVMValueRef n);
LLVMValueRef tile_at(Walk *, LLVMTypeRef elem, LLVMValueRef base, LLVMValueRef index,
                     int64_t scale);
LLVMValueRef tile_at_const(Walk *, LLVMTypeRef elem, LLVMValueRef base, int64_t index);
LLVMValueRef tile_load(Walk *, LLVMTypeRef, LLVMValueRef at, int align);
/* A whole vector of the contraction's data, as its dtype. */
LLVMValueRef tile_data(Walk *, LLVMValueRef at);
void tile_prefetch(Walk *, LLVMValueRef at);       /* to the nearest cache; any address will do */
void tile_prefetch_far(Walk *, LLVMValueRef at);   /* to the next one, L2 */
void tile_prefetch_store(Walk *, LLVMValueRef at); /* to the nearest, and to be written there */
/* The bytes that lie some pages behind `at`: of a stream that the hardware, which does not foresee
 * beyond a page, brings from an outer cache slower than it is wanted. */
void tile_prefetch_stream(Walk *, LLVMValueRef at, int64_t bytes);
/* a*b + c, rounded once where the target has it. */
LLVMValueRef tile_fma(Walk *, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
/* Weights that multiply-adds of several data read. Instructions that overwrite an operand copy the
 * data first, and may as well read the weights from memory: there they are an address. */
LLVMValueRef tile_weights(Walk *, LLVMTypeRef, LLVMValueRef at, int align);
/* data * weights + c */
LLVMValueRef tile_weigh(Walk *, LLVMValueRef data, LLVMValueRef weights, LLVMValueRef c);
/* c + the sum of two products of bf16 in each lane: a, b are vectors of i32 that hold two. */
LLVMValueRef tile_dot(Walk *, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
LLVMValueRef tile_real(LLVMValueRef model, double); /* constant of model's type, a vector's too */
LLVMValueRef tile_affine(Walk *, LLVMValueRef, int64_t scale, int64_t add); /* i64 v*scale + add */

/* Runs body over [from, from + count*step): a loop, or straight code when there is but one turn. */
typedef void TileBody(Walk *, void *user, LLVMValueRef index);
void tile_for(Walk *, const char *name, int64_t from, int64_t count, int64_t step, TileBody *,
              void *user);
void tile_range(Walk *, const char *name, LLVMValueRef from, LLVMValueRef to, TileBody *,
                void *user);
/* The same over a range that may be empty. For the function of a kernel, in which nothing that is
 * emitted once serves later code. */
void tile_steps(Walk *, const char *name, Slice, int64_t step, TileBody *, void *user);

/* Sums that steps 0 .. count - 1 add to, count > 0 known when it runs. */
typedef void SumBody(Walk *, void *user, LLVMValueRef step, LLVMValueRef *acc);
void tile_sum(Walk *, const char *name, LLVMValueRef count, int nacc, LLVMValueRef *acc, SumBody *,
              void *user);

/* LLVM moves no load or store across; no instruction. */
void tile_in_order(Walk *);

/* Nested loops that move two pointers and carry accumulators. */
typedef struct Level {
    const char *name;
    int64_t extent, step;  /* index runs over 0, step, ... */
    int64_t in, wt;        /* elements the pointers move for one index */
    LLVMValueRef from, to; /* less than that, but something; NULL: all */
    LLVMValueRef wt_by;    /* wt, where it is known only when it runs; or NULL */
} Level;
typedef struct Nest {
    LLVMTypeRef elem;
    int nlevel, nacc;
    Level level[MAX_LEVELS];
    void (*body)(Walk *, void *user, LLVMValueRef in, LLVMValueRef wt, LLVMValueRef *acc);
    void (*enter)(Walk *, void *user, LLVMValueRef in); /* before the innermost loop; or NULL */
    void *user;
} Nest;
void nest_emit(Walk *, const Nest *, LLVMValueRef in, LLVMValueRef wt, LLVMValueRef *acc);

#endif

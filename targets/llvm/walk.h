/* SPDX-License-Identifier: Apache-2.0 */
/* The shared walk from kernel IR to LLVM IR. Emitters of claimed kernels use the same walk for
 * their epilogues: they bind axes and the contraction's value, then ask for the stores.  Code is
 * emitted without branches inside a body: loops are do-while (extents are at least 1; the sample
 * loop is guarded once), a guarded load reads a safe address and selects. So a value emitted in a
 * loop body dominates what follows the loop, and the memo below stays valid until an axis is
 * rebound. */
#ifndef ADJ_TARGETS_LLVM_WALK_H
#define ADJ_TARGETS_LLVM_WALK_H

#include <llvm-c/Core.h>

#include "ir/kernel.h"
#include "ir/target.h"

typedef struct Walk {
    LLVMContextRef ctx;
    LLVMModuleRef mod;
    LLVMBuilderRef b;
    LLVMValueRef fn; /* the function being filled */
    const Kernel *k;
    const Target *target;
    LLVMValueRef table;    /* ptr: i64 sample index of each slot (for io params) */
    LLVMValueRef lo, hi;   /* i64: range of the sample axis */
    LLVMValueRef from, to; /* i64: range of the kernel's pieces (kernel_pieces); NULL on a GPU */
    LLVMValueRef base[MAX_PARAMS];
    LLVMValueRef stride[MAX_PARAMS]; /* i64 bytes a sample for io params, else NULL */
    LLVMValueRef axis[MAX_AXES];     /* i64 value; for the AX_VEC axis: that of lane 0 */
    int vec;                         /* the AX_VEC axis, or -1 */
    int lanes;                       /* its extent, or 1 */
    LLVMValueRef *memo; /* by KRef: value emitted under the present bindings, or NULL */
    uint32_t memo_cap;  /* grows: addresses are expressions added to k's copy */
} Walk;

/* Binds an axis and forgets every memo that depends on it. */
void walk_bind(Walk *, int axis, LLVMValueRef value);
/* Gives an expression (the contraction's K_REDUCE) its value: a scalar, or a vector of w->lanes if
 * it depends on the vec axis. */
void walk_set(Walk *, KRef, LLVMValueRef value);
/* The value under the present bindings: a vector of w->lanes if it depends on the vec axis. */
LLVMValueRef walk_expr(Walk *, KRef);
LLVMValueRef walk_splat(Walk *, LLVMValueRef scalar); /* to w->lanes */
/* All stores of the kernel under the present bindings. */
void walk_stores(Walk *); /* the values, then: */
void walk_values(Walk *, LLVMValueRef value[MAX_STORES]);
void walk_put(Walk *, int store, LLVMValueRef value);
/* Where a store's first lane goes (ptr), to be fetched: it may be out of the parameter's bounds.
 * NULL: bits. */
LLVMValueRef walk_where(Walk *, int store);
/* The address, in a register of its own, as far as LLVM knows. Addresses of a register and an index
 * make two operations of each multiply-add that reads memory (Intel's cores "unlaminate" them), and
 * halve how far ahead the core works; LLVM takes them for free. */
LLVMValueRef walk_own_register(Walk *, LLVMValueRef at);
/* Address (ptr) of a parameter's cell: digit values given, halo added by the caller. */
LLVMValueRef walk_cell(Walk *, int param, LLVMValueRef element_index);

/* Loops. loop_begin starts a do-while over [from, to) with constant step, from < to known; the
 * body is filled at the builder's position; accumulators are loop-carried. */
typedef struct Loop {
    LLVMValueRef index; /* i64 phi */
    LLVMBasicBlockRef head, before;
    LLVMValueRef to;
    int64_t step;
    int nacc;
    LLVMValueRef acc[64]; /* phis: value at the start of an iteration */
} Loop;
Loop loop_begin(Walk *, const char *name, LLVMValueRef from, LLVMValueRef to, int64_t step,
                int nacc, const LLVMValueRef *init);
/* Closes the loop; next[] are the values after an iteration; result[] those after the loop. */
void loop_end(Walk *, Loop *, const LLVMValueRef *next, LLVMValueRef *result);

/* Pieces are numbered from the outside in, as in a nest of loops. Of a range of them: the indices
 * of an outer loop whose bodies hold `each` pieces; and those that lie in [first, first + count),
 * counted from there, which may be none (then to <= from). */
typedef struct Slice {
    LLVMValueRef from, to; /* i64 */
} Slice;
Slice slice_outer(Walk *, Slice, int64_t each);
Slice slice_part(Walk *, Slice, LLVMValueRef first, int64_t count);
LLVMValueRef walk_quotient(Walk *, LLVMValueRef v, int64_t by); /* i64, both of 0 .. 2^31 - 1 */

LLVMTypeRef walk_type(Walk *, DType); /* element type as computed with (bool: i1) */
LLVMTypeRef walk_vec(Walk *, DType, int lanes);
LLVMTypeRef walk_storage(Walk *, DType);              /* as in memory: bool i8, halves i16 */
LLVMValueRef walk_widen(Walk *, DType, LLVMValueRef); /* what memory holds, as computed with */
LLVMValueRef walk_i64(Walk *, int64_t);

/* What some of an offer's numbers are called in the text of a plan. */
typedef struct PlanField {
    const char *name;  /* NULL ends a list of them */
    int first, n;      /* number[first], ..., with an x between */
    int64_t most;      /* worth trying, of each */
    const char *words; /* letters for 0, 1, ... instead of numbers; or NULL */
    bool bits;         /* another value, other bits: one for each layer, whatever the batch */
} PlanField;
enum { PLAN_WHY = 160 };

/* A claim: emits the whole body of w->fn (entry block exists and the builder stands in it; ends
 * with ret void). Tile functions it calls are internal, noinline. */
typedef struct ClaimRow {
    const char *name; /* two rows may share one, for different faces */
    bool (*offer)(const Target *, const Contract *, Offer *);
    void (*emit)(Walk *);
    /* For offers with packed_bytes: transforms dense row-major weights; else NULL. */
    void (*pack)(const Target *, const Contract *, const Offer *, const void *dense, void *packed);
    /* The same as a matrix, Target.transform. */
    void (*transform)(const Target *, const Contract *, const Offer *, double *matrix);
    /* Pieces that workers can share, of which the emitter runs w->from to w->to, whatever the range
     * of samples; NULL: one, it cannot be shared. */
    int64_t (*pieces)(const Kernel *);
    /* The bid with these numbers, those below 0 being the claim's own choice; false: why not. */
    bool (*fit)(const Target *, const Contract *, Offer *, char why[PLAN_WHY]);
    const PlanField *field;
    bool dw; /* bids for conv_dw, else for conv and conv_dx */
    /* Features that its kernels need beyond the CPU row's: asked for where an object has some. */
    const char *needs;
    bool repeats; /* any run of pieces makes for itself what others make too: few runs are best */
} ClaimRow;

#endif

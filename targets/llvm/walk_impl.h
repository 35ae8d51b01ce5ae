/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the walk: arithmetic that works alike on scalars and vectors, and what the walk_*.c files
 * ask of each other. A constant operand takes its type from a model value, so one text serves both
 * shapes. */
#ifndef ADJ_TARGETS_LLVM_WALK_IMPL_H
#define ADJ_TARGETS_LLVM_WALK_IMPL_H

#include "targets/llvm/emit.h"

/* ---- walk.c ---- */
/* A walk over a private copy of k (in `scratch`) with nothing bound. */
void walk_open(Walk *, Arena *scratch, LLVMValueRef fn, LLVMBuilderRef, const Kernel *k,
               const Target *);
void walk_room(Walk *); /* memo covers every expression of the copy */
static inline const KExpr *walk_at(const Walk *w, KRef r)
{
    return &w->k->expr[r];
}
static inline bool walk_on_vec(const Walk *w, KRef r)
{
    return w->vec >= 0 && (walk_at(w, r)->axes >> w->vec & 1);
}
static inline const CpuRow *walk_row(const Walk *w)
{
    return w->target->row;
}

/* ---- walk_value.c: typed constants and intrinsics ---- */
bool v_is_vec(LLVMValueRef);
LLVMTypeRef v_like(LLVMTypeRef element, LLVMValueRef model); /* element, or a vector of it */
LLVMTypeRef v_element(LLVMValueRef);
LLVMValueRef v_int(Walk *, LLVMTypeRef, int64_t); /* of an integer type or vector */
LLVMValueRef v_real(Walk *, LLVMTypeRef, double);
LLVMValueRef v_same(Walk *, LLVMValueRef model, double); /* float constant of model's type */
LLVMValueRef v_same_int(Walk *, LLVMValueRef model, int64_t);
LLVMValueRef v_lane(Walk *, LLVMValueRef vec, int lane);
LLVMValueRef v_set_lane(Walk *, LLVMValueRef vec, LLVMValueRef, int lane);
LLVMValueRef v_bits(Walk *, LLVMValueRef); /* float to integer of equal width, bit by bit */
LLVMValueRef v_from_bits(Walk *, LLVMValueRef, LLVMTypeRef element);
/* llvm.name overloaded on the first operand's type. */
LLVMValueRef v_intrinsic(Walk *, const char *name, int n, LLVMValueRef *arg);
LLVMValueRef v_intrinsic1(Walk *, const char *name, LLVMValueRef a);
LLVMValueRef v_intrinsic2(Walk *, const char *name, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef v_fma(Walk *, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c); /* or mul, add */
LLVMValueRef v_select(Walk *, LLVMValueRef cond, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef v_round(Walk *, LLVMValueRef); /* to nearest even, without libm */
LLVMValueRef v_floor(Walk *, LLVMValueRef);
LLVMValueRef v_copysign(Walk *, LLVMValueRef magnitude, LLVMValueRef sign);

/* ---- walk_convert.c ---- */
LLVMValueRef to_storage(Walk *, DType, LLVMValueRef);
LLVMValueRef walk_cast(Walk *, DType from, DType to, LLVMValueRef);
LLVMValueRef walk_round_to(Walk *, DType, LLVMValueRef); /* halves: to a value the dtype has */

/* ---- walk_eval.c ---- */
typedef struct EvalArgs {
    DType operand, result;
    bool constant[3]; /* not NaN, known at compile time */
    LLVMValueRef v[3];
} EvalArgs;
LLVMValueRef walk_op(Walk *, Op, const EvalArgs *);
/* walk_expr, splat if `vec` and it does not depend on the lanes. */
LLVMValueRef walk_operand(Walk *, KRef, bool vec);

/* ---- walk_rng.c ---- */
LLVMValueRef walk_rng(Walk *, KRef);

/* ---- walk_address.c ---- */
typedef struct Address {
    KRef element; /* element number (of a sample, if io) */
    KRef sample;  /* io: slot, looked up in the table; else NOK */
    bool affine;  /* element's step from lane to lane is `step`, and sample does not vary */
    int64_t step;
    int64_t multiple; /* element at lane 0 is a multiple of this */
} Address;
Address walk_address(Walk *, int param, const KRef *index);

/* ---- walk_memory.c, walk_bits.c ---- */
LLVMValueRef walk_load(Walk *, KRef);
void walk_store(Walk *, const KStore *, LLVMValueRef value);
/* Bits: `lanes` consecutive ones (1 gives an i1), none of which share a byte with lanes outside,
 * unless they are fewer than 8; those lie in one byte. */
bool bits_together(const Address *, int lanes); /* whether lanes are so placed */
LLVMValueRef bits_load(Walk *, LLVMValueRef base, LLVMValueRef element, int lanes);
void bits_store(Walk *, LLVMValueRef base, LLVMValueRef element, LLVMValueRef, int lanes);

/* ---- walk_masked.c ---- */
/* Elements of `bytes` from ptr on, zero where the mask is false. */
LLVMValueRef masked_load(Walk *, LLVMTypeRef element, int bytes, LLVMValueRef ptr,
                         LLVMValueRef mask);

/* ---- math*.c: on f64 scalars or vectors, straight-line, no calls ---- */
LLVMValueRef math_exp(Walk *, LLVMValueRef);
LLVMValueRef math_log(Walk *, LLVMValueRef);
LLVMValueRef math_log1p(Walk *, LLVMValueRef);
LLVMValueRef math_tanh(Walk *, LLVMValueRef);
LLVMValueRef math_erf(Walk *, LLVMValueRef);
LLVMValueRef math_pow(Walk *, LLVMValueRef x, LLVMValueRef y, bool precise);
/* What math files share. */
typedef struct Pair { /* an unevaluated sum: hi is it rounded */
    LLVMValueRef hi, lo;
} Pair;
LLVMValueRef math_poly(Walk *, LLVMValueRef x, int n, const double *coef); /* highest power first */
/* exp(hi + lo); lo may be NULL. Overflow, underflow and NaN come out right. */
LLVMValueRef math_exp_sum(Walk *, LLVMValueRef hi, LLVMValueRef lo);
/* x > 0, finite, normal or not: x = 2^k * m with m in [sqrt(1/2), sqrt(2)); k as a float. */
void math_split(Walk *, LLVMValueRef x, LLVMValueRef *m, LLVMValueRef *k);

/* walk_index.c: i64 or vectors of it. */
LLVMValueRef index_add(Walk *, LLVMValueRef, LLVMValueRef);
LLVMValueRef index_mul(Walk *, LLVMValueRef, LLVMValueRef);
LLVMValueRef index_shift(Walk *, LLVMValueRef, int by); /* arithmetic, right */
LLVMValueRef index_lane(Walk *, LLVMValueRef, int lane);

/* ---- short forms ---- */
#define BINARY(name, build)                                                                        \
    static inline LLVMValueRef name(Walk *w, LLVMValueRef a, LLVMValueRef b)                       \
    {                                                                                              \
        return build(w->b, a, b, "");                                                              \
    }
BINARY(f_add, LLVMBuildFAdd)
BINARY(f_sub, LLVMBuildFSub)
BINARY(f_mul, LLVMBuildFMul)
BINARY(f_div, LLVMBuildFDiv)
BINARY(i_add, LLVMBuildAdd)
BINARY(i_sub, LLVMBuildSub)
BINARY(i_mul, LLVMBuildMul)
BINARY(i_and, LLVMBuildAnd)
BINARY(i_or, LLVMBuildOr)
BINARY(i_xor, LLVMBuildXor)
BINARY(i_shl, LLVMBuildShl)
BINARY(i_lshr, LLVMBuildLShr)
BINARY(i_ashr, LLVMBuildAShr)
#undef BINARY
static inline LLVMValueRef f_cmp(Walk *w, LLVMRealPredicate p, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFCmp(w->b, p, a, b, "");
}
static inline LLVMValueRef i_cmp(Walk *w, LLVMIntPredicate p, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildICmp(w->b, p, a, b, "");
}

#endif

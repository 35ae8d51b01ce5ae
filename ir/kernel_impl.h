/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the kernel IR share among themselves; not for other folders. */
#ifndef ADJ_IR_KERNEL_IMPL_H
#define ADJ_IR_KERNEL_IMPL_H

#include "kernel.h"

/* ---- intervals: what an integer expression can be (kernel_range.c) ---- */
typedef struct Range { /* inclusive; whole() if nothing is known */
    int64_t lo, hi;
} Range;

Range range_whole(void);
bool range_known(Range);
Range range_join(Range, Range);
Range range_add(Range, Range);
Range range_scale(Range, int64_t);
Range range_of(const Kernel *, KRef);
Range range_of_dtype(DType); /* whole for floats */
Range range_of_eval(const Kernel *, Op, DType, int nargs, const KRef *args);
/* 0 or 1 if the ranges decide a comparison of integers (lt, le, eq), else -1. */
int range_compare(const Kernel *, Op, KRef, KRef);

static inline int64_t floor_div(int64_t a, int64_t b)
{ /* b > 0 */
    return a / b - (a % b < 0);
}

static inline int64_t floor_mod(int64_t a, int64_t b)
{
    return a % b + (a % b < 0 ? b : 0);
}

/* ---- expressions (kernel.c) ---- */
KRef kx_intern(Kernel *, const KExpr *); /* the equal expression, or a new one */
/* A K_EVAL as it stands, without any simplification. */
KRef kx_raw(Kernel *, Op, DType, int nargs, const KRef *args);
bool kx_is_true(const Kernel *, KRef);

/* An i64 add, sub, neg or a multiplication by a constant, as a sum (kernel_index.c); NOK
 * otherwise. */
KRef kx_affine(Kernel *, Op, int nargs, const KRef *args);

/* An arena for the length of a function, dropped also if an err() passes through (layout.c). */
Arena *scratch_begin(void);
void scratch_end(Arena *);

/* Expressions that stores and `heavy` need, by KRef (kernel_sched.c). */
bool *kernel_live(Arena *, const Kernel *);

#endif

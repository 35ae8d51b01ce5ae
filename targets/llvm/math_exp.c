/* SPDX-License-Identifier: Apache-2.0 */
/* exp and tanh of doubles as straight-line code: no table, no branch, no call; within about 1 ulp
 * (exp) and 2.5 (tanh). x = n ln2 + r with |r| <= ln2 / 2, exp(r) by its series, 2^n put together
 * from bits in two steps, so that overflow and subnormal results round as they should. */
#include "targets/llvm/walk_impl.h"

#define LOG2_E 0x1.71547652b82fep+0
#define LN2_HI 0x1.62e42feep-1 /* 32 bits: n times it is exact */
#define LN2_LO 0x1.a39ef35793c76p-33
#define MAGIC 0x1.8p52 /* x + MAGIC rounds x to an integer, in the low bits of the sum */
#define MAGIC_BITS 0x4338000000000000

/* 1/13! ... 1/2! */
static const double exp_series[] = {
    1 / 6227020800.0, 1 / 479001600.0, 1 / 39916800.0, 1 / 3628800.0, 1 / 362880.0, 1 / 40320.0,
    1 / 5040.0,       1 / 720.0,       1 / 120.0,      1 / 24.0,      1 / 6.0,      0.5};

LLVMValueRef math_poly(Walk *w, LLVMValueRef x, int n, const double *coef)
{
    LLVMValueRef r = v_same(w, x, coef[0]);
    for (int i = 1; i < n; i++) r = v_fma(w, r, x, v_same(w, x, coef[i]));
    return r;
}

typedef struct Reduced { /* x = n ln2 + r */
    LLVMValueRef n;      /* i64 */
    LLVMValueRef r;
} Reduced;

static Reduced reduce(Walk *w, LLVMValueRef x, LLVMValueRef lo)
{
    LLVMValueRef magic = v_same(w, x, MAGIC);
    LLVMValueRef t = f_add(w, f_mul(w, x, v_same(w, x, LOG2_E)), magic);
    LLVMValueRef n = f_sub(w, t, magic), bits = v_bits(w, t);
    LLVMValueRef r = f_sub(w, x, f_mul(w, n, v_same(w, x, LN2_HI)));
    r = f_sub(w, r, f_mul(w, n, v_same(w, x, LN2_LO)));
    if (lo) r = f_add(w, r, lo);
    return (Reduced){i_sub(w, bits, v_same_int(w, bits, MAGIC_BITS)), r};
}

/* exp(r) - 1 */
static LLVMValueRef series_minus_1(Walk *w, LLVMValueRef r)
{
    LLVMValueRef q = math_poly(w, r, COUNT(exp_series), exp_series);
    return v_fma(w, f_mul(w, r, r), q, r);
}

/* 2^n for n that a normal number can have. */
static LLVMValueRef power_of_2(Walk *w, LLVMValueRef n)
{
    LLVMValueRef e = i_shl(w, i_add(w, n, v_same_int(w, n, 1023)), v_same_int(w, n, 52));
    return v_from_bits(w, e, LLVMDoubleTypeInContext(w->ctx));
}

static LLVMValueRef scale(Walk *w, LLVMValueRef x, LLVMValueRef n)
{
    LLVMValueRef up = i_add(w, n, v_same_int(w, n, 2048)); /* above 0: halved by a plain shift */
    LLVMValueRef half = i_sub(w, i_lshr(w, up, v_same_int(w, n, 1)), v_same_int(w, n, 1024));
    x = f_mul(w, x, power_of_2(w, half));
    return f_mul(w, x, power_of_2(w, i_sub(w, n, half)));
}

/* NaN passes. */
static LLVMValueRef clamp(Walk *w, LLVMValueRef x, LLVMRealPredicate beyond, double limit)
{
    LLVMValueRef l = v_same(w, x, limit);
    return v_select(w, f_cmp(w, beyond, x, l), l, x);
}

LLVMValueRef math_exp_sum(Walk *w, LLVMValueRef hi, LLVMValueRef lo)
{
    LLVMValueRef x = clamp(w, clamp(w, hi, LLVMRealOGT, 710), LLVMRealOLT, -746);
    Reduced d = reduce(w, x, lo);
    LLVMValueRef e = f_add(w, series_minus_1(w, d.r), v_same(w, x, 1));
    return scale(w, e, d.n);
}

LLVMValueRef math_exp(Walk *w, LLVMValueRef x)
{
    return math_exp_sum(w, x, NULL);
}

/* e / (e + 2) with e = exp(2|x|) - 1, in which nothing cancels. */
LLVMValueRef math_tanh(Walk *w, LLVMValueRef x)
{
    LLVMValueRef a = clamp(w, v_intrinsic1(w, "llvm.fabs", x), LLVMRealOGT, 20);
    Reduced d = reduce(w, f_add(w, a, a), NULL);
    LLVMValueRef two_n = power_of_2(w, d.n);
    LLVMValueRef rest = f_sub(w, two_n, v_same(w, x, 1));
    LLVMValueRef e = v_fma(w, two_n, series_minus_1(w, d.r), rest);
    return v_copysign(w, f_div(w, e, f_add(w, e, v_same(w, x, 2))), x);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* log and log1p of doubles as straight-line code, within 1 ulp (log) and 2 ulps (log1p). x = 2^k
 * m; with f = m - 1 and s = f / (2 + f), log m = f - f^2/2 + s (f^2/2 + R(s^2)), which adds small
 * terms to an exact f (the arrangement of fdlibm). */
#include "targets/llvm/walk_impl.h"

#include <math.h>

#define LN2_HI 0x1.62e42feep-1 /* 32 bits: k times it is exact */
#define LN2_LO 0x1.a39ef35793c76p-33
#define SQRT_HALF_BITS 0x3fe6a09e00000000 /* sqrt(1/2), rounded down */
#define ONE_BITS 0x3ff0000000000000
#define MAGIC 0x1.8p52
#define MAGIC_BITS 0x4338000000000000

/* 2/23 ... 2/3: log((1+s)/(1-s)) = 2s + s R(s^2) */
static const double log_series[] = {2 / 23.0, 2 / 21.0, 2 / 19.0, 2 / 17.0, 2 / 15.0, 2 / 13.0,
                                    2 / 11.0, 2 / 9.0,  2 / 7.0,  2 / 5.0,  2 / 3.0};

void math_split(Walk *w, LLVMValueRef x, LLVMValueRef *m, LLVMValueRef *k)
{
    LLVMValueRef small = f_cmp(w, LLVMRealOLT, x, v_same(w, x, 0x1p-1022));
    x = v_select(w, small, f_mul(w, x, v_same(w, x, 0x1p54)), x);
    LLVMValueRef u = v_bits(w, x);
    u = i_add(w, u, v_same_int(w, u, ONE_BITS - SQRT_HALF_BITS));
    LLVMValueRef e = i_lshr(w, u, v_same_int(w, u, 52));
    LLVMValueRef bias = v_select(w, small, v_same_int(w, u, 1023 + 54), v_same_int(w, u, 1023));
    LLVMTypeRef f64 = LLVMDoubleTypeInContext(w->ctx);
    e = i_add(w, i_sub(w, e, bias), v_same_int(w, u, MAGIC_BITS));
    *k = f_sub(w, v_from_bits(w, e, f64), v_same(w, x, MAGIC));
    u = i_and(w, u, v_same_int(w, u, 0x000fffffffffffff));
    *m = v_from_bits(w, i_add(w, u, v_same_int(w, u, SQRT_HALF_BITS)), f64);
}

/* k ln2 + log(1 + f) + c; c, small beside f, may be NULL. */
static LLVMValueRef log_sum(Walk *w, LLVMValueRef k, LLVMValueRef f, LLVMValueRef c)
{
    LLVMValueRef s = f_div(w, f, f_add(w, f, v_same(w, f, 2))), z = f_mul(w, s, s);
    LLVMValueRef r = f_mul(w, z, math_poly(w, z, COUNT(log_series), log_series));
    LLVMValueRef half = f_mul(w, v_same(w, f, 0.5), f_mul(w, f, f));
    LLVMValueRef low = f_mul(w, k, v_same(w, f, LN2_LO));
    if (c) low = f_add(w, low, c);
    low = v_fma(w, s, f_add(w, half, r), low);
    LLVMValueRef minus = f_sub(w, f_sub(w, half, low), f);
    return f_sub(w, f_mul(w, k, v_same(w, f, LN2_HI)), minus);
}

/* r where x is a positive number, -inf at 0, inf at inf, else NaN. */
static LLVMValueRef with_limits(Walk *w, LLVMValueRef x, LLVMValueRef r)
{
    LLVMValueRef zero = v_same(w, x, 0), inf = v_same(w, x, INFINITY);
    LLVMValueRef none =
        v_select(w, f_cmp(w, LLVMRealOEQ, x, zero), v_same(w, x, -INFINITY), v_same(w, x, NAN));
    r = v_select(w, f_cmp(w, LLVMRealOEQ, x, inf), x, r);
    return v_select(w, f_cmp(w, LLVMRealOGT, x, zero), r, none);
}

LLVMValueRef math_log(Walk *w, LLVMValueRef x)
{
    LLVMValueRef m, k;
    math_split(w, x, &m, &k);
    LLVMValueRef f = f_sub(w, m, v_same(w, x, 1));
    return with_limits(w, x, log_sum(w, k, f, NULL));
}

/* What rounding took from u = 1 + x, over u. */
static LLVMValueRef lost(Walk *w, LLVMValueRef x, LLVMValueRef u)
{
    LLVMValueRef one = v_same(w, x, 1);
    LLVMValueRef above = f_sub(w, one, f_sub(w, u, x)), below = f_sub(w, x, f_sub(w, u, one));
    LLVMValueRef c = v_select(w, f_cmp(w, LLVMRealOGT, x, one), above, below);
    return f_div(w, c, u);
}

/* log(u) + c/u; where u is near 1, that is where k = 0, x itself is f. */
LLVMValueRef math_log1p(Walk *w, LLVMValueRef x)
{
    LLVMValueRef m, k, one = v_same(w, x, 1), zero = v_same(w, x, 0);
    LLVMValueRef u = f_add(w, one, x);
    math_split(w, u, &m, &k);
    LLVMValueRef near = f_cmp(w, LLVMRealOEQ, k, zero);
    LLVMValueRef f = v_select(w, near, x, f_sub(w, m, one));
    LLVMValueRef c = v_select(w, near, zero, lost(w, x, u));
    LLVMValueRef r = with_limits(w, u, log_sum(w, k, f, c));
    return v_select(w, f_cmp(w, LLVMRealOEQ, x, zero), x, r); /* -0 stays */
}

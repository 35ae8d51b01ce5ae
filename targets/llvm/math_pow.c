/* SPDX-License-Identifier: Apache-2.0 */
/* pow of doubles as straight-line code: exp(y log|x|) with the logarithm and the product as
 * unevaluated sums of two doubles, so the error stays within 2 ulps (normal results) however large
 * the exponent. The special cases are those of C (F.10.4.4). A result that will be rounded to
 * float or less needs no second double. Products are made exact by fused multiply-add, or by
 * Dekker's splitting. */
#include "targets/llvm/walk_impl.h"

#include <math.h>

#define LN2_HI 0x1.62e42feep-1
#define LN2_LO 0x1.a39ef35793c76p-33
#define TWO_3RDS_HI 0x1.5555555555555p-1
#define TWO_3RDS_LO 0x1.5555555555555p-55

/* 2/23 ... 2/5 */
static const double series[] = {2 / 23.0, 2 / 21.0, 2 / 19.0, 2 / 17.0, 2 / 15.0,
                                2 / 13.0, 2 / 11.0, 2 / 9.0,  2 / 7.0,  2 / 5.0};

/* ---- pairs ---- */

static Pair two_sum(Walk *w, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef s = f_add(w, a, b), bb = f_sub(w, s, a);
    LLVMValueRef ea = f_sub(w, a, f_sub(w, s, bb)), eb = f_sub(w, b, bb);
    return (Pair){s, f_add(w, ea, eb)};
}

static Pair halves(Walk *w, LLVMValueRef a)
{
    LLVMValueRef c = f_mul(w, a, v_same(w, a, 0x1p27 + 1));
    LLVMValueRef hi = f_sub(w, c, f_sub(w, c, a));
    return (Pair){hi, f_sub(w, a, hi)};
}

static LLVMValueRef product_error(Walk *w, LLVMValueRef a, LLVMValueRef b, LLVMValueRef p)
{
    if (w->target->fma) return v_fma(w, a, b, LLVMBuildFNeg(w->b, p, ""));
    Pair x = halves(w, a), y = halves(w, b);
    LLVMValueRef e = f_sub(w, f_mul(w, x.hi, y.hi), p);
    e = f_add(w, f_add(w, e, f_mul(w, x.hi, y.lo)), f_mul(w, x.lo, y.hi));
    return f_add(w, e, f_mul(w, x.lo, y.lo));
}

static Pair two_product(Walk *w, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef p = f_mul(w, a, b);
    return (Pair){p, product_error(w, a, b, p)};
}

static Pair pair_mul(Walk *w, Pair a, Pair b)
{
    Pair p = two_product(w, a.hi, b.hi);
    LLVMValueRef cross = f_add(w, f_mul(w, a.hi, b.lo), f_mul(w, a.lo, b.hi));
    return (Pair){p.hi, f_add(w, p.lo, cross)};
}

static Pair pair_add(Walk *w, Pair a, Pair b)
{
    Pair s = two_sum(w, a.hi, b.hi);
    return (Pair){s.hi, f_add(w, s.lo, f_add(w, a.lo, b.lo))};
}

/* ---- the logarithm ---- */

/* s = (m - 1) / (m + 1) */
static Pair quotient(Walk *w, LLVMValueRef m)
{
    LLVMValueRef one = v_same(w, m, 1), f = f_sub(w, m, one); /* exact */
    Pair d = two_sum(w, m, one);
    LLVMValueRef q = f_div(w, f, d.hi);
    Pair back = two_product(w, q, d.hi);
    LLVMValueRef rest = f_sub(w, f_sub(w, f_sub(w, f, back.hi), back.lo), f_mul(w, q, d.lo));
    return (Pair){q, f_div(w, rest, d.hi)};
}

/* 2s + s z (2/3 + z (2/5 + ...)), z = s^2: what follows 2/5 is small enough for one double. */
static Pair log_of_m(Walk *w, LLVMValueRef m)
{
    Pair s = quotient(w, m), z = pair_mul(w, s, s);
    LLVMValueRef t = f_mul(w, z.hi, math_poly(w, z.hi, COUNT(series), series));
    Pair c = {v_same(w, m, TWO_3RDS_HI), v_same(w, m, TWO_3RDS_LO)};
    Pair u = pair_add(w, c, (Pair){t, v_same(w, m, 0)});
    Pair v = pair_mul(w, pair_mul(w, u, z), s);
    return pair_add(w, (Pair){f_add(w, s.hi, s.hi), f_add(w, s.lo, s.lo)}, v);
}

static Pair log_pair(Walk *w, LLVMValueRef x)
{
    LLVMValueRef m, k;
    math_split(w, x, &m, &k);
    Pair ln2 = {f_mul(w, k, v_same(w, x, LN2_HI)), f_mul(w, k, v_same(w, x, LN2_LO))};
    Pair l = pair_add(w, ln2, log_of_m(w, m));
    return two_sum(w, l.hi, l.lo);
}

/* ---- the power of a positive number ---- */

static LLVMValueRef clamp(Walk *w, LLVMValueRef x, double limit)
{
    LLVMValueRef hi = v_same(w, x, limit), lo = v_same(w, x, -limit);
    x = v_select(w, f_cmp(w, LLVMRealOGT, x, hi), hi, x);
    return v_select(w, f_cmp(w, LLVMRealOLT, x, lo), lo, x);
}

/* Beyond 2^65 every power but that of 1 over- or underflows. */
static LLVMValueRef power_precise(Walk *w, LLVMValueRef x, LLVMValueRef y)
{
    Pair l = log_pair(w, x);
    y = clamp(w, y, 0x1p65);
    Pair p = two_product(w, y, l.hi);
    LLVMValueRef lo = f_add(w, p.lo, f_mul(w, y, l.lo));
    LLVMValueRef fits =
        f_cmp(w, LLVMRealOLT, v_intrinsic1(w, "llvm.fabs", p.hi), v_same(w, x, 1000));
    return math_exp_sum(w, p.hi, v_select(w, fits, lo, v_same(w, x, 0)));
}

static LLVMValueRef power_plain(Walk *w, LLVMValueRef x, LLVMValueRef y)
{
    return math_exp(w, f_mul(w, clamp(w, y, 0x1p65), math_log(w, x)));
}

/* ---- special cases ---- */

static LLVMValueRef is_integer(Walk *w, LLVMValueRef x)
{
    return f_cmp(w, LLVMRealOEQ, v_floor(w, x), x);
}

/* 0 and infinity as |x|: r where it is neither. */
static LLVMValueRef with_ends(Walk *w, LLVMValueRef a, LLVMValueRef y, LLVMValueRef r)
{
    LLVMValueRef zero = v_same(w, a, 0), inf = v_same(w, a, INFINITY);
    LLVMValueRef down = f_cmp(w, LLVMRealOLT, y, zero);
    LLVMValueRef at_zero = v_select(w, down, inf, zero), at_inf = v_select(w, down, zero, inf);
    r = v_select(w, f_cmp(w, LLVMRealOEQ, a, zero), at_zero, r);
    return v_select(w, f_cmp(w, LLVMRealOEQ, a, inf), at_inf, r);
}

/* The sign of x, or NaN for a negative number to a fraction. r is |x|^y. */
static LLVMValueRef with_sign(Walk *w, LLVMValueRef x, LLVMValueRef y, LLVMValueRef r)
{
    LLVMValueRef half = f_mul(w, y, v_same(w, y, 0.5)), whole = is_integer(w, y);
    LLVMValueRef odd = i_and(w, whole, LLVMBuildNot(w->b, is_integer(w, half), ""));
    r = v_select(w, odd, v_copysign(w, r, x), r);
    LLVMValueRef below = f_cmp(w, LLVMRealOLT, x, v_same(w, x, 0));
    LLVMValueRef finite = f_cmp(w, LLVMRealOGT, x, v_same(w, x, -INFINITY));
    LLVMValueRef bad = i_and(w, i_and(w, below, finite), LLVMBuildNot(w->b, whole, ""));
    return v_select(w, bad, v_same(w, x, NAN), r);
}

LLVMValueRef math_pow(Walk *w, LLVMValueRef x, LLVMValueRef y, bool precise)
{
    LLVMValueRef a = v_intrinsic1(w, "llvm.fabs", x), one = v_same(w, x, 1);
    LLVMValueRef r = precise ? power_precise(w, a, y) : power_plain(w, a, y);
    r = with_sign(w, x, y, with_ends(w, a, y, r));
    r = v_select(w, f_cmp(w, LLVMRealUNO, x, y), f_add(w, x, y), r);
    r = v_select(w, f_cmp(w, LLVMRealOEQ, x, one), one, r);
    return v_select(w, f_cmp(w, LLVMRealOEQ, y, v_same(w, y, 0)), one, r);
}

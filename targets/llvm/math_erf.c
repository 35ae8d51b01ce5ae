/* SPDX-License-Identifier: Apache-2.0 */
/* erf of doubles as straight-line code, within 2 ulps. Below 1, x + x P(x^2); from 1 to 6, 1 -
 * exp(-x^2) Q(t) with t = (x - 3) / (x + 3), where what is taken away is below 1/6, so its own
 * error hardly counts; beyond, 1. P and Q interpolate at Chebyshev points: P to 2^-62 (absolute),
 * Q, which is exp(x^2) erfc(x), to 2^-54 (relative). */
#include "targets/llvm/walk_impl.h"

static const double p_coef[] = {
    0x1.05ffd737fb32ep-34, -0x1.389d4f2641625p-30, 0x1.f7b4bf3b13964p-27, -0x1.5f1ecb6f0764cp-23,
    0x1.b9df224ca4b97p-20, -0x1.f4d1e3183f7aep-17, 0x1.f9a321d5b8e1ep-14, -0x1.c02db3dac435fp-11,
    0x1.565bcd0dbaa38p-8,  -0x1.b82ce31284e00p-6,  0x1.ce2f21a042b30p-4,  -0x1.812746b0379e6p-2,
    0x1.06eba8214db69p-3};

static const double q_coef[] = {
    0x1.d0badb83f2cadp-29,  0x1.56695202d55bcp-20, 0x1.0e3fb74fdc507p-19, -0x1.0cc37e8e915adp-17,
    -0x1.af086905fc57fp-17, 0x1.0cb2e63fe2177p-14, 0x1.7b9ef7977ceafp-15, -0x1.39085f2b38287p-11,
    0x1.73101f6d2e434p-11,  0x1.17c839090a469p-8,  -0x1.8fa58eb5ea92cp-6, 0x1.258b13b00ec66p-4,
    -0x1.336ffbef08b8ap-3,  0x1.f6ff204105a04p-3,  -0x1.4e102b9cf8513p-2, 0x1.6e9827d229d2dp-3};

LLVMValueRef math_erf(Walk *w, LLVMValueRef x)
{
    LLVMValueRef one = v_same(w, x, 1), three = v_same(w, x, 3), six = v_same(w, x, 6);
    LLVMValueRef a = v_intrinsic1(w, "llvm.fabs", x);
    a = v_select(w, f_cmp(w, LLVMRealOGT, a, six), six, a);
    LLVMValueRef z = f_mul(w, a, a);
    LLVMValueRef small = v_fma(w, a, math_poly(w, z, COUNT(p_coef), p_coef), a);
    LLVMValueRef t = f_div(w, f_sub(w, a, three), f_add(w, a, three));
    LLVMValueRef e = math_exp(w, LLVMBuildFNeg(w->b, z, ""));
    LLVMValueRef large = f_sub(w, one, f_mul(w, e, math_poly(w, t, COUNT(q_coef), q_coef)));
    LLVMValueRef r = v_select(w, f_cmp(w, LLVMRealOLT, a, one), small, large);
    return v_copysign(w, r, x);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions: between dtypes, and between what memory holds and what is computed with. Halves are
 * computed in float; their conversions are integer arithmetic where the CPU has none, bf16 always.
 * Every conversion to a narrower float rounds once, to nearest even, as ir/elem.c does. */
#include "targets/llvm/walk_impl.h"

#include <string.h>

static LLVMTypeRef int_type(Walk *w, unsigned bits)
{
    return LLVMIntTypeInContext(w->ctx, bits);
}

static LLVMValueRef resize(Walk *w, LLVMValueRef v, unsigned bits, bool is_signed)
{
    return LLVMBuildIntCast2(w->b, v, v_like(int_type(w, bits), v), is_signed, "");
}

static LLVMValueRef as_float(Walk *w, LLVMValueRef bits)
{
    return v_from_bits(w, bits, LLVMFloatTypeInContext(w->ctx));
}

/* ---- bf16: the upper half of a float ---- */

static LLVMValueRef bf16_to_f32(Walk *w, LLVMValueRef h)
{
    LLVMValueRef u = resize(w, h, 32, false);
    return as_float(w, i_shl(w, u, v_same_int(w, u, 16)));
}

static LLVMValueRef f32_to_bf16(Walk *w, LLVMValueRef f)
{
    LLVMValueRef u = v_bits(w, f), c16 = v_same_int(w, u, 16);
    LLVMValueRef top = i_lshr(w, u, c16);
    LLVMValueRef odd = i_and(w, top, v_same_int(w, u, 1));
    LLVMValueRef up = i_add(w, u, i_add(w, odd, v_same_int(w, u, 0x7fff)));
    LLVMValueRef quiet = i_or(w, top, v_same_int(w, u, 0x40));
    LLVMValueRef nan = f_cmp(w, LLVMRealUNO, f, f);
    return resize(w, v_select(w, nan, quiet, i_lshr(w, up, c16)), 16, false);
}

/* The halves of which bf16_to_f32 made f, or NULL: what was rounded is not rounded again. */
static LLVMValueRef bf16_behind(LLVMValueRef f)
{
    static const LLVMOpcode chain[] = {LLVMBitCast, LLVMShl, LLVMZExt};
    for (int i = 0; i < COUNT(chain); i++) {
        if (!LLVMIsAInstruction(f) || LLVMGetInstructionOpcode(f) != chain[i]) return NULL;
        f = LLVMGetOperand(f, 0);
    }
    LLVMTypeRef t = v_element(f);
    return LLVMGetIntTypeWidth(t) == 16 ? f : NULL;
}

/* vcvtneps2bf16, which makes subnormal numbers 0, as the products of claims do. */
static LLVMValueRef bf16_convert(Walk *w, LLVMValueRef f)
{
    static const char name[] = "llvm.x86.avx512bf16.cvtneps2bf16.512";
    unsigned id = LLVMLookupIntrinsicID(name, sizeof name - 1);
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(w->mod, id, NULL, 0);
    LLVMTypeRef type = LLVMIntrinsicGetType(w->ctx, id, NULL, 0);
    return v_from_bits(w, LLVMBuildCall2(w->b, type, fn, &f, 1, ""), int_type(w, 16));
}

static LLVMValueRef bf16_store(Walk *w, LLVMValueRef f)
{
    bool claimed = w->k->offer.claim >= 0 && strstr(walk_row(w)->needs, "avx512bf16");
    LLVMValueRef behind = bf16_behind(f);
    if (behind) return behind;
    if (claimed && v_is_vec(f) && LLVMGetVectorSize(LLVMTypeOf(f)) == 16) return bf16_convert(w, f);
    return f32_to_bf16(w, f);
}

/* ---- f16 without instructions ---- */

/* Multiplying by 2^112 moves the exponent, and normalises what was subnormal. */
static LLVMValueRef f16_to_f32(Walk *w, LLVMValueRef h)
{
    LLVMValueRef u = resize(w, h, 32, false);
    LLVMValueRef mag = i_and(w, u, v_same_int(w, u, 0x7fff));
    LLVMValueRef sign = i_shl(w, i_xor(w, u, mag), v_same_int(w, u, 16));
    LLVMValueRef wide = i_shl(w, mag, v_same_int(w, u, 13)), f = as_float(w, wide);
    LLVMValueRef finite = v_bits(w, f_mul(w, f, v_same(w, f, 0x1p112)));
    LLVMValueRef special = i_or(w, wide, v_same_int(w, u, 0x7f800000));
    LLVMValueRef huge = i_cmp(w, LLVMIntUGE, mag, v_same_int(w, u, 0x7c00));
    return as_float(w, i_or(w, v_select(w, huge, special, finite), sign));
}

static LLVMValueRef f16_normal(Walk *w, LLVMValueRef mag)
{
    LLVMValueRef c13 = v_same_int(w, mag, 13);
    LLVMValueRef odd = i_and(w, i_lshr(w, mag, c13), v_same_int(w, mag, 1));
    LLVMValueRef up = i_add(w, mag, i_add(w, odd, v_same_int(w, mag, 0xfff - (112 << 23))));
    return i_lshr(w, up, c13);
}

/* One half has units of 2^-24, those of a subnormal: the sum rounds, its low bits are the
 * result. */
static LLVMValueRef f16_subnormal(Walk *w, LLVMValueRef mag)
{
    LLVMValueRef f = as_float(w, mag);
    LLVMValueRef sum = v_bits(w, f_add(w, f, v_same(w, f, 0.5)));
    return i_sub(w, sum, v_same_int(w, sum, 0x3f000000));
}

static LLVMValueRef f16_nan(Walk *w, LLVMValueRef mag)
{
    LLVMValueRef payload = i_lshr(w, mag, v_same_int(w, mag, 13));
    payload = i_and(w, payload, v_same_int(w, mag, 0x3ff));
    return i_or(w, payload, v_same_int(w, mag, 0x7e00));
}

static LLVMValueRef above(Walk *w, LLVMIntPredicate p, LLVMValueRef mag, int64_t limit,
                          LLVMValueRef yes, LLVMValueRef no)
{
    return v_select(w, i_cmp(w, p, mag, v_same_int(w, mag, limit)), yes, no);
}

static LLVMValueRef f32_to_f16(Walk *w, LLVMValueRef f)
{
    LLVMValueRef u = v_bits(w, f), mag = i_and(w, u, v_same_int(w, u, 0x7fffffff));
    LLVMValueRef sign = i_lshr(w, i_xor(w, u, mag), v_same_int(w, u, 16));
    LLVMValueRef r =
        above(w, LLVMIntUGE, mag, 0x38800000, f16_normal(w, mag), f16_subnormal(w, mag));
    r = above(w, LLVMIntUGE, mag, 0x47800000, v_same_int(w, u, 0x7c00), r);
    r = above(w, LLVMIntUGT, mag, 0x7f800000, f16_nan(w, mag), r);
    return resize(w, i_or(w, r, sign), 16, false);
}

/* ---- storage ---- */

LLVMTypeRef walk_storage(Walk *w, DType d)
{
    switch (d) {
    case DT_F16:
    case DT_BF16: return int_type(w, 16);
    case DT_BOOL: return int_type(w, 8);
    default: return walk_type(w, d);
    }
}

static LLVMValueRef half_load(Walk *w, LLVMValueRef h)
{
    if (!walk_row(w)->halves) return f16_to_f32(w, h);
    LLVMValueRef v = v_from_bits(w, h, LLVMHalfTypeInContext(w->ctx));
    return LLVMBuildFPExt(w->b, v, v_like(LLVMFloatTypeInContext(w->ctx), h), "");
}

static LLVMValueRef half_store(Walk *w, LLVMValueRef f)
{
    if (!walk_row(w)->halves) return f32_to_f16(w, f);
    LLVMValueRef v = LLVMBuildFPTrunc(w->b, f, v_like(LLVMHalfTypeInContext(w->ctx), f), "");
    return v_from_bits(w, v, int_type(w, 16));
}

LLVMValueRef walk_widen(Walk *w, DType d, LLVMValueRef v)
{
    switch (d) {
    case DT_F16: return half_load(w, v);
    case DT_BF16: return bf16_to_f32(w, v);
    case DT_BOOL: return i_cmp(w, LLVMIntNE, v, v_same_int(w, v, 0));
    default: return v;
    }
}

LLVMValueRef to_storage(Walk *w, DType d, LLVMValueRef v)
{
    switch (d) {
    case DT_F16: return half_store(w, v);
    case DT_BF16: return bf16_store(w, v);
    case DT_BOOL: return resize(w, v, 8, false);
    default: return v;
    }
}

LLVMValueRef walk_round_to(Walk *w, DType d, LLVMValueRef v)
{
    if (d != DT_F16 && d != DT_BF16) return v;
    return walk_widen(w, d, to_storage(w, d, v));
}

/* ---- casts ---- */

static bool is_unsigned(DType d)
{
    return d == DT_U8 || d == DT_BOOL;
}

/* The float towards zero from v, its last bit set if inexact: rounding it again rounds v once. */
static LLVMValueRef float_odd(Walk *w, LLVMValueRef v)
{
    LLVMTypeRef f32 = LLVMFloatTypeInContext(w->ctx);
    LLVMValueRef f = LLVMBuildFPTrunc(w->b, v, v_like(f32, v), "");
    LLVMValueRef back = LLVMBuildFPExt(w->b, f, LLVMTypeOf(v), ""), u = v_bits(w, f);
    LLVMValueRef far =
        f_cmp(w, LLVMRealOGT, v_intrinsic1(w, "llvm.fabs", back), v_intrinsic1(w, "llvm.fabs", v));
    LLVMValueRef one = v_same_int(w, u, 1);
    LLVMValueRef odd = i_or(w, v_select(w, far, i_sub(w, u, one), u), one);
    LLVMValueRef inexact = f_cmp(w, LLVMRealONE, back, v);
    return as_float(w, v_select(w, inexact, odd, u));
}

static LLVMValueRef float_to_float(Walk *w, DType from, DType to, LLVMValueRef v)
{
    if (from == DT_F64 && (to == DT_F16 || to == DT_BF16))
        return walk_round_to(w, to, float_odd(w, v));
    return walk_round_to(w, to, LLVMBuildFPCast(w->b, v, v_like(walk_type(w, to), v), ""));
}

static LLVMValueRef int_to_float(Walk *w, DType from, DType to, LLVMValueRef v)
{
    bool half = to == DT_F16 || to == DT_BF16;
    LLVMTypeRef t = v_like(walk_type(w, half ? DT_F64 : to), v);
    LLVMValueRef f =
        is_unsigned(from) ? LLVMBuildUIToFP(w->b, v, t, "") : LLVMBuildSIToFP(w->b, v, t, "");
    return half ? float_to_float(w, DT_F64, to, f) : f;
}

/* Truncates and saturates; NaN gives 0. */
static LLVMValueRef float_to_int(Walk *w, DType to, LLVMValueRef v)
{
    const char *name = to == DT_U8 ? "llvm.fptoui.sat" : "llvm.fptosi.sat";
    unsigned id = LLVMLookupIntrinsicID(name, 15);
    LLVMTypeRef over[2] = {v_like(walk_type(w, to), v), LLVMTypeOf(v)};
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(w->mod, id, over, 2);
    return LLVMBuildCall2(w->b, LLVMIntrinsicGetType(w->ctx, id, over, 2), fn, &v, 1, "");
}

static LLVMValueRef to_bool(Walk *w, DType from, LLVMValueRef v)
{
    if (from == DT_BOOL) return v;
    if (dtype_is_float(from)) return f_cmp(w, LLVMRealUNE, v, v_same(w, v, 0));
    return i_cmp(w, LLVMIntNE, v, v_same_int(w, v, 0));
}

LLVMValueRef walk_cast(Walk *w, DType from, DType to, LLVMValueRef v)
{
    if (to == DT_BOOL) return to_bool(w, from, v);
    if (dtype_is_float(from))
        return dtype_is_float(to) ? float_to_float(w, from, to, v) : float_to_int(w, to, v);
    if (dtype_is_float(to)) return int_to_float(w, from, to, v);
    return resize(w, v, 8 * (unsigned)dtype_bytes(to), !is_unsigned(from));
}

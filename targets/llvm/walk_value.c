/* SPDX-License-Identifier: Apache-2.0 */
/* Typed constants, lanes and the few intrinsics that every target expands inline. What a CPU has no
 * instruction for is written out, because LLVM would call libm for it. */
#include <math.h>
#include <string.h>

#include "targets/llvm/walk_impl.h"

enum { MOST_LANES = 256 };

bool v_is_vec(LLVMValueRef v)
{
    return LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind;
}

LLVMTypeRef v_element(LLVMValueRef v)
{
    return v_is_vec(v) ? LLVMGetElementType(LLVMTypeOf(v)) : LLVMTypeOf(v);
}

LLVMTypeRef v_like(LLVMTypeRef element, LLVMValueRef model)
{
    return v_is_vec(model) ? LLVMVectorType(element, LLVMGetVectorSize(LLVMTypeOf(model)))
                           : element;
}

static LLVMValueRef const_of(LLVMTypeRef t, LLVMValueRef scalar)
{
    LLVMValueRef lane[MOST_LANES];
    if (LLVMGetTypeKind(t) != LLVMVectorTypeKind) return scalar;
    unsigned n = LLVMGetVectorSize(t);
    check(n <= MOST_LANES);
    for (unsigned i = 0; i < n; i++) lane[i] = scalar;
    return LLVMConstVector(lane, n);
}

static LLVMTypeRef element_of(LLVMTypeRef t)
{
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? LLVMGetElementType(t) : t;
}

LLVMValueRef v_int(Walk *w, LLVMTypeRef t, int64_t v)
{
    (void)w;
    return const_of(t, LLVMConstInt(element_of(t), (uint64_t)v, true));
}

LLVMValueRef v_real(Walk *w, LLVMTypeRef t, double v)
{
    (void)w;
    return const_of(t, LLVMConstReal(element_of(t), v));
}

LLVMValueRef v_same(Walk *w, LLVMValueRef model, double v)
{
    return v_real(w, LLVMTypeOf(model), v);
}

LLVMValueRef v_same_int(Walk *w, LLVMValueRef model, int64_t v)
{
    return v_int(w, LLVMTypeOf(model), v);
}

static LLVMValueRef lane_number(Walk *w, int lane)
{
    return LLVMConstInt(LLVMInt32TypeInContext(w->ctx), (uint64_t)lane, false);
}

LLVMValueRef v_lane(Walk *w, LLVMValueRef vec, int lane)
{
    return v_is_vec(vec) ? LLVMBuildExtractElement(w->b, vec, lane_number(w, lane), "") : vec;
}

LLVMValueRef v_set_lane(Walk *w, LLVMValueRef vec, LLVMValueRef v, int lane)
{
    return LLVMBuildInsertElement(w->b, vec, v, lane_number(w, lane), "");
}

LLVMValueRef walk_own_register(Walk *w, LLVMValueRef at)
{
    LLVMTypeRef ptr = LLVMTypeOf(at), type = LLVMFunctionType(ptr, &ptr, 1, 0);
    LLVMValueRef none = LLVMGetInlineAsm(type, "", 0, "=r,0", 4, 0, 0, LLVMInlineAsmDialectATT, 0);
    return LLVMBuildCall2(w->b, type, none, &at, 1, "");
}

LLVMValueRef v_bits(Walk *w, LLVMValueRef v)
{
    bool wide = LLVMGetTypeKind(v_element(v)) == LLVMDoubleTypeKind;
    LLVMTypeRef t = wide ? LLVMInt64TypeInContext(w->ctx) : LLVMInt32TypeInContext(w->ctx);
    return LLVMBuildBitCast(w->b, v, v_like(t, v), "");
}

LLVMValueRef v_from_bits(Walk *w, LLVMValueRef v, LLVMTypeRef element)
{
    return LLVMBuildBitCast(w->b, v, v_like(element, v), "");
}

LLVMValueRef v_intrinsic(Walk *w, const char *name, int n, LLVMValueRef *arg)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (!id) die("LLVM has no %s", name);
    LLVMTypeRef over = LLVMTypeOf(arg[0]);
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(w->mod, id, &over, 1);
    LLVMTypeRef type = LLVMIntrinsicGetType(w->ctx, id, &over, 1);
    return LLVMBuildCall2(w->b, type, fn, arg, (unsigned)n, "");
}

LLVMValueRef v_intrinsic1(Walk *w, const char *name, LLVMValueRef a)
{
    return v_intrinsic(w, name, 1, &a);
}

LLVMValueRef v_intrinsic2(Walk *w, const char *name, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef arg[2] = {a, b};
    return v_intrinsic(w, name, 2, arg);
}

LLVMValueRef v_fma(Walk *w, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    LLVMValueRef arg[3] = {a, b, c};
    if (w->target->fma) return v_intrinsic(w, "llvm.fma", 3, arg);
    return f_add(w, f_mul(w, a, b), c);
}

LLVMValueRef v_select(Walk *w, LLVMValueRef cond, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(w->b, cond, a, b, "");
}

LLVMValueRef v_copysign(Walk *w, LLVMValueRef magnitude, LLVMValueRef sign)
{
    return v_intrinsic2(w, "llvm.copysign", magnitude, sign);
}

/* Adding and taking away 2^52 (2^23) drops the fraction; larger numbers, infinities, NaN have
 * none. */
static LLVMValueRef round_by_magic(Walk *w, LLVMValueRef x)
{
    bool wide = LLVMGetTypeKind(v_element(x)) == LLVMDoubleTypeKind;
    LLVMValueRef magic = v_same(w, x, wide ? 0x1p52 : 0x1p23);
    LLVMValueRef mag = v_intrinsic1(w, "llvm.fabs", x);
    LLVMValueRef r = f_sub(w, f_add(w, mag, magic), magic);
    r = v_copysign(w, r, x);
    return v_select(w, f_cmp(w, LLVMRealOLT, mag, magic), r, x);
}

LLVMValueRef v_round(Walk *w, LLVMValueRef x)
{
    return walk_row(w)->rounds ? v_intrinsic1(w, "llvm.roundeven", x) : round_by_magic(w, x);
}

LLVMValueRef v_floor(Walk *w, LLVMValueRef x)
{
    if (walk_row(w)->rounds) return v_intrinsic1(w, "llvm.floor", x);
    LLVMValueRef r = round_by_magic(w, x);
    LLVMValueRef down = f_sub(w, r, v_same(w, x, 1));
    r = v_select(w, f_cmp(w, LLVMRealOGT, r, x), down, r);
    return v_copysign(w, r, x); /* -0 stays */
}

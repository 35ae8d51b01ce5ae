/* SPDX-License-Identifier: Apache-2.0 */
/* Integer sums and products with their constants outermost: (x + 1) * 16 is x * 16 + 16. Places
 * that lie a constant apart then share all else, and constants become displacements in
 * instructions. LLVM does the same for a place of its own, but not for parts that several places
 * have in common: a Winograd tile of 4x4 results in three layouts spent a fifth of its instructions
 * on addresses. */
#include "targets/llvm/walk_impl.h"

static bool is_op(LLVMValueRef v, LLVMOpcode op)
{
    return LLVMIsAInstruction(v) && LLVMGetInstructionOpcode(v) == op;
}

/* v without the constant that it adds; that, or NULL, in *c. */
static LLVMValueRef without_constant(LLVMValueRef v, LLVMValueRef *c)
{
    *c = NULL;
    if (!is_op(v, LLVMAdd) || !LLVMIsConstant(LLVMGetOperand(v, 1))) return v;
    *c = LLVMGetOperand(v, 1);
    return LLVMGetOperand(v, 0);
}

LLVMValueRef index_add(Walk *w, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef ca, cb, x = without_constant(a, &ca), y = without_constant(b, &cb);
    if (!ca && !cb) return LLVMBuildNSWAdd(w->b, a, b, "");
    if (LLVMIsConstant(x)) return LLVMIsConstant(y) ? i_add(w, a, b) : index_add(w, b, a);
    if (LLVMIsConstant(y)) return i_add(w, x, ca ? i_add(w, ca, y) : y);
    LLVMValueRef c = ca && cb ? i_add(w, ca, cb) : ca ? ca : cb;
    return i_add(w, i_add(w, x, y), c);
}

LLVMValueRef index_mul(Walk *w, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef c, x = without_constant(a, &c);
    if (LLVMIsConstant(a) && !LLVMIsConstant(b)) return index_mul(w, b, a);
    if (!c || !LLVMIsConstant(b)) return LLVMBuildNSWMul(w->b, a, b, "");
    return i_add(w, i_mul(w, x, b), i_mul(w, c, b));
}

LLVMValueRef index_shift(Walk *w, LLVMValueRef v, int by)
{
    LLVMValueRef c, x = without_constant(v, &c);
    bool splits = c && LLVMIsAConstantInt(c) && LLVMConstIntGetSExtValue(c) % (1 << by) == 0;
    if (!splits) return i_ashr(w, v, v_same_int(w, v, by));
    return i_add(w, i_ashr(w, x, v_same_int(w, x, by)),
                 v_same_int(w, x, LLVMConstIntGetSExtValue(c) >> by));
}

static LLVMValueRef splat_of(LLVMValueRef v)
{
    if (!is_op(v, LLVMShuffleVector)) return NULL;
    for (unsigned i = 0; i < LLVMGetNumMaskElements(v); i++)
        if (LLVMGetMaskValue(v, i) != 0) return NULL;
    LLVMValueRef first = LLVMGetOperand(v, 0);
    if (!is_op(first, LLVMInsertElement)) return NULL;
    LLVMValueRef at = LLVMGetOperand(first, 2);
    return LLVMIsAConstantInt(at) && LLVMConstIntGetZExtValue(at) == 0 ? LLVMGetOperand(first, 1)
                                                                       : NULL;
}

LLVMValueRef index_lane(Walk *w, LLVMValueRef v, int lane)
{
    LLVMValueRef one = v_is_vec(v) ? splat_of(v) : v;
    if (one) return one;
    if (is_op(v, LLVMAdd) || is_op(v, LLVMMul)) {
        LLVMValueRef a = index_lane(w, LLVMGetOperand(v, 0), lane);
        LLVMValueRef b = index_lane(w, LLVMGetOperand(v, 1), lane);
        return is_op(v, LLVMAdd) ? index_add(w, a, b) : index_mul(w, a, b);
    }
    return v_lane(w, v, lane);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Masked loads, in pieces that a register holds. LLVM 22 splits a wider one itself, and where half
 * of its mask is false for good it reads that half without a mask: of `c ? {0,0,0,0,1,0,0,0} : 0`
 * over eight doubles, AVX2 code loads the first four. In pieces such a mask is a constant, and the
 * load goes away before that. */
#include "targets/llvm/walk_impl.h"

enum { MOST_LANES = 64 };

/* Lane i of the result is lane first + i of a and b side by side, for i in [0, n); else poison. */
static LLVMValueRef lanes_from(Walk *w, LLVMValueRef a, LLVMValueRef b, int first, int n, int width)
{
    LLVMTypeRef i32 = LLVMInt32TypeInContext(w->ctx);
    LLVMValueRef mask[MOST_LANES];
    check(width <= MOST_LANES);
    for (int i = 0; i < width; i++)
        mask[i] = i < n ? LLVMConstInt(i32, (unsigned)(first + i), false) : LLVMGetPoison(i32);
    return LLVMBuildShuffleVector(w->b, a, b, LLVMConstVector(mask, (unsigned)width), "");
}

static LLVMValueRef slice(Walk *w, LLVMValueRef v, int first, int n)
{
    return lanes_from(w, v, LLVMGetPoison(LLVMTypeOf(v)), first, n, n);
}

/* v, whose first `have` lanes are set, and behind them those of `piece`. */
static LLVMValueRef append(Walk *w, LLVMValueRef v, int have, LLVMValueRef piece, int n)
{
    if (!have) return piece;
    LLVMValueRef wide = lanes_from(w, piece, LLVMGetPoison(LLVMTypeOf(piece)), 0, n, have);
    return lanes_from(w, v, wide, 0, have + n, have + n);
}

static LLVMValueRef load_piece(Walk *w, LLVMTypeRef t, LLVMValueRef ptr, LLVMValueRef mask,
                               unsigned align)
{
    unsigned id = LLVMLookupIntrinsicID("llvm.masked.load", 16);
    LLVMTypeRef over[2] = {t, LLVMTypeOf(ptr)};
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(w->mod, id, over, 2);
    LLVMValueRef arg[3] = {ptr, mask, LLVMConstNull(t)};
    LLVMValueRef v =
        LLVMBuildCall2(w->b, LLVMIntrinsicGetType(w->ctx, id, over, 2), fn, arg, 3, "");
    unsigned kind = LLVMGetEnumAttributeKindForName("align", 5);
    LLVMAddCallSiteAttribute(v, 1, LLVMCreateEnumAttribute(w->ctx, kind, align));
    return v;
}

LLVMValueRef masked_load(Walk *w, LLVMTypeRef element, int bytes, LLVMValueRef ptr,
                         LLVMValueRef mask)
{
    int lanes = (int)LLVMGetVectorSize(LLVMTypeOf(mask)), most = w->target->vec_bytes / bytes;
    if (most < 1 || most > lanes) most = lanes;
    LLVMValueRef all = NULL;
    for (int at = 0; at < lanes; at += most) {
        int n = lanes - at < most ? lanes - at : most;
        LLVMTypeRef t = LLVMVectorType(element, (unsigned)n);
        LLVMValueRef i = walk_i64(w, at), from = LLVMBuildGEP2(w->b, element, ptr, &i, 1, "");
        LLVMValueRef part = slice(w, mask, at, n);
        all = append(w, all, at, load_piece(w, t, from, part, (unsigned)bytes), n);
    }
    return all;
}

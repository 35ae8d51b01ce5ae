/* SPDX-License-Identifier: Apache-2.0 */
/* Loops of the walk: do-while, one back edge, accumulators as phis of the head. Ranges of pieces,
 * and how they fall on the loops of a nest. */
#include "targets/llvm/walk_impl.h"

static void branch_into(Walk *w, LLVMBasicBlockRef block)
{
    LLVMBuildBr(w->b, block);
    LLVMPositionBuilderAtEnd(w->b, block);
}

static LLVMValueRef phi_from(Walk *w, LLVMValueRef first, LLVMBasicBlockRef before)
{
    LLVMValueRef phi = LLVMBuildPhi(w->b, LLVMTypeOf(first), "");
    LLVMAddIncoming(phi, &first, &before, 1);
    return phi;
}

Loop loop_begin(Walk *w, const char *name, LLVMValueRef from, LLVMValueRef to, int64_t step,
                int nacc, const LLVMValueRef *init)
{
    check(nacc <= COUNT(((Loop *)0)->acc));
    Loop l = {.before = LLVMGetInsertBlock(w->b), .to = to, .step = step, .nacc = nacc};
    l.head = LLVMAppendBasicBlockInContext(w->ctx, w->fn, name);
    branch_into(w, l.head);
    l.index = phi_from(w, from, l.before);
    for (int i = 0; i < nacc; i++) l.acc[i] = phi_from(w, init[i], l.before);
    return l;
}

void loop_end(Walk *w, Loop *l, const LLVMValueRef *next, LLVMValueRef *result)
{
    LLVMBasicBlockRef last = LLVMGetInsertBlock(w->b);
    LLVMValueRef index = LLVMBuildNSWAdd(w->b, l->index, walk_i64(w, l->step), "");
    LLVMValueRef again = i_cmp(w, LLVMIntSLT, index, l->to);
    LLVMBasicBlockRef exit = LLVMAppendBasicBlockInContext(w->ctx, w->fn, "");
    LLVMBuildCondBr(w->b, again, l->head, exit);
    LLVMAddIncoming(l->index, &index, &last, 1);
    for (int i = 0; i < l->nacc; i++) {
        LLVMValueRef value = next[i];
        LLVMAddIncoming(l->acc[i], &value, &last, 1);
        if (result) result[i] = value;
    }
    LLVMPositionBuilderAtEnd(w->b, exit);
}

/* ---- pieces ---- */

/* In 32 bits: small machines have no 64-bit division without a library. */
LLVMValueRef walk_quotient(Walk *w, LLVMValueRef v, int64_t by)
{
    LLVMTypeRef narrow = LLVMInt32TypeInContext(w->ctx);
    LLVMValueRef n = LLVMBuildTrunc(w->b, v, narrow, "");
    n = LLVMBuildUDiv(w->b, n, LLVMConstInt(narrow, (unsigned long long)by, false), "");
    return LLVMBuildZExt(w->b, n, LLVMTypeOf(v), "");
}

static LLVMValueRef select_if(Walk *w, LLVMIntPredicate p, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(w->b, i_cmp(w, p, a, b), a, b, "");
}

Slice slice_outer(Walk *w, Slice s, int64_t each)
{
    LLVMValueRef end = i_add(w, s.to, walk_i64(w, each - 1));
    return (Slice){walk_quotient(w, s.from, each), walk_quotient(w, end, each)};
}

Slice slice_part(Walk *w, Slice s, LLVMValueRef first, int64_t count)
{
    return (Slice){select_if(w, LLVMIntSGT, i_sub(w, s.from, first), walk_i64(w, 0)),
                   select_if(w, LLVMIntSLT, i_sub(w, s.to, first), walk_i64(w, count))};
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Loops of the walk: do-while, one back edge, accumulators as phis of the head. */
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

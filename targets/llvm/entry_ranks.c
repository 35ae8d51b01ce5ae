/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over ranks. A kernel has left this rank's part in a buffer; env->allreduce puts the sum of
 * all ranks' in its place. One worker calls it, while the others wait as they do for a kernel's
 * last piece. Without env->allreduce there is one rank, and its part is the sum. If it fails the
 * call is over: what is left of the phase runs on whatever is there, but calls nobody. */
#include "entry.h"

static LLVMValueRef stop_word(EntryGen *g, LLVMValueRef run)
{
    LLVMValueRef head = ib_get(&g->ib, g->run_t, run, RUN_SHARED);
    return ib_field(&g->ib, g->shared_t, head, SHARED_STOP);
}

static LLVMValueRef call_env(EntryGen *g, LLVMValueRef run, LLVMValueRef fn, const Buffer *b)
{
    Ib *ib = &g->ib;
    LLVMTypeRef t[] = {ib->ptr, ib->ptr, ib->size, ib->i32};
    uint64_t count = (uint64_t)(layout_bytes(&b->layout, b->dtype) / dtype_bytes(b->dtype));
    LLVMValueRef arg[] = {ib_get(ib, g->run_t, run, RUN_USER), entry_buffer(g, run, b),
                          LLVMConstInt(ib->size, count, 0), ib_i32(ib, b->dtype)};
    return ib_call(ib, ib_fn_type(ib->i32, 4, t), fn, 4, arg);
}

static void sum(EntryGen *g, LLVMValueRef run, const Buffer *b)
{
    Ib *ib = &g->ib;
    LLVMValueRef fn = ib_get(ib, g->run_t, run, RUN_ALLREDUCE), stop = stop_word(g, run);
    LLVMValueRef on = ib_cmp(ib, LLVMIntEQ, ib_load(ib, ib->i32, stop), ib_i32(ib, STOP_NOT));
    IbIf wanted = ib_if(ib, ib_and(ib, on, LLVMBuildNot(ib->b, ib_is_null(ib, fn), "")));
    LLVMValueRef code = call_env(g, run, fn, b);
    IbIf failed = ib_if(ib, ib_cmp(ib, LLVMIntNE, code, ib_i32(ib, 0)));
    LLVMValueRef store = LLVMBuildStore(ib->b, ib_i32(ib, STOP_FAILED), stop);
    LLVMSetOrdering(store, LLVMAtomicOrderingMonotonic);
    ib_end_if(ib, &failed);
    ib_end_if(ib, &wanted);
}

void entry_sum_ranks(EntryGen *g, LLVMValueRef run, const Call *c, int number)
{
    static const TeamShare whole = {.pieces = 1, .least = 1};
    const Buffer *b = call_across(g->m, g->p, c);
    if (!g->teams) {
        sum(g, run, b);
        return;
    }
    TeamLoop t = team_begin(g, run, number, &whole, ib_arg(&g->ib, 1), ib_arg(&g->ib, 2));
    sum(g, run, b);
    team_end(&t);
}

int phase_turns(const Phase *p)
{
    int n = p->ncall;
    for (int i = 0; i < p->ncall; i++) n += p->call[i].across;
    return n;
}

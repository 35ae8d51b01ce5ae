/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: what it does once, before its slot machine. It completes a private copy of the
 * call's Run record, so that workers share nothing but the head of the arena. */
#include "entry.h"

/* RUN_ARENA holds the first worker's part until each worker puts its own in its copy. */
static LLVMValueRef copy_run(EntryGen *g)
{
    Ib *ib = &g->ib;
    LLVMValueRef run = ib_record(ib, "run", g->run_t);
    ib_copy(ib, g->run_t, run, ib_arg(ib, 0));
    LLVMValueRef first = ib_get(ib, g->run_t, run, RUN_ARENA);
    LLVMValueRef worker = ib_to_i64(ib, ib_arg(ib, 1));
    LLVMValueRef skip = LLVMBuildMul(ib->b, worker, ib_i64(ib, g->p->worker_bytes), "");
    ib_put(ib, g->run_t, run, RUN_ARENA, ib_elem(ib, ib->i8, first, skip));
    return run;
}

/* An output nobody asked for goes to scratch, every sample over the last. */
static void scratch_outputs(EntryGen *g, LLVMValueRef run)
{
    Ib *ib = &g->ib;
    LLVMValueRef arena = ib_get(ib, g->run_t, run, RUN_ARENA);
    for (int i = 0; i < g->p->nio; i++) {
        if (!g->p->io[i].output) continue;
        LLVMValueRef given = run_item(g, run, RUN_IO, ib->ptr, i);
        IbIf none = ib_if(ib, ib_is_null(ib, given));
        ib_store(ib, run_item_at(g, run, RUN_IO, ib->ptr, i),
                 ib_at(ib, arena, g->p->scratch_offset));
        ib_store(ib, run_item_at(g, run, RUN_IO_STRIDE, ib->i64, i), ib_i64(ib, 0));
        ib_end_if(ib, &none);
    }
}

static void zero_halos(EntryGen *g, LLVMValueRef run)
{
    Ib *ib = &g->ib;
    if (!g->p->zero_bytes) return;
    LLVMValueRef at = ib_at(ib, ib_get(ib, g->run_t, run, RUN_ARENA), g->p->zero_offset);
    ib_zero(ib, at, g->p->zero_bytes);
}

LLVMValueRef entry_worker(EntryGen *g)
{
    LLVMValueRef fn = entry_inner(g, "worker", g->worker_t);
    LLVMValueRef run = copy_run(g);
    scratch_outputs(g, run);
    zero_halos(g, run);
    entry_slots(g, run);
    ib_return(&g->ib, NULL);
    return fn;
}

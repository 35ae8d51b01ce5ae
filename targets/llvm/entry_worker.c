/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: what it does once, before its slot machine. It completes a private copy of the
 * call's Run record, so that workers share nothing but the head of the arena. */
#include "entry.h"

static LLVMValueRef copy_run(EntryGen *g)
{
    Ib *ib = &g->ib;
    LLVMValueRef run = ib_record(ib, "run", g->run_t);
    ib_copy(ib, g->run_t, run, ib_arg(ib, 0));
    return run;
}

/* RUN_ARENA holds the arena behind its head: first what there is once. Then each worker has its
 * part, of which a team uses the first one's main part, and of each what is the worker's own. */
static void find_memory(EntryGen *g, LLVMValueRef run)
{
    Ib *ib = &g->ib;
    const Program *p = g->p;
    LLVMValueRef all = ib_get(ib, g->run_t, run, RUN_ARENA);
    LLVMValueRef first = ib_at(ib, all, p->shared_bytes - ARENA_HEAD);
    LLVMValueRef worker = ib_to_i64(ib, ib_arg(ib, 1));
    LLVMValueRef skip = LLVMBuildMul(ib->b, worker, ib_i64(ib, p->worker_bytes), "");
    LLVMValueRef part = ib_elem(ib, ib->i8, first, skip);
    LLVMValueRef team = ib_get(ib, g->run_t, run, RUN_TEAM);
    LLVMValueRef alone = ib_cmp(ib, LLVMIntEQ, team, ib_i32(ib, 0));
    ib_put(ib, g->run_t, run, RUN_ARENA, p->whole ? all : ib_select(ib, alone, part, first));
    ib_put(ib, g->run_t, run, RUN_OWN, p->whole ? part : ib_at(ib, part, p->main_bytes));
}

/* An output nobody asked for goes to scratch, every sample over the last. */
static void scratch_outputs(EntryGen *g, LLVMValueRef run)
{
    Ib *ib = &g->ib;
    LLVMValueRef own = ib_get(ib, g->run_t, run, RUN_OWN);
    for (int i = 0; i < g->p->nio; i++) {
        if (!g->p->io[i].output) continue;
        LLVMValueRef given = run_item(g, run, RUN_IO, ib->ptr, i);
        IbIf none = ib_if(ib, ib_is_null(ib, given));
        ib_store(ib, run_item_at(g, run, RUN_IO, ib->ptr, i),
                 ib_at(ib, own, g->p->scratch_offset - g->p->main_bytes));
        ib_store(ib, run_item_at(g, run, RUN_IO_STRIDE, ib->i64, i), ib_i64(ib, 0));
        ib_end_if(ib, &none);
    }
}

LLVMValueRef entry_worker(EntryGen *g)
{
    LLVMValueRef fn = entry_inner(g, "worker", g->worker_t);
    LLVMValueRef run = copy_run(g);
    find_memory(g, run);
    scratch_outputs(g, run);
    IbIf leads = ib_if(&g->ib, team_leads(g, run));
    entry_zero_halos(g, run);
    entry_slots(g, run);
    team_dismiss(g, run);
    ib_else(&g->ib, &leads);
    team_follow(g, run);
    ib_end_if(&g->ib, &leads);
    ib_return(&g->ib, NULL);
    return fn;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The slot machine: one worker's loop. Each of its slots holds one sample and is in one phase:
 *
 *   FREE -> NEW (init) -> RUN (step, again and again) -> JUDGE (judge) -> DONE (finish) -> FREE
 *
 * An iteration refills free slots, then runs each phase over the maximal runs of slots that are
 * in it, so a sample that is done holds back nobody. Samples are dealt by one shared counter;
 * which slot or worker gets a sample changes nothing in its result. Counts are kept by worker
 * and added at the end. */
#include "entry.h"

#include "runtime/adjoint_abi.h"

enum { SLOT_FREE, SLOT_NEW, SLOT_RUN, SLOT_JUDGE, SLOT_DONE };
enum { DONE_JUDGE = 1, DONE_FINISH = 2 }; /* values of buf_done */

typedef struct Slots {
    EntryGen *g;
    Ib *ib;
    const Program *p;
    LLVMValueRef run, arena, shared;
    LLVMValueRef n, first_id, ids, steps;
    LLVMValueRef used;       /* i64: slots in use */
    LLVMValueRef after_last; /* i32: SLOT_JUDGE, or SLOT_DONE if nothing is judged */
    LLVMValueRef phase, sample, id, t, limit, done; /* arrays by slot; NULL: absent */
    IbVar drained, live; /* i1: no sample is left; i64: slots that are not free */
    IbVar forwards, backwards, samples;
} Slots;

/* ---- arrays by slot ---- */

static LLVMValueRef get32(Slots *s, LLVMValueRef array, LLVMValueRef slot)
{
    return ib_load(s->ib, s->ib->i32, ib_elem(s->ib, s->ib->i32, array, slot));
}

static void put32(Slots *s, LLVMValueRef array, LLVMValueRef slot, LLVMValueRef v)
{
    if (array) ib_store(s->ib, ib_elem(s->ib, s->ib->i32, array, slot), v);
}

static void put64(Slots *s, LLVMValueRef array, LLVMValueRef slot, LLVMValueRef v)
{
    if (array) ib_store(s->ib, ib_elem(s->ib, s->ib->i64, array, slot), v);
}

static LLVMValueRef in_phase(Slots *s, LLVMValueRef slot, int phase)
{
    return ib_cmp(s->ib, LLVMIntEQ, get32(s, s->phase, slot), ib_i32(s->ib, phase));
}

static LLVMValueRef shared_at(Slots *s, int field)
{
    return ib_field(s->ib, s->g->shared_t, s->shared, field);
}

/* ---- refill ---- */

static LLVMValueRef identity(Slots *s, LLVMValueRef i)
{
    Ib *ib = s->ib;
    IbVar id = ib_var(ib, "id", ib->i64, ib_add(ib, s->first_id, i));
    IbIf none = ib_if(ib, ib_is_null(ib, s->ids));
    ib_else(ib, &none);
    ib_set(ib, id, ib_load(ib, ib->i64, ib_elem(ib, ib->i64, s->ids, i)));
    ib_end_if(ib, &none);
    return ib_value(ib, id);
}

static void fill(Slots *s, LLVMValueRef slot, LLVMValueRef i)
{
    Ib *ib = s->ib;
    put64(s, s->sample, slot, i);
    if (s->id) put64(s, s->id, slot, identity(s, i));
    put32(s, s->t, slot, ib_i32(ib, 0));
    put32(s, s->limit, slot, s->steps);
    put32(s, s->done, slot, ib_i32(ib, 0));
    put32(s, s->phase, slot, ib_i32(ib, SLOT_NEW));
    ib_inc(ib, s->live, ib_i64(ib, 1));
}

static void take_sample(Slots *s, LLVMValueRef slot)
{
    Ib *ib = s->ib;
    LLVMValueRef i = ib_fetch_add(ib, shared_at(s, SHARED_NEXT), ib_i64(ib, 1));
    IbIf left = ib_if(ib, ib_cmp(ib, LLVMIntSLT, i, s->n));
    fill(s, slot, i);
    ib_else(ib, &left);
    ib_set(ib, s->drained, LLVMConstInt(ib->i1, 1, 0));
    ib_end_if(ib, &left);
}

static void refill(Slots *s)
{
    Ib *ib = s->ib;
    IbFor f = ib_for(ib, ib_i64(ib, 0), s->used);
    ib_leave_if(ib, &f.loop, ib_value(ib, s->drained));
    LLVMValueRef slot = ib_value(ib, f.i);
    IbIf is_free = ib_if(ib, in_phase(s, slot, SLOT_FREE));
    take_sample(s, slot);
    ib_end_if(ib, &is_free);
    ib_end_for(ib, &f);
}

/* ---- phases over runs of slots ---- */

static void set_phase(Slots *s, LLVMValueRef lo, LLVMValueRef hi, int phase)
{
    IbFor f = ib_for(s->ib, lo, hi);
    put32(s, s->phase, ib_value(s->ib, f.i), ib_i32(s->ib, phase));
    ib_end_for(s->ib, &f);
}

static void call_phase(Slots *s, int phase, LLVMValueRef lo, LLVMValueRef hi)
{
    LLVMValueRef fn = s->g->phase_fn[phase], arg[] = {s->run, lo, hi};
    const Program *p = s->p;
    const Phase *const phases[] = {&p->init, &p->step, &p->judge, &p->finish};
    if (!fn) return;
    team_order(s->g, s->run, phase, lo, hi);
    ib_call(s->ib, s->g->phase_t, fn, 3, arg);
    team_ordered(s->g, s->run, phases[phase]);
}

static void count(Slots *s, IbVar counter, int each, LLVMValueRef lo, LLVMValueRef hi)
{
    LLVMValueRef slots = LLVMBuildSub(s->ib->b, hi, lo, "");
    ib_inc(s->ib, counter, LLVMBuildMul(s->ib->b, slots, ib_i64(s->ib, each), ""));
}

/* Where a slot of a loop goes: on, to its judge, or straight to its end. */
static LLVMValueRef loop_phase(Slots *s, LLVMValueRef slot)
{
    Ib *ib = s->ib;
    LLVMValueRef limit = s->limit ? get32(s, s->limit, slot) : s->steps;
    LLVMValueRef last = ib_cmp(ib, LLVMIntSGE, get32(s, s->t, slot), limit);
    LLVMValueRef done = s->done ? get32(s, s->done, slot) : ib_i32(ib, 0);
    last = ib_or(ib, last, ib_cmp(ib, LLVMIntEQ, done, ib_i32(ib, DONE_JUDGE)));
    LLVMValueRef next = ib_select(ib, last, s->after_last, ib_i32(ib, SLOT_RUN));
    LLVMValueRef finish = ib_cmp(ib, LLVMIntEQ, done, ib_i32(ib, DONE_FINISH));
    return ib_select(ib, finish, ib_i32(ib, SLOT_DONE), next);
}

static void settle(Slots *s, LLVMValueRef lo, LLVMValueRef hi)
{
    IbFor f = ib_for(s->ib, lo, hi);
    LLVMValueRef slot = ib_value(s->ib, f.i);
    put32(s, s->phase, slot, loop_phase(s, slot));
    ib_end_for(s->ib, &f);
}

/* A loop may have nothing to do: zero steps, or an init that says done. */
static void run_new(Slots *s, LLVMValueRef lo, LLVMValueRef hi)
{
    call_phase(s, PHASE_INIT, lo, hi);
    if (s->p->loop)
        settle(s, lo, hi);
    else
        set_phase(s, lo, hi, SLOT_RUN);
}

static void advance(Slots *s, LLVMValueRef lo, LLVMValueRef hi)
{
    IbFor f = ib_for(s->ib, lo, hi);
    LLVMValueRef slot = ib_value(s->ib, f.i);
    put32(s, s->t, slot, ib_add(s->ib, get32(s, s->t, slot), ib_i32(s->ib, 1)));
    ib_end_for(s->ib, &f);
}

static void run_step(Slots *s, LLVMValueRef lo, LLVMValueRef hi)
{
    call_phase(s, PHASE_STEP, lo, hi);
    count(s, s->forwards, s->p->step_forwards, lo, hi);
    count(s, s->backwards, s->p->step_backwards, lo, hi);
    if (s->t) advance(s, lo, hi);
    if (s->p->loop)
        settle(s, lo, hi);
    else
        set_phase(s, lo, hi, SLOT_DONE);
}

static void run_judge(Slots *s, LLVMValueRef lo, LLVMValueRef hi)
{
    call_phase(s, PHASE_JUDGE, lo, hi);
    count(s, s->forwards, s->p->judge_forwards, lo, hi);
    set_phase(s, lo, hi, SLOT_DONE);
}

static void run_done(Slots *s, LLVMValueRef lo, LLVMValueRef hi)
{
    call_phase(s, PHASE_FINISH, lo, hi);
    count(s, s->forwards, s->p->finish_forwards, lo, hi);
    count(s, s->backwards, s->p->finish_backwards, lo, hi);
    count(s, s->samples, 1, lo, hi);
    count(s, s->live, -1, lo, hi);
    set_phase(s, lo, hi, SLOT_FREE);
}

/* From slot `at`, which is in the phase, to the first that is not. */
static void skip_run(Slots *s, IbVar at, int phase)
{
    Ib *ib = s->ib;
    IbLoop l = ib_loop(ib);
    ib_inc(ib, at, ib_i64(ib, 1));
    LLVMValueRef slot = ib_value(ib, at);
    ib_leave_if(ib, &l, ib_cmp(ib, LLVMIntSGE, slot, s->used));
    ib_leave_if(ib, &l, LLVMBuildNot(ib->b, in_phase(s, slot, phase), ""));
    ib_end_loop(ib, &l);
}

/* body over each maximal run of slots in the phase; it may move them on. */
static void each_run(Slots *s, int phase, void (*body)(Slots *, LLVMValueRef, LLVMValueRef))
{
    Ib *ib = s->ib;
    IbVar at = ib_var(ib, "at", ib->i64, ib_i64(ib, 0));
    IbLoop l = ib_loop(ib);
    LLVMValueRef lo = ib_value(ib, at);
    ib_leave_if(ib, &l, ib_cmp(ib, LLVMIntSGE, lo, s->used));
    IbIf found = ib_if(ib, in_phase(s, lo, phase));
    skip_run(s, at, phase);
    body(s, lo, ib_value(ib, at));
    ib_else(ib, &found);
    ib_inc(ib, at, ib_i64(ib, 1));
    ib_end_if(ib, &found);
    ib_end_loop(ib, &l);
}

/* ---- stopping ---- */

static LLVMValueRef stopped(Slots *s)
{
    LLVMValueRef flag = ib_load(s->ib, s->ib->i32, shared_at(s, SHARED_STOP));
    LLVMSetOrdering(flag, LLVMAtomicOrderingMonotonic);
    return ib_cmp(s->ib, LLVMIntNE, flag, ib_i32(s->ib, 0));
}

static void tick(Slots *s)
{
    Ib *ib = s->ib;
    LLVMValueRef fn = ib_get(ib, s->g->run_t, s->run, RUN_TICK);
    LLVMValueRef user = ib_get(ib, s->g->run_t, s->run, RUN_USER);
    IbIf none = ib_if(ib, ib_is_null(ib, fn));
    ib_else(ib, &none);
    LLVMValueRef answer = ib_call(ib, ib_fn_type(ib->i32, 1, &ib->ptr), fn, 1, &user);
    IbIf stop = ib_if(ib, ib_cmp(ib, LLVMIntNE, answer, ib_i32(ib, 0)));
    LLVMValueRef store = LLVMBuildStore(ib->b, ib_i32(ib, STOP_TICK), shared_at(s, SHARED_STOP));
    LLVMSetOrdering(store, LLVMAtomicOrderingMonotonic);
    ib_end_if(ib, &stop);
    ib_end_if(ib, &none);
}

/* ---- the machine ---- */

static void machine(Slots *s)
{
    Ib *ib = s->ib;
    set_phase(s, ib_i64(ib, 0), s->used, SLOT_FREE);
    IbLoop l = ib_loop(ib);
    ib_leave_if(ib, &l, stopped(s));
    refill(s);
    ib_leave_if(ib, &l, ib_cmp(ib, LLVMIntEQ, ib_value(ib, s->live), ib_i64(ib, 0)));
    each_run(s, SLOT_NEW, run_new);
    each_run(s, SLOT_RUN, run_step);
    if (s->p->loop && s->g->phase_fn[PHASE_JUDGE]) each_run(s, SLOT_JUDGE, run_judge);
    each_run(s, SLOT_DONE, run_done);
    tick(s);
    ib_end_loop(ib, &l);
}

static void add_counts(Slots *s)
{
    Ib *ib = s->ib;
    ib_fetch_add(ib, shared_at(s, SHARED_FORWARDS), ib_value(ib, s->forwards));
    ib_fetch_add(ib, shared_at(s, SHARED_BACKWARDS), ib_value(ib, s->backwards));
    ib_fetch_add(ib, shared_at(s, SHARED_SAMPLES), ib_value(ib, s->samples));
}

static LLVMValueRef slot_array(Slots *s, int buffer)
{
    return buffer < 0 ? NULL : ib_at(s->ib, s->arena, s->p->buffer[buffer].offset);
}

static void find_arrays(Slots *s)
{
    const Program *p = s->p;
    int64_t words = p->slots * (int64_t)sizeof(int32_t);
    bool own_t = p->loop && p->buf_t < 0;
    check(p->phase_offset + (own_t ? 2 : 1) * words <= p->main_bytes);
    s->phase = ib_at(s->ib, s->arena, p->phase_offset);
    s->sample = slot_array(s, p->buf_sample);
    s->id = slot_array(s, p->buf_id);
    s->t = own_t ? ib_at(s->ib, s->phase, words) : slot_array(s, p->buf_t);
    s->limit = slot_array(s, p->buf_limit);
    s->done = slot_array(s, p->buf_done);
}

static LLVMValueRef phase_after_last(Slots *s)
{
    Ib *ib = s->ib;
    if (!s->g->phase_fn[PHASE_JUDGE]) return ib_i32(ib, SLOT_DONE);
    LLVMValueRef flags = ib_get(ib, s->g->run_t, s->run, RUN_FLAGS);
    LLVMValueRef skip = ib_and(ib, flags, ib_i32(ib, ADJ_NO_JUDGE));
    skip = ib_cmp(ib, LLVMIntNE, skip, ib_i32(ib, 0));
    return ib_select(ib, skip, ib_i32(ib, SLOT_DONE), ib_i32(ib, SLOT_JUDGE));
}

static Slots slots_of(EntryGen *g, LLVMValueRef run)
{
    Ib *ib = &g->ib;
    Slots s = {.g = g, .ib = ib, .p = g->p, .run = run};
    s.arena = ib_get(ib, g->run_t, run, RUN_ARENA);
    s.shared = ib_get(ib, g->run_t, run, RUN_SHARED);
    s.n = ib_get(ib, g->run_t, run, RUN_N);
    s.first_id = ib_get(ib, g->run_t, run, RUN_FIRST_ID);
    s.ids = ib_get(ib, g->run_t, run, RUN_IDS);
    s.steps = ib_get(ib, g->run_t, run, RUN_STEPS);
    s.used = ib_get(ib, g->run_t, run, RUN_USED);
    s.after_last = phase_after_last(&s);
    s.drained = ib_var(ib, "drained", ib->i1, LLVMConstInt(ib->i1, 0, 0));
    s.live = ib_var(ib, "live", ib->i64, ib_i64(ib, 0));
    s.forwards = ib_var(ib, "forwards", ib->i64, ib_i64(ib, 0));
    s.backwards = ib_var(ib, "backwards", ib->i64, ib_i64(ib, 0));
    s.samples = ib_var(ib, "samples", ib->i64, ib_i64(ib, 0));
    find_arrays(&s);
    return s;
}

void entry_slots(EntryGen *g, LLVMValueRef run)
{
    Slots s = slots_of(g, run);
    machine(&s);
    add_counts(&s);
}

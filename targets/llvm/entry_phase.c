/* SPDX-License-Identifier: Apache-2.0 */
/* A phase as a function: its kernels in order over slots [lo, hi), each buffer turned into an
 * address. An address depends on the call, the worker or the blob, never on the slot: kernels
 * add the slot. Where slots take the places of others in turn (passes/depth.c) the address is such
 * that the first slot at hand has the first place. */
#include "entry.h"

LLVMValueRef run_item_at(EntryGen *g, LLVMValueRef run, int field, LLVMTypeRef type, int i)
{
    Ib *ib = &g->ib;
    return ib_elem(ib, type, ib_field(ib, g->run_t, run, field), ib_i64(ib, i));
}

LLVMValueRef run_item(EntryGen *g, LLVMValueRef run, int field, LLVMTypeRef type, int i)
{
    return ib_load(&g->ib, type, run_item_at(g, run, field, type, i));
}

int64_t entry_io_bytes(const ProgIO *io)
{
    int64_t n = dtype_bytes(io->dtype);
    for (int d = 0; d < io->rank; d++) check(mul_ok(n, io->dim[d], &n));
    return n;
}

static LLVMValueRef arena_at(EntryGen *g, LLVMValueRef run, int64_t offset)
{
    return ib_at(&g->ib, ib_get(&g->ib, g->run_t, run, RUN_ARENA), offset);
}

static LLVMValueRef blob(EntryGen *g, LLVMValueRef run)
{
    if (!g->m->embed) return ib_get(&g->ib, g->run_t, run, RUN_WEIGHTS);
    check(g->weights);
    return g->weights;
}

LLVMValueRef entry_buffer(EntryGen *g, LLVMValueRef run, const Buffer *b)
{
    LLVMTypeRef ptr = g->ib.ptr;
    switch (b->kind) {
    case BUF_CONST:
        return b->definition ? LLVMConstNull(ptr) : ib_at(&g->ib, blob(g, run), b->offset);
    case BUF_IO: return run_item(g, run, RUN_IO, ptr, b->index);
    case BUF_HYPER: return run_item(g, run, RUN_HYPER, ptr, b->index);
    case BUF_SEED: return ib_get(&g->ib, g->run_t, run, RUN_SEED);
    case BUF_STATE:
    case BUF_TEMP: return arena_at(g, run, b->offset);
    case BUF_SCRATCH:
        return ib_at(&g->ib, ib_get(&g->ib, g->run_t, run, RUN_OWN), b->offset - g->p->main_bytes);
    }
    die("buffer kind %d", b->kind);
}

/* An input's stride is a constant, so that LLVM may carry it into the kernel. */
static LLVMValueRef stride_of(EntryGen *g, LLVMValueRef run, const Buffer *b)
{
    Ib *ib = &g->ib;
    if (b->kind == BUF_HYPER) return run_item(g, run, RUN_HYPER_STRIDE, ib->i64, b->index);
    const ProgIO *io = &g->p->io[b->index];
    if (io->output) return run_item(g, run, RUN_IO_STRIDE, ib->i64, b->index);
    return ib_i64(ib, entry_io_bytes(io));
}

static LLVMValueRef buffer_at(EntryGen *g, LLVMValueRef run, const Buffer *b, LLVMValueRef first)
{
    Ib *ib = &g->ib;
    LLVMValueRef at = entry_buffer(g, run, b);
    if (!b->chunk) return at;
    LLVMValueRef skip = LLVMBuildMul(ib->b, first, ib_i64(ib, -(b->bytes / b->chunk)), "");
    return LLVMBuildGEP2(ib->b, ib->i8, at, &skip, 1, "");
}

static const Buffer *param_buffer(EntryGen *g, const Call *c, int i)
{
    const KParam *param = &g->m->kernel[c->kernel]->param[i];
    check(c->buf[i] >= 0 && c->buf[i] < g->p->nbuffer);
    const Buffer *b = &g->p->buffer[c->buf[i]];
    bool caller = b->kind == BUF_IO || b->kind == BUF_HYPER;
    check(param->io == caller);
    /* An output nobody asked for is one sample of scratch for all slots: it cannot be read back. */
    if (b->kind == BUF_IO && g->p->io[b->index].output) check(!param->in);
    return b;
}

static void call_kernel(EntryGen *g, LLVMValueRef run, const Call *c, LLVMValueRef first,
                        LLVMValueRef range[4])
{
    Ib *ib = &g->ib;
    const Kernel *k = g->m->kernel[c->kernel];
    LLVMValueRef fn = g->kernel_fns[c->kernel], arg[5 + 2 * MAX_PARAMS];
    int n = 0;
    check(c->nbuf == k->nparam);
    arg[n++] = arena_at(g, run, g->p->buffer[g->p->buf_sample].offset);
    for (int i = 0; i < 4; i++) arg[n++] = range[i];
    for (int i = 0; i < c->nbuf; i++) {
        const Buffer *b = param_buffer(g, c, i);
        arg[n++] = buffer_at(g, run, b, first);
        if (k->param[i].io) arg[n++] = stride_of(g, run, b);
    }
    ib_call(ib, LLVMGlobalGetValueType(fn), fn, n, arg);
}

/* All of it, or what the team leaves to this worker. */
static void run_kernel(EntryGen *g, LLVMValueRef run, const Call *c, int number, LLVMValueRef lo,
                       LLVMValueRef hi)
{
    LLVMValueRef zero = ib_i64(&g->ib, 0);
    TeamShare s = team_share(g->m->kernel[c->kernel], c);
    if (!g->teams) {
        call_kernel(g, run, c, lo, (LLVMValueRef[]){lo, hi, zero, ib_i64(&g->ib, s.pieces)});
        return;
    }
    TeamLoop t = team_begin(g, run, number, &s, lo, hi);
    call_kernel(g, run, c, lo, (LLVMValueRef[]){t.lo, t.hi, t.from, t.to});
    team_end(&t);
}

static void call_trace(EntryGen *g, LLVMValueRef run, int phase, int index, LLVMValueRef lo,
                       LLVMValueRef hi)
{
    Ib *ib = &g->ib;
    LLVMTypeRef t[] = {ib->ptr, ib->i32, ib->i32, ib->ptr, ib->i64, ib->i64};
    LLVMValueRef trace = ib_get(ib, g->run_t, run, RUN_TRACE);
    IbIf none = ib_if(ib, ib_is_null(ib, trace));
    ib_else(ib, &none);
    LLVMValueRef arg[] = {ib_get(ib, g->run_t, run, RUN_USER),
                          ib_i32(ib, phase),
                          ib_i32(ib, index),
                          ib_get(ib, g->run_t, run, RUN_ARENA),
                          lo,
                          hi};
    ib_call(ib, ib_fn_type(ib->none, 6, t), trace, 6, arg);
    ib_end_if(ib, &none);
}

typedef struct Turns { /* calls of a phase, counted as teams do */
    EntryGen *g;
    const Phase *phase;
    LLVMValueRef run;
    int number, turn;
} Turns;

static void run_calls(Turns *t, int from, int to, LLVMValueRef lo, LLVMValueRef hi)
{
    for (int i = from; i < to; i++) {
        const Call *c = &t->phase->call[i];
        run_kernel(t->g, t->run, c, t->turn++, lo, hi);
        if (c->across) entry_sum_ranks(t->g, t->run, c, t->turn++);
        if (t->g->m->trace) call_trace(t->g, t->run, t->number, i, lo, hi);
    }
}

/* Some slots at once (passes/depth.c). A team, which shares out each kernel and counts turns on the
 * way, goes through once: it has no more slots than the places that they take in turn. */
static void run_stretch(Turns *t, int from, int to, int chunk)
{
    EntryGen *g = t->g;
    Ib *ib = &g->ib;
    LLVMValueRef hi = ib_arg(ib, 2), step = ib_i64(ib, chunk);
    if (g->teams) {
        LLVMValueRef team = ib_get(ib, g->run_t, t->run, RUN_TEAM);
        LLVMValueRef alone = ib_cmp(ib, LLVMIntEQ, team, ib_i32(ib, 0));
        step = ib_select(ib, alone, step, ib_i64(ib, g->p->slots));
    }
    IbVar lo = ib_var(ib, "lo", ib->i64, ib_arg(ib, 1));
    IbLoop l = ib_loop(ib);
    LLVMValueRef first = ib_value(ib, lo), end = ib_add(ib, first, step);
    ib_leave_if(ib, &l, ib_cmp(ib, LLVMIntSGE, first, hi));
    run_calls(t, from, to, first, ib_min(ib, end, hi));
    ib_set(ib, lo, end);
    ib_end_loop(ib, &l);
}

static LLVMValueRef phase_function(EntryGen *g, const Phase *phase, int number, const char *name)
{
    if (!phase->ncall) return NULL;
    Ib *ib = &g->ib;
    LLVMValueRef fn = entry_inner(g, name, g->phase_t);
    Turns t = {g, phase, ib_arg(ib, 0), number, 0};
    for (int i = 0, end; i < phase->ncall; i = end) {
        const Call *c = &phase->call[i];
        end = i + (c->stretch ? c->stretch : 1);
        if (c->stretch)
            run_stretch(&t, i, end, c->chunk);
        else
            run_calls(&t, i, end, ib_arg(ib, 1), ib_arg(ib, 2));
    }
    ib_return(ib, NULL);
    return fn;
}

void entry_phases(EntryGen *g)
{
    const Program *p = g->p;
    g->phase_fn[PHASE_INIT] = phase_function(g, &p->init, PHASE_INIT, "init");
    g->phase_fn[PHASE_STEP] = phase_function(g, &p->step, PHASE_STEP, "step");
    g->phase_fn[PHASE_JUDGE] = phase_function(g, &p->judge, PHASE_JUDGE, "judge");
    g->phase_fn[PHASE_FINISH] = phase_function(g, &p->finish, PHASE_FINISH, "finish");
}

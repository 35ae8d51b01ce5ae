/* SPDX-License-Identifier: Apache-2.0 */
/* What an entry does before its workers run: it checks the call, puts stand-ins where the caller
 * left something out, deals the arena, and writes all of it into the Run record. Nothing is
 * written before every check has passed, so a refused call leaves the caller's memory as it was. */
#include "entry.h"

#include "runtime/adjoint_abi.h"

LLVMValueRef entry_env(EntryFn *f, int field)
{
    return ib_get(f->ib, f->g->env_t, f->env, field);
}

static LLVMValueRef call_get(EntryFn *f, int field)
{
    return ib_get(f->ib, f->g->call_t, f->call, field);
}

static void run_put(EntryFn *f, int field, LLVMValueRef v)
{
    ib_put(f->ib, f->g->run_t, f->run, field, v);
}

void entry_fail_if(EntryFn *f, LLVMValueRef c, int code)
{
    ib_return_if(f->ib, c, ib_i32(f->ib, code));
}

/* ---- what the caller left out ---- */

/* A constant AdjEnv in which every member but the size is zero. */
static LLVMValueRef no_env(EntryGen *g)
{
    unsigned n = LLVMCountStructElementTypes(g->env_t);
    LLVMValueRef member[16];
    check(n <= 16);
    for (unsigned i = 0; i < n; i++)
        member[i] = LLVMConstNull(LLVMStructGetTypeAtIndex(g->env_t, i));
    member[ENV_SIZE] = ib_i32(&g->ib, ib_bytes(&g->ib, g->env_t));
    return entry_constant(g, LLVMConstNamedStruct(g->env_t, member, n), "no_env");
}

static LLVMValueRef if_null(EntryFn *f, LLVMValueRef p, LLVMValueRef instead)
{
    return ib_select(f->ib, ib_is_null(f->ib, p), instead, p);
}

static LLVMValueRef own_status(EntryFn *f)
{
    Ib *ib = f->ib;
    LLVMValueRef own = ib_record(ib, "status", f->g->status_t);
    ib_put(ib, f->g->status_t, own, STATUS_SIZE, ib_i32(ib, ib_bytes(ib, f->g->status_t)));
    return own;
}

static LLVMValueRef no_hyper(EntryFn *f)
{
    LLVMTypeRef type = LLVMArrayType2(f->ib->ptr, (uint64_t)f->p->nhyper);
    return entry_constant(f->g, LLVMConstNull(type), "no_hyper");
}

/* ---- checks, in the order of their codes ---- */

static void check_size(EntryFn *f, LLVMTypeRef record, LLVMValueRef at)
{
    LLVMValueRef least = ib_i32(f->ib, ib_bytes(f->ib, record));
    entry_fail_if(f, ib_cmp(f->ib, LLVMIntULT, ib_get(f->ib, record, at, 0), least), ADJ_BAD_CALL);
}

enum { VARIANT_SHIFT = 8, VARIANT_MASK = 0xff }; /* ADJ_VARIANT */

static void check_variant(EntryFn *f)
{
    Ib *ib = f->ib;
    LLVMValueRef flags = call_get(f, CALL_FLAGS);
    f->known = ib_and(ib, LLVMBuildLShr(ib->b, flags, ib_i32(ib, VARIANT_SHIFT), ""),
                      ib_i32(ib, VARIANT_MASK));
    LLVMValueRef none = ib_cmp(ib, LLVMIntUGT, f->known, ib_i32(ib, f->g->nvariant));
    entry_fail_if(f, none, ADJ_BAD_CALL);
}

static void check_call(EntryFn *f)
{
    Ib *ib = f->ib;
    entry_fail_if(f, ib_is_null(ib, f->call), ADJ_BAD_CALL);
    check_size(f, f->g->call_t, f->call);
    f->env = if_null(f, f->env, no_env(f->g));
    check_size(f, f->g->env_t, f->env);
    f->status = if_null(f, call_get(f, CALL_STATUS), own_status(f));
    check_size(f, f->g->status_t, f->status);
    f->n = call_get(f, CALL_N);
    entry_fail_if(f, ib_cmp(ib, LLVMIntSLT, f->n, ib_i64(ib, 0)), ADJ_BAD_CALL);
    check_variant(f);
    if (f->p->whole) {
        LLVMValueRef rest = LLVMBuildSRem(ib->b, f->n, ib_i64(ib, f->p->slots), "");
        entry_fail_if(f, ib_cmp(ib, LLVMIntNE, rest, ib_i64(ib, 0)), ADJ_BAD_CALL);
    }
    if (!f->p->loop) return;
    entry_fail_if(f, ib_cmp(ib, LLVMIntSLT, call_get(f, CALL_STEPS), ib_i32(ib, 0)), ADJ_BAD_CALL);
}

static LLVMValueRef given_io(EntryFn *f, int i)
{
    return ib_load(f->ib, f->ib->ptr, ib_elem(f->ib, f->ib->ptr, f->io, ib_i64(f->ib, i)));
}

/* An output that was not asked for stays NULL: each worker has its own scratch for it. */
static LLVMValueRef io_pointer(EntryFn *f, int i, int depth)
{
    const ProgIO *io = &f->p->io[i];
    LLVMValueRef p = given_io(f, i);
    if (io->output || io->alias < 0) return p;
    const ProgIO *other = &f->p->io[io->alias];
    check(depth < f->p->nio && !other->output);
    check(entry_io_bytes(io) == entry_io_bytes(other));
    return if_null(f, p, io_pointer(f, io->alias, depth + 1));
}

static void check_io(EntryFn *f)
{
    f->io = call_get(f, CALL_IO);
    if (!f->p->nio) return;
    entry_fail_if(f, ib_is_null(f->ib, f->io), ADJ_BAD_CALL);
    for (int i = 0; i < f->p->nio; i++)
        if (!f->p->io[i].output && f->p->io[i].alias < 0)
            entry_fail_if(f, ib_is_null(f->ib, given_io(f, i)), ADJ_BAD_CALL);
}

static void check_cpu(EntryFn *f)
{
    Ib *ib = f->ib;
    LLVMValueRef fn = f->g->pick_fn;
    f->worker_fn = f->g->worker_fn[0];
    f->variant = ib_i32(ib, 0);
    if (!fn) return;
    f->variant = ib_call(ib, LLVMGlobalGetValueType(fn), fn, 1, &f->known);
    entry_fail_if(f, ib_cmp(ib, LLVMIntSLT, f->variant, ib_i32(ib, 0)), ADJ_BAD_CPU);
    for (int v = 1; v < f->g->nvariant; v++) {
        LLVMValueRef this = ib_cmp(ib, LLVMIntEQ, f->variant, ib_i32(ib, v));
        f->worker_fn = ib_select(ib, this, f->g->worker_fn[v], f->worker_fn);
    }
}

static LLVMValueRef misaligned(EntryFn *f, LLVMValueRef p)
{
    LLVMValueRef bits = LLVMBuildPtrToInt(f->ib->b, p, f->ib->i64, "");
    return ib_cmp(f->ib, LLVMIntNE, ib_and(f->ib, bits, ib_i64(f->ib, 63)), ib_i64(f->ib, 0));
}

static LLVMValueRef arena_bytes(EntryFn *f)
{
    return LLVMBuildIntCast2(f->ib->b, call_get(f, CALL_ARENA_BYTES), f->ib->i64, 0, "");
}

static void check_arena(EntryFn *f)
{
    Ib *ib = f->ib;
    const Program *p = f->p;
    check(p->shared_bytes >= ARENA_HEAD && p->shared_bytes % 64 == 0);
    check(p->worker_bytes > 0 && p->worker_bytes % 64 == 0);
    f->shared = call_get(f, CALL_ARENA);
    entry_fail_if(f, ib_or(ib, ib_is_null(ib, f->shared), misaligned(f, f->shared)), ADJ_BAD_ARENA);
    LLVMValueRef least = ib_i64(ib, p->shared_bytes + p->worker_bytes);
    entry_fail_if(f, ib_cmp(ib, LLVMIntULT, arena_bytes(f), least), ADJ_BAD_ARENA);
    f->arena = ib_at(ib, f->shared, ARENA_HEAD);
}

static void check_weights(EntryFn *f)
{
    if (f->g->m->embed || !f->g->m->const_bytes) return;
    LLVMValueRef w = call_get(f, CALL_WEIGHTS);
    LLVMValueRef bad = ib_or(f->ib, ib_is_null(f->ib, w), misaligned(f, w));
    entry_fail_if(f, bad, ADJ_BAD_WEIGHTS);
}

void entry_check(EntryFn *f)
{
    check_call(f);
    check_io(f);
    check_cpu(f);
    check_arena(f);
    check_weights(f);
}

/* ---- the Run record ---- */

static void resolve_io(EntryFn *f)
{
    Ib *ib = f->ib;
    for (int i = 0; i < f->p->nio; i++) {
        LLVMValueRef stride = ib_i64(ib, entry_io_bytes(&f->p->io[i]));
        ib_store(ib, run_item_at(f->g, f->run, RUN_IO, ib->ptr, i), io_pointer(f, i, 0));
        ib_store(ib, run_item_at(f->g, f->run, RUN_IO_STRIDE, ib->i64, i), stride);
    }
}

static void resolve_hyper(EntryFn *f, int k)
{
    Ib *ib = f->ib;
    LLVMValueRef given = ib_load(ib, ib->ptr, ib_elem(ib, ib->ptr, f->hyper, ib_i64(ib, k)));
    LLVMValueRef at = if_null(f, given, entry_hyper_default(f->g, k));
    LLVMValueRef bit = ib_and(ib, call_get(f, CALL_HYPER_EACH), ib_i32(ib, (int64_t)1 << k));
    LLVMValueRef one = ib_cmp(ib, LLVMIntEQ, bit, ib_i32(ib, 0));
    one = ib_or(ib, one, ib_is_null(ib, given));
    LLVMValueRef each = ib_i64(ib, dtype_bytes(f->p->hyper[k].dtype));
    LLVMValueRef stride = ib_select(ib, one, ib_i64(ib, 0), each);
    ib_store(ib, run_item_at(f->g, f->run, RUN_HYPER, ib->ptr, k), at);
    ib_store(ib, run_item_at(f->g, f->run, RUN_HYPER_STRIDE, ib->i64, k), stride);
}

static void resolve_hypers(EntryFn *f)
{
    if (!f->p->nhyper) return;
    f->hyper = if_null(f, call_get(f, CALL_HYPER), no_hyper(f));
    for (int k = 0; k < f->p->nhyper; k++) resolve_hyper(f, k);
}

/* Of numbers that fit size_t, so that 32-bit machines need no 64-bit division. */
static LLVMValueRef divide(EntryFn *f, LLVMValueRef a, LLVMValueRef b)
{
    LLVMBuilderRef at = f->ib->b;
    LLVMTypeRef word = f->ib->size;
    LLVMValueRef q = LLVMBuildUDiv(at, LLVMBuildIntCast2(at, a, word, 0, ""),
                                   LLVMBuildIntCast2(at, b, word, 0, ""), "");
    return LLVMBuildIntCast2(at, q, f->ib->i64, 0, "");
}

/* As many workers as are asked for and the arena holds; at least one. */
static LLVMValueRef most_workers(EntryFn *f)
{
    Ib *ib = f->ib;
    LLVMValueRef one = ib_i64(ib, 1);
    LLVMValueRef room = LLVMBuildSub(ib->b, arena_bytes(f), ib_i64(ib, f->p->shared_bytes), "");
    room = divide(f, room, ib_i64(ib, f->p->worker_bytes));
    LLVMValueRef most = ib_max(ib, ib_to_i64(ib, entry_env(f, ENV_WORKERS)), one);
    most = ib_min(ib, most, room);
    return ib_select(ib, ib_is_null(ib, entry_env(f, ENV_PARALLEL)), one, most);
}

/* i1: workers share the kernels of one machine. So it is where samples are fewer than workers, or
 * depend on each other. */
static LLVMValueRef wants_team(EntryFn *f, LLVMValueRef most)
{
    Ib *ib = f->ib;
    if (!f->g->teams) return LLVMConstInt(ib->i1, 0, 0);
    LLVMValueRef can = LLVMBuildNot(ib->b, ib_is_null(ib, entry_env(f, ENV_IDLE)), "");
    can = ib_and(ib, can, ib_cmp(ib, LLVMIntSGT, most, ib_i64(ib, 1)));
    can = ib_and(ib, can, ib_cmp(ib, LLVMIntSGT, f->n, ib_i64(ib, 0)));
    return f->p->whole ? can : ib_and(ib, can, ib_cmp(ib, LLVMIntSLT, f->n, most));
}

/* Without a team no more workers than samples, or one where samples depend on each other. */
static void count_workers(EntryFn *f)
{
    Ib *ib = f->ib;
    LLVMValueRef most = most_workers(f), team = wants_team(f, most), one = ib_i64(ib, 1);
    LLVMValueRef alone = f->p->whole ? one : ib_min(ib, most, ib_max(ib, f->n, one));
    f->workers = ib_select(ib, team, most, alone);
    f->team = LLVMBuildTrunc(ib->b, ib_select(ib, team, most, ib_i64(ib, 0)), ib->i32, "");
}

/* Slots a machine uses: fewer than it has if the samples do not fill them. A team has one. */
static LLVMValueRef slots_used(EntryFn *f)
{
    Ib *ib = f->ib;
    if (f->p->whole) return ib_i64(ib, f->p->slots);
    LLVMValueRef room = LLVMBuildMul(ib->b, f->workers, ib_i64(ib, f->p->slots), "");
    LLVMValueRef up = LLVMBuildSub(ib->b, f->workers, ib_i64(ib, 1), "");
    LLVMValueRef each = divide(f, ib_add(ib, ib_min(ib, f->n, room), up), f->workers);
    LLVMValueRef alone = ib_cmp(ib, LLVMIntEQ, f->team, ib_i32(ib, 0));
    return ib_select(ib, alone, each, ib_min(ib, f->n, ib_i64(ib, f->p->team_slots)));
}

void entry_fill_run(EntryFn *f)
{
    LLVMValueRef variant = ib_add(f->ib, f->variant, ib_i32(f->ib, 1));
    ib_put(f->ib, f->g->status_t, f->status, STATUS_VARIANT, variant);
    count_workers(f);
    run_put(f, RUN_USER, entry_env(f, ENV_USER));
    run_put(f, RUN_TICK, entry_env(f, ENV_TICK));
    run_put(f, RUN_TRACE, entry_env(f, ENV_TRACE));
    run_put(f, RUN_IDLE, entry_env(f, ENV_IDLE));
    run_put(f, RUN_TEAM, f->team);
    run_put(f, RUN_CALL, ib_i32(f->ib, 0));
    run_put(f, RUN_SHARED, f->shared);
    run_put(f, RUN_ARENA, f->arena);
    run_put(f, RUN_WEIGHTS, call_get(f, CALL_WEIGHTS));
    run_put(f, RUN_IDS, call_get(f, CALL_IDS));
    run_put(f, RUN_SEED, ib_field(f->ib, f->g->call_t, f->call, CALL_SEED));
    run_put(f, RUN_N, f->n);
    run_put(f, RUN_FIRST_ID, call_get(f, CALL_FIRST_ID));
    run_put(f, RUN_USED, slots_used(f));
    run_put(f, RUN_STEPS, call_get(f, CALL_STEPS));
    run_put(f, RUN_FLAGS, call_get(f, CALL_FLAGS));
    if (program_across(f->p)) run_put(f, RUN_ALLREDUCE, entry_env(f, ENV_ALLREDUCE));
    resolve_io(f);
    resolve_hypers(f);
}

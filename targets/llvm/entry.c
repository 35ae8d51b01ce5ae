/* SPDX-License-Identifier: Apache-2.0 */
/* Entry points: for each program, the exported C function that checks a call, runs its workers and
 * reports exact counts. It keeps nothing between calls and is compiled for the least machine of the
 * triple, since it runs before the CPU has been checked. */
#include "entry.h"

#include <ctype.h>

#include "emit.h"
#include "runtime/adjoint_abi.h"

/* ---- running ---- */

static void run_here(EntryFn *f)
{
    LLVMValueRef arg[] = {f->run, ib_i32(f->ib, 0)};
    ib_call(f->ib, f->g->worker_t, f->worker_fn, 2, arg);
}

static LLVMValueRef run_parallel(EntryFn *f)
{
    Ib *ib = f->ib;
    LLVMTypeRef t[] = {ib->ptr, ib->i32, ib->ptr, ib->ptr};
    LLVMValueRef n = LLVMBuildTrunc(ib->b, f->workers, ib->i32, "");
    LLVMValueRef arg[] = {entry_env(f, ENV_USER), n, f->worker_fn, f->run};
    return ib_call(ib, ib_fn_type(ib->i32, 4, t), entry_env(f, ENV_PARALLEL), 4, arg);
}

static LLVMValueRef run_workers(EntryFn *f)
{
    Ib *ib = f->ib;
    IbVar failed = ib_var(ib, "failed", ib->i32, ib_i32(ib, 0));
    IbIf alone = ib_if(ib, ib_cmp(ib, LLVMIntEQ, f->workers, ib_i64(ib, 1)));
    run_here(f);
    ib_else(ib, &alone);
    ib_set(ib, failed, run_parallel(f));
    ib_end_if(ib, &alone);
    return ib_cmp(ib, LLVMIntNE, ib_value(ib, failed), ib_i32(ib, 0));
}

static void report(EntryFn *f)
{
    static const int from[] = {SHARED_FORWARDS, SHARED_BACKWARDS, SHARED_SAMPLES};
    static const int to[] = {STATUS_FORWARDS, STATUS_BACKWARDS, STATUS_SAMPLES};
    for (int i = 0; i < COUNT(from); i++) {
        LLVMValueRef v = ib_get(f->ib, f->g->shared_t, f->shared, from[i]);
        ib_put(f->ib, f->g->status_t, f->status, to[i], v);
    }
}

static void finish(EntryFn *f, LLVMValueRef failed)
{
    Ib *ib = f->ib;
    report(f);
    entry_fail_if(f, failed, ADJ_FAILED);
    LLVMValueRef stop = ib_get(ib, f->g->shared_t, f->shared, SHARED_STOP);
    if (program_across(f->p))
        entry_fail_if(f, ib_cmp(ib, LLVMIntEQ, stop, ib_i32(ib, STOP_FAILED)), ADJ_FAILED);
    LLVMValueRef ran = ib_cmp(ib, LLVMIntEQ, stop, ib_i32(ib, 0));
    ib_return(ib, ib_select(ib, ran, ib_i32(ib, ADJ_OK), ib_i32(ib, ADJ_STOPPED)));
}

static LLVMValueRef entry_function(EntryGen *g)
{
    Ib *ib = &g->ib;
    LLVMTypeRef arg[] = {ib->ptr, ib->ptr};
    LLVMValueRef fn = ib_function(ib, g->stem, ib_fn_type(ib->i32, 2, arg));
    LLVMSetLinkage(fn, LLVMExternalLinkage);
    entry_baseline(g, fn);
    EntryFn f = {.g = g, .ib = ib, .p = g->p, .env = ib_arg(ib, 0), .call = ib_arg(ib, 1)};
    f.run = ib_record(ib, "run", g->run_t);
    entry_check(&f);
    ib_zero(ib, f.shared, ARENA_HEAD);
    entry_fill_run(&f);
    finish(&f, run_workers(&f));
    return fn;
}

/* ---- types ---- */

static LLVMTypeRef record_type(EntryGen *g, const char *name, LLVMTypeRef *member, int n)
{
    LLVMTypeRef t = LLVMStructCreateNamed(g->ib.ctx, name);
    LLVMStructSetBody(t, member, (unsigned)n, 0);
    return t;
}

static void abi_types(EntryGen *g)
{
    LLVMTypeRef w = g->ib.i32, d = g->ib.i64, p = g->ib.ptr, z = g->ib.size;
    LLVMTypeRef env[] = {w, w, p, p, p, p, p, p, p, p};
    LLVMTypeRef call[] = {w, w, d, d, d, p, w, w, p, p, p, p, z, p};
    LLVMTypeRef status[] = {w, w, d, d, d};
    LLVMTypeRef shared[] = {d, d, d, d, w, w, LLVMArrayType2(d, 3), d, d, w};
    g->env_t = record_type(g, "AdjEnv", env, COUNT(env));
    g->call_t = record_type(g, "AdjCall", call, COUNT(call));
    g->status_t = record_type(g, "AdjStatus", status, COUNT(status));
    g->shared_t = record_type(g, "Shared", shared, COUNT(shared));
}

static void program_types(EntryGen *g)
{
    Ib *ib = &g->ib;
    LLVMTypeRef w = ib->i32, d = ib->i64, p = ib->ptr;
    uint64_t nio = (uint64_t)g->p->nio, nhyper = (uint64_t)g->p->nhyper;
    LLVMTypeRef run[] = {p,
                         p,
                         p,
                         p,
                         p,
                         p,
                         p,
                         p,
                         p,
                         p,
                         d,
                         d,
                         d,
                         w,
                         w,
                         w,
                         w,
                         LLVMArrayType2(p, nio),
                         LLVMArrayType2(d, nio),
                         LLVMArrayType2(p, nhyper),
                         LLVMArrayType2(d, nhyper),
                         p};
    LLVMTypeRef range[] = {p, d, d}, worker[] = {p, w};
    g->run_t = record_type(g, "Run", run, COUNT(run) - !program_across(g->p));
    g->phase_t = ib_fn_type(ib->none, 3, range);
    g->worker_t = ib_fn_type(ib->none, 2, worker);
}

/* ---- the module ---- */

static const char *stem_of(const Module *m, const Program *p)
{
    char *s = arena_printf(m->arena, "%s_%s", m->prefix, p->name);
    for (char *c = s; *c; c++)
        if (!isalnum((unsigned char)*c)) *c = '_';
    return s;
}

/* The code generator is set to one CPU; where there are several, functions say theirs. */
LLVMValueRef entry_inner(EntryGen *g, const char *name, LLVMTypeRef type)
{
    const char *symbol = arena_printf(g->m->arena, "%s.%s", g->inner, name);
    LLVMValueRef fn = ib_function(&g->ib, symbol, type);
    if (g->nvariant > 1) emit_cpu_attributes(g->ib.ctx, fn, g->target);
    return fn;
}

static void stand_on(EntryGen *g, int variant, LLVMValueRef *kernel_fns)
{
    g->m = g->variant[variant].m;
    g->target = g->variant[variant].target;
    g->kernel_fns = kernel_fns;
}

/* What is below the entry function, of one variant. */
static void emit_inner(EntryGen *g, int variant, int program)
{
    g->p = &g->m->program[program];
    g->inner =
        g->nvariant == 1 ? g->stem : arena_printf(g->m->arena, "%s.%s", g->stem, g->target->cpu);
    if (g->teams) team_open(g);
    entry_phases(g);
    g->worker_fn[variant] = entry_worker(g);
}

static bool pays_in_teams(const EntryGen *g, int program)
{
    for (int v = 0; v < g->nvariant; v++)
        if (team_pays(g->variant[v].m, &g->variant[v].m->program[program])) return true;
    return false;
}

static LLVMValueRef emit_program(EntryGen *g, int program, LLVMValueRef **kernel_fns)
{
    g->p = &g->variant[0].m->program[program];
    g->stem = stem_of(g->m, g->p);
    check(!LLVMGetNamedFunction(g->ib.mod, g->stem)); /* two programs of one C name */
    program_types(g);
    g->teams = pays_in_teams(g, program);
    for (int v = g->nvariant - 1; v >= 0; v--) {
        stand_on(g, v, kernel_fns[v]);
        emit_inner(g, v, program);
    }
    return entry_function(g);
}

void emit_variants(LLVMModuleRef mod, const Variant *v, int n, LLVMValueRef **kernel_fns)
{
    EntryGen g = {.variant = v, .nvariant = n};
    const Module *m = v[0].m;
    LLVMValueRef *fn = NEW_N(m->arena, LLVMValueRef, m->nprogram);
    stand_on(&g, 0, kernel_fns[0]);
    ib_open(&g.ib, mod);
    abi_types(&g);
    g.pick_fn = entry_cpu_pick(&g);
    if (m->embed)
        g.weights = LLVMGetNamedGlobal(mod, arena_printf(m->arena, "%s_weights", m->prefix));
    for (int i = 0; i < m->nprogram; i++) fn[i] = emit_program(&g, i, kernel_fns);
    entry_model(&g, fn);
    ib_close(&g.ib);
}

void emit_entries(LLVMModuleRef mod, const Module *m, const Target *target,
                  LLVMValueRef *kernel_fns)
{
    emit_variants(mod, &(Variant){m, target}, 1, &kernel_fns);
}

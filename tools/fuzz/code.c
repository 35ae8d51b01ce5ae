/* SPDX-License-Identifier: Apache-2.0 */
/* Lowered code: interpreted, then compiled for a random row of this machine's CPUs, with bytes
 * around every buffer that must not change. */
#include <string.h>

#include "check.h"
#include "passes/passes.h"

enum { FENCE = 64 };

typedef struct Run {
    const ProgramSpec *s; /* of SLOTS samples, or of one */
    const Program *p;
    int n;
    uint8_t *io[MAX_IO], *arena;
    void *ptr[MAX_IO];
    int64_t stride[MAX_IO], arena_bytes;
} Run;

static uint8_t *fenced(Check *c, int64_t bytes)
{
    uint8_t *p = arena_alloc(c->a, (size_t)bytes + 4 * FENCE);
    memset(p, 0xa5, (size_t)bytes + 4 * FENCE);
    return p + FENCE + (FENCE - (uintptr_t)p % FENCE) % FENCE;
}

static void check_fence(const char *what, const char *where, const uint8_t *p, int64_t bytes)
{
    for (int i = 0; i < FENCE; i++)
        if (p[-1 - i] != 0xa5 || p[bytes + i] != 0xa5)
            err(NULL, "%s: writes outside %s", what, where);
}

static Run run_new(Check *c, const ProgramSpec *s, const Program *p, int n, int64_t arena_bytes)
{
    Run r = {.s = s, .p = p, .n = n, .arena_bytes = arena_bytes};
    for (int k = 0; k < s->nio; k++) {
        Type t = io_type(&s->io[k], n);
        r.stride[k] = type_bytes(t) / n;
        r.ptr[k] = r.io[k] = fenced(c, type_bytes(t));
        if (!s->io[k].output) fill(c, s->io[k].name, t, r.io[k]);
    }
    r.arena = fenced(c, arena_bytes);
    memset(r.arena, 0xff, (size_t)arena_bytes);
    return r;
}

static void run_compare(Check *c, const char *what, const Run *r, Env *want)
{
    check_fence(what, "its arena", r->arena, r->arena_bytes);
    for (int k = 0; k < r->s->nio; k++) {
        const ProgIO *io = &r->s->io[k];
        check_fence(what, io->name, r->io[k], r->stride[k] * r->n);
        if (io->output) compare(c, what, io, r->io[k], env_find(want, io->name)->data, r->n);
    }
}

static void set_slots(const Run *r, int step)
{
    for (int k = 0; k < r->p->nbuffer; k++) {
        const Buffer *b = &r->p->buffer[k];
        if (b->kind != BUF_STATE || is_state(b->name)) continue;
        bool id = !strcmp(b->name, "id"), t = !strcmp(b->name, "t");
        for (int64_t i = 0; i < r->n; i++)
            elem_set_int(b->dtype, r->arena + b->offset, i,
                         k == r->p->buf_sample ? i
                         : id                  ? FIRST_ID + i
                         : t                   ? step
                                               : 0);
    }
}

static void interpret(Check *c, const char *what, const ProgramSpec *s, const Module *m, Env *want)
{
    const Program *p = &m->program[0];
    Run r = run_new(c, s, p, s->slots, p->main_bytes + p->own_bytes);
    memset(r.arena + p->zero_offset, 0, (size_t)p->zero_bytes);
    PhaseMem mem = {.arena = r.arena, .io = r.ptr, .io_stride = r.stride, .seed = CALL_SEED};
    set_slots(&r, 0);
    module_eval_phase(m, p, &p->init, &mem, 0, r.n, NULL, NULL);
    for (int i = 0; i < (s->loop ? STEPS : 1); i++) {
        set_slots(&r, i);
        module_eval_phase(m, p, &p->step, &mem, 0, r.n, NULL, NULL);
    }
    module_eval_phase(m, p, &p->finish, &mem, 0, r.n, NULL, NULL);
    run_compare(c, what, &r, want);
}

static void call(Check *c, const char *what, const ProgramSpec *s, const Module *m, const Target *t,
                 int n, Env *want)
{
    void *address = NULL;
    Bytes object = target_emit(m, t, EMIT_OBJ);
    object_load(&object, "fuzz_model", &address);
    const AdjEntry *e = ((const AdjModel *)address)->entry;
    Run r = run_new(c, s, &m->program[0], n, (int64_t)(e->shared_bytes + e->worker_bytes));
    AdjCall args = {.size = sizeof args,
                    .n = n,
                    .seed = CALL_SEED,
                    .first_id = FIRST_ID,
                    .steps = STEPS,
                    .io = r.ptr,
                    .arena = r.arena,
                    .arena_bytes = (size_t)r.arena_bytes};
    int code = e->run(NULL, &args);
    if (code) err(NULL, "%s: returns %d", what, code);
    run_compare(c, what, &r, want);
}

/* A row that runs here, with claims or without. */
static const Target *random_target(Check *c)
{
    static const char *const rows[] = {NULL, NULL, "x86-64", "haswell", "skylake-avx512"};
    const char *triple = target_find(c->a, NULL, NULL)->name;
    const char *row = strstr(triple, "x86") ? rows[rng_below(&c->choice, COUNT(rows))] : NULL;
    const Target *t = target_find(c->a, NULL, row);
    if (!target_runs_here(t)) t = target_find(c->a, NULL, NULL);
    Target *copy = arena_dup(c->a, t, sizeof *t);
    if (rng_below(&c->choice, 4) == 0) copy->offer = NULL;
    return copy;
}

void check_code(Check *c, const Graph *one, DType d)
{
    const Target *t = random_target(c);
    Graph *few = batched(c, one, SLOTS), *all = batched(c, one, SAMPLES);
    ProgramSpec s = spec_of(c, settle(c, few ? few : one), few ? SLOTS : 1);
    ProgramSpec whole = spec_of(c, few ? all : pass_dce(c->a, one), few ? SAMPLES : 1);
    Env want = evaluate(c, &whole);
    Module *m = module_new(c->a, "fuzz");
    m->precision = d;
    lower_program(m, t, &s);
    module_finish(m);
    module_hold(m);
    for (int i = 0; i < m->nkernel; i++) kernel_verify(m->kernel[i]);
    const char *with =
        arena_printf(c->a, "%s, %s%s", dtype_name(d), t->cpu, t->offer ? "" : ", generic");
    interpret(c, arena_printf(c->a, "interpreted (%s)", with), &s, m, &want);
    call(c, arena_printf(c->a, "compiled (%s)", with), &s, m, t, few ? SAMPLES : 1, &want);
}

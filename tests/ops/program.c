/* SPDX-License-Identifier: Apache-2.0 */
/* Memory between fences, two ways to run a program in it, and the comparison with the evaluator.
 * The caller's tensors are aligned as their elements are and no more. */
#include "program.h"

#include <math.h>
#include <string.h>

ProgramSpec program_spec(const char *name, Graph *g, int slots)
{
    ProgramSpec s = {.name = name, .slots = slots, .step = g};
    for (Ref r = 0; r < g->n + g->nout; r++) {
        bool output = r >= g->n;
        const Node *n = &g->node[output ? g->out[r - g->n].ref : r];
        s.whole |= n->op == OP_allreduce; /* ranks meet in whole batches */
        if (!output && (n->op != OP_input || is_slot_name(node_attr(n, "name")->s))) continue;
        check(s.nio < MAX_IO && n->type.rank > 0);
        ProgIO *io = &s.io[s.nio++];
        *io = (ProgIO){.name = output ? g->out[r - g->n].name : node_attr(n, "name")->s,
                       .dtype = n->type.dtype,
                       .rank = n->type.rank - 1,
                       .output = output,
                       .alias = -1,
                       .help = ""};
        memcpy(io->dim, n->type.dim + 1, sizeof io->dim[0] * (size_t)io->rank);
    }
    return s;
}

/* ---- fences ---- */

enum { FENCE = 64, PATTERN = 0xa5 };

typedef struct Fenced {
    uint8_t *data;
    const uint8_t *was; /* contents that must not change, or NULL */
    size_t bytes;
} Fenced;

static Fenced fenced(Arena *a, size_t bytes, size_t off_align)
{
    uint8_t *block = arena_alloc(a, bytes + 4 * FENCE);
    size_t skip = (FENCE - (uintptr_t)block % FENCE) % FENCE;
    Fenced f = {.data = block + skip + FENCE + off_align, .bytes = bytes};
    memset(block, PATTERN, bytes + 4 * FENCE);
    return f;
}

static bool intact(const Fenced *f)
{
    if (f->was && memcmp(f->data, f->was, f->bytes)) return false;
    for (int i = 0; i < FENCE; i++)
        if (f->data[-1 - i] != PATTERN || f->data[f->bytes + (size_t)i] != PATTERN) return false;
    return true;
}

/* ---- a run ---- */

typedef struct Run {
    Arena *arena;
    const Subject *s;
    const Program *p;
    int n;
    Fenced io[MAX_IO], memory;
    void *ptr[MAX_IO];
    int64_t stride[MAX_IO];
} Run;

static int64_t sample_bytes(const ProgIO *io)
{
    int64_t n = dtype_bytes(io->dtype);
    for (int d = 0; d < io->rank; d++) n *= io->dim[d];
    return n;
}

static Run run_new(Arena *a, const Subject *s, const Program *p, int n, int64_t memory)
{
    Run r = {.arena = a, .s = s, .p = p, .n = n};
    for (int i = 0; i < p->nio; i++) {
        const ProgIO *io = &p->io[i];
        r.stride[i] = sample_bytes(io);
        size_t bytes = (size_t)(r.stride[i] * n);
        r.io[i] = fenced(a, bytes, (size_t)dtype_bytes(io->dtype));
        r.ptr[i] = r.io[i].data;
        if (io->output) continue;
        r.io[i].was = point_find(&s->point, io->name)->data;
        memcpy(r.ptr[i], r.io[i].was, bytes);
    }
    r.memory = fenced(a, (size_t)memory, 0);
    memset(r.memory.data, 0xff, (size_t)memory);
    return r;
}

static const char *run_check(const Run *r)
{
    if (!intact(&r->memory)) return "writes outside its arena";
    for (int i = 0; i < r->p->nio; i++)
        if (!intact(&r->io[i]))
            return arena_printf(r->arena,
                                r->p->io[i].output ? "writes outside output %s"
                                                   : "writes to input %s or around it",
                                r->p->io[i].name);
    return NULL;
}

static const char *run_compare(const Run *r)
{
    const char *wrong = run_check(r);
    const Graph *g = r->s->batched[r->n];
    for (uint32_t i = 0; i < g->nout && !wrong; i++) {
        Type t = g->node[g->out[i].ref].type;
        check(t.dim[0] == r->n);
        const Graph *all = r->s->c->nobatch ? r->s->graph : r->s->batched[SAMPLES];
        const void *want = eval_get(r->s->want, all->out[i].ref)->data;
        for (int k = 0; k < r->p->nio; k++)
            if (r->p->io[k].output && !strcmp(r->p->io[k].name, g->out[i].name))
                wrong = tensor_differ(r->arena, t, r->ptr[k], want, dtype_tolerance(t.dtype),
                                      r->s->slack, r->s->signs);
        if (wrong) wrong = arena_printf(r->arena, "%s%s", g->out[i].name, wrong);
    }
    return wrong;
}

/* ---- interpreted ---- */

static void set_slots(const Run *r)
{
    uint8_t *arena = r->memory.data;
    memset(arena + r->p->zero_offset, 0, (size_t)r->p->zero_bytes);
    for (int k = 0; k < r->p->nbuffer; k++) {
        const Buffer *b = &r->p->buffer[k];
        bool id = b->kind == BUF_STATE && !strcmp(b->name, "id");
        for (int64_t i = 0; b->kind == BUF_STATE && i < r->n; i++)
            elem_set_int(b->dtype, arena + b->offset, i,
                         k == r->p->buf_sample ? i
                         : id                  ? FIRST_ID + i
                                               : 0);
    }
}

const char *program_interpret(Arena *a, const Subject *s, const Module *m, const Program *p, int n)
{
    Run r = run_new(a, s, p, n, p->main_bytes + p->own_bytes);
    set_slots(&r);
    PhaseMem mem = {.arena = r.memory.data, .io = r.ptr, .io_stride = r.stride, .seed = SEED};
    module_eval_phase(m, p, &p->step, &mem, 0, n, NULL, NULL);
    return run_compare(&r);
}

/* ---- compiled ---- */

const char *program_call(Arena *a, const Subject *s, const AdjEntry *e, const Program *p, int n)
{
    Run r = run_new(a, s, p, n, (int64_t)(e->shared_bytes + e->worker_bytes));
    AdjStatus status = {.size = sizeof status};
    AdjCall call = {.size = sizeof call,
                    .n = n,
                    .seed = SEED,
                    .first_id = FIRST_ID,
                    .io = r.ptr,
                    .arena = r.memory.data,
                    .arena_bytes = r.memory.bytes,
                    .status = &status};
    int code = e->run(NULL, &call);
    if (code) return arena_printf(a, "returns %d", code);
    const char *wrong = run_compare(&r);
    return !wrong && status.samples != (uint64_t)n ? "counts other samples" : wrong;
}

/* ---- comparison ---- */

double dtype_tolerance(DType d)
{
    switch (d) {
    case DT_F64: return 1e-12;
    case DT_F32: return 1e-5;
    case DT_F16: return 2e-3;
    case DT_BF16: return 1.6e-2;
    default: return 0;
    }
}

static bool near(double got, double want, double tol, double slack, bool signs)
{
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    if (got == want) return got != 0 || !signs || signbit(got) == signbit(want);
    return fabs(got - want) <= tol * (fabs(want) + slack);
}

const char *tensor_differ(Arena *a, Type t, const void *got, const void *want, double tol,
                          double slack, bool signs)
{
    for (int64_t i = 0; i < type_count(t); i++) {
        if (!dtype_is_float(t.dtype)) {
            int64_t x = elem_get_int(t.dtype, got, i), y = elem_get_int(t.dtype, want, i);
            if (x != y)
                return arena_printf(a, "[%lld]: %lld, not %lld", (long long)i, (long long)x,
                                    (long long)y);
            continue;
        }
        double x = elem_get(t.dtype, got, i), y = elem_get(t.dtype, want, i);
        if (!near(x, y, tol, slack, signs))
            return arena_printf(a, "[%lld]: %.17g, not %.17g", (long long)i, x, y);
    }
    return NULL;
}

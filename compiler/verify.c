/* SPDX-License-Identifier: Apache-2.0 */
/* adj_verify: the compiled object against the evaluator. Whole entries are compared at their
 * outputs. With `each`, every fused kernel is compared alone: its reference is the evaluator
 * applied to the values that the *compiled* kernels before it stored, so an error is found where it
 * arises and rounding does not add up along the net.
 *
 * A difference is |compiled - reference| / max(1, largest |reference|). A kernel that decides
 * (compares, takes a sign) may decide otherwise within rounding: such values are judged by the
 * share of elements that differ, which must stay below 0.2%. Numbers of bf16 are stored rounded,
 * so near the middle of two one may come out as the other: their distance is not counted. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/reference.h"

static const double sharp_share = 0.002;
enum { VERIFY_STEPS = 2 };

typedef struct Verify {
    AdjCompiled *c;
    const AdjSamples *in;
    int nin;
    int64_t n;
    bool each;
    AdjVerifyRow *row;
    void *user;
    AdjVerify *result;
    double base; /* least tolerance */
    /* of the program under test */
    const Program *p;
    Env env; /* references of inputs; states as the compiled code left them */
    void *io[MAX_IO];
    void **stored[4]; /* by phase, by node: dense value as compiled */
    char fault[512];
} Verify;

/* ---- differences ---- */

static const bool decides[OP_COUNT] = {
    [OP_lt] = true,    [OP_le] = true,    [OP_eq] = true,    [OP_sign] = true,
    [OP_floor] = true, [OP_round] = true, [OP_argmax] = true};

static bool kernel_decides(const Kernel *k)
{
    for (uint32_t i = 0; i < k->nexpr; i++) {
        const KExpr *e = &k->expr[i];
        if ((e->kop == K_EVAL || e->kop == K_REDUCE) && decides[e->op] &&
            dtype_is_float(k->expr[e->arg[0]].dtype))
            return true;
    }
    return false;
}

static double largest(Type t, const void *ref)
{
    double m = 1;
    for (int64_t i = 0; i < type_count(t); i++) {
        double v = fabs(elem_get(t.dtype, ref, i));
        if (isfinite(v) && v > m) m = v;
    }
    return m;
}

/* From one number of bf16 to the next, at v. */
static double bf16_unit(double v)
{
    return isfinite(v) && v != 0 ? ldexp(1, ilogb(v) - 7) : 0;
}

static double distance(bool bf16, double a, double b)
{
    double d = fabs(a - b);
    if (a == b || (isnan(a) && isnan(b))) return 0;
    if (isnan(d)) return INFINITY;
    return bf16 ? fmax(0, d - bf16_unit(fmax(fabs(a), fabs(b)))) : d;
}

/* The worst difference; where `sharp`, the tolerance if few elements differ, else the share. */
static double difference(Type t, const void *got, const void *ref, int64_t count, bool sharp,
                         bool bf16, double tolerance)
{
    double worst = 0, scale = largest(t, ref);
    int64_t off = 0;
    for (int64_t i = 0; i < count; i++) {
        double a = elem_get(t.dtype, got, i), b = elem_get(t.dtype, ref, i);
        double d = distance(bf16, a, b) / scale;
        off += d > tolerance;
        if (d > worst && (!sharp || d <= tolerance)) worst = d;
    }
    return sharp && (double)off > sharp_share * (double)count ? (double)off / (double)count : worst;
}

/* A number that was rounded to bf16 here, as f32. */
static bool is_rounded(const Kernel *k, KRef r)
{
    const KExpr *e = &k->expr[r];
    if (e->kop != K_EVAL || e->op != OP_cast || e->dtype == DT_BF16) return false;
    const KExpr *from = &k->expr[e->arg[0]];
    return from->dtype == DT_BF16 && from->kop != K_LOAD;
}

/* Does a kernel compute with what it rounded to bf16? */
static bool kernel_rounds(const Kernel *k)
{
    for (uint32_t i = 0; i < k->nexpr; i++) {
        const KExpr *e = &k->expr[i];
        for (int a = 0; e->kop == K_EVAL && a < e->nargs; a++)
            if (is_rounded(k, e->arg[a])) return true;
    }
    return false;
}

/* A sum of K products may be off by K units of rounding (Higham, Accuracy and Stability,
 * section 3.1). */
static double kernel_tolerance(const Verify *v, const Kernel *k)
{
    double terms = 1, unit = v->c->opt.f64 ? 0x1p-53 : 0x1p-24;
    for (int i = 0; i < k->naxis; i++)
        terms *= k->axis[i].kind == AX_RED ? (double)k->axis[i].extent : 1;
    return fmax(v->base, terms * unit) + (kernel_rounds(k) ? 0x1p-8 : 0);
}

static void record(Verify *v, const char *kernel, const char *nodes, int index, double d,
                   double tolerance)
{
    AdjVerify *r = v->result;
    r->values++;
    if (v->row) v->row(v->user, v->p->name, index, kernel, nodes, d);
    if (!(d <= tolerance)) r->failed++;
    if (!(d / tolerance <= r->worst / r->tolerance)) {
        r->worst = d;
        r->tolerance = tolerance;
        snprintf(r->where, sizeof r->where, "%s", nodes);
        snprintf(r->program, sizeof r->program, "%s", v->p->name);
    }
}

/* ---- each kernel: its reference from what was stored before ---- */

typedef struct Cut { /* a small graph: the values wanted, down to values already stored */
    const Graph *g;
    Graph *small;
    Ref *map;
    void **stored;
    int ninput;
    Ref input[256]; /* in small */
    void *data[256];
} Cut;

static Ref cut(Cut *k, Ref r, bool top)
{
    const Node *n = &k->g->node[r];
    if (k->map[r] != NOREF) return k->map[r];
    if (!top && (k->stored[r] || n->op == OP_input)) {
        if (k->ninput == COUNT(k->input)) die("a kernel with too many inputs to verify");
        char name[32];
        snprintf(name, sizeof name, "v%u", (unsigned)r);
        k->data[k->ninput] = k->stored[r];
        return k->map[r] = k->input[k->ninput++] = b_input(k->small, name, n->type);
    }
    for (int a = 0; a < n->nargs; a++) cut(k, n->args[a], false);
    return k->map[r] = graph_copy(k->small, k->g, r, k->map);
}

static const Phase *phase_of(const Program *p, int phase)
{
    const Phase *all[] = {&p->init, &p->step, &p->judge, &p->finish};
    return all[phase];
}

static void *fetch(Verify *v, const Buffer *b, uint8_t *arena, Type t)
{
    void *dense = arena_alloc(v->c->arena, (size_t)type_bytes(t) + 1);
    const void *from = b->kind == BUF_IO ? v->io[b->index] : arena + b->offset;
    layout_unpack(&b->layout, t, from, dense);
    return dense;
}

static void compare_call(Verify *v, const Phase *ph, int phase, int index, uint8_t *arena)
{
    const Call *c = &ph->call[index];
    const Kernel *k = v->c->module->kernel[c->kernel];
    if (!c->nvalue)
        return; /* transformed weights: no node; the claim that reads them is compared */
    Arena *scratch = arena_new();
    Cut cuts = {.g = ph->graph, .small = graph_new(scratch, "cut"), .stored = v->stored[phase]};
    cuts.map = NEW_N(scratch, Ref, ph->graph->n + 1);
    memset(cuts.map, 0xff, sizeof(Ref) * ph->graph->n);
    Ref want[MAX_STORES];
    for (int s = 0; s < c->nvalue; s++)
        want[s] = cut(&cuts, c->value[s], ph->graph->node[c->value[s]].op != OP_input);
    Eval *ev = eval_new(cuts.small);
    for (int i = 0; i < cuts.ninput; i++) eval_bind(ev, cuts.input[i], cuts.data[i]);
    eval_run(ev, want, c->nvalue);
    double tolerance = kernel_tolerance(v, k);
    for (int s = 0; s < c->nvalue; s++) {
        Type t = ph->graph->node[c->value[s]].type;
        const Buffer *b = &v->p->buffer[c->buf[k->store[s].param]];
        void *got = fetch(v, b, arena, t);
        bool bf16 = t.dtype == DT_BF16 || is_rounded(k, k->store[s].value);
        double d = difference(t, got, eval_get(ev, want[s])->data, type_count(t), kernel_decides(k),
                              bf16, tolerance);
        record(v, k->name, c->origin, index, d, tolerance);
        v->stored[phase][c->value[s]] = got;
    }
    v->result->kernels++;
    eval_free(ev);
    arena_free(scratch);
}

/* Values that a phase's graph reads: of the caller, of the tables, of states as they are now. */
static void snapshot_inputs(Verify *v, int phase, uint8_t *arena)
{
    const Phase *ph = phase_of(v->p, phase);
    if (!ph->graph) return;
    for (Ref r = 0; r < ph->graph->n; r++) {
        const Node *n = &ph->graph->node[r];
        if (n->op != OP_input) continue;
        const char *name = node_attr(n, "name")->s;
        Named *known = env_find(&v->env, name);
        v->stored[phase][r] = known ? known->data : NULL;
        for (int b = 0; b < v->p->nbuffer && arena; b++)
            if (v->p->buffer[b].kind == BUF_STATE && !strcmp(v->p->buffer[b].name, name))
                v->stored[phase][r] = fetch(v, &v->p->buffer[b], arena, n->type);
    }
}

static void on_trace(void *user, int phase, int index, void *arena, int64_t lo, int64_t hi)
{
    Verify *v = user;
    const Phase *ph = phase_of(v->p, phase);
    (void)lo;
    (void)hi;
    compare_call(v, ph, phase, index, arena);
    if (index == ph->ncall - 1)
        for (int next = phase + 1; next < 4; next++) snapshot_inputs(v, next, arena);
}

/* ---- running an entry ---- */

static const AdjEntry *find_entry(const AdjModel *m, const char *name)
{
    for (uint32_t i = 0; i < m->nentry; i++)
        if (!strcmp(m->entry[i].name, name)) return &m->entry[i];
    die("the object has no entry %s", name);
}

static int64_t io_bytes(const ProgIO *io)
{
    int64_t n = dtype_bytes(io->dtype);
    for (int d = 0; d < io->rank; d++) n *= io->dim[d];
    return n;
}

/* The caller's arrays: inputs from env, outputs fresh. */
static void bind_io(Verify *v, const ProgramSpec *s)
{
    for (int k = 0; k < s->nio; k++) {
        Named *in = env_find(&v->env, s->io[k].name);
        v->io[k] =
            in ? in->data : arena_alloc(v->c->arena, (size_t)(io_bytes(&s->io[k]) * s->slots) + 64);
    }
}

static void call_entry(Verify *v, const AdjModel *m, int steps, int64_t n)
{
    const AdjEntry *entry = find_entry(m, v->p->name);
    size_t bytes = entry->shared_bytes + entry->worker_bytes;
    void *arena = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!arena) err(NULL, "out of memory");
    memset(arena, 0xff, bytes); /* nothing may depend on what was there */
    AdjEnv env = {.size = sizeof env, .user = v, .trace = v->each ? on_trace : NULL};
    uint64_t blob;
    AdjCall call = {.size = sizeof call,
                    .n = n,
                    .steps = steps,
                    .io = v->io,
                    .arena = arena,
                    .arena_bytes = bytes,
                    .weights = adj_weights(v->c, &blob)};
    int rc = entry->run(&env, &call);
    free(arena);
    if (rc) err(v->p->name, "the compiled entry returned %d", rc);
}

static void verify_outputs(Verify *v, const ProgramSpec *s, int64_t n)
{
    reference_run(&v->env, s);
    for (int k = 0; k < s->nio; k++) {
        Named *ref = env_find(&v->env, s->io[k].name);
        if (!s->io[k].output || !ref) continue;
        int64_t count = type_count(ref->type) / s->slots * n;
        double d = difference(ref->type, v->io[k], ref->data, count,
                              s->loop || ref->type.dtype != v->c->model.dtype, false, v->base);
        record(v, s->io[k].name, s->io[k].name, k, d, v->base);
    }
}

static void verify_program(Verify *v, const AdjModel *m, int i)
{
    const ProgramSpec *s = &v->c->spec[i];
    v->p = &v->c->module->program[i];
    int64_t n = v->each || v->n > s->slots ? s->slots : v->n; /* each: whole buffers are compared */
    int steps = v->each ? 1 : VERIFY_STEPS;
    reference_env(&v->env, v->c, s, v->in, v->nin, v->n, steps);
    for (int f = 0; f < 4; f++) {
        const Phase *ph = phase_of(v->p, f);
        v->stored[f] = ph->graph ? NEW_N(v->c->arena, void *, ph->graph->n + 1) : NULL;
        snapshot_inputs(v, f, NULL);
    }
    bind_io(v, s);
    call_entry(v, m, steps, n);
    if (!v->each) verify_outputs(v, s, n);
}

static void verify(void *arg)
{
    Verify *v = arg;
    AdjError e;
    if (v->each && !v->c->opt.trace) err(NULL, "--each needs a model compiled with tracing");
    if (v->n < 1 || v->n > v->c->model.b)
        err("--batch", "verify takes 1 to %lld samples", (long long)v->c->model.b);
    const AdjModel *m = adj_load_here(v->c, &e);
    if (!m) err(NULL, "%s", e.msg);
    for (int i = 0; i < v->c->nspec; i++) verify_program(v, m, i);
}

bool adj_verify(AdjCompiled *c, const AdjSamples *in, int nin, int64_t n, bool each,
                AdjVerifyRow *row, void *user, AdjVerify *result, AdjError *e)
{
    double base = c->opt.f64 ? 1e-12 : each ? 1e-5 : c->opt.bf16 ? 0.1 : 1e-4;
    *result = (AdjVerify){.tolerance = base};
    Verify v = {.c = c,
                .in = in,
                .nin = nin,
                .n = n,
                .each = each,
                .row = row,
                .user = user,
                .result = result,
                .base = base};
    return guarded_call(verify, &v, e);
}

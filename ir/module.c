/* SPDX-License-Identifier: Apache-2.0 */
/* Modules as text, and a phase run by the kernel interpreter on the memory plan that compiled
 * code uses: same arena, same offsets, same slot tables, so a planning bug shows here too. */
#include "kernel_impl.h"

#include "module.h"

#include <string.h>

/* ---- text ---- */

static const char *const buf_names[] = {"const", "io", "hyper", "seed", "state", "temp", "scratch"};

static void print_dims(Str *s, int rank, const int64_t *dim)
{
    str_put(s, "[");
    for (int i = 0; i < rank; i++) str_fmt(s, i ? ",%lld" : "%lld", (long long)dim[i]);
    str_put(s, "]");
}

static void print_io(Str *s, int i, const ProgIO *io)
{
    str_fmt(s, "  io %d %s %s %s", i, io->output ? "out" : "in", io->name, dtype_name(io->dtype));
    print_dims(s, io->rank, io->dim);
    if (io->alias >= 0 && !io->output) str_fmt(s, " or io %d", io->alias);
    str_put(s, "\n");
}

static void print_hyper(Str *s, int i, const ProgHyper *h)
{
    str_fmt(s, "  hyper %d %s %s ", i, h->name, dtype_name(h->dtype));
    str_double(s, h->value);
    str_put(s, " in [");
    str_double(s, h->lo);
    str_put(s, ", ");
    str_double(s, h->hi);
    str_put(s, "]\n");
}

static void print_buffer(Str *s, int i, const Buffer *b)
{
    str_fmt(s, "  b%d %s", i, buf_names[b->kind]);
    if (b->kind == BUF_IO || b->kind == BUF_HYPER) str_fmt(s, " %d", b->index);
    str_fmt(s, " %s ", dtype_name(b->dtype));
    layout_text(s, &b->layout);
    for (int d = 0; d < b->layout.ndigit; d++)
        str_fmt(s, "%s%lld", d ? "x" : " ", (long long)b->layout.digit[d].extent);
    str_fmt(s, "%s bytes %lld", b->sample ? " sample" : "", (long long)b->bytes);
    if (b->kind != BUF_IO && b->kind != BUF_HYPER && b->kind != BUF_SEED)
        str_fmt(s, " at %lld", (long long)b->offset);
    if (b->kind == BUF_TEMP) str_fmt(s, " calls %d..%d", b->first, b->last);
    if (b->chunk) str_fmt(s, " for %d slots in turn", b->chunk);
    str_fmt(s, " ; %s\n", b->name ? b->name : "");
}

static void print_call(Str *s, const Module *m, int i, const Call *c)
{
    if (c->stretch) str_fmt(s, "   %d calls for %d slots at once\n", c->stretch, c->chunk);
    str_fmt(s, "    %d %s(", i, m->kernel[c->kernel]->name);
    for (int j = 0; j < c->nbuf; j++) str_fmt(s, j ? ", b%d" : "b%d", c->buf[j]);
    str_put(s, c->across ? ") over ranks" : ")");
    if (c->macs > 0) str_fmt(s, " macs %.0f", c->macs);
    str_fmt(s, " bytes %.0f ; %s\n", c->bytes, c->origin ? c->origin : "");
}

static void print_phase(Str *s, const Module *m, const char *name, const Phase *p)
{
    if (!p->ncall) return;
    str_fmt(s, "  phase %s\n", name);
    for (int i = 0; i < p->ncall; i++) print_call(s, m, i, &p->call[i]);
}

static void print_slots(Str *s, const Program *p)
{
    str_fmt(s, "program %s slots %d%s\n", p->name, p->slots, p->loop ? " loop" : "");
    str_fmt(s, "  arena shared %lld worker %lld zero %lld+%lld scratch %lld phases %lld\n",
            (long long)p->shared_bytes, (long long)p->worker_bytes, (long long)p->zero_offset,
            (long long)p->zero_bytes, (long long)p->scratch_offset, (long long)p->phase_offset);
    str_fmt(s, "  counts step %d/%d judge %d\n", p->step_forwards, p->step_backwards,
            p->judge_forwards);
    str_put(s, "  tables");
    const int table[] = {p->buf_sample, p->buf_id, p->buf_t, p->buf_limit, p->buf_done};
    static const char *const name[] = {"sample", "id", "t", "limit", "done"};
    for (int i = 0; i < COUNT(table); i++)
        if (table[i] >= 0) str_fmt(s, " %s=b%d", name[i], table[i]);
    str_put(s, "\n");
}

static void print_program(Str *s, const Module *m, const Program *p)
{
    print_slots(s, p);
    for (int i = 0; i < p->nio; i++) print_io(s, i, &p->io[i]);
    for (int i = 0; i < p->nhyper; i++) print_hyper(s, i, &p->hyper[i]);
    for (int i = 0; i < p->nbuffer; i++) print_buffer(s, i, &p->buffer[i]);
    print_phase(s, m, "init", &p->init);
    print_phase(s, m, "step", &p->step);
    print_phase(s, m, "judge", &p->judge);
    print_phase(s, m, "finish", &p->finish);
}

void module_print(Str *s, const Module *m)
{
    str_fmt(s, "module %s precision %s consts %lld%s\n", m->prefix, dtype_name(m->precision),
            (long long)m->const_bytes, m->embed ? " embedded" : "");
    for (int i = 0; i < m->nprogram; i++) print_program(s, m, &m->program[i]);
    for (int i = 0; i < m->nkernel; i++) kernel_print(s, m->kernel[i]);
}

/* ---- sums over ranks ---- */

static bool phase_across(const Phase *p)
{
    for (int i = 0; i < p->ncall; i++)
        if (p->call[i].across) return true;
    return false;
}

bool program_across(const Program *p)
{
    return phase_across(&p->init) || phase_across(&p->step) || phase_across(&p->judge) ||
           phase_across(&p->finish);
}

const Buffer *call_across(const Module *m, const Program *p, const Call *c)
{
    const Kernel *k = m->kernel[c->kernel];
    check(c->across && k->nstore == 1);
    return &p->buffer[c->buf[k->store[0].param]];
}

/* ---- running a phase, of one rank: a sum over it changes nothing ---- */

typedef struct PhaseRun {
    const Module *m;
    const Program *p;
    const PhaseMem *mem;
    int64_t seed;
    int64_t fallback[MAX_HYPER]; /* defaults of hyperparameters, one element each */
} PhaseRun;

static void *io_base(const PhaseRun *r, int i, int64_t *stride)
{
    const ProgIO *io = &r->p->io[i];
    if (!r->mem->io[i] && !io->output && io->alias >= 0) i = io->alias;
    *stride = r->mem->io_stride[i];
    if (r->mem->io[i]) return r->mem->io[i];
    if (!r->p->io[i].output) die("program %s: input %s is not given", r->p->name, io->name);
    *stride = 0; /* nobody asked for it: every sample goes to the same scratch */
    return r->mem->arena + r->p->scratch_offset;
}

static KMem hyper_mem(PhaseRun *r, int i)
{
    const ProgHyper *h = &r->p->hyper[i];
    if (r->mem->hyper && r->mem->hyper[i])
        return (KMem){(void *)(uintptr_t)r->mem->hyper[i], r->mem->hyper_stride[i]};
    elem_set(h->dtype, &r->fallback[i], 0, h->value);
    return (KMem){&r->fallback[i], 0};
}

/* `first`: the slot that has the first of the places that slots take in turn. */
static KMem buffer_mem(PhaseRun *r, const Buffer *b, int64_t first)
{
    KMem m = {0};
    switch (b->kind) {
    case BUF_CONST: m.base = (b->definition ? r->m->shadow : r->m->consts) + b->offset; break;
    case BUF_IO: m.base = io_base(r, b->index, &m.stride); break;
    case BUF_HYPER: return hyper_mem(r, b->index);
    case BUF_SEED: m.base = &r->seed; break;
    case BUF_STATE:
    case BUF_TEMP:
    case BUF_SCRATCH: m.base = r->mem->arena + b->offset; break;
    }
    if (b->chunk) m.base = (uint8_t *)m.base - first * (b->bytes / b->chunk);
    return m;
}

static const int64_t *sample_table(const PhaseRun *r)
{
    return (const int64_t *)(const void *)(r->mem->arena + r->p->buffer[r->p->buf_sample].offset);
}

static void eval_call(PhaseRun *r, const Call *c, int64_t lo, int64_t hi)
{
    const Kernel *k = r->m->kernel[c->kernel];
    KMem at[MAX_PARAMS] = {0};
    check(c->nbuf == k->nparam);
    for (int i = 0; i < c->nbuf; i++) at[i] = buffer_mem(r, &r->p->buffer[c->buf[i]], lo);
    kernel_eval(k, at, sample_table(r), lo, hi);
}

void module_eval_phase(const Module *m, const Program *p, const Phase *phase, const PhaseMem *mem,
                       int64_t lo, int64_t hi, void (*on)(void *, int), void *user)
{
    PhaseRun r = {.m = m, .p = p, .mem = mem, .seed = (int64_t)mem->seed};
    for (int i = 0, end; i < phase->ncall; i = end) {
        const Call *c = &phase->call[i];
        int64_t step = c->stretch ? c->chunk : hi - lo;
        end = i + (c->stretch ? c->stretch : 1);
        for (int64_t at = lo; at < hi; at += step) {
            for (int k = i; k < end; k++) {
                eval_call(&r, &phase->call[k], at, at + step < hi ? at + step : hi);
                if (on) on(user, k);
            }
        }
    }
}

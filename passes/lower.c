/* SPDX-License-Identifier: Apache-2.0 */
/* The driver of the lowering: a program's phases one by one, step first because it decides the
 * layouts of the states, then its arena, and at the end the module's constants. */
#include "lower.h"

#include <string.h>

#include "lowering.h"
#include "passes.h"

Module *module_new(Arena *a, const char *prefix)
{
    Module *m = NEW(a, Module);
    m->arena = a;
    m->prefix = arena_strdup(a, prefix);
    m->source = "";
    m->precision = DT_F32;
    m->embed = true;
    return m;
}

static Lowering lowering_new(Module *m, Program *p, const Target *t, Phase *phase)
{
    Arena *a = m->arena;
    uint32_t n = phase->graph->n + 1;
    Lowering l = {
        .arena = a, .module = m, .prog = p, .target = t, .g = phase->graph, .phase = phase};
    l.live = NEW_N(a, bool, n);
    l.batched = NEW_N(a, bool, n);
    l.stored = NEW_N(a, bool, n);
    l.again = NEW_N(a, Ref, n);
    l.remade = NEW_N(a, bool, n);
    l.apart = NEW_N(a, bool, n);
    l.most = NEW_N(a, uint32_t, n);
    l.group_of = NEW_N(a, int, n);
    l.dep = NEW_N(a, int, n);
    l.bound = NEW_N(a, int, n);
    l.buffer_of = NEW_N(a, int, n);
    l.wide = NEW_N(a, const Const *, n);
    l.halo = arena_alloc(a, sizeof *l.halo * n);
    l.out_group = NEW_N(a, int, phase->graph->nout + 1);
    for (uint32_t i = 0; i < n; i++) l.bound[i] = l.buffer_of[i] = -1;
    for (uint32_t i = 0; i < n; i++) l.again[i] = NOREF;
    for (uint32_t i = 0; i < phase->graph->nout; i++) l.out_group[i] = -1;
    return l;
}

static void bind_inputs(Lowering *l)
{
    for (Ref r = 0; r < l->g->n; r++) {
        const Node *n = &l->g->node[r];
        if (n->op != OP_input) continue;
        const char *name = node_attr(n, "name")->s;
        l->bound[r] = buffer_bind(l->module, l->prog, name, n->type, false);
        if (l->bound[r] < 0) die("%s: nothing is named %s", l->prog->name, name);
        if (l->prog->buffer[l->bound[r]].dtype != n->type.dtype)
            die("%s: %s is read with another element type", l->prog->name, name);
    }
}

/* A state's old and new value share a buffer, so what readers of either want around it. */
static void share_halos(Lowering *l)
{
    for (uint32_t i = 0; i < l->g->nout; i++) {
        Ref before = graph_find_input(l->g, l->g->out[i].name);
        if (before == NOREF) continue;
        for (int k = 0; k < 6; k++) {
            int64_t wide = l->halo[l->g->out[i].ref][k];
            if (l->halo[before][k] < wide) l->halo[before][k] = wide;
        }
    }
}

/* A state whose layout is open takes the one that its reader here prefers. */
static void fix_states(Lowering *l)
{
    share_halos(l);
    for (Ref r = 0; r < l->g->n; r++) {
        if (l->bound[r] < 0) continue;
        Buffer *b = &l->prog->buffer[l->bound[r]];
        if (b->layout.ndigit || b->layout.rank || b->kind != BUF_STATE) continue;
        b->layout = value_layout(l, r);
        b->bytes = layout_bytes(&b->layout, b->dtype);
    }
}

static int lower_phase(Module *m, Program *p, const Target *t, Phase *phase, const Graph *g, int id,
                       int again)
{
    if (!g) return 0;
    int first = p->nbuffer, lanes = target_lanes(t, m->precision);
    double *macs = NULL;
    phase->graph = pass_matmul(m->arena, t, pass_expand(m->arena, t, g));
    phase->graph = pass_order(m->arena, pass_join(m->arena, t, phase->graph));
    phase->graph = pass_strides(m->arena, t, phase->graph);
    if (t->offer && lanes > 1) phase->graph = pass_channels(m->arena, phase->graph, lanes, &macs);
    Lowering l = lowering_new(m, p, t, phase);
    l.macs = macs;
    l.again_most = again;
    bind_inputs(&l);
    lower_fuse(&l);
    fix_states(&l);
    lower_kernels(&l);
    for (int i = first; i < p->nbuffer; i++) p->buffer[i].phase = id;
    return l.again_all;
}

static int own_table(Module *m, Program *p, const char *name, DType dtype)
{
    int64_t b = p->slots;
    return buffer_bind(m, p, name, type_of(dtype, 1, &b), true);
}

static void add_tables(Module *m, Program *p)
{
    p->buf_sample = own_table(m, p, "sample", DT_I64);
    p->buf_id = own_table(m, p, "id", DT_I64);
    p->buf_t = own_table(m, p, "t", DT_I32);
    p->buf_limit = own_table(m, p, "limit", DT_I32);
    p->buf_done = own_table(m, p, "done", DT_I32);
}

int lower_program(Module *m, const Target *t, const ProgramSpec *s)
{
    uint32_t n = (uint32_t)m->nprogram;
    GROW(m->arena, m->program, n, m->program_cap);
    Program *p = &m->program[m->nprogram++];
    *p = (Program){.name = s->name,
                   .nio = s->nio,
                   .nhyper = s->nhyper,
                   .slots = s->slots,
                   .loop = s->loop,
                   .whole = s->whole,
                   .step_forwards = s->step_forwards,
                   .step_backwards = s->step_backwards,
                   .judge_forwards = s->judge_forwards,
                   .finish_forwards = s->finish_forwards,
                   .finish_backwards = s->finish_backwards};
    memcpy(p->io, s->io, sizeof p->io);
    memcpy(p->hyper, s->hyper, sizeof p->hyper);
    add_tables(m, p);
    int step = lower_phase(m, p, t, &p->step, s->step, 1, s->again);
    int judge = lower_phase(m, p, t, &p->judge, s->judge, 2, s->again);
    int init = lower_phase(m, p, t, &p->init, s->init, 0, s->again);
    int finish = lower_phase(m, p, t, &p->finish, s->finish, 3, s->again);
    lower_depth(m, p, t);
    lower_plan(m, p);
    int loop = step > judge ? step : judge, ends = init > finish ? init : finish;
    return loop > ends ? loop : ends;
}

void module_finish(Module *m)
{
    m->part = NEW_N(m->arena, const ModConst *, m->nconst + 1);
    for (uint32_t i = 0; i < m->nconst; i++)
        if (!m->constant[i].definition) m->part[m->npart++] = &m->constant[i];
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a graph below the graph IR, in few enough words for a test's expectation. */
#include "tools/opt/lower_print.h"

#include <string.h>

#include "passes/lower.h"
#include "passes/passes.h"
#include "tools/opt/sample_target.h"

/* ---- a program out of a graph ---- */

static bool is_slot_name(const char *name)
{
    static const char *const own[] = {"seed", "id", "t", "limit", "done"};
    for (int i = 0; i < COUNT(own); i++)
        if (!strcmp(name, own[i])) return true;
    return !strncmp(name, "state.", 6);
}

static void add_io(ProgramSpec *s, const char *name, Type t, bool output)
{
    if (is_slot_name(name)) return;
    if (s->nio == MAX_IO || !t.rank) err(name, "cannot be a tensor of a program");
    ProgIO *io = &s->io[s->nio++];
    *io = (ProgIO){.name = name, .dtype = t.dtype, .rank = t.rank - 1, .output = output};
    io->alias = -1;
    memcpy(io->dim, t.dim + 1, sizeof io->dim[0] * (size_t)io->rank);
}

static ProgramSpec spec_of(Graph *g)
{
    ProgramSpec s = {.name = g->name, .slots = 1, .step = g};
    for (Ref r = 0; r < g->n; r++) {
        const Node *n = &g->node[r];
        if (n->op != OP_input) continue;
        if (n->type.rank) s.slots = (int)n->type.dim[0];
        add_io(&s, node_attr(n, "name")->s, n->type, false);
    }
    for (uint32_t i = 0; i < g->nout; i++)
        add_io(&s, g->out[i].name, g->node[g->out[i].ref].type, true);
    return s;
}

static Module *lower(Arena *a, const Graph *src)
{
    Graph *g = pass_dce(a, src);
    Module *m = module_new(a, "m");
    for (Ref r = 0; r < g->n; r++)
        if (g->node[r].type.dtype == DT_F64) m->precision = DT_F64;
    ProgramSpec s = spec_of(g);
    lower_program(m, &sample_claiming, &s);
    module_finish(m);
    return m;
}

/* ---- text ---- */

/* temp0, const1: numbered in order; the others have names. */
static void put_name(Str *s, const Program *p, int b)
{
    static const char *const kinds[] = {"const", "", "", "", "", "temp"};
    BufKind kind = p->buffer[b].kind;
    int number = 0;
    for (int i = 0; i < b; i++) number += p->buffer[i].kind == kind;
    if (*kinds[kind])
        str_fmt(s, "%s%d", kinds[kind], number);
    else
        str_put(s, p->buffer[b].name);
}

static void put_buffer(Str *s, const Program *p, int b)
{
    put_name(s, p, b);
    str_fmt(s, " %s ", dtype_name(p->buffer[b].dtype));
    layout_text(s, &p->buffer[b].layout);
}

static void put_call(Str *s, const Module *m, const Program *p, int number)
{
    const Call *c = &p->step.call[number];
    const Kernel *k = m->kernel[c->kernel];
    str_fmt(s, "%d %s%s", number, k->name, k->offer.claim >= 0 ? " claimed" : "");
    const char *before = " reads ";
    for (int i = 0; i < k->nparam; i++) {
        if (!k->param[i].in) continue;
        str_put(s, before);
        put_buffer(s, p, c->buf[i]);
        before = ", ";
    }
    for (int i = 0; i < k->nstore; i++) {
        const KParam *to = &k->param[k->store[i].param];
        str_put(s, i ? ", " : " writes ");
        put_buffer(s, p, c->buf[k->store[i].param]);
        str_put(s, to->in ? " in place" : "");
        if (!c->nvalue) continue;
        const Node *n = &p->step.graph->node[c->value[i]];
        str_fmt(s, " = %%%u %s", c->value[i], op_info[n->op].name);
    }
    str_put(s, "\n");
}

static void put_place(Str *s, const Program *p, int b)
{
    const Buffer *buf = &p->buffer[b];
    put_buffer(s, p, b);
    str_fmt(s, " bytes %lld", (long long)buf->bytes);
    if (buf->kind != BUF_IO && buf->kind != BUF_HYPER && buf->kind != BUF_SEED)
        str_fmt(s, " at %lld", (long long)buf->offset);
    if (buf->kind == BUF_TEMP) str_fmt(s, " calls %d..%d", buf->first, buf->last);
    str_put(s, "\n");
}

static void put_totals(Str *s, const Module *m, const Program *p)
{
    str_fmt(s, "slots %d zeroed %lld+%lld spare %lld phases %lld worker %lld constants %lld\n",
            p->slots, (long long)p->zero_offset, (long long)p->zero_bytes,
            (long long)p->scratch_offset, (long long)p->phase_offset, (long long)p->worker_bytes,
            (long long)m->const_bytes);
}

bool lower_print_is(const char *pass)
{
    return !strcmp(pass, "kernels") || !strcmp(pass, "plan");
}

void lower_print(Arena *a, const Graph *g, const char *pass, Str *out)
{
    const Module *m = lower(a, g);
    const Program *p = &m->program[0];
    if (!strcmp(pass, "kernels")) {
        for (int i = 0; i < p->step.ncall; i++) put_call(out, m, p, i);
        return;
    }
    for (int i = 0; i < p->nbuffer; i++) put_place(out, p, i);
    put_totals(out, m, p);
}

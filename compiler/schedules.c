/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules of a model: the user's lines in front of the measured ones, and which lines the kernels
 * that came out stand for. */
#include <stdlib.h>
#include <string.h>

#include "compiler/compiled.h"

/* ---- in ---- */

static const Target *target_of(const AdjCompiled *c, const char *cpu)
{
    for (int i = 0; i < c->nvariant; i++)
        if (!strcmp(c->variant[i].target->cpu, cpu)) return c->variant[i].target;
    return NULL;
}

/* Lines for other CPUs than those compiled for are read, not more. */
static void check_lines(const AdjCompiled *c)
{
    for (uint32_t i = 0; i < c->schedule.n; i++) {
        const ScheduleLine *l = &c->schedule.line[i];
        const Target *t = target_of(c, l->cpu);
        if (t)
            target_check_line(t, l);
        else if (!target_cpu_known(l->cpu))
            err(l->where, "no CPU row is called '%s'", l->cpu);
    }
}

void schedules_open(AdjCompiled *c)
{
    if (c->opt.schedule)
        schedule_read(c->arena, &c->schedule, c->opt.schedule_name, c->opt.schedule);
    check_lines(c);
    if (!c->opt.no_measured) schedule_read(c->arena, &c->schedule, NULL, target_schedules);
}

/* ---- out ---- */

typedef struct Used { /* contractions that have been told */
    uint32_t n, cap;
    const Contract **seen;
} Used;

static bool told(const Used *u, const Contract *c)
{
    for (uint32_t i = 0; i < u->n; i++)
        if (contract_eq(u->seen[i], c)) return true;
    return false;
}

static bool has_line(const Kernel *k)
{
    return k->contract.op != OP_COUNT && k->offer.claim >= 0;
}

static void tell(Str *s, const char *cpu, const Contract *c, const Offer *o)
{
    str_fmt(s, "%s ", cpu);
    contract_text(s, c);
    str_put(s, ": ");
    target_plan_text(s, o);
    str_put(s, "\n");
}

static void tell_kernels(const AdjCompiled *c, const CpuVariant *v, Str *s)
{
    Used u = {0};
    for (int i = 0; i < v->module->nkernel; i++) {
        const Kernel *k = v->module->kernel[i];
        if (!has_line(k) || told(&u, &k->contract)) continue;
        GROW(c->arena, u.seen, u.n, u.cap);
        u.seen[u.n++] = &k->contract;
        tell(s, v->target->cpu, &k->contract, &k->offer);
    }
}

/* What a line leaves to the generic lowering is no claim's. */
static void tell_generic(const AdjCompiled *c, Str *s)
{
    static const Offer none = {.claim = -1};
    for (uint32_t i = 0; i < c->schedule.n; i++) {
        const ScheduleLine *l = &c->schedule.line[i];
        if (l->asked && !strcmp(l->plan, target_claim_name(-1)))
            tell(s, l->cpu, &l->contract, &none);
    }
}

void schedules_used(const AdjCompiled *c, Str *s)
{
    for (int v = 0; v < c->nvariant; v++) tell_kernels(c, &c->variant[v], s);
    tell_generic(c, s);
}

/* Lines for other CPUs may be there for other compilations, but some line should be for these. */
static void unused_lines(const AdjCompiled *c, Str *s)
{
    bool any = false, some = false;
    for (uint32_t i = 0; i < c->schedule.n; i++) {
        const ScheduleLine *l = &c->schedule.line[i];
        if (!l->where) continue;
        any = true;
        if (!target_of(c, l->cpu)) continue;
        some = true;
        if (!l->asked) str_fmt(s, "%s: is for no layer of this model\n", l->where);
    }
    if (any && !some) str_fmt(s, "%s: no line is for %s\n", c->opt.schedule_name, c->cpus);
}

typedef struct Telling {
    AdjCompiled *c;
    void (*fn)(const AdjCompiled *, Str *);
    Str text;
} Telling;

static void tell_all(void *arg)
{
    Telling *t = arg;
    str_put(&t->text, "");
    t->fn(t->c, &t->text);
}

static char *text_by(AdjCompiled *c, void (*fn)(const AdjCompiled *, Str *), AdjError *e)
{
    Telling t = {.c = c, .fn = fn};
    if (guarded_call(tell_all, &t, e)) return t.text.s;
    str_free(&t.text);
    return NULL;
}

char *adj_schedule(AdjCompiled *c, AdjError *e)
{
    return text_by(c, schedules_used, e);
}

char *adj_schedule_unused(AdjCompiled *c, AdjError *e)
{
    return text_by(c, unused_lines, e);
}

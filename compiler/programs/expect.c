/* SPDX-License-Identifier: Apache-2.0 */
/* Expectation over transformation (Athalye, Engstrom, Ilyas, Kwok 2018) around any attack that goes
 * by gradients: a step takes K passes, each with random numbers of its own, and moves along
 *
 *   g = (g_1 + ... + g_K) / K;  g_j the gradient at the same iterate with the draw t K + j
 *
 * What else an attack reads off its logits, such as the loss and whether the iterate fools, is that
 * of the last pass, as in AutoAttack's code. K is the hyperparameter `eot`, so a pass is a step of
 * the slot machine: the attack counts steps by passes / K, and until the last pass of a step its
 * states stay as they are. Nothing is unrolled, and counts of passes are exact. */
#include <string.h>

#include "compiler/programs/attack.h"

#define SUM "state.gradients"

void expect_declare(const Model *m, ProgramSpec *s)
{
    spec_hyper(s, EOT, DT_I32, m->eot, 1, MOST_EOT, "gradients of a step, their mean is taken");
}

bool expects(const Attack *a)
{
    return has_knob(a, EOT);
}

Ref expect_count(Attack *a, Ref passes)
{
    return b_binary(a->g, OP_div, passes, knob(a, EOT, 1));
}

/* bool [b]: this is pass number `which` of its step, from 0. */
static Ref at_pass(Attack *a, Ref which)
{
    Graph *g = a->g;
    Ref t = sample_input(g, "t", DT_I32, a->m->b);
    Ref before = b_binary(g, OP_mul, expect_count(a, t), knob(a, EOT, 1));
    return b_binary(g, OP_eq, b_binary(g, OP_sub, t, before), which);
}

static Ref at_last(Attack *a)
{
    Ref last = b_binary(a->g, OP_sub, knob(a, EOT, 1), ints(a, 1));
    return at_pass(a, last);
}

Ref expect_mean(Attack *a, Ref grad)
{
    Graph *g = a->g;
    Ref more = b_binary(g, OP_add, image_in(a, SUM), grad);
    Ref sum = pick(a, at_pass(a, ints(a, 0)), grad, more);
    Ref k = b_cast(g, knob(a, EOT, 1), a->column.dtype);
    graph_output(g, SUM, sum);
    return b_binary(g, OP_div, sum, per_sample(g, k, a->image));
}

/* ---- after the phases are built ---- */

/* The limit in passes, for one in steps. It stays below 2^31. */
static Ref in_passes(Attack *a, Ref steps)
{
    Graph *g = a->g;
    Ref k = knob(a, EOT, 1), most = b_binary(g, OP_div, ints(a, INT32_MAX), k);
    return b_binary(g, OP_mul, b_binary(g, OP_min2, steps, most), k);
}

static GraphOutput *find_output(Graph *g, const char *name)
{
    for (uint32_t i = 0; i < g->nout; i++)
        if (!strcmp(g->out[i].name, name)) return &g->out[i];
    return NULL;
}

static void finish_init(Attack *a)
{
    GraphOutput *limit = find_output(a->g, "limit");
    Ref steps = limit ? limit->ref : sample_input(a->g, "limit", DT_I32, a->m->b);
    Ref passes = in_passes(a, steps);
    if (limit)
        limit->ref = passes;
    else
        graph_output(a->g, "limit", passes);
    graph_output(a->g, SUM, graph_splat(a->g, a->image, 0));
}

static Ref unless_last(Attack *a, Ref last, const char *name, Ref now)
{
    Graph *g = a->g;
    Type t = g->node[now].type;
    Ref old = strcmp(name, "done") ? b_input(g, name, t) : b_like(g, now, 0);
    if (!strcmp(name, "limit")) now = in_passes(a, now);
    return b_select(g, per_sample(g, last, type_with(t, DT_BOOL)), now, old);
}

static void finish_step(Attack *a)
{
    Graph *g = a->g;
    Ref last = at_last(a);
    for (uint32_t i = 0; i < g->nout; i++) {
        const char *name = g->out[i].name;
        bool state = !strncmp(name, "state.", 6) && strcmp(name, SUM) != 0;
        if (!state && strcmp(name, "limit") && strcmp(name, "done")) continue;
        Ref now = unless_last(a, last, name, g->out[i].ref);
        g->out[i].ref = now;
    }
}

static Attack of_phase(const Model *m, const ProgramSpec *s, Graph *g)
{
    return (Attack){m, s, g, m->g->node[m->x].type, type_of(m->dtype, 1, &m->b)};
}

/* What a step changes, it changes at its last pass only. */
void program_settle(const Model *m, ProgramSpec *s)
{
    Attack init = of_phase(m, s, s->init), step = of_phase(m, s, s->step);
    if (!expects(&step)) return;
    finish_init(&init);
    finish_step(&step);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* guided-backprop: dz_y/dx where a ReLU hands back only what is positive,
 *
 *   c_in = max(c_out, 0) where its input is above 0, else 0
 *
 * (Springenberg, Dosovitskiy, Brox, Riedmiller 2015, section 3.4). This is no derivative of
 * anything, so it is no rule of the table: every ReLU's result is stopped, which cuts the network
 * into pieces that are differentiated as ever, and the rule joins them, from the logits down. ReLU
 * is every maximum of a value and 0. */
#include "compiler/programs/explain.h"
#include "passes/passes.h"

typedef struct Relus {
    uint32_t n;
    Ref *in, *out; /* out: stopped */
} Relus;

static bool is_zero(const Graph *g, Ref r)
{
    const Node *n = &g->node[r];
    return n->op == OP_const && n->value->splat && elem_get(n->type.dtype, n->value->data, 0) == 0;
}

static Ref cut(void *user, Graph *g, Ref value)
{
    Relus *all = user;
    const Node *n = &g->node[value];
    if (n->op != OP_max2 || is_zero(g, n->args[0]) == is_zero(g, n->args[1])) return value;
    all->in[all->n] = n->args[is_zero(g, n->args[0])];
    return all->out[all->n++] = b_unary(g, OP_stop, value);
}

static Ref guided(Graph *g, Ref in, Ref cot)
{
    Ref zero = b_like(g, in, 0), above = b_binary(g, OP_lt, zero, in);
    return b_select(g, above, b_binary(g, OP_max2, cot, zero), zero);
}

/* The loss pulled back to x through the pieces. Each piece ends in the inputs of later ReLUs, whose
 * cotangents are known by then. */
static Ref pull_back(Arena *a, Graph *g, Ref loss, const Relus *all, Ref x)
{
    Ref *out = NEW_N(a, Ref, all->n + 1), *cot = NEW_N(a, Ref, all->n + 1), c;
    int n = 1;
    grad_check(g, loss, x);
    out[0] = loss;
    cot[0] = NOREF;
    for (uint32_t i = all->n; i-- > 0;) {
        grad_append(g, n, out, cot, 1, &all->out[i], &c);
        if (is_zero(g, c)) continue; /* it leads to no logit */
        out[n] = all->in[i];
        cot[n++] = guided(g, all->in[i], c);
    }
    grad_append(g, n, out, cot, 1, &x, &c);
    return c;
}

void program_guided_backprop(const Model *m, ProgramSpec *s)
{
    explain_tensors(m, s, m->g->node[m->x].type, "guided gradient of y's logit");
    Attack a = attack_phase(m, s, &s->step, "step");
    Relus all = {0, NEW_N(m->arena, Ref, m->g->n + 1), NEW_N(m->arena, Ref, m->g->n + 1)};
    Ref x = image_in(&a, "x"), y = sample_input(a.g, "y", DT_I64, m->b);
    Ref z = model_values(a.g, m, x, cut, &all)[m->logits];
    Ref loss = loss_label_logit(a.g, z, y);
    graph_output(a.g, "map", pull_back(m->arena, a.g, loss, &all, x));
}

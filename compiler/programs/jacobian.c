/* SPDX-License-Identifier: Apache-2.0 */
/* jacobian: d logits / d pixels, whole: [classes, C, H, W] a sample. The graph of u^T J falls into
 * what the cotangent u takes no part in, evaluated once (init), and the rest, which step t
 * evaluates for u = the unit vector of class t. Between them lie the residuals: what the second
 * part reads of the first. They are states, so a slot keeps its own. */
#include "compiler/programs/attack.h"

#include <string.h>

typedef struct Split {
    Graph *whole;        /* u^T J of a model */
    bool *of_x, *of_u;   /* by ref: depends on the image, on the cotangent */
    Ref *first, *second; /* by ref: its copy in init, in step */
    Graph *init, *step;
    Ref u; /* in step */
    int nresidual;
    Arena *arena;
} Split;

static void trace(Split *p, Ref x, Ref u)
{
    const Graph *g = p->whole;
    for (Ref r = 0; r < g->n; r++) {
        p->of_x[r] = r == x;
        p->of_u[r] = r == u;
        for (int i = 0; i < g->node[r].nargs; i++) {
            p->of_x[r] |= p->of_x[g->node[r].args[i]];
            p->of_u[r] |= p->of_u[g->node[r].args[i]];
        }
    }
}

/* The value of r for the step: made there, or saved by init. */
static Ref residual(Split *p, Ref r)
{
    if (p->second[r] != NOREF) return p->second[r];
    const char *name = arena_printf(p->arena, "state.r%d", p->nresidual++);
    graph_output(p->init, name, p->first[r]);
    return p->second[r] = b_input(p->step, name, p->whole->node[r].type);
}

static void copy(Split *p, Ref r)
{
    const Node *n = &p->whole->node[r];
    if (!p->of_u[r]) {
        graph_take_origin(p->init, p->whole, r);
        p->first[r] = graph_copy(p->init, p->whole, r, p->first);
        if (p->of_x[r]) return; /* the step asks for it, or does not */
    }
    graph_take_origin(p->step, p->whole, r);
    for (int i = 0; i < n->nargs; i++) residual(p, n->args[i]);
    p->second[r] = graph_copy(p->step, p->whole, r, p->second);
}

static void split(Split *p, Ref x, Ref u)
{
    uint32_t n = p->whole->n;
    p->of_x = NEW_N(p->arena, bool, n);
    p->of_u = NEW_N(p->arena, bool, n);
    p->first = NEW_N(p->arena, Ref, n);
    p->second = NEW_N(p->arena, Ref, n);
    for (Ref r = 0; r < n; r++) p->first[r] = p->second[r] = NOREF;
    trace(p, x, u);
    p->second[u] = p->u;
    for (Ref r = 0; r < n; r++)
        if (r != u) copy(p, r);
}

/* [b, K, C, H, W]: row t of the state becomes the gradient. */
static Ref put_row(const Split *p, Ref hot, Ref row, Type all)
{
    Graph *g = p->step;
    Type one = all, mask = type_with(all, DT_BOOL);
    one.dim[1] = 1;
    Ref wide = b_broadcast(g, b_reshape(g, row, one.rank, one.dim), all.rank, all.dim);
    for (int d = 2; d < mask.rank; d++) mask.dim[d] = 1;
    Ref flag = b_broadcast(g, b_reshape(g, hot, mask.rank, mask.dim), all.rank, all.dim);
    return b_select(g, flag, wide, b_input(g, "state.jacobian", all));
}

static Type jacobian_type(const Model *m)
{
    Type t = m->g->node[m->x].type;
    if (t.rank == MAX_RANK) err("jacobian", "the image has too many axes");
    memmove(t.dim + 2, t.dim + 1, sizeof *t.dim * (size_t)(t.rank - 1));
    t.dim[1] = model_classes(m);
    t.rank++;
    return t;
}

static void build_split(const Model *m, ProgramSpec *s, Split *p)
{
    Type image = m->g->node[m->x].type, scores = m->g->node[m->logits].type;
    Attack init = attack_phase(m, s, &s->init, "init"), step = attack_phase(m, s, &s->step, "step");
    Ref row, x, u, z, now = b_cast(step.g, int_in(&step, "t"), DT_I64);
    *p = (Split){.whole = graph_new(m->arena, "vjp"), .init = init.g, .step = step.g};
    p->arena = m->arena;
    x = b_input(p->whole, "x", image);
    u = b_input(p->whole, "cotangent", scores);
    z = model_apply(p->whole, m, x);
    row = model_gradient(p->whole, z, u, x);
    Ref hot = b_onehot(p->step, now, scores);
    p->u = b_cast(p->step, hot, m->dtype);
    split(p, x, u);
    graph_output(p->init, "state.logits", p->first[z]);
    graph_output(p->init, "state.jacobian", graph_splat(p->init, jacobian_type(m), 0));
    graph_output(p->init, "limit", ints(&init, (int)model_classes(m)));
    graph_output(p->step, "state.jacobian", put_row(p, hot, p->second[row], jacobian_type(m)));
}

void program_jacobian(const Model *m, ProgramSpec *s)
{
    Split p;
    Type image = m->g->node[m->x].type, scores = m->g->node[m->logits].type;
    spec_input(s, "x", image, -1, "pixels");
    spec_output(s, "logits", scores, "scores");
    spec_output(s, "jacobian", jacobian_type(m), "d logits / d x; call->steps plays no part");
    s->loop = true;
    s->step_backwards = 1;
    build_split(m, s, &p);
    Attack a = attack_phase(m, s, &s->finish, "finish");
    graph_output(a.g, "logits", b_input(a.g, "state.logits", scores));
    graph_output(a.g, "jacobian", b_input(a.g, "state.jacobian", jacobian_type(m)));
}

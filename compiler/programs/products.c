/* SPDX-License-Identifier: Apache-2.0 */
/* Products with derivatives, exact, without a Jacobian in memory:
 *
 *   vjp   u^T J, J = d logits / d pixels, for the caller's cotangent u
 *   jvp   J v: u^T J is linear in u, so J v is the gradient in u of <u^T J, v> (two reverse
 *         passes, Townsend 2017); u itself drops out
 *   hvp   H v, H the Hessian of cross-entropy in the pixels: the gradient in x of <dCE/dx, v>
 *         (Pearlmutter 1994, computed here by reverse over reverse) */
#include "compiler/programs.h"

typedef struct Parts {
    Graph *g;
    Type image, scores;
    Ref x, z;
} Parts;

static Parts open_graph(const Model *m, ProgramSpec *s, const char *name)
{
    Parts p = {.image = m->g->node[m->x].type};
    model_classes(m);
    p.g = s->step = graph_new(m->arena, name);
    p.x = b_input(p.g, "x", p.image);
    p.z = model_apply(p.g, m, p.x);
    p.scores = p.g->node[p.z].type;
    spec_input(s, "x", p.image, -1, "pixels");
    s->step_forwards = s->step_backwards = 1;
    return p;
}

/* <a, b>, summed over everything: a scalar whose gradient is what we are after */
static Ref inner(Graph *g, Ref a, Ref b)
{
    return b_sum_samples(g, b_binary(g, OP_mul, a, b));
}

void program_vjp(const Model *m, ProgramSpec *s)
{
    Parts p = open_graph(m, s, "vjp");
    Ref u = b_input(p.g, "cotangent", p.scores);
    graph_output(p.g, "logits", p.z);
    graph_output(p.g, "grad", model_gradient(p.g, p.z, u, p.x));
    spec_input(s, "cotangent", p.scores, -1, "weights of the logits");
    spec_output(s, "logits", p.scores, "scores");
    spec_output(s, "grad", p.image, "cotangent times d logits / d x");
}

void program_jvp(const Model *m, ProgramSpec *s)
{
    Parts p = open_graph(m, s, "jvp");
    Ref v = b_input(p.g, "tangent", p.image);
    Ref u = b_like(p.g, p.z, 0.7182818284590452); /* any value that no other constant has */
    Ref row = model_gradient(p.g, p.z, u, p.x);
    graph_output(p.g, "logits", p.z);
    graph_output(p.g, "dlogits", model_gradient(p.g, inner(p.g, row, v), NOREF, u));
    spec_input(s, "tangent", p.image, -1, "direction in pixels");
    spec_output(s, "logits", p.scores, "scores");
    spec_output(s, "dlogits", p.scores, "derivative of the logits along the direction");
    s->step_backwards = 2;
}

void program_hvp(const Model *m, ProgramSpec *s)
{
    Parts p = open_graph(m, s, "hvp");
    Type column = type_of(DT_I64, 1, &m->b);
    Ref y = b_input(p.g, "y", column), v = b_input(p.g, "tangent", p.image);
    Ref grad = model_gradient(p.g, loss_cross_entropy(p.g, p.z, y), NOREF, p.x);
    graph_output(p.g, "grad", grad);
    graph_output(p.g, "hvp", model_gradient(p.g, inner(p.g, grad, v), NOREF, p.x));
    spec_input(s, "y", column, -1, "labels, 0-based");
    spec_input(s, "tangent", p.image, -1, "direction in pixels");
    spec_output(s, "grad", p.image, "d cross-entropy / d x");
    spec_output(s, "hvp", p.image, "Hessian of cross-entropy times the direction");
    s->step_backwards = 3;
}

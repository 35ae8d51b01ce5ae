/* SPDX-License-Identifier: Apache-2.0 */
/* gradient, logit-gradient: one forward and one backward pass; the gradient in the pixels of a
 * per-sample loss of the logits. Sums over samples, so each sample's gradient is its own. */
#include "compiler/programs.h"
#include "passes/passes.h"

typedef Ref LossFn(Graph *, Ref logits, Ref label);

static void build(const Model *m, ProgramSpec *s, LossFn *loss_of, const char *what)
{
    Type image = m->g->node[m->x].type, column = type_of(DT_I64, 1, &m->b);
    model_classes(m);
    Graph *g = s->step = graph_new(m->arena, "gradient");
    Ref x = b_input(g, "x", image), y = b_input(g, "y", column);
    Ref z = model_apply(g, m, x), loss = loss_of(g, z, y), grad;
    grad_append(g, 1, &loss, NULL, 1, &x, &grad);
    graph_output(g, "logits", z);
    graph_output(g, "loss", to_vector(g, loss));
    graph_output(g, "grad", grad);
    spec_input(s, "x", image, -1, "pixels");
    spec_input(s, "y", column, -1, "labels, 0-based");
    spec_output(s, "logits", g->node[z].type, "scores");
    spec_output(s, "loss", type_with(column, m->dtype), what);
    spec_output(s, "grad", image, "d loss / d x");
    s->step_forwards = s->step_backwards = 1;
}

void program_gradient(const Model *m, ProgramSpec *s)
{
    build(m, s, loss_cross_entropy, "cross-entropy");
}

void program_logit_gradient(const Model *m, ProgramSpec *s)
{
    build(m, s, loss_label_logit, "the label's logit");
}

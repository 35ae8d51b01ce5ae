/* SPDX-License-Identifier: Apache-2.0 */
/* gradient, logit-gradient, margin-gradient, dlr-gradient, targeted-dlr-gradient: one forward and
 * one backward pass; the gradient in the pixels of a per-sample loss of the logits. Sums over
 * samples, so each sample's gradient is its own. A caller's own cotangent: products.c. */
#include "compiler/programs.h"

typedef Ref LossFn(Graph *, Ref logits, Ref label);

static void finish(const Model *m, ProgramSpec *s, Ref x, Ref z, Ref loss, const char *what)
{
    Graph *g = s->step;
    Type image = m->g->node[m->x].type;
    Ref grad = model_gradient(g, loss, NOREF, x);
    graph_output(g, "logits", z);
    graph_output(g, "loss", to_vector(g, loss));
    graph_output(g, "grad", grad);
    spec_output(s, "logits", g->node[z].type, "scores");
    spec_output(s, "loss", type_of(m->dtype, 1, &m->b), what);
    spec_output(s, "grad", image, "d loss / d x");
    s->step_forwards = s->step_backwards = 1;
}

static void build(const Model *m, ProgramSpec *s, LossFn *loss_of, const char *what)
{
    Type image = m->g->node[m->x].type, column = type_of(DT_I64, 1, &m->b);
    model_classes(m);
    Graph *g = s->step = graph_new(m->arena, "gradient");
    Ref x = b_input(g, "x", image), y = b_input(g, "y", column);
    spec_input(s, "x", image, -1, "pixels");
    spec_input(s, "y", column, -1, "labels, 0-based");
    Ref z = model_apply(g, m, x);
    finish(m, s, x, z, loss_of(g, z, y), what);
}

/* The loss needs this many classes. */
static void need_classes(const Model *m, const char *loss, int64_t least)
{
    int64_t k = model_classes(m);
    if (k < least)
        err(m->g->out[0].name, "has %lld classes; %s needs %lld", (long long)k, loss,
            (long long)least);
}

void program_gradient(const Model *m, ProgramSpec *s)
{
    build(m, s, loss_cross_entropy, "cross-entropy");
}

void program_logit_gradient(const Model *m, ProgramSpec *s)
{
    build(m, s, loss_label_logit, "the label's logit");
}

void program_margin_gradient(const Model *m, ProgramSpec *s)
{
    build(m, s, loss_margin, "best other logit minus the label's");
}

void program_dlr_gradient(const Model *m, ProgramSpec *s)
{
    need_classes(m, "DLR", 3);
    build(m, s, loss_dlr, "difference of logits ratio (Croce and Hein 2020)");
}

void program_targeted_dlr_gradient(const Model *m, ProgramSpec *s)
{
    Type image = m->g->node[m->x].type, column = type_of(DT_I64, 1, &m->b);
    need_classes(m, "targeted DLR", 4);
    Graph *g = s->step = graph_new(m->arena, "gradient");
    Ref x = b_input(g, "x", image), y = b_input(g, "y", column), t = b_input(g, "target", column);
    spec_input(s, "x", image, -1, "pixels");
    spec_input(s, "y", column, -1, "labels, 0-based");
    spec_input(s, "target", column, -1, "classes to reach, 0-based");
    Ref z = model_apply(g, m, x);
    finish(m, s, x, z, loss_dlr_targeted(g, z, y, t), "targeted DLR (Croce and Hein 2020)");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What builders of attacks share. */
#include "compiler/programs/attack.h"

#include <math.h>
#include <string.h>

/* ---- declaring ---- */

void attack_tensors(const Model *m, ProgramSpec *s, bool start, const char *adv)
{
    Type image = m->g->node[m->x].type, label = type_of(DT_I64, 1, &m->b);
    model_classes(m);
    spec_input(s, "x", image, -1, "pixels in [0,1]");
    spec_input(s, "y", label, -1, "labels (targets when targeted), 0-based");
    if (start) spec_input(s, "start", image, 0, "first iterate when random = 0; NULL: x");
    spec_output(s, "adv", image, adv);
    spec_output(s, "success", type_with(label, DT_I32), "1 if it fools (is the target)");
    s->loop = true;
}

void attack_passes(const Model *m, ProgramSpec *s, int judge_forwards)
{
    s->step_forwards = s->step_backwards = 1;
    s->judge_forwards = judge_forwards;
    if (m->eot) expect_declare(m, s);
}

void attack_number(const Model *m, ProgramSpec *s, const char *name, DType d, const char *help)
{
    spec_output(s, name, type_of(d, 1, &m->b), help);
}

Attack attack_phase(const Model *m, ProgramSpec *s, Graph **slot, const char *phase)
{
    Type image = m->g->node[m->x].type;
    *slot = graph_new(m->arena, arena_printf(m->arena, "%s.%s", s->name, phase));
    return (Attack){m, s, *slot, image, type_of(m->dtype, 1, &m->b)};
}

/* ---- inputs ---- */

bool has_knob(const Attack *a, const char *name)
{
    return spec_hyper_find(a->s, name) != NULL;
}

Ref knob(Attack *a, const char *name, double otherwise)
{
    const ProgHyper *h = spec_hyper_find(a->s, name);
    return h ? sample_input(a->g, name, h->dtype, a->m->b) : number(a, otherwise);
}

Ref knob_is(Attack *a, const char *name, int value)
{
    if (has_knob(a, name)) return is_value(a->g, knob(a, name, 0), value);
    return graph_splat(a->g, type_with(a->column, DT_BOOL), value == 0);
}

Ref image_in(Attack *a, const char *name)
{
    return b_input(a->g, name, a->image);
}

Ref column_in(Attack *a, const char *name)
{
    return b_input(a->g, name, a->column);
}

Ref int_in(Attack *a, const char *name)
{
    Ref v = sample_input(a->g, name, DT_I32, a->m->b);
    bool passes = !strcmp(name, "t") || (!strcmp(name, "limit") && a->g != a->s->init);
    return passes && expects(a) ? expect_count(a, v) : v;
}

Ref ints(Attack *a, int value)
{
    return graph_splat(a->g, type_with(a->column, DT_I32), value);
}

Ref number(Attack *a, double value)
{
    return graph_splat(a->g, a->column, value);
}

Ref wide_bool(Attack *a, Ref flag)
{
    return per_sample(a->g, flag, type_with(a->image, DT_BOOL));
}

Ref is_value(Graph *g, Ref v, double value)
{
    return b_binary(g, OP_eq, v, b_like(g, v, value));
}

Ref pick(Attack *a, Ref flag, Ref yes, Ref no)
{
    bool image = a->g->node[yes].type.rank > 1;
    return b_select(a->g, image ? wide_bool(a, flag) : flag, yes, no);
}

/* ---- goals ---- */

Ref fooled(Attack *a, Ref z, Ref y)
{
    Graph *g = a->g;
    Ref hit = predicts(g, z, y);
    return b_select(g, knob_is(a, "targeted", 1), hit, b_unary(g, OP_not, hit));
}

Ref ascent(Attack *a)
{
    Graph *g = a->g;
    Ref aimed = b_unary(g, OP_not, knob_is(a, "loss", 3)); /* it grows towards its target */
    Ref down = b_binary(g, OP_and, knob_is(a, "targeted", 1), aimed);
    return b_select(g, down, number(a, -1), number(a, 1));
}

Ref attack_gradient(Attack *a, Ref loss, Ref at)
{
    Ref grad = model_gradient(a->g, loss, NOREF, at);
    return expects(a) ? expect_mean(a, grad) : grad;
}

void spec_loss(const Model *m, ProgramSpec *s)
{
    int64_t k = model_classes(m);
    int top = k >= 4 ? 3 : k == 3 ? 2 : 1;
    Type label = type_of(DT_I64, 1, &m->b);
    spec_hyper(s, "loss", DT_I32, 0, 0, top, "0 cross-entropy, 1 margin, 2 DLR, 3 targeted DLR");
    if (top == 3) spec_input(s, "label", label, 1, "the true class, for loss 3; NULL: y");
}

static Ref either(Attack *a, int kind, Ref loss, Ref otherwise)
{
    Ref flag =
        per_sample(a->g, knob_is(a, "loss", kind), type_with(a->g->node[loss].type, DT_BOOL));
    return b_select(a->g, flag, loss, otherwise);
}

Ref chosen_loss(Attack *a, Ref z, Ref y)
{
    int64_t classes = model_classes(a->m);
    Ref loss = loss_cross_entropy(a->g, z, y);
    if (!has_knob(a, "loss")) return loss;
    loss = either(a, 1, loss_margin(a->g, z, y), loss);
    if (classes >= 3) loss = either(a, 2, loss_dlr(a->g, z, y), loss);
    if (classes < 4) return loss;
    Ref label = sample_input(a->g, "label", DT_I64, a->m->b);
    return either(a, 3, loss_dlr_targeted(a->g, z, label, y), loss);
}

/* ---- the nearest ---- */

void nearest_tensors(const Model *m, ProgramSpec *s, const char *norm)
{
    attack_tensors(m, s, false, "nearest image found that fools; x if there is none");
    attack_number(m, s, "size", m->dtype, norm);
}

void nearest_begin(Attack *a, Ref x)
{
    graph_output(a->g, "state.best", x);
    graph_output(a->g, "state.size", number(a, INFINITY));
}

Ref nearest_note(Attack *a, Ref ok, Ref v, Ref size)
{
    Graph *g = a->g;
    Ref best = image_in(a, "state.best"), least = column_in(a, "state.size");
    Ref better = b_binary(g, OP_and, ok, b_binary(g, OP_lt, size, least));
    Ref now = b_select(g, better, size, least);
    graph_output(g, "state.best", pick(a, better, v, best));
    graph_output(g, "state.size", now);
    return now;
}

void nearest_finish(Attack *a)
{
    Graph *g = a->g;
    Ref size = column_in(a, "state.size");
    Ref found = b_binary(g, OP_lt, size, number(a, INFINITY));
    graph_output(g, "adv", image_in(a, "state.best"));
    graph_output(g, "size", size);
    graph_output(g, "success", b_cast(g, found, DT_I32));
}

/* ---- ramps ---- */

/* cos(pi q) for q in [0,1] = sin(pi (1/2 - q)) by its Taylor series; 1e-16 at 11 terms. */
static Ref cos_pi(Graph *g, Ref q)
{
    const double pi = 3.14159265358979323846;
    Ref half = b_binary(g, OP_sub, b_like(g, q, 0.5), q);
    Ref v = b_binary(g, OP_mul, half, b_like(g, q, pi));
    Ref minus = b_unary(g, OP_neg, b_binary(g, OP_mul, v, v)), sum = b_like(g, q, 1);
    for (int k = 22; k >= 2; k -= 2) {
        Ref term = b_binary(g, OP_mul, minus, b_like(g, q, 1.0 / (k * (k + 1))));
        Ref next = b_binary(g, OP_mul, sum, term);
        sum = b_binary(g, OP_add, next, b_like(g, q, 1));
    }
    return b_binary(g, OP_mul, v, sum);
}

Ref cosine_ramp(Attack *a)
{
    Graph *g = a->g;
    Ref t = b_cast(g, int_in(a, "t"), a->column.dtype);
    Ref all = b_cast(g, int_in(a, "limit"), a->column.dtype);
    Ref c = cos_pi(g, b_binary(g, OP_div, t, all));
    Ref sum = b_binary(g, OP_add, c, number(a, 1));
    return b_binary(g, OP_mul, sum, number(a, 0.5));
}

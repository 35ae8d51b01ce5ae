/* SPDX-License-Identifier: Apache-2.0 */
/* Explanations by gradients of one logit z_y in the pixels; each gives `map`, of the image's shape.
 *
 *   saliency              |dz_y/dx| (Simonyan, Vedaldi, Zisserman 2014)
 *   input-gradient        x * dz_y/dx (Shrikumar, Greenside, Kundaje 2017)
 *   integrated-gradients  (x - b) * mean over t of dz_y/dx at b + (t + 1/2)/T (x - b), the midpoint
 *                         rule in the call's T steps (Sundararajan, Taly, Yan 2017); b: `baseline`
 *   smoothgrad            mean of T gradients at x + sigma n_t, n_t normal (Smilkov et al. 2017)
 *
 * Signs are kept but for saliency. y is the class to explain. Others: grad_cam.c,
 * guided_backprop.c. */
#include "compiler/programs/explain.h"

void explain_tensors(const Model *m, ProgramSpec *s, Type map, const char *help)
{
    Type image = m->g->node[m->x].type, label = type_of(DT_I64, 1, &m->b);
    model_classes(m);
    spec_input(s, "x", image, -1, "pixels in [0,1]");
    spec_input(s, "y", label, -1, "the classes to explain, 0-based");
    spec_output(s, "map", map, help);
    s->step_forwards = s->step_backwards = 1;
}

static void tensors(const Model *m, ProgramSpec *s, const char *map)
{
    explain_tensors(m, s, m->g->node[m->x].type, map);
}

static Ref logit_gradient(Attack *a, Ref point)
{
    Graph *g = a->g;
    Ref y = sample_input(g, "y", DT_I64, a->m->b), z = model_apply(g, a->m, point);
    graph_set_origin(g, arena_printf(a->m->arena, "%s map", a->s->name));
    Ref loss = loss_label_logit(g, z, y);
    return model_gradient(g, loss, NOREF, point);
}

/* ---- of one gradient ---- */

void program_saliency(const Model *m, ProgramSpec *s)
{
    tensors(m, s, "size of the derivative of y's logit");
    Attack a = attack_phase(m, s, &s->step, "step");
    graph_output(a.g, "map", b_unary(a.g, OP_abs, logit_gradient(&a, image_in(&a, "x"))));
}

void program_input_gradient(const Model *m, ProgramSpec *s)
{
    tensors(m, s, "pixel times the derivative of y's logit");
    Attack a = attack_phase(m, s, &s->step, "step");
    Ref x = image_in(&a, "x"), grad = logit_gradient(&a, x);
    graph_output(a.g, "map", b_binary(a.g, OP_mul, x, grad));
}

/* ---- of the mean of many ---- */

static void begin(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->init, "init");
    graph_output(a.g, "state.sum", graph_splat(a.g, a.image, 0));
    graph_output(a.g, "state.steps", int_in(&a, "limit"));
    s->loop = true;
}

static void add_gradient(Attack *a, Ref point)
{
    Ref grad = logit_gradient(a, point);
    graph_output(a->g, "state.sum", b_binary(a->g, OP_add, image_in(a, "state.sum"), grad));
}

/* The sum over the number of steps (1 if there were none). */
static Ref mean(Attack *a)
{
    Graph *g = a->g;
    Ref n = b_binary(g, OP_max2, int_in(a, "state.steps"), ints(a, 1));
    Ref wide = per_sample(g, b_cast(g, n, a->column.dtype), a->image);
    return b_binary(g, OP_div, image_in(a, "state.sum"), wide);
}

/* x - baseline */
static Ref from_baseline(Attack *a)
{
    Ref base = per_sample(a->g, knob(a, "baseline", 0), a->image);
    return b_binary(a->g, OP_sub, image_in(a, "x"), base);
}

static Ref path_point(Attack *a)
{
    Graph *g = a->g;
    Ref t = b_cast(g, int_in(a, "t"), a->column.dtype);
    Ref all = b_cast(g, int_in(a, "limit"), a->column.dtype);
    Ref at = b_binary(g, OP_div, b_binary(g, OP_add, t, number(a, 0.5)), all);
    Ref base = per_sample(g, knob(a, "baseline", 0), a->image);
    return b_binary(g, OP_add, base, scaled(g, from_baseline(a), at));
}

void program_integrated_gradients(const Model *m, ProgramSpec *s)
{
    tensors(m, s, "each pixel's share of z_y(x) - z_y(baseline)");
    spec_hyper(s, "baseline", m->dtype, 0, 0, 1, "the pixels that the path starts from");
    begin(m, s);
    Attack a = attack_phase(m, s, &s->step, "step");
    add_gradient(&a, path_point(&a));
    a = attack_phase(m, s, &s->finish, "finish");
    graph_output(a.g, "map", b_binary(a.g, OP_mul, from_baseline(&a), mean(&a)));
}

void program_smoothgrad(const Model *m, ProgramSpec *s)
{
    tensors(m, s, "mean of the derivatives of y's logit");
    spec_hyper(s, "sigma", m->dtype, 0.15, 0, 10, "standard deviation of the noise of a pixel");
    begin(m, s);
    Attack a = attack_phase(m, s, &s->step, "step");
    Ref n = noise_gaussian(a.g, a.image, int_in(&a, "t"), 0);
    Ref by = scaled(a.g, n, knob(&a, "sigma", 0));
    add_gradient(&a, b_binary(a.g, OP_add, image_in(&a, "x"), by));
    a = attack_phase(m, s, &s->finish, "finish");
    graph_output(a.g, "map", mean(&a));
}

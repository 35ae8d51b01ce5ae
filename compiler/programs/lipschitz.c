/* SPDX-License-Identifier: Apache-2.0 */
/* lipschitz-linf, lipschitz-l2: the local Lipschitz constant of the logits around an image, from
 * below, by gradient ascent in a ball (Yang et al. 2020, section 4, and its authors' code):
 *
 *   q(v)    = ||z(v) - z(x)||_1 / ||v - x||_inf   in the Linf ball;  l2: ||.||_2 over ||.||_2
 *   v_1     = project(x + n / 1000);  n normal
 *   v_{k+1} = project(v_k + step * u(grad q(v_k)));  u: sign, or g / (||g||_2 + 1e-10)
 *
 * project: to the ball of `eps`, then to [0,1]. The result is the largest q of all v_k (the authors
 * take the last one's). Step 0 evaluates x for its logits, so it takes one step more than the call
 * asks for. gradient-norms: norms of the gradient of cross-entropy in the pixels. */
#include "compiler/programs/attack.h"

static Type scores(const Model *m)
{
    return m->g->node[m->logits].type;
}

static Ref project(Attack *a, bool l2, Ref v)
{
    Graph *g = a->g;
    Ref x = image_in(a, "x"), eps = knob(a, "eps", 0), delta = b_binary(g, OP_sub, v, x);
    delta = l2 ? ball_l2(g, delta, eps) : ball_linf(g, delta, eps);
    return to_pixels(g, b_binary(g, OP_add, x, delta));
}

static void build_init(const Model *m, ProgramSpec *s, bool l2)
{
    Attack a = attack_phase(m, s, &s->init, "init");
    Graph *g = a.g;
    Ref x = image_in(&a, "x"), limit = int_in(&a, "limit");
    Ref n = noise_gaussian(g, a.image, ints(&a, 0), 0);
    Ref off = b_binary(g, OP_mul, n, b_like(g, n, 1e-3));
    graph_output(g, "state.start", project(&a, l2, b_binary(g, OP_add, x, off)));
    graph_output(g, "state.x", x);
    graph_output(g, "state.scores", graph_splat(g, scores(m), 0));
    graph_output(g, "state.most", number(&a, 0));
    Ref some = b_binary(g, OP_min2, limit, ints(&a, 1));
    graph_output(g, "limit", b_binary(g, OP_add, limit, some));
}

/* q of logits z at v, [b]. */
static Ref quotient(Attack *a, bool l2, Ref z, Ref v)
{
    Graph *g = a->g;
    Ref up = b_binary(g, OP_sub, z, b_input(g, "state.scores", scores(a->m)));
    Ref across = b_binary(g, OP_sub, v, image_in(a, "x"));
    Ref above = l2 ? norm_l2(g, up) : norm_l1(g, up);
    return b_binary(g, OP_div, above, l2 ? norm_l2(g, across) : norm_linf(g, across));
}

/* Where v is x itself there is no quotient. */
static void note_most(Attack *a, Ref q)
{
    Graph *g = a->g;
    Ref most = column_in(a, "state.most"), more = b_binary(g, OP_lt, most, q);
    graph_output(g, "state.most", b_select(g, more, q, most));
}

static Ref direction(Attack *a, bool l2, Ref grad)
{
    Graph *g = a->g;
    if (!l2) return b_unary(g, OP_sign, grad);
    Ref n = norm_l2(g, grad);
    n = b_binary(g, OP_add, n, b_like(g, n, 1e-10));
    return b_binary(g, OP_div, grad, per_sample(g, n, a->image));
}

static void build_step(const Model *m, ProgramSpec *s, bool l2)
{
    Attack a = attack_phase(m, s, &s->step, "step");
    Graph *g = a.g;
    Ref v = image_in(&a, "state.x"), first = is_value(g, int_in(&a, "t"), 0);
    Ref z = model_apply(g, m, v), q = quotient(&a, l2, z, v);
    Ref grad = model_gradient(g, q, NOREF, v);
    Ref by = scaled(g, direction(&a, l2, grad), knob(&a, "step", 0));
    Ref next = project(&a, l2, b_binary(g, OP_add, v, by));
    Ref wide = per_sample(g, first, type_with(scores(m), DT_BOOL));
    graph_output(g, "state.scores", b_select(g, wide, z, b_input(g, "state.scores", scores(m))));
    graph_output(g, "state.x", pick(&a, first, image_in(&a, "state.start"), next));
    note_most(&a, b_select(g, first, number(&a, 0), q));
}

static void build_ends(const Model *m, ProgramSpec *s, bool l2)
{
    Attack a = attack_phase(m, s, &s->judge, "judge");
    Ref v = image_in(&a, "state.x"), z = model_apply(a.g, m, v);
    note_most(&a, quotient(&a, l2, z, v));
    a = attack_phase(m, s, &s->finish, "finish");
    graph_output(a.g, "most", column_in(&a, "state.most"));
}

static void build(const Model *m, ProgramSpec *s, bool l2)
{
    model_classes(m);
    spec_input(s, "x", m->g->node[m->x].type, -1, "pixels in [0,1]");
    attack_number(m, s, "most", m->dtype, "largest quotient met");
    spec_hyper(s, "eps", m->dtype, l2 ? 0.5 : 8.0 / 255, 0, 1e6, "radius of the ball");
    spec_hyper(s, "step", m->dtype, l2 ? 0.125 : 2.0 / 255, 0, 1e6, "step size");
    s->loop = true;
    s->step_forwards = s->step_backwards = s->judge_forwards = 1;
    build_init(m, s, l2);
    build_step(m, s, l2);
    build_ends(m, s, l2);
}

void program_lipschitz_linf(const Model *m, ProgramSpec *s)
{
    build(m, s, false);
}

void program_lipschitz_l2(const Model *m, ProgramSpec *s)
{
    build(m, s, true);
}

void program_gradient_norms(const Model *m, ProgramSpec *s)
{
    Type image = m->g->node[m->x].type, label = type_of(DT_I64, 1, &m->b);
    model_classes(m);
    spec_input(s, "x", image, -1, "pixels in [0,1]");
    spec_input(s, "y", label, -1, "labels, 0-based");
    attack_number(m, s, "l1", m->dtype, "L1 norm of the gradient of cross-entropy");
    attack_number(m, s, "l2", m->dtype, "its L2 norm");
    attack_number(m, s, "linf", m->dtype, "its largest element");
    s->step_forwards = s->step_backwards = 1;
    Attack a = attack_phase(m, s, &s->step, "step");
    Graph *g = a.g;
    Ref x = image_in(&a, "x"), y = sample_input(g, "y", DT_I64, m->b);
    Ref loss = loss_cross_entropy(g, model_apply(g, m, x), y);
    Ref grad = model_gradient(g, loss, NOREF, x);
    graph_output(g, "l1", norm_l1(g, grad));
    graph_output(g, "l2", norm_l2(g, grad));
    graph_output(g, "linf", norm_linf(g, grad));
}

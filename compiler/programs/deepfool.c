/* SPDX-License-Identifier: Apache-2.0 */
/* deepfool-l2, deepfool-linf: DeepFool (Moosavi-Dezfooli, Fawzi, Frossard 2016, algorithm 2 and
 * section 3.3), as foolbox has it. With i_0 the predicted class of x and i_1, i_2 .. the next ones
 * by their logits there, one iteration finds the nearest of the linearised borders:
 *
 *   l_k = z_{i_k} - z_{i_0},  g_k = its gradient,  k = 1 .. candidates - 1
 *   d_k = |l_k| / (||g_k||_q + 1e-8);  q = 2, or 1 for Linf;  the k of least d_k is taken
 *   r   = r + (d + 1e-4) g / (||g||_2 + 1e-8),  or (d + 1e-4) sign(g)
 *   x_k = clip(x + (1 + overshoot) r, 0, 1);  ends when the class is not y
 *
 * A step is one k: an iteration takes candidates - 1 of them, and the call's steps are iterations.
 * The paper adds the overshoot at the end only; here, as in foolbox, every iterate has it. */
#include <math.h>

#include "compiler/programs/attack.h"

static Type order_type(const Model *m)
{
    return type_with(m->g->node[m->logits].type, DT_I64);
}

static void build_init(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->init, "init");
    Graph *g = a.g;
    Ref x = image_in(&a, "x"), zero = b_like(g, x, 0);
    Ref others = b_binary(g, OP_sub, knob(&a, "candidates", 0), ints(&a, 1));
    graph_output(g, "limit", b_binary(g, OP_mul, int_in(&a, "limit"), others));
    graph_output(g, "state.x", x);
    graph_output(g, "state.total", zero);
    graph_output(g, "state.way", zero); /* gradient of the nearest border so far */
    graph_output(g, "state.near", number(&a, INFINITY));
    graph_output(g, "state.order", graph_splat(g, order_type(m), 0));
    graph_output(g, "state.hit", ints(&a, 0));
}

/* t mod (candidates - 1), plus 1 */
static Ref which_candidate(Attack *a, Ref others)
{
    Graph *g = a->g;
    Ref t = int_in(a, "t"), whole = b_binary(g, OP_div, t, others);
    Ref rest = b_binary(g, OP_sub, t, b_binary(g, OP_mul, whole, others));
    return b_binary(g, OP_add, rest, ints(a, 1));
}

/* i64 [b]: entry k of the classes by their logits at x. */
static Ref candidate(Attack *a, Ref order, Ref k)
{
    Graph *g = a->g;
    Type t = type_with(g->node[order].type, DT_I32);
    Ref here = b_binary(g, OP_eq, b_iota(g, t, 1), per_sample(g, k, t));
    Ref one = b_select(g, here, order, b_like(g, order, 0));
    return to_vector(g, b_sum_samples(g, one));
}

static Ref border(Attack *a, Ref z, Ref k)
{
    Graph *g = a->g;
    Type t = order_type(a->m);
    Ref fresh = b_argsort(g, z, 1, t.dim[1]), kept = b_input(g, "state.order", t);
    Ref first = per_sample(g, is_value(g, int_in(a, "t"), 0), type_with(t, DT_BOOL));
    Ref order = b_select(g, first, fresh, kept);
    graph_output(g, "state.order", order);
    Ref own = loss_label_logit(g, z, candidate(a, order, ints(a, 0)));
    Ref other = loss_label_logit(g, z, candidate(a, order, k));
    return b_binary(g, OP_sub, other, own);
}

static Ref plus(Graph *g, Ref v, double value)
{
    return b_binary(g, OP_add, v, b_like(g, v, value));
}

static Ref step_to(Attack *a, bool linf, Ref way, Ref near)
{
    Graph *g = a->g;
    Ref far = plus(g, near, 1e-4);
    if (linf) return scaled(g, b_unary(g, OP_sign, way), far);
    Ref n = plus(g, norm_l2(g, way), 1e-8);
    return scaled(g, way, b_binary(g, OP_div, far, n));
}

static void move(Attack *a, bool linf, Ref way, Ref near, Ref last)
{
    Graph *g = a->g;
    Ref x = image_in(a, "x"), total = image_in(a, "state.total");
    Ref sum = b_binary(g, OP_add, total, step_to(a, linf, way, near));
    Ref over = plus(g, knob(a, "overshoot", 0), 1);
    Ref next = to_pixels(g, b_binary(g, OP_add, x, scaled(g, sum, over)));
    graph_output(g, "state.total", pick(a, last, sum, total));
    graph_output(g, "state.x", pick(a, last, next, image_in(a, "state.x")));
}

static void build_step(const Model *m, ProgramSpec *s, bool linf)
{
    Attack a = attack_phase(m, s, &s->step, "step");
    Graph *g = a.g;
    Ref xk = image_in(&a, "state.x"), z = model_apply(g, m, xk);
    Ref y = sample_input(g, "y", DT_I64, m->b);
    graph_set_origin(g, arena_printf(m->arena, "%s update", s->name));
    Ref others = b_binary(g, OP_sub, knob(&a, "candidates", 0), ints(&a, 1));
    Ref k = which_candidate(&a, others), loss = border(&a, z, k);
    Ref hit = b_cast(g, fooled(&a, z, y), DT_I32), near = column_in(&a, "state.near");
    graph_output(g, "state.hit", hit);
    Ref grad = attack_gradient(&a, loss, xk);
    Ref n = plus(g, linf ? norm_l1(g, grad) : norm_l2(g, grad), 1e-8);
    Ref d = b_binary(g, OP_div, b_unary(g, OP_abs, to_vector(g, loss)), n);
    Ref better = b_binary(g, OP_or, b_binary(g, OP_lt, d, near), is_value(g, k, 1));
    near = b_select(g, better, d, near);
    Ref way = pick(&a, better, grad, image_in(&a, "state.way"));
    graph_output(g, "state.near", near);
    graph_output(g, "state.way", way);
    Ref stay = b_unary(g, OP_not, is_value(g, hit, 1));
    Ref last = b_binary(g, OP_and, stay, b_binary(g, OP_eq, k, others));
    move(&a, linf, way, near, last);
    graph_output(g, "done", b_binary(g, OP_add, hit, hit));
}

static void build_judge(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->judge, "judge");
    Ref z = model_apply(a.g, m, image_in(&a, "state.x"));
    Ref hit = fooled(&a, z, sample_input(a.g, "y", DT_I64, m->b));
    graph_output(a.g, "state.hit", b_cast(a.g, hit, DT_I32));
}

static void build_finish(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->finish, "finish");
    graph_output(a.g, "adv", image_in(&a, "state.x"));
    graph_output(a.g, "success", int_in(&a, "state.hit"));
}

static void build(const Model *m, ProgramSpec *s, bool linf)
{
    double classes = (double)model_classes(m);
    attack_tensors(m, s, false, "first iterate that fools, else the last");
    spec_hyper(s, "overshoot", m->dtype, 0.02, 0, 10, "added to the perturbation, as a share");
    spec_hyper(s, "candidates", DT_I32, classes < 10 ? classes : 10, 2, classes,
               "classes considered, the predicted one among them");
    attack_passes(m, s, 1);
    build_init(m, s);
    build_step(m, s, linf);
    build_judge(m, s);
    build_finish(m, s);
}

void program_deepfool_l2(const Model *m, ProgramSpec *s)
{
    build(m, s, false);
}

void program_deepfool_linf(const Model *m, ProgramSpec *s)
{
    build(m, s, true);
}

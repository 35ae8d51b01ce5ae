/* SPDX-License-Identifier: Apache-2.0 */
/* clever-l1, clever-l2, clever-linf: the largest gradient norm among random points of a ball, of
 * which the CLEVER score (Weng et al. 2018, algorithm 1) is the extreme value estimate:
 *
 *   v_t  = clip(x + r_t, 0, 1);  r_t uniform in the Lp ball of `radius`
 *   most = max over t of || d (z_y - z_target) / dx at v_t ||_q;  1/p + 1/q = 1
 *
 * One sample is one batch of the algorithm: the call's steps are its N_s points, and its N_b
 * batches are so many samples, whose draws begin at `first`. The fit of the Weibull distribution
 * is the caller's: tools/weibull.c. Points are clipped as in ART (`box` 0: not).
 *
 * Uniform in a ball: L2, a Gaussian direction times U^(1/d); L1, signed exponentials e_i over their
 * sum and one more exponential (Barthe et al. 2005). */
#include "compiler/programs/attack.h"

typedef Ref Norm(Graph *, Ref);

typedef struct Ball {
    int p; /* 0: infinity */
    Norm *dual;
} Ball;

static Ref elements(Graph *g, Ref like, Type image)
{
    double n = 1;
    for (int d = 1; d < image.rank; d++) n *= (double)image.dim[d];
    return b_like(g, like, n);
}

/* ---- points of the unit ball ---- */

static Ref in_l2(Attack *a, Ref draw)
{
    Graph *g = a->g;
    Ref n = noise_gaussian(g, a->image, draw, 0);
    Ref u = uniform_number(g, a->column, draw, 1);
    Ref d = elements(g, u, a->image);
    Ref power = b_binary(g, OP_div, b_like(g, u, 1), d);
    Ref length = b_binary(g, OP_pow, u, power);
    return scaled(g, n, b_binary(g, OP_div, length, norm_l2(g, n)));
}

/* -log(1 - 2 |q|) sign(q) for q in (-1/2, 1/2), in the middle of a uniform's cell. */
static Ref exponential(Graph *g, Ref u)
{
    Ref q = b_binary(g, OP_sub, u, b_like(g, u, 0.5));
    q = b_binary(g, OP_add, q, b_like(g, q, 0x1p-25));
    Ref size = b_unary(g, OP_abs, b_binary(g, OP_add, q, q));
    Ref e = b_unary(g, OP_neg, b_unary(g, OP_log, b_binary(g, OP_sub, b_like(g, q, 1), size)));
    return b_binary(g, OP_mul, e, b_unary(g, OP_sign, q));
}

static Ref in_l1(Attack *a, Ref draw)
{
    Graph *g = a->g;
    Ref e = exponential(g, uniform_image(g, a->image, draw, 0));
    Ref more = b_unary(g, OP_abs, exponential(g, uniform_number(g, a->column, draw, 1)));
    Ref sum = b_binary(g, OP_add, norm_l1(g, e), more);
    return b_binary(g, OP_div, e, per_sample(g, sum, a->image));
}

static Ref in_ball(Attack *a, const Ball *ball, Ref draw)
{
    if (ball->p == 2) return in_l2(a, draw);
    if (ball->p == 1) return in_l1(a, draw);
    return noise_uniform(a->g, a->image, draw, 0);
}

/* ---- phases ---- */

static void build_step(const Model *m, ProgramSpec *s, const Ball *ball)
{
    Attack a = attack_phase(m, s, &s->step, "step");
    Graph *g = a.g;
    Ref draw = b_binary(g, OP_add, knob(&a, "first", 0), int_in(&a, "t"));
    Ref by = scaled(g, in_ball(&a, ball, draw), knob(&a, "radius", 0));
    Ref v = b_binary(g, OP_add, image_in(&a, "x"), by);
    v = pick(&a, knob_is(&a, "box", 1), to_pixels(g, v), v);
    Ref z = model_copy(g, m, v, draw)[m->logits];
    Ref y = sample_input(g, "y", DT_I64, m->b), target = sample_input(g, "target", DT_I64, m->b);
    Ref own = loss_label_logit(g, z, y), other = loss_label_logit(g, z, target);
    Ref gap = b_binary(g, OP_sub, own, other);
    Ref grad = model_gradient(g, gap, NOREF, v);
    Ref norm = ball->dual(g, grad);
    graph_output(g, "state.most", b_binary(g, OP_max2, norm, column_in(&a, "state.most")));
}

static void build(const Model *m, ProgramSpec *s, Ball ball, double radius)
{
    Type image = m->g->node[m->x].type, label = type_of(DT_I64, 1, &m->b);
    model_classes(m);
    spec_input(s, "x", image, -1, "pixels in [0,1]");
    spec_input(s, "y", label, -1, "classes whose logit is to stay above, 0-based");
    spec_input(s, "target", label, -1, "classes of the other logit, 0-based");
    attack_number(m, s, "most", m->dtype, "largest dual norm of the gradient of the logits' gap");
    spec_hyper(s, "radius", m->dtype, radius, 0, 1e6, "of the ball, pixels in [0,1]");
    spec_hyper(s, "first", DT_I32, 0, 0, (1 << 24) - 1, "draw of the first step, below 2^24");
    spec_hyper(s, "box", DT_I32, 1, 0, 1, "1: points are clipped to [0,1]");
    s->loop = true;
    s->step_forwards = s->step_backwards = 1;
    Attack a = attack_phase(m, s, &s->init, "init");
    graph_output(a.g, "state.most", number(&a, 0));
    build_step(m, s, &ball);
    a = attack_phase(m, s, &s->finish, "finish");
    graph_output(a.g, "most", column_in(&a, "state.most"));
}

void program_clever_l1(const Model *m, ProgramSpec *s)
{
    build(m, s, (Ball){1, norm_linf}, 40);
}

void program_clever_l2(const Model *m, ProgramSpec *s)
{
    build(m, s, (Ball){2, norm_l2}, 2);
}

void program_clever_linf(const Model *m, ProgramSpec *s)
{
    build(m, s, (Ball){0, norm_l1}, 0.3);
}

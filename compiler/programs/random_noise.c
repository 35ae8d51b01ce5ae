/* SPDX-License-Identifier: Apache-2.0 */
/* noise-uniform, noise-gaussian: controls that know nothing of the model. Step t draws
 *
 *   v = clip(x + eps * n_t, 0, 1);   n_t uniform in [-1,1) a pixel, or normal of variance 1
 *
 * and evaluates it; the first draw that fools is the result, else the last. No backward pass. */
#include "compiler/programs/attack.h"

typedef Ref Draw(Graph *, Type, Ref draw, int stream);

static void build_init(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->init, "init");
    graph_output(a.g, "state.x", image_in(&a, "x"));
    graph_output(a.g, "state.hit", ints(&a, 0));
}

static void build_step(const Model *m, ProgramSpec *s, Draw *draw)
{
    Attack a = attack_phase(m, s, &s->step, "step");
    Graph *g = a.g;
    Ref y = sample_input(g, "y", DT_I64, m->b), x = image_in(&a, "x");
    Ref n = scaled(g, draw(g, a.image, int_in(&a, "t"), 0), knob(&a, "eps", 0));
    Ref v = to_pixels(g, b_binary(g, OP_add, x, n));
    Ref hit = b_cast(g, fooled(&a, model_apply(g, m, v), y), DT_I32);
    graph_output(g, "state.x", v);
    graph_output(g, "state.hit", hit);
    graph_output(g, "done", hit);
}

static void build_finish(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->finish, "finish");
    graph_output(a.g, "adv", image_in(&a, "state.x"));
    graph_output(a.g, "success", int_in(&a, "state.hit"));
}

static void build(const Model *m, ProgramSpec *s, Draw *draw, const char *eps)
{
    attack_tensors(m, s, false, "first draw that fools, else the last");
    spec_hyper(s, "eps", m->dtype, 8.0 / 255, 0, 1, eps);
    spec_hyper(s, "targeted", DT_I32, 0, 0, 1, "1: y is the class to reach");
    s->step_forwards = 1;
    build_init(m, s);
    build_step(m, s, draw);
    build_finish(m, s);
}

void program_noise_uniform(const Model *m, ProgramSpec *s)
{
    build(m, s, noise_uniform, "largest change of a pixel");
}

void program_noise_gaussian(const Model *m, ProgramSpec *s)
{
    build(m, s, noise_gaussian, "standard deviation of a pixel's change");
}

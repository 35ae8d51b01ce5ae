/* SPDX-License-Identifier: Apache-2.0 */
/* smooth: votes of the base classifier f under Gaussian noise, what randomized smoothing (Cohen,
 * Rosenfeld, Kolter 2019, section 3.2) predicts and certifies from:
 *
 *   counts_k = number of t in 0 .. T-1 with argmax f(x + sigma n_t) = k;  n_t normal
 *
 * n_t is draw `first` + t of the sample's id, so the draws of one image may be shared out among
 * calls, slots and threads, and their counts added, with the same result. The noisy image is not
 * clipped. What follows from the counts (bounds, radii) is the caller's: tools/certify.c. */
#include "compiler/programs/attack.h"

static Type counts_type(const Model *m)
{
    return type_with(m->g->node[m->logits].type, DT_I32);
}

static void declare(const Model *m, ProgramSpec *s)
{
    model_classes(m);
    spec_input(s, "x", m->g->node[m->x].type, -1, "pixels in [0,1]");
    spec_output(s, "counts", counts_type(m), "votes of each class");
    spec_hyper(s, "sigma", m->dtype, 0.25, 0, 1e4, "standard deviation of the noise of a pixel");
    spec_hyper(s, "first", DT_I32, 0, 0, (1 << 24) - 1, "draw of the first step, below 2^24");
    s->loop = true;
    s->step_forwards = 1;
}

static void build_step(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->step, "step");
    Graph *g = a.g;
    Ref draw = b_binary(g, OP_add, knob(&a, "first", 0), int_in(&a, "t"));
    Ref noise = scaled(g, noise_gaussian(g, a.image, draw, 0), knob(&a, "sigma", 0));
    Ref z = model_copy(g, m, b_binary(g, OP_add, image_in(&a, "x"), noise), draw)[m->logits];
    graph_set_origin(g, "smooth votes");
    Ref vote = b_cast(g, b_onehot(g, predicted(g, z), g->node[z].type), DT_I32);
    Ref before = b_input(g, "state.counts", counts_type(m));
    graph_output(g, "state.counts", b_binary(g, OP_add, before, vote));
}

void program_smooth(const Model *m, ProgramSpec *s)
{
    declare(m, s);
    Attack a = attack_phase(m, s, &s->init, "init");
    graph_output(a.g, "state.counts", graph_splat(a.g, counts_type(m), 0));
    build_step(m, s);
    a = attack_phase(m, s, &s->finish, "finish");
    graph_output(a.g, "counts", b_input(a.g, "state.counts", counts_type(m)));
}

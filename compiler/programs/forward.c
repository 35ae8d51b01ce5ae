/* SPDX-License-Identifier: Apache-2.0 */
/* forward: every output of the model, by its ONNX name (the first one as `logits` when it is a
 * matrix of scores), from the pixels. */
#include "compiler/programs.h"

#include <string.h>

static const char *output_name(const Model *m, uint32_t i)
{
    return i == 0 ? "logits" : m->g->out[i].name;
}

void program_forward(const Model *m, ProgramSpec *s)
{
    Graph *g = s->step = graph_new(m->arena, "forward");
    spec_input(s, "x", m->g->node[m->x].type, -1, "pixels");
    Ref x = b_input(g, "x", m->g->node[m->x].type);
    Ref draw = m->random ? sample_input(g, "t", DT_I32, m->b) : NOREF;
    Ref *map = model_copy(g, m, x, draw);
    for (uint32_t i = 0; i < m->g->nout; i++) {
        Type t = m->g->node[m->g->out[i].ref].type;
        if (t.rank < 1 || t.dim[0] != m->b) err(m->g->out[i].name, "has no batch axis");
        graph_output(g, output_name(m, i), map[m->g->out[i].ref]);
        spec_output(s, output_name(m, i), t, "output of the model");
    }
    s->step_forwards = 1;
}

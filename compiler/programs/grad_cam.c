/* SPDX-License-Identifier: Apache-2.0 */
/* grad-cam: with A[c,h,w] what an ONNX node of the model gives,
 *
 *   map = max(0, sum over c of A[c] * mean over h, w of dz_y/dA[c])        [h, w]
 *
 * (Selvaraju et al. 2017, equations 1 and 2). It is built from the model as the file has it: later
 * passes merge the scale of a batch normalisation into the convolution before it, whose own result
 * is then nowhere. */
#include <string.h>

#include "compiler/programs/explain.h"
#include "passes/passes.h"

static Model model_of_file(const Model *m)
{
    Model f = *m;
    Ref x = graph_find_input(m->file, "x");
    f.g = m->file;
    if (f.g->node[x].type.dim[0] != m->b) f.g = pass_batch(m->arena, f.g, m->b);
    f.x = graph_find_input(f.g, "x");
    f.logits = f.g->out[0].ref;
    return f;
}

/* ---- the layer ---- */

static bool came_from(const Graph *g, Ref r, uint32_t id)
{
    for (uint32_t i = 0; i < g->origin[r].n; i++)
        if (g->origin[r].id[i] == id) return true;
    return false;
}

/* An ONNX node's result is the last value that it made. */
static Ref last_of(const Graph *g, uint32_t id)
{
    for (Ref r = g->n; r-- > 0;)
        if (came_from(g, r, id)) return r;
    return NOREF;
}

/* A convolution over one place (a classifier written so) says nothing of places. */
static Ref last_convolution(const Graph *g)
{
    for (Ref r = g->n; r-- > 0;) {
        Type t = g->node[r].type;
        if (g->node[r].op == OP_conv && t.rank == 4 && t.dim[2] * t.dim[3] > 1 && g->origin[r].n)
            return last_of(g, g->origin[r].id[0]);
    }
    err(NULL, "has no convolution over places; give grad-cam a node by --layer");
}

/* Of "Conv_12 (Conv)". */
static size_t name_length(const char *label)
{
    const char *kind = strrchr(label, '(');
    return kind && kind > label ? (size_t)(kind - label) - 1 : strlen(label);
}

/* Characters at the beginning and at the end that agree. */
static size_t likeness(const char *label, const char *name)
{
    size_t n = name_length(label), m = strlen(name), head = 0, tail = 0;
    while (head < n && head < m && label[head] == name[head]) head++;
    while (tail + head < n && tail + head < m && label[n - 1 - tail] == name[m - 1 - tail]) tail++;
    return head + tail;
}

static Ref named(const Graph *g, const char *name)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < g->nnames; i++) {
        const char *label = g->names[i];
        bool whole = !strcmp(label, name);
        if (whole || (name_length(label) == strlen(name) && !strncmp(label, name, strlen(name))))
            if (last_of(g, i) != NOREF) return last_of(g, i);
        if (likeness(label, name) > likeness(g->names[best], name)) best = i;
    }
    if (!g->nnames) err(NULL, "has no node %s, which --layer asks for", name);
    err(NULL,
        "has no node %s, which --layer asks for; the nearest name is %.*s (adjoint inspect lists "
        "them)",
        name, (int)name_length(g->names[best]), g->names[best]);
}

static Ref find_layer(const Model *m)
{
    const Graph *g = m->g;
    Ref r = m->layer ? named(g, m->layer) : last_convolution(g);
    Type t = g->node[r].type;
    Str s = {0};
    graph_origin_text(g, r, &s);
    str_put(&s, " is ");
    type_text(&s, t);
    const char *text = arena_strdup(m->arena, s.s);
    str_free(&s);
    if (t.rank == 4 && t.dim[0] == m->b && dtype_is_float(t.dtype)) return r;
    err(NULL, "%s; grad-cam needs a node of [batch, channels, height, width]", text);
}

/* ---- the map ---- */

static Ref weighted(Graph *g, Ref layer, Ref grad)
{
    static const int places[] = {2, 3}, channels[] = {1};
    Type t = g->node[layer].type;
    int64_t dim[] = {t.dim[0], t.dim[2], t.dim[3]};
    Ref sum = b_reduce(g, OP_sum, grad, 2, places);
    Ref mean = b_binary(g, OP_div, sum, b_like(g, sum, (double)(dim[1] * dim[2])));
    Ref by = b_broadcast(g, mean, t.rank, t.dim);
    Ref all = b_reduce(g, OP_sum, b_binary(g, OP_mul, layer, by), 1, channels);
    return b_reshape(g, b_relu(g, all), 3, dim);
}

void program_grad_cam(const Model *m, ProgramSpec *s)
{
    Model f = model_of_file(m);
    Ref at = find_layer(&f);
    Type t = f.g->node[at].type;
    int64_t dim[] = {t.dim[0], t.dim[2], t.dim[3]};
    explain_tensors(m, s, type_of(t.dtype, 3, dim), "places of the layer that speak for y");
    Attack a = attack_phase(m, s, &s->step, "step");
    Ref x = image_in(&a, "x"), y = sample_input(a.g, "y", DT_I64, m->b);
    const Ref *value = model_values(a.g, &f, x, NULL, NULL);
    Ref loss = loss_label_logit(a.g, value[f.logits], y);
    Ref grad = model_gradient(a.g, loss, NOREF, value[at]);
    graph_output(a.g, "map", weighted(a.g, value[at], grad));
}

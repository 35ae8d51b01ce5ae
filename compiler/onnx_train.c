/* SPDX-License-Identifier: Apache-2.0 */
/* What the importer does for training: it knows which initializers training changes, marks what
 * batch normalisations read, and writes files with other values. */
#include "compiler/onnx_train.h"
#include "compiler/onnx_walk.h"
#include "compiler/onnx_write.h"

#include "onnx.pb-c.h"

#include <string.h>

/* Inputs of operators that are weights. All else that a file holds stays as it is: shapes, the mean
 * and deviation of pixels, bounds of a Clip. */
static const struct {
    const char *op;
    unsigned slots; /* a bit an input */
} rows[] = {
    {"Conv", 6},
    {"ConvTranspose", 6},
    {"Gemm", 6},
    {"MatMul", 2},
    {"BatchNormalization", 30},
    {"InstanceNormalization", 6},
    {"GroupNormalization", 6},
    {"LayerNormalization", 6},
    {"PRelu", 2},
};

static bool reads_as_weight(const Onnx__NodeProto *n, const char *name)
{
    for (int r = 0; r < COUNT(rows); r++) {
        if (strcmp(walk_text(n->op_type), rows[r].op)) continue;
        for (size_t i = 0; i < n->n_input && i < 32; i++)
            if (rows[r].slots >> i & 1 && !strcmp(walk_text(n->input[i]), name)) return true;
    }
    return false;
}

bool onnx_trains(const Onnx__ModelProto *m, const char *initializer)
{
    for (size_t i = 0; i < m->graph->n_node; i++)
        if (reads_as_weight(m->graph->node[i], initializer)) return true;
    return false;
}

/* ---- batch normalisations ---- */

static const char *param_name(const OnnxNode *n, Ref r)
{
    const Node *node = &n->g->node[r];
    if (node->op != OP_param)
        onnx_fail(n, "cannot be trained: its running statistics are not f32 initializers");
    return node_attr(node, "name")->s;
}

void onnx_note_norm(const OnnxNode *n, Ref x, Ref mean, Ref var)
{
    OnnxWalk *w = n->walk;
    OnnxParams *p = w->opts->params;
    if (!p || !p->trainable) return;
    GROW(n->g->arena, w->norm, p->nnorm, w->norm_cap);
    w->norm[p->nnorm] = x;
    GROW(p->arena, p->norm, p->nnorm, p->norm_cap);
    p->norm[p->nnorm++] =
        (OnnxNorm){arena_strdup(p->arena, param_name(n, mean)),
                   arena_strdup(p->arena, param_name(n, var)), onnx_float(n, "momentum", .9)};
}

void walk_norms(OnnxWalk *w)
{
    const OnnxParams *p = w->opts->params;
    for (uint32_t i = 0; p && i < p->nnorm; i++)
        graph_output(w->g, arena_printf(w->g->arena, "norm.%u", (unsigned)i), w->norm[i]);
}

/* ---- writing ---- */

typedef struct Save {
    const char *from, *to;
    int n;
    const OnnxValue *value;
} Save;

static const OnnxValue *value_of(const Save *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->value[i].name, name)) return &s->value[i];
    return NULL;
}

static void put(Save *s, Arena *a, Onnx__TensorProto **slot)
{
    Onnx__TensorProto *old = *slot;
    const OnnxValue *v = value_of(s, walk_text(old->name));
    if (!v) return;
    *slot = onnx_new_tensor(a, v->name, (int)old->n_dims, old->dims);
    check((*slot)->raw_data.len == 4 * (size_t)v->count);
    for (int64_t i = 0; i < v->count; i++) onnx_put_float(*slot, i, (float)v->at(v, i));
}

static void save(void *arg, Arena *scratch)
{
    Save *s = arg;
    Onnx__ModelProto *m = onnx_load(scratch, s->from);
    for (size_t i = 0; i < m->graph->n_initializer; i++) put(s, scratch, &m->graph->initializer[i]);
    onnx_write(scratch, m, s->to);
}

void onnx_save(const char *from, const char *to, int n, const OnnxValue *value)
{
    Save s = {from, to, n, value};
    onnx_within(from, save, &s);
}

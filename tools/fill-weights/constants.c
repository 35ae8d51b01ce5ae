/* SPDX-License-Identifier: Apache-2.0 */
/* Constants of a graph file: initializers, and nodes that make them. */
#include "tools/fill-weights/fill.h"

#include <string.h>

static void name(char **s)
{
    static char none[1];
    if (!*s) *s = none;
}

void name_all(Onnx__GraphProto *g)
{
    for (size_t i = 0; i < g->n_initializer; i++) name(&g->initializer[i]->name);
    for (size_t i = 0; i < g->n_output; i++) name(&g->output[i]->name);
    for (size_t i = 0; i < g->n_node; i++) {
        Onnx__NodeProto *n = g->node[i];
        name(&n->name);
        name(&n->op_type);
        for (size_t k = 0; k < n->n_attribute; k++) {
            name(&n->attribute[k]->name);
            if (n->attribute[k]->g) name_all(n->attribute[k]->g);
        }
    }
}

static const Onnx__AttributeProto *attribute(const Onnx__NodeProto *n, const char *name)
{
    for (size_t i = 0; i < n->n_attribute; i++)
        if (!strcmp(n->attribute[i]->name, name)) return n->attribute[i];
    return NULL;
}

static bool lists(size_t n, char *const *names, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(names[i], name)) return true;
    return false;
}

const Onnx__NodeProto *node_making(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_node; i++)
        if (lists(g->node[i]->n_output, g->node[i]->output, name)) return g->node[i];
    return NULL;
}

const Onnx__NodeProto *node_reading(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_node; i++)
        if (lists(g->node[i]->n_input, g->node[i]->input, name)) return g->node[i];
    return NULL;
}

/* ---- shapes ---- */

/* A tensor that the file holds: an initializer, or the value of a Constant. */
static const Onnx__TensorProto *literal(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_initializer; i++)
        if (!strcmp(g->initializer[i]->name, name)) return g->initializer[i];
    const Onnx__NodeProto *n = node_making(g, name);
    if (!n || strcmp(n->op_type, "Constant") != 0) return NULL;
    const Onnx__AttributeProto *value = attribute(n, "value");
    return value ? value->t : NULL;
}

static bool shape_of_tensor(const Onnx__TensorProto *t, Shape *s)
{
    if (t->n_dims > 8) return false;
    s->rank = (int)t->n_dims;
    s->type = t->data_type;
    memcpy(s->dim, t->dims, sizeof *t->dims * t->n_dims);
    return true;
}

static int64_t little_endian(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
    return (int64_t)v;
}

/* The vector of extents that ConstantOfShape reads. */
static bool shape_in_tensor(const Onnx__TensorProto *t, Shape *s)
{
    size_t n = t->has_raw_data ? t->raw_data.len / 8 : t->n_int64_data;
    if (t->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__INT64 || n > 8) return false;
    s->rank = (int)n;
    for (size_t i = 0; i < n; i++)
        s->dim[i] = t->has_raw_data ? little_endian(t->raw_data.data + 8 * i) : t->int64_data[i];
    return true;
}

static bool shape_of_node(const Onnx__GraphProto *g, const Onnx__NodeProto *n, Shape *s)
{
    if (strcmp(n->op_type, "ConstantOfShape") != 0 || n->n_input != 1) return false;
    const Onnx__TensorProto *extents = literal(g, n->input[0]);
    const Onnx__AttributeProto *value = attribute(n, "value");
    s->type = value && value->t ? value->t->data_type : ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    return extents && shape_in_tensor(extents, s);
}

bool constant_shape(const Onnx__GraphProto *g, const char *name, Shape *s)
{
    for (size_t step = 0; step <= g->n_node; step++) { /* a cycle of Identities ends too */
        const Onnx__TensorProto *t = literal(g, name);
        if (t) return shape_of_tensor(t, s);
        const Onnx__NodeProto *n = node_making(g, name);
        if (!n) return false;
        if (strcmp(n->op_type, "Identity") != 0 || n->n_input != 1) return shape_of_node(g, n, s);
        name = n->input[0];
    }
    return false;
}

/* ---- what nothing reads ---- */

static bool is_read(const Onnx__GraphProto *, const char *name);

static bool body_reads(const Onnx__NodeProto *n, const char *name)
{
    for (size_t i = 0; i < n->n_attribute; i++)
        if (n->attribute[i]->g && is_read(n->attribute[i]->g, name)) return true;
    return false;
}

static bool is_read(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_output; i++)
        if (!strcmp(g->output[i]->name, name)) return true;
    for (size_t i = 0; i < g->n_node; i++)
        if (lists(g->node[i]->n_input, g->node[i]->input, name) || body_reads(g->node[i], name))
            return true;
    return false;
}

static bool is_idle(const Onnx__GraphProto *g, const Onnx__NodeProto *n)
{
    static const char *const ops[] = {"Constant", "ConstantOfShape", "Identity"};
    for (int i = 0; i < COUNT(ops); i++)
        if (!strcmp(n->op_type, ops[i])) return n->n_output == 1 && !is_read(g, n->output[0]);
    return false;
}

/* From the last node to the first, so that what fed an idle one is seen to be idle too. */
void drop_unread(Onnx__GraphProto *g)
{
    size_t kept = 0;
    for (size_t i = g->n_node; i-- > 0;)
        if (is_idle(g, g->node[i])) {
            g->n_node--;
            memmove(&g->node[i], &g->node[i + 1], (g->n_node - i) * sizeof *g->node);
        }
    for (size_t i = 0; i < g->n_initializer; i++)
        if (is_read(g, g->initializer[i]->name)) g->initializer[kept++] = g->initializer[i];
    g->n_initializer = kept;
}

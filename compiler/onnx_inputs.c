/* SPDX-License-Identifier: Apache-2.0 */
/* The model's inputs: their extents, those that are given constants, and the preprocessing in front
 * of the first. */
#include "onnx_preprocess.h"
#include "onnx_walk.h"

#include "onnx.pb-c.h"

#include <stdio.h>
#include <string.h>

static int64_t option_dim(const OnnxWalk *w, const char *symbol, const char *place)
{
    for (int i = 0; i < w->opts->ndims; i++) {
        const OnnxDim *d = &w->opts->dims[i];
        if (!strcmp(d->name, symbol) || !strcmp(d->name, place)) return d->value;
    }
    return 0;
}

static int64_t input_dim(OnnxWalk *w, const char *input, const Onnx__TensorShapeProto *shape, int i)
{
    const Onnx__TensorShapeProto__Dimension *d = shape->dim[i];
    bool has = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    bool named = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    int64_t literal = has && d->dim_value > 0 ? d->dim_value : 0;
    if (has && d->dim_value < -1) /* some exporters write -1 for an open one */
        err(NULL, "input \"%.200s\": dimension %d is %lld", input, i, (long long)d->dim_value);
    if (i == 0) {
        if (w->opts->keep_batch) return literal ? literal : 1;
        if (!w->batch) w->batch = literal;
        return 1;
    }
    if (literal) return literal;
    const char *place = arena_printf(w->g->arena, "%.200s.%d", input, i);
    const char *symbol = named && d->dim_param ? d->dim_param : "";
    int64_t given = option_dim(w, symbol, place);
    if (given <= 0)
        err(NULL, "input \"%.200s\": dimension %d is open; it needs a value (--dim %.200s=N)",
            input, i, *symbol ? symbol : place);
    return given;
}

static Type input_type(OnnxWalk *w, const char *name, const Onnx__ValueInfoProto *v)
{
    const Onnx__TypeProto *t = v->type;
    DType dtype;
    int64_t dim[MAX_RANK];
    if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !t->tensor_type)
        err(NULL, "input \"%.200s\" is not a tensor", name);
    const Onnx__TypeProto__Tensor *tensor = t->tensor_type;
    if (!onnx_dtype_of(tensor->elem_type, &dtype))
        err(NULL, "input \"%.200s\": element type %s is not supported; cut the model behind it",
            name, onnx_dtype_name(tensor->elem_type));
    if (!tensor->shape) err(NULL, "input \"%.200s\" has no shape", name);
    if (tensor->shape->n_dim > MAX_RANK) err(NULL, "input \"%.200s\" has rank above 8", name);
    for (int i = 0; i < (int)tensor->shape->n_dim; i++)
        dim[i] = input_dim(w, name, tensor->shape, i);
    Type type = {.dtype = dtype, .rank = (int)tensor->shape->n_dim};
    memcpy(type.dim, dim, sizeof *dim * tensor->shape->n_dim);
    const char *fault = type_check(type);
    if (fault) err(NULL, "input \"%.200s\": %s", name, fault);
    return type;
}

static Ref copy_const(Graph *g, const Const *c)
{
    Node node = {.op = OP_const, .value = c, .type = c->type};
    Origin none = {0};
    Graph one = {.node = &node, .n = 1, .origin = &none};
    return graph_copy(g, &one, 0, NULL);
}

/* A constant must be what the file declares: its element type, its rank, its literal extents. */
static void check_fixed(const Onnx__ValueInfoProto *v, const char *name, const Const *c)
{
    const Onnx__TypeProto *t = v->type;
    DType dtype;
    if (!c || !t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !t->tensor_type) return;
    if (onnx_dtype_of(t->tensor_type->elem_type, &dtype) && dtype != c->type.dtype)
        err(NULL, "input \"%.200s\" is %s, the constant given for it %s", name, dtype_name(dtype),
            dtype_name(c->type.dtype));
    const Onnx__TensorShapeProto *shape = t->tensor_type->shape;
    bool fits = !shape || (int)shape->n_dim == c->type.rank;
    for (int i = 0; fits && shape && i < c->type.rank; i++)
        if (shape->dim[i]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
            fits = shape->dim[i]->dim_value == c->type.dim[i];
    if (!fits) err(NULL, "input \"%.200s\": the constant given for it has another shape", name);
}

static bool is_fixed(OnnxWalk *w, const Onnx__ValueInfoProto *v, const char *name)
{
    for (int i = 0; i < w->opts->nfixed; i++) {
        const Const *c = w->opts->fixed[i].value;
        if (strcmp(w->opts->fixed[i].name, name)) continue;
        check_fixed(v, name, c);
        scope_define(w, name, c ? copy_const(w->g, c) : ONNX_EMPTY);
        return true;
    }
    return false;
}

static void list_inputs(OnnxWalk *w, const Onnx__GraphProto *p, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_input && n < size; i++) {
        const char *name = walk_text(p->input[i]->name);
        const Value *known = scope_find(w->scope, name);
        if (known && (known->init || known->sparse)) continue;
        n += (size_t)snprintf(out + n, size - n, "%s%.60s", n ? ", " : "", name);
    }
}

/* Each constant is for an input, and one that the file gives no value. */
static void find_fixed(OnnxWalk *w, const Onnx__GraphProto *p, const char *name)
{
    char names[400] = "";
    const Value *known = scope_find(w->scope, name);
    for (size_t i = 0; i < p->n_input; i++)
        if (!strcmp(walk_text(p->input[i]->name), name) &&
            !(known && (known->init || known->sparse)))
            return;
    list_inputs(w, p, names, sizeof names);
    err(NULL, "no input \"%.200s\" to give a constant; the inputs are: %s", name, names);
}

/* ---- precision ---- */

/* A model whose input is f32 and whose weights are stored in another float type is one that was
 * stored smaller, not one that computes in it: all of it is computed in f32. */
static bool stored_otherwise(const Onnx__GraphProto *p)
{
    DType d;
    for (size_t i = 0; i < p->n_initializer; i++) {
        const Onnx__TensorProto *t = p->initializer[i];
        if (!t->n_dims || !onnx_dtype_of(t->has_data_type ? t->data_type : 0, &d)) continue;
        if (dtype_is_float(d) && d != DT_F32) return true;
    }
    return false;
}

Ref onnx_single(Graph *g, Ref r)
{
    if (r >= g->n) return r; /* without elements */
    DType d = g->node[r].type.dtype;
    return dtype_is_float(d) ? b_cast(g, r, DT_F32) : r;
}

/* ---- all of them ---- */

static void first_input(OnnxWalk *w, const Onnx__GraphProto *p, const char *name, Type t)
{
    w->single = t.dtype == DT_F32 && stored_otherwise(p);
    scope_define(w, name, onnx_preprocess(w->g, "x", t, w->opts));
}

static void next_input(OnnxWalk *w, const char *name, Type t)
{
    Ref r = b_input(w->g, strcmp(name, "x") ? name : "x_", t);
    scope_define(w, name, w->single ? onnx_single(w->g, r) : r);
}

void walk_inputs(OnnxWalk *w, const Onnx__GraphProto *p)
{
    bool first = true;
    for (int i = 0; i < w->opts->nfixed; i++) find_fixed(w, p, w->opts->fixed[i].name);
    for (size_t i = 0; i < p->n_input; i++) {
        const char *name = walk_text(p->input[i]->name);
        const Value *known = scope_find(w->scope, name);
        if (known && (known->init || known->sparse)) continue; /* only a default is declared */
        if (is_fixed(w, p->input[i], name)) continue;
        Type t = input_type(w, name, p->input[i]);
        if (first)
            first_input(w, p, name, t);
        else
            next_input(w, name, t);
        if (first && w->opts->image) *w->opts->image = arena_strdup(w->result_arena, name);
        first = false;
    }
    if (first && !w->opts->keep_batch) err(NULL, "the model has no input");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Values by name. A scope is a hash table that grows; initializers are read when first used, so an
 * unused one costs nothing. */
#include "onnx_walk.h"

#include "onnx.pb-c.h"

#include <string.h>

static Value *slot_of(Value *table, uint32_t mask, const char *name)
{
    uint32_t i = (uint32_t)hash_bytes(name, strlen(name), 0) & mask;
    while (table[i].name && strcmp(table[i].name, name)) i = (i + 1) & mask;
    return &table[i];
}

void scope_enter(OnnxWalk *w, Scope *s, const Scope *outer)
{
    *s = (Scope){.outer = outer, .mask = 15};
    s->value = NEW_N(w->g->arena, Value, 16);
    w->scope = s;
}

static void grow(OnnxWalk *w, Scope *s)
{
    uint32_t mask = 2 * s->mask + 1;
    Value *to = NEW_N(w->g->arena, Value, mask + 1);
    for (uint32_t i = 0; i <= s->mask; i++)
        if (s->value[i].name) *slot_of(to, mask, s->value[i].name) = s->value[i];
    s->value = to;
    s->mask = mask;
}

Value *scope_define(OnnxWalk *w, const char *name, Ref r)
{
    Scope *s = w->scope;
    if (2 * ++s->used > s->mask) grow(w, s);
    Value *v = slot_of(s->value, s->mask, name);
    if (v->name) err(NULL, "value \"%.200s\" is defined twice", name);
    *v = (Value){.name = name, .ref = r};
    return v;
}

Value *scope_find(const Scope *s, const char *name)
{
    for (; s; s = s->outer) {
        Value *v = slot_of(s->value, s->mask, name);
        if (v->name) return v;
    }
    return NULL;
}

/* The import's own graph does not live long: the caller's arena keeps the value. */
static const Const *keep_value(Arena *a, const Const *c)
{
    Const *k = arena_dup(a, c, sizeof *c);
    size_t n = c->splat ? (size_t)dtype_bytes(c->type.dtype) : (size_t)type_bytes(c->type);
    k->data = arena_dup(a, c->data, n);
    return k;
}

/* A float weight as a parameter. */
static Ref as_param(OnnxWalk *w, const Value *v)
{
    OnnxParams *p = w->opts->params;
    const Node *n = &w->g->node[v->ref];
    if (n->op != OP_const || !dtype_is_float(n->type.dtype) || n->type.rank < 1) return v->ref;
    if (p->trainable && !onnx_trains(w->model, v->name)) return v->ref;
    GROW(p->arena, p->param, p->n, p->cap);
    p->param[p->n++] = (OnnxParam){arena_strdup(p->arena, v->name), keep_value(p->arena, n->value)};
    return b_param(w->g, v->name, n->type);
}

/* A float weight as one that may be exchanged. */
static Ref as_weight(OnnxWalk *w, Ref r)
{
    Arena *a = w->g->arena;
    if (r >= w->g->n) return r; /* without elements */
    Node n = w->g->node[r];
    if (n.op != OP_const || !dtype_is_float(n.type.dtype) || n.type.rank < 1) return r;
    int64_t count = type_count(n.type), size = dtype_bytes(n.type.dtype);
    const char *data = n.value->data;
    if (n.value->splat) {
        char *all = arena_alloc(a, (size_t)(count * size));
        for (int64_t i = 0; i < count; i++) memcpy(all + i * size, data, (size_t)size);
        data = all;
    }
    return graph_weight_at(w->g, n.type, data, ++w->weights);
}

static Ref load_initializer(OnnxWalk *w, Value *v)
{
    Origin before = w->g->current;
    graph_set_origin(w->g, onnx_printable(w->g->arena, v->name));
    v->ref = onnx_tensor(w->g, w->path, v->init);
    if (w->opts->weights) v->ref = as_weight(w, v->ref);
    if (w->single) v->ref = onnx_single(w->g, v->ref);
    if (w->opts->params) v->ref = as_param(w, v);
    v->init = NULL;
    w->g->current = before;
    return v->ref;
}

Ref scope_value(OnnxWalk *w, const char *label, const char *name)
{
    Value *v = scope_find(w->scope, name);
    if (!v) err(label, "nothing before it defines its input \"%.200s\"", name);
    if (v->sparse) err(label, "initializer \"%.200s\" is sparse: not supported", name);
    if (v->init) return load_initializer(w, v);
    if (v->ref == NOREF) err(label, "\"%.200s\" is an output that is not computed here", name);
    return v->ref;
}

void scope_initializers(OnnxWalk *w, const Onnx__GraphProto *p)
{
    for (size_t i = 0; i < p->n_initializer; i++)
        scope_define(w, walk_text(p->initializer[i]->name), NOREF)->init = p->initializer[i];
    for (size_t i = 0; i < p->n_sparse_initializer; i++) {
        const Onnx__TensorProto *values = p->sparse_initializer[i]->values;
        if (values) scope_define(w, walk_text(values->name), NOREF)->sparse = true;
    }
}

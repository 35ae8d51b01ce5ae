/* SPDX-License-Identifier: Apache-2.0 */
/* Smaller questions to a file: what a model says of itself, the one tensor of a .pb file. */
#include "onnx.h"
#include "adjoint.h"
#include "onnx_model.h"
#include "onnx_node.h"

#include "onnx.pb-c.h"

#include <stdlib.h>
#include <string.h>

typedef struct Job {
    Arena *a;
    const char *path;
    OnnxFacts *facts;
} Job;

static const char *text(Arena *a, const char *s)
{
    return s ? onnx_printable(a, s) : "";
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted names, then runs of equal ones. */
static void count_ops(Job *j, const Onnx__GraphProto *g)
{
    const char **name = NEW_N(j->a, const char *, g->n_node);
    OnnxFacts *f = j->facts;
    for (size_t i = 0; i < g->n_node; i++) name[i] = text(j->a, g->node[i]->op_type);
    if (g->n_node) qsort(name, g->n_node, sizeof *name, by_text);
    f->ops = NEW_N(j->a, OnnxCount, g->n_node);
    for (size_t i = 0; i < g->n_node; i++) {
        if (!i || strcmp(name[i], name[i - 1])) f->ops[f->nops++].op = name[i];
        f->ops[f->nops - 1].count++;
    }
}

static void gather_facts(void *arg, Arena *scratch)
{
    Job *j = arg;
    const Onnx__ModelProto *m = onnx_load(scratch, j->path);
    *j->facts = (OnnxFacts){
        .ir_version = m->ir_version,
        .opset = onnx_model_opset(m),
        .producer = text(j->a, m->producer_name),
        .producer_version = text(j->a, m->producer_version),
        .graph = text(j->a, m->graph->name),
        .nnodes = (int)m->graph->n_node,
        .ninitializers = (int)m->graph->n_initializer,
    };
    count_ops(j, m->graph);
}

typedef struct TensorJob {
    Arena *a;
    const char *path, *name;
    const Const *value;
} TensorJob;

static void read_tensor(void *arg, Arena *scratch)
{
    TensorJob *j = arg;
    const Onnx__TensorProto *t = onnx_load_tensor(scratch, j->path);
    Graph *g = graph_new(scratch, "tensor"), *kept = graph_new(j->a, "tensor");
    Ref r = onnx_tensor(g, j->path, t);
    j->name = text(j->a, t->name);
    if (r == ONNX_EMPTY) return;
    r = graph_copy(kept, g, r, NULL);
    j->value = kept->node[r].value;
}

const Const *onnx_read_tensor(Arena *a, const char *path, const char **name)
{
    TensorJob j = {.a = a, .path = path};
    onnx_within(path, read_tensor, &j);
    if (name) *name = j.name;
    return j.value;
}

typedef struct ReadJob {
    Arena *a;
    const char *path;
    AdjArray *out;
} ReadJob;

static void read_array(void *arg)
{
    ReadJob *j = arg;
    j->a = arena_new();
    const Const *c = onnx_read_tensor(j->a, j->path, NULL);
    if (!c) err(j->path, "the tensor has no elements");
    int64_t n = type_count(c->type);
    size_t one = (size_t)dtype_bytes(c->type.dtype);
    *j->out = (AdjArray){.dtype = (int32_t)c->type.dtype, .rank = c->type.rank};
    memcpy(j->out->dim, c->type.dim, sizeof j->out->dim);
    char *p = j->out->data = malloc((size_t)n * one);
    if (!p) err(j->path, "no memory for %lld elements", (long long)n);
    for (int64_t i = 0; i < n; i++)
        memcpy(p + one * (size_t)i, (const char *)c->data + (c->splat ? 0 : one * (size_t)i), one);
}

bool adj_read_tensor(const char *path, AdjArray *out, AdjError *e)
{
    ReadJob j = {NULL, path, out};
    *out = (AdjArray){0};
    bool ok = err_guard(read_array, &j, e->msg, sizeof e->msg);
    arena_free(j.a);
    return ok;
}

OnnxFacts *onnx_facts(Arena *a, const char *path)
{
    Job j = {a, path, NEW(a, OnnxFacts)};
    onnx_within(path, gather_facts, &j);
    return j.facts;
}

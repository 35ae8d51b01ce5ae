/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a model: values by name, initializers when first used, nodes in the file's order,
 * one builder a node. The graph grows in a scratch arena with everything that folding leaves
 * behind; what the outputs need, and every input, is then copied to the caller's. */
#include "onnx.h"
#include "onnx_model.h"
#include "onnx_node.h"
#include "onnx_preprocess.h"

#include "onnx.pb-c.h"

#include <stdio.h>
#include <string.h>

/* ---- the operators ---- */

typedef struct Row {
    const char *op;
    int since;
    OnnxBuild *build;
} Row;

static const Row rows[] = {
#define ONNX(op, since, build) {#op, since, build},
#include "onnx_ops.def"
#undef ONNX
};

/* The newest form that the model's opset has. */
static const Row *find_row(const char *op, int64_t opset, bool *known)
{
    const Row *best = NULL;
    *known = false;
    for (int i = 0; i < COUNT(rows); i++) {
        if (strcmp(rows[i].op, op)) continue;
        *known = true;
        if (rows[i].since <= opset && (!best || rows[i].since > best->since)) best = &rows[i];
    }
    return best;
}

/* ---- values by name ---- */

typedef struct Value {
    const char *name;
    const Onnx__TensorProto *init; /* not yet read */
    bool sparse;
    Ref ref;
} Value;

typedef struct Import {
    const char *path;
    const OnnxOptions *opts;
    Arena *result_arena;
    Graph *result;
    /* scratch from here */
    Graph *g;
    const Onnx__GraphProto *proto;
    int64_t opset, batch;
    OnnxFold fold;
    Value *value; /* open addressing */
    uint32_t mask;
} Import;

static const char *text(const char *s)
{
    return s ? s : "";
}

static Value *slot_of(Import *im, const char *name)
{
    uint32_t i = (uint32_t)hash_bytes(name, strlen(name), 0) & im->mask;
    while (im->value[i].name && strcmp(im->value[i].name, name)) i = (i + 1) & im->mask;
    return &im->value[i];
}

static void values_init(Import *im)
{
    const Onnx__GraphProto *p = im->proto;
    size_t n = p->n_input + p->n_initializer + p->n_sparse_initializer + 8;
    for (size_t i = 0; i < p->n_node; i++) n += p->node[i]->n_output;
    uint32_t size = 16;
    while (size < 2 * n) size *= 2;
    im->value = NEW_N(im->g->arena, Value, size);
    im->mask = size - 1;
}

static Value *define(Import *im, const char *name, Ref r)
{
    Value *v = slot_of(im, name);
    if (v->name) err(NULL, "value \"%.200s\" is defined twice", name);
    *v = (Value){.name = name, .ref = r};
    return v;
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
static Ref as_param(Import *im, const Value *v)
{
    OnnxParams *p = im->opts->params;
    const Node *n = &im->g->node[v->ref];
    if (n->op != OP_const || !dtype_is_float(n->type.dtype) || n->type.rank < 1) return v->ref;
    GROW(p->arena, p->param, p->n, p->cap);
    p->param[p->n++] =
        (OnnxParam){arena_strdup(p->arena, v->name), keep_value(p->arena, n->value)};
    return b_param(im->g, v->name, n->type);
}

static Ref load_initializer(Import *im, Value *v)
{
    Origin before = im->g->current;
    graph_set_origin(im->g, onnx_printable(im->g->arena, v->name));
    v->ref = onnx_tensor(im->g, im->path, v->init);
    if (im->opts->params) v->ref = as_param(im, v);
    v->init = NULL;
    im->g->current = before;
    return v->ref;
}

static Ref find_value(Import *im, const char *label, const char *name)
{
    Value *v = slot_of(im, name);
    if (!v->name) err(label, "nothing before it defines its input \"%.200s\"", name);
    if (v->sparse) err(label, "initializer \"%.200s\" is sparse: not supported", name);
    if (v->init) return load_initializer(im, v);
    if (v->ref == NOREF) err(label, "\"%.200s\" is an output that is not computed here", name);
    return v->ref;
}

static void define_initializers(Import *im)
{
    const Onnx__GraphProto *p = im->proto;
    for (size_t i = 0; i < p->n_initializer; i++)
        define(im, text(p->initializer[i]->name), NOREF)->init = p->initializer[i];
    for (size_t i = 0; i < p->n_sparse_initializer; i++) {
        const Onnx__TensorProto *values = p->sparse_initializer[i]->values;
        if (values) define(im, text(values->name), NOREF)->sparse = true;
    }
}

/* ---- inputs ---- */

static int64_t option_dim(const Import *im, const char *symbol, const char *place)
{
    for (int i = 0; i < im->opts->ndims; i++) {
        const OnnxDim *d = &im->opts->dims[i];
        if (!strcmp(d->name, symbol) || !strcmp(d->name, place)) return d->value;
    }
    return 0;
}

static int64_t input_dim(Import *im, const char *input, const Onnx__TensorShapeProto *shape, int i)
{
    const Onnx__TensorShapeProto__Dimension *d = shape->dim[i];
    bool has = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    bool named = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    int64_t literal = has && d->dim_value > 0 ? d->dim_value : 0;
    if (i == 0) {
        if (im->opts->keep_batch) return literal ? literal : 1;
        if (!im->batch) im->batch = literal;
        return 1;
    }
    if (literal) return literal;
    const char *place = arena_printf(im->g->arena, "%.200s.%d", input, i);
    const char *symbol = named && d->dim_param ? d->dim_param : "";
    int64_t given = option_dim(im, symbol, place);
    if (given <= 0)
        err(NULL, "input \"%.200s\": dimension %d is open; it needs a value (--dim %.200s=N)",
            input, i, *symbol ? symbol : place);
    return given;
}

static Type input_type(Import *im, const char *name, const Onnx__ValueInfoProto *v)
{
    const Onnx__TypeProto *t = v->type;
    DType dtype;
    int64_t dim[MAX_RANK];
    if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !t->tensor_type)
        err(NULL, "input \"%.200s\" is not a tensor", name);
    const Onnx__TypeProto__Tensor *tensor = t->tensor_type;
    if (!onnx_dtype_of(tensor->elem_type, &dtype))
        err(NULL, "input \"%.200s\": element type %s is not supported", name,
            onnx_dtype_name(tensor->elem_type));
    if (!tensor->shape) err(NULL, "input \"%.200s\" has no shape", name);
    if (tensor->shape->n_dim > MAX_RANK) err(NULL, "input \"%.200s\" has rank above 8", name);
    for (int i = 0; i < (int)tensor->shape->n_dim; i++)
        dim[i] = input_dim(im, name, tensor->shape, i);
    return type_of(dtype, (int)tensor->shape->n_dim, dim);
}

static Ref copy_const(Graph *g, const Const *c)
{
    Node node = {.op = OP_const, .value = c, .type = c->type};
    Origin none = {0};
    Graph one = {.node = &node, .n = 1, .origin = &none};
    return graph_copy(g, &one, 0, NULL);
}

static bool is_fixed(Import *im, const char *name)
{
    for (int i = 0; i < im->opts->nfixed; i++) {
        const Const *c = im->opts->fixed[i].value;
        if (strcmp(im->opts->fixed[i].name, name)) continue;
        define(im, name, c ? copy_const(im->g, c) : ONNX_EMPTY);
        return true;
    }
    return false;
}

static void make_inputs(Import *im)
{
    bool first = true;
    for (size_t i = 0; i < im->proto->n_input; i++) {
        const char *name = text(im->proto->input[i]->name);
        Value *known = slot_of(im, name);
        if (known->name && (known->init || known->sparse))
            continue; /* only a default is declared */
        if (is_fixed(im, name)) continue;
        Type t = input_type(im, name, im->proto->input[i]);
        if (first)
            define(im, name, onnx_preprocess(im->g, "x", t, im->opts));
        else
            define(im, name, b_input(im->g, strcmp(name, "x") ? name : "x_", t));
        first = false;
    }
    if (first && !im->opts->keep_batch) err(NULL, "the model has no input");
}

/* ---- nodes ---- */

_Noreturn void onnx_fail(const OnnxNode *n, const char *fmt, ...)
{
    char msg[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    err(n->label, "%s", msg);
}

static const char *label_of(Import *im, const Onnx__NodeProto *p, size_t index)
{
    const char *op = text(p->op_type), *name = text(p->name);
    char *label = *name ? arena_printf(im->g->arena, "%.200s (%.80s)", name, op)
                        : arena_printf(im->g->arena, "%.80s #%zu", op, index);
    return onnx_printable(im->g->arena, label);
}

static OnnxBuild *builder_of(Import *im, const OnnxNode *n)
{
    const char *domain = text(n->proto->domain);
    bool known;
    if (*domain && strcmp(domain, "ai.onnx"))
        onnx_fail(n, "operator %s of domain %s is not supported", n->op, domain);
    const Row *row = find_row(n->op, im->opset, &known);
    if (!known) onnx_fail(n, "operator %s is not supported", n->op);
    if (!row) onnx_fail(n, "operator %s is not supported in opset %d", n->op, n->opset);
    return row->build;
}

static void read_inputs(Import *im, OnnxNode *n)
{
    const Onnx__NodeProto *p = n->proto;
    n->nin = (int)p->n_input;
    n->in = NEW_N(im->g->arena, Ref, n->nin);
    for (int i = 0; i < n->nin; i++)
        n->in[i] = *text(p->input[i]) ? find_value(im, n->label, p->input[i]) : NOREF;
}

static void write_outputs(Import *im, const OnnxNode *n)
{
    onnx_fold_new_nodes(&im->fold, im->g);
    for (int i = 0; i < n->nout; i++) {
        const char *name = text(n->proto->output[i]);
        if (*name) define(im, name, onnx_folded(&im->fold, n->out[i]));
    }
}

static void make_node(Import *im, size_t index)
{
    const Onnx__NodeProto *p = im->proto->node[index];
    OnnxNode n = {.g = im->g,
                  .proto = p,
                  .path = im->path,
                  .op = text(p->op_type),
                  .label = label_of(im, p, index),
                  .opset = (int)im->opset,
                  .batch = im->batch,
                  .budget = &im->fold.left,
                  .nout = (int)p->n_output};
    graph_set_origin(im->g, n.label);
    OnnxBuild *build = builder_of(im, &n);
    read_inputs(im, &n);
    n.out = NEW_N(im->g->arena, Ref, n.nout + 1);
    for (int i = 0; i <= n.nout; i++) n.out[i] = NOREF;
    build(&n);
    write_outputs(im, &n);
    graph_set_origin(im->g, NULL);
}

Ref onnx_in(const OnnxNode *n, int i)
{
    Ref r = onnx_opt(n, i);
    if (r == NOREF) onnx_fail(n, "input %d is missing", i);
    return r;
}

Ref onnx_opt(const OnnxNode *n, int i)
{
    Ref r = i < n->nin ? n->in[i] : NOREF;
    if (r == ONNX_EMPTY) onnx_fail(n, "input %d has no elements: not supported", i);
    return r;
}

Type onnx_type(const OnnxNode *n, Ref r)
{
    check(r < n->g->n);
    return n->g->node[r].type;
}

/* Outputs the file does not name are built in vain, which costs nothing. */
void onnx_out(OnnxNode *n, int i, Ref r)
{
    if (i < n->nout) n->out[i] = r;
}

void *onnx_data(const OnnxNode *n, Type t)
{
    int64_t count = type_count(t);
    if (count > *n->budget) onnx_fail(n, "the constants of the model are too large");
    *n->budget -= count;
    return arena_alloc(n->g->arena, (size_t)type_bytes(t));
}

/* ---- the result ---- */

static void make_outputs(Import *im)
{
    if (!im->proto->n_output) err(NULL, "the model has no output");
    for (size_t i = 0; i < im->proto->n_output; i++) {
        const char *name = text(im->proto->output[i]->name);
        if (!slot_of(im, name)->name) err(NULL, "output \"%.200s\" is not computed", name);
        Ref r = find_value(im, NULL, name);
        if (r == ONNX_EMPTY) err(NULL, "output \"%.200s\" has no elements", name);
        graph_output(im->g, name, r);
    }
}

static bool *live_nodes(const Graph *g)
{
    bool *live = NEW_N(g->arena, bool, g->n);
    for (uint32_t i = 0; i < g->nout; i++) live[g->out[i].ref] = true;
    for (Ref r = g->n; r-- > 0;) {
        const Node *n = &g->node[r];
        live[r] = live[r] || n->op == OP_input;
        for (int i = 0; i < n->nargs && live[r]; i++) live[n->args[i]] = true;
    }
    return live;
}

static Graph *copy_live(Arena *a, const Graph *src)
{
    Graph *dst = graph_new(a, src->name);
    const bool *live = live_nodes(src);
    Ref *map = NEW_N(src->arena, Ref, src->n);
    for (Ref r = 0; r < src->n; r++)
        if (live[r]) map[r] = graph_copy(dst, src, r, map);
    for (uint32_t i = 0; i < src->nout; i++)
        graph_output(dst, src->out[i].name, map[src->out[i].ref]);
    return dst;
}

static void check_opset(int64_t opset)
{
    if (opset < 1) err(NULL, "the model says no opset of the default domain");
    if (opset > ONNX_OPSET_LAST)
        err(NULL, "opset %lld is newer than %d, the last that is known here", (long long)opset,
            ONNX_OPSET_LAST);
}

static void import(void *arg, Arena *scratch)
{
    Import *im = arg;
    const Onnx__ModelProto *m = onnx_load(scratch, im->path);
    im->g = graph_new(scratch, "forward");
    im->fold.left = ONNX_BUDGET;
    im->proto = m->graph;
    im->opset = onnx_model_opset(m);
    check_opset(im->opset);
    values_init(im);
    define_initializers(im);
    make_inputs(im);
    for (size_t i = 0; i < im->proto->n_node; i++) make_node(im, i);
    make_outputs(im);
    im->result = copy_live(im->result_arena, im->g);
}

Graph *onnx_import(Arena *a, const char *path, const OnnxOptions *opts)
{
    static const OnnxOptions none;
    Import im = {.path = path, .opts = opts ? opts : &none, .result_arena = a};
    onnx_within(path, import, &im);
    return im.result;
}

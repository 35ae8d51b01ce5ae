/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a model: nodes in the file's order, one builder a node; a function of the model is
 * walked over in its caller's place, and of an If the branch that its constant condition takes. The
 * graph grows in a scratch arena with everything that folding leaves behind; what the outputs need,
 * and every input, is then copied to the caller's. */
#include "onnx_walk.h"

#include "onnx.pb-c.h"

#include <stdio.h>
#include <string.h>

/* Of calls within calls and branches; of nodes walked over, so that functions that call functions
 * twice cannot make a small file large. */
enum { MAX_CALLS = 32, MAX_NODES = 1 << 18 };

/* ---- the operators ---- */

typedef struct Row {
    const char *op;
    int since;
    OnnxBuild *build;
} Row;

static const Row rows[] = {
#define ONNX(op, since, build, limits) {#op, since, build},
#define REFUSED(op, reason)
#include "onnx_ops.def"
#undef ONNX
#undef REFUSED
};

static const struct {
    const char *op, *reason;
} refused[] = {
#define ONNX(op, since, build, limits)
#define REFUSED(op, reason) {#op, reason},
#include "onnx_ops.def"
#undef ONNX
#undef REFUSED
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

static const char *label_of(OnnxWalk *w, const Onnx__NodeProto *p, size_t index)
{
    const char *op = walk_text(p->op_type), *name = walk_text(p->name);
    char *label = *name ? arena_printf(w->g->arena, "%.200s (%.80s)", name, op)
                        : arena_printf(w->g->arena, "%.80s #%zu", op, index);
    if (w->caller) label = arena_printf(w->g->arena, "%s / %s", w->caller->label, label);
    return onnx_printable(w->g->arena, label);
}

static const Onnx__FunctionProto *find_function(const OnnxNode *n)
{
    const Onnx__ModelProto *m = n->walk->model;
    const Onnx__FunctionProto *found = NULL;
    for (size_t i = 0; i < m->n_functions; i++) {
        const Onnx__FunctionProto *f = m->functions[i];
        if (strcmp(walk_text(f->name), n->op)) continue;
        if (strcmp(walk_text(f->domain), walk_text(n->proto->domain))) continue;
        if (found) onnx_fail(n, "overloads of function %s are not supported", n->op);
        found = f;
    }
    return found;
}

static _Noreturn void refuse(const OnnxNode *n)
{
    for (int i = 0; i < COUNT(refused); i++)
        if (!strcmp(refused[i].op, n->op))
            onnx_fail(n, "operator %s is not supported: %s", n->op, refused[i].reason);
    onnx_fail(n, "operator %s is not supported", n->op);
}

static void call_function(OnnxNode *);

static OnnxBuild *builder_of(OnnxNode *n)
{
    const char *domain = walk_text(n->proto->domain);
    bool known;
    n->function = find_function(n);
    if (n->function) return call_function;
    if (*domain && strcmp(domain, "ai.onnx"))
        onnx_fail(n,
                  "operator %s of domain %s is not supported; with a function in the file that "
                  "defines it, it is",
                  n->op, domain);
    const Row *row = find_row(n->op, n->opset, &known);
    if (!known) refuse(n);
    if (!row)
        onnx_fail(n, "operator %s is not supported in opset %d; export with a newer one", n->op,
                  n->opset);
    return row->build;
}

static void read_inputs(OnnxWalk *w, OnnxNode *n)
{
    const Onnx__NodeProto *p = n->proto;
    n->nin = (int)p->n_input;
    n->in = NEW_N(w->g->arena, Ref, n->nin);
    for (int i = 0; i < n->nin; i++)
        n->in[i] = *walk_text(p->input[i]) ? scope_value(w, n->label, p->input[i]) : NOREF;
}

static void write_outputs(OnnxWalk *w, const OnnxNode *n)
{
    onnx_fold_new_nodes(&w->fold, w->g);
    for (int i = 0; i < n->nout; i++) {
        const char *name = walk_text(n->proto->output[i]);
        if (*name) scope_define(w, name, onnx_folded(&w->fold, n->out[i]));
    }
}

static void make_node(OnnxWalk *w, const Onnx__NodeProto *p, size_t index)
{
    OnnxNode n = {.g = w->g,
                  .walk = w,
                  .caller = w->caller,
                  .proto = p,
                  .path = w->path,
                  .op = walk_text(p->op_type),
                  .label = label_of(w, p, index),
                  .opset = (int)w->opset,
                  .batch = w->batch,
                  .single = w->single,
                  .budget = &w->fold.left,
                  .nout = (int)p->n_output};
    if (!w->nodes_left--) onnx_fail(&n, "the model has more than %d nodes", MAX_NODES);
    graph_set_origin(w->g, n.label);
    OnnxBuild *build = builder_of(&n);
    read_inputs(w, &n);
    n.out = NEW_N(w->g->arena, Ref, n.nout + 1);
    for (int i = 0; i <= n.nout; i++) n.out[i] = NOREF;
    build(&n);
    write_outputs(w, &n);
    graph_set_origin(w->g, NULL);
}

static void make_nodes(OnnxWalk *w, size_t count, Onnx__NodeProto *const *node)
{
    for (size_t i = 0; i < count; i++) make_node(w, node[i], i);
}

/* ---- functions and branches ---- */

static void enter(const OnnxNode *n)
{
    if (++n->walk->depth > MAX_CALLS) onnx_fail(n, "calls are nested too deeply");
}

/* What the body's name stands for; an output that was not computed is one nobody may use. */
static Ref result_of(OnnxWalk *w, const OnnxNode *n, const char *name)
{
    const Value *v = scope_find(w->scope, name);
    if (!v) onnx_fail(n, "its body does not compute \"%.200s\"", name);
    return v->init || v->sparse ? scope_value(w, n->label, name) : v->ref;
}

static void take_results(OnnxNode *n, size_t count, char *const *name)
{
    if ((size_t)n->nout > count) onnx_fail(n, "its body has %zu outputs", count);
    for (int i = 0; i < n->nout; i++) n->out[i] = result_of(n->walk, n, walk_text(name[i]));
}

static int64_t function_opset(const OnnxNode *n)
{
    const Onnx__FunctionProto *f = n->function;
    int64_t opset = onnx_default_opset(f->n_opset_import, f->opset_import);
    return opset ? opset : n->opset;
}

static void call_function(OnnxNode *n)
{
    OnnxWalk *w = n->walk, saved = *w;
    const Onnx__FunctionProto *f = n->function;
    Scope scope;
    enter(n);
    w->opset = function_opset(n);
    w->caller = n;
    if (w->opset > ONNX_OPSET_LAST) onnx_fail(n, "its body is of opset %d", (int)w->opset);
    if ((size_t)n->nin > f->n_input) onnx_fail(n, "%d inputs, not %zu", n->nin, f->n_input);
    scope_enter(w, &scope, NULL);
    for (size_t i = 0; i < f->n_input; i++)
        scope_define(w, walk_text(f->input[i]), (int)i < n->nin ? n->in[i] : NOREF);
    make_nodes(w, f->n_node, f->node);
    take_results(n, f->n_output, f->output);
    w->opset = saved.opset;
    w->caller = saved.caller;
    w->scope = saved.scope;
    w->depth = saved.depth;
}

void build_if(OnnxNode *n)
{
    OnnxWalk *w = n->walk;
    Scope scope, *outer = w->scope;
    const Const *c = onnx_constant(n, onnx_in(n, 0));
    if (!c || type_count(c->type) != 1)
        onnx_fail(n, "its condition must be constant: control flow that depends on data");
    bool yes = elem_get(c->type.dtype, c->data, 0) != 0;
    const Onnx__GraphProto *p = onnx_graph_attr(n, yes ? "then_branch" : "else_branch");
    char **name = NEW_N(w->g->arena, char *, p->n_output);
    for (size_t i = 0; i < p->n_output; i++) name[i] = p->output[i]->name;
    enter(n);
    scope_enter(w, &scope, outer);
    scope_initializers(w, p);
    make_nodes(w, p->n_node, p->node);
    take_results(n, p->n_output, name);
    w->scope = outer;
    w->depth--;
}

/* ---- what builders ask ---- */

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

static void make_outputs(OnnxWalk *w, const Onnx__GraphProto *p)
{
    if (!p->n_output) err(NULL, "the model has no output");
    for (size_t i = 0; i < p->n_output; i++) {
        const char *name = walk_text(p->output[i]->name);
        if (!scope_find(w->scope, name)) err(NULL, "output \"%.200s\" is not computed", name);
        Ref r = scope_value(w, NULL, name);
        if (r == ONNX_EMPTY) err(NULL, "output \"%.200s\" has no elements", name);
        graph_output(w->g, name, r);
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
        err(NULL, "opset %lld is newer than %d, the last that is known here: export with that",
            (long long)opset, ONNX_OPSET_LAST);
}

static void import(void *arg, Arena *scratch)
{
    OnnxWalk *w = arg;
    Scope scope;
    w->model = onnx_load(scratch, w->path);
    const Onnx__GraphProto *p = w->model->graph;
    w->g = graph_new(scratch, "forward");
    w->fold.left = ONNX_BUDGET;
    w->nodes_left = MAX_NODES;
    w->opset = onnx_model_opset(w->model);
    check_opset(w->opset);
    scope_enter(w, &scope, NULL);
    scope_initializers(w, p);
    walk_inputs(w, p);
    make_nodes(w, p->n_node, p->node);
    make_outputs(w, p);
    walk_norms(w);
    w->result = copy_live(w->result_arena, w->g);
}

Graph *onnx_import(Arena *a, const char *path, const OnnxOptions *opts)
{
    static const OnnxOptions none;
    OnnxWalk w = {.path = path, .opts = opts ? opts : &none, .result_arena = a};
    onnx_within(path, import, &w);
    return w.result;
}

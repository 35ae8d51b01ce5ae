/* SPDX-License-Identifier: Apache-2.0 */
/* The graph driver of the evaluator, its table of evaluators, and the rows that only copy. A value
 * lives from its node to its last use, unless it is wanted, kept or bound. */
#include "eval_impl.h"

#include <stdlib.h>
#include <string.h>

static EvalFn *const evaluator[OP_COUNT] = {
#define eval_none NULL
#define OP(name, nargs, cls, shape, vjp, eval, ...) [OP_##name] = eval_##eval,
#include "ops.def"
#undef OP
#undef eval_none
};

void eval_node(Op op, const Attr *attr, const Const *value, int nargs, const Tensor *args,
               Tensor *out)
{
    EvalCall call = {op, attr, value, nargs, args, out};
    if (!evaluator[op]) die("%s has no value of its own", op_info[op].name);
    evaluator[op](&call);
}

void *eval_alloc(int64_t n, size_t size)
{
    int64_t bytes;
    if (!mul_ok(n, (int64_t)size, &bytes)) err(NULL, "a tensor is too large");
    void *p = calloc((size_t)bytes, 1);
    if (!p) err(NULL, "out of memory for %lld bytes", (long long)bytes);
    return p;
}

/* ---- rows that copy ---- */

void eval_copy(const EvalCall *e)
{
    memcpy(e->out->data, e->args[0].data, (size_t)type_bytes(e->out->type));
}

void eval_const(const EvalCall *e)
{
    Type t = e->out->type;
    int64_t n = type_count(t), to = 1, from = e->value->splat ? 0 : 1;
    strided_copy(1, &n, e->out->data, &to, e->value->data, &from, dtype_bytes(t.dtype));
}

/* The index along one axis, the same everywhere else. */
void eval_iota(const EvalCall *e)
{
    Type t = e->out->type;
    int axis = (int)e->attr[2].i[0];
    int64_t inner = count_dims(t.dim, axis + 1, t.rank), n = type_count(t);
    for (int64_t i = 0; i < n; i++) {
        Scalar s = scalar_cast(DT_I64, t.dtype, (Scalar){.i = i / inner % t.dim[axis]});
        scalars_store(t.dtype, e->out->data, i, 1, &s);
    }
}

/* ---- the driver ---- */

enum { KEPT = 1, WANTED = 2, NEEDED = 4 };

struct Eval {
    const Graph *g;
    uint32_t n;    /* nodes of the graph when the Eval was made */
    Tensor *value; /* of bindings and of the current run; data is NULL where there is none */
    uint8_t *flags;
    uint32_t *uses; /* that are still to come in the current run */
};

Eval *eval_new(const Graph *g)
{
    Eval *e = eval_alloc(1, sizeof *e);
    uint32_t n = g->n ? g->n : 1;
    e->g = g;
    e->n = g->n;
    e->value = eval_alloc(n, sizeof *e->value);
    e->flags = eval_alloc(n, sizeof *e->flags);
    e->uses = eval_alloc(n, sizeof *e->uses);
    for (Ref r = 0; r < g->n; r++) e->value[r].type = g->node[r].type;
    return e;
}

static bool is_bindable(const Node *n)
{
    return n->op == OP_input || n->op == OP_param;
}

/* The graph owns the data of a constant that is not a splat, so it is used where it lies. */
static bool is_borrowed(const Node *n)
{
    return n->op == OP_const && !n->value->splat;
}

/* A binding stays from run to run. */
static void drop(Eval *e, Ref r)
{
    if (is_bindable(&e->g->node[r])) return;
    if (!is_borrowed(&e->g->node[r])) free(e->value[r].data);
    e->value[r].data = NULL;
}

void eval_bind(Eval *e, Ref r, const void *dense)
{
    check(r < e->n && is_bindable(&e->g->node[r]));
    int64_t bytes = type_bytes(e->value[r].type);
    void *copy = eval_alloc(bytes, 1);
    memcpy(copy, dense, (size_t)bytes);
    free(e->value[r].data);
    e->value[r].data = copy;
}

void eval_keep(Eval *e, Ref r)
{
    check(r < e->n);
    e->flags[r] |= KEPT;
}

/* Marks what the wanted nodes need and counts the uses of each value; topological order makes it
 * one loop downwards. */
static void mark(Eval *e, const Ref *want, int n)
{
    for (Ref r = 0; r < e->n; r++) {
        e->flags[r] &= KEPT;
        e->uses[r] = 0;
    }
    for (int i = 0; i < n; i++) {
        check(want[i] < e->n);
        e->flags[want[i]] |= WANTED | NEEDED;
    }
    for (Ref r = e->n; r-- > 0;) {
        const Node *node = &e->g->node[r];
        if (!(e->flags[r] & NEEDED)) continue;
        for (int a = 0; a < node->nargs; a++) {
            e->flags[node->args[a]] |= NEEDED;
            e->uses[node->args[a]]++;
        }
    }
}

static void need_bindings(const Eval *e)
{
    for (Ref r = 0; r < e->n; r++) {
        const Node *node = &e->g->node[r];
        if (!(e->flags[r] & NEEDED) || !is_bindable(node) || e->value[r].data) continue;
        err(node_attr(node, "name")->s, "this %s has no value to evaluate with",
            op_info[node->op].name);
    }
}

static void release_args(Eval *e, const Node *node)
{
    for (int a = 0; a < node->nargs; a++) {
        Ref r = node->args[a];
        if (--e->uses[r] == 0 && !(e->flags[r] & (KEPT | WANTED))) drop(e, r);
    }
}

static void compute(Eval *e, Ref r)
{
    const Node *node = &e->g->node[r];
    Tensor args[MAX_ARGS], *out = &e->value[r];
    if (is_bindable(node)) return;
    if (is_borrowed(node)) {
        out->data = (void *)(uintptr_t)node->value->data;
        return;
    }
    for (int a = 0; a < node->nargs; a++) args[a] = e->value[node->args[a]];
    out->data = eval_alloc(type_bytes(out->type), 1);
    eval_node(node->op, node->attr, node->value, node->nargs, args, out);
    release_args(e, node);
}

void eval_run(Eval *e, const Ref *want, int n)
{
    check(e->g->n >= e->n);
    for (Ref r = 0; r < e->n; r++) drop(e, r);
    mark(e, want, n);
    need_bindings(e);
    for (Ref r = 0; r < e->n; r++) {
        if (e->flags[r] & NEEDED) compute(e, r);
    }
}

const Tensor *eval_get(const Eval *e, Ref r)
{
    check(r < e->n);
    if (!e->value[r].data) die("node %u has no value: neither wanted nor kept", r);
    return &e->value[r];
}

void eval_free(Eval *e)
{
    if (!e) return;
    for (Ref r = 0; r < e->n; r++) {
        drop(e, r);
        if (is_bindable(&e->g->node[r])) free(e->value[r].data);
    }
    free(e->value);
    free(e->flags);
    free(e->uses);
    free(e);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Literals. Shape arithmetic (Shape, Gather, Concat, Cast ...) must have become numbers by the time
 * a Reshape asks, so every node whose operands are constants is evaluated as soon as it is made.
 * Bounded: in what is read and written, and what would only grow (a bias broadcast to an image)
 * stays a node. The large folding, of convolutions and batch norms, is a pass. */
#include "onnx_model.h"
#include "onnx_node.h"

#include "ir/eval.h"

#include <string.h>

enum { MAX_READ = 1 << 22, MAX_WRITTEN = 1 << 20, MAX_LITERAL = 64 };

static bool evaluable(Op op)
{
    OpClass c = op_info[op].cls;
    return c != CL_SOURCE && c != CL_CONTRACT && op != OP_allreduce;
}

/* Elements of the operands, or -1 if one is no constant, a weight, or too large. */
static int64_t constant_operands(const Graph *g, int n, const Ref *args)
{
    int64_t total = 0;
    for (int i = 0; i < n; i++) {
        const Node *a = &g->node[args[i]];
        if (a->op != OP_const || a->value->id || type_count(a->type) > MAX_READ) return -1;
        total += type_count(a->type);
    }
    return total;
}

static bool foldable(OnnxFold *f, const Graph *g, const Node *n, const Ref *args)
{
    if (!evaluable(n->op)) return false;
    int64_t reads = constant_operands(g, n->nargs, args), writes = type_count(n->type);
    if (reads < 0 || writes > MAX_WRITTEN || (writes > reads && writes > MAX_LITERAL)) return false;
    int64_t cost = reads + writes > 2 * MAX_LITERAL ? reads + writes : 0;
    if (cost > f->left) return false;
    f->left -= cost;
    return true;
}

/* ---- evaluation ---- */

static Tensor dense(Arena *a, const Const *c)
{
    Tensor t = {c->type, (void *)(uintptr_t)c->data};
    size_t one = (size_t)dtype_bytes(c->type.dtype);
    int64_t count = type_count(c->type);
    if (!c->splat) return t;
    t.data = arena_alloc(a, one * (size_t)count);
    for (int64_t i = 0; i < count; i++) memcpy((char *)t.data + one * (size_t)i, c->data, one);
    return t;
}

static void free_arena(void *a)
{
    arena_free(a);
}

static Tensor widened(Arena *a, Tensor t)
{
    if (t.type.dtype != DT_F32) return t;
    Tensor w = {type_with(t.type, DT_F64), arena_alloc(a, 8 * (size_t)type_count(t.type))};
    for (int64_t i = 0; i < type_count(t.type); i++)
        ((double *)w.data)[i] = ((const float *)t.data)[i];
    return w;
}

/* Did rounding to f32 change nothing? What does not survive it (a batch norm's scale) is left to
 * the passes, which fold in f64: a model compiled in f64 must not inherit roundings of the
 * importer. */
static bool exact(Arena *a, const Node *n, const Tensor *in, const Tensor *out)
{
    Tensor wide[MAX_ARGS], full = {type_with(n->type, DT_F64), NULL};
    if (n->type.dtype != DT_F32 || n->op == OP_cast) return true;
    if (op_info[n->op].cls != CL_ELEMENTWISE && op_info[n->op].cls != CL_REDUCE) return true;
    for (int i = 0; i < n->nargs; i++) wide[i] = widened(a, in[i]);
    full.data = arena_alloc(a, 8 * (size_t)type_count(n->type));
    eval_node(n->op, n->attr, NULL, n->nargs, wide, &full);
    for (int64_t i = 0; i < type_count(n->type); i++) {
        double w = ((double *)full.data)[i], f = ((float *)out->data)[i];
        if (w != f && !(w != w && f != f)) return false;
    }
    return true;
}

/* NOREF: not exact, stays a node. */
static Ref evaluate(Graph *g, const Node *n, const Ref *args)
{
    Tensor in[MAX_ARGS], out = {n->type, NULL};
    Arena *scratch = arena_new();
    err_defer(free_arena, scratch);
    for (int i = 0; i < n->nargs; i++) in[i] = dense(scratch, g->node[args[i]].value);
    out.data = arena_alloc(scratch, (size_t)type_bytes(n->type));
    eval_node(n->op, n->attr, NULL, n->nargs, in, &out);
    Ref r = exact(scratch, n, in, &out) ? graph_const(g, out.type, out.data) : NOREF;
    err_keep(scratch);
    arena_free(scratch);
    return r;
}

/* ---- the nodes made since the last call ---- */

static Ref fold_node(OnnxFold *f, Graph *g, Ref r)
{
    Node n = g->node[r]; /* a copy: the array may move */
    Ref args[MAX_ARGS];
    bool same = true;
    for (int i = 0; i < n.nargs; i++) {
        args[i] = f->map[n.args[i]];
        same = same && args[i] == n.args[i];
    }
    Ref folded = foldable(f, g, &n, args) ? evaluate(g, &n, args) : NOREF;
    if (folded != NOREF) return folded;
    return same ? r : graph_node(g, n.op, n.nargs, args, n.attr);
}

/* Nodes that folding makes are at the end, so the loop comes to them as well; they stay as they
 * are. */
void onnx_fold_new_nodes(OnnxFold *f, Graph *g)
{
    for (; f->n < g->n; f->n++) {
        GROW(g->arena, f->map, f->n, f->cap);
        f->map[f->n] = fold_node(f, g, f->n);
    }
}

Ref onnx_folded(const OnnxFold *f, Ref r)
{
    while (r < f->n && f->map[r] != r) r = f->map[r];
    return r;
}

/* ---- reading literals ---- */

const Const *onnx_constant(const OnnxNode *n, Ref r)
{
    const Node *node = r < n->g->n ? &n->g->node[r] : NULL;
    return node && node->op == OP_const ? node->value : NULL;
}

bool onnx_const_ints(const OnnxNode *n, Ref r, int64_t *out, int *count)
{
    const Const *c = onnx_constant(n, r);
    int room = *count;
    *count = 0;
    if (r == ONNX_EMPTY) return true;
    if (!c || c->type.rank > 1 || dtype_is_float(c->type.dtype) || type_count(c->type) > room)
        return false;
    *count = (int)type_count(c->type);
    for (int i = 0; i < *count; i++)
        out[i] = elem_get_int(c->type.dtype, c->data, c->splat ? 0 : i);
    return true;
}

static bool is_absent(const OnnxNode *n, int i)
{
    return i >= n->nin || n->in[i] == NOREF;
}

int onnx_ints_in(const OnnxNode *n, int i, int64_t *out, int max)
{
    int count = max;
    if (is_absent(n, i)) return -1;
    if (!onnx_const_ints(n, n->in[i], out, &count))
        onnx_fail(n,
                  "input %d must be constant: at most %d integers that do not depend on the data; "
                  "an input "
                  "of the model becomes constant by --const",
                  i, max);
    return count;
}

int onnx_numbers_in(const OnnxNode *n, int i, double *out, int max)
{
    if (is_absent(n, i)) return -1;
    if (n->in[i] == ONNX_EMPTY) return 0;
    const Const *c = onnx_constant(n, n->in[i]);
    int64_t count = c ? type_count(c->type) : 0;
    if (!c || count > max)
        onnx_fail(n,
                  "input %d must be constant: at most %d numbers that do not depend on the data; "
                  "an input "
                  "of the model becomes constant by --const",
                  i, max);
    for (int64_t k = 0; k < count; k++) out[k] = elem_get(c->type.dtype, c->data, c->splat ? 0 : k);
    return (int)count;
}

int onnx_ints_at(const OnnxNode *n, const char *name, int i, int64_t *out, int max)
{
    int count = onnx_ints(n, name, out, max);
    return count < 0 ? onnx_ints_in(n, i, out, max) : count;
}

double onnx_number_in(const OnnxNode *n, int i, double absent)
{
    if (is_absent(n, i)) return absent;
    const Const *c = onnx_constant(n, n->in[i]);
    if (!c || type_count(c->type) != 1) onnx_fail(n, "input %d must be one constant number", i);
    return elem_get(c->type.dtype, c->data, 0);
}

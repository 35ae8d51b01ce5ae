/* SPDX-License-Identifier: Apache-2.0 */
/* Where a training went wrong: a batch's cross-entropy and its gradient by the evaluator, node by
 * node, until a value is not finite. Values are freed after their last use. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compiled.h"
#include "compiler/trainable.h"
#include "ir/eval.h"
#include "passes/passes.h"

typedef struct Blame {
    AdjCompiled *c;
    const AdjTrainPoint *at;
    char *name;
    size_t size;
} Blame;

/* ---- the graph ---- */

static Ref vector(Graph *g, const Trainable *t, const char *name, int64_t n)
{
    return b_input(g, name, type_of(t->dtype, 1, &n));
}

static const Graph *graph_of(const Trainable *t)
{
    Graph *g = graph_new(t->arena, "blame");
    Ref x = b_input(g, "x", t->g->node[t->x].type), loss;
    Ref y = b_input(g, "y", type_of(DT_I64, 1, &t->b));
    TrainNet net = {.g = g,
                    .x = x,
                    .params = vector(g, t, "params", t->params),
                    .stats = NOREF,
                    .ranks = NOREF};
    Ref *grad = NEW_N(t->arena, Ref, t->nparam);
    train_apply(t, &net, true);
    loss = loss_cross_entropy(g, net.logits, y);
    graph_output(g, "loss", loss);
    grad_append(g, 1, &loss, NULL, t->nparam, net.weight, grad);
    for (int i = 0; i < t->nparam; i++) graph_output(g, t->param[i].name, grad[i]);
    return pass_dce(t->arena, g);
}

/* ---- the walk ---- */

typedef struct Walk {
    const Graph *g;
    Tensor *value;
    Ref *last; /* who reads it last */
    const AdjTrainPoint *at;
} Walk;

static void free_values(void *arg)
{
    Walk *w = arg;
    for (Ref r = 0; r < w->g->n; r++) free(w->value[r].data);
}

static const void *given(const Walk *w, const char *name)
{
    const struct {
        const char *name;
        const void *data;
    } all[] = {{"x", w->at->x}, {"y", w->at->y}, {"params", w->at->params}};
    for (int i = 0; i < COUNT(all); i++)
        if (!strcmp(all[i].name, name)) return all[i].data;
    die("blame: nothing is named %s", name);
}

static void compute(Walk *w, Ref r)
{
    const Node *n = &w->g->node[r];
    size_t bytes = (size_t)(type_count(n->type) * dtype_bytes(n->type.dtype));
    Tensor arg[MAX_ARGS], *out = &w->value[r];
    if (n->nargs > MAX_ARGS) die("blame: %d operands", n->nargs);
    *out = (Tensor){n->type, malloc(bytes ? bytes : 1)};
    if (!out->data) err(NULL, "out of memory");
    if (n->op == OP_input) {
        memcpy(out->data, given(w, node_attr(n, "name")->s), bytes);
        return;
    }
    for (int a = 0; a < n->nargs; a++) arg[a] = w->value[n->args[a]];
    eval_node(n->op, n->attr, n->value, n->nargs, arg, out);
}

static void release(Walk *w, Ref r)
{
    const Node *n = &w->g->node[r];
    for (int a = 0; a < n->nargs; a++) {
        Tensor *t = &w->value[n->args[a]];
        if (w->last[n->args[a]] != r) continue;
        free(t->data);
        t->data = NULL;
    }
}

/* Views bring infinities of their own: the border of a maximum, say. */
static bool suspect(const Walk *w, Ref r)
{
    OpClass class = op_info[w->g->node[r].op].cls;
    if (class == CL_SOURCE || class == CL_VIEW || class == CL_JOIN || !w->g->origin[r].n)
        return false;
    const Tensor *t = &w->value[r];
    if (!dtype_is_float(t->type.dtype)) return false;
    for (int64_t i = 0; i < type_count(t->type); i++)
        if (!isfinite(elem_get(t->type.dtype, t->data, i))) return true;
    return false;
}

static Ref first_suspect(Walk *w)
{
    for (Ref r = 0; r < w->g->n; r++)
        for (int a = 0; a < w->g->node[r].nargs; a++) w->last[w->g->node[r].args[a]] = r;
    for (Ref r = 0; r < w->g->n; r++) {
        compute(w, r);
        if (suspect(w, r)) return r;
        release(w, r);
    }
    return NOREF;
}

static void blame(void *arg)
{
    Blame *b = arg;
    const Trainable *t = model_trainable(&b->c->model);
    Walk w = {.g = graph_of(t), .at = b->at};
    w.value = NEW_N(t->arena, Tensor, w.g->n + 1);
    w.last = NEW_N(t->arena, Ref, w.g->n + 1);
    err_defer(free_values, &w);
    Ref r = first_suspect(&w);
    Str s = {0};
    if (r != NOREF) graph_origin_text(w.g, r, &s);
    snprintf(b->name, b->size, "%s", s.s ? s.s : "");
    str_free(&s);
    err_keep(&w);
    free_values(&w);
}

bool adj_train_blame(AdjCompiled *c, const AdjTrainPoint *at, char *name, size_t size, AdjError *e)
{
    Blame b = {c, at, name, size};
    return guarded_call(blame, &b, e);
}

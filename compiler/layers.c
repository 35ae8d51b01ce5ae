/* SPDX-License-Identifier: Apache-2.0 */
/* Groups a graph's nodes by the ONNX node they came from, the first one where several made the same
 * value. The same groups as a Graphviz graph. */
#include "compiler/layers.h"

#include <string.h>

#include "compiler/compiled.h"
#include "compiler/random.h"

enum { NONE = -1 };

typedef struct Grouping {
    Arena *a;
    const Graph *g;
    Layers *l;
    int *of_node;   /* layer of a graph node; NONE: it depends on no input */
    int *of_origin; /* layer of an origin */
    int *taker;     /* of a graph node: the last layer that an edge was drawn to */
} Grouping;

static int add_layer(Grouping *q, LayerKind kind, const char *name)
{
    Layers *l = q->l;
    GROW(q->a, l->layer, l->n, l->cap);
    l->layer[l->n] = (Layer){.kind = kind, .name = name};
    return (int)l->n++;
}

/* A node without an origin belongs to what it reads. */
static int layer_of(Grouping *q, Ref r)
{
    const Node *n = &q->g->node[r];
    Origin o = q->g->origin[r];
    int from = NONE;
    if (rng_input(n)) return NONE;
    if (n->op == OP_input) return add_layer(q, LAYER_INPUT, node_attr(n, "name")->s);
    for (int i = 0; i < n->nargs && from == NONE; i++) from = q->of_node[n->args[i]];
    if (from == NONE || !o.n) return from;
    uint32_t id = o.id[0] & ~ORIGIN_GRAD;
    if (q->of_origin[id] == NONE) q->of_origin[id] = add_layer(q, LAYER_NODE, q->g->names[id]);
    return q->of_origin[id];
}

/* A value that one layer reads twice is drawn once. */
static void add_edge(Grouping *q, Ref value, int to)
{
    Layers *l = q->l;
    int from = q->of_node[value];
    if (from == NONE || from == to || q->taker[value] == to) return;
    q->taker[value] = to;
    GROW(q->a, l->edge, l->nedge, l->edge_cap);
    l->edge[l->nedge++] = (LayerEdge){from, to, q->g->node[value].type};
}

static int *nothings(Arena *a, uint32_t n)
{
    int *v = NEW_N(a, int, n + 1);
    for (uint32_t i = 0; i < n; i++) v[i] = NONE;
    return v;
}

Layers *layers_of(Arena *a, const Graph *g)
{
    Grouping q = {.a = a, .g = g, .l = NEW(a, Layers)};
    q.of_node = nothings(a, g->n);
    q.of_origin = nothings(a, g->nnames);
    q.taker = nothings(a, g->n);
    for (Ref r = 0; r < g->n; r++) {
        int at = q.of_node[r] = layer_of(&q, r);
        if (at == NONE) continue;
        q.l->layer[at].type = g->node[r].type;
        q.l->layer[at].macs += node_macs(g, r);
        q.l->macs += node_macs(g, r);
        for (int i = 0; i < g->node[r].nargs; i++) add_edge(&q, g->node[r].args[i], at);
    }
    for (uint32_t i = 0; i < g->nout; i++)
        add_edge(&q, g->out[i].ref, add_layer(&q, LAYER_OUTPUT, g->out[i].name));
    return q.l;
}

/* ---- Graphviz ---- */

/* In quotes; a name may hold any character. */
static void put_quoted(Str *s, const char *text)
{
    for (; *text; text++) str_fmt(s, "%s%c", strchr("\"\\", *text) ? "\\" : "", *text);
}

static void put_layer(Str *s, uint32_t i, const Layer *l)
{
    str_fmt(s, "  n%u [label=\"", i);
    put_quoted(s, l->name);
    if (l->macs > 0) str_fmt(s, "\\n%.0f MACs", l->macs);
    str_put(s, l->kind == LAYER_NODE ? "\"];\n" : "\", shape=ellipse];\n");
}

static void put_edge(Str *s, const LayerEdge *e)
{
    str_fmt(s, "  n%d -> n%d [label=\"", e->from, e->to);
    type_text(s, e->type);
    str_put(s, "\"];\n");
}

typedef struct Dot {
    AdjCompiled *c;
    Str s;
} Dot;

static void draw(void *arg)
{
    Dot *d = arg;
    const Layers *l = layers_of(d->c->arena, d->c->imported);
    const char *slash = strrchr(d->c->opt.model, '/');
    str_put(&d->s, "digraph \"");
    put_quoted(&d->s, slash ? slash + 1 : d->c->opt.model);
    str_put(&d->s, "\" {\n  node [shape=box];\n");
    for (uint32_t i = 0; i < l->n; i++) put_layer(&d->s, i, &l->layer[i]);
    for (uint32_t i = 0; i < l->nedge; i++) put_edge(&d->s, &l->edge[i]);
    str_put(&d->s, "}\n");
}

char *adj_inspect_dot(AdjCompiled *c, AdjError *e)
{
    Dot d = {.c = c};
    if (guarded_call(draw, &d, e)) return d.s.s;
    str_free(&d.s);
    return NULL;
}

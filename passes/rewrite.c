/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the passes: liveness, the start and end of a rebuild, origins, constants. */
#include "passes/rewrite.h"

#include <math.h>
#include <string.h>

static bool is_interface(const Node *n)
{
    return n->op == OP_input || n->op == OP_param;
}

bool *live_nodes(Arena *a, const Graph *g)
{
    bool *live = NEW_N(a, bool, g->n + 1);
    for (uint32_t i = 0; i < g->nout; i++) live[g->out[i].ref] = true;
    for (uint32_t r = g->n; r-- > 0;) {
        const Node *n = &g->node[r];
        live[r] = live[r] || is_interface(n);
        for (int i = 0; live[r] && i < n->nargs; i++) live[n->args[i]] = true;
    }
    return live;
}

Graph *rebuild_start(Arena *a, const Graph *src, Ref **map)
{
    *map = NEW_N(a, Ref, src->n + 1);
    memset(*map, 0xff, sizeof(Ref) * (src->n + 1));
    return graph_new(a, src->name);
}

void rebuild_outputs(Graph *dst, const Graph *src, const Ref *map)
{
    for (uint32_t i = 0; i < src->nout; i++)
        graph_output(dst, src->out[i].name, map[src->out[i].ref]);
}

enum { MAX_ORIGINS = 32 }; /* as in ir/origin.c: a set stops growing there */

void origin_include(Graph *g, Ref r)
{
    Origin x = g->current, y = g->origin[r];
    uint32_t *id = NEW_N(g->arena, uint32_t, MAX_ORIGINS), n = 0, i = 0, j = 0;
    while (n < MAX_ORIGINS && (i < x.n || j < y.n)) {
        bool from_x = j == y.n || (i < x.n && x.id[i] <= y.id[j]);
        uint32_t next = from_x ? x.id[i++] : y.id[j++];
        if (n == 0 || id[n - 1] != next) id[n++] = next;
    }
    g->current = (Origin){n, id};
}

const char *origin_name(const Graph *g, Ref r)
{
    Str s = {0};
    graph_origin_text(g, r, &s);
    const char *name = s.n ? arena_strdup(g->arena, s.s) : op_info[g->node[r].op].name;
    str_free(&s);
    return name;
}

bool splat_value(const Graph *g, Ref r, double *value)
{
    const Node *n = &g->node[r];
    if (n->op != OP_const || !n->value->splat) return false;
    if (value) *value = elem_get(n->type.dtype, n->value->data, 0);
    return true;
}

bool is_splat_of(const Graph *g, Ref r, double value)
{
    double v;
    return splat_value(g, r, &v) && v == value;
}

Ref splat_resize(Graph *g, Ref r, Type like)
{
    const Node *n = &g->node[r];
    DType t = n->type.dtype;
    double v = elem_get(t, n->value->data, 0);
    if (!dtype_is_float(t) && fabs(v) > 0x1p53) return NOREF;
    return graph_splat(g, type_with(like, t), v);
}

Ref const_made_of(Graph *g, const Const *c, Type t, const void *dense)
{
    if (!c->id) return graph_const_at(g, t, dense);
    return graph_weight_at(g, t, dense, hash_bytes(t.dim, sizeof t.dim, c->id) | 1);
}

static bool constant_within(const Graph *g, Ref r, int depth)
{
    const Node *n = &g->node[r];
    if (n->op == OP_const) return true;
    OpClass cls = op_info[n->op].cls;
    if (depth == 0 || (cls != CL_ELEMENTWISE && cls != CL_VIEW)) return false;
    for (int i = 0; i < n->nargs; i++)
        if (!constant_within(g, n->args[i], depth - 1)) return false;
    return true;
}

bool is_constant(const Graph *g, Ref r)
{
    return constant_within(g, r, 4);
}

bool has_axis(const Attr *axes, int axis)
{
    for (int i = 0; i < axes->n; i++)
        if (axes->i[i] == axis) return true;
    return false;
}

bool all_equal(const int64_t *x, int n, int64_t value)
{
    for (int i = 0; i < n; i++)
        if (x[i] != value) return false;
    return true;
}

int *node_uses(Arena *a, const Graph *g, const bool *live)
{
    int *uses = NEW_N(a, int, g->n + 1);
    for (uint32_t i = 0; i < g->nout; i++) uses[g->out[i].ref]++;
    for (Ref r = 0; r < g->n; r++)
        for (int i = 0; live[r] && i < g->node[r].nargs; i++) uses[g->node[r].args[i]]++;
    return uses;
}

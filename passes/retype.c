/* SPDX-License-Identifier: Apache-2.0 */
/* One dtype for another everywhere: attributes that name a dtype (inputs, params, casts,
 * generators) and constants. The types of all other nodes follow from their operands. */
#include "passes/passes.h"
#include "passes/rewrite.h"

#include <string.h>

static Ref retype_const(Graph *g, const Const *c, DType to)
{
    DType from = c->type.dtype;
    if (c->splat) return graph_splat(g, type_with(c->type, to), elem_get(from, c->data, 0));
    int64_t n = type_count(c->type);
    char *data = NEW_N(g->arena, char, n *dtype_bytes(to));
    for (int64_t i = 0; i < n; i++) elem_set(to, data, i, elem_get(from, c->data, i));
    if (c->id) return graph_weight(g, type_with(c->type, to), data, c->id);
    return graph_const(g, type_with(c->type, to), data);
}

static Ref retype_node(Graph *g, const Node *n, const Ref *map, DType from, DType to)
{
    const OpInfo *info = &op_info[n->op];
    Attr attr[MAX_ATTRS];
    Ref args[MAX_ARGS];
    for (int i = 0; i < n->nargs; i++) args[i] = map[n->args[i]];
    for (int i = 0; i < info->nattr; i++) {
        attr[i] = n->attr[i];
        if (info->attr[i].kind == ATTR_DTYPE && attr[i].i[0] == (int64_t)from) attr[i].i[0] = to;
    }
    if (n->op == OP_cast && g->node[args[0]].type.dtype == (DType)attr[0].i[0]) return args[0];
    return graph_node(g, n->op, n->nargs, args, attr);
}

Graph *pass_retype(Arena *a, const Graph *src, DType from, DType to)
{
    Ref *map;
    Graph *g = rebuild_start(a, src, &map);
    const bool *live = live_nodes(a, src);
    for (Ref r = 0; r < src->n; r++) {
        const Node *n = &src->node[r];
        if (!live[r]) continue;
        graph_take_origin(g, src, r);
        bool converts = n->op == OP_const && n->type.dtype == from;
        if (converts)
            map[r] = retype_const(g, n->value, to);
        else
            map[r] =
                n->op == OP_const ? graph_copy(g, src, r, map) : retype_node(g, n, map, from, to);
    }
    rebuild_outputs(g, src, map);
    return g;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions of one tap with strides s: of their data they read one in s*s, and what lies between
 * comes through the caches with it, for each group of results anew. Taken out once they have no
 * stride.
 *
 *   conv(x, w)      =  conv'(slice(x), w)
 *   conv_dx(dy, w)  =  pad(conv_dx'(dy, w)), which whoever reads it reads through
 *
 * Not in bf16: matrix tiles gather their data anyway. */
#include "ir/build.h"
#include "lowering.h"
#include "rewrite.h"

bool has_one_tap(const Graph *g, const Node *n)
{
    const Type *w = &g->node[n->args[1]].type;
    return w->rank == 4 && w->dim[2] == 1 && w->dim[3] == 1 &&
           all_equal(node_attr(n, "pads")->i, 4, 0);
}

Ref points_read(Graph *g, const Node *conv, Ref x)
{
    const int64_t *step = node_attr(conv, "strides")->i;
    Type t = g->node[x].type;
    if (all_equal(step, 2, 1)) return x;
    return b_slice(g, x, (int64_t[4]){0},
                   (int64_t[]){t.dim[0], t.dim[1], conv->type.dim[2], conv->type.dim[3]},
                   (int64_t[]){1, 1, step[0], step[1]});
}

static bool is_strided(const Graph *g, const Node *n)
{
    if (n->op != OP_conv && n->op != OP_conv_dx) return false;
    return n->type.dtype == DT_F32 && has_one_tap(g, n) &&
           !all_equal(node_attr(n, "strides")->i, 2, 1) && !widens_bf16(g, &g->node[n->args[0]]);
}

static Ref conv(Graph *g, ConvAttrs at, const Node *n, Ref x, Ref w)
{
    at.strides[0] = at.strides[1] = 1;
    return b_conv(g, points_read(g, n, x), w, &at);
}

static Ref conv_dx(Graph *g, ConvAttrs at, const Node *n, Ref dy, Ref w)
{
    Type t = g->node[dy].type;
    int64_t low[4] = {0}, high[4] = {0}, inner[4] = {0};
    for (int i = 0; i < 2; i++) {
        inner[2 + i] = at.strides[i] - 1;
        high[2 + i] = n->type.dim[2 + i] - (t.dim[2 + i] - 1) * at.strides[i] - 1;
        at.strides[i] = 1;
    }
    return b_pad(g, b_conv_dx(g, dy, w, &at, &t.dim[2]), low, high, inner, 0);
}

Graph *pass_strides(Arena *a, const Target *t, const Graph *src)
{
    Ref *map;
    if (!t->offer || t->gpu) return (Graph *)src;
    Graph *g = rebuild_start(a, src, &map);
    for (Ref r = 0; r < src->n; r++) {
        const Node *n = &src->node[r];
        graph_take_origin(g, src, r);
        if (is_strided(src, n))
            map[r] = (n->op == OP_conv ? conv : conv_dx)(g, conv_attrs(n), n, map[n->args[0]],
                                                         map[n->args[1]]);
        else
            map[r] = graph_copy(g, src, r, map);
    }
    rebuild_outputs(g, src, map);
    return g;
}

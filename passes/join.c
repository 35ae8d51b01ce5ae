/* SPDX-License-Identifier: Apache-2.0 */
/* Where matrix tiles multiply: two convolutions of one tap that are added become one, over the
 * channels of both.
 *
 *   conv(x, v) + conv(y, w)  =  conv(concat(x, y), concat(v, w))
 *
 * The last layer of a residual block and its shortcut: the sum of one would be stored in f32, the
 * largest map of all, for the other to add. The copy that brings their data together has fewer
 * channels, and takes along what strides leave out. */
#include <string.h>

#include "ir/build.h"
#include "lowering.h"
#include "rewrite.h"

typedef struct Join {
    Graph *g;
    const Graph *src;
    const Target *target;
    const int *uses;
    const Ref *map;
} Join;

static const Node *node_at(const Join *j, Ref r)
{
    return &j->src->node[r];
}

static bool is_weight(const Join *j, Ref r)
{
    const Node *n = node_at(j, r);
    if (!widens_bf16(j->src, n)) return false;
    const Node *c = node_at(j, n->args[0]);
    return c->op == OP_const && !c->value->splat;
}

/* Of one tap, in bf16, of whole blocks of channels, and for nobody else. */
static bool joins(const Join *j, Ref r)
{
    const Node *n = node_at(j, r);
    if (n->op != OP_conv || !has_one_tap(j->src, n) || j->uses[r] != 1) return false;
    int64_t channels = node_at(j, n->args[1])->type.dim[1];
    int lanes = target_lanes(j->target, DT_F32);
    return node_int(n, "groups") == 1 && channels % (2 * lanes) == 0 &&
           widens_bf16(j->src, node_at(j, n->args[0])) && is_weight(j, n->args[1]);
}

/* r as a convolution, or as one and its bias; false: neither. */
static bool is_sum(const Join *j, Ref r, Ref *conv, Ref *bias)
{
    const Node *n = node_at(j, r);
    *conv = r;
    *bias = NOREF;
    if (n->op == OP_add && j->uses[r] == 1 && node_at(j, n->args[1])->op == OP_broadcast) {
        *conv = n->args[0];
        *bias = n->args[1];
    }
    return joins(j, *conv);
}

static Ref data_of(const Join *j, Ref conv)
{
    const Node *n = node_at(j, conv);
    return points_read(j->g, n, j->map[node_at(j, n->args[0])->args[0]]);
}

static const Const *weight_of(const Join *j, Ref conv)
{
    Ref wide = node_at(j, conv)->args[1];
    return node_at(j, node_at(j, wide)->args[0])->value;
}

/* Weights that may be exchanged stay such: known by what they are made of. */
static Ref join_weights(const Join *j, const Const *a, const Const *b)
{
    Type t = a->type;
    t.dim[1] += b->type.dim[1];
    size_t na = (size_t)(a->type.dim[1] * dtype_bytes(t.dtype));
    size_t nb = (size_t)(b->type.dim[1] * dtype_bytes(t.dtype));
    char *data = NEW_N(j->g->arena, char, type_bytes(t));
    for (size_t o = 0; o < (size_t)t.dim[0]; o++) {
        memcpy(data + o * (na + nb), (const char *)a->data + o * na, na);
        memcpy(data + o * (na + nb) + na, (const char *)b->data + o * nb, nb);
    }
    if (!a->id && !b->id) return graph_const_at(j->g, t, data);
    return graph_weight_at(j->g, t, data, hash_bytes(&b->id, sizeof b->id, a->id) | 1);
}

static Ref joined(const Join *j, Ref a, Ref b)
{
    Ref data[] = {data_of(j, a), data_of(j, b)};
    Ref w = join_weights(j, weight_of(j, a), weight_of(j, b));
    ConvAttrs at = {.k = 2, .strides = {1, 1}, .dilations = {1, 1}, .groups = 1};
    Ref x = b_cast(j->g, b_concat(j->g, 2, data, 1), DT_F32);
    return b_conv(j->g, x, b_cast(j->g, w, DT_F32), &at);
}

static Ref remake(const Join *j, Ref r)
{
    const Node *n = node_at(j, r);
    Ref conv[2], bias[2];
    bool both = n->op == OP_add && n->type.dtype == DT_F32;
    for (int i = 0; i < 2 && both; i++) both = is_sum(j, n->args[i], &conv[i], &bias[i]);
    if (!both || conv[0] == conv[1]) return graph_copy(j->g, j->src, r, j->map);
    Ref sum = joined(j, conv[0], conv[1]);
    for (int i = 0; i < 2; i++)
        if (bias[i] != NOREF) sum = b_binary(j->g, OP_add, sum, j->map[bias[i]]);
    return sum;
}

Graph *pass_join(Arena *a, const Target *t, const Graph *src)
{
    Ref *map;
    if (t->tiles <= 0) return (Graph *)src;
    Join j = {.src = src, .target = t, .uses = node_uses(a, src, live_nodes(a, src))};
    j.g = rebuild_start(a, src, &map);
    j.map = map;
    for (Ref r = 0; r < src->n; r++) {
        graph_take_origin(j.g, src, r);
        map[r] = remake(&j, r);
    }
    rebuild_outputs(j.g, src, map);
    return j.g;
}

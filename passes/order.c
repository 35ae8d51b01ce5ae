/* SPDX-License-Identifier: Apache-2.0 */
/* The order of kernels is that of the graph, and a file has a residual block's shortcut behind the
 * block, so that its data, twice as large as what comes of them where maps are halved, are kept all
 * along and read from afar. Here convolutions of the same data follow the first of them, where
 * nobody else reads those and they are at least as large as the result that waits instead. */
#include "lowering.h"
#include "rewrite.h"

typedef struct Order {
    Graph *g;
    const Graph *src;
    Ref *map;
    const bool *live;
    const int *uses;
    Ref *first, *next; /* value -> the first convolution of it; convolution -> the next one */
    int *readers;      /* value -> how many there are */
} Order;

/* What a convolution reads; NOREF: it is none. */
static Ref data_of(const Order *o, Ref r)
{
    const Node *n = &o->src->node[r];
    return n->op == OP_conv && o->live[r] ? n->args[0] : NOREF;
}

static void find_readers(Order *o)
{
    for (uint32_t r = o->src->n; r-- > 0;) {
        Ref data = data_of(o, r);
        if (data == NOREF) continue;
        o->next[r] = o->first[data];
        o->first[data] = r;
        o->readers[data]++;
    }
}

static bool may_follow(const Order *o, Ref r, Ref data)
{
    const Node *n = &o->src->node[r];
    return o->map[r] == NOREF && is_constant(o->src, n->args[1]) &&
           type_bytes(n->type) <= type_bytes(o->src->node[data].type);
}

static void place(Order *o, Ref r)
{
    const Node *n = &o->src->node[r];
    if (o->map[r] != NOREF) return;
    for (int i = 0; i < n->nargs; i++) place(o, n->args[i]);
    o->map[r] = graph_copy(o->g, o->src, r, o->map);
    Ref data = data_of(o, r);
    if (data == NOREF || o->uses[data] != o->readers[data]) return;
    Ref c = o->first[data];
    o->first[data] = NOREF; /* once for all of them */
    for (; c != NOREF; c = o->next[c])
        if (may_follow(o, c, data)) place(o, c);
}

Graph *pass_order(Arena *a, const Graph *src)
{
    Order o = {.src = src, .live = live_nodes(a, src)};
    o.g = rebuild_start(a, src, &o.map);
    o.uses = node_uses(a, src, o.live);
    o.first = NEW_N(a, Ref, src->n + 1);
    o.next = NEW_N(a, Ref, src->n + 1);
    o.readers = NEW_N(a, int, src->n + 1);
    for (Ref r = 0; r < src->n; r++) o.first[r] = o.next[r] = NOREF;
    find_readers(&o);
    for (Ref r = 0; r < src->n; r++) place(&o, r);
    rebuild_outputs(o.g, src, o.map);
    return o.g;
}

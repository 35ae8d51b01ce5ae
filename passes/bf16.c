/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds what contractions read to bf16. A value that one reads is rounded where it is made, and
 * everything that reads it reads it rounded, so that it can be stored as bf16; weights are
 * constants of bf16. The graph says so with casts, x -> bf16 -> f32, and stays one of f32: sums,
 * results, losses and states are not rounded.
 *
 * Three things keep f32. Convolutions and products that no other comes before, since their data are
 * the image: bf16 tells 1/2 from 1/2 + 1/512 no more, and attacks take smaller steps. The gradients
 * through the weights of those. And gradients in weights, which are sums over a batch. */
#include <math.h>

#include "ir/build.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

typedef struct Bf16 {
    Graph *g;
    const Graph *src;
    bool *varies; /* depends on an input */
    bool *deep;   /* depends on the result of a contraction */
    bool *first;  /* weights of contractions that keep f32 */
    bool *rounds; /* is rounded where it is made */
    Ref *map;     /* as made */
    Ref *read;    /* as everything else reads it */
} Bf16;

/* The value that r shows another way, element by element. */
static Ref through_views(const Graph *g, Ref r)
{
    while (g->node[r].op == OP_reshape || g->node[r].op == OP_transpose ||
           g->node[r].op == OP_reverse || g->node[r].op == OP_broadcast ||
           g->node[r].op == OP_slice)
        r = g->node[r].args[0];
    return r;
}

static bool sums_products(const Node *n)
{
    bool forward = n->op == OP_conv || n->op == OP_conv_dx || n->op == OP_matmul;
    return forward && n->type.dtype == DT_F32;
}

static void find_depth(Bf16 *p)
{
    for (Ref r = 0; r < p->src->n; r++) {
        const Node *n = &p->src->node[r];
        p->varies[r] = n->op == OP_input || n->op == OP_param || n->op == OP_rng;
        for (int a = 0; a < n->nargs; a++) {
            p->varies[r] |= p->varies[n->args[a]];
            p->deep[r] |= p->deep[n->args[a]];
        }
        p->deep[r] |= p->varies[r] && op_info[n->op].cls == CL_CONTRACT;
    }
}

static bool is_first(const Bf16 *p, const Node *n)
{
    return n->op != OP_conv_dx && !p->deep[n->args[0]] && !p->deep[n->args[1]];
}

static void find_first(Bf16 *p, const bool *live)
{
    for (Ref r = 0; r < p->src->n; r++) {
        const Node *n = &p->src->node[r];
        if (!live[r] || !sums_products(n) || !is_first(p, n)) continue;
        for (int a = 0; a < 2; a++)
            if (!p->varies[n->args[a]]) p->first[through_views(p->src, n->args[a])] = true;
    }
}

static bool is_rounded(const Bf16 *p, const Node *n)
{
    if (!sums_products(n) || is_first(p, n)) return false;
    for (int a = 0; a < 2; a++)
        if (p->first[through_views(p->src, n->args[a])]) return false;
    return true;
}

static void find_rounds(Bf16 *p, const bool *live)
{
    for (Ref r = 0; r < p->src->n; r++) {
        const Node *n = &p->src->node[r];
        if (!live[r] || !is_rounded(p, n)) continue;
        for (int a = 0; a < 2; a++) {
            Ref from = through_views(p->src, n->args[a]);
            Op op = p->src->node[from].op;
            p->rounds[from] = op != OP_const && op != OP_input && op != OP_param;
        }
    }
}

/* ---- maxima ---- */

static bool shows_others(const Node *n)
{
    bool pads = n->op == OP_pad && isinf(node_attr(n, "value")->f);
    return pads || n->op == OP_window || n->op == OP_reshape;
}

/* The largest of rounded numbers is the largest, rounded. So what a rounded maximum alone reads
 * (max pooling: the value before it) is rounded already there, and takes half the memory. */
static void find_maxima(Bf16 *p, const bool *live)
{
    const int *uses = node_uses(p->g->arena, p->src, live);
    for (Ref r = p->src->n; r-- > 0;) {
        const Node *n = &p->src->node[r];
        if (!live[r] || !p->rounds[r] || n->op != OP_max) continue;
        Ref from = n->args[0];
        while (uses[from] == 1 && shows_others(&p->src->node[from]))
            from = p->src->node[from].args[0];
        OpClass c = op_info[p->src->node[from].op].cls;
        if (uses[from] == 1 && (c == CL_ELEMENTWISE || c == CL_REDUCE || c == CL_CONTRACT))
            p->rounds[from] = true;
    }
}

/* ---- the new graph ---- */

static Ref rounded(Graph *g, Ref r)
{
    return b_cast(g, b_cast(g, r, DT_BF16), DT_F32);
}

static Ref rounded_const(Graph *g, const Const *c)
{
    Type t = type_with(c->type, DT_BF16);
    if (c->splat) return b_cast(g, graph_splat(g, t, elem_get(DT_F32, c->data, 0)), DT_F32);
    int64_t n = type_count(t);
    uint16_t *data = NEW_N(g->arena, uint16_t, n);
    for (int64_t i = 0; i < n; i++) elem_set(DT_BF16, data, i, elem_get(DT_F32, c->data, i));
    Ref r = c->id ? graph_weight_at(g, t, data, c->id) : graph_const_at(g, t, data);
    return b_cast(g, r, DT_F32);
}

/* An operand as a rounded contraction reads it, before it is widened: what cannot be rounded where
 * it is made is rounded here. Views stand between the two casts, so that what is read is bf16. */
static Ref narrow(Bf16 *p, Ref r)
{
    const Node *n = &p->src->node[r];
    if (r != through_views(p->src, r)) {
        Ref base = narrow(p, n->args[0]);
        return graph_node(p->g, n->op, 1, &base, n->attr);
    }
    Ref wide = p->rounds[r]        ? p->read[r]
               : n->op == OP_const ? rounded_const(p->g, n->value)
                                   : rounded(p->g, p->map[r]);
    return p->g->node[wide].args[0];
}

static Ref operand(Bf16 *p, Ref r)
{
    return b_cast(p->g, narrow(p, r), DT_F32);
}

static Ref remake(Bf16 *p, Ref r)
{
    const Node *n = &p->src->node[r];
    if (!is_rounded(p, n)) return graph_copy(p->g, p->src, r, p->read);
    Ref args[2];
    for (int a = 0; a < 2; a++) args[a] = operand(p, n->args[a]);
    return graph_node(p->g, n->op, 2, args, n->attr);
}

Graph *pass_bf16(Arena *a, const Graph *src)
{
    Bf16 p = {.src = src};
    uint32_t n = src->n + 1;
    p.g = rebuild_start(a, src, &p.map);
    p.read = NEW_N(a, Ref, n);
    p.varies = NEW_N(a, bool, n);
    p.deep = NEW_N(a, bool, n);
    p.first = NEW_N(a, bool, n);
    p.rounds = NEW_N(a, bool, n);
    const bool *live = live_nodes(a, src);
    find_depth(&p);
    find_first(&p, live);
    find_rounds(&p, live);
    find_maxima(&p, live);
    for (Ref r = 0; r < src->n; r++) {
        if (!live[r]) continue;
        graph_take_origin(p.g, src, r);
        p.map[r] = p.read[r] = remake(&p, r);
        if (p.rounds[r]) p.read[r] = rounded(p.g, p.map[r]);
    }
    rebuild_outputs(p.g, src, p.map);
    return pass_dce(a, p.g); /* weights as they were */
}

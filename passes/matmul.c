/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products with weights, and their gradients, become convolutions of one tap over one
 * point, which claims take: samples x are rows.
 *
 *   matmul(x [B,K], transpose(w [N,K]))    =  conv(x [B,K,1,1], w [N,K,1,1])
 *   matmul(x [B,N], w [N,K])               =  conv_dx(x [B,N,1,1], w [N,K,1,1])
 *   matmul(transpose(x [B,K]), y [B,N])    =  transpose(conv_dw(x, y) [N,K,1,1])
 *
 * What is elementwise behind one follows, so that it stays the epilogue of its kernel. */
#include <string.h>

#include "ir/build.h"
#include "lowering.h"
#include "rewrite.h"

typedef struct Products {
    Graph *g;
    const Graph *src;
    Ref *map;  /* as it was; NOREF where that has not been made of the other */
    Ref *tall; /* [B, N, 1, 1] where that is what there is */
} Products;

static const ConvAttrs one_tap = {.k = 2, .strides = {1, 1}, .dilations = {1, 1}, .groups = 1};

static Ref plain(Products *p, Ref r)
{
    Type t = p->src->node[r].type;
    if (p->map[r] == NOREF) p->map[r] = b_reshape(p->g, p->tall[r], t.rank, t.dim);
    return p->map[r];
}

static Type tall_type(Type t)
{
    return type_of(t.dtype, 4, (int64_t[]){t.dim[0], t.dim[1], 1, 1});
}

/* r of rank 2 with two more extents, of 1. */
static Ref tall(Products *p, Ref r)
{
    const Node *n = &p->src->node[r];
    Type t = tall_type(n->type);
    if (p->tall[r] != NOREF) return p->tall[r];
    if (n->op == OP_cast) return b_cast(p->g, tall(p, n->args[0]), t.dtype);
    if (n->op == OP_broadcast) return b_broadcast(p->g, tall(p, n->args[0]), 4, t.dim);
    if (n->op == OP_reshape && type_same_dims(p->src->node[n->args[0]].type, t))
        return plain(p, n->args[0]);
    if (n->op == OP_const && n->value->splat && !n->value->id) {
        Ref splat = splat_resize(p->g, plain(p, r), t);
        if (splat != NOREF) return splat;
    }
    return b_reshape(p->g, plain(p, r), 4, t.dim);
}

/* ---- weights ---- */

/* Constants, params and inputs seen through views and casts. */
static bool is_given(const Graph *g, Ref r)
{
    while (op_info[g->node[r].op].cls == CL_VIEW || g->node[r].op == OP_cast)
        r = g->node[r].args[0];
    Op op = g->node[r].op;
    return op == OP_const || op == OP_param || op == OP_input;
}

static bool is_swapped(const Graph *g, Ref r)
{
    const Node *n = &g->node[r];
    return n->op == OP_transpose && node_attr(n, "perm")->i[0] == 1;
}

static Ref swap_const(Graph *g, const Const *c)
{
    int64_t rows = c->type.dim[0], cols = c->type.dim[1], size = dtype_bytes(c->type.dtype);
    Type to = type_of(c->type.dtype, 4, (int64_t[]){cols, rows, 1, 1});
    char *data = NEW_N(g->arena, char, type_bytes(to));
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            memcpy(data + (j * rows + i) * size, (const char *)c->data + (i * cols + j) * size,
                   (size_t)size);
    return const_made_of(g, c, to, data);
}

/* w [K, N] as [N, K, 1, 1], `swapped`, or as [K, N, 1, 1]. */
static Ref weights(Products *p, Ref r, bool *swapped)
{
    const Node *n = &p->src->node[r];
    *swapped = true;
    if (is_swapped(p->src, r)) {
        bool again;
        Ref w = weights(p, n->args[0], &again);
        *swapped = !again;
        return w;
    }
    if (n->op == OP_cast) return b_cast(p->g, weights(p, n->args[0], swapped), n->type.dtype);
    if (n->op == OP_const && !n->value->splat) return swap_const(p->g, n->value);
    *swapped = false;
    return tall(p, r);
}

/* ---- products ---- */

static bool with_weights(Products *p, Ref r)
{
    const Node *n = &p->src->node[r];
    bool swapped;
    if (!is_given(p->src, n->args[1])) return false;
    Ref x = tall(p, n->args[0]), w = weights(p, n->args[1], &swapped);
    p->tall[r] =
        swapped ? b_conv(p->g, x, w, &one_tap) : b_conv_dx(p->g, x, w, &one_tap, (int64_t[]){1, 1});
    return true;
}

static bool of_samples(Products *p, Ref r)
{
    const Node *n = &p->src->node[r];
    if (!is_swapped(p->src, n->args[0])) return false;
    Ref x = tall(p, p->src->node[n->args[0]].args[0]), y = tall(p, n->args[1]);
    Ref w = b_conv_dw(p->g, x, y, &one_tap, (int64_t[]){1, 1});
    p->map[r] = b_transpose(
        p->g, b_reshape(p->g, w, 2, (int64_t[]){n->type.dim[1], n->type.dim[0]}), (int[]){1, 0});
    return true;
}

/* ---- what follows ---- */

static bool follows(Products *p, Ref r)
{
    const Node *n = &p->src->node[r];
    Ref arg[MAX_ARGS];
    bool some = false;
    if (op_info[n->op].cls != CL_ELEMENTWISE || n->type.rank != 2) return false;
    for (int i = 0; i < n->nargs; i++) {
        bool is_tall = p->tall[n->args[i]] != NOREF;
        if (!is_tall && !is_given(p->src, n->args[i])) return false;
        some |= is_tall;
    }
    for (int i = 0; some && i < n->nargs; i++) arg[i] = tall(p, n->args[i]);
    if (some) p->tall[r] = graph_node(p->g, n->op, n->nargs, arg, n->attr);
    return some;
}

static bool remake(Products *p, Ref r)
{
    const Node *n = &p->src->node[r];
    bool product = n->op == OP_matmul && n->type.rank == 2 && dtype_is_float(n->type.dtype);
    return product ? with_weights(p, r) || of_samples(p, r) : follows(p, r);
}

Graph *pass_matmul(Arena *a, const Target *t, const Graph *src)
{
    Products p = {.src = src};
    if (!t->offer || t->gpu) return (Graph *)src;
    p.g = rebuild_start(a, src, &p.map);
    p.tall = NEW_N(a, Ref, src->n + 1);
    memset(p.tall, 0xff, sizeof(Ref) * (src->n + 1));
    for (Ref r = 0; r < src->n; r++) {
        const Node *n = &src->node[r];
        graph_take_origin(p.g, src, r);
        if (remake(&p, r)) continue;
        for (int i = 0; i < n->nargs; i++) plain(&p, n->args[i]);
        p.map[r] = graph_copy(p.g, src, r, p.map);
    }
    for (uint32_t i = 0; i < src->nout; i++) plain(&p, src->out[i].ref);
    rebuild_outputs(p.g, src, p.map);
    return p.g;
}

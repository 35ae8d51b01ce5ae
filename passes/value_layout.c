/* SPDX-License-Identifier: Apache-2.0 */
/* Which physical layout a value in memory has. One rule decides, so that producers and consumers
 * agree without negotiation: a rank-4 value whose channels fill vector registers is blocked
 * by channels, and so is what a reduction of windows leaves (rank 6, the last two extents 1); a
 * block is a vector, or twice that in bf16 where matrix tiles read it (target_block);
 * everything else is row-major. Claims add the halo that they need (they accept more). A bool in
 * blocked layout is stored as bits. */
#include <string.h>

#include "lowering.h"

/* ---- contractions as targets see them ---- */

static int64_t at(const Attr *a, int i, int64_t absent)
{
    return i < a->n ? a->i[i] : absent;
}

/* data, weights and result of the forward conv, whichever face r is */
static void faces(const Graph *g, const Node *n, Type *x, Type *w, Type *y)
{
    Type first = g->node[n->args[0]].type, second = g->node[n->args[1]].type;
    *x = n->op == OP_conv_dx ? n->type : first;
    *w = n->op == OP_conv_dw ? n->type : second;
    *y = n->op == OP_conv ? n->type : n->op == OP_conv_dx ? first : second;
}

static Contract contract_of(const Graph *g, Ref r)
{
    const Node *n = &g->node[r];
    Type x, w, y;
    faces(g, n, &x, &w, &y);
    const Attr *st = node_attr(n, "strides"), *pad = node_attr(n, "pads");
    const Attr *dil = node_attr(n, "dilations");
    return (Contract){.op = n->op,
                      .dtype = n->type.dtype,
                      .batch = x.dim[0],
                      .ic = x.dim[1],
                      .oc = y.dim[1],
                      .groups = node_int(n, "groups"),
                      .ih = x.dim[2],
                      .iw = x.dim[3],
                      .oh = y.dim[2],
                      .ow = y.dim[3],
                      .kh = w.dim[2],
                      .kw = w.dim[3],
                      .sh = at(st, 0, 1),
                      .sw = at(st, 1, 1),
                      .ph = at(pad, 0, 0),
                      .pw = at(pad, 1, 0),
                      .ph2 = at(pad, 2, 0),
                      .pw2 = at(pad, 3, 0),
                      .dh = at(dil, 0, 1),
                      .dw = at(dil, 1, 1)};
}

/* Both operands are casts of bf16, of which the target can make use. */
static bool reads_bf16(const Lowering *l, const Node *n)
{
    return n->op != OP_conv_dw && fuse_melts(l, n->args[0]) && fuse_melts(l, n->args[1]);
}

static bool is_constant_operand(const Graph *g, Ref r)
{
    const Node *n = &g->node[r];
    return n->op == OP_const || (widens_bf16(g, n) && g->node[n->args[0]].op == OP_const);
}

static bool ask(const Lowering *l, const Contract *c, Offer *offer)
{
    *offer = (Offer){.claim = -1};
    return l->target->offer(l->target, c, offer) && offer->claim >= 0;
}

bool contract_offer(const Lowering *l, Ref r, Contract *c, Offer *offer)
{
    const Node *n = &l->g->node[r];
    bool dw = n->op == OP_conv_dw;
    if (n->op != OP_conv && n->op != OP_conv_dx && !dw) return false;
    if (!l->target->offer || n->type.rank != 4 || (dw && l->batched[r])) return false;
    *c = contract_of(l->g, r);
    c->varies = l->target->f32_tiles && !dw && !is_constant_operand(l->g, n->args[1]);
    c->bf16 = reads_bf16(l, n);
    if (c->bf16 && ask(l, c, offer)) return true;
    c->bf16 = false;
    return ask(l, c, offer);
}

/* Weights that are transformed are f32 afterwards, whatever they were. */
Ref contract_operand(const Lowering *l, const Contract *c, const Offer *o, Ref conv, int i)
{
    Ref r = l->g->node[conv].args[i];
    return c->bf16 && !(i == 1 && o->packed_bytes) ? l->g->node[r].args[0] : r;
}

const Const *contract_weights(const Lowering *l, const Contract *c, const Offer *o, Ref conv)
{
    Ref r = contract_operand(l, c, o, conv, 1);
    const Node *n = &l->g->node[r];
    if (!is_constant_operand(l->g, r)) return NULL;
    if (n->op == OP_const) return n->value;
    if (!l->wide[r]) {
        Graph *g = graph_new(l->module->arena, "weights");
        Ref wide = widen_const(g, l->g->node[n->args[0]].value); /* makes g->node move */
        l->wide[r] = g->node[wide].value;
    }
    return l->wide[r];
}

/* ---- halo ---- */

static const Digit *spatial_digit(const Layout *lay, int dim)
{
    for (int i = 0; i < lay->ndigit; i++)
        if (lay->digit[i].dim == dim) return &lay->digit[i];
    return NULL;
}

/* Raises the halo that value must have to what `need` has. */
void layout_need_halo(Lowering *l, Ref value, const Layout *need)
{
    Type t = l->g->node[value].type;
    for (int d = 2; d < t.rank && d < 5; d++) {
        const Digit *g = spatial_digit(need, d);
        int64_t high = g->extent - g->low - t.dim[d];
        if (g->low > l->halo[value][d - 2]) l->halo[value][d - 2] = g->low;
        if (high > l->halo[value][d + 1]) l->halo[value][d + 1] = high;
    }
}

/* Same digits, and at least as much halo on both sides. */
bool layout_covers(const Layout *have, const Layout *need)
{
    if (have->ndigit != need->ndigit || have->bits != need->bits) return false;
    for (int i = 0; i < have->ndigit; i++) {
        const Digit *h = &have->digit[i], *n = &need->digit[i];
        if (h->dim != n->dim || h->div != n->div || h->low < n->low ||
            h->extent - h->low < n->extent - n->low)
            return false;
    }
    return true;
}

/* ---- the rule ---- */

/* A map of one pixel is the same in memory either way, until a claim wants a halo around it. */
static bool is_map(const Lowering *l, Ref r, Type t)
{
    for (int i = 0; i < 6; i++)
        if (l->halo[r][i]) return true;
    return t.dim[2] * t.dim[3] > 1;
}

/* Rank 4, or the windows of a pooling reduced to one element each. */
static bool is_image(Type t)
{
    return t.rank == 4 || (t.rank == 6 && t.dim[4] * t.dim[5] == 1);
}

/* Of integers only places of maxima are worth it. */
static bool blocks_dtype(Type t)
{
    bool place = t.rank == 6 && (t.dtype == DT_I64 || t.dtype == DT_U8);
    return dtype_is_float(t.dtype) || t.dtype == DT_BOOL || place;
}

static bool blocked_by(const Lowering *l, Ref r, int lanes)
{
    Type t = l->g->node[r].type;
    return lanes > 1 && is_image(t) && t.dim[1] % lanes == 0 && is_map(l, r, t) && blocks_dtype(t);
}

Layout value_layout(const Lowering *l, Ref r)
{
    Type t = l->g->node[r].type;
    const int64_t *low = t.rank < 6 ? l->halo[r] : NULL, *high = low ? low + 3 : NULL;
    int lanes = target_lanes(l->target, l->module->precision);
    if (!blocked_by(l, r, lanes)) return t.rank > 2 ? layout_halo(t, low, high) : layout_plain(t);
    Layout lay = layout_blocked(t, target_block(l->target, t.dtype, t.dim[1], lanes), low, high);
    lay.bits = t.dtype == DT_BOOL && lanes >= 8;
    return lay;
}

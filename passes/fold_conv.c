/* SPDX-License-Identifier: Apache-2.0 */
/* Scales next to a convolution move into its weights: batch normalisation then costs nothing. A
 * scale is a constant that differs at most between channels. Exact also at the border, because
 * a padded zero stays zero under a scale; a shift does not, so shifts never move before a
 * convolution. A convolution that others read too stays as it is, because it would have to be
 * computed twice. */
#include "passes/fold.h"
#include "passes/rewrite.h"

#include <math.h>

/* ---- scales ---- */

static bool single_use(Fold *f, Ref r)
{
    return *fold_uses(f, r) == 1;
}

static bool is_channel_type(Type t)
{
    for (int i = 0; i < t.rank; i++)
        if (i != 1 && t.dim[i] != 1) return false;
    return t.rank >= 2;
}

/* A known value of an activation's shape that depends on the channel alone, as a vector [C]. */
static Ref channel_vector(Fold *f, Ref s)
{
    Graph *g = f->g;
    if (!fold_known(f, s)) return NOREF;
    int64_t channels = g->node[s].type.dim[1];
    if (splat_value(g, s, NULL))
        return splat_resize(g, s, type_of(g->node[s].type.dtype, 1, &channels));
    if (g->node[s].op == OP_broadcast) s = g->node[s].args[0];
    if (!is_channel_type(g->node[s].type)) return NOREF;
    Ref vector = b_reshape(g, s, 1, &g->node[s].type.dim[1]);
    return b_broadcast(g, vector, 1, &channels);
}

/* [C] -> [1, C, 1, ..] and then the extents of `like`. */
static Ref along_channels(Fold *f, Ref vector, Type like)
{
    int64_t dim[MAX_RANK];
    for (int i = 0; i < like.rank; i++) dim[i] = i == 1 ? like.dim[1] : 1;
    Ref channels = fold_settle(f, b_reshape(f->g, vector, like.rank, dim));
    return b_broadcast(f->g, channels, like.rank, like.dim);
}

/* ---- scaled weights ---- */

/* Filter o of w times (or divided by) s[o]. */
static Ref scale_out(Graph *g, Op op, Ref w, Ref s)
{
    Type t = g->node[w].type;
    int64_t dim[MAX_RANK];
    for (int i = 0; i < t.rank; i++) dim[i] = i == 0 ? t.dim[0] : 1;
    Ref all = b_broadcast(g, b_reshape(g, s, t.rank, dim), t.rank, t.dim);
    return b_binary(g, op, w, all);
}

/* Input channel c of w, which belongs to group c / (C / groups), times s[c]. */
static Ref scale_in(Graph *g, Op op, Ref w, Ref s, int64_t groups)
{
    Type t = g->node[w].type;
    int64_t grouped[MAX_RANK] = {groups, t.dim[0] / groups}, dim[MAX_RANK] = {groups, 1, t.dim[1]};
    for (int i = 1; i < t.rank; i++) grouped[i + 1] = t.dim[i];
    for (int i = 2; i < t.rank; i++) dim[i + 1] = 1;
    Ref all = b_broadcast(g, b_reshape(g, s, t.rank + 1, dim), t.rank + 1, grouped);
    Ref scaled = b_binary(g, op, b_reshape(g, w, t.rank + 1, grouped), all);
    return b_reshape(g, scaled, t.rank, t.dim);
}

static bool all_finite(const Const *c)
{
    int64_t n = c->splat ? 1 : type_count(c->type);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(elem_get(c->type.dtype, c->data, i))) return false;
    return true;
}

/* Folded to a finite constant: else the rewrite would cost more, or change the result. */
static Ref as_constant(Fold *f, Ref r)
{
    r = fold_settle(f, r);
    const Node *n = &f->g->node[r];
    return n->op == OP_const && all_finite(n->value) ? r : NOREF;
}

static Ref scaled_weights(Fold *f, Op op, const Node *conv, Ref s, bool out)
{
    Ref w = conv->args[1];
    if (!fold_known(f, w)) return NOREF;
    Ref scaled =
        out ? scale_out(f->g, op, w, s) : scale_in(f->g, op, w, s, conv_attrs(conv).groups);
    return as_constant(f, scaled);
}

static bool has_weights(const Node *n)
{
    return n->op == OP_conv || n->op == OP_conv_dx;
}

/* The same convolution of x with scaled weights. `after`: the scale is on the result's channels. */
static Ref rescaled(Fold *f, Op op, Node conv, Ref x, Ref s, bool after)
{
    bool out = (conv.op == OP_conv) == after; /* filters make conv's result and conv_dx's operand */
    Ref w = scaled_weights(f, op, &conv, s, out);
    if (w == NOREF) return NOREF;
    return graph_node(f->g, conv.op, 2, (Ref[]){x, w}, conv.attr);
}

/* ---- the patterns ---- */

/* conv(x, w) * s = conv(x, w s) */
static Ref scale_conv(Fold *f, Op op, Ref conv, Ref s)
{
    Node n = f->g->node[conv];
    if (!has_weights(&n) || !single_use(f, conv)) return NOREF;
    origin_include(f->g, conv);
    return rescaled(f, op, n, n.args[0], s, true);
}

/* (conv(x, w) + b) * s = conv(x, w s) + b s */
static Ref scale_shifted(Fold *f, Op op, Ref sum, Ref s)
{
    Graph *g = f->g;
    Node n = g->node[sum];
    if ((n.op != OP_add && n.op != OP_sub) || !single_use(f, sum)) return NOREF;
    for (int i = 0; i < 2; i++) {
        Ref b = channel_vector(f, n.args[1 - i]);
        b = b == NOREF ? NOREF : as_constant(f, b_binary(g, op, b, s));
        Ref conv = b == NOREF ? NOREF : scale_conv(f, op, n.args[i], s);
        if (conv == NOREF) continue;
        *fold_uses(f, conv) += 1;
        origin_include(g, sum);
        Ref shift = along_channels(f, b, n.type);
        return b_binary(g, n.op, i ? shift : conv, i ? conv : shift);
    }
    return NOREF;
}

static Ref scale_after(Fold *f, const Node *n)
{
    for (int i = 0; i < (n->op == OP_mul ? 2 : 1); i++) {
        if (n->type.rank < 3 || fold_known(f, n->args[i])) continue;
        Ref s = channel_vector(f, n->args[1 - i]);
        if (s == NOREF) continue;
        Ref better = scale_conv(f, n->op, n->args[i], s);
        return better != NOREF ? better : scale_shifted(f, n->op, n->args[i], s);
    }
    return NOREF;
}

/* conv(x * s, w) = conv(x, w s) */
static Ref scale_before(Fold *f, const Node *n)
{
    Node x = f->g->node[n->args[0]];
    if ((x.op != OP_mul && x.op != OP_div) || !single_use(f, n->args[0])) return NOREF;
    for (int i = 0; i < (x.op == OP_mul ? 2 : 1); i++) {
        Ref s = fold_known(f, x.args[i]) ? NOREF : channel_vector(f, x.args[1 - i]);
        if (s == NOREF) continue;
        origin_include(f->g, n->args[0]);
        return rescaled(f, x.op, *n, x.args[i], s, false);
    }
    return NOREF;
}

static Ref (*const patterns[OP_COUNT])(Fold *, const Node *) = {
    [OP_mul] = scale_after,
    [OP_div] = scale_after,
    [OP_conv] = scale_before,
    [OP_conv_dx] = scale_before,
};

Ref fold_scale(Fold *f, Ref r)
{
    Node n = f->g->node[r];
    if (!patterns[n.op] || !dtype_is_float(n.type.dtype)) return NOREF;
    return patterns[n.op](f, &n);
}

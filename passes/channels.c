/* SPDX-License-Identifier: Apache-2.0 */
/* Channels that do not fill vectors get empty ones beside them, so that claims take their
 * convolutions and their maps lie in blocks: 24 channels of a MobileNet become 32 where vectors
 * hold 16. Results have empty filters, data empty channels that meet empty weights, depthwise
 * convolutions have more groups. Elementwise values and reductions over other axes follow; what
 * reads a value in another way reads a slice of it.
 *
 * More than half of the channels must have been there: empty ones cost arithmetic and memory.
 *
 * Empty channels hold one number, the same in all of a value. It is computed here, since it must be
 * finite: a NaN would spoil what is multiplied by empty weights. Where it cannot be told, the value
 * stays as it is. */
#include <math.h>
#include <string.h>

#include "ir/build.h"
#include "ir/eval.h"
#include "passes.h"
#include "rewrite.h"

typedef struct Filled {
    Ref ref;     /* NOREF: there is no such value */
    Scalar hold; /* what its empty channels hold */
} Filled;

typedef struct Channels {
    Graph *g;
    const Graph *src;
    int64_t lanes;
    Ref *map;    /* as it was; NOREF where that has not been made of the filled one */
    Filled *all; /* with empty channels */
    double *macs;
    uint32_t macs_cap;
} Channels;

static const Filled none = {.ref = NOREF};

/* How many channels there are then; 0: they stay as they are. */
static int64_t fills(const Channels *c, int64_t n)
{
    int64_t up = (n + c->lanes - 1) / c->lanes * c->lanes;
    return up == n || 2 * n <= up ? 0 : up;
}

static Type with_channels(Type t, int64_t n)
{
    t.dim[1] = n;
    return t;
}

/* ---- zeros behind the first two extents ---- */

static void copy_elements(const Const *c, Type to, char *out)
{
    int64_t size = dtype_bytes(to.dtype), n = type_count(c->type);
    int64_t each = n / c->type.dim[0], wide = type_count(to) / to.dim[0];
    const char *data = c->data;
    for (int64_t i = 0; i < n; i++)
        memcpy(out + (i / each * wide + i % each) * size, data + (c->splat ? 0 : i * size),
               (size_t)size);
}

static Ref pad_const(Graph *g, const Const *c, Type to)
{
    char *data = NEW_N(g->arena, char, type_bytes(to));
    copy_elements(c, to, data);
    return const_made_of(g, c, to, data);
}

static Ref pad_node(Graph *g, Ref r, Type to)
{
    Node n = g->node[r];
    int64_t low[MAX_RANK] = {0}, high[MAX_RANK] = {0}, inner[MAX_RANK] = {0};
    if (type_same_dims(n.type, to)) return r;
    if (n.op == OP_const) return pad_const(g, n.value, to);
    if (n.op == OP_cast && g->node[n.args[0]].op == OP_const)
        return b_cast(
            g, pad_const(g, g->node[n.args[0]].value, type_with(to, g->node[n.args[0]].type.dtype)),
            n.type.dtype);
    for (int d = 0; d < 2; d++) high[d] = to.dim[d] - n.type.dim[d];
    return b_pad(g, r, low, high, inner, 0);
}

/* ---- a value in either form ---- */

static Ref plain(Channels *c, Ref r)
{
    if (c->map[r] == NOREF)
        c->map[r] = b_slice_axis(c->g, c->all[r].ref, 1, 0, c->src->node[r].type.dim[1], 1);
    return c->map[r];
}

static Filled full_splat(Channels *c, const Node *n, Ref r, Type to)
{
    Filled f = {.ref = splat_resize(c->g, plain(c, r), to)};
    scalars_load(to.dtype, n->value->data, 0, 1, &f.hold);
    return f.ref == NOREF ? none : f;
}

/* Padded with zeros if there is no better way. */
static Filled full(Channels *c, Ref r)
{
    const Node *n = &c->src->node[r];
    Type to = with_channels(n->type, fills(c, n->type.dim[1]));
    if (c->all[r].ref != NOREF) return c->all[r];
    if (n->op == OP_const && n->value->splat && !n->value->id) return full_splat(c, n, r, to);
    if (n->op == OP_broadcast && c->src->node[n->args[0]].type.dim[1] == n->type.dim[1]) {
        Filled f = full(c, n->args[0]);
        if (f.ref != NOREF) f.ref = b_broadcast(c->g, f.ref, to.rank, to.dim);
        return f;
    }
    return (Filled){.ref = pad_node(c->g, plain(c, r), to)};
}

/* What a convolution reads: filled if that makes it whole vectors. */
static Ref operand(Channels *c, Ref r)
{
    return fills(c, c->src->node[r].type.dim[1]) ? full(c, r).ref : plain(c, r);
}

/* ---- convolutions ---- */

typedef struct Conv {
    int64_t x, y, groups; /* filled channels of both sides; groups then */
    Attr attr[MAX_ATTRS];
} Conv;

static int64_t or_else(int64_t filled, int64_t n)
{
    return filled ? filled : n;
}

/* Whether either side of the forward convolution changes. */
static bool read_conv(const Channels *c, const Node *n, Conv *v)
{
    const Graph *s = c->src;
    Type a = s->node[n->args[0]].type, b = s->node[n->args[1]].type, t = n->type;
    int64_t x = n->op == OP_conv_dx ? t.dim[1] : a.dim[1];
    int64_t y = n->op == OP_conv ? t.dim[1] : n->op == OP_conv_dx ? a.dim[1] : b.dim[1];
    int64_t groups = node_int(n, "groups"), fx = fills(c, x), fy = fills(c, y);
    bool depthwise = groups > 1 && groups == x && groups == y;
    if (t.rank != 4 || (!fx && !fy) || (groups != 1 && !depthwise)) return false;
    *v = (Conv){or_else(fx, x), or_else(fy, y), depthwise ? fx : 1, {{0}}};
    for (int i = 0; i < op_info[n->op].nattr; i++) {
        v->attr[i] = n->attr[i];
        if (!strcmp(op_info[n->op].attr[i].name, "groups")) v->attr[i].i[0] = v->groups;
    }
    return true;
}

static Type filled_weights(const Conv *v, Type w)
{
    w.dim[0] = v->y;
    w.dim[1] = v->x / v->groups;
    return w;
}

static Ref make_conv(Channels *c, Ref r, const Ref arg[2], const Conv *v)
{
    Ref made = graph_node(c->g, c->src->node[r].op, 2, arg, v->attr);
    GROW(c->g->arena, c->macs, made, c->macs_cap);
    c->macs[made] = node_macs(c->src, r);
    return made;
}

static void put_conv(Channels *c, Ref r, const Node *n, const Conv *v)
{
    Type w = filled_weights(v, c->src->node[n->args[1]].type);
    Ref arg[] = {operand(c, n->args[0]), pad_node(c->g, plain(c, n->args[1]), w)};
    Ref made = make_conv(c, r, arg, v);
    if (fills(c, n->type.dim[1]))
        c->all[r] = (Filled){.ref = made};
    else
        c->map[r] = made;
}

static void put_conv_dw(Channels *c, Ref r, const Node *n, const Conv *v)
{
    int64_t from[MAX_RANK] = {0}, step[] = {1, 1, 1, 1};
    Ref arg[] = {operand(c, n->args[0]), operand(c, n->args[1])};
    Ref made = make_conv(c, r, arg, v);
    c->map[r] = b_slice(c->g, made, from, n->type.dim, step);
}

static bool fill_conv(Channels *c, Ref r)
{
    const Node *n = &c->src->node[r];
    Conv v;
    if (!read_conv(c, n, &v)) return false;
    (n->op == OP_conv_dw ? put_conv_dw : put_conv)(c, r, n, &v);
    return true;
}

/* ---- what follows ---- */

static bool any_filled(const Channels *c, const Node *n)
{
    for (int i = 0; i < n->nargs; i++)
        if (c->all[n->args[i]].ref != NOREF) return true;
    return false;
}

static bool is_finite(DType d, Scalar s)
{
    return !dtype_is_float(d) || isfinite(s.f);
}

static bool put(Channels *c, Ref r, Ref made, Scalar hold)
{
    if (is_finite(c->src->node[r].type.dtype, hold)) c->all[r] = (Filled){made, hold};
    return c->all[r].ref != NOREF;
}

static bool fill_elementwise(Channels *c, Ref r)
{
    const Node *n = &c->src->node[r];
    Ref arg[MAX_ARGS];
    Scalar hold[MAX_ARGS];
    if (!any_filled(c, n)) return false;
    for (int i = 0; i < n->nargs; i++) {
        Filled f = full(c, n->args[i]);
        if (f.ref == NOREF) return false;
        arg[i] = f.ref;
        hold[i] = f.hold;
    }
    DType of = c->src->node[n->args[n->nargs - 1]].type.dtype;
    return put(c, r, graph_node(c->g, n->op, n->nargs, arg, n->attr),
               scalar_op(n->op, of, n->type.dtype, hold));
}

static bool fill_reduce(Channels *c, Ref r)
{
    const Node *n = &c->src->node[r];
    if (n->op != OP_sum && n->op != OP_max && n->op != OP_min) return false;
    if (!any_filled(c, n) || has_axis(node_attr(n, "axes"), 1)) return false;
    Filled f = c->all[n->args[0]];
    double terms = (double)type_count(c->src->node[n->args[0]].type) / (double)type_count(n->type);
    if (!dtype_is_float(n->type.dtype)) return false;
    if (n->op == OP_sum) f.hold.f = round_to(n->type.dtype, f.hold.f * terms);
    return put(c, r, graph_node(c->g, n->op, 1, &f.ref, n->attr), f.hold);
}

static bool fill_broadcast(Channels *c, Ref r)
{
    const Node *n = &c->src->node[r];
    if (!any_filled(c, n) || c->src->node[n->args[0]].type.dim[1] != n->type.dim[1]) return false;
    c->all[r] = full(c, r);
    return true;
}

static bool fill(Channels *c, Ref r)
{
    const Node *n = &c->src->node[r];
    if (n->op == OP_conv || n->op == OP_conv_dx || n->op == OP_conv_dw) return fill_conv(c, r);
    if (n->type.rank < 2 || !fills(c, n->type.dim[1])) return false;
    OpClass cls = op_info[n->op].cls;
    if (n->op == OP_broadcast) return fill_broadcast(c, r);
    return cls == CL_ELEMENTWISE ? fill_elementwise(c, r) : cls == CL_REDUCE && fill_reduce(c, r);
}

static void copy(Channels *c, Ref r)
{
    const Node *n = &c->src->node[r];
    for (int i = 0; i < n->nargs; i++) plain(c, n->args[i]);
    c->map[r] = graph_copy(c->g, c->src, r, c->map);
}

Graph *pass_channels(Arena *a, const Graph *src, int64_t lanes, double **macs)
{
    Channels c = {.src = src, .lanes = lanes, .all = NEW_N(a, Filled, src->n + 1)};
    c.g = rebuild_start(a, src, &c.map);
    for (Ref r = 0; r < src->n; r++) {
        c.all[r] = none;
        graph_take_origin(c.g, src, r);
        if (!fill(&c, r)) copy(&c, r);
    }
    for (uint32_t i = 0; i < src->nout; i++)
        graph_output(c.g, src->out[i].name, plain(&c, src->out[i].ref));
    GROW(a, c.macs, c.g->n, c.macs_cap);
    *macs = c.macs;
    return c.g;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The shorthand of build.h: each function fills the attributes of one row, in the row's order. */
#include "build.h"

#include <string.h>

static Attr a_int(int64_t v)
{
    return (Attr){.i = {v}};
}

static Attr a_ints(int n, const int64_t *v)
{
    Attr a = {.n = n};
    if (n > 0 && n <= MAX_RANK) /* a count out of range is graph_node's to refuse */
        memcpy(a.i, v, sizeof *v * (size_t)n);
    return a;
}

static Attr a_axes(int n, const int *v)
{
    Attr a = {.n = n};
    for (int i = 0; i < n && i < MAX_RANK; i++) { /* sorted, as the rows want them */
        int at = i;
        for (; at && a.i[at - 1] > v[i]; at--) a.i[at] = a.i[at - 1];
        a.i[at] = v[i];
    }
    return a;
}

static int rank_of(const Graph *g, Ref r)
{
    check(r < g->n);
    return g->node[r].type.rank;
}

static Type type_at(const Graph *g, Ref r)
{
    check(r < g->n);
    return g->node[r].type;
}

static Ref node1(Graph *g, Op op, Ref x, const Attr *attr)
{
    return graph_node(g, op, 1, &x, attr);
}

static Ref node2(Graph *g, Op op, Ref x, Ref y, const Attr *attr)
{
    return graph_node(g, op, 2, (Ref[]){x, y}, attr);
}

/* ---- sources ---- */

static Ref named(Graph *g, Op op, const char *name, Type t)
{
    return graph_node(g, op, 0, NULL, (Attr[]){{.s = name}, a_int(t.dtype), a_ints(t.rank, t.dim)});
}

Ref b_input(Graph *g, const char *name, Type t)
{
    return named(g, OP_input, name, t);
}

Ref b_param(Graph *g, const char *name, Type t)
{
    return named(g, OP_param, name, t);
}

Ref b_iota(Graph *g, Type t, int axis)
{
    return graph_node(g, OP_iota, 0, NULL,
                      (Attr[]){a_int(t.dtype), a_ints(t.rank, t.dim), a_int(axis)});
}

Ref b_rng(Graph *g, Ref seed, Ref id, Ref draw, Type t, int stream)
{
    if (t.rank < 1 || rank_of(g, id) != 1 || t.dim[0] != type_at(g, id).dim[0])
        err(NULL, "rng: the result needs one leading extent, that of the ids");
    Attr attr[] = {a_int(t.dtype), a_ints(t.rank - 1, t.dim + 1), a_int(stream)};
    return graph_node(g, OP_rng, 3, (Ref[]){seed, id, draw}, attr);
}

/* ---- elementwise ---- */

Ref b_unary(Graph *g, Op op, Ref x)
{
    return node1(g, op, x, NULL);
}

Ref b_binary(Graph *g, Op op, Ref x, Ref y)
{
    return node2(g, op, x, y, NULL);
}

Ref b_select(Graph *g, Ref cond, Ref a, Ref b)
{
    return graph_node(g, OP_select, 3, (Ref[]){cond, a, b}, NULL);
}

Ref b_cast(Graph *g, Ref x, DType to)
{
    Attr dtype = a_int(to);
    return type_at(g, x).dtype == to ? x : node1(g, OP_cast, x, &dtype);
}

/* ---- views ---- */

static bool has_dims(Type t, int rank, const int64_t *dim)
{
    for (int i = 0; i < t.rank && t.rank == rank; i++)
        if (t.dim[i] != dim[i]) return false;
    return t.rank == rank;
}

Ref b_reshape(Graph *g, Ref x, int rank, const int64_t *dim)
{
    Attr shape = a_ints(rank, dim);
    return has_dims(type_at(g, x), rank, dim) ? x : node1(g, OP_reshape, x, &shape);
}

Ref b_transpose(Graph *g, Ref x, const int *perm)
{
    Attr a = {.n = rank_of(g, x)};
    for (int i = 0; i < a.n; i++) a.i[i] = perm[i];
    return node1(g, OP_transpose, x, &a);
}

Ref b_broadcast(Graph *g, Ref x, int rank, const int64_t *dim)
{
    Attr shape = a_ints(rank, dim);
    return has_dims(type_at(g, x), rank, dim) ? x : node1(g, OP_broadcast, x, &shape);
}

Ref b_slice(Graph *g, Ref x, const int64_t *starts, const int64_t *sizes, const int64_t *steps)
{
    int r = rank_of(g, x);
    return node1(g, OP_slice, x, (Attr[]){a_ints(r, starts), a_ints(r, sizes), a_ints(r, steps)});
}

Ref b_slice_axis(Graph *g, Ref x, int axis, int64_t start, int64_t size, int64_t step)
{
    Type t = type_at(g, x);
    int64_t starts[MAX_RANK] = {0}, steps[MAX_RANK];
    check(axis >= 0 && axis < t.rank);
    for (int i = 0; i < MAX_RANK; i++) steps[i] = 1;
    starts[axis] = start;
    steps[axis] = step;
    t.dim[axis] = size;
    return b_slice(g, x, starts, t.dim, steps);
}

Ref b_pad(Graph *g, Ref x, const int64_t *low, const int64_t *high, const int64_t *inner,
          double value)
{
    int r = rank_of(g, x);
    Attr attr[] = {a_ints(r, low), a_ints(r, high), a_ints(r, inner), {.f = value}};
    return node1(g, OP_pad, x, attr);
}

Ref b_reverse(Graph *g, Ref x, int naxes, const int *axes)
{
    Attr a = a_axes(naxes, axes);
    return node1(g, OP_reverse, x, &a);
}

Ref b_window(Graph *g, Ref x, int k, const int64_t *size, const int64_t *strides,
             const int64_t *dil)
{
    Attr attr[] = {a_ints(k, size), a_ints(k, strides), a_ints(k, dil)};
    return node1(g, OP_window, x, attr);
}

Ref b_fold(Graph *g, Ref x, int k, const int64_t *in, const int64_t *strides, const int64_t *dil)
{
    return node1(g, OP_fold, x, (Attr[]){a_ints(k, in), a_ints(k, strides), a_ints(k, dil)});
}

/* ---- join and reductions ---- */

/* More operands than a node holds are joined in runs, then the runs. */
Ref b_concat(Graph *g, int n, const Ref *x, int axis)
{
    Attr a = a_int(axis);
    if (n == 1) return x[0];
    if (n <= MAX_ARGS) return graph_node(g, OP_concat, n, x, &a);
    int run = MAX_ARGS, parts = 0;
    while ((n + run - 1) / run > MAX_ARGS) run *= MAX_ARGS;
    Ref part[MAX_ARGS];
    for (int i = 0; i < n; i += run)
        part[parts++] = b_concat(g, n - i < run ? n - i : run, x + i, axis);
    return graph_node(g, OP_concat, parts, part, &a);
}

Ref b_reduce(Graph *g, Op op, Ref x, int naxes, const int *axes)
{
    Attr a = a_axes(naxes, axes);
    return node1(g, op, x, &a);
}

Ref b_scan(Graph *g, Ref x, int axis, bool reverse, bool exclusive)
{
    return node1(g, OP_scan, x, (Attr[]){a_int(axis), a_int(reverse), a_int(exclusive)});
}

Ref b_argsort(Graph *g, Ref x, int axis, int64_t k)
{
    return node1(g, OP_argsort, x, (Attr[]){a_int(axis), a_int(k)});
}

/* ---- contractions ---- */

Ref b_matmul(Graph *g, Ref x, Ref y)
{
    return node2(g, OP_matmul, x, y, NULL);
}

ConvAttrs conv_attrs(const Node *n)
{
    const Attr *strides = node_attr(n, "strides");
    ConvAttrs c = {.k = strides->n, .groups = node_int(n, "groups")};
    size_t bytes = sizeof(int64_t) * (size_t)c.k;
    check(c.k <= 3);
    memcpy(c.strides, strides->i, bytes);
    memcpy(c.pads, node_attr(n, "pads")->i, 2 * bytes);
    memcpy(c.dilations, node_attr(n, "dilations")->i, bytes);
    return c;
}

static Ref conv_any(Graph *g, Op op, Ref p, Ref q, const ConvAttrs *c, const int64_t *extra)
{
    check(c->k >= 0 && c->k <= 3);
    Attr attr[] = {a_ints(c->k, c->strides), a_ints(2 * c->k, c->pads), a_ints(c->k, c->dilations),
                   a_int(c->groups), a_ints(extra ? c->k : 0, extra)};
    return node2(g, op, p, q, attr);
}

Ref b_conv(Graph *g, Ref x, Ref w, const ConvAttrs *c)
{
    return conv_any(g, OP_conv, x, w, c, NULL);
}

Ref b_conv_dx(Graph *g, Ref dy, Ref w, const ConvAttrs *c, const int64_t *in)
{
    return conv_any(g, OP_conv_dx, dy, w, c, in);
}

Ref b_conv_dw(Graph *g, Ref x, Ref dy, const ConvAttrs *c, const int64_t *kernel)
{
    return conv_any(g, OP_conv_dw, x, dy, c, kernel);
}

Ref b_gather(Graph *g, Ref data, Ref idx, int axis, int batch)
{
    return node2(g, OP_gather, data, idx, (Attr[]){a_int(axis), a_int(batch)});
}

Ref b_scatter_add(Graph *g, Ref upd, Ref idx, int axis, int batch, int64_t size)
{
    Attr attr[] = {a_int(axis), a_int(batch), a_int(size)};
    return node2(g, OP_scatter_add, upd, idx, attr);
}

/* ---- compositions ---- */

Ref b_like(Graph *g, Ref model, double value)
{
    return graph_splat(g, type_at(g, model), value);
}

Ref b_sum_samples(Graph *g, Ref x)
{
    int axes[MAX_RANK], n = 0;
    for (int i = 1; i < rank_of(g, x); i++) axes[n++] = i;
    return n ? b_reduce(g, OP_sum, x, n, axes) : x;
}

Ref b_broadcast_to(Graph *g, Ref x, Type to)
{
    Type t = type_at(g, x);
    int lead = to.rank - t.rank;
    int64_t dim[MAX_RANK];
    if (lead < 0) err(NULL, "broadcast: rank %d does not fit rank %d", t.rank, to.rank);
    for (int i = 0; i < to.rank; i++) dim[i] = i < lead ? 1 : t.dim[i - lead];
    return b_broadcast(g, b_reshape(g, x, to.rank, dim), to.rank, to.dim);
}

/* The shape both broadcast to; where extents conflict the broadcast of one will say so. */
void b_align(Graph *g, Ref *a, Ref *b)
{
    Type s = type_at(g, *a), t = type_at(g, *b);
    Type big = s.rank > t.rank ? s : t, small = s.rank > t.rank ? t : s;
    int lead = big.rank - small.rank;
    for (int i = 0; i < small.rank; i++)
        if (big.dim[lead + i] == 1) big.dim[lead + i] = small.dim[i];
    *a = b_broadcast_to(g, *a, big);
    *b = b_broadcast_to(g, *b, big);
}

Ref b_relu(Graph *g, Ref x)
{
    return b_binary(g, OP_max2, x, b_like(g, x, 0));
}

Ref b_clip(Graph *g, Ref x, Ref lo, Ref hi)
{
    return b_binary(g, OP_min2, hi, b_binary(g, OP_max2, lo, x));
}

Ref b_onehot(Graph *g, Ref index, Type logits)
{
    check(logits.rank == 2);
    Type t = type_with(logits, DT_I64);
    int64_t column[2] = {t.dim[0], 1};
    Ref wide = b_broadcast(g, b_reshape(g, index, 2, column), 2, t.dim);
    return b_binary(g, OP_eq, b_iota(g, t, 1), wide);
}

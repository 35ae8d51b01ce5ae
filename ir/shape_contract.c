/* SPDX-License-Identifier: Apache-2.0 */
/* Shape rules of contractions and data-dependent indexing. The three partials of a convolution
 * share one check: x, w and dy must fit each other as conv(x, w) = dy would, whichever of the three
 * is the result. */
#include "shape.h"

#include <string.h>

const char *shape_matmul(Shape *s)
{
    const Type *a = &s->args[0], *b = &s->args[1];
    int r = a->rank;
    if (r < 2 || b->rank != r) return "operands must have equal ranks of at least 2";
    if (a->dtype != b->dtype || !is_number(*a)) return "operands must have one number type";
    for (int i = 0; i < r - 2; i++)
        if (a->dim[i] != b->dim[i]) return SAY("leading extents differ at axis %d", i);
    if (a->dim[r - 1] != b->dim[r - 2])
        return SAY("inner extents differ: %lld and %lld", (long long)a->dim[r - 1],
                   (long long)b->dim[r - 2]);
    *s->out = *a;
    s->out->dim[r - 1] = b->dim[r - 1];
    return NULL;
}

/* ---- convolution ---- */

static const char *conv_frame(Shape *s)
{ /* strides, pads, dilations, groups */
    const Attr *a = s->attr;
    const Type *p = &s->args[0], *q = &s->args[1];
    int k = p->rank - 2;
    if (k < 1 || k > 3 || q->rank != p->rank) return "operands must have equal ranks of 3 to 5";
    if (p->dtype != q->dtype || !is_number(*p)) return "operands must have one number type";
    if (a[0].n != k || a[1].n != 2 * k || a[2].n != k)
        return "strides, pads and dilations do not have the numbers of spatial axes";
    for (int i = 0; i < 2 * k; i++)
        if (a[1].i[i] < 0) return "pads must not be negative";
    return a[3].i[0] < 1 ? "groups must be at least 1" : NULL;
}

/* The extent of spatial axis i of conv(x, w); 0 if the kernel does not fit. */
static int64_t conv_extent(const Attr *a, int i, int64_t in, int64_t kernel)
{
    int k = a[0].n;
    int64_t n;
    if (in < 1 || __builtin_add_overflow(in, a[1].i[i], &n) ||
        __builtin_add_overflow(n, a[1].i[k + i], &n))
        return 0;
    return window_extent(n, kernel, a[0].i[i], a[2].i[i], &n) ? n : 0;
}

const char *shape_conv(Shape *s)
{
    const Attr *a = s->attr;
    const Type *x = &s->args[0], *w = &s->args[1];
    const char *fault = conv_frame(s);
    if (fault) return fault;
    int64_t g = a[3].i[0];
    if (x->dim[1] % g || w->dim[0] % g || w->dim[1] != x->dim[1] / g)
        return SAY("%lld channels, weights %lldx%lld and %lld groups do not fit",
                   (long long)x->dim[1], (long long)w->dim[0], (long long)w->dim[1], (long long)g);
    *s->out = *x;
    s->out->dim[1] = w->dim[0];
    for (int i = 2; i < x->rank; i++)
        if (!(s->out->dim[i] = conv_extent(a, i - 2, x->dim[i], w->dim[i])))
            return SAY("the kernel does not fit spatial axis %d", i - 2);
    return NULL;
}

/* Checks dy against the forward extents with the missing operand's `extra` (in or kernel). */
static const char *conv_partial(Shape *s, const Type *dy, const Type *x, const Type *w)
{
    const Attr *extra = &s->attr[4];
    if (extra->n != dy->rank - 2)
        return SAY("%s does not have the numbers of spatial axes", op_info[s->op].attr[4].name);
    for (int i = 0; i < extra->n; i++) {
        int64_t in = x ? x->dim[i + 2] : extra->i[i], k = w ? w->dim[i + 2] : extra->i[i];
        int64_t n = conv_extent(s->attr, i, in, k);
        if (n != dy->dim[i + 2])
            return SAY("spatial axis %d of the convolution is %lld, not %lld", i, (long long)n,
                       (long long)dy->dim[i + 2]);
        s->out->dim[i + 2] = extra->i[i];
    }
    return NULL;
}

const char *shape_conv_dx(Shape *s)
{
    const Type *dy = &s->args[0], *w = &s->args[1];
    const char *fault = conv_frame(s);
    if (fault) return fault;
    int64_t g = s->attr[3].i[0];
    if (dy->dim[1] != w->dim[0] || w->dim[0] % g)
        return "channels of dy, weights and groups do not fit";
    *s->out = *dy;
    if (!mul_ok(w->dim[1], g, &s->out->dim[1])) return "groups are too many";
    return conv_partial(s, dy, NULL, w);
}

const char *shape_conv_dw(Shape *s)
{
    const Type *x = &s->args[0], *dy = &s->args[1];
    const char *fault = conv_frame(s);
    if (fault) return fault;
    int64_t g = s->attr[3].i[0];
    if (x->dim[0] != dy->dim[0] || x->dim[1] % g || dy->dim[1] % g)
        return "batches or channels of x, dy and groups do not fit";
    *s->out = *x;
    s->out->dim[0] = dy->dim[1];
    s->out->dim[1] = x->dim[1] / g;
    return conv_partial(s, dy, x, NULL);
}

/* ---- index ---- */

static const char *index_frame(const Type *data, const Type *idx, const Attr *a)
{
    int64_t axis = a[0].i[0], batch = a[1].i[0];
    if (idx->dtype != DT_I64 && idx->dtype != DT_I32) return "indices must be i64 or i32";
    if (axis < 0 || batch < 0 || batch > axis || batch > idx->rank || axis > data->rank)
        return "axis or batch is outside the rank";
    for (int i = 0; i < batch; i++)
        if (data->dim[i] != idx->dim[i]) return "batch axes differ";
    return NULL;
}

const char *shape_gather(Shape *s)
{ /* axis, batch */
    const Type *x = &s->args[0], *idx = &s->args[1];
    const char *fault = index_frame(x, idx, s->attr);
    if (fault || s->attr[0].i[0] >= x->rank) return fault ? fault : "axis is outside the rank";
    int axis = (int)s->attr[0].i[0], batch = (int)s->attr[1].i[0];
    int m = idx->rank - batch, rest = x->rank - axis - 1;
    if (axis + m + rest > MAX_RANK) return "rank above 8";
    *s->out = (Type){.dtype = x->dtype, .rank = axis + m + rest};
    memcpy(s->out->dim, x->dim, sizeof(int64_t) * (size_t)axis);
    memcpy(s->out->dim + axis, idx->dim + batch, sizeof(int64_t) * (size_t)m);
    memcpy(s->out->dim + axis + m, x->dim + axis + 1, sizeof(int64_t) * (size_t)rest);
    return NULL;
}

const char *shape_scatter_add(Shape *s)
{ /* axis, batch, size */
    const Type *u = &s->args[0], *idx = &s->args[1];
    const char *fault = index_frame(u, idx, s->attr);
    if (fault) return fault;
    int axis = (int)s->attr[0].i[0], batch = (int)s->attr[1].i[0], m = idx->rank - batch;
    int rest = u->rank - axis - m;
    if (rest < 0 || axis + 1 + rest > MAX_RANK) return "updates do not have the rank of a gather";
    if (memcmp(u->dim + axis, idx->dim + batch, sizeof(int64_t) * (size_t)m))
        return "updates do not have the extents of the indices";
    *s->out = (Type){.dtype = u->dtype, .rank = axis + 1 + rest};
    memcpy(s->out->dim, u->dim, sizeof(int64_t) * (size_t)axis);
    s->out->dim[axis] = s->attr[2].i[0];
    memcpy(s->out->dim + axis + 1, u->dim + axis + m, sizeof(int64_t) * (size_t)rest);
    return is_number(*u) ? NULL : "adds numbers, not bool";
}

double node_macs(const Graph *g, Ref r)
{
    const Node *n = &g->node[r];
    if (op_info[n->op].cls != CL_CONTRACT) return 0;
    Type w = g->node[n->args[1]].type, x = g->node[n->args[0]].type;
    double batch = n->type.rank ? (double)n->type.dim[0] : 1;
    if (n->op == OP_matmul) return (double)type_count(n->type) * (double)x.dim[x.rank - 1] / batch;
    Type y = n->op == OP_conv ? n->type : n->op == OP_conv_dx ? x : w;
    double per = n->op == OP_conv_dw ? (double)type_count(n->type) / (double)n->type.dim[0]
                                     : (double)type_count(w) / (double)w.dim[0];
    return (double)type_count(y) * per / (double)y.dim[0];
}

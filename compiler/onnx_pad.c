/* SPDX-License-Identifier: Apache-2.0 */
/* Pad in its modes. A negative pad crops. Reflected, repeated and wrapped borders are joins of
 * views of the operand, so their derivatives are sums. */
#include "onnx_node.h"

#include <string.h>

typedef struct Pads {
    int64_t low[MAX_RANK], high[MAX_RANK];
} Pads;

static Pads read_pads(const OnnxNode *n, int rank)
{
    int64_t list[2 * MAX_RANK];
    int axes[MAX_RANK], k, have = onnx_ints_at(n, "pads", 1, list, COUNT(list));
    int64_t given[MAX_RANK], far = INT64_C(1) << 32;
    Pads p = {{0}, {0}};
    k = onnx_ints_in(n, 3, given, MAX_RANK);
    for (int i = 0; i < (k < 0 ? rank : k); i++) axes[i] = k < 0 ? i : onnx_axis(n, given[i], rank);
    if (k < 0) k = rank;
    if (have != 2 * k) onnx_fail(n, "%d pads for %d axes", have, k);
    for (int i = 0; i < k; i++) {
        p.low[axes[i]] = list[i];
        p.high[axes[i]] = list[k + i];
        if (list[i] > far || list[i] < -far || list[k + i] > far || list[k + i] < -far)
            onnx_fail(n, "a pad is too large");
    }
    return p;
}

static int64_t positive(int64_t v)
{
    return v > 0 ? v : 0;
}

/* Negative pads become a slice, and zero. */
static Ref crop(const OnnxNode *n, Ref x, Pads *p)
{
    Type t = onnx_type(n, x);
    for (int i = 0; i < t.rank; i++) {
        int64_t start = positive(-p->low[i]), size = t.dim[i] - start - positive(-p->high[i]);
        if (size < 1) onnx_fail(n, "its pads leave nothing of axis %d", i);
        if (size != t.dim[i]) x = b_slice_axis(n->g, x, i, start, size, 1);
        p->low[i] = positive(p->low[i]);
        p->high[i] = positive(p->high[i]);
    }
    return x;
}

/* ---- constant ---- */

/* A fill that depends on data: where padded ones are 0, take the fill. */
static Ref fill_with(const OnnxNode *n, Ref x, Ref padded, Ref fill, const Pads *p)
{
    int64_t inner[MAX_RANK] = {0};
    Type t = onnx_type(n, padded);
    Ref inside = b_pad(n->g, graph_splat(n->g, type_with(onnx_type(n, x), DT_BOOL), 1), p->low,
                       p->high, inner, 0);
    return b_select(n->g, inside, padded, b_broadcast_to(n->g, fill, t));
}

static Ref pad_constant(const OnnxNode *n, Ref x, const Pads *p)
{
    int64_t inner[MAX_RANK] = {0};
    double v = onnx_float(n, "value", 0);
    Ref fill = onnx_opt(n, 2);
    if (fill == NOREF) return b_pad(n->g, x, p->low, p->high, inner, v);
    if (type_count(onnx_type(n, fill)) != 1) onnx_fail(n, "constant_value must be one number");
    fill = b_reshape(n->g, fill, 0, NULL);
    if (n->g->node[fill].op != OP_const) {
        Ref padded = b_pad(n->g, x, p->low, p->high, inner, 0);
        return fill_with(n, x, padded, fill, p);
    }
    return b_pad(n->g, x, p->low, p->high, inner, onnx_number_in(n, 2, 0));
}

/* ---- borders made of the operand ---- */

typedef Ref Border(const OnnxNode *, Ref x, int axis, int64_t size, bool high);

static Ref part(const OnnxNode *n, Ref x, int axis, int64_t start, int64_t size)
{
    if (start < 0 || size > onnx_type(n, x).dim[axis] - start)
        onnx_fail(n, "a pad of axis %d is larger than the axis: not supported", axis);
    return b_slice_axis(n->g, x, axis, start, size, 1);
}

static Ref edge(const OnnxNode *n, Ref x, int axis, int64_t size, bool high)
{
    Type t = onnx_type(n, x);
    Ref e = part(n, x, axis, high ? t.dim[axis] - 1 : 0, 1);
    t.dim[axis] = size;
    return b_broadcast(n->g, e, t.rank, t.dim);
}

static Ref reflect(const OnnxNode *n, Ref x, int axis, int64_t size, bool high)
{
    int64_t d = onnx_type(n, x).dim[axis];
    return b_reverse(n->g, part(n, x, axis, high ? d - 1 - size : 1, size), 1, &axis);
}

static Ref wrap(const OnnxNode *n, Ref x, int axis, int64_t size, bool high)
{
    int64_t d = onnx_type(n, x).dim[axis];
    return part(n, x, axis, high ? 0 : d - size, size);
}

static Ref pad_border(const OnnxNode *n, Ref x, const Pads *p, Border *border)
{
    int rank = onnx_type(n, x).rank;
    for (int i = 0; i < rank; i++) {
        Ref piece[3];
        int k = 0;
        if (p->low[i]) piece[k++] = border(n, x, i, p->low[i], false);
        piece[k++] = x;
        if (p->high[i]) piece[k++] = border(n, x, i, p->high[i], true);
        x = b_concat(n->g, k, piece, i);
    }
    return x;
}

static const struct {
    const char *mode;
    Border *border;
} borders[] = {{"edge", edge}, {"reflect", reflect}, {"wrap", wrap}};

void build_pad(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    const char *mode = onnx_str(n, "mode", "constant");
    Pads p = read_pads(n, onnx_type(n, x).rank);
    x = crop(n, x, &p);
    if (!strcmp(mode, "constant")) {
        onnx_out(n, 0, pad_constant(n, x, &p));
        return;
    }
    for (int i = 0; i < COUNT(borders); i++)
        if (!strcmp(mode, borders[i].mode)) {
            onnx_out(n, 0, pad_border(n, x, &p, borders[i].border));
            return;
        }
    onnx_fail(n, "mode %s is not supported", mode);
}

/* Each axis cut or filled with zeros about its middle; an odd element more is the high end's. */
void build_center_crop_pad(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    int rank = onnx_type(n, x).rank;
    int64_t shape[MAX_RANK], axes[MAX_RANK], inner[MAX_RANK] = {0};
    int have = onnx_ints_in(n, 1, shape, MAX_RANK), k = onnx_ints(n, "axes", axes, MAX_RANK);
    Pads p = {{0}, {0}};
    if (have != (k < 0 ? rank : k)) onnx_fail(n, "%d extents for its axes", have);
    for (int i = 0; i < have; i++) {
        int axis = k < 0 ? i : onnx_axis(n, axes[i], rank);
        int64_t d = onnx_type(n, x).dim[axis], more = shape[i] - d;
        if (shape[i] < 1 || shape[i] > INT64_C(1) << 32) onnx_fail(n, "an extent is not supported");
        p.low[axis] = more > 0 ? more / 2 : -(-more / 2);
        p.high[axis] = more - p.low[axis];
    }
    x = crop(n, x, &p);
    onnx_out(n, 0, b_pad(n->g, x, p.low, p.high, inner, 0));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Pools: pad, window, reduce the window's axes, drop them. No pool has an op or a gradient of its
 * own. */
#include "onnx_node.h"

#include <string.h>

/* [N,C,D..] -> [N,C,O..,K..], padded with v. The high pad is what the last window needs, which may
 * be more (ceil_mode) or less than the attribute said. */
static Ref windows(const OnnxNode *n, Ref x, const Spatial *s, double v)
{
    int64_t low[MAX_RANK] = {0}, high[MAX_RANK] = {0}, inner[MAX_RANK] = {0};
    bool padded = false;
    for (int i = 0; i < s->k; i++) {
        int64_t end = (s->out[i] - 1) * s->strides[i] + (s->size[i] - 1) * s->dilations[i] + 1;
        int64_t lack = end - s->in[i] - s->low[i];
        low[i + 2] = s->low[i];
        high[i + 2] = lack > 0 ? lack : 0;
        padded = padded || low[i + 2] || high[i + 2];
    }
    if (padded) x = b_pad(n->g, x, low, high, inner, v);
    return b_window(n->g, x, s->k, s->size, s->strides, s->dilations);
}

static Ref over_windows(const OnnxNode *n, Op op, Ref w, int k)
{
    int first = onnx_type(n, w).rank - k, axes[3] = {first, first + 1, first + 2};
    return onnx_drop_axes(n, b_reduce(n->g, op, w, k, axes), k, axes);
}

/* ---- the largest ---- */

/* An axis of the result as i64, where window o begins: o * stride - low. */
static Ref begins(const OnnxNode *n, const Spatial *s, int i, Type t)
{
    Ref o = b_iota(n->g, t, i + 2);
    o = b_binary(n->g, OP_mul, o, b_like(n->g, o, (double)s->strides[i]));
    return b_binary(n->g, OP_sub, o, b_like(n->g, o, (double)s->low[i]));
}

/* Row-major index in all of x of the position `at` within each window, or column-major within an
 * image (storage_order 1). */
static Ref flat_index(const OnnxNode *n, const Spatial *s, Ref at, Type x)
{
    Graph *g = n->g;
    Type t = onnx_type(n, at);
    int64_t image = 1, stride = 1;
    bool columns = onnx_int(n, "storage_order", 0) != 0;
    for (int i = 0; i < s->k; i++) image *= s->in[i];
    Ref plane = b_iota(g, t, 1), sum;
    if (t.dim[0] > 1) {
        Ref sample = b_iota(g, t, 0);
        sample = b_binary(g, OP_mul, sample, b_like(g, sample, (double)x.dim[1]));
        plane = b_binary(g, OP_add, plane, sample);
    }
    sum = b_binary(g, OP_mul, plane, b_like(g, plane, (double)image));
    for (int i = s->k - 1; i >= 0; i--) {
        Ref size = b_like(g, at, (double)s->size[i]), next = b_binary(g, OP_div, at, size);
        Ref tap = b_binary(g, OP_sub, at, b_binary(g, OP_mul, next, size));
        tap = b_binary(g, OP_mul, tap, b_like(g, tap, (double)s->dilations[i]));
        Ref place = b_binary(g, OP_add, begins(n, s, i, t), tap);
        int64_t by = columns ? image / stride / s->in[i] : stride;
        sum = b_binary(g, OP_add, sum, b_binary(g, OP_mul, place, b_like(g, place, (double)by)));
        stride *= s->in[i];
        at = next;
    }
    return sum;
}

void build_max_pool(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Type t = onnx_type(n, x);
    Spatial s = onnx_spatial(n, t, NULL);
    Ref w = windows(n, x, &s, onnx_lowest(t.dtype));
    onnx_out(n, 0, over_windows(n, OP_max, w, s.k));
    if (n->nout > 1) onnx_out(n, 1, flat_index(n, &s, over_windows(n, OP_argmax, w, s.k), t));
}

/* ---- powers ---- */

static Ref power(const OnnxNode *n, Ref x, double p)
{
    return p == 1 ? x : b_binary(n->g, OP_pow, x, b_like(n->g, x, p));
}

/* |x|^p, before a sum; p is 2 unless the node says otherwise. */
static double exponent(const OnnxNode *n)
{
    return n->opset < 2 && onnx_has(n, "p") && strcmp(n->op, "LpNormalization")
               ? onnx_float(n, "p", 2)
               : (double)onnx_int(n, "p", 2);
}

static Ref powers(const OnnxNode *n, Ref x)
{
    double p = exponent(n);
    return p == 2 ? b_binary(n->g, OP_mul, x, x) : power(n, b_unary(n->g, OP_abs, x), p);
}

static Ref root(const OnnxNode *n, Ref sum)
{
    double p = exponent(n);
    return p == 2 ? b_unary(n->g, OP_sqrt, sum) : power(n, sum, 1 / p);
}

Ref onnx_lp_norm(const OnnxNode *n, Ref x, int naxes, const int *axes)
{
    return root(n, b_reduce(n->g, OP_sum, powers(n, x), naxes, axes));
}

void build_lp_pool(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Spatial s = onnx_spatial(n, onnx_type(n, x), NULL);
    Ref w = windows(n, powers(n, x), &s, 0);
    onnx_out(n, 0, root(n, over_windows(n, OP_sum, w, s.k)));
}

/* ---- averages ---- */

/* The least t >= 0 with start + t * step >= at. */
static int64_t reaches(int64_t start, int64_t step, int64_t at)
{
    return at <= start ? 0 : (at - start + step - 1) / step;
}

/* Elements that window o of axis i averages: those of the input, or of the padded input. */
static int64_t taps(const Spatial *s, int i, int64_t o, bool with_pads)
{
    int64_t start = o * s->strides[i] - s->low[i], step = s->dilations[i];
    int64_t from = with_pads ? -s->low[i] : 0, to = s->in[i] + (with_pads ? s->high[i] : 0);
    int64_t first = reaches(start, step, from), end = reaches(start, step, to);
    if (end > s->size[i]) end = s->size[i];
    return end > first ? end - first : 0;
}

/* Whether all windows of all axes are whole, so that one number does. */
static bool uniform(const Spatial *s, bool with_pads)
{
    for (int i = 0; i < s->k; i++)
        if (taps(s, i, 0, with_pads) != s->size[i] ||
            taps(s, i, s->out[i] - 1, with_pads) != s->size[i])
            return false;
    return true;
}

/* Counts along one axis, [1,1,..,O,..], spread over y. */
static Ref axis_counts(const OnnxNode *n, const Spatial *s, int i, Ref y, bool with_pads)
{
    Type t = onnx_type(n, y), c = t;
    for (int d = 0; d < c.rank; d++) c.dim[d] = d == i + 2 ? t.dim[d] : 1;
    void *data = onnx_data(n, c);
    for (int64_t o = 0; o < c.dim[i + 2]; o++)
        elem_set(c.dtype, data, o, (double)taps(s, i, o, with_pads));
    return graph_const(n->g, c, data);
}

/* The counts of all axes, multiplied where they are small, spread where they are used. */
static Ref window_counts(const OnnxNode *n, const Spatial *s, Ref y, bool with_pads)
{
    Ref count = axis_counts(n, s, 0, y, with_pads);
    for (int i = 1; i < s->k; i++)
        count = onnx_binary(n, OP_mul, count, axis_counts(n, s, i, y, with_pads));
    return b_broadcast_to(n->g, count, onnx_type(n, y));
}

void build_average_pool(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Spatial s = onnx_spatial(n, onnx_type(n, x), NULL);
    bool with_pads = onnx_int(n, "count_include_pad", 0) != 0;
    Ref y = over_windows(n, OP_sum, windows(n, x, &s, 0), s.k);
    double all = 1;
    for (int i = 0; i < s.k; i++) all *= (double)s.size[i];
    Ref count = uniform(&s, with_pads) ? b_like(n->g, y, all) : window_counts(n, &s, y, with_pads);
    onnx_out(n, 0, b_binary(n->g, OP_div, y, count));
}

/* ---- whole images ---- */

static int image_axes(const OnnxNode *n, Ref x, int *axes)
{
    int rank = onnx_type(n, x).rank;
    for (int i = 2; i < rank; i++) axes[i - 2] = i;
    if (rank < 3) onnx_fail(n, "rank %d has no spatial axes", rank);
    return rank - 2;
}

void build_global_max_pool(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    int axes[MAX_RANK], k = image_axes(n, x, axes);
    onnx_out(n, 0, b_reduce(n->g, OP_max, x, k, axes));
}

void build_global_average_pool(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    int axes[MAX_RANK], k = image_axes(n, x, axes);
    Ref sum = b_reduce(n->g, OP_sum, x, k, axes);
    double count = 1;
    for (int i = 0; i < k; i++) count *= (double)onnx_type(n, x).dim[axes[i]];
    onnx_out(n, 0, b_binary(n->g, OP_div, sum, b_like(n->g, sum, count)));
}

void build_global_lp_pool(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    int axes[MAX_RANK], k = image_axes(n, x, axes);
    onnx_out(n, 0, onnx_lp_norm(n, x, k, axes));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Pools: pad, window, reduce the window's axes, drop them. No pool has an op or a gradient of its
 * own. */
#include "onnx_node.h"

#include <math.h>

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

static double lowest(DType t)
{
    switch (t) {
    case DT_I64: return -0x1p63;
    case DT_I32: return -0x1p31;
    case DT_I8: return -128;
    case DT_U8:
    case DT_BOOL: return 0;
    default: return (double)-INFINITY;
    }
}

/* The second output, Indices, is not computed. */
void build_max_pool(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Spatial s = onnx_spatial(n, onnx_type(n, x), NULL);
    Ref w = windows(n, x, &s, lowest(onnx_type(n, x).dtype));
    onnx_out(n, 0, over_windows(n, OP_max, w, s.k));
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

static Ref global(const OnnxNode *n, Op op, double *count)
{
    Ref x = onnx_in(n, 0);
    Type t = onnx_type(n, x);
    int axes[MAX_RANK], k = 0;
    *count = 1;
    for (int i = 2; i < t.rank; i++) {
        axes[k++] = i;
        *count *= (double)t.dim[i];
    }
    if (!k) onnx_fail(n, "rank %d has no spatial axes", t.rank);
    return b_reduce(n->g, op, x, k, axes);
}

void build_global_max_pool(OnnxNode *n)
{
    double count;
    onnx_out(n, 0, global(n, OP_max, &count));
}

void build_global_average_pool(OnnxNode *n)
{
    double count;
    Ref sum = global(n, OP_sum, &count);
    onnx_out(n, 0, b_binary(n->g, OP_div, sum, b_like(n->g, sum, count)));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Resize and Upsample. Every mode is, along each axis, a few taps with weights that are known at
 * import: a gather with constant indices, a product and a sum. A whole factor of nearest repeats
 * elements, which is a view. */
#include "onnx_node.h"

#include <math.h>
#include <string.h>

typedef struct Axis { /* of x to resize */
    int axis;
    int64_t in, out;
    double scale, roi[2];
} Axis;

typedef double Coordinate(const Axis *, double o); /* where in the operand result o lies */

typedef struct Resize {
    const OnnxNode *n;
    Coordinate *at;
    const char *nearest; /* its rounding; NULL: linear or cubic */
    int reach;           /* half the kernel's width: 1 linear, 2 cubic */
    double a, outside;   /* cubic's coefficient; what lies outside a cropped region */
    bool crops, exclude, antialias;
} Resize;

/* ---- coordinates ---- */

static double half_pixel(const Axis *a, double o)
{
    return (o + 0.5) / a->scale - 0.5;
}

static double symmetric(const Axis *a, double o)
{
    double whole = a->scale * (double)a->in;
    return (double)a->in / 2 * (1 - (double)a->out / whole) + half_pixel(a, o);
}

static double pytorch_half_pixel(const Axis *a, double o)
{
    return a->scale * (double)a->in == 1 ? -0.5 : half_pixel(a, o);
}

static double align_corners(const Axis *a, double o)
{
    double whole = a->scale * (double)a->in;
    return whole == 1 ? 0 : o * (double)(a->in - 1) / (whole - 1);
}

static double asymmetric(const Axis *a, double o)
{
    return o / a->scale;
}

static double half_pixel_for_nn(const Axis *a, double o)
{
    return (o + 0.5) / a->scale;
}

static double crop(const Axis *a, double o)
{
    double whole = a->scale * (double)a->in, last = (double)(a->in - 1);
    double size = a->roi[1] - a->roi[0];
    double inner = whole == 1 ? size * last / 2 : o * size * last / (whole - 1);
    return a->roi[0] * last + inner;
}

static const struct {
    const char *name;
    Coordinate *at;
} coordinates[] = {
    {"half_pixel", half_pixel},
    {"half_pixel_symmetric", symmetric},
    {"pytorch_half_pixel", pytorch_half_pixel},
    {"align_corners", align_corners},
    {"asymmetric", asymmetric},
    {"tf_half_pixel_for_nn", half_pixel_for_nn},
    {"tf_crop_and_resize", crop},
};

/* ---- weights ---- */

static double kernel(const Resize *r, double x)
{
    x = fabs(x);
    if (r->reach == 1) return x < 1 ? 1 - x : 0;
    if (x <= 1) return ((r->a + 2) * x - (r->a + 3)) * x * x + 1;
    return x < 2 ? ((x - 5) * x + 8) * x * r->a - 4 * r->a : 0;
}

/* Of two neighbours, is the right one the nearest? ratio: how far between, in (0,1]. */
static bool takes_right(const char *how, double ratio)
{
    if (ratio == 1 || !strcmp(how, "ceil")) return true;
    if (!strcmp(how, "floor")) return false;
    return !strcmp(how, "round_prefer_ceil") ? ratio >= 0.5 : ratio > 0.5;
}

/* Downwards, antialiasing widens the kernel by as much as the image shrinks. */
static double widening(const Resize *r, const Axis *a)
{
    return r->antialias && a->scale < 1 ? a->scale : 1;
}

static int64_t taps_of(const Resize *r, const Axis *a)
{
    return r->nearest ? 2 : -2 * (int64_t)floor(-r->reach / widening(r, a));
}

/* w[taps] of result o; tap 0 is at *first of the operand. False: o lies outside. */
static bool weigh(const Resize *r, const Axis *a, int64_t o, int64_t taps, double *w,
                  int64_t *first)
{
    double x = r->at(a, (double)o), sum = 0;
    if (r->crops && (x < 0 || x > (double)(a->in - 1))) return false;
    double left = ceil(x) - 1, ratio = x - left;
    *first = (int64_t)left - taps / 2 + 1;
    for (int64_t i = 0; i < taps; i++) {
        double d = (double)(*first + i) - x;
        w[i] = r->nearest ? (double)(takes_right(r->nearest, ratio) == (i == 1))
                          : kernel(r, d * widening(r, a));
        bool beyond = *first + i < 0 || *first + i >= a->in;
        if (r->exclude && beyond) w[i] = 0;
        sum += w[i];
    }
    for (int64_t i = 0; i < taps; i++) w[i] /= sum ? sum : 1;
    return true;
}

/* ---- one axis ---- */

typedef struct Taps { /* [out, n] indices and weights */
    int64_t out, n, *index;
    double *weight;
    bool *inside; /* [out] */
} Taps;

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* The taps with a weight, moved to the front; *most: the largest number of them. */
static void compact(Taps *t, int64_t o, int64_t *most)
{
    int64_t *index = t->index + o * t->n, k = 0;
    double *weight = t->weight + o * t->n;
    for (int64_t i = 0; i < t->n; i++) {
        double w = weight[i];
        weight[i] = 0;
        if (w == 0) continue;
        if (k && index[k - 1] == index[i]) {
            weight[k - 1] += w;
            continue;
        }
        index[k] = index[i];
        weight[k++] = w;
    }
    if (k > *most) *most = k;
}

static Taps make_taps(const Resize *r, const Axis *a)
{
    int64_t n = taps_of(r, a), first, most = 1;
    Type plane = type_of(DT_F64, 2, (int64_t[]){a->out, n});
    Taps t = {.out = a->out, .n = n, .weight = onnx_data(r->n, plane)};
    t.index = onnx_data(r->n, type_with(plane, DT_I64));
    t.inside = NEW_N(r->n->g->arena, bool, a->out);
    for (int64_t o = 0; o < a->out; o++) {
        t.inside[o] = weigh(r, a, o, n, t.weight + o * n, &first);
        for (int64_t i = 0; i < n && t.inside[o]; i++)
            t.index[o * n + i] = clamp(first + i, 0, a->in - 1);
        compact(&t, o, &most);
    }
    for (int64_t o = 0; o < a->out; o++)
        for (int64_t i = 0; i < most; i++) {
            t.index[o * most + i] = t.index[o * n + i];
            t.weight[o * most + i] = t.weight[o * n + i];
        }
    t.n = most;
    return t;
}

static Type spread(Type x, int axis, int64_t out, int64_t n)
{
    Type t = x;
    for (int i = 0; i <= x.rank; i++) t.dim[i] = i == axis ? out : i == axis + 1 ? n : 1;
    t.rank = x.rank + 1;
    return t;
}

/* Sum over taps of weight * x[index]. */
static Ref weighted(const Resize *r, Ref x, int axis, const Taps *t)
{
    Graph *g = r->n->g;
    Type tx = onnx_type(r->n, x), tw = spread(tx, axis, t->out, t->n);
    int drop = axis + 1;
    if (!dtype_is_float(tx.dtype)) onnx_fail(r->n, "interpolation of integers is not supported");
    if (tx.rank == MAX_RANK) onnx_fail(r->n, "interpolation of rank 8 is not supported");
    Ref index = graph_const(g, type_of(DT_I64, 2, (int64_t[]){t->out, t->n}), t->index);
    void *data = onnx_data(r->n, tw);
    for (int64_t i = 0; i < t->out * t->n; i++) elem_set(tw.dtype, data, i, t->weight[i]);
    x = b_gather(g, x, index, axis, 0);
    Ref w = b_broadcast_to(g, graph_const(g, tw, data), onnx_type(r->n, x));
    x = b_reduce(g, OP_sum, b_binary(g, OP_mul, x, w), 1, &drop);
    return onnx_drop_axes(r->n, x, 1, &drop);
}

static bool repeats(const Axis *a, const Taps *t)
{
    int64_t times = a->out / a->in;
    bool each = a->out == times * a->in;
    for (int64_t o = 0; o < a->out && each; o++) each = t->index[o] == o / times;
    return each;
}

static Ref picked(const Resize *r, Ref x, const Axis *a, const Taps *t)
{
    if (repeats(a, t)) return onnx_repeat(r->n, x, a->axis, a->out / a->in, true);
    Ref index = graph_const(r->n->g, type_of(DT_I64, 1, &a->out), t->index);
    return b_gather(r->n->g, x, index, a->axis, 0);
}

static Ref fill_outside(const Resize *r, Ref y, const Axis *a, const Taps *t)
{
    Type ty = onnx_type(r->n, y), line = type_with(ty, DT_BOOL);
    for (int i = 0; i < ty.rank; i++) line.dim[i] = i == a->axis ? a->out : 1;
    Ref inside = b_broadcast_to(r->n->g, graph_const(r->n->g, line, t->inside), ty);
    return b_select(r->n->g, inside, y, b_like(r->n->g, y, r->outside));
}

static Ref resize_axis(const Resize *r, Ref x, const Axis *a)
{
    Taps t = make_taps(r, a);
    bool one = t.n == 1;
    for (int64_t o = 0; o < a->out && one; o++) one = t.weight[o] == 1 || !t.inside[o];
    x = one ? picked(r, x, a, &t) : weighted(r, x, a->axis, &t);
    return r->crops ? fill_outside(r, x, a, &t) : x;
}

/* ---- attributes ---- */

static void read_mode(Resize *r, const char *mode)
{
    if (!strcmp(mode, "nearest")) return;
    r->nearest = NULL;
    if (!strcmp(mode, "cubic"))
        r->reach = 2;
    else if (strcmp(mode, "linear") && strcmp(mode, "bilinear"))
        onnx_fail(r->n, "mode %s is not supported", mode);
}

/* Until opset 10 there was one way. */
static Resize read_resize(const OnnxNode *n, bool old)
{
    const char *how =
        old ? "asymmetric" : onnx_str(n, "coordinate_transformation_mode", "half_pixel");
    Resize r = {.n = n, .reach = 1, .nearest = "floor"};
    if (!old) r.nearest = onnx_str(n, "nearest_mode", "round_prefer_floor");
    r.a = onnx_float(n, "cubic_coeff_a", -0.75);
    r.outside = onnx_float(n, "extrapolation_value", 0);
    r.exclude = onnx_int(n, "exclude_outside", 0) != 0;
    r.antialias = onnx_int(n, "antialias", 0) != 0;
    for (int i = 0; i < COUNT(coordinates); i++)
        if (!strcmp(how, coordinates[i].name)) r.at = coordinates[i].at;
    if (!r.at) onnx_fail(n, "coordinate_transformation_mode %s is not supported", how);
    r.crops = r.at == crop;
    read_mode(&r, onnx_str(n, "mode", "nearest"));
    return r;
}

/* ---- extents ---- */

/* Sizes that keep the ratio of the axes: the smallest or the largest of their scales for all. */
static void keep_ratio(const OnnxNode *n, Axis *a, int k)
{
    const char *how = onnx_str(n, "keep_aspect_ratio_policy", "stretch");
    bool smaller = !strcmp(how, "not_larger");
    double s = k ? a[0].scale : 1;
    if (!strcmp(how, "stretch")) return;
    for (int i = 1; i < k; i++)
        if (smaller == (a[i].scale < s)) s = a[i].scale;
    for (int i = 0; i < k; i++) {
        a[i].scale = s;
        a[i].out = (int64_t)floor(s * (double)a[i].in + 0.5);
    }
}

static void check_extent(const OnnxNode *n, const Axis *a)
{
    if (!(a->scale > 0) || a->out < 1 || a->out > 1 << 24)
        onnx_fail(n, "axis %d: %lld to %lld is not supported", a->axis, (long long)a->in,
                  (long long)a->out);
}

static void by_scales(const OnnxNode *n, Axis *a, int k, const double *scale)
{
    for (int i = 0; i < k; i++) {
        double out = floor(scale[i] * (double)a[i].in);
        a[i].scale = scale[i];
        a[i].out = out >= 1 && out < 1 << 30 ? (int64_t)out : 0;
        check_extent(n, &a[i]);
    }
}

static void by_sizes(const OnnxNode *n, Axis *a, int k, const double *size)
{
    for (int i = 0; i < k; i++) {
        a[i].out = size[i] >= 1 && size[i] < 1 << 30 ? (int64_t)size[i] : 0;
        a[i].scale = size[i] / (double)a[i].in;
    }
    keep_ratio(n, a, k);
    for (int i = 0; i < k; i++) check_extent(n, &a[i]);
}

static Ref resize(const Resize *r, Ref x, const Axis *a, int k)
{
    for (int i = 0; i < k; i++)
        if (a[i].out != a[i].in || a[i].scale != 1 || r->crops) x = resize_axis(r, x, &a[i]);
    return x;
}

static int all_axes(const OnnxNode *n, Type t, Axis *a)
{
    int64_t axes[MAX_RANK];
    int k = onnx_ints(n, "axes", axes, MAX_RANK);
    for (int i = 0; i < (k < 0 ? t.rank : k); i++) {
        int axis = k < 0 ? i : onnx_axis(n, axes[i], t.rank);
        a[i] = (Axis){.axis = axis, .in = t.dim[axis], .roi = {0, 1}};
    }
    return k < 0 ? t.rank : k;
}

static void read_roi(const OnnxNode *n, Axis *a, int k)
{
    double roi[2 * MAX_RANK];
    if (onnx_numbers_in(n, 1, roi, COUNT(roi)) != 2 * k) onnx_fail(n, "roi is not 2 a axis");
    for (int i = 0; i < k; i++) a[i].roi[0] = roi[i], a[i].roi[1] = roi[k + i];
}

void build_resize(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    bool old = n->opset < 11;
    Resize r = read_resize(n, old);
    Axis a[MAX_RANK];
    double v[MAX_RANK];
    int k = all_axes(n, onnx_type(n, x), a);
    if (r.crops) read_roi(n, a, k);
    int have = onnx_numbers_in(n, old ? 1 : 2, v, MAX_RANK);
    bool scales = have > 0;
    if (!scales) have = onnx_numbers_in(n, 3, v, MAX_RANK);
    if (have != k) onnx_fail(n, "%d scales or sizes for %d axes", have < 0 ? 0 : have, k);
    if (scales)
        by_scales(n, a, k, v);
    else
        by_sizes(n, a, k, v);
    onnx_out(n, 0, resize(&r, x, a, k));
}

void build_upsample(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Resize r = read_resize(n, true);
    Axis a[MAX_RANK];
    double v[MAX_RANK];
    int k = all_axes(n, onnx_type(n, x), a);
    int have =
        n->opset < 9 ? onnx_floats(n, "scales", v, MAX_RANK) : onnx_numbers_in(n, 1, v, MAX_RANK);
    if (have != k) onnx_fail(n, "%d scales for rank %d", have < 0 ? 0 : have, k);
    by_scales(n, a, k, v);
    onnx_out(n, 0, resize(&r, x, a, k));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a value and their joining. A part without elements is ONNX_EMPTY where the value is a
 * vector, as shape arithmetic makes them, and refused elsewhere. */
#include "onnx_node.h"

static Ref nothing(const OnnxNode *n, Type t)
{
    if (t.rank != 1) onnx_fail(n, "a result without elements is not supported");
    return ONNX_EMPTY;
}

void build_concat(OnnxNode *n)
{
    Ref *part = NEW_N(n->g->arena, Ref, n->nin);
    int count = 0;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] != ONNX_EMPTY) part[count++] = onnx_in(n, i);
    if (!count) {
        onnx_out(n, 0, n->nin ? ONNX_EMPTY : onnx_in(n, 0));
        return;
    }
    int axis = onnx_axis(n, onnx_int(n, "axis", 1), onnx_type(n, part[0]).rank);
    onnx_out(n, 0, b_concat(n->g, count, part, axis));
}

/* ---- split ---- */

/* Sizes of the parts: given, or equal with a smaller last one. */
static void split_sizes(const OnnxNode *n, int64_t extent, int64_t *size)
{
    int have = onnx_ints_at(n, "split", 1, size, n->nout);
    int64_t each = (extent + n->nout - 1) / n->nout, sum = 0;
    if (have >= 0 && have != n->nout) onnx_fail(n, "%d sizes for %d outputs", have, n->nout);
    for (int i = 0; i < n->nout; i++) {
        if (have < 0) size[i] = i < n->nout - 1 ? each : extent - each * (n->nout - 1);
        if (size[i] < 0 || size[i] > extent - sum) onnx_fail(n, "its parts do not fit");
        sum += size[i];
    }
    if (sum != extent)
        onnx_fail(n, "parts of %lld in sum for %lld", (long long)sum, (long long)extent);
}

void build_split(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Type t = onnx_type(n, x);
    int axis = onnx_axis(n, onnx_int(n, "axis", 0), t.rank);
    int64_t *size = NEW_N(n->g->arena, int64_t, n->nout), at = 0;
    if (n->nout < 1) onnx_fail(n, "no outputs");
    split_sizes(n, t.dim[axis], size);
    for (int i = 0; i < n->nout; at += size[i++])
        onnx_out(n, i, size[i] ? b_slice_axis(n->g, x, axis, at, size[i], 1) : nothing(n, t));
}

/* ---- slice ---- */

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* Python's slice of one axis. Backwards: the same elements forwards, then reversed. */
static Ref slice_axis(const OnnxNode *n, Ref x, int axis, int64_t start, int64_t end, int64_t step)
{
    Type t = onnx_type(n, x);
    int64_t d = t.dim[axis], far = INT64_C(1) << 40;
    bool back = step < 0;
    if (step == 0) onnx_fail(n, "a step is 0");
    step = clamp(back ? -clamp(step, -far, -1) : step, 1, far);
    start = clamp(start < 0 ? start + d : start, 0, back ? d - 1 : d);
    end = clamp(end < 0 ? end + d : end, back ? -1 : 0, back ? d - 1 : d);
    int64_t span = back ? start - end : end - start;
    if (span <= 0) return nothing(n, t);
    int64_t count = (span + step - 1) / step;
    int64_t first = back ? start - (count - 1) * step : start;
    if (count != d || step != 1) x = b_slice_axis(n->g, x, axis, first, count, step);
    return back ? b_reverse(n->g, x, 1, &axis) : x;
}

static void same_count(const OnnxNode *n, int have, int want, const char *what)
{
    if (have >= 0 && have != want) onnx_fail(n, "%d %s for %d starts", have, what, want);
}

void build_slice(OnnxNode *n)
{
    Ref x = n->nin && n->in[0] == ONNX_EMPTY ? ONNX_EMPTY : onnx_in(n, 0);
    int64_t starts[MAX_RANK], ends[MAX_RANK], axes[MAX_RANK], steps[MAX_RANK];
    int k = onnx_ints_at(n, "starts", 1, starts, MAX_RANK);
    int nends = onnx_ints_at(n, "ends", 2, ends, MAX_RANK);
    int naxes = onnx_ints_at(n, "axes", 3, axes, MAX_RANK);
    int nsteps = onnx_ints_in(n, 4, steps, MAX_RANK);
    if (k < 0 || nends < 0) onnx_fail(n, "starts or ends are missing");
    same_count(n, nends, k, "ends");
    same_count(n, naxes, k, "axes");
    same_count(n, nsteps, k, "steps");
    for (int i = 0; i < k && x != ONNX_EMPTY; i++) {
        int axis = onnx_axis(n, naxes < 0 ? i : axes[i], onnx_type(n, x).rank);
        x = slice_axis(n, x, axis, starts[i], ends[i], nsteps < 0 ? 1 : steps[i]);
    }
    onnx_out(n, 0, x);
}

/* ---- gather ---- */

static Ref constant_indices(const OnnxNode *n, const Const *c, int64_t extent)
{
    Type t = type_with(c->type, DT_I64);
    int64_t count = c->splat ? 1 : type_count(t);
    int64_t *v = NEW_N(n->g->arena, int64_t, count);
    for (int64_t i = 0; i < count; i++) {
        int64_t at = elem_get_int(c->type.dtype, c->data, i);
        if (at < -extent || at >= extent)
            onnx_fail(n, "index %lld is outside %lld", (long long)at, (long long)extent);
        v[i] = at < 0 ? at + extent : at;
    }
    return c->splat ? graph_splat(n->g, t, (double)v[0]) : graph_const(n->g, t, v);
}

/* As i64 in [0, extent); negative ones count from the end. */
Ref onnx_indices(const OnnxNode *n, Ref i, int64_t extent)
{
    Type t = onnx_type(n, i);
    if (t.dtype != DT_I64 && t.dtype != DT_I32) onnx_fail(n, "indices must be integers");
    if (n->g->node[i].op == OP_const) return constant_indices(n, n->g->node[i].value, extent);
    i = b_cast(n->g, i, DT_I64);
    Ref negative = b_binary(n->g, OP_lt, i, b_like(n->g, i, 0));
    Ref moved = b_binary(n->g, OP_add, i, b_like(n->g, i, (double)extent));
    return b_select(n->g, negative, moved, i);
}

/* One constant index is a slice: a view, and no obstacle to the proof that samples are
 * independent. */
static Ref pick(const OnnxNode *n, Ref x, int axis, const Const *index)
{
    Type t = onnx_type(n, x), to = t;
    int64_t at = elem_get_int(DT_I64, index->data, 0);
    int more = index->type.rank;
    to.rank = t.rank - 1 + more;
    if (to.rank > MAX_RANK) onnx_fail(n, "the result has rank %d", to.rank);
    for (int i = 0; i < to.rank; i++)
        to.dim[i] = i < axis ? t.dim[i] : i < axis + more ? 1 : t.dim[i - more + 1];
    x = b_slice_axis(n->g, x, axis, at, 1, 1);
    return b_reshape(n->g, x, to.rank, to.dim);
}

void build_gather(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Type t = onnx_type(n, x);
    int axis = onnx_axis(n, onnx_int(n, "axis", 0), t.rank);
    Ref i = onnx_indices(n, onnx_in(n, 1), t.dim[axis]);
    const Const *index = n->g->node[i].value;
    bool one = index && type_count(index->type) == 1;
    onnx_out(n, 0, one ? pick(n, x, axis, index) : b_gather(n->g, x, i, axis, 0));
}

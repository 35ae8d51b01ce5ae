/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that make constants or give a value another shape. The shape of a value is static, so
 * Shape and Size are constants: what a model computes from them folds into literals. */
#include "onnx_node.h"

#include <math.h>
#include <string.h>

static Ref ints_const(const OnnxNode *n, int count, const int64_t *v)
{
    int64_t dim = count;
    return count ? graph_const(n->g, type_of(DT_I64, 1, &dim), v) : ONNX_EMPTY;
}

/* ---- constants ---- */

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

void build_shape(OnnxNode *n)
{
    if (n->nin && n->in[0] == ONNX_EMPTY) { /* only vectors are without elements */
        onnx_out(n, 0, ints_const(n, 1, (int64_t[]){0}));
        return;
    }
    Type t = onnx_type(n, onnx_in(n, 0));
    int64_t start = onnx_int(n, "start", 0), end = onnx_int(n, "end", t.rank);
    start = clamp(start < 0 ? start + t.rank : start, 0, t.rank);
    end = clamp(end < 0 ? end + t.rank : end, start, t.rank);
    onnx_out(n, 0, ints_const(n, (int)(end - start), t.dim + start));
}

void build_size(OnnxNode *n)
{
    int64_t count = type_count(onnx_type(n, onnx_in(n, 0)));
    onnx_out(n, 0, graph_const(n->g, type_scalar(DT_I64), &count));
}

void build_constant(OnnxNode *n)
{
    static const char *const forms[] = {"value", "value_float", "value_floats", "value_int",
                                        "value_ints"};
    Ref r = NOREF;
    for (int i = 0; i < COUNT(forms) && r == NOREF; i++) r = onnx_attr_const(n, forms[i]);
    if (r == NOREF) onnx_fail(n, "the constant is a string or sparse: not supported");
    onnx_out(n, 0, r);
}

void build_constant_of_shape(OnnxNode *n)
{
    int64_t dim[MAX_RANK];
    int rank = onnx_ints_in(n, 0, dim, MAX_RANK);
    Ref value = onnx_attr_const(n, "value");
    if (rank < 0) onnx_fail(n, "input 0 is missing");
    for (int i = 0; i < rank; i++)
        if (dim[i] == 0) {
            onnx_out(n, 0, ONNX_EMPTY);
            return;
        }
    if (value == NOREF) value = graph_splat(n->g, type_scalar(DT_F32), 0);
    if (value == ONNX_EMPTY || type_count(onnx_type(n, value)) != 1)
        onnx_fail(n, "value must be one number");
    const Const *c = n->g->node[value].value;
    Type t = type_of(c->type.dtype, rank, dim);
    onnx_out(n, 0, graph_splat(n->g, t, elem_get(t.dtype, c->data, 0)));
}

enum { MAX_RANGE = 1 << 24 };

/* start, start + delta, .. below limit: literals only, for the number of them is a shape. */
void build_range(OnnxNode *n)
{
    double start = onnx_number_in(n, 0, 0), limit = onnx_number_in(n, 1, 0);
    double delta = onnx_number_in(n, 2, 1), count = ceil((limit - start) / delta);
    DType dtype = onnx_type(n, onnx_in(n, 0)).dtype;
    if (!(count < MAX_RANGE)) onnx_fail(n, "too many numbers");
    if (count < 1) {
        onnx_out(n, 0, ONNX_EMPTY);
        return;
    }
    int64_t dim = (int64_t)count;
    Type t = type_of(dtype, 1, &dim);
    void *data = onnx_data(n, t);
    for (int64_t i = 0; i < dim; i++) elem_set(dtype, data, i, start + (double)i * delta);
    onnx_out(n, 0, graph_const(n->g, t, data));
}

/* ---- other shapes ---- */

/* A file exported for N samples may say N in a Reshape; with -1 beside it the result would be of
 * another shape rather than an error. */
static void refuse_batch(const OnnxNode *n, Ref x, int rank, const int64_t *dim)
{
    Type t = onnx_type(n, x);
    if (n->batch < 2 || !rank || dim[0] != n->batch || t.rank < 1 || t.dim[0] != 1) return;
    if (n->g->node[x].op == OP_const) return;
    onnx_fail(n,
              "its shape has the batch %lld of the file as a literal; export with a dynamic batch",
              (long long)n->batch);
}

/* 0 copies an extent, unless allowzero; -1 is what is left. */
static void resolve_shape(const OnnxNode *n, Type t, int rank, int64_t *dim)
{
    int64_t known = 1, all = type_count(t);
    int open = -1;
    for (int i = 0; i < rank; i++) {
        if (dim[i] == 0 && i < t.rank && !onnx_int(n, "allowzero", 0)) dim[i] = t.dim[i];
        if (dim[i] == -1 && open >= 0) onnx_fail(n, "two extents are -1");
        if (dim[i] == -1)
            open = i;
        else if (!mul_ok(known, dim[i], &known) || !known)
            onnx_fail(n, "extent %lld of its shape is not supported", (long long)dim[i]);
    }
    if (open >= 0 && all % known)
        onnx_fail(n, "%lld elements do not divide by %lld", (long long)all, (long long)known);
    if (open >= 0) dim[open] = all / known;
}

void build_reshape(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    int64_t dim[MAX_RANK];
    int rank = onnx_ints_at(n, "shape", 1, dim, MAX_RANK);
    if (rank < 0) onnx_fail(n, "the shape is missing");
    refuse_batch(n, x, rank, dim);
    resolve_shape(n, onnx_type(n, x), rank, dim);
    onnx_out(n, 0, b_reshape(n->g, x, rank, dim));
}

void build_flatten(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Type t = onnx_type(n, x);
    int64_t axis = onnx_int(n, "axis", 1), dim[2] = {1, 1};
    axis = axis == t.rank ? axis : onnx_axis(n, axis, t.rank);
    for (int i = 0; i < t.rank; i++) dim[i >= axis] *= t.dim[i];
    onnx_out(n, 0, b_reshape(n->g, x, 2, dim));
}

void build_squeeze(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Type t = onnx_type(n, x);
    int axes[MAX_RANK], k = onnx_axes(n, 1, t.rank, axes);
    if (k < 0) {
        k = 0;
        for (int i = 0; i < t.rank; i++)
            if (t.dim[i] == 1) axes[k++] = i;
    }
    onnx_out(n, 0, onnx_drop_axes(n, x, k, axes));
}

/* Axes count in the result. */
void build_unsqueeze(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Type t = onnx_type(n, x);
    int64_t list[MAX_RANK], dim[MAX_RANK];
    int axes[MAX_RANK], k = onnx_ints_at(n, "axes", 1, list, MAX_RANK);
    if (k < 0) onnx_fail(n, "axes are missing");
    if (t.rank + k > MAX_RANK) onnx_fail(n, "the result has rank %d", t.rank + k);
    onnx_axes(n, 1, t.rank + k, axes);
    for (int i = 0, a = 0, from = 0; i < t.rank + k; i++) {
        bool fresh = a < k && axes[a] == i;
        dim[i] = fresh ? 1 : t.dim[from++];
        a += fresh;
    }
    onnx_out(n, 0, b_reshape(n->g, x, t.rank + k, dim));
}

void build_transpose(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    int rank = onnx_type(n, x).rank, perm[MAX_RANK];
    int64_t list[MAX_RANK];
    int have = onnx_ints(n, "perm", list, MAX_RANK);
    if (have >= 0 && have != rank) onnx_fail(n, "perm has %d numbers for rank %d", have, rank);
    for (int i = 0; i < rank; i++) perm[i] = have < 0 ? rank - 1 - i : onnx_axis(n, list[i], rank);
    onnx_out(n, 0, b_transpose(n->g, x, perm));
}

/* ---- repetition ---- */

/* An extent counted from the last axis; 1 beyond the first. */
static int64_t from_end(int rank, const int64_t *dim, int i)
{
    return i < rank ? dim[rank - 1 - i] : 1;
}

/* Broadcast in both directions: an extent of the shape may be 1 where the operand's is not. */
void build_expand(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Type t = onnx_type(n, x);
    int64_t shape[MAX_RANK], dim[MAX_RANK];
    int have = onnx_ints_in(n, 1, shape, MAX_RANK), rank = have > t.rank ? have : t.rank;
    if (have < 0) onnx_fail(n, "input 1, the shape, is missing");
    for (int i = 0; i < rank; i++) {
        int64_t want = from_end(have, shape, i);
        dim[rank - 1 - i] = want == 1 ? from_end(t.rank, t.dim, i) : want;
    }
    onnx_out(n, 0, b_broadcast_to(n->g, x, type_of(t.dtype, rank, dim)));
}

/* [.., d, ..] -> [.., times, d, ..] or, to repeat each, [.., d, times, ..] -> the result */
Ref onnx_repeat(const OnnxNode *n, Ref x, int axis, int64_t times, bool each)
{
    Type t = onnx_type(n, x), wide = t;
    int at = each ? axis + 1 : axis;
    if (times == 1) return x;
    if (times < 1) onnx_fail(n, "%lld repeats are not supported", (long long)times);
    if (t.rank == MAX_RANK) onnx_fail(n, "repeats of rank 8 are not supported");
    memmove(wide.dim + at + 1, wide.dim + at, sizeof *t.dim * (size_t)(t.rank - at));
    wide.dim[at] = 1;
    x = b_reshape(n->g, x, t.rank + 1, wide.dim);
    wide.dim[at] = times;
    x = b_broadcast(n->g, x, t.rank + 1, wide.dim);
    if (!mul_ok(t.dim[axis], times, &t.dim[axis])) onnx_fail(n, "the result is too large");
    return b_reshape(n->g, x, t.rank, t.dim);
}

void build_tile(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    int64_t times[MAX_RANK];
    int rank = onnx_type(n, x).rank, have = onnx_ints_in(n, 1, times, MAX_RANK);
    if (have != rank) onnx_fail(n, "%d repeats for rank %d", have, rank);
    for (int i = 0; i < rank; i++) x = onnx_repeat(n, x, i, times[i], false);
    onnx_out(n, 0, x);
}

/* ---- blocks of an image ---- */

static int64_t block_of(const OnnxNode *n, Type t)
{
    int64_t b = onnx_int(n, "blocksize", 0);
    if (t.rank != 4) onnx_fail(n, "rank %d, not 4", t.rank);
    if (b < 1 || b > 1 << 20) onnx_fail(n, "blocksize %lld is not supported", (long long)b);
    return b;
}

void build_depth_to_space(OnnxNode *n)
{
    static const int dcr[] = {0, 3, 4, 1, 5, 2}, crd[] = {0, 1, 4, 2, 5, 3};
    Ref x = onnx_in(n, 0);
    Type t = onnx_type(n, x);
    int64_t b = block_of(n, t), c = t.dim[1] / (b * b), h = t.dim[2], w = t.dim[3];
    bool by_column = !strcmp(onnx_str(n, "mode", "DCR"), "CRD");
    int64_t split[] = {t.dim[0], b, b, c, h, w}, whole[] = {t.dim[0], c, h * b, w * b};
    if (by_column) {
        split[1] = c;
        split[3] = b;
    }
    x = b_reshape(n->g, x, 6, split);
    x = b_transpose(n->g, x, by_column ? crd : dcr);
    onnx_out(n, 0, b_reshape(n->g, x, 4, whole));
}

void build_space_to_depth(OnnxNode *n)
{
    static const int perm[] = {0, 3, 5, 1, 2, 4};
    Ref x = onnx_in(n, 0);
    Type t = onnx_type(n, x);
    int64_t b = block_of(n, t), h = t.dim[2] / b, w = t.dim[3] / b;
    int64_t split[] = {t.dim[0], t.dim[1], h, b, w, b},
            whole[] = {t.dim[0], t.dim[1] * b * b, h, w};
    x = b_transpose(n->g, b_reshape(n->g, x, 6, split), perm);
    onnx_out(n, 0, b_reshape(n->g, x, 4, whole));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Operators whose indices are data: gathers and scatters over one row each of the table, and what
 * is made of comparisons with an iota. An index counts from the end where it is negative. */
#include "onnx_node.h"

#include <string.h>

static Ref like(const OnnxNode *n, Ref x, double v)
{
    return b_like(n->g, x, v);
}

static Ref reshaped(const OnnxNode *n, Ref x, Type t)
{
    return b_reshape(n->g, x, t.rank, t.dim);
}

/* ---- axes to the end and back ---- */

static Ref swap_axes(const OnnxNode *n, Ref x, int a, int b)
{
    int perm[MAX_RANK], rank = onnx_type(n, x).rank;
    for (int i = 0; i < rank; i++) perm[i] = i == a ? b : i == b ? a : i;
    return a == b ? x : b_transpose(n->g, x, perm);
}

/* ---- gathers ---- */

/* Of x, the part that lies under indices: their extents but along the axis. */
static Ref crop_to(const OnnxNode *n, Ref x, Type idx, int axis)
{
    Type t = onnx_type(n, x);
    if (t.rank != idx.rank) onnx_fail(n, "data of rank %d, indices of %d", t.rank, idx.rank);
    for (int i = 0; i < t.rank; i++) {
        if (i == axis || idx.dim[i] == t.dim[i]) continue;
        if (idx.dim[i] > t.dim[i]) onnx_fail(n, "the indices reach beyond axis %d", i);
        x = b_slice_axis(n->g, x, i, 0, idx.dim[i], 1);
    }
    return x;
}

/* y[.., j, ..] = x[.., i[.., j, ..], ..]: all other axes are common. */
static Ref take_along(const OnnxNode *n, Ref x, Ref idx, int axis)
{
    int last = onnx_type(n, x).rank - 1;
    x = swap_axes(n, crop_to(n, x, onnx_type(n, idx), axis), axis, last);
    idx = swap_axes(n, idx, axis, last);
    return swap_axes(n, b_gather(n->g, x, idx, last, last), axis, last);
}

void build_gather_elements(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Type t = onnx_type(n, x);
    int axis = onnx_axis(n, onnx_int(n, "axis", 0), t.rank);
    Ref idx = onnx_indices(n, onnx_in(n, 1), t.dim[axis]);
    onnx_out(n, 0, take_along(n, x, idx, axis));
}

/* Tuples of indices in the last axis become row-major indices of the axes from `first` on. */
static Ref linear_index(const OnnxNode *n, Ref idx, Type data, int first)
{
    Type t = onnx_type(n, idx);
    int k = (int)t.dim[--t.rank];
    Ref sum = NOREF;
    for (int j = 0; j < k; j++) {
        Ref one = b_slice_axis(n->g, idx, t.rank, j, 1, 1);
        one = onnx_indices(n, reshaped(n, one, t), data.dim[first + j]);
        double stride = 1;
        for (int i = j + 1; i < k; i++) stride *= (double)data.dim[first + i];
        one = b_binary(n->g, OP_mul, one, like(n, one, stride));
        sum = sum == NOREF ? one : b_binary(n->g, OP_add, sum, one);
    }
    return sum;
}

/* Data as [first axes.., product of the k indexed ones, the rest..]. */
static Type joined(Type t, int first, int k)
{
    Type r = t;
    for (int i = 1; i < k; i++) r.dim[first] *= t.dim[first + i];
    r.rank = t.rank - k + 1;
    memcpy(r.dim + first + 1, t.dim + first + k, sizeof *t.dim * (size_t)(t.rank - first - k));
    return r;
}

static int tuple_length(const OnnxNode *n, Type idx, Type data, int batch)
{
    int64_t k = idx.rank ? idx.dim[idx.rank - 1] : 0;
    if (idx.rank <= batch || batch < 0 || k < 1 || k > data.rank - batch)
        onnx_fail(n, "tuples of %lld indices into rank %d are not supported", (long long)k,
                  data.rank);
    return (int)k;
}

void build_gather_nd(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), idx = onnx_in(n, 1);
    Type t = onnx_type(n, x);
    int64_t batch = onnx_int(n, "batch_dims", 0);
    if (batch < 0 || batch >= t.rank) onnx_fail(n, "batch_dims %lld", (long long)batch);
    int b = (int)batch, k = tuple_length(n, onnx_type(n, idx), t, b);
    idx = linear_index(n, idx, t, b);
    onnx_out(n, 0, b_gather(n->g, reshaped(n, x, joined(t, b, k)), idx, b, b));
}

/* ---- scatters ---- */

/* data [A.., P, R..], indices [A.., M], updates [A.., M, R..]; axis is P's. */
typedef struct Scatter {
    Ref data, idx, upd;
    int axis;
} Scatter;

static Ref added(const OnnxNode *n, const Scatter *s)
{
    int64_t size = onnx_type(n, s->data).dim[s->axis];
    return b_scatter_add(n->g, s->upd, s->idx, s->axis, s->axis, size);
}

/* ONNX leaves two updates of one place open. */
static Ref replaced(const OnnxNode *n, const Scatter *s)
{
    Type t = onnx_type(n, s->data), h;
    int64_t size = t.dim[s->axis];
    Ref hits = b_scatter_add(n->g, like(n, s->idx, 1), s->idx, s->axis, s->axis, size);
    h = onnx_type(n, hits);
    while (h.rank < t.rank) h.dim[h.rank++] = 1;
    hits = b_broadcast(n->g, reshaped(n, hits, h), t.rank, t.dim);
    Ref hit = b_binary(n->g, OP_lt, like(n, hits, 0), hits);
    return b_select(n->g, hit, added(n, s), s->data);
}

/* [A.., M, P, R..]: update m goes to place p. */
static Ref meets(const OnnxNode *n, const Scatter *s, Type wide)
{
    Type plane = type_with(wide, DT_I64), column;
    plane.rank = s->axis + 2;
    column = plane;
    column.dim[s->axis + 1] = 1;
    Ref idx = b_broadcast(n->g, reshaped(n, s->idx, column), plane.rank, plane.dim);
    Ref hit = b_binary(n->g, OP_eq, b_iota(n->g, plane, s->axis + 1), idx);
    while (plane.rank < wide.rank) plane.dim[plane.rank++] = 1;
    return b_broadcast(n->g, reshaped(n, hit, plane), wide.rank, wide.dim);
}

static Ref reduced(const OnnxNode *n, const Scatter *s, Op over, Op with, double identity)
{
    Type wide = onnx_type(n, s->upd), t = onnx_type(n, s->data), column;
    int place = s->axis + 1;
    if (wide.rank == MAX_RANK) onnx_fail(n, "reduction of rank 8 is not supported");
    memmove(wide.dim + place + 1, wide.dim + place,
            sizeof *wide.dim * (size_t)(wide.rank++ - place));
    column = wide;
    column.dim[place] = 1;
    wide.dim[place] = t.dim[s->axis];
    Ref upd = b_broadcast(n->g, reshaped(n, s->upd, column), wide.rank, wide.dim);
    upd = b_select(n->g, meets(n, s, wide), upd, like(n, upd, identity));
    upd = reshaped(n, b_reduce(n->g, over, upd, 1, &s->axis), t);
    return b_binary(n->g, with, s->data, upd);
}

static Ref scatter(const OnnxNode *n, const Scatter *s)
{
    const char *how = onnx_str(n, "reduction", "none");
    DType d = onnx_type(n, s->data).dtype;
    if (!strcmp(how, "none")) return replaced(n, s);
    if (!strcmp(how, "add")) return b_binary(n->g, OP_add, s->data, added(n, s));
    if (!strcmp(how, "mul")) return reduced(n, s, OP_prod, OP_mul, 1);
    if (!strcmp(how, "max")) return reduced(n, s, OP_max, OP_max2, onnx_lowest(d));
    if (!strcmp(how, "min")) return reduced(n, s, OP_min, OP_min2, onnx_highest(d));
    onnx_fail(n, "reduction %s is not supported", how);
}

/* Sums are of numbers: a bool goes through bytes. */
static void scatter_out(OnnxNode *n, Scatter *s, int axis, int last, Type t)
{
    bool logic = t.dtype == DT_BOOL;
    if (logic) s->data = b_cast(n->g, s->data, DT_U8);
    if (logic) s->upd = b_cast(n->g, s->upd, DT_U8);
    Ref y = swap_axes(n, scatter(n, s), axis, last);
    onnx_out(n, 0, b_cast(n->g, reshaped(n, y, t), t.dtype));
}

/* What the updates lack in the other axes is filled with indices that meet nothing. */
static Ref fill_to(const OnnxNode *n, Ref x, Type t, int axis, double v)
{
    int64_t low[MAX_RANK] = {0}, high[MAX_RANK] = {0}, inner[MAX_RANK] = {0};
    Type have = onnx_type(n, x);
    bool lacks = false;
    if (have.rank != t.rank) onnx_fail(n, "ranks %d and %d differ", have.rank, t.rank);
    for (int i = 0; i < t.rank; i++) {
        high[i] = i == axis ? 0 : t.dim[i] - have.dim[i];
        if (high[i] < 0) onnx_fail(n, "the indices reach beyond axis %d", i);
        lacks = lacks || high[i];
    }
    return lacks ? b_pad(n->g, x, low, high, inner, v) : x;
}

void build_scatter_elements(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Type t = onnx_type(n, x);
    int axis = onnx_axis(n, onnx_int(n, "axis", 0), t.rank), last = t.rank - 1;
    Ref idx = onnx_indices(n, onnx_in(n, 1), t.dim[axis]);
    Scatter s = {.data = swap_axes(n, x, axis, last), .axis = last};
    s.idx = swap_axes(n, fill_to(n, idx, t, axis, -1), axis, last);
    s.upd = swap_axes(n, fill_to(n, onnx_in(n, 2), t, axis, 0), axis, last);
    scatter_out(n, &s, axis, last, t);
}

void build_scatter_nd(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), idx = onnx_in(n, 1), upd = onnx_in(n, 2);
    Type t = onnx_type(n, x);
    int k = tuple_length(n, onnx_type(n, idx), t, 0);
    int64_t rest = 1, all = type_count(t);
    for (int i = k; i < t.rank; i++) rest *= t.dim[i];
    idx = linear_index(n, idx, t, 0);
    int64_t m = type_count(onnx_type(n, idx));
    Scatter s = {.data = b_reshape(n->g, x, 2, (int64_t[]){all / rest, rest})};
    s.idx = b_reshape(n->g, idx, 1, &m);
    s.upd = b_reshape(n->g, upd, 2, (int64_t[]){m, rest});
    scatter_out(n, &s, 0, 0, t);
}

/* ---- the largest ---- */

/* -x reverses the order of floats; of integers -1 - x does, which cannot overflow. */
static Ref reversed_order(const OnnxNode *n, Ref x)
{
    if (dtype_is_float(onnx_type(n, x).dtype)) return b_unary(n->g, OP_neg, x);
    x = b_cast(n->g, x, DT_I64);
    return b_binary(n->g, OP_sub, like(n, x, -1), x);
}

void build_top_k(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    Type t = onnx_type(n, x);
    int axis = onnx_axis(n, onnx_int(n, "axis", -1), t.rank);
    int64_t k;
    if (n->opset < 10)
        k = onnx_int(n, "k", 0);
    else if (onnx_ints_in(n, 1, &k, 1) != 1)
        onnx_fail(n, "input 1 is missing");
    if (k < 1 || k > t.dim[axis]) onnx_fail(n, "k is %lld", (long long)k);
    Ref key = onnx_int(n, "largest", 1) ? x : reversed_order(n, x);
    Ref idx = b_argsort(n->g, key, axis, k);
    onnx_out(n, 0, take_along(n, x, idx, axis));
    onnx_out(n, 1, idx);
}

/* ---- masks ---- */

/* bool of t: column - row >= k in the last two axes */
static Ref above_diagonal(const OnnxNode *n, Type t, int64_t k)
{
    Type plane = type_with(t, DT_I64);
    if (t.rank < 2) onnx_fail(n, "rank %d has no diagonal", t.rank);
    for (int i = 0; i < t.rank - 2; i++) plane.dim[i] = 1;
    Ref row = b_iota(n->g, plane, t.rank - 2), column = b_iota(n->g, plane, t.rank - 1);
    row = b_binary(n->g, OP_add, row, like(n, row, (double)k));
    return b_broadcast(n->g, b_binary(n->g, OP_le, row, column), t.rank, t.dim);
}

void build_trilu(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    int64_t k = 0;
    bool upper = onnx_int(n, "upper", 1) != 0;
    onnx_ints_in(n, 1, &k, 1);
    if (k < -(1 << 30)) k = -(1 << 30);
    if (k > 1 << 30) k = 1 << 30;
    Ref above = above_diagonal(n, onnx_type(n, x), upper ? k : k + 1);
    Ref zero = like(n, x, 0);
    onnx_out(n, 0, b_select(n->g, above, upper ? x : zero, upper ? zero : x));
}

void build_eye_like(OnnxNode *n)
{
    Type t = onnx_type(n, onnx_in(n, 0));
    int64_t k = onnx_int(n, "k", 0);
    DType d = onnx_has(n, "dtype") ? onnx_dtype(n, onnx_int(n, "dtype", 0)) : t.dtype;
    if (k < -(1 << 30) || k > 1 << 30) onnx_fail(n, "k is %lld", (long long)k);
    Ref from = above_diagonal(n, t, k);
    Ref after = above_diagonal(n, t, k + 1);
    onnx_out(n, 0, b_cast(n->g, b_unary(n->g, OP_not, b_binary(n->g, OP_eq, from, after)), d));
}

/* values[0] everywhere but values[1] at the index */
void build_one_hot(OnnxNode *n)
{
    Ref idx = onnx_in(n, 0), values = onnx_in(n, 2);
    Type t = onnx_type(n, idx), wide = t, column;
    double depth = onnx_number_in(n, 1, 0);
    if (!(depth >= 1 && depth < 1 << 30)) onnx_fail(n, "depth is %g", depth);
    if (t.rank == MAX_RANK) onnx_fail(n, "the result has rank 9");
    if (type_count(onnx_type(n, values)) != 2) onnx_fail(n, "values are not two");
    int axis = onnx_axis(n, onnx_int(n, "axis", -1), t.rank + 1);
    memmove(wide.dim + axis + 1, wide.dim + axis, sizeof *wide.dim * (size_t)(t.rank - axis));
    wide = type_with(wide, DT_I64);
    wide.rank++;
    wide.dim[axis] = 1;
    column = wide;
    wide.dim[axis] = (int64_t)depth;
    idx = onnx_indices(n, b_cast(n->g, idx, DT_I64), wide.dim[axis]);
    idx = b_broadcast(n->g, reshaped(n, idx, column), wide.rank, wide.dim);
    Ref hit = b_binary(n->g, OP_eq, b_iota(n->g, wide, axis), idx);
    Type value = type_with(wide, onnx_type(n, values).dtype);
    Ref off = b_broadcast_to(n->g, b_slice_axis(n->g, values, 0, 0, 1, 1), value);
    Ref on = b_broadcast_to(n->g, b_slice_axis(n->g, values, 0, 1, 1, 1), value);
    onnx_out(n, 0, b_select(n->g, hit, on, off));
}

/* ---- running sums ---- */

void build_cum_sum(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    int64_t axis;
    if (onnx_ints_in(n, 1, &axis, 1) != 1) onnx_fail(n, "input 1 is missing");
    int a = onnx_axis(n, axis, onnx_type(n, x).rank);
    bool reverse = onnx_int(n, "reverse", 0) != 0, exclusive = onnx_int(n, "exclusive", 0) != 0;
    onnx_out(n, 0, b_scan(n->g, x, a, reverse, exclusive));
}

/* ---- indices that are literals ---- */

static const Const *literal(const OnnxNode *n, int i)
{
    const Const *c = onnx_constant(n, onnx_in(n, i));
    if (!c)
        onnx_fail(n,
                  "input %d must be constant, since the result's shape depends on it: cut the "
                  "model before",
                  i);
    return c;
}

static int64_t at(const Const *c, int64_t i)
{
    return elem_get_int(c->type.dtype, c->data, c->splat ? 0 : i);
}

static bool is_set(const Const *c, int64_t i)
{
    return elem_get(c->type.dtype, c->data, c->splat ? 0 : i) != 0;
}

void build_compress(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    const Const *keep = literal(n, 1);
    Type t = onnx_type(n, x);
    bool flat = !onnx_has(n, "axis");
    int axis = flat ? 0 : onnx_axis(n, onnx_int(n, "axis", 0), t.rank);
    int64_t all = type_count(t), count = 0, given = type_count(keep->type);
    if (flat) x = b_reshape(n->g, x, 1, &all);
    Type list = type_of(DT_I64, 1, &given);
    int64_t *idx = onnx_data(n, list);
    if (given > onnx_type(n, x).dim[axis]) onnx_fail(n, "its condition is longer than the axis");
    for (int64_t i = 0; i < given; i++)
        if (is_set(keep, i)) idx[count++] = i;
    list.dim[0] = count;
    if (!count && !flat && t.rank > 1) onnx_fail(n, "a result without elements is not supported");
    Ref pick = count ? graph_const(n->g, list, idx) : ONNX_EMPTY;
    onnx_out(n, 0, count ? b_gather(n->g, x, pick, axis, 0) : ONNX_EMPTY);
}

/* [rank, count]: the indices of what is not zero, row by row. */
void build_non_zero(OnnxNode *n)
{
    const Const *c = literal(n, 0);
    Type t = c->type;
    int64_t all = type_count(t), count = 0, k = 0;
    for (int64_t i = 0; i < all; i++) count += is_set(c, i);
    if (!count) {
        onnx_out(n, 0, ONNX_EMPTY);
        return;
    }
    Type out = type_of(DT_I64, 2, (int64_t[]){t.rank ? t.rank : 1, count});
    int64_t *v = onnx_data(n, out);
    for (int64_t i = 0; i < all; i++) {
        int64_t left = i;
        if (!is_set(c, i)) continue;
        for (int a = t.rank - 1; a >= 0; left /= t.dim[a--]) v[a * count + k] = left % t.dim[a];
        k++;
    }
    onnx_out(n, 0, graph_const(n->g, out, v));
}

void build_reverse_sequence(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    const Const *lens = literal(n, 1);
    int64_t batch = onnx_int(n, "batch_axis", 1);
    if (onnx_type(n, x).rank < 2 || batch < 0 || batch > 1 || onnx_int(n, "time_axis", 0) == batch)
        onnx_fail(n, "batch_axis and time_axis are not 0 and 1");
    x = swap_axes(n, x, 0, (int)batch);
    Type t = onnx_type(n, x), plane = type_of(DT_I64, 2, t.dim);
    int64_t *idx = onnx_data(n, plane), k = 0;
    if (type_count(lens->type) != t.dim[0]) onnx_fail(n, "its lengths are not one a sequence");
    for (int64_t i = 0; i < t.dim[0]; i++)
        for (int64_t j = 0; j < t.dim[1]; j++) idx[k++] = j < at(lens, i) ? at(lens, i) - 1 - j : j;
    x = b_gather(n->g, x, graph_const(n->g, plane, idx), 1, 1);
    onnx_out(n, 0, swap_axes(n, x, 0, (int)batch));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Heavy rows as kernel expressions: one reduction each, over axes that it opens. Convolutions and
 * their adjoints walk indices affinely; where a stride must divide, the load is guarded. */
#include <string.h>

#include "lowering.h"

static const Node *node_of(const Body *b, Ref r)
{
    return &b->l->g->node[r];
}

static KRef operand(Body *b, const Node *n, int i, const KRef *index, KRef guard)
{
    return body_value(b, n->args[i], index, guard);
}

static KRef red_axis(Body *b, const char *name, int64_t extent)
{
    return kx_axis(b->k, kernel_axis(b->k, name, AX_RED, extent, false));
}

static KRef heavy_reduce(Body *b, const Node *n)
{
    static const char *const names[] = {"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"};
    const Attr *axes = node_attr(n, "axes");
    Type from = node_of(b, n->args[0])->type;
    KRef at[MAX_RANK], which = kx_int(b->k, 0);
    memcpy(at, b->axis, sizeof at);
    for (int i = 0; i < axes->n; i++) {
        int64_t d = axes->i[i];
        at[d] = red_axis(b, names[i], from.dim[d]);
        which = kx_add(b->k, kx_mulc(b->k, which, from.dim[d]), at[d]);
    }
    if (!axes->n) red_axis(b, "r0", 1); /* over no axis: of one element each */
    KRef v = operand(b, n, 0, at, NOK);
    return kx_reduce(b->k, n->op, n->type.dtype, v, n->op == OP_argmax ? which : NOK);
}

static KRef reduce_sum(Body *b, DType t, KRef cond, KRef value)
{
    return kx_reduce(b->k, OP_sum, t, body_guarded(b, t, cond, value, 0), NOK);
}

static KRef heavy_scan(Body *b, const Node *n)
{
    int axis = (int)node_int(n, "axis");
    bool reverse = node_int(n, "reverse"), exclusive = node_int(n, "exclusive");
    KRef at[MAX_RANK], i = b->axis[axis];
    memcpy(at, b->axis, sizeof at);
    at[axis] = red_axis(b, "r0", n->type.dim[axis]);
    KRef pair[2] = {reverse ? i : at[axis], reverse ? at[axis] : i};
    KRef in = kx_eval(b->k, exclusive ? OP_lt : OP_le, DT_BOOL, 2, pair);
    return reduce_sum(b, n->type.dtype, in, operand(b, n, 0, at, NOK));
}

static const char *const kernel_names[] = {"kd", "kh", "kw"};

/* (position - offset) / stride where it divides and lies in [0, extent): the adjoint of a strided
 * walk */
static KRef unstride(Body *b, KRef e, int64_t stride, int64_t extent, KRef *guard)
{
    if (stride > 1) *guard = kx_and(b->k, *guard, kx_in_range(b->k, kx_mod(b->k, e, stride), 0, 1));
    KRef o = kx_div(b->k, e, stride);
    *guard = kx_and(b->k, *guard, kx_in_range(b->k, o, 0, extent));
    return o;
}

/* Along axis i of the k folded: the tap and window of which position p of the result is the image.
 * Those are p mod stride, and each stride further, of windows p / stride and before; with dilation
 * any tap may be. */
static void fold_axis(Body *b, const Node *n, int i, int k, KRef *window, KRef *tap, KRef *guard)
{
    int64_t stride = node_attr(n, "strides")->i[i], dilation = node_attr(n, "dilations")->i[i];
    Type from = node_of(b, n->args[0])->type;
    int lead = n->type.rank - k;
    int64_t windows = from.dim[lead + i], taps = from.dim[lead + k + i];
    const char *name = kernel_names[3 - k + i];
    KRef p = b->axis[lead + i];
    if (dilation > 1) {
        *tap = red_axis(b, name, taps);
        KRef e = kx_add(b->k, p, kx_mulc(b->k, *tap, -dilation));
        *window = unstride(b, e, stride, windows, guard);
        return;
    }
    KRef before = red_axis(b, name, (taps + stride - 1) / stride);
    *tap = kx_add(b->k, kx_mod(b->k, p, stride), kx_mulc(b->k, before, stride));
    *window = kx_add(b->k, kx_div(b->k, p, stride), kx_mulc(b->k, before, -1));
    *guard = kx_and(b->k, *guard, kx_in_range(b->k, *tap, 0, taps));
    *guard = kx_and(b->k, *guard, kx_in_range(b->k, *window, 0, windows));
}

static KRef heavy_fold(Body *b, const Node *n)
{
    int k = node_attr(n, "strides")->n, lead = n->type.rank - k;
    KRef at[MAX_RANK], guard = NOK;
    memcpy(at, b->axis, sizeof at);
    for (int i = 0; i < k; i++) fold_axis(b, n, i, k, &at[lead + i], &at[lead + k + i], &guard);
    return reduce_sum(b, n->type.dtype, guard, operand(b, n, 0, at, guard));
}

/* The sum over all reduction axes of left times operand i at index w. */
static KRef sum_of_products(Body *b, const Node *n, KRef left, int i, const KRef *w)
{
    KRef arg[2] = {left, operand(b, n, i, w, NOK)};
    KRef p = kx_eval(b->k, OP_mul, n->type.dtype, 2, arg);
    return kx_reduce(b->k, OP_sum, n->type.dtype, p, NOK);
}

static KRef heavy_matmul(Body *b, const Node *n)
{
    int rank = n->type.rank;
    KRef x[MAX_RANK], w[MAX_RANK];
    memcpy(x, b->axis, sizeof x);
    memcpy(w, b->axis, sizeof w);
    KRef k = red_axis(b, "k", node_of(b, n->args[0])->type.dim[rank - 1]);
    x[rank - 1] = k;
    w[rank - 2] = k;
    KRef left = operand(b, n, 0, x, NOK);
    return sum_of_products(b, n, left, 1, w);
}

/* First channel of a group: channel c of n in `groups` groups, out of `per` channels a group. */
static KRef group_base(Body *b, KRef c, int64_t channels, int64_t groups, int64_t per)
{
    return kx_mulc(b->k, kx_div(b->k, c, channels / groups), per);
}

static KRef heavy_conv(Body *b, const Node *n)
{
    Type xt = node_of(b, n->args[0])->type, wt = node_of(b, n->args[1])->type;
    const Attr *st = node_attr(n, "strides"), *pad = node_attr(n, "pads");
    const Attr *dil = node_attr(n, "dilations");
    int64_t groups = node_int(n, "groups");
    int k = st->n;
    KRef x[MAX_RANK], w[MAX_RANK], guard = NOK;
    w[0] = b->axis[1];
    w[1] = red_axis(b, "ic", wt.dim[1]);
    x[0] = b->axis[0];
    x[1] = kx_add(b->k, group_base(b, b->axis[1], wt.dim[0], groups, wt.dim[1]), w[1]);
    for (int i = 0; i < k; i++) {
        w[2 + i] = red_axis(b, kernel_names[3 - k + i], wt.dim[2 + i]);
        x[2 + i] = body_walk(b, b->axis[2 + i], st->i[i], w[2 + i], dil->i[i]);
        x[2 + i] = kx_addc(b->k, x[2 + i], -pad->i[i]);
        guard = kx_and(b->k, guard, kx_in_range(b->k, x[2 + i], 0, xt.dim[2 + i]));
    }
    KRef v = body_guarded(b, n->type.dtype, guard, operand(b, n, 0, x, guard), 0);
    return sum_of_products(b, n, v, 1, w);
}

static KRef heavy_conv_dx(Body *b, const Node *n)
{
    Type yt = node_of(b, n->args[0])->type, wt = node_of(b, n->args[1])->type;
    const Attr *st = node_attr(n, "strides"), *pad = node_attr(n, "pads");
    const Attr *dil = node_attr(n, "dilations");
    int64_t groups = node_int(n, "groups"), per = wt.dim[0] / groups;
    int k = st->n;
    KRef y[MAX_RANK], w[MAX_RANK], guard = NOK;
    KRef oc = red_axis(b, "oc", per);
    w[0] = kx_add(b->k, group_base(b, b->axis[1], n->type.dim[1], groups, per), oc);
    w[1] = kx_mod(b->k, b->axis[1], wt.dim[1]);
    y[0] = b->axis[0];
    y[1] = w[0];
    for (int i = 0; i < k; i++) {
        w[2 + i] = red_axis(b, kernel_names[3 - k + i], wt.dim[2 + i]);
        KRef e = kx_addc(b->k, b->axis[2 + i], pad->i[i]);
        e = kx_add(b->k, e, kx_mulc(b->k, w[2 + i], -dil->i[i]));
        y[2 + i] = unstride(b, e, st->i[i], yt.dim[2 + i], &guard);
    }
    KRef v = body_guarded(b, n->type.dtype, guard, operand(b, n, 0, y, guard), 0);
    return sum_of_products(b, n, v, 1, w);
}

static KRef heavy_conv_dw(Body *b, const Node *n)
{
    static const char *const names[] = {"od", "oh", "ow"};
    Type xt = node_of(b, n->args[0])->type, yt = node_of(b, n->args[1])->type;
    const Attr *st = node_attr(n, "strides"), *pad = node_attr(n, "pads");
    const Attr *dil = node_attr(n, "dilations");
    int64_t groups = node_int(n, "groups");
    int k = st->n;
    KRef x[MAX_RANK], y[MAX_RANK], guard = NOK;
    x[0] = y[0] = red_axis(b, "n", xt.dim[0]);
    y[1] = b->axis[0];
    x[1] = kx_add(b->k, group_base(b, b->axis[0], yt.dim[1], groups, n->type.dim[1]), b->axis[1]);
    for (int i = 0; i < k; i++) {
        y[2 + i] = red_axis(b, names[3 - k + i], yt.dim[2 + i]);
        x[2 + i] = body_walk(b, y[2 + i], st->i[i], b->axis[2 + i], dil->i[i]);
        x[2 + i] = kx_addc(b->k, x[2 + i], -pad->i[i]);
        guard = kx_and(b->k, guard, kx_in_range(b->k, x[2 + i], 0, xt.dim[2 + i]));
    }
    KRef v = body_guarded(b, n->type.dtype, guard, operand(b, n, 0, x, guard), 0);
    return sum_of_products(b, n, v, 1, y);
}

/* Result j along axis sums the updates whose index is j. */
static KRef heavy_scatter_add(Body *b, const Node *n)
{
    static const char *const names[] = {"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"};
    Type idx = node_of(b, n->args[1])->type, upd = node_of(b, n->args[0])->type;
    int axis = (int)node_int(n, "axis"), batch = (int)node_int(n, "batch");
    int span = idx.rank - batch;
    KRef at[MAX_RANK], where[MAX_RANK];
    for (int d = 0; d < upd.rank; d++) {
        if (d < axis)
            at[d] = b->axis[d];
        else if (d < axis + span)
            at[d] = red_axis(b, names[d - axis], upd.dim[d]);
        else
            at[d] = b->axis[d - span + 1];
    }
    for (int d = 0; d < batch; d++) where[d] = b->axis[d];
    for (int d = 0; d < span; d++) where[batch + d] = at[axis + d];
    KRef i = operand(b, n, 1, where, NOK);
    if (idx.dtype != DT_I64) i = kx_eval(b->k, OP_cast, DT_I64, 1, &i);
    KRef pair[2] = {i, b->axis[axis]};
    KRef hit = kx_eval(b->k, OP_eq, DT_BOOL, 2, pair);
    if (span == 0) red_axis(b, "r0", 1);
    return reduce_sum(b, n->type.dtype, hit, operand(b, n, 0, at, NOK));
}

typedef KRef HeavyFn(Body *, const Node *);
static HeavyFn *const heavy_fn[OP_COUNT] = {
    [OP_sum] = heavy_reduce,      [OP_prod] = heavy_reduce,
    [OP_max] = heavy_reduce,      [OP_min] = heavy_reduce,
    [OP_argmax] = heavy_reduce,   [OP_scan] = heavy_scan,
    [OP_fold] = heavy_fold,       [OP_matmul] = heavy_matmul,
    [OP_conv] = heavy_conv,       [OP_conv_dx] = heavy_conv_dx,
    [OP_conv_dw] = heavy_conv_dw, [OP_scatter_add] = heavy_scatter_add};

KRef body_heavy(Body *b, Ref r)
{
    const Node *n = node_of(b, r);
    if (!heavy_fn[n->op]) die("no kernel lowering for %s", op_info[n->op].name);
    return heavy_fn[n->op](b, n);
}

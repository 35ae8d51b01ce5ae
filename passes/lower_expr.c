/* SPDX-License-Identifier: Apache-2.0 */
/* A node's value at an index, as kernel expressions: the class lowerings. A value in memory becomes
 * a load; elementwise rows become one expression; views rewrite the index; a heavy row becomes one
 * reduction over axes that it opens. A guard travels down to the loads, so that nothing outside a
 * buffer is touched where a pad's condition is false; the pad itself selects its fill. */
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

/* ---- loads ---- */

static KRef load_buffer(Body *b, Ref r, int buffer, const KRef *index, KRef guard, double fill)
{
    int p = body_param(b, buffer, false);
    return kx_load(b->k, p, node_of(b, r)->type.rank, index, guard, fill);
}

static KRef load_flat(Body *b, Ref r, const KRef *index)
{
    const Node *n = node_of(b, r);
    Layout lay = layout_plain(n->type);
    int p = body_param_as(b, b->l->buffer_of[n->args[0]], &lay, false);
    return kx_load(b->k, p, n->type.rank, index, NOK, 0);
}

static bool in_memory(const Body *b, Ref r)
{
    return fuse_in_memory(b->l, r, b->group);
}

/* ---- source ---- */

/* A claim reads its weights packed; the kernel's own definition then reads the same copy. */
static bool is_claimed_weight(const Body *b, Ref r)
{
    if (b->group < 0 || !b->l->group[b->group].claimed) return false;
    const Group *gr = &b->l->group[b->group];
    return node_of(b, gr->heavy)->op != OP_conv_dw &&
           contract_operand(b->l, &gr->contract, &gr->offer, gr->heavy, 1) == r;
}

/* The buffer of an operand of the claim that was computed again for it, or -1. */
static int operand_again(const Body *b, Ref r)
{
    if (b->group < 0 || !b->l->group[b->group].claimed) return -1;
    const Group *gr = &b->l->group[b->group];
    for (int i = 0; i < 2; i++)
        if (gr->operand[i] >= 0 && node_of(b, gr->heavy)->args[i] == r)
            return b->l->group[gr->operand[i]].packed_to;
    return -1;
}

static KRef value_source(Body *b, Ref r, const KRef *index, KRef guard)
{
    const Node *n = node_of(b, r);
    if (n->op == OP_const) {
        if (n->value->splat)
            return kx_const(b->k, n->type.dtype, elem_get(n->type.dtype, n->value->data, 0));
        Layout lay = layout_plain(n->type);
        return load_buffer(b, r, buffer_const(b->l, n->value, &lay), index, guard, 0);
    }
    if (n->op == OP_iota) {
        KRef i = index[node_int(n, "axis")];
        return n->type.dtype == DT_I64 ? i : kx_eval(b->k, OP_cast, n->type.dtype, 1, &i);
    }
    if (b->l->bound[r] < 0)
        err(b->l->prog->name, "graph input %s is not bound", node_attr(n, "name")->s);
    return load_buffer(b, r, b->l->bound[r], index, guard, 0);
}

/* Row-major number of an index within axes [from, to). */
static KRef linear(Body *b, Type t, const KRef *index, int from, int to)
{
    KRef e = kx_int(b->k, 0);
    for (int d = from; d < to; d++) e = kx_add(b->k, kx_mulc(b->k, e, t.dim[d]), index[d]);
    return e;
}

static KRef value_rng(Body *b, Ref r, const KRef *index, KRef guard)
{
    const Node *n = node_of(b, r);
    KRef seed = operand(b, n, 0, NULL, guard), id = operand(b, n, 1, index, guard);
    KRef draw = operand(b, n, 2, index, guard);
    KRef e = linear(b, n->type, index, 1, n->type.rank);
    return kx_rng(b->k, n->type.dtype, seed, id, draw, e, (int)node_int(n, "stream"));
}

/* ---- elementwise ---- */

static KRef value_elementwise(Body *b, Ref r, const KRef *index, KRef guard)
{
    const Node *n = node_of(b, r);
    if (n->op == OP_rng) return value_rng(b, r, index, guard);
    KRef arg[3];
    for (int i = 0; i < n->nargs; i++) arg[i] = operand(b, n, i, index, guard);
    return kx_eval(b->k, n->op, n->type.dtype, n->nargs, arg);
}

/* ---- views: index maps ----
 * One builder call a statement wherever two would build: C leaves the order of arguments open, and
 * the text of a kernel must not depend on the compiler that compiled us. */

/* x * stride + y * dilation */
KRef body_walk(Body *b, KRef x, int64_t stride, KRef y, int64_t dilation)
{
    KRef far = kx_mulc(b->k, x, stride), near = kx_mulc(b->k, y, dilation);
    return kx_add(b->k, far, near);
}

/* Equal leading axes map to themselves: keeps the sample axis apart. */
void body_reshaped(Body *b, Type from, const KRef *index, Type to, KRef *at)
{
    int lead = 0;
    while (lead < to.rank && lead < from.rank && to.dim[lead] == from.dim[lead]) {
        at[lead] = index[lead];
        lead++;
    }
    KRef flat = linear(b, from, index, lead, from.rank);
    for (int d = to.rank; d-- > lead;) {
        at[d] = d == lead ? flat : kx_mod(b->k, flat, to.dim[d]);
        flat = kx_div(b->k, flat, to.dim[d]);
    }
}

static KRef view_reshape(Body *b, const Node *n, const KRef *index, KRef guard)
{
    KRef at[MAX_RANK];
    body_reshaped(b, n->type, index, node_of(b, n->args[0])->type, at);
    return operand(b, n, 0, at, guard);
}

static KRef view_transpose(Body *b, const Node *n, const KRef *index, KRef guard)
{
    const Attr *perm = node_attr(n, "perm");
    KRef at[MAX_RANK];
    for (int d = 0; d < n->type.rank; d++) at[perm->i[d]] = index[d];
    return operand(b, n, 0, at, guard);
}

static KRef view_broadcast(Body *b, const Node *n, const KRef *index, KRef guard)
{
    Type from = node_of(b, n->args[0])->type;
    KRef at[MAX_RANK];
    for (int d = 0; d < from.rank; d++)
        at[d] = from.dim[d] == 1 && n->type.dim[d] != 1 ? kx_int(b->k, 0) : index[d];
    return operand(b, n, 0, at, guard);
}

static KRef view_slice(Body *b, const Node *n, const KRef *index, KRef guard)
{
    const Attr *start = node_attr(n, "starts"), *step = node_attr(n, "steps");
    KRef at[MAX_RANK];
    for (int d = 0; d < n->type.rank; d++)
        at[d] = kx_addc(b->k, kx_mulc(b->k, index[d], step->i[d]), start->i[d]);
    return operand(b, n, 0, at, guard);
}

/* The value, or fill where cond is false. */
KRef body_guarded(Body *b, DType t, KRef cond, KRef value, double fill)
{
    if (cond == NOK) return value;
    KExpr *e = &b->k->expr[value];
    if (e->kop == K_LOAD && e->guard == cond) /* the load itself knows what to answer */
        return e->fill == fill ? value : kx_load(b->k, e->param, e->nargs, e->arg, cond, fill);
    KRef arg[3] = {cond, value, kx_const(b->k, t, fill)};
    return kx_eval(b->k, OP_select, t, 3, arg);
}

static KRef view_pad(Body *b, const Node *n, const KRef *index, KRef guard)
{
    const Attr *low = node_attr(n, "low"), *inner = node_attr(n, "inner");
    Type from = node_of(b, n->args[0])->type;
    KRef at[MAX_RANK], inside = NOK;
    for (int d = 0; d < from.rank; d++) {
        int64_t step = inner->i[d] + 1;
        KRef e = kx_addc(b->k, index[d], -low->i[d]);
        if (step > 1) inside = kx_and(b->k, inside, kx_in_range(b->k, kx_mod(b->k, e, step), 0, 1));
        at[d] = kx_div(b->k, e, step);
        inside = kx_and(b->k, inside, kx_in_range(b->k, at[d], 0, from.dim[d]));
    }
    KRef value = operand(b, n, 0, at, kx_and(b->k, guard, inside));
    return body_guarded(b, n->type.dtype, inside, value, node_attr(n, "value")->f);
}

static KRef view_reverse(Body *b, const Node *n, const KRef *index, KRef guard)
{
    const Attr *axes = node_attr(n, "axes");
    KRef at[MAX_RANK];
    memcpy(at, index, sizeof at[0] * (size_t)n->type.rank);
    for (int i = 0; i < axes->n; i++) {
        int64_t d = axes->i[i];
        at[d] = kx_addc(b->k, kx_mulc(b->k, at[d], -1), n->type.dim[d] - 1);
    }
    return operand(b, n, 0, at, guard);
}

static KRef view_window(Body *b, const Node *n, const KRef *index, KRef guard)
{
    const Attr *st = node_attr(n, "strides"), *dil = node_attr(n, "dilations");
    int rank = node_of(b, n->args[0])->type.rank, k = st->n;
    KRef at[MAX_RANK];
    memcpy(at, index, sizeof at[0] * (size_t)rank);
    for (int i = 0; i < k; i++)
        at[rank - k + i] = body_walk(b, index[rank - k + i], st->i[i], index[rank + i], dil->i[i]);
    return operand(b, n, 0, at, guard);
}

typedef KRef ViewFn(Body *, const Node *, const KRef *, KRef);
static ViewFn *const view_fn[OP_COUNT] = {[OP_reshape] = view_reshape,
                                          [OP_transpose] = view_transpose,
                                          [OP_broadcast] = view_broadcast,
                                          [OP_slice] = view_slice,
                                          [OP_pad] = view_pad,
                                          [OP_reverse] = view_reverse,
                                          [OP_window] = view_window};

static KRef value_view(Body *b, Ref r, const KRef *index, KRef guard)
{
    const Node *n = node_of(b, r);
    return view_fn[n->op](b, n, index, guard);
}

/* ---- join: the operand that covers the index, chosen by selects from the last to the first ----
 */

static KRef value_join(Body *b, Ref r, const KRef *index, KRef guard)
{
    const Node *n = node_of(b, r);
    int axis = (int)node_int(n, "axis");
    int64_t start = n->type.dim[axis];
    KRef value = NOK, at[MAX_RANK];
    memcpy(at, index, sizeof at[0] * (size_t)n->type.rank);
    for (int i = n->nargs; i-- > 0;) {
        int64_t extent = node_of(b, n->args[i])->type.dim[axis];
        start -= extent;
        at[axis] = kx_addc(b->k, index[axis], -start);
        KRef in = kx_in_range(b->k, at[axis], 0, extent);
        if (kx_is_false(b->k, in)) continue; /* a kernel of other parts */
        KRef v = operand(b, n, i, at, kx_and(b->k, guard, in));
        KRef arg[3] = {in, v, value};
        value = value == NOK || in == NOK ? v : kx_eval(b->k, OP_select, n->type.dtype, 3, arg);
    }
    return value;
}

/* ---- index: gather reads where its operand says, clamped into the axis; outside is 0 ---- */

static KRef clamp_index(Body *b, KRef i, int64_t extent)
{
    KRef lo[2] = {i, kx_int(b->k, 0)};
    i = kx_eval(b->k, OP_max2, DT_I64, 2, lo);
    KRef hi[2] = {i, kx_int(b->k, extent - 1)};
    return kx_eval(b->k, OP_min2, DT_I64, 2, hi);
}

static KRef value_index(Body *b, Ref r, const KRef *index, KRef guard)
{
    const Node *n = node_of(b, r);
    Type data = node_of(b, n->args[0])->type, idx = node_of(b, n->args[1])->type;
    int axis = (int)node_int(n, "axis"), batch = (int)node_int(n, "batch");
    KRef at[MAX_RANK], where[MAX_RANK];
    int span = idx.rank - batch; /* result axes [axis, axis + span) run over the indices */
    for (int d = 0; d < batch; d++) where[d] = index[d];
    for (int d = 0; d < span; d++) where[batch + d] = index[axis + d];
    KRef i = body_value(b, n->args[1], where, guard);
    for (int d = 0; d < data.rank; d++)
        at[d] = d < axis ? index[d] : index[d + span - 1 < 0 ? 0 : d + span - 1];
    if (idx.dtype != DT_I64) i = kx_eval(b->k, OP_cast, DT_I64, 1, &i);
    at[axis] = clamp_index(b, i, data.dim[axis]);
    KRef value = operand(b, n, 0, at, guard), in = kx_in_range(b->k, i, 0, data.dim[axis]);
    return body_guarded(b, n->type.dtype, in, value, 0);
}

/* ---- meta ---- */

static KRef value_meta(Body *b, Ref r, const KRef *index, KRef guard)
{
    const Node *n = node_of(b, r);
    if (n->op == OP_allreduce && b->l->group_of[r] != b->group) die("a sum over ranks in a kernel");
    return operand(b, n, 0, index, guard);
}

/* ---- heavy: made once by body_heavy ---- */

static KRef value_heavy(Body *b, Ref r, const KRef *index, KRef guard)
{
    (void)index;
    (void)guard;
    if (r != b->l->group[b->group].heavy)
        die("%s is neither in memory nor this kernel's", op_info[node_of(b, r)->op].name);
    return b->heavy_value;
}

/* ---- the class table ---- */

typedef KRef ClassFn(Body *, Ref, const KRef *, KRef);
static ClassFn *const class_fn[] = {
    [CL_SOURCE] = value_source, [CL_ELEMENTWISE] = value_elementwise,
    [CL_VIEW] = value_view,     [CL_JOIN] = value_join,
    [CL_REDUCE] = value_heavy,  [CL_CONTRACT] = value_heavy,
    [CL_INDEX] = value_index,   [CL_META] = value_meta};

static KRef body_define(Body *b, Ref r, const KRef *index, KRef guard)
{
    const Node *n = node_of(b, r);
    if (n->op == OP_rng) return value_rng(b, r, index, guard);
    if (n->op == OP_scatter_add) return value_heavy(b, r, index, guard);
    return class_fn[op_info[n->op].cls](b, r, index, guard);
}

static Memo *find_memo(Body *b, Ref r, const KRef *index, KRef guard, int rank)
{
    for (uint32_t i = b->nmemo; i-- > 0;) {
        Memo *m = &b->memo[i];
        if (m->node == r && m->guard == guard &&
            (rank == 0 || !memcmp(m->index, index, sizeof *index * (size_t)rank)))
            return m;
    }
    return NULL;
}

KRef body_value(Body *b, Ref r, const KRef *index, KRef guard)
{
    int rank = node_of(b, r)->type.rank;
    if (is_claimed_weight(b, r))
        return load_buffer(b, r, claim_weights(b->l, &b->l->group[b->group]), index, guard, 0);
    int again = operand_again(b, r);
    if (again >= 0) return load_buffer(b, r, again, index, guard, 0);
    if (r == b->flat) return load_flat(b, r, index);
    if (in_memory(b, r)) return load_buffer(b, r, b->l->buffer_of[r], index, guard, 0);
    Memo *m = find_memo(b, r, index, guard, rank);
    if (m) return m->value;
    KRef v = body_define(b, r, index, guard);
    GROW(b->l->arena, b->memo, b->nmemo, b->memo_cap);
    m = &b->memo[b->nmemo++];
    *m = (Memo){.node = r, .guard = guard, .value = v};
    if (rank) memcpy(m->index, index, sizeof *index * (size_t)rank);
    return v;
}

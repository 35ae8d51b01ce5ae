/* SPDX-License-Identifier: Apache-2.0 */
/* The rows that keep or gather elements: elementwise, views, reductions, indices. Operands of rows
 * with a limited domain are brought into it first. */
#include <math.h>

#include "gen.h"

/* abs(r) + 1/2: where log, sqrt, pow and division are tame. */
static Ref positive(Gen *s, Ref r)
{
    return b_binary(s->g, OP_add, b_unary(s->g, OP_abs, r), splat(s, r, 0.5));
}

/* ---- elementwise ---- */

static Ref unary(Gen *s, Ref a)
{
    static const Op ops[] = {OP_neg,  OP_abs,  OP_exp, OP_log, OP_log1p,
                             OP_sqrt, OP_tanh, OP_erf, OP_sign};
    Op op = ops[below(s, COUNT(ops))];
    if (op == OP_exp) a = b_unary(s->g, OP_tanh, a);
    if (op == OP_log || op == OP_sqrt || op == OP_log1p) a = positive(s, a);
    return b_unary(s->g, op, a);
}

static Ref binary(Gen *s, Ref a, Ref b)
{
    static const Op ops[] = {OP_add, OP_sub, OP_mul, OP_max2, OP_min2, OP_div, OP_pow};
    Op op = ops[below(s, COUNT(ops))];
    if (op == OP_div) b = positive(s, b);
    if (op == OP_pow) {
        a = positive(s, a);
        b = below(s, 2) ? b_unary(s->g, OP_tanh, b) : splat(s, b, below(s, 4) - 1);
    }
    return b_binary(s->g, op, a, b);
}

static Ref condition(Gen *s, Ref a, Ref b)
{
    static const Op ops[] = {OP_lt, OP_le, OP_eq};
    Ref c = b_binary(s->g, ops[below(s, 3)], a, b);
    if (below(s, 3) == 0) c = b_unary(s->g, OP_not, c);
    if (below(s, 3) == 0)
        c = b_binary(s->g, below(s, 2) ? OP_and : OP_or, c,
                     b_binary(s->g, OP_lt, splat(s, a, 0), a));
    return c;
}

void grow_elementwise(Gen *s)
{
    Ref a = any(s), b = any_like(s, a);
    switch (below(s, 6)) {
    case 0:
    case 1: add(s, unary(s, a)); break;
    case 2: add(s, b_select(s->g, condition(s, a, b), any_like(s, a), any_like(s, b))); break;
    case 3: add(s, b_relu(s->g, a)); break;
    case 4:
        if (below(s, 4) == 0)
            add(s, b_cast(s->g, b_cast(s->g, condition(s, a, b), DT_I32), DT_F64));
        else
            add(s, scaled(s, a, rng_uniform(s->rng, -2, 2)));
        break;
    default: add(s, binary(s, a, b));
    }
}

/* ---- views ---- */

static Ref random_reshape(Gen *s, Ref a)
{
    int64_t n = type_count(type(s, a)), dim[5] = {1};
    int rank = 2 + below(s, 3);
    for (int d = 1; d < rank - 1; d++) {
        dim[d] = 1 + below(s, 6);
        while (n % dim[d]) dim[d]--;
        n /= dim[d];
    }
    dim[rank - 1] = n;
    return b_reshape(s->g, a, rank, dim);
}

static Ref random_transpose(Gen *s, Ref a)
{
    int perm[MAX_RANK], rank = type(s, a).rank;
    for (int d = 0; d < rank; d++) perm[d] = d;
    for (int d = rank - 1; d > 1; d--) {
        int e = 1 + below(s, d), t = perm[d];
        perm[d] = perm[e];
        perm[e] = t;
    }
    return b_transpose(s->g, a, perm);
}

static Ref random_slice(Gen *s, Ref a)
{
    Type t = type(s, a);
    int64_t start[MAX_RANK] = {0}, size[MAX_RANK] = {1}, step[MAX_RANK] = {1};
    for (int d = 1; d < t.rank; d++) {
        start[d] = below(s, (int)t.dim[d]);
        step[d] = 1 + below(s, 2);
        size[d] = 1 + below(s, (int)((t.dim[d] - start[d] - 1) / step[d] + 1));
    }
    return b_slice(s->g, a, start, size, step);
}

static Ref random_pad(Gen *s, Ref a)
{
    int64_t low[MAX_RANK] = {0}, high[MAX_RANK] = {0}, inner[MAX_RANK] = {0};
    for (int d = 1; d < type(s, a).rank; d++) {
        low[d] = below(s, 3);
        high[d] = below(s, 3);
        inner[d] = below(s, 4) ? 0 : 1;
    }
    return b_pad(s->g, a, low, high, inner, below(s, 2) ? 0 : rng_uniform(s->rng, -1, 1));
}

static Ref random_broadcast(Gen *s, Ref a)
{
    Type t = type(s, a);
    for (int d = 1; d < t.rank; d++)
        if (t.dim[d] == 1) t.dim[d] = 1 + below(s, 4);
    return b_broadcast(s->g, a, t.rank, t.dim);
}

static Ref random_window(Gen *s, Ref a)
{
    Type t = type(s, a);
    if (t.rank < 3 || t.rank > 5) return a;
    int k = 1 + below(s, t.rank - 2);
    int64_t size[3], stride[3], dil[3], in[3];
    for (int d = 0; d < k; d++) {
        in[d] = t.dim[t.rank - k + d];
        dil[d] = 1 + below(s, 2);
        size[d] = 1 + below(s, (int)((in[d] - 1) / dil[d] + 1) > 3 ? 3 : 1);
        stride[d] = 1 + below(s, 2);
    }
    Ref w = b_window(s->g, a, k, size, stride, dil);
    if (below(s, 3) == 0) return b_fold(s->g, w, k, in, stride, dil);
    int axes[3];
    for (int d = 0; d < k; d++) axes[d] = type(s, w).rank - k + d;
    static const Op ops[] = {OP_max, OP_min, OP_sum};
    Ref m = b_reduce(s->g, ops[below(s, 3)], w, k, axes);
    Type out = type(s, m);
    return b_reshape(s->g, m, out.rank - k, out.dim);
}

static Ref random_concat(Gen *s, Ref a)
{
    int axis = 1 + below(s, type(s, a).rank - 1);
    Ref parts[3] = {a, any_like(s, a), any_like(s, a)};
    return b_concat(s->g, 2 + below(s, 2), parts, axis);
}

void grow_view(Gen *s)
{
    Ref a = any(s);
    switch (below(s, 8)) {
    case 0: add(s, random_reshape(s, a)); break;
    case 1: add(s, random_transpose(s, a)); break;
    case 2: add(s, random_slice(s, a)); break;
    case 3: add(s, random_pad(s, a)); break;
    case 4: add(s, random_broadcast(s, a)); break;
    case 5: add(s, random_window(s, a)); break;
    case 6: add(s, random_concat(s, a)); break;
    default: add(s, b_reverse(s->g, a, 1, (int[]){1 + below(s, type(s, a).rank - 1)}));
    }
}

/* ---- reductions ---- */

void grow_reduce(Gen *s)
{
    static const Op ops[] = {OP_sum, OP_max, OP_min, OP_prod, OP_argmax};
    Ref a = any(s);
    Type t = type(s, a);
    int axes[MAX_RANK], n = 0;
    for (int d = 1; d < t.rank; d++)
        if (below(s, 2)) axes[n++] = d;
    if (!n) axes[n++] = t.rank - 1;
    if (below(s, 5) == 0) {
        int axis = 1 + below(s, t.rank - 1);
        Ref y = b_scan(s->g, a, axis, below(s, 2), below(s, 2));
        add(s, scaled(s, y, 1 / sqrt((double)t.dim[axis])));
        return;
    }
    Op op = ops[below(s, COUNT(ops))];
    if (op == OP_prod) a = b_unary(s->g, OP_tanh, a);
    Ref y = b_reduce(s->g, op, a, n, axes);
    if (op == OP_argmax) y = b_cast(s->g, y, DT_F64);
    if (op == OP_sum || op == OP_argmax)
        y = scaled(s, y, 1 / sqrt((double)type_count(t) / (double)type_count(type(s, y))));
    add(s, below(s, 2) ? b_broadcast(s->g, y, t.rank, t.dim) : y);
}
/* ---- indices ---- */

static void gather(Gen *s, Ref a, int axis)
{
    Type t = type(s, a);
    Ref idx;
    if (below(s, 2)) {
        int64_t i[4] = {0}, k = 1 + below(s, 4);
        for (int j = 0; j < k; j++) i[j] = below(s, (int)t.dim[axis] + 2) - 1;
        idx = graph_const(s->g, type_of(DT_I64, 2, (int64_t[]){1, k}), i);
    } else { /* out of a value */
        Ref flat = b_reshape(s->g, a, 2, (int64_t[]){1, type_count(t)});
        int64_t k = type_count(t) < 3 ? type_count(t) : 3;
        idx = b_argsort(s->g, flat, 1, k);
    }
    if (axis != 1) return;
    Ref y = b_gather(s->g, a, idx, 1, 1);
    add(s, y);
    if (below(s, 2)) add(s, b_scatter_add(s->g, y, idx, 1, 1, t.dim[1] + below(s, 2)));
}

void grow_index(Gen *s)
{
    gather(s, any(s), 1);
}

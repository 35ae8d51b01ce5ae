/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions. sum, prod, max, min and fold are one walk: the operand is read in row-major order and
 * each element goes to the accumulator that strides name (stride 0 along a reduced axis, window
 * strides for fold). Accumulators are double or int64, and round or wrap once, when stored. */
#include "eval_impl.h"

#include <math.h>
#include <stdlib.h>

/* ---- folding a run of elements into accumulators ---- */

/* acc[i * step] takes in x[i]. */
typedef void Fold(Scalar *acc, int64_t step, const Scalar *x, int64_t n);

#define FOLD(name, field, T, expr)                                                                 \
    static void name(Scalar *acc, int64_t step, const Scalar *x, int64_t n)                        \
    {                                                                                              \
        if (step == 0) {                                                                           \
            T a = acc->field;                                                                      \
            for (int64_t i = 0; i < n; i++) {                                                      \
                T b = x[i].field;                                                                  \
                a = (expr);                                                                        \
            }                                                                                      \
            acc->field = a;                                                                        \
            return;                                                                                \
        }                                                                                          \
        for (int64_t i = 0; i < n; i++) {                                                          \
            T a = acc[i * step].field, b = x[i].field;                                             \
            acc[i * step].field = (expr);                                                          \
        }                                                                                          \
    }
/* clang-format off */
FOLD(sum_f, f, double, a + b)
FOLD(prod_f, f, double, a * b)
FOLD(max_f, f, double, b > a || isnan(b) ? b : a)
FOLD(min_f, f, double, b < a || isnan(b) ? b : a)
FOLD(sum_i, i, int64_t, (int64_t)((uint64_t)a + (uint64_t)b))
FOLD(prod_i, i, int64_t, (int64_t)((uint64_t)a * (uint64_t)b))
FOLD(max_i, i, int64_t, b > a ? b : a)
FOLD(min_i, i, int64_t, b < a ? b : a)
/* clang-format on */

static Fold *const fold_float[OP_COUNT] = {
    [OP_sum] = sum_f,
    [OP_prod] = prod_f,
    [OP_max] = max_f,
    [OP_min] = min_f,
};
static Fold *const fold_int[OP_COUNT] = {
    [OP_sum] = sum_i,
    [OP_prod] = prod_i,
    [OP_max] = max_i,
    [OP_min] = min_i,
};

/* ---- the walk ---- */

typedef struct Walk {
    Fold *fold;
    DType dtype;
    const void *in;
    Scalar *acc;
    int rank;
    int64_t dim[MAX_RANK + 1], stride[MAX_RANK + 1];
} Walk;

/* Adds an axis, merged with the one before where both are one run: rows get longer. */
static void walk_axis(Walk *w, int64_t dim, int64_t stride)
{
    int last = w->rank - 1;
    if (dim == 1) return;
    if (last >= 0 && w->stride[last] == dim * stride) {
        w->dim[last] *= dim;
        w->stride[last] = stride;
        return;
    }
    w->dim[w->rank] = dim;
    w->stride[w->rank++] = stride;
}

static void walk_row(const Walk *w, int64_t at, int64_t n, int64_t to, int64_t step)
{
    Scalar x[EVAL_BLOCK];
    for (int64_t i = 0; i < n; i += EVAL_BLOCK) {
        int64_t m = n - i < EVAL_BLOCK ? n - i : EVAL_BLOCK;
        scalars_load(w->dtype, w->in, at + i, m, x);
        w->fold(w->acc + to + i * step, step, x, m);
    }
}

/* Returns the position in the operand after what it visited. */
static int64_t walk_from(const Walk *w, int axis, int64_t at, int64_t to)
{
    int64_t n = w->dim[axis], step = w->stride[axis];
    if (axis == w->rank - 1) {
        walk_row(w, at, n, to, step);
        return at + n;
    }
    for (int64_t i = 0; i < n; i++) at = walk_from(w, axis + 1, at, to + i * step);
    return at;
}

static void accumulate(Fold *fold, const Tensor *in, const int64_t *stride, Scalar *acc)
{
    Walk w = {.fold = fold, .dtype = in->type.dtype, .in = in->data, .acc = acc};
    for (int i = 0; i < in->type.rank; i++) walk_axis(&w, in->type.dim[i], stride[i]);
    if (w.rank == 0) {
        w.dim[0] = w.rank = 1;
        w.stride[0] = 0;
    }
    walk_from(&w, 0, 0, 0);
}

/* ---- sum, prod, max, min ---- */

/* The neutral element. */
static Scalar initial(Op op, DType t)
{
    bool isf = dtype_is_float(t);
    switch (op) {
    case OP_prod: return isf ? (Scalar){.f = 1} : (Scalar){.i = 1};
    case OP_max: return isf ? (Scalar){.f = -INFINITY} : (Scalar){.i = INT64_MIN};
    case OP_min: return isf ? (Scalar){.f = INFINITY} : (Scalar){.i = INT64_MAX};
    default: return isf ? (Scalar){.f = 0} : (Scalar){.i = 0};
    }
}

static Fold *fold_of(Op op, DType t)
{
    return (dtype_is_float(t) ? fold_float : fold_int)[op];
}

void eval_reduce(const EvalCall *e)
{
    Type t = e->out->type;
    int64_t n = type_count(t), stride[MAX_RANK];
    Scalar *acc = eval_alloc(n, sizeof *acc);
    for (int64_t i = 0; i < n; i++) acc[i] = initial(e->op, t.dtype);
    dense_strides(t.rank, t.dim, stride);
    for (int i = 0; i < e->attr[0].n; i++) stride[e->attr[0].i[i]] = 0;
    accumulate(fold_of(e->op, t.dtype), &e->args[0], stride, acc);
    scalars_store(t.dtype, e->out->data, 0, n, acc);
    free(acc);
}

/* ---- fold: the adjoint of window ---- */

void eval_fold(const EvalCall *e)
{
    Type t = e->out->type;
    int64_t n = type_count(t), stride[MAX_RANK];
    Scalar *acc = eval_alloc(n, sizeof *acc);
    window_strides(t.rank, t.dim, e->attr[0].n, e->attr[1].i, e->attr[2].i, stride);
    accumulate(fold_of(OP_sum, t.dtype), &e->args[0], stride, acc);
    scalars_store(t.dtype, e->out->data, 0, n, acc);
    free(acc);
}

/* ---- order: argmax and argsort ---- */

typedef struct Item {
    Scalar v;
    int64_t index;
    bool isf;
} Item;

/* Strictly larger; NaN is larger than any number and equal to NaN. */
static bool larger(bool isf, Scalar a, Scalar b)
{
    if (!isf) return a.i > b.i;
    return a.f > b.f || (isnan(a.f) && !isnan(b.f));
}

static int64_t first_largest(DType t, const void *data, int64_t at, int64_t n)
{
    bool isf = dtype_is_float(t);
    Scalar best = {0};
    int64_t arg = 0;
    for (int64_t i = 0; i < n; i++) {
        Scalar x;
        scalars_load(t, data, at + i, 1, &x);
        if (i && !larger(isf, x, best)) continue;
        best = x;
        arg = i;
    }
    return arg;
}

/* Copies the operand with the reduced axes moved inside, so that each result is one run. */
static void *reduced_inside(const Tensor *x, const Attr *axes)
{
    int64_t dim[MAX_RANK], src[MAX_RANK], dst[MAX_RANK], dense[MAX_RANK];
    bool reduced[MAX_RANK] = {false};
    int rank = x->type.rank, n = 0, bytes = dtype_bytes(x->type.dtype);
    for (int i = 0; i < axes->n; i++) reduced[axes->i[i]] = true;
    dense_strides(rank, x->type.dim, dense);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < rank; i++) {
            if (reduced[i] != (pass == 1)) continue;
            dim[n] = x->type.dim[i];
            src[n++] = dense[i];
        }
    }
    void *copy = eval_alloc(type_count(x->type), (size_t)bytes);
    dense_strides(rank, dim, dst);
    strided_copy(rank, dim, copy, dst, x->data, src, bytes);
    return copy;
}

void eval_argmax(const EvalCall *e)
{
    const Tensor *x = &e->args[0];
    int64_t n = type_count(e->out->type), each = type_count(x->type) / n;
    void *runs = reduced_inside(x, &e->attr[0]);
    for (int64_t i = 0; i < n; i++) {
        elem_set_int(e->out->type.dtype, e->out->data, i,
                     first_largest(x->type.dtype, runs, i * each, each));
    }
    free(runs);
}

static int by_size(const void *pa, const void *pb)
{
    const Item *a = pa, *b = pb;
    if (larger(a->isf, a->v, b->v)) return -1;
    if (larger(a->isf, b->v, a->v)) return 1;
    return (a->index > b->index) - (a->index < b->index);
}

/* Element j of line (o, i) along an axis lies at (o * n + j) * inner + i. */
void eval_argsort(const EvalCall *e)
{
    const Type *t = &e->args[0].type;
    int axis = (int)e->attr[0].i[0];
    int64_t n = t->dim[axis], k = e->out->type.dim[axis];
    int64_t inner = count_dims(t->dim, axis + 1, t->rank), outer = count_dims(t->dim, 0, axis);
    Item *item = eval_alloc(n, sizeof *item);
    for (int64_t line = 0; line < outer * inner; line++) {
        int64_t o = line / inner, i = line % inner;
        for (int64_t j = 0; j < n; j++) {
            item[j] = (Item){.index = j, .isf = dtype_is_float(t->dtype)};
            scalars_load(t->dtype, e->args[0].data, (o * n + j) * inner + i, 1, &item[j].v);
        }
        qsort(item, (size_t)n, sizeof *item, by_size);
        for (int64_t j = 0; j < k; j++) {
            elem_set_int(e->out->type.dtype, e->out->data, (o * k + j) * inner + i, item[j].index);
        }
    }
    free(item);
}

/* ---- scan ---- */

typedef struct Line { /* elements base + j * step, j < n, in either direction */
    int64_t base, step, n;
    bool reverse, exclusive;
} Line;

static void scan_line(const Tensor *in, Tensor *out, const Line *l)
{
    DType t = in->type.dtype;
    Fold *add = fold_of(OP_sum, t);
    Scalar acc = initial(OP_sum, t), x;
    for (int64_t j = 0; j < l->n; j++) {
        int64_t at = l->base + (l->reverse ? l->n - 1 - j : j) * l->step;
        scalars_load(t, in->data, at, 1, &x);
        if (l->exclusive) scalars_store(t, out->data, at, 1, &acc);
        add(&acc, 0, &x, 1);
        if (!l->exclusive) scalars_store(t, out->data, at, 1, &acc);
    }
}

void eval_scan(const EvalCall *e)
{
    const Type *t = &e->args[0].type;
    int axis = (int)e->attr[0].i[0];
    int64_t inner = count_dims(t->dim, axis + 1, t->rank), outer = count_dims(t->dim, 0, axis);
    Line l = {.step = inner,
              .n = t->dim[axis],
              .reverse = e->attr[1].i[0] != 0,
              .exclusive = e->attr[2].i[0] != 0};
    for (int64_t line = 0; line < outer * inner; line++) {
        l.base = line / inner * l.n * inner + line % inner;
        scan_line(&e->args[0], e->out, &l);
    }
}

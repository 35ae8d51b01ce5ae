/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the reference evaluator. Each row of the op table is compared with a naive formula
 * written here on its own terms (index vectors, direct loops), linear rows also with their
 * adjoints; integers make those identities exact. Every row must have been exercised by the end.
 * `test_eval speed` also prints how fast contractions run, for information. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ir/build.h"
#include "ir/eval.h"

static int passed, failed;
static bool seen[OP_COUNT];
static Arena *arena;

static void check_at(bool ok, int line, const char *what, const char *who)
{
    if (ok) {
        passed++;
    } else if (++failed < 40) {
        printf("test_eval.c:%d: %s (%s)\n", line, what, who);
    }
}

#define CHECK(x) check_at((x), __LINE__, #x, "")
#define CHECK_OP(x, op) check_at((x), __LINE__, #x, op_info[op].name)

/* ---- random operands ---- */

static uint64_t state = 88172645463325252u;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static int64_t below(int64_t n)
{
    return (int64_t)(next() >> 11) % n;
}
static int64_t between(int64_t lo, int64_t hi)
{
    return lo + below(hi - lo + 1);
}
static double uniform(void)
{
    return (double)(next() >> 11) * 0x1p-53 * 4 - 2;
}

static Tensor tensor(Type t)
{
    return (Tensor){t, arena_alloc(arena, (size_t)type_bytes(t))};
}

static Type shape(DType d, int rank, ...)
{
    int64_t dim[MAX_RANK];
    va_list ap;
    va_start(ap, rank);
    for (int i = 0; i < rank; i++) dim[i] = va_arg(ap, int);
    va_end(ap);
    return type_of(d, rank, dim);
}

static Tensor random_tensor(Type t)
{
    Tensor x = tensor(t);
    for (int64_t i = 0; i < type_count(t); i++) {
        if (dtype_is_float(t.dtype)) {
            elem_set(t.dtype, x.data, i, uniform());
        } else {
            elem_set_int(t.dtype, x.data, i, t.dtype == DT_BOOL ? below(2) : between(-9, 9));
        }
    }
    return x;
}

static Tensor indices(Type t, int64_t extent)
{
    Tensor x = tensor(t);
    for (int64_t i = 0; i < type_count(t); i++) {
        elem_set_int(t.dtype, x.data, i, below(extent));
    }
    return x;
}

static double get(const Tensor *t, int64_t i)
{
    return elem_get(t->type.dtype, t->data, i);
}

/* Equal bits, or both NaN. */
static bool same(double a, double b)
{
    return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

/* ---- attributes and application ---- */

static Attr num(int64_t i)
{
    return (Attr){.i = {i}};
}
static Attr real(double f)
{
    return (Attr){.f = f};
}

static Attr ints(int n, ...)
{
    Attr a = {.n = n};
    va_list ap;
    va_start(ap, n);
    for (int i = 0; i < n; i++) a.i[i] = va_arg(ap, int);
    va_end(ap);
    return a;
}

static Tensor apply(Op op, const Attr *attr, int n, const Tensor *args)
{
    Type types[MAX_ARGS], t;
    for (int i = 0; i < n; i++) types[i] = args[i].type;
    const char *fault = op_infer(op, n, types, attr, NULL, &t, arena);
    if (fault) die("%s: %s", op_info[op].name, fault);
    Tensor out = tensor(t);
    memset(out.data, 0x5a, (size_t)type_bytes(t)); /* evaluators must not rely on zeros */
    eval_node(op, attr, NULL, n, args, &out);
    seen[op] = true;
    return out;
}

static Tensor apply1(Op op, const Attr *attr, Tensor a)
{
    return apply(op, attr, 1, &a);
}

static Tensor apply2(Op op, const Attr *attr, Tensor a, Tensor b)
{
    return apply(op, attr, 2, (Tensor[]){a, b});
}

static bool same_tensor(Tensor a, Tensor b)
{
    return type_eq(a.type, b.type) && !memcmp(a.data, b.data, (size_t)type_bytes(a.type));
}

static int64_t dot_int(Tensor a, Tensor b)
{
    int64_t s = 0;
    for (int64_t i = 0; i < type_count(a.type); i++) {
        s += elem_get_int(a.type.dtype, a.data, i) * elem_get_int(b.type.dtype, b.data, i);
    }
    return s;
}

/* ---- index vectors ---- */

static void unravel(Type t, int64_t flat, int64_t *at)
{
    for (int i = t.rank - 1; i >= 0; i--) {
        at[i] = flat % t.dim[i];
        flat /= t.dim[i];
    }
}

static int64_t ravel(Type t, const int64_t *at)
{
    int64_t flat = 0;
    for (int i = 0; i < t.rank; i++) flat = flat * t.dim[i] + at[i];
    return flat;
}

/* ---- elementwise ---- */

static const double odd_floats[] = {
    0.0,       -0.0,  1,      -1,     0.5,   -0.5,  1.5,   2.5,   -2.5,
    3,         1e-40, -1e-42, 1e-310, 1e30,  -3e38, 1e-20, 7e-8,  INFINITY,
    -INFINITY, NAN,   1e300,  0.1,    65504, 127.5, 1e19,  -1e19, 2147483648.0,
};
static const int64_t odd_ints[] = {
    0,
    1,
    -1,
    2,
    -2,
    7,
    100,
    -100,
    127,
    -128,
    255,
    INT32_MAX,
    INT32_MIN,
    INT64_MAX,
    INT64_MIN,
    1234567890123,
    -98765432109,
    (int64_t)1 << 53,
    ((int64_t)1 << 53) + 1,
};

/* All pairs of odd values, then random ones; odd_side picks which operand runs faster. */
static Tensor odd_tensor(DType d, bool fast)
{
    bool isf = dtype_is_float(d);
    int64_t n = isf ? COUNT(odd_floats) : COUNT(odd_ints);
    Tensor x = random_tensor(shape(d, 1, 1100));
    for (int64_t i = 0; i < n * n; i++) {
        int64_t k = fast ? i % n : i / n;
        if (isf) {
            elem_set(d, x.data, i, odd_floats[k]);
        } else {
            elem_set_int(d, x.data, i, odd_ints[k]);
        }
    }
    return x;
}

static double expect_unary(Op op, double a)
{
    switch (op) {
    case OP_neg: return -a;
    case OP_abs: return fabs(a);
    case OP_sign: return a > 0 ? 1 : a < 0 ? -1 : a == 0 ? 0 : NAN;
    case OP_exp: return exp(a);
    case OP_log: return log(a);
    case OP_log1p: return log1p(a);
    case OP_sqrt: return sqrt(a);
    case OP_tanh: return tanh(a);
    case OP_erf: return erf(a);
    case OP_floor: return floor(a);
    case OP_round: return nearbyint(a);
    default: die("no formula for %s", op_info[op].name);
    }
}

/* In the arithmetic of T itself, without the detour the evaluator takes. */
#define EXPECT_BINARY(T)                                                                           \
    static double expect_##T(Op op, T a, T b)                                                      \
    {                                                                                              \
        switch (op) {                                                                              \
        case OP_add: return (T)(a + b);                                                            \
        case OP_sub: return (T)(a - b);                                                            \
        case OP_mul: return (T)(a * b);                                                            \
        case OP_div: return (T)(a / b);                                                            \
        case OP_pow: return (T)pow(a, b);                                                          \
        case OP_max2: return isnan(a) || isnan(b) ? NAN : a > b ? a : b;                           \
        case OP_min2: return isnan(a) || isnan(b) ? NAN : a < b ? a : b;                           \
        case OP_lt: return a < b;                                                                  \
        case OP_le: return a <= b;                                                                 \
        case OP_eq: return a == b;                                                                 \
        default: die("no formula for %s", op_info[op].name);                                       \
        }                                                                                          \
    }
EXPECT_BINARY(float)
EXPECT_BINARY(double)

/* To the nearest float; integers wrap. */
static double rounded(DType d, double v)
{
    uint64_t cell = 0;
    if (dtype_is_float(d)) {
        elem_set(d, &cell, 0, v);
    } else {
        elem_set_int(d, &cell, 0, (int64_t)v);
    }
    return elem_get(d, &cell, 0);
}

static void float_unary(Op op, DType d)
{
    Tensor x = odd_tensor(d, true), y = apply1(op, NULL, x);
    bool ok = true;
    for (int64_t i = 0; i < type_count(x.type); i++) {
        ok &= same(get(&y, i), rounded(d, expect_unary(op, get(&x, i))));
    }
    CHECK_OP(ok, op);
}

static void float_binary(Op op, DType d)
{
    Tensor a = odd_tensor(d, true), b = odd_tensor(d, false), y = apply2(op, NULL, a, b);
    bool ok = true, is_bool = y.type.dtype == DT_BOOL;
    for (int64_t i = 0; i < type_count(y.type); i++) {
        double p = get(&a, i), q = get(&b, i), f32 = expect_float(op, (float)p, (float)q);
        double want = d == DT_F64 ? expect_double(op, p, q) : is_bool ? f32 : rounded(d, f32);
        if ((d == DT_F16 || d == DT_BF16) && op == OP_pow) want = rounded(d, pow(p, q));
        ok &= same(get(&y, i), want);
    }
    CHECK_OP(ok, op);
}

static int64_t expect_int(Op op, int64_t p, int64_t q)
{
    __int128 a = p, b = q;
    switch (op) {
    case OP_neg: return (int64_t)-a;
    case OP_abs: return (int64_t)(a < 0 ? -a : a);
    case OP_sign: return a > 0 ? 1 : a < 0 ? -1 : 0;
    case OP_add: return (int64_t)(a + b);
    case OP_sub: return (int64_t)(a - b);
    case OP_mul: return (int64_t)(a * b);
    case OP_div: return b ? (int64_t)(a / b) : 0;
    case OP_max2: return p > q ? p : q;
    case OP_min2: return p < q ? p : q;
    case OP_lt: return p < q;
    case OP_le: return p <= q;
    case OP_eq: return p == q;
    case OP_and: return p && q;
    case OP_or: return p || q;
    case OP_not: return !p;
    default: die("no formula for %s", op_info[op].name);
    }
}

static void int_op(Op op, DType d)
{
    Tensor args[2] = {odd_tensor(d, true), odd_tensor(d, false)};
    Tensor y = apply(op, NULL, op_info[op].nargs, args);
    bool ok = true;
    for (int64_t i = 0; i < type_count(y.type); i++) {
        int64_t a = elem_get_int(d, args[0].data, i), b = elem_get_int(d, args[1].data, i),
                cell = 0;
        elem_set_int(y.type.dtype, &cell, 0, expect_int(op, a, b));
        ok &= elem_get_int(y.type.dtype, y.data, i) == elem_get_int(y.type.dtype, &cell, 0);
    }
    CHECK_OP(ok, op);
}

static void test_elementwise(void)
{
    static const DType floats[] = {DT_F64, DT_F32, DT_F16, DT_BF16};
    static const DType integers[] = {DT_I64, DT_I32, DT_I8, DT_U8};
    static const Op of_ints[] = {OP_neg, OP_abs,  OP_sign, OP_add, OP_sub, OP_mul,
                                 OP_div, OP_max2, OP_min2, OP_lt,  OP_le,  OP_eq};
    for (int d = 0; d < 4; d++) {
        for (Op op = OP_neg; op <= OP_round; op++) float_unary(op, floats[d]);
        for (Op op = OP_add; op <= OP_eq; op++) float_binary(op, floats[d]);
        for (int o = 0; o < COUNT(of_ints); o++) int_op(of_ints[o], integers[d]);
    }
    int_op(OP_and, DT_BOOL);
    int_op(OP_or, DT_BOOL);
    int_op(OP_not, DT_BOOL);
}

/* What a cast of element i must give, from the rule and not from the evaluator. */
static bool cast_right(const Tensor *x, const Tensor *y, int64_t i)
{
    DType from = x->type.dtype, to = y->type.dtype;
    double v = get(x, i), got = get(y, i);
    if (dtype_is_float(to)) {
        if (from == DT_I64 && to == DT_F32) return got == (float)((const int64_t *)x->data)[i];
        return same(got, rounded(to, v));
    }
    if (to == DT_BOOL) return got == (v != 0);
    uint64_t cell = 0;
    if (dtype_is_float(from)) {
        elem_set(to, &cell, 0, v);
    } else {
        elem_set_int(to, &cell, 0, elem_get_int(from, x->data, i));
    }
    return elem_get_int(to, y->data, i) == elem_get_int(to, &cell, 0);
}

static void test_cast(void)
{
    for (int from = 0; from < DT_COUNT; from++) {
        for (int to = 0; to < DT_COUNT; to++) {
            Attr attr = num(to);
            Tensor x = odd_tensor((DType)from, true), y = apply1(OP_cast, &attr, x);
            bool ok = true;
            for (int64_t i = 0; i < type_count(x.type); i++) ok &= cast_right(&x, &y, i);
            CHECK(ok);
        }
    }
    Scalar big = scalar_cast(DT_F32, DT_I8, (Scalar){.f = 300}), nan = {.f = NAN};
    CHECK(big.i == 127 && scalar_cast(DT_F32, DT_I8, (Scalar){.f = -300}).i == -128);
    CHECK(scalar_cast(DT_F64, DT_U8, (Scalar){.f = -1}).i == 0);
    CHECK(scalar_cast(DT_F64, DT_I64, nan).i == 0 && scalar_cast(DT_F64, DT_BOOL, nan).i == 1);
    CHECK(scalar_cast(DT_F64, DT_I64, (Scalar){.f = 9.3e18}).i == INT64_MAX);
    CHECK(scalar_cast(DT_F64, DT_I32, (Scalar){.f = -2.9}).i == -2);
}

static void test_select(void)
{
    for (int d = 0; d < DT_COUNT; d++) {
        Type t = shape((DType)d, 2, 7, 5);
        Tensor c = random_tensor(type_with(t, DT_BOOL)), a = random_tensor(t), b = random_tensor(t);
        Tensor y = apply(OP_select, NULL, 3, (Tensor[]){c, a, b});
        bool ok = true;
        for (int64_t i = 0; i < 35; i++) ok &= get(&y, i) == get(get(&c, i) != 0 ? &a : &b, i);
        CHECK(ok);
    }
}

static void test_ties(void)
{
    Scalar zeros[2] = {{.f = 0.0}, {.f = -0.0}}, nans[2] = {{.f = NAN}, {.f = 1}};
    CHECK(signbit(scalar_op(OP_max2, DT_F32, DT_F32, zeros).f));
    CHECK(signbit(scalar_op(OP_min2, DT_F32, DT_F32, zeros).f));
    CHECK(isnan(scalar_op(OP_max2, DT_F64, DT_F64, nans).f));
    CHECK(isnan(scalar_op(OP_min2, DT_F64, DT_F64, nans).f));
    CHECK(scalar_op(OP_lt, DT_F64, DT_BOOL, nans).i == 0);
    CHECK(scalar_op(OP_round, DT_F32, DT_F32, (Scalar[]){{.f = 2.5}}).f == 2);
    CHECK(scalar_op(OP_div, DT_I32, DT_I32, (Scalar[]){{.i = -7}, {.i = 2}}).i == -3);
    CHECK(scalar_op(OP_div, DT_I64, DT_I64, (Scalar[]){{.i = 5}, {.i = 0}}).i == 0);
    CHECK(scalar_op(OP_add, DT_I8, DT_I8, (Scalar[]){{.i = 127}, {.i = 1}}).i == -128);
}

/* ---- views ---- */

/* Fills `at` with the operand's index for the result's index; false means the fill value. */
typedef bool Source(const Attr *attr, Type in, const int64_t *out, int64_t *at);

static bool from_transpose(const Attr *attr, Type in, const int64_t *out, int64_t *at)
{
    for (int i = 0; i < in.rank; i++) at[attr[0].i[i]] = out[i];
    return true;
}

static bool from_broadcast(const Attr *attr, Type in, const int64_t *out, int64_t *at)
{
    (void)attr;
    for (int i = 0; i < in.rank; i++) at[i] = in.dim[i] == 1 ? 0 : out[i];
    return true;
}

static bool from_slice(const Attr *attr, Type in, const int64_t *out, int64_t *at)
{
    for (int i = 0; i < in.rank; i++) at[i] = attr[0].i[i] + out[i] * attr[2].i[i];
    return true;
}

static bool from_pad(const Attr *attr, Type in, const int64_t *out, int64_t *at)
{
    bool inside = true;
    for (int i = 0; i < in.rank; i++) {
        int64_t p = out[i] - attr[0].i[i], step = attr[2].i[i] + 1;
        at[i] = p / step;
        inside &= p >= 0 && p % step == 0 && at[i] < in.dim[i];
    }
    return inside;
}

static bool from_reverse(const Attr *attr, Type in, const int64_t *out, int64_t *at)
{
    for (int i = 0; i < in.rank; i++) at[i] = out[i];
    for (int i = 0; i < attr[0].n; i++) {
        int64_t axis = attr[0].i[i];
        at[axis] = in.dim[axis] - 1 - out[axis];
    }
    return true;
}

static bool from_window(const Attr *attr, Type in, const int64_t *out, int64_t *at)
{
    int k = attr[0].n;
    for (int i = 0; i < in.rank; i++) at[i] = out[i];
    for (int i = 0; i < k; i++) {
        int a = in.rank - k + i;
        at[a] = out[a] * attr[1].i[i] + out[in.rank + i] * attr[2].i[i];
    }
    return true;
}

static Tensor view(Op op, const Attr *attr, Tensor x, Source *source, double fill)
{
    Tensor y = apply1(op, attr, x);
    bool ok = true;
    for (int64_t i = 0; i < type_count(y.type); i++) {
        int64_t out[MAX_RANK], at[MAX_RANK] = {0};
        unravel(y.type, i, out);
        bool inside = source(attr, x.type, out, at);
        ok &= same(get(&y, i), inside ? get(&x, ravel(x.type, at)) : rounded(x.type.dtype, fill));
    }
    CHECK_OP(ok, op);
    return y;
}

/* <Ax, y> = <x, A'y>, exactly, for integer tensors. */
static void adjoint(Op op, const Attr *attr, Tensor x, Op op_t, const Attr *attr_t)
{
    Tensor ax = apply1(op, attr, x), y = random_tensor(ax.type), aty = apply1(op_t, attr_t, y);
    CHECK_OP(type_eq(aty.type, x.type) && dot_int(ax, y) == dot_int(x, aty), op);
}

static void test_views(DType d)
{
    Tensor x = random_tensor(shape(d, 4, 3, 1, 5, 4));
    Attr perm[] = {ints(4, 2, 0, 3, 1)}, wide[] = {ints(4, 3, 6, 5, 4)}, axes[] = {ints(2, 0, 3)};
    Attr cut[] = {ints(4, 1, 0, 0, 1), ints(4, 2, 1, 3, 2), ints(4, 1, 1, 2, 2)};
    Attr grow[] = {ints(4, 0, 2, 1, 0), ints(4, 1, 0, 2, 0), ints(4, 0, 0, 1, 3), real(1)};
    Attr win[] = {ints(2, 2, 3), ints(2, 2, 1), ints(2, 3, 1)};
    Attr flat[] = {ints(2, 15, 4)};
    view(OP_transpose, perm, x, from_transpose, 0);
    view(OP_broadcast, wide, x, from_broadcast, 0);
    view(OP_slice, cut, x, from_slice, 0);
    view(OP_pad, grow, x, from_pad, 1);
    view(OP_reverse, axes, x, from_reverse, 0);
    view(OP_window, win, x, from_window, 0);
    Tensor r = apply1(OP_reshape, flat, x);
    CHECK(r.type.rank == 2 && !memcmp(r.data, x.data, (size_t)type_bytes(x.type)));
}

static void test_adjoint_views(void)
{
    Tensor x = random_tensor(shape(DT_I64, 4, 2, 3, 8, 7)),
           b = random_tensor(shape(DT_I64, 3, 4, 1, 2));
    Attr perm[] = {ints(4, 2, 0, 3, 1)}, perm_t[] = {ints(4, 1, 3, 0, 2)}, axes[] = {ints(2, 1, 2)};
    Attr wide[] = {ints(3, 4, 5, 2)}, narrow[] = {ints(1, 1)};
    Attr cut[] = {ints(4, 1, 0, 1, 0), ints(4, 1, 2, 3, 3), ints(4, 1, 2, 2, 3)};
    Attr uncut[] = {ints(4, 1, 0, 1, 0), ints(4, 0, 0, 2, 0), ints(4, 0, 1, 1, 2), real(0)};
    Attr win[] = {ints(2, 3, 2), ints(2, 2, 3), ints(2, 1, 2)};
    Attr fold[] = {ints(2, 8, 7), ints(2, 2, 3), ints(2, 1, 2)};
    Attr fwd[] = {num(2), num(0), num(1)}, rev[] = {num(2), num(1), num(1)};
    adjoint(OP_transpose, perm, x, OP_transpose, perm_t);
    adjoint(OP_reverse, axes, x, OP_reverse, axes);
    adjoint(OP_broadcast, wide, b, OP_sum, narrow);
    adjoint(OP_slice, cut, x, OP_pad, uncut);
    adjoint(OP_window, win, x, OP_fold, fold);
    adjoint(OP_scan, fwd, x, OP_scan, rev);
}

static void test_concat(void)
{
    Attr axis = num(1);
    Tensor part[3] = {random_tensor(shape(DT_F32, 3, 2, 3, 2)),
                      random_tensor(shape(DT_F32, 3, 2, 1, 2)),
                      random_tensor(shape(DT_F32, 3, 2, 4, 2))};
    Tensor y = apply(OP_concat, &axis, 3, part);
    int from = 0;
    for (int p = 0; p < 3; p++) {
        int n = (int)part[p].type.dim[1];
        Attr cut[] = {ints(3, 0, from, 0), ints(3, 2, n, 2), ints(3, 1, 1, 1)};
        CHECK(same_tensor(apply1(OP_slice, cut, y), part[p]));
        from += n;
    }
    CHECK(y.type.dim[1] == 8);
}

/* ---- reductions ---- */

static double fold2(Op op, double a, double x)
{
    switch (op) {
    case OP_sum: return a + x;
    case OP_prod: return a * x;
    case OP_max: return isnan(a) || isnan(x) ? NAN : fmax(a, x);
    default: return isnan(a) || isnan(x) ? NAN : fmin(a, x);
    }
}

/* Walks the results and, for each, all of the operand: slow and plain. */
static void reduce_naive(Op op, const Attr *axes, Tensor x)
{
    Tensor y = apply1(op, axes, x);
    bool ok = true;
    for (int64_t o = 0; o < type_count(y.type); o++) {
        double acc = op == OP_sum ? 0 : op == OP_prod ? 1 : op == OP_max ? -INFINITY : INFINITY;
        for (int64_t i = 0; i < type_count(x.type); i++) {
            int64_t at[MAX_RANK];
            unravel(x.type, i, at);
            for (int a = 0; a < axes->n; a++) at[axes->i[a]] = 0;
            if (ravel(y.type, at) == o) acc = fold2(op, acc, get(&x, i));
        }
        ok &= same(get(&y, o), rounded(y.type.dtype, acc));
    }
    CHECK_OP(ok, op);
}

static void test_reduce(void)
{
    Attr axes[] = {ints(0),       ints(1, 0),    ints(1, 2),
                   ints(2, 1, 3), ints(2, 0, 2), ints(4, 0, 1, 2, 3)};
    static const DType types[] = {DT_F64, DT_F32, DT_F16, DT_BF16, DT_I64, DT_I32};
    for (int d = 0; d < COUNT(types); d++) {
        Tensor x = random_tensor(shape(types[d], 4, 3, 4, 1, 5));
        for (int a = 0; a < COUNT(axes); a++) {
            for (Op op = OP_sum; op <= OP_min; op++) {
                if (op != OP_prod || dtype_is_float(types[d])) reduce_naive(op, &axes[a], x);
            }
        }
    }
    Tensor long_row = random_tensor(shape(DT_F32, 2, 3, 1000)),
           nan = random_tensor(shape(DT_F32, 2, 3, 4));
    Attr rows = ints(1, 1);
    reduce_naive(OP_sum, &rows, long_row);
    elem_set(DT_F32, nan.data, 5, NAN);
    elem_set(DT_F32, nan.data, 8, -NAN);
    reduce_naive(OP_max, &rows, nan);
    reduce_naive(OP_min, &rows, nan);
    Tensor wrap = tensor(shape(DT_I8, 1, 3));
    memcpy(wrap.data, (int8_t[]){100, 100, 2}, 3);
    Attr all = ints(1, 0);
    Tensor sum = apply1(OP_sum, &all, wrap), prod = apply1(OP_prod, &all, wrap);
    CHECK(get(&sum, 0) == (int8_t)202 && get(&prod, 0) == (int8_t)20000);
}

static void test_argmax(void)
{
    Tensor x = tensor(shape(DT_F32, 3, 2, 3, 2));
    /* over axes 0 and 2 the candidates of column j are x[a][j][b], in the order a, b */
    const float v[] = {1, 5, 2, NAN, 0, -0.f, 5, 4, NAN, 9, -1, -2};
    memcpy(x.data, v, sizeof v);
    Attr axes = ints(2, 0, 2);
    Tensor y = apply1(OP_argmax, &axes, x);
    CHECK(y.type.dtype == DT_I64 && y.type.dim[0] == 1 && y.type.dim[1] == 3);
    CHECK(get(&y, 0) == 1); /* 5 at [0][0][1] ties with 5 at [1][0][0] */
    CHECK(get(&y, 1) == 1); /* the first NaN wins */
    CHECK(get(&y, 2) == 0); /* 0 ties with -0 */
    Tensor i = random_tensor(shape(DT_I32, 2, 6, 50));
    Attr rows = ints(1, 1);
    Tensor a = apply1(OP_argmax, &rows, i);
    bool ok = true;
    for (int64_t r = 0; r < 6; r++) {
        int64_t best = 0;
        for (int64_t c = 1; c < 50; c++) {
            if (get(&i, r * 50 + c) > get(&i, r * 50 + best)) best = c;
        }
        ok &= get(&a, r) == (double)best;
    }
    CHECK(ok);
}

static bool comes_first(double a, int64_t i, double b, int64_t j)
{
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b) ? i < j : isnan(a);
    return a > b || (a == b && i < j);
}

static void test_argsort(void)
{
    Tensor x = random_tensor(shape(DT_I32, 3, 2, 9, 3)), f;
    Attr to_f32 = num(DT_F32), attr[] = {num(1), num(6)};
    f = apply1(OP_cast, &to_f32, x);
    elem_set(DT_F32, f.data, 4, NAN);
    elem_set(DT_F32, f.data, 10, NAN);
    Tensor y = apply1(OP_argsort, attr, f);
    bool ok = y.type.dim[1] == 6;
    for (int64_t line = 0; line < 6; line++) {
        int64_t o = line / 3, c = line % 3;
        for (int64_t j = 0; j < 6; j++) {
            int64_t pick = (int64_t)get(&y, (o * 6 + j) * 3 + c), rank = 0;
            for (int64_t k = 0; k < 9; k++) {
                rank += comes_first(get(&f, (o * 9 + k) * 3 + c), k,
                                    get(&f, (o * 9 + pick) * 3 + c), pick);
            }
            ok &= rank == j;
        }
    }
    CHECK(ok);
}

static void test_scan(void)
{
    for (int mode = 0; mode < 4; mode++) {
        Attr attr[] = {num(1), num(mode & 1), num(mode >> 1)};
        Tensor x = random_tensor(shape(DT_F32, 3, 2, 6, 3)), y = apply1(OP_scan, attr, x);
        bool ok = true;
        for (int64_t i = 0; i < 36; i++) {
            int64_t at[3];
            double want = 0;
            unravel(x.type, i, at);
            int64_t me = at[1];
            for (int64_t n = 0; n < 6; n++) {
                at[1] = mode & 1 ? 5 - n : n; /* in the order of the scan: equal rounding */
                bool before = mode & 1 ? at[1] > me : at[1] < me;
                if (before || (at[1] == me && !(mode >> 1))) want += get(&x, ravel(x.type, at));
            }
            ok &= same(get(&y, i), (float)want);
        }
        CHECK(ok);
    }
}

/* ---- contractions ---- */

static bool close_to(double got, double want, double scale)
{
    return fabs(got - want) <= 1e-12 * scale || same(got, want);
}

static void test_matmul(DType d, int b, int m, int k, int n)
{
    Tensor x = random_tensor(shape(d, 3, b, m, k)), w = random_tensor(shape(d, 3, b, k, n));
    Tensor y = apply2(OP_matmul, NULL, x, w);
    bool ok = true;
    for (int64_t i = 0; i < type_count(y.type); i++) {
        int64_t at[3];
        double want = 0;
        unravel(y.type, i, at);
        for (int j = 0; j < k; j++) {
            want += get(&x, (at[0] * m + at[1]) * k + j) * get(&w, (at[0] * k + j) * n + at[2]);
        }
        ok &= same(get(&y, i), rounded(d, want));
    }
    CHECK(ok);
}

typedef struct Geometry {
    int k;
    Attr attr[5]; /* as of conv, then `in` or `kernel` */
    Type x, w;
} Geometry;

static Geometry random_geometry(DType d)
{
    Geometry g = {.k = (int)between(1, 3)};
    int64_t groups = between(1, 3), c = between(1, 3), x[5] = {between(1, 2), groups * c};
    int64_t w[5] = {groups * between(1, 3), c};
    g.attr[0].n = g.attr[2].n = g.k;
    g.attr[1].n = 2 * g.k;
    g.attr[3] = num(groups);
    for (int i = 0; i < g.k; i++) {
        g.attr[0].i[i] = between(1, 3);
        g.attr[2].i[i] = between(1, 2);
        g.attr[1].i[i] = between(0, 2);
        g.attr[1].i[g.k + i] = between(0, 2);
        w[2 + i] = between(1, 3);
        x[2 + i] = between((w[2 + i] - 1) * g.attr[2].i[i] + 1, 8);
    }
    g.x = type_of(d, g.k + 2, x);
    g.w = type_of(d, g.k + 2, w);
    return g;
}

/* One element of conv, straight from the definition. */
static double conv_at(const Geometry *g, const Tensor *x, const Tensor *w, Type y,
                      const int64_t *at)
{
    int64_t features = y.dim[1] / g->attr[3].i[0], c = w->type.dim[1], group = at[1] / features;
    Type kernel = w->type;
    double sum = 0;
    kernel.dim[0] = 1;
    for (int64_t t = 0; t < type_count(kernel); t++) {
        int64_t tap[MAX_RANK], from[MAX_RANK];
        bool inside = true;
        unravel(kernel, t, tap);
        from[0] = at[0];
        from[1] = group * c + tap[1];
        for (int i = 0; i < g->k; i++) {
            int64_t p =
                at[2 + i] * g->attr[0].i[i] + tap[2 + i] * g->attr[2].i[i] - g->attr[1].i[i];
            from[2 + i] = p;
            inside &= p >= 0 && p < x->type.dim[2 + i];
        }
        tap[0] = at[1];
        if (inside) sum += get(x, ravel(x->type, from)) * get(w, ravel(w->type, tap));
    }
    return sum;
}

static void conv_naive(DType d)
{
    Geometry g = random_geometry(d);
    Tensor x = random_tensor(g.x), w = random_tensor(g.w), y = apply2(OP_conv, g.attr, x, w);
    bool ok = true;
    for (int64_t i = 0; i < type_count(y.type); i++) {
        int64_t at[MAX_RANK];
        unravel(y.type, i, at);
        ok &= same(get(&y, i) + 0.0, rounded(d, conv_at(&g, &x, &w, y.type, at)) + 0.0);
    }
    CHECK(ok);
}

static Attr spatial(Type t)
{
    Attr a = {.n = t.rank - 2};
    memcpy(a.i, t.dim + 2, sizeof(int64_t) * (size_t)a.n);
    return a;
}

/* <dy, conv(x, w)> = <conv_dx(dy, w), x> = <conv_dw(x, dy), w>, exactly in i64. */
static void conv_partials(void)
{
    Geometry g = random_geometry(DT_I64);
    Tensor x = random_tensor(g.x), w = random_tensor(g.w), y = apply2(OP_conv, g.attr, x, w);
    Tensor dy = random_tensor(y.type);
    g.attr[4] = spatial(g.x);
    Tensor dx = apply2(OP_conv_dx, g.attr, dy, w);
    g.attr[4] = spatial(g.w);
    Tensor dw = apply2(OP_conv_dw, g.attr, x, dy);
    CHECK(type_eq(dx.type, g.x) && dot_int(dx, x) == dot_int(dy, y));
    CHECK(type_eq(dw.type, g.w) && dot_int(dw, w) == dot_int(dy, y));
}

/* Each entry of a partial is T with a unit tensor in its place: <dy, conv(unit, w)>. */
static void conv_entries(DType d)
{
    Geometry g = random_geometry(d);
    Tensor x = random_tensor(g.x), w = random_tensor(g.w), y = apply2(OP_conv, g.attr, x, w);
    Tensor dy = random_tensor(y.type), ux = tensor(g.x), uw = tensor(g.w);
    g.attr[4] = spatial(g.x);
    Tensor dx = apply2(OP_conv_dx, g.attr, dy, w);
    g.attr[4] = spatial(g.w);
    Tensor dw = apply2(OP_conv_dw, g.attr, x, dy);
    int64_t i = below(type_count(g.x)), j = below(type_count(g.w)), at[MAX_RANK];
    double want_x = 0, want_w = 0, eps = d == DT_F64 ? 1 : 1e6;
    elem_set(d, ux.data, i, 1);
    elem_set(d, uw.data, j, 1);
    for (int64_t o = 0; o < type_count(y.type); o++) {
        unravel(y.type, o, at);
        want_x += get(&dy, o) * conv_at(&g, &ux, &w, y.type, at);
        want_w += get(&dy, o) * conv_at(&g, &x, &uw, y.type, at);
    }
    CHECK(close_to(get(&dx, i), want_x, eps * 10) && close_to(get(&dw, j), want_w, eps * 100));
}

static void test_contract(void)
{
    static const DType types[] = {DT_F64, DT_F32, DT_F16, DT_BF16, DT_I64, DT_I32, DT_I8};
    for (int d = 0; d < COUNT(types); d++) {
        test_matmul(types[d], 2, 5, 3, 7);
        test_matmul(types[d], 1, 1, 4, 1);
        test_matmul(types[d], 3, 8, 2, 4);
        for (int i = 0; i < 60; i++) conv_naive(types[d]);
    }
    for (int i = 0; i < 200; i++) conv_partials();
    for (int i = 0; i < 100; i++) conv_entries(i & 1 ? DT_F32 : DT_F64);
}

static void test_wrap(void)
{
    Tensor x = tensor(shape(DT_I8, 2, 1, 2));
    memcpy(x.data, (int8_t[]){100, 100}, 2);
    Attr flip = ints(2, 1, 0);
    Tensor y = apply2(OP_matmul, NULL, x, apply1(OP_transpose, &flip, x));
    CHECK(get(&y, 0) == (int8_t)20000);
}

/* ---- index ---- */

static void test_gather(void)
{
    Tensor x = random_tensor(shape(DT_F32, 4, 2, 3, 5, 2)),
           i = indices(shape(DT_I32, 3, 2, 2, 3), 5);
    Attr attr[] = {num(2), num(1)};
    elem_set_int(DT_I32, i.data, 4, -1);
    elem_set_int(DT_I32, i.data, 7, 5);
    Tensor y = apply2(OP_gather, attr, x, i); /* [2, 3, 2, 3, 2] */
    bool ok = y.type.rank == 5;
    for (int64_t o = 0; o < type_count(y.type); o++) {
        int64_t at[MAX_RANK];
        unravel(y.type, o, at);
        int64_t pick = elem_get_int(DT_I32, i.data, (at[0] * 2 + at[2]) * 3 + at[3]);
        bool inside = pick >= 0 && pick < 5;
        int64_t from = ((at[0] * 3 + at[1]) * 5 + pick) * 2 + at[4];
        ok &= get(&y, o) == (inside ? get(&x, from) : 0);
    }
    CHECK(ok);
}

static void test_scatter(void)
{
    for (int axis = 0; axis < 3; axis++) {
        for (int batch = 0; batch <= axis; batch++) {
            Tensor x = random_tensor(shape(DT_I64, 3, 4, 3, 5));
            int64_t extent = x.type.dim[axis], idx[2] = {batch ? 4 : 2, batch == 2 ? 3 : 6};
            Tensor i = indices(type_of(DT_I64, 2, idx), extent);
            elem_set_int(DT_I64, i.data, 1, extent);
            Attr attr[] = {num(axis), num(batch), num(extent)};
            Tensor ax = apply2(OP_gather, attr, x, i), y = random_tensor(ax.type);
            Tensor aty = apply2(OP_scatter_add, attr, y, i);
            CHECK(type_eq(aty.type, x.type) && dot_int(ax, y) == dot_int(x, aty));
        }
    }
    Attr attr[] = {num(0), num(0), num(2)};
    Tensor u = tensor(shape(DT_F32, 1, 3)), i = tensor(shape(DT_I64, 1, 3));
    memcpy(u.data, (float[]){1, 0x1p-24f, 0x1p-24f}, 12);
    Tensor y = apply2(OP_scatter_add, attr, u, i);
    CHECK(get(&y, 0) == 1 + 0x1p-23 && get(&y, 1) == 0); /* one rounding, at the end */
}

/* ---- sources ---- */

static void test_philox(void)
{
    uint32_t out[4], ones[4] = {~0u, ~0u, ~0u, ~0u}, zeros[4] = {0};
    philox_block(zeros, zeros, out);
    CHECK(out[0] == 0x6627e8d5 && out[1] == 0xe169c58d && out[2] == 0xbc57ac4c &&
          out[3] == 0x9b00dbd8);
    philox_block(ones, ones, out);
    CHECK(out[0] == 0x408f276d && out[1] == 0x41c83b0e && out[2] == 0xa20bc7c6 &&
          out[3] == 0x6d5451fd);
    philox_block((uint32_t[]){0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                 (uint32_t[]){0xa4093822, 0x299f31d0}, out);
    CHECK(out[0] == 0xd16cfe09 && out[1] == 0x94fdcceb && out[2] == 0x5001e420 &&
          out[3] == 0x24126ea1);
    philox_block((uint32_t[]){3, 7u << 24 | 11, 5, 1}, (uint32_t[]){9, 2}, out);
    for (uint64_t e = 0; e < 4; e++) {
        CHECK(philox_word(2ull << 32 | 9, 1ull << 32 | 5, 7, 11, 12 + e) == out[e]);
    }
    double u = philox_uniform(0, 0, 0, 0, 0);
    CHECK(u == (0x6627e8d5 >> 8) * 0x1p-24);
}

static void test_rng(void)
{
    Tensor seed = tensor(type_scalar(DT_I64)), id = tensor(shape(DT_I64, 1, 3));
    Tensor draw = tensor(shape(DT_I32, 1, 3));
    elem_set_int(DT_I64, seed.data, 0, -5);
    for (int i = 0; i < 3; i++) {
        elem_set_int(DT_I64, id.data, i, 40 - i);
        elem_set_int(DT_I32, draw.data, i, i);
    }
    Attr attr[] = {num(DT_F32), ints(2, 3, 7), num(2)};
    Tensor y = apply(OP_rng, attr, 3, (Tensor[]){seed, id, draw});
    bool ok = y.type.rank == 3;
    for (int64_t i = 0; i < 63; i++) {
        uint64_t b = (uint64_t)i / 21;
        ok &= get(&y, i) == philox_uniform((uint64_t)-5, 40 - b, 2, (uint32_t)b, (uint64_t)i % 21);
    }
    CHECK(ok);
}

static void test_iota(void)
{
    for (int d = 0; d < DT_BOOL; d++) {
        Attr attr[] = {num(d), ints(3, 2, 200, 2), num(1)};
        Tensor y = apply(OP_iota, attr, 0, NULL);
        bool ok = true;
        for (int64_t i = 0; i < 800; i++) {
            int64_t cell = 0;
            elem_set_int((DType)d, &cell, 0, i / 2 % 200);
            ok &= get(&y, i) == elem_get((DType)d, &cell, 0);
        }
        CHECK(ok);
    }
}

/* ---- whole graphs ---- */

static void run_unbound(void *arg)
{
    Eval *e = arg;
    Ref want = 2;
    eval_run(e, &want, 1);
}

static void test_graph(void)
{
    Graph *g = graph_new(arena, "test");
    Type t = shape(DT_F32, 1, 4);
    Ref x = b_input(g, "x", t), w = b_param(g, "w", t), y = b_binary(g, OP_mul, x, w);
    const float xs[] = {1, 2, 3, 4}, ws[] = {5, 6, 7, 8}, cs[] = {1, 0, 1, 0};
    Ref c = graph_const(g, t, cs), two = graph_splat(g, t, 2);
    Ref z = b_binary(g, OP_add, b_binary(g, OP_mul, y, two), c);
    Ref s = b_unary(g, OP_stop, z), a = graph_node(g, OP_allreduce, 1, &s, NULL);
    seen[OP_const] = seen[OP_stop] = seen[OP_allreduce] = true;
    Eval *e = eval_new(g);
    char msg[200] = "";
    eval_bind(e, x, xs);
    CHECK(y == 2 && !err_guard(run_unbound, e, msg, sizeof msg) && strstr(msg, "w"));
    eval_bind(e, w, ws);
    eval_keep(e, y);
    Ref want[] = {a, two};
    eval_run(e, want, 2);
    CHECK(get(eval_get(e, y), 1) == 12 && get(eval_get(e, a), 2) == 43);
    CHECK(get(eval_get(e, two), 3) == 2 && get(eval_get(e, x), 0) == 1);
    eval_bind(e, x, ws); /* again, with another input and another wish */
    eval_run(e, &z, 1);
    CHECK(get(eval_get(e, z), 0) == 51 && get(eval_get(e, z), 1) == 72);
    eval_run(e, &c, 1);
    CHECK(get(eval_get(e, c), 2) == 1);
    eval_free(e);
}

static void test_coverage(void)
{
    for (int op = 0; op < OP_COUNT; op++) {
        if (op != OP_input && op != OP_param) CHECK_OP(seen[op], op);
    }
}

/* ---- speed, for information ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void speed_conv(DType d, int c, int o, int groups, int hw, int k, int stride)
{
    Attr attr[5] = {ints(2, stride, stride), ints(4, k / 2, k / 2, k / 2, k / 2), ints(2, 1, 1),
                    num(groups)};
    Tensor x = random_tensor(shape(d, 4, 1, c, hw, hw)),
           w = random_tensor(shape(d, 4, o, c / groups, k, k));
    double t0 = seconds();
    Tensor y = apply2(OP_conv, attr, x, w);
    double t1 = seconds(), macs = (double)type_count(y.type) * (c / groups) * k * k;
    attr[4] = spatial(x.type);
    apply2(OP_conv_dx, attr, y, w);
    double t2 = seconds();
    attr[4] = spatial(w.type);
    apply2(OP_conv_dw, attr, x, y);
    double t3 = seconds();
    printf("  %s conv %dx%dx%d -> %d, %dx%d/%d, groups %d: %.2f, dx %.2f, dw %.2f GMAC/s\n",
           dtype_name(d), c, hw, hw, o, k, k, stride, groups, macs / (t1 - t0) * 1e-9,
           macs / (t2 - t1) * 1e-9, macs / (t3 - t2) * 1e-9);
}

static void speed_rest(DType d)
{
    Tensor a = random_tensor(shape(d, 2, 512, 512)), x = random_tensor(shape(d, 1, 4000000));
    double t0 = seconds();
    apply2(OP_matmul, NULL, a, a);
    double t1 = seconds();
    apply2(OP_max2, NULL, x, x);
    double t2 = seconds();
    Attr all = ints(1, 0);
    apply1(OP_sum, &all, x);
    double t3 = seconds();
    printf("  %s matmul 512: %.2f GMAC/s; max2 %.2f, sum %.2f Gelem/s\n", dtype_name(d),
           0.134217728 / (t1 - t0), 4e-3 / (t2 - t1), 4e-3 / (t3 - t2));
}

static void speed(DType d)
{
    speed_conv(d, 3, 64, 1, 224, 7, 2);
    speed_conv(d, 64, 64, 1, 56, 3, 1);
    speed_conv(d, 256, 256, 1, 14, 3, 1);
    speed_conv(d, 512, 512, 1, 7, 3, 1);
    speed_conv(d, 1024, 256, 1, 14, 1, 1);
    speed_conv(d, 256, 256, 256, 28, 3, 1);
    speed_rest(d);
}

int main(int argc, char **argv)
{
    arena = arena_new();
    test_elementwise();
    test_cast();
    test_select();
    test_ties();
    for (int d = 0; d < DT_COUNT; d++) test_views((DType)d);
    test_adjoint_views();
    test_concat();
    test_reduce();
    test_argmax();
    test_argsort();
    test_scan();
    test_contract();
    test_wrap();
    test_gather();
    test_scatter();
    test_philox();
    test_rng();
    test_iota();
    test_graph();
    test_coverage();
    if (argc > 1 && !strcmp(argv[1], "speed")) {
        speed(DT_F32);
        speed(DT_F64);
    }
    arena_free(arena);
    printf("eval: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}

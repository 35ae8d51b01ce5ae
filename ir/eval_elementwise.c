/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise rows. Each scalar function is written once, in double for floats and in int64 for
 * integers, and is used three ways: by scalar_op, by typed loops over f32 and f64, and for every
 * other dtype by passing blocks of Scalars. Computing + - * / and sqrt in double and rounding to
 * f32 gives the f32 result exactly (53 >= 2 * 24 + 2 bits), and compilers narrow the loops. */
#include "eval_impl.h"

#include <math.h>

/* ---- the functions ---- */

/* clang-format off */
#define FLOAT1(F) \
    F(neg, -a) F(abs, fabs(a)) F(sign, isnan(a) ? a : (a > 0) - (a < 0)) \
    F(exp, exp(a)) F(log, log(a)) F(log1p, log1p(a)) F(sqrt, sqrt(a)) F(tanh, tanh(a)) \
    F(erf, erf(a)) F(floor, floor(a)) F(round, rint(a))
#define FLOAT2(F) \
    F(add, a + b) F(sub, a - b) F(mul, a * b) F(div, a / b) F(pow, pow(a, b)) \
    F(max2, a > b || isnan(a) ? a : b) F(min2, a < b || isnan(a) ? a : b)

/* Signed overflow is undefined, unsigned wraps. */
#define U(x) ((uint64_t)(x))
#define INT1(F) \
    F(neg, (int64_t)(0 - U(a))) F(abs, a < 0 ? (int64_t)(0 - U(a)) : a) \
    F(sign, (a > 0) - (a < 0))
#define INT2(F) \
    F(add, (int64_t)(U(a) + U(b))) F(sub, (int64_t)(U(a) - U(b))) F(mul, (int64_t)(U(a) * U(b))) \
    F(div, b == 0 ? 0 : b == -1 ? (int64_t)(0 - U(a)) : a / b) \
    F(max2, a > b ? a : b) F(min2, a < b ? a : b)

#define COMPARE(F) F(lt, a < b) F(le, a <= b) F(eq, a == b)
#define LOGIC(F) F(and, a & b) F(or, a | b) F(not, !a)

#define DEFINE_F1(name, expr) static inline double f_##name(double a) { return (expr); }
#define DEFINE_F2(name, expr) static inline double f_##name(double a, double b) { return (expr); }
#define DEFINE_I1(name, expr) static int64_t i_##name(int64_t a) { return (expr); }
#define DEFINE_I2(name, expr) static int64_t i_##name(int64_t a, int64_t b) { return (expr); }
#define DEFINE_CMP(name, expr) \
    static int64_t fc_##name(double a, double b) { return (expr); } \
    static int64_t ic_##name(int64_t a, int64_t b) { return (expr); }
#define DEFINE_LOGIC(name, expr) \
    static int64_t l_##name(int64_t a, int64_t b) { (void)b; return (expr); }
FLOAT1(DEFINE_F1)
FLOAT2(DEFINE_F2)
INT1(DEFINE_I1)
INT2(DEFINE_I2)
COMPARE(DEFINE_CMP)
LOGIC(DEFINE_LOGIC)

static double (*const float1[OP_COUNT])(double) = {
#define ROW(name, expr) [OP_##name] = f_##name,
    FLOAT1(ROW)
};
static double (*const float2[OP_COUNT])(double, double) = {FLOAT2(ROW)};
#undef ROW
static int64_t (*const int1[OP_COUNT])(int64_t) = {
#define ROW(name, expr) [OP_##name] = i_##name,
    INT1(ROW)
};
static int64_t (*const int2[OP_COUNT])(int64_t, int64_t) = {INT2(ROW)};
#undef ROW
#define ROW(name, expr) [OP_##name] = fc_##name,
static int64_t (*const compare_float[OP_COUNT])(double, double) = {COMPARE(ROW)};
#undef ROW
#define ROW(name, expr) [OP_##name] = ic_##name,
static int64_t (*const compare_int[OP_COUNT])(int64_t, int64_t) = {COMPARE(ROW)};
#undef ROW
#define ROW(name, expr) [OP_##name] = l_##name,
static int64_t (*const logic[OP_COUNT])(int64_t, int64_t) = {LOGIC(ROW)};
#undef ROW
/* clang-format on */

/* ---- rounding, wrapping and casts ---- */

double round_to(DType t, double v)
{
    switch (t) {
    case DT_F64: return v;
    case DT_F32: return (float)v;
    default: break;
    }
    uint16_t cell;
    elem_set(t, &cell, 0, v);
    return elem_get(t, &cell, 0);
}

int64_t wrap_to(DType t, int64_t v)
{
    switch (t) {
    case DT_I32: return (int32_t)(uint32_t)U(v);
    case DT_I8: return (int8_t)(uint8_t)U(v);
    case DT_U8: return (uint8_t)U(v);
    case DT_BOOL: return v != 0;
    default: return v;
    }
}

static void int_range(DType t, int64_t *lo, int64_t *hi)
{
    int bits = 8 * dtype_bytes(t);
    *hi = INT64_MAX >> (64 - bits);
    *lo = -*hi - 1;
    if (t == DT_U8) {
        *lo = 0;
        *hi = UINT8_MAX;
    }
}

static int64_t float_to_int(DType t, double v)
{
    int64_t lo, hi;
    if (t == DT_BOOL) return v != 0;
    if (isnan(v)) return 0;
    int_range(t, &lo, &hi);
    v = trunc(v);
    if (v <= (double)lo) return lo;
    if (v >= (double)hi) return hi; /* (double)INT64_MAX is 2^63: what is below it converts */
    return (int64_t)v;
}

/* An i64 above 2^53 goes to f32 in one rounding, not by way of a double. */
static double int_to_float(DType t, int64_t v)
{
    return t == DT_F32 ? (double)(float)v : round_to(t, (double)v);
}

Scalar scalar_cast(DType from, DType to, Scalar v)
{
    if (dtype_is_float(from)) {
        if (dtype_is_float(to)) return (Scalar){.f = round_to(to, v.f)};
        return (Scalar){.i = float_to_int(to, v.f)};
    }
    if (dtype_is_float(to)) return (Scalar){.f = int_to_float(to, v.i)};
    return (Scalar){.i = wrap_to(to, v.i)};
}

/* ---- one scalar ---- */

static Scalar scalar_float(Op op, DType result, const Scalar *a)
{
    if (float1[op]) return (Scalar){.f = round_to(result, float1[op](a[0].f))};
    if (float2[op]) return (Scalar){.f = round_to(result, float2[op](a[0].f, a[1].f))};
    if (compare_float[op]) return (Scalar){.i = compare_float[op](a[0].f, a[1].f)};
    die("%s is not an elementwise row for floats", op_info[op].name);
}

static Scalar scalar_int(Op op, DType result, const Scalar *a)
{
    if (int1[op]) return (Scalar){.i = wrap_to(result, int1[op](a[0].i))};
    if (int2[op]) return (Scalar){.i = wrap_to(result, int2[op](a[0].i, a[1].i))};
    if (compare_int[op]) return (Scalar){.i = compare_int[op](a[0].i, a[1].i)};
    if (logic[op]) return (Scalar){.i = logic[op](a[0].i, op_info[op].nargs == 2 ? a[1].i : 0)};
    die("%s is not an elementwise row for integers", op_info[op].name);
}

Scalar scalar_op(Op op, DType operand, DType result, const Scalar *a)
{
    if (op == OP_select) return a[0].i ? a[1] : a[2];
    if (op == OP_cast) return scalar_cast(operand, result, a[0]);
    return dtype_is_float(operand) ? scalar_float(op, result, a) : scalar_int(op, result, a);
}

/* ---- blocks of scalars ---- */

#define LOAD(T, field, expr)                                                                       \
    for (int64_t i = 0; i < n; i++) {                                                              \
        T x = ((const T *)data)[at + i];                                                           \
        s[i].field = (expr);                                                                       \
    }                                                                                              \
    break

void scalars_load(DType t, const void *data, int64_t at, int64_t n, Scalar *s)
{
    switch (t) {
    case DT_F64: LOAD(double, f, x);
    case DT_F32: LOAD(float, f, x);
    case DT_F16: LOAD(uint16_t, f, half_to_float(x));
    case DT_BF16: LOAD(uint16_t, f, bf16_to_float(x));
    case DT_I64: LOAD(int64_t, i, x);
    case DT_I32: LOAD(int32_t, i, x);
    case DT_I8: LOAD(int8_t, i, x);
    default: LOAD(uint8_t, i, x);
    }
}

#define STORE(T, expr)                                                                             \
    for (int64_t i = 0; i < n; i++) ((T *)data)[at + i] = (T)(expr);                               \
    break

void scalars_store(DType t, void *data, int64_t at, int64_t n, const Scalar *s)
{
    switch (t) {
    case DT_F64: STORE(double, s[i].f);
    case DT_F32: STORE(float, s[i].f);
    case DT_F16:
    case DT_BF16:
        for (int64_t i = 0; i < n; i++) elem_set(t, data, at + i, s[i].f);
        break;
    case DT_I64: STORE(int64_t, s[i].i);
    case DT_I32: STORE(int32_t, U(s[i].i));
    case DT_I8: STORE(int8_t, U(s[i].i));
    case DT_U8: STORE(uint8_t, U(s[i].i));
    default: STORE(uint8_t, s[i].i != 0);
    }
}

/* ---- loops ---- */

typedef void Loop(int64_t n, const void *const *args, void *out);

#define LOOP1(T, name)                                                                             \
    static void name##_##T(int64_t n, const void *const *args, void *out)                          \
    {                                                                                              \
        const T *a = args[0];                                                                      \
        T *o = out;                                                                                \
        for (int64_t i = 0; i < n; i++) o[i] = (T)f_##name(a[i]);                                  \
    }
#define LOOP2(T, name)                                                                             \
    static void name##_##T(int64_t n, const void *const *args, void *out)                          \
    {                                                                                              \
        const T *a = args[0], *b = args[1];                                                        \
        T *o = out;                                                                                \
        for (int64_t i = 0; i < n; i++) o[i] = (T)f_##name(a[i], b[i]);                            \
    }
#define LOOPC(T, name)                                                                             \
    static void name##_##T(int64_t n, const void *const *args, void *out)                          \
    {                                                                                              \
        const T *a = args[0], *b = args[1];                                                        \
        uint8_t *o = out;                                                                          \
        for (int64_t i = 0; i < n; i++) o[i] = (uint8_t)fc_##name(a[i], b[i]);                     \
    }
#define BOTH1(name, expr) LOOP1(float, name) LOOP1(double, name)
#define BOTH2(name, expr) LOOP2(float, name) LOOP2(double, name)
#define BOTHC(name, expr) LOOPC(float, name) LOOPC(double, name)
FLOAT1(BOTH1)
FLOAT2(BOTH2)
COMPARE(BOTHC)

static Loop *const loop_f32[OP_COUNT] = {
#define ROW(name, expr) [OP_##name] = name##_float,
    FLOAT1(ROW) FLOAT2(ROW) COMPARE(ROW)
#undef ROW
};
static Loop *const loop_f64[OP_COUNT] = {
#define ROW(name, expr) [OP_##name] = name##_double,
    FLOAT1(ROW) FLOAT2(ROW) COMPARE(ROW)
#undef ROW
};

/* Any op and dtype: blocks of operands become Scalars and go through scalar_op one by one. */
static void by_scalars(const EvalCall *e)
{
    Scalar in[3][EVAL_BLOCK], out[EVAL_BLOCK];
    DType operand = e->args[e->nargs - 1].type.dtype, result = e->out->type.dtype;
    int64_t n = type_count(e->out->type);
    for (int64_t at = 0; at < n; at += EVAL_BLOCK) {
        int64_t m = n - at < EVAL_BLOCK ? n - at : EVAL_BLOCK;
        for (int a = 0; a < e->nargs; a++) {
            scalars_load(e->args[a].type.dtype, e->args[a].data, at, m, in[a]);
        }
        for (int64_t i = 0; i < m; i++) {
            Scalar x[3];
            for (int a = 0; a < e->nargs; a++) x[a] = in[a][i];
            out[i] = scalar_op(e->op, operand, result, x);
        }
        scalars_store(result, e->out->data, at, m, out);
    }
}

static void elementwise(const EvalCall *e)
{
    DType t = e->args[0].type.dtype;
    Loop *loop = t == DT_F32 ? loop_f32[e->op] : t == DT_F64 ? loop_f64[e->op] : NULL;
    const void *args[2] = {e->args[0].data, e->nargs > 1 ? e->args[1].data : NULL};
    if (loop) {
        loop(type_count(e->out->type), args, e->out->data);
    } else {
        by_scalars(e);
    }
}

void eval_unary(const EvalCall *e)
{
    elementwise(e);
}
void eval_binary(const EvalCall *e)
{
    elementwise(e);
}
void eval_compare(const EvalCall *e)
{
    elementwise(e);
}
void eval_logic(const EvalCall *e)
{
    by_scalars(e);
}
void eval_cast(const EvalCall *e)
{
    by_scalars(e);
}

/* Selecting moves bits, so the size of an element is all that matters. */
#define SELECT(T)                                                                                  \
    for (int64_t i = 0; i < n; i++) {                                                              \
        ((T *)e->out->data)[i] = c[i] ? ((const T *)a)[i] : ((const T *)b)[i];                     \
    }                                                                                              \
    break

void eval_select(const EvalCall *e)
{
    const uint8_t *c = e->args[0].data;
    const void *a = e->args[1].data, *b = e->args[2].data;
    int64_t n = type_count(e->out->type);
    switch (dtype_bytes(e->out->type.dtype)) {
    case 1: SELECT(uint8_t);
    case 2: SELECT(uint16_t);
    case 4: SELECT(uint32_t);
    default: SELECT(uint64_t);
    }
}

/* ---- whole tensors ---- */

Scalar *scalars_new(const Tensor *t)
{
    int64_t n = type_count(t->type);
    Scalar *s = eval_alloc(n, sizeof *s);
    scalars_load(t->type.dtype, t->data, 0, n, s);
    return s;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Building kernels. Expressions are hash-consed, so equal ones have equal KRefs and arguments
 * come before their users; every builder simplifies first. A float is only simplified where no
 * bit can change: x * 1, x / 1, x - 0 and x + (-0), but not x + 0 (which turns -0 into 0). Sums
 * of i64 indices are the business of kernel_index.c.
 *
 * NOK stands for "no guard", which is the constant true: kx_in_range and kx_and return it for a
 * condition that always holds, and a K_CONST false (see kx_is_false) for one that never does. */
#include "kernel_impl.h"

#include "eval.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- kernels ---- */

Kernel *kernel_new(Arena *a)
{
    Kernel *k = NEW(a, Kernel);
    k->arena = a;
    k->name = "";
    k->contract.op = OP_COUNT;
    k->heavy = NOK;
    k->data_param = k->weight_param = k->scratch_param = k->packed_param = -1;
    k->offer.claim = -1;
    return k;
}

static bool name_taken(const Kernel *k, const char *name)
{
    for (int i = 0; i < k->naxis; i++)
        if (!strcmp(k->axis[i].name, name)) return true;
    return false;
}

/* Names are unique in a kernel, for its text is compared: "c", then "c_1", "c_2" ... */
static void axis_name(const Kernel *k, char out[8], const char *name)
{
    snprintf(out, 8, "%.7s", name);
    for (int n = 1; name_taken(k, out); n++) snprintf(out, 8, "%.4s_%d", name, n % 100);
}

int kernel_axis(Kernel *k, const char *name, AxisKind kind, int64_t extent, bool sample)
{
    if (k->naxis == MAX_AXES) die("kernel %s has more than %d axes", k->name, MAX_AXES);
    check(extent >= 1);
    Axis a = {.kind = kind, .extent = extent, .sample = sample};
    axis_name(k, a.name, name);
    k->axis[k->naxis] = a;
    return k->naxis++;
}

int kernel_param(Kernel *k, KParam p)
{
    if (k->nparam == MAX_PARAMS) die("kernel %s has more than %d parameters", k->name, MAX_PARAMS);
    k->param[k->nparam] = p;
    return k->nparam++;
}

/* ---- hash-consing ---- */

enum { KEY_WORDS = 8 };

static void expr_key(const KExpr *e, uint64_t key[KEY_WORDS])
{
    key[0] = (uint64_t)e->kop | (uint64_t)e->op << 8 | (uint64_t)e->dtype << 24 |
             (uint64_t)e->nargs << 32;
    for (int i = 0; i < MAX_KARGS; i += 2)
        key[1 + i / 2] = e->arg[i] | (uint64_t)e->arg[i + 1] << 32;
    key[5] = (uint64_t)e->imm.i;
    key[6] = (uint64_t)(uint32_t)e->param << 32 | e->guard;
    memcpy(&key[7], &e->fill, 8);
}

static uint64_t expr_hash(const KExpr *e, uint64_t key[KEY_WORDS])
{
    expr_key(e, key);
    return hash_bytes(key, KEY_WORDS * sizeof *key, 0);
}

static bool expr_eq(const KExpr *e, const uint64_t key[KEY_WORDS])
{
    uint64_t mine[KEY_WORDS];
    expr_key(e, mine);
    return !memcmp(mine, key, sizeof mine);
}

/* The slot that holds e, or the free one where it belongs. A slot is KRef + 1, or 0. */
static uint32_t *expr_slot(const Kernel *k, const KExpr *e)
{
    uint64_t key[KEY_WORDS];
    uint32_t mask = k->table_size - 1, i = (uint32_t)expr_hash(e, key) & mask;
    while (k->table[i] && !expr_eq(&k->expr[k->table[i] - 1], key)) i = (i + 1) & mask;
    return &k->table[i];
}

static void table_room(Kernel *k)
{
    if ((uint64_t)k->nexpr * 2 + 2 <= k->table_size) return;
    k->table_size = k->table_size ? k->table_size * 2 : 64;
    k->table = NEW_N(k->arena, uint32_t, k->table_size);
    for (uint32_t i = 0; i < k->nexpr; i++) *expr_slot(k, &k->expr[i]) = i + 1;
}

KRef kx_intern(Kernel *k, const KExpr *e)
{
    for (int i = 0; i < e->nargs; i++) check(e->arg[i] < k->nexpr);
    table_room(k);
    uint32_t *slot = expr_slot(k, e);
    if (!*slot) {
        GROW(k->arena, k->expr, k->nexpr, k->expr_cap);
        k->expr[k->nexpr++] = *e;
        *slot = k->nexpr;
    }
    return *slot - 1;
}

static KExpr expr_of(KOp kop, DType d, Range r)
{
    return (KExpr){.kop = kop, .op = OP_COUNT, .dtype = d, .guard = NOK, .lo = r.lo, .hi = r.hi};
}

static void take_args(const Kernel *k, KExpr *e, int nargs, const KRef *args)
{
    check(nargs <= MAX_KARGS);
    e->nargs = nargs;
    for (int i = 0; i < nargs; i++) {
        e->arg[i] = args[i];
        e->axes |= k->expr[args[i]].axes;
    }
}

KRef kx_raw(Kernel *k, Op op, DType d, int nargs, const KRef *args)
{
    KExpr e = expr_of(K_EVAL, d, range_of_eval(k, op, d, nargs, args));
    e.op = op;
    take_args(k, &e, nargs, args);
    return kx_intern(k, &e);
}

/* ---- leaves ---- */

/* An axis of one value is that value. */
KRef kx_axis(Kernel *k, int axis)
{
    check(axis >= 0 && axis < k->naxis);
    int64_t n = k->axis[axis].extent;
    if (n == 1) return kx_int(k, 0);
    KExpr e = expr_of(K_AXIS, DT_I64, (Range){0, n - 1});
    e.imm.i = axis;
    e.axes = 1u << axis;
    return kx_intern(k, &e);
}

static KRef scalar_const(Kernel *k, DType d, Scalar v)
{
    bool isf = dtype_is_float(d);
    KExpr e = expr_of(K_CONST, d, isf ? range_whole() : (Range){v.i, v.i});
    if (isf)
        e.imm.f = v.f;
    else
        e.imm.i = v.i;
    return kx_intern(k, &e);
}

KRef kx_int(Kernel *k, int64_t v)
{
    return scalar_const(k, DT_I64, (Scalar){.i = v});
}

KRef kx_const(Kernel *k, DType d, double v)
{
    return scalar_const(k, d, scalar_cast(DT_F64, d, (Scalar){.f = v}));
}

bool kx_is_int(const Kernel *k, KRef r, int64_t *value)
{
    const KExpr *e = &k->expr[r];
    if (e->kop != K_CONST || dtype_is_float(e->dtype)) return false;
    *value = e->imm.i;
    return true;
}

static bool is_bool(const Kernel *k, KRef r, int64_t value)
{
    int64_t v;
    return k->expr[r].dtype == DT_BOOL && kx_is_int(k, r, &v) && v == value;
}

bool kx_is_false(const Kernel *k, KRef r)
{
    return r != NOK && is_bool(k, r, 0);
}

bool kx_is_true(const Kernel *k, KRef r)
{
    return r == NOK || is_bool(k, r, 1);
}

/* ---- elementwise ---- */

static Scalar const_value(const KExpr *e)
{
    return dtype_is_float(e->dtype) ? (Scalar){.f = e->imm.f} : (Scalar){.i = e->imm.i};
}

static KRef fold_consts(Kernel *k, Op op, DType d, int nargs, const KRef *args)
{
    Scalar v[MAX_KARGS];
    for (int i = 0; i < nargs; i++) {
        if (k->expr[args[i]].kop != K_CONST) return NOK;
        v[i] = const_value(&k->expr[args[i]]);
    }
    return scalar_const(k, d, scalar_op(op, k->expr[args[nargs - 1]].dtype, d, v));
}

static bool is_value(const Kernel *k, KRef r, double v)
{ /* -0 and 0 are told apart */
    const KExpr *e = &k->expr[r];
    if (e->kop != K_CONST) return false;
    if (!dtype_is_float(e->dtype)) return e->imm.i == (int64_t)v;
    return e->imm.f == v && !signbit(e->imm.f) == !signbit(v);
}

static KRef fold_neutral(const Kernel *k, Op op, DType d, KRef a, KRef b)
{
    double zero = dtype_is_float(d) ? -0.0 : 0;
    if (op == OP_add && is_value(k, b, zero)) return a;
    if (op == OP_add && is_value(k, a, zero)) return b;
    if (op == OP_sub && is_value(k, b, 0)) return a;
    if ((op == OP_mul || op == OP_div) && is_value(k, b, 1)) return a;
    return op == OP_mul && is_value(k, a, 1) ? b : NOK;
}

static KRef fold_logic(const Kernel *k, Op op, KRef a, KRef b)
{
    int64_t neutral = op == OP_and;
    if (a == b || is_bool(k, b, neutral) || is_bool(k, a, !neutral)) return a;
    return is_bool(k, a, neutral) || is_bool(k, b, !neutral) ? b : NOK;
}

static KRef fold_compare(Kernel *k, Op op, KRef a, KRef b)
{
    if (dtype_is_float(k->expr[a].dtype)) return NOK;
    int known = a == b ? op != OP_lt : range_compare(k, op, a, b);
    return known < 0 ? NOK : kx_const(k, DT_BOOL, known);
}

/* max2 and min2 of integers whose ranges tell which it is. */
static KRef fold_extreme(const Kernel *k, Op op, DType d, KRef a, KRef b)
{
    if (dtype_is_float(d)) return NOK;
    bool below = range_compare(k, OP_le, a, b) == 1, above = range_compare(k, OP_le, b, a) == 1;
    if (below) return op == OP_max2 ? b : a;
    return above ? (op == OP_max2 ? a : b) : NOK;
}

static KRef fold_select(const Kernel *k, const KRef *args)
{
    if (args[1] == args[2] || is_bool(k, args[0], 1)) return args[1];
    return is_bool(k, args[0], 0) ? args[2] : NOK;
}

static KRef fold_eval(Kernel *k, Op op, DType d, const KRef *args)
{
    switch (op) {
    case OP_cast: return k->expr[args[0]].dtype == d ? args[0] : NOK;
    case OP_add:
    case OP_sub:
    case OP_mul:
    case OP_div: return fold_neutral(k, op, d, args[0], args[1]);
    case OP_and:
    case OP_or: return fold_logic(k, op, args[0], args[1]);
    case OP_lt:
    case OP_le:
    case OP_eq: return fold_compare(k, op, args[0], args[1]);
    case OP_max2:
    case OP_min2: return fold_extreme(k, op, d, args[0], args[1]);
    case OP_select: return fold_select(k, args);
    default: return NOK;
    }
}

KRef kx_eval(Kernel *k, Op op, DType d, int nargs, const KRef *args)
{
    check(nargs >= 1 && op_info[op].cls == CL_ELEMENTWISE && op_info[op].nargs == nargs);
    KRef r = fold_consts(k, op, d, nargs, args);
    if (r == NOK) r = fold_eval(k, op, d, args);
    if (r == NOK && d == DT_I64) r = kx_affine(k, op, nargs, args);
    return r == NOK ? kx_raw(k, op, d, nargs, args) : r;
}

/* ---- conditions ---- */

KRef kx_and(Kernel *k, KRef a, KRef b)
{
    if (kx_is_true(k, a)) return kx_is_true(k, b) ? NOK : b;
    if (kx_is_true(k, b)) return a;
    return kx_eval(k, OP_and, DT_BOOL, 2, (KRef[]){a, b});
}

/* ---- loads, reductions, random numbers ---- */

KRef kx_load(Kernel *k, int param, int rank, const KRef *index, KRef guard, double fill)
{
    check(param >= 0 && param < k->nparam && rank == k->param[param].layout.rank);
    DType d = k->param[param].dtype;
    if (kx_is_false(k, guard)) return kx_const(k, d, fill);
    KExpr e = expr_of(K_LOAD, d, range_of_dtype(d));
    take_args(k, &e, rank, index);
    e.param = param;
    if (!kx_is_true(k, guard)) {
        e.guard = guard;
        e.fill = fill;
        e.axes |= k->expr[guard].axes;
    }
    return kx_intern(k, &e);
}

static uint32_t reduction_axes(const Kernel *k)
{
    uint32_t set = 0;
    for (int i = 0; i < k->naxis; i++)
        if (k->axis[i].kind == AX_RED) set |= 1u << i;
    return set;
}

/* The index of an argmax starts at 0, which the first element replaces or keeps. */
KRef kx_reduce(Kernel *k, Op op, DType d, KRef value, KRef index)
{
    bool arg = op == OP_argmax;
    check(arg == (index != NOK));
    Range r = arg ? range_join(range_of(k, index), (Range){0, 0}) : range_of_dtype(d);
    KExpr e = expr_of(K_REDUCE, d, r);
    e.op = op;
    take_args(k, &e, arg ? 2 : 1, (KRef[]){value, index});
    e.axes &= ~reduction_axes(k);
    return kx_intern(k, &e);
}

KRef kx_rng(Kernel *k, DType d, KRef seed, KRef id, KRef draw, KRef element, int stream)
{
    KExpr e = expr_of(K_RNG, d, range_whole());
    take_args(k, &e, 4, (KRef[]){seed, id, draw, element});
    e.imm.i = stream;
    return kx_intern(k, &e);
}

double reduce_init(Op op, DType d)
{
    bool isf = dtype_is_float(d);
    Range r = range_of_dtype(d);
    switch (op) {
    case OP_sum: return 0;
    case OP_prod: return 1;
    case OP_max:
    case OP_argmax: return isf ? -INFINITY : (double)r.lo;
    case OP_min: return isf ? INFINITY : (double)r.hi;
    default: die("%s is not a reduction", op_info[op].name);
    }
}

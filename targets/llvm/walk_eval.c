/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise rows as LLVM values, scalar or vector alike: a table from op to function, as
 * ir/eval.h defines each. No fast-math flags: what is written is what runs. exp, log and their kin
 * are computed in double for every float dtype, so their float results are all but correctly
 * rounded. */
#include "targets/llvm/walk_impl.h"

typedef LLVMValueRef OpFn(Walk *, const EvalArgs *);

static bool on_float(const EvalArgs *a)
{
    return dtype_is_float(a->operand);
}

static bool on_unsigned(const EvalArgs *a)
{
    return a->operand == DT_U8 || a->operand == DT_BOOL;
}

static LLVMValueRef zero_of(LLVMValueRef v)
{
    return LLVMConstNull(LLVMTypeOf(v));
}

/* ---- arithmetic ---- */

static LLVMValueRef op_neg(Walk *w, const EvalArgs *a)
{
    return on_float(a) ? LLVMBuildFNeg(w->b, a->v[0], "") : LLVMBuildNeg(w->b, a->v[0], "");
}

static LLVMValueRef op_add(Walk *w, const EvalArgs *a)
{
    return on_float(a) ? f_add(w, a->v[0], a->v[1]) : i_add(w, a->v[0], a->v[1]);
}

static LLVMValueRef op_sub(Walk *w, const EvalArgs *a)
{
    return on_float(a) ? f_sub(w, a->v[0], a->v[1]) : i_sub(w, a->v[0], a->v[1]);
}

static LLVMValueRef op_mul(Walk *w, const EvalArgs *a)
{
    return on_float(a) ? f_mul(w, a->v[0], a->v[1]) : i_mul(w, a->v[0], a->v[1]);
}

/* x / 0 = 0 and x / -1 = -x, neither of which the instruction would survive. */
static LLVMValueRef int_div(Walk *w, const EvalArgs *a)
{
    LLVMValueRef x = a->v[0], y = a->v[1], one = v_same_int(w, y, 1);
    LLVMValueRef none = i_cmp(w, LLVMIntEQ, y, zero_of(y));
    LLVMValueRef safe = v_select(w, none, one, y);
    if (on_unsigned(a)) return v_select(w, none, zero_of(x), LLVMBuildUDiv(w->b, x, safe, ""));
    LLVMValueRef minus = i_cmp(w, LLVMIntEQ, y, v_same_int(w, y, -1));
    LLVMValueRef q = LLVMBuildSDiv(w->b, x, v_select(w, minus, one, safe), "");
    q = v_select(w, minus, LLVMBuildNeg(w->b, x, ""), q);
    return v_select(w, none, zero_of(x), q);
}

static LLVMValueRef op_div(Walk *w, const EvalArgs *a)
{
    return on_float(a) ? f_div(w, a->v[0], a->v[1]) : int_div(w, a);
}

static LLVMValueRef op_abs(Walk *w, const EvalArgs *a)
{
    LLVMValueRef x = a->v[0];
    if (on_float(a)) return v_intrinsic1(w, "llvm.fabs", x);
    if (on_unsigned(a)) return x;
    return v_select(w, i_cmp(w, LLVMIntSLT, x, zero_of(x)), LLVMBuildNeg(w->b, x, ""), x);
}

static LLVMValueRef float_sign(Walk *w, LLVMValueRef x)
{
    LLVMValueRef zero = zero_of(x);
    LLVMValueRef r = v_select(w, f_cmp(w, LLVMRealOEQ, x, zero), zero, x); /* NaN stays */
    r = v_select(w, f_cmp(w, LLVMRealOLT, x, zero), v_same(w, x, -1), r);
    return v_select(w, f_cmp(w, LLVMRealOGT, x, zero), v_same(w, x, 1), r);
}

static LLVMValueRef op_sign(Walk *w, const EvalArgs *a)
{
    LLVMValueRef x = a->v[0];
    if (on_float(a)) return float_sign(w, x);
    LLVMIntPredicate above = on_unsigned(a) ? LLVMIntUGT : LLVMIntSGT;
    LLVMValueRef r = v_select(w, i_cmp(w, above, x, zero_of(x)), v_same_int(w, x, 1), zero_of(x));
    if (on_unsigned(a)) return r;
    return v_select(w, i_cmp(w, LLVMIntSLT, x, zero_of(x)), v_same_int(w, x, -1), r);
}

/* ---- max2, min2 ----
 * NaN wins over numbers. Beside a constant one comparison does it: its false side is the operand
 * that may be NaN, which is also how vmaxps and vminps choose. */

static LLVMValueRef int_pick(Walk *w, const EvalArgs *a, bool max)
{
    LLVMIntPredicate p =
        on_unsigned(a) ? (max ? LLVMIntUGT : LLVMIntULT) : (max ? LLVMIntSGT : LLVMIntSLT);
    return v_select(w, i_cmp(w, p, a->v[0], a->v[1]), a->v[0], a->v[1]);
}

static LLVMValueRef pick(Walk *w, const EvalArgs *a, bool max)
{
    if (!on_float(a)) return int_pick(w, a, max);
    LLVMRealPredicate p = max ? LLVMRealOGT : LLVMRealOLT;
    LLVMValueRef x = a->v[0], y = a->v[1];
    if (a->constant[1]) return v_select(w, f_cmp(w, p, y, x), y, x);
    LLVMValueRef r = v_select(w, f_cmp(w, p, x, y), x, y);
    if (a->constant[0]) return r;
    return v_select(w, f_cmp(w, LLVMRealUNO, x, x), x, r);
}

static LLVMValueRef op_max2(Walk *w, const EvalArgs *a)
{
    return pick(w, a, true);
}

static LLVMValueRef op_min2(Walk *w, const EvalArgs *a)
{
    return pick(w, a, false);
}

/* ---- comparisons, logic, choice ---- */

static LLVMValueRef compare(Walk *w, const EvalArgs *a, LLVMRealPredicate real,
                            LLVMIntPredicate with_sign, LLVMIntPredicate without)
{
    if (on_float(a)) return f_cmp(w, real, a->v[0], a->v[1]);
    return i_cmp(w, on_unsigned(a) ? without : with_sign, a->v[0], a->v[1]);
}

static LLVMValueRef op_lt(Walk *w, const EvalArgs *a)
{
    return compare(w, a, LLVMRealOLT, LLVMIntSLT, LLVMIntULT);
}

static LLVMValueRef op_le(Walk *w, const EvalArgs *a)
{
    return compare(w, a, LLVMRealOLE, LLVMIntSLE, LLVMIntULE);
}

static LLVMValueRef op_eq(Walk *w, const EvalArgs *a)
{
    return compare(w, a, LLVMRealOEQ, LLVMIntEQ, LLVMIntEQ);
}

static LLVMValueRef op_and(Walk *w, const EvalArgs *a)
{
    return i_and(w, a->v[0], a->v[1]);
}

static LLVMValueRef op_or(Walk *w, const EvalArgs *a)
{
    return i_or(w, a->v[0], a->v[1]);
}

static LLVMValueRef op_not(Walk *w, const EvalArgs *a)
{
    return LLVMBuildNot(w->b, a->v[0], "");
}

static LLVMValueRef op_select(Walk *w, const EvalArgs *a)
{
    return v_select(w, a->v[0], a->v[1], a->v[2]);
}

static LLVMValueRef op_cast(Walk *w, const EvalArgs *a)
{
    return walk_cast(w, a->operand, a->result, a->v[0]);
}

/* stop and allreduce hand their operand on: what the latter means is the caller's business. */
static LLVMValueRef op_copy(Walk *w, const EvalArgs *a)
{
    (void)w;
    return a->v[0];
}

/* ---- rounding and roots ---- */

static LLVMValueRef op_floor(Walk *w, const EvalArgs *a)
{
    return v_floor(w, a->v[0]);
}

static LLVMValueRef op_round(Walk *w, const EvalArgs *a)
{
    return v_round(w, a->v[0]);
}

static LLVMValueRef op_sqrt(Walk *w, const EvalArgs *a)
{
    return v_intrinsic1(w, "llvm.sqrt", a->v[0]);
}

/* ---- in double ---- */

static LLVMValueRef widen(Walk *w, LLVMValueRef v)
{
    LLVMTypeRef t = v_like(LLVMDoubleTypeInContext(w->ctx), v);
    return LLVMTypeOf(v) == t ? v : LLVMBuildFPExt(w->b, v, t, "");
}

static LLVMValueRef narrow(Walk *w, const EvalArgs *a, LLVMValueRef v)
{
    LLVMTypeRef t = v_like(walk_type(w, a->result), v);
    return LLVMTypeOf(v) == t ? v : LLVMBuildFPTrunc(w->b, v, t, "");
}

#define IN_DOUBLE(name)                                                                            \
    static LLVMValueRef op_##name(Walk *w, const EvalArgs *a)                                      \
    {                                                                                              \
        return narrow(w, a, math_##name(w, widen(w, a->v[0])));                                    \
    }
IN_DOUBLE(exp)
IN_DOUBLE(log)
IN_DOUBLE(log1p)
IN_DOUBLE(tanh)
IN_DOUBLE(erf)
#undef IN_DOUBLE

static LLVMValueRef op_pow(Walk *w, const EvalArgs *a)
{
    return narrow(w, a, math_pow(w, widen(w, a->v[0]), widen(w, a->v[1]), a->operand == DT_F64));
}

/* ---- the table ---- */

static OpFn *const op_fn[OP_COUNT] = {
    [OP_neg] = op_neg,   [OP_abs] = op_abs,       [OP_sign] = op_sign,   [OP_exp] = op_exp,
    [OP_log] = op_log,   [OP_log1p] = op_log1p,   [OP_sqrt] = op_sqrt,   [OP_tanh] = op_tanh,
    [OP_erf] = op_erf,   [OP_floor] = op_floor,   [OP_round] = op_round, [OP_not] = op_not,
    [OP_cast] = op_cast, [OP_add] = op_add,       [OP_sub] = op_sub,     [OP_mul] = op_mul,
    [OP_div] = op_div,   [OP_pow] = op_pow,       [OP_max2] = op_max2,   [OP_min2] = op_min2,
    [OP_lt] = op_lt,     [OP_le] = op_le,         [OP_eq] = op_eq,       [OP_and] = op_and,
    [OP_or] = op_or,     [OP_select] = op_select, [OP_stop] = op_copy,   [OP_allreduce] = op_copy,
};

/* Results that a half holds as they come. */
static const bool is_exact[OP_COUNT] = {
    [OP_neg] = true,    [OP_abs] = true,  [OP_sign] = true,      [OP_floor] = true,
    [OP_round] = true,  [OP_cast] = true, [OP_max2] = true,      [OP_min2] = true,
    [OP_select] = true, [OP_stop] = true, [OP_allreduce] = true,
};

LLVMValueRef walk_op(Walk *w, Op op, const EvalArgs *a)
{
    if (!op_fn[op]) die("%s is not an elementwise row", op_info[op].name);
    LLVMValueRef v = op_fn[op](w, a);
    return is_exact[op] ? v : walk_round_to(w, a->result, v);
}

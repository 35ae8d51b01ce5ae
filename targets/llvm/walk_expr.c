/* SPDX-License-Identifier: Apache-2.0 */
/* The value of an expression under the present bindings: one case an expression kind. An expression
 * that depends on the lanes is a vector, any other a scalar that is splat where it meets one. */
#include "targets/llvm/walk_impl.h"

/* ---- axes and index arithmetic ---- */

static LLVMValueRef lane_numbers(Walk *w)
{
    LLVMValueRef lane[256];
    check(w->lanes <= COUNT(lane));
    for (int i = 0; i < w->lanes; i++) lane[i] = walk_i64(w, i);
    return LLVMConstVector(lane, (unsigned)w->lanes);
}

static LLVMValueRef axis_value(Walk *w, const KExpr *e)
{
    int a = (int)e->imm.i;
    if (!w->axis[a]) die("%s: axis %s is not bound", w->k->name, w->k->axis[a].name);
    if (a != w->vec) return w->axis[a];
    return i_add(w, walk_splat(w, w->axis[a]), lane_numbers(w));
}

static LLVMValueRef const_value(Walk *w, const KExpr *e)
{
    LLVMTypeRef t = walk_type(w, e->dtype);
    if (dtype_is_float(e->dtype)) return v_real(w, t, e->imm.f);
    return v_int(w, t, e->imm.i);
}

static int log2_of(int64_t v)
{
    int n = 0;
    while ((int64_t)1 << n < v) n++;
    return (int64_t)1 << n == v ? n : -1;
}

/* floor(x / by). */
static LLVMValueRef floor_div(Walk *w, LLVMValueRef x, int64_t by, bool positive)
{
    LLVMValueRef c = v_same_int(w, x, by);
    int shift = log2_of(by);
    if (shift >= 0) return i_ashr(w, x, v_same_int(w, x, shift));
    if (positive) return LLVMBuildUDiv(w->b, x, c, "");
    LLVMValueRef zero = v_same_int(w, x, 0), low = i_sub(w, x, v_same_int(w, x, by - 1));
    LLVMValueRef below = i_cmp(w, LLVMIntSLT, x, zero);
    return LLVMBuildSDiv(w->b, v_select(w, below, low, x), c, "");
}

static LLVMValueRef div_value(Walk *w, const KExpr *e)
{
    bool positive = walk_at(w, e->arg[0])->lo >= 0;
    return floor_div(w, walk_expr(w, e->arg[0]), e->imm.i, positive);
}

static LLVMValueRef mod_value(Walk *w, const KExpr *e)
{
    bool positive = walk_at(w, e->arg[0])->lo >= 0;
    LLVMValueRef x = walk_expr(w, e->arg[0]);
    if (log2_of(e->imm.i) >= 0) return i_and(w, x, v_same_int(w, x, e->imm.i - 1));
    if (positive) return LLVMBuildURem(w->b, x, v_same_int(w, x, e->imm.i), "");
    LLVMValueRef q = floor_div(w, x, e->imm.i, false);
    return i_sub(w, x, i_mul(w, q, v_same_int(w, x, e->imm.i)));
}

/* ---- elementwise ---- */

static bool is_plain_const(const KExpr *e)
{
    return e->kop == K_CONST && dtype_is_float(e->dtype) && e->imm.f == e->imm.f;
}

LLVMValueRef walk_operand(Walk *w, KRef r, bool vec)
{
    LLVMValueRef v = walk_expr(w, r);
    return vec && !v_is_vec(v) ? walk_splat(w, v) : v;
}

static EvalArgs eval_args(Walk *w, const KExpr *e, bool vec)
{
    EvalArgs a = {.result = e->dtype};
    for (int i = 0; i < e->nargs; i++) {
        a.v[i] = walk_operand(w, e->arg[i], vec);
        a.constant[i] = is_plain_const(walk_at(w, e->arg[i]));
        a.operand = walk_at(w, e->arg[i])->dtype; /* of select: that of the last two */
    }
    return a;
}

/* Index sums and products whose range is known cannot wrap, which the loop passes like to hear. */
static LLVMValueRef index_op(Walk *w, const KExpr *e, const EvalArgs *a)
{
    if (e->dtype != DT_I64 || e->lo == INT64_MIN || e->hi == INT64_MAX) return NULL;
    if (e->kop != K_EVAL || a->operand != DT_I64) return NULL;
    if (e->op == OP_add) return index_add(w, a->v[0], a->v[1]);
    if (e->op == OP_mul) return index_mul(w, a->v[0], a->v[1]);
    return NULL;
}

static LLVMValueRef eval_value(Walk *w, const KExpr *e, bool vec)
{
    EvalArgs a = eval_args(w, e, vec);
    LLVMValueRef v = index_op(w, e, &a);
    return v ? v : walk_op(w, e->op, &a);
}

/* ---- any ---- */

static LLVMValueRef value_of(Walk *w, KRef r)
{
    KExpr e = *walk_at(w, r); /* a copy: operands may add expressions */
    switch (e.kop) {
    case K_AXIS: return axis_value(w, &e);
    case K_CONST: return const_value(w, &e);
    case K_DIV: return div_value(w, &e);
    case K_MOD: return mod_value(w, &e);
    case K_LOAD: return walk_load(w, r);
    case K_EVAL: return eval_value(w, &e, walk_on_vec(w, r));
    case K_RNG: return walk_rng(w, r);
    case K_REDUCE: break;
    }
    die("%s: a reduction is used before it is made", w->k->name);
}

LLVMValueRef walk_expr(Walk *w, KRef r)
{
    if (!w->memo[r]) {
        LLVMValueRef v = value_of(w, r);
        w->memo[r] = v;
    }
    return w->memo[r];
}

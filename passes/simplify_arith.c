/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of elementwise operations; the laws are in simplify.def. */
#include "passes/simplify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static Ref binary(Graph *g, Op op, Ref a, Ref b)
{
    return simplify(g, b_binary(g, op, a, b));
}

/* The operand that stands beside one for which `is` holds, or NOREF. */
static Ref beside_splat(const Graph *g, const Node *n, double value)
{
    if (is_splat_of(g, n->args[1], value)) return n->args[0];
    return is_splat_of(g, n->args[0], value) ? n->args[1] : NOREF;
}

/* ---- neg, add, sub ---- */

Ref simp_neg_neg(Graph *g, const Node *n)
{
    return operand_is(g, n, 0, OP_neg) ? operand(g, n, 0)->args[0] : NOREF;
}

Ref simp_add_zero(Graph *g, const Node *n)
{
    return beside_splat(g, n, 0);
}

Ref simp_add_neg(Graph *g, const Node *n)
{
    for (int i = 0; i < 2; i++)
        if (operand_is(g, n, i, OP_neg) && !is_constant(g, n->args[i]))
            return b_binary(g, OP_sub, n->args[1 - i], operand(g, n, i)->args[0]);
    return NOREF;
}

Ref simp_sub_zero(Graph *g, const Node *n)
{
    return is_splat_of(g, n->args[1], 0) ? n->args[0] : NOREF;
}

Ref simp_sub_neg(Graph *g, const Node *n)
{
    if (!operand_is(g, n, 1, OP_neg)) return NOREF;
    return b_binary(g, OP_add, n->args[0], operand(g, n, 1)->args[0]);
}

/* So that terms meet as terms: add_constants merges them. */
Ref simp_sub_constant(Graph *g, const Node *n)
{
    double c;
    bool constant = is_constant(g, n->args[1]) && !is_constant(g, n->args[0]);
    if (!constant || !dtype_is_float(n->type.dtype)) return NOREF;
    bool splat = splat_value(g, n->args[1], &c);
    Ref term = splat ? graph_splat(g, n->type, -c) : simplify(g, b_unary(g, OP_neg, n->args[1]));
    return b_binary(g, OP_add, n->args[0], term);
}

/* Which operand is constant, the other being none; -1 if both or neither are. */
static int constant_side(const Graph *g, const Node *n)
{
    bool a = is_constant(g, n->args[0]), b = is_constant(g, n->args[1]);
    return a == b ? -1 : b;
}

/* (x op c) op d = x op (c op d), for add and mul. */
static Ref merge_constants(Graph *g, const Node *n)
{
    int d = constant_side(g, n);
    if (d < 0 || !operand_is(g, n, 1 - d, n->op)) return NOREF;
    Node inner = *operand(g, n, 1 - d);
    int c = constant_side(g, &inner);
    if (c < 0) return NOREF;
    Ref both = binary(g, n->op, inner.args[c], n->args[d]);
    return b_binary(g, n->op, inner.args[1 - c], both);
}

Ref simp_add_constants(Graph *g, const Node *n)
{
    return merge_constants(g, n);
}

/* ---- mul, div, pow ---- */

Ref simp_mul_one(Graph *g, const Node *n)
{
    return beside_splat(g, n, 1);
}

Ref simp_mul_minus_one(Graph *g, const Node *n)
{
    Ref x = beside_splat(g, n, -1);
    return x == NOREF ? NOREF : b_unary(g, OP_neg, x);
}

Ref simp_mul_negs(Graph *g, const Node *n)
{
    if (!operand_is(g, n, 0, OP_neg) || !operand_is(g, n, 1, OP_neg)) return NOREF;
    return b_binary(g, OP_mul, operand(g, n, 0)->args[0], operand(g, n, 1)->args[0]);
}

/* Only beside a splat: negating it needs no work at run time. */
Ref simp_mul_neg_constant(Graph *g, const Node *n)
{
    double c;
    for (int i = 0; i < 2; i++)
        if (operand_is(g, n, i, OP_neg) && splat_value(g, n->args[1 - i], &c) &&
            dtype_is_float(n->type.dtype))
            return b_binary(g, OP_mul, operand(g, n, i)->args[0], graph_splat(g, n->type, -c));
    return NOREF;
}

Ref simp_mul_constants(Graph *g, const Node *n)
{
    return merge_constants(g, n);
}

Ref simp_div_one(Graph *g, const Node *n)
{
    return is_splat_of(g, n->args[1], 1) ? n->args[0] : NOREF;
}

/* Exact, and a factor can merge with others. Up to 2^14 the reciprocal is normal in every dtype. */
Ref simp_div_power_of_two(Graph *g, const Node *n)
{
    double c;
    int exponent;
    if (!dtype_is_float(n->type.dtype) || !splat_value(g, n->args[1], &c)) return NOREF;
    if (fabs(frexp(c, &exponent)) != 0.5 || abs(exponent - 1) > 14) return NOREF;
    return b_binary(g, OP_mul, n->args[0], graph_splat(g, n->type, 1 / c));
}

Ref simp_pow_one(Graph *g, const Node *n)
{
    return is_splat_of(g, n->args[1], 1) ? n->args[0] : NOREF;
}

Ref simp_pow_two(Graph *g, const Node *n)
{
    if (!is_splat_of(g, n->args[1], 2)) return NOREF;
    return b_binary(g, OP_mul, n->args[0], n->args[0]);
}

/* ---- max2, min2, logic, select ---- */

Ref simp_same_operands(Graph *g, const Node *n)
{
    (void)g;
    return n->args[0] == n->args[1] ? n->args[0] : NOREF;
}

Ref simp_clamp_again(Graph *g, const Node *n)
{
    if (!operand_is(g, n, 0, n->op)) return NOREF;
    return operand(g, n, 0)->args[1] == n->args[1] ? n->args[0] : NOREF;
}

Ref simp_not_not(Graph *g, const Node *n)
{
    return operand_is(g, n, 0, OP_not) ? operand(g, n, 0)->args[0] : NOREF;
}

Ref simp_select_constant(Graph *g, const Node *n)
{
    double c;
    return splat_value(g, n->args[0], &c) ? n->args[c != 0 ? 1 : 2] : NOREF;
}

Ref simp_select_same(Graph *g, const Node *n)
{
    (void)g;
    return n->args[1] == n->args[2] ? n->args[1] : NOREF;
}

Ref simp_select_not(Graph *g, const Node *n)
{
    if (!operand_is(g, n, 0, OP_not)) return NOREF;
    return b_select(g, operand(g, n, 0)->args[0], n->args[2], n->args[1]);
}

/* An arm that asks the same question again knows the answer: arm 1 means yes, arm 2 means no. */
Ref simp_select_nested(Graph *g, const Node *n)
{
    for (int arm = 1; arm <= 2; arm++) {
        if (!operand_is(g, n, arm, OP_select)) continue;
        const Ref *inner = operand(g, n, arm)->args;
        if (inner[0] != n->args[0]) continue;
        Ref arms[] = {NOREF, n->args[1], n->args[2]};
        arms[arm] = inner[arm];
        return b_select(g, n->args[0], arms[1], arms[2]);
    }
    return NOREF;
}

/* Two questions, of which one answer leads to x and all others to y, are one: a gradient behind two
 * clamps then wants one mask of the forward pass. */
Ref simp_select_twice(Graph *g, const Node *n)
{
    for (int arm = 1; arm <= 2; arm++) {
        if (!operand_is(g, n, arm, OP_select)) continue;
        Ref inner[3], c = n->args[0], y = n->args[3 - arm];
        memcpy(inner, operand(g, n, arm)->args, sizeof inner);
        int to_x = inner[2] == y ? 1 : 2;
        if (inner[3 - to_x] != y) continue;
        Ref x = inner[to_x], d = inner[0];
        if (arm == 2 && to_x == 2) return b_select(g, binary(g, OP_or, c, d), y, x);
        if (arm == 2) c = simplify(g, b_unary(g, OP_not, c));
        if (to_x == 2) d = simplify(g, b_unary(g, OP_not, d));
        return b_select(g, binary(g, OP_and, c, d), x, y);
    }
    return NOREF;
}

/* ---- cast ---- */

Ref simp_cast_same(Graph *g, const Node *n)
{
    return operand(g, n, 0)->type.dtype == n->type.dtype ? n->args[0] : NOREF;
}

/* What a dtype holds exactly: integers below 2^digits, floats with that many digits and a range. */
static const struct Holds {
    int digits, range;
    bool negative, fraction;
} holds[DT_COUNT] = {
    [DT_F64] = {53, 1023, true, true}, [DT_F32] = {24, 127, true, true},
    [DT_F16] = {11, 15, true, true},   [DT_BF16] = {8, 127, true, true},
    [DT_I64] = {63, 62, true, false},  [DT_I32] = {31, 30, true, false},
    [DT_I8] = {7, 6, true, false},     [DT_U8] = {8, 7, false, false},
    [DT_BOOL] = {1, 0, false, false},
};

static bool lossless(DType from, DType to)
{
    struct Holds a = holds[from], b = holds[to];
    return a.digits <= b.digits && a.range <= b.range && a.negative <= b.negative &&
           a.fraction <= b.fraction;
}

Ref simp_cast_cast(Graph *g, const Node *n)
{
    const Node *inner = operand(g, n, 0);
    if (inner->op != OP_cast) return NOREF;
    Ref x = inner->args[0];
    if (!lossless(g->node[x].type.dtype, inner->type.dtype)) return NOREF;
    return b_cast(g, x, n->type.dtype);
}

/* ---- the class ---- */

/* Finds the shape that all operands are broadcast from; splats adapt to any. */
static bool common_source(const Graph *g, const Node *n, Type *source)
{
    bool found = false;
    for (int i = 0; i < n->nargs; i++) {
        const Node *a = operand(g, n, i);
        if (splat_value(g, n->args[i], NULL)) continue;
        if (a->op != OP_broadcast) return false;
        Type t = g->node[a->args[0]].type;
        if (found && !type_same_dims(t, *source)) return false;
        *source = t;
        found = true;
    }
    return found;
}

Ref simp_below_broadcast(Graph *g, const Node *n)
{
    Type source;
    Ref args[MAX_ARGS];
    if (!common_source(g, n, &source)) return NOREF;
    for (int i = 0; i < n->nargs; i++) {
        const Node *a = operand(g, n, i);
        args[i] = a->op == OP_broadcast ? a->args[0] : splat_resize(g, n->args[i], source);
        if (args[i] == NOREF) return NOREF;
    }
    Ref small = simplify(g, graph_node(g, n->op, n->nargs, args, n->attr));
    return b_broadcast(g, small, n->type.rank, n->type.dim);
}

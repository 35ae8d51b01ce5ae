/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that are one row an element, or nearly, under numpy broadcast. */
#include "onnx_node.h"

/* ---- one operand ---- */

#define UNARY(name, op)                                                                            \
    void build_##name(OnnxNode *n)                                                                 \
    {                                                                                              \
        onnx_out(n, 0, b_unary(n->g, op, onnx_in(n, 0)));                                          \
    }
UNARY(abs, OP_abs)
UNARY(neg, OP_neg)
UNARY(sign, OP_sign)
UNARY(exp, OP_exp)
UNARY(log, OP_log)
UNARY(sqrt, OP_sqrt)
UNARY(tanh, OP_tanh)
UNARY(erf, OP_erf)
UNARY(floor, OP_floor)
UNARY(round, OP_round)
UNARY(not, OP_not)

void build_ceil(OnnxNode *n)
{
    Ref down = b_unary(n->g, OP_floor, b_unary(n->g, OP_neg, onnx_in(n, 0)));
    onnx_out(n, 0, b_unary(n->g, OP_neg, down));
}

void build_reciprocal(OnnxNode *n)
{
    Ref x = onnx_in(n, 0);
    onnx_out(n, 0, b_binary(n->g, OP_div, b_like(n->g, x, 1), x));
}

/* The only operator that hands on a value without elements. */
void build_identity(OnnxNode *n)
{
    onnx_out(n, 0, n->nin ? n->in[0] : onnx_in(n, 0));
}

void build_cast(OnnxNode *n)
{
    int64_t to = onnx_int(n, "to", 0);
    bool empty = n->nin && n->in[0] == ONNX_EMPTY;
    onnx_out(n, 0, empty ? ONNX_EMPTY : b_cast(n->g, onnx_in(n, 0), onnx_dtype(n, to)));
}

void build_cast_like(OnnxNode *n)
{
    onnx_out(n, 0, b_cast(n->g, onnx_in(n, 0), onnx_type(n, onnx_in(n, 1)).dtype));
}

/* ---- two operands ---- */

/* Until opset 6 the second operand's axes begin at `axis` of the first's. */
static Ref second(const OnnxNode *n)
{
    Ref a = onnx_in(n, 0), b = onnx_in(n, 1);
    Type ta = onnx_type(n, a), tb = onnx_type(n, b);
    int64_t dim[MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1};
    if (n->opset > 6 || !onnx_has(n, "axis")) return b;
    int axis = onnx_axis(n, onnx_int(n, "axis", 0), ta.rank), rank = ta.rank - axis;
    if (tb.rank > rank) onnx_fail(n, "the second operand reaches beyond the first");
    for (int i = 0; i < tb.rank; i++) dim[i] = tb.dim[i];
    return b_reshape(n->g, b, rank, dim);
}

#define BINARY(name, op, left, right)                                                              \
    void build_##name(OnnxNode *n)                                                                 \
    {                                                                                              \
        Ref operand[2] = {onnx_in(n, 0), second(n)};                                               \
        onnx_out(n, 0, onnx_binary(n, op, operand[left], operand[right]));                         \
    }
BINARY(add, OP_add, 0, 1)
BINARY(sub, OP_sub, 0, 1)
BINARY(mul, OP_mul, 0, 1)
BINARY(div, OP_div, 0, 1)
BINARY(equal, OP_eq, 0, 1)
BINARY(less, OP_lt, 0, 1)
BINARY(less_or_equal, OP_le, 0, 1)
BINARY(greater, OP_lt, 1, 0)
BINARY(greater_or_equal, OP_le, 1, 0)
BINARY(and, OP_and, 0, 1)
BINARY(or, OP_or, 0, 1)

void build_xor(OnnxNode *n)
{
    onnx_out(n, 0, b_unary(n->g, OP_not, onnx_binary(n, OP_eq, onnx_in(n, 0), onnx_in(n, 1))));
}

/* The result has the type of the base; integers go through f64, which is exact below 2^53. */
void build_pow(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), y = second(n);
    DType type = onnx_type(n, x).dtype, work = dtype_is_float(type) ? type : DT_F64;
    Ref p = onnx_binary(n, OP_pow, b_cast(n->g, x, work), b_cast(n->g, y, work));
    onnx_out(n, 0, b_cast(n->g, p, type));
}

/* ---- any number of operands ---- */

static Ref join(OnnxNode *n, Op op)
{
    Ref r = onnx_in(n, 0);
    for (int i = 1; i < n->nin; i++) r = onnx_binary(n, op, r, onnx_in(n, i));
    return r;
}

void build_min(OnnxNode *n)
{
    onnx_out(n, 0, join(n, OP_min2));
}

void build_max(OnnxNode *n)
{
    onnx_out(n, 0, join(n, OP_max2));
}

void build_sum(OnnxNode *n)
{
    onnx_out(n, 0, join(n, OP_add));
}

void build_mean(OnnxNode *n)
{
    Ref sum = join(n, OP_add);
    onnx_out(n, 0, b_binary(n->g, OP_div, sum, b_like(n->g, sum, n->nin)));
}

void build_where(OnnxNode *n)
{
    Graph *g = n->g;
    Ref c = onnx_in(n, 0), a = onnx_in(n, 1), b = onnx_in(n, 2);
    b_align(g, &a, &b);
    b_align(g, &c, &a); /* c and a now have the shape of all three */
    b = b_broadcast_to(g, b, type_with(onnx_type(n, a), onnx_type(n, b).dtype));
    onnx_out(n, 0, b_select(g, c, a, b));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of shape inference, and the rules of sources and elementwise ops. */
#include "shape.h"

#include <string.h>

static const char *(*const rules[OP_COUNT])(Shape *) = {
#define OP(name, nargs, cls, rule, ...) [OP_##name] = shape_##rule,
#include "ops.def"
#undef OP
};

static const char *attr_fault(Shape *s, const AttrSpec *spec, const Attr *a)
{
    if (spec->kind == ATTR_INTS && (a->n < 0 || a->n > MAX_RANK))
        return SAY("%s has %d numbers, at most %d can be", spec->name, a->n, MAX_RANK);
    if (spec->kind == ATTR_DTYPE && (a->i[0] < 0 || a->i[0] >= DT_COUNT))
        return SAY("%s is not an element type", spec->name);
    if (spec->kind == ATTR_STR && (!a->s || !*a->s)) return SAY("%s is missing", spec->name);
    return NULL;
}

static const char *frame_fault(Shape *s)
{
    const OpInfo *info = &op_info[s->op];
    if (info->nargs >= 0 && s->nargs != info->nargs)
        return SAY("takes %d operands, not %d", info->nargs, s->nargs);
    if (info->nargs < 0 && (s->nargs < 1 || s->nargs > MAX_ARGS))
        return SAY("takes 1 to %d operands, not %d", MAX_ARGS, s->nargs);
    if (info->nattr && !s->attr) return "attributes are missing";
    for (int i = 0; i < info->nattr; i++) {
        const char *fault = attr_fault(s, &info->attr[i], &s->attr[i]);
        if (fault) return fault;
    }
    return NULL;
}

const char *op_infer(Op op, int nargs, const Type *args, const Attr *attr, const Const *value,
                     Type *out, Arena *arena)
{
    if ((unsigned)op >= OP_COUNT) return "unknown op";
    Shape shape = {op, nargs, args, attr, value, out, arena}, *s = &shape;
    *out = (Type){0};
    const char *fault = frame_fault(s);
    if (!fault) fault = rules[op](s);
    if (!fault && (fault = type_check(*out))) fault = SAY("the result is out of bounds: %s", fault);
    return fault;
}

bool is_axis(int64_t axis, int rank)
{
    return axis >= 0 && axis < rank;
}

bool is_number(Type t)
{
    return t.dtype != DT_BOOL;
}

const char *axes_fault(const Attr *axes, int rank)
{
    for (int i = 0; i < axes->n; i++)
        if (!is_axis(axes->i[i], rank))
            return "an axis is outside the rank";
        else if (i && axes->i[i] <= axes->i[i - 1])
            return "axes must increase";
    return NULL;
}

/* ---- sources ---- */

static void dims_from(Type *t, const Attr *shape)
{
    t->rank = shape->n;
    for (int i = 0; i < shape->n; i++) t->dim[i] = shape->i[i];
}

const char *shape_typed(Shape *s)
{ /* name, dtype, shape */
    s->out->dtype = (DType)s->attr[1].i[0];
    dims_from(s->out, &s->attr[2]);
    return NULL;
}

const char *shape_const(Shape *s)
{
    if (!s->value) return "the value is missing";
    *s->out = s->value->type;
    return NULL;
}

const char *shape_iota(Shape *s)
{ /* dtype, shape, axis */
    s->out->dtype = (DType)s->attr[0].i[0];
    dims_from(s->out, &s->attr[1]);
    if (!is_number(*s->out)) return "counts in numbers, not bool";
    return is_axis(s->attr[2].i[0], s->out->rank) ? NULL : "axis is outside the rank";
}

static const char *rng_operands(const Type *a)
{
    if (a[0].dtype != DT_I64 || a[0].rank != 0) return "the seed must be i64[]";
    if (a[1].dtype != DT_I64 || a[1].rank != 1) return "the ids must be i64[B]";
    if (a[2].dtype != DT_I32 || !type_same_dims(a[1], a[2]))
        return "the draws must be i32[B], one for each id";
    return NULL;
}

const char *shape_rng(Shape *s)
{ /* dtype, shape of a sample, stream */
    const Attr *shape = &s->attr[1];
    const char *fault = rng_operands(s->args);
    if (fault) return fault;
    s->out->dtype = (DType)s->attr[0].i[0];
    if (!dtype_is_float(s->out->dtype)) return "gives floats only";
    if (shape->n >= MAX_RANK) return "rank above 8";
    if (s->attr[2].i[0] < 0 || s->attr[2].i[0] > UINT32_MAX) return "the stream must fit 32 bits";
    s->out->rank = shape->n + 1;
    s->out->dim[0] = s->args[1].dim[0];
    memcpy(s->out->dim + 1, shape->i, sizeof(int64_t) * (size_t)shape->n);
    return NULL;
}

/* ---- elementwise ---- */

static const char *same_types(Shape *s)
{
    Str a = {0};
    if (type_eq(s->args[0], s->args[1])) return NULL;
    type_text(&a, s->args[0]);
    str_put(&a, " and ");
    type_text(&a, s->args[1]);
    const char *text = SAY("operands differ: %s", a.s);
    str_free(&a);
    return text;
}

const char *shape_unary(Shape *s)
{
    *s->out = s->args[0];
    if (s->op != OP_stop && !is_number(s->args[0])) return "takes numbers, not bool";
    return NULL;
}

const char *shape_unary_float(Shape *s)
{
    *s->out = s->args[0];
    return dtype_is_float(s->args[0].dtype) ? NULL : "takes floats only";
}

const char *shape_binary(Shape *s)
{
    *s->out = s->args[0];
    if (!is_number(s->args[0])) return "takes numbers, not bool";
    return same_types(s);
}

const char *shape_binary_float(Shape *s)
{
    *s->out = s->args[0];
    if (!dtype_is_float(s->args[0].dtype)) return "takes floats only";
    return same_types(s);
}

const char *shape_compare(Shape *s)
{
    *s->out = type_with(s->args[0], DT_BOOL);
    return same_types(s);
}

const char *shape_logic(Shape *s)
{
    *s->out = s->args[0];
    if (is_number(s->args[0])) return "takes bool only";
    return s->nargs == 2 ? same_types(s) : NULL;
}

const char *shape_cast(Shape *s)
{
    *s->out = type_with(s->args[0], (DType)s->attr[0].i[0]);
    return NULL;
}

const char *shape_select(Shape *s)
{
    *s->out = s->args[1];
    if (is_number(s->args[0])) return "the first operand must be bool";
    if (!type_same_dims(s->args[0], s->args[1]))
        return "the condition has another shape than the values";
    return type_eq(s->args[1], s->args[2]) ? NULL : "the two values differ in type";
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Shape rules of views, concat and reductions. */
#include "shape.h"

#include <string.h>

const char *shape_reshape(Shape *s)
{
    const Attr *a = &s->attr[0];
    s->out->dtype = s->args[0].dtype;
    s->out->rank = a->n;
    memcpy(s->out->dim, a->i, sizeof(int64_t) * (size_t)a->n);
    const char *fault = type_check(*s->out);
    if (fault) return fault;
    if (type_count(*s->out) != type_count(s->args[0]))
        return SAY("%lld elements do not make %lld", (long long)type_count(s->args[0]),
                   (long long)type_count(*s->out));
    return NULL;
}

const char *shape_transpose(Shape *s)
{
    const Attr *perm = &s->attr[0];
    const Type *x = &s->args[0];
    unsigned seen = 0;
    if (perm->n != x->rank) return "perm has another length than the rank";
    *s->out = *x;
    for (int i = 0; i < perm->n; i++) {
        int64_t p = perm->i[i];
        if (!is_axis(p, x->rank) || seen >> p & 1) return "perm is not a permutation";
        seen |= 1u << p;
        s->out->dim[i] = x->dim[p];
    }
    return NULL;
}

const char *shape_broadcast(Shape *s)
{
    const Attr *a = &s->attr[0];
    const Type *x = &s->args[0];
    if (a->n != x->rank) return "shape must have the operand's rank";
    *s->out = *x;
    for (int i = 0; i < a->n; i++) {
        if (x->dim[i] != 1 && x->dim[i] != a->i[i])
            return SAY("extent %lld of axis %d does not broadcast to %lld", (long long)x->dim[i], i,
                       (long long)a->i[i]);
        s->out->dim[i] = a->i[i];
    }
    return NULL;
}

static bool slice_fits(int64_t extent, int64_t start, int64_t size, int64_t step)
{
    int64_t span;
    if (start < 0 || start >= extent || size < 1 || step < 1 || !mul_ok(size - 1, step, &span))
        return false;
    return span < extent - start;
}

const char *shape_slice(Shape *s)
{ /* starts, sizes, steps */
    const Attr *a = s->attr;
    const Type *x = &s->args[0];
    if (a[0].n != x->rank || a[1].n != x->rank || a[2].n != x->rank)
        return "starts, sizes and steps must have one number an axis";
    *s->out = *x;
    for (int i = 0; i < x->rank; i++) {
        if (!slice_fits(x->dim[i], a[0].i[i], a[1].i[i], a[2].i[i]))
            return SAY("start %lld size %lld step %lld leaves axis %d of %lld",
                       (long long)a[0].i[i], (long long)a[1].i[i], (long long)a[2].i[i], i,
                       (long long)x->dim[i]);
        s->out->dim[i] = a[1].i[i];
    }
    return NULL;
}

static bool pad_extent(int64_t in, int64_t low, int64_t high, int64_t inner, int64_t *out)
{
    int64_t between;
    return low >= 0 && high >= 0 && mul_ok(in - 1, inner, &between) &&
           !__builtin_add_overflow(in, between, out) && !__builtin_add_overflow(*out, low, out) &&
           !__builtin_add_overflow(*out, high, out);
}

const char *shape_pad(Shape *s)
{ /* low, high, inner, value */
    const Attr *a = s->attr;
    const Type *x = &s->args[0];
    if (a[0].n != x->rank || a[1].n != x->rank || a[2].n != x->rank)
        return "low, high and inner must have one number an axis";
    *s->out = *x;
    for (int i = 0; i < x->rank; i++)
        if (!pad_extent(x->dim[i], a[0].i[i], a[1].i[i], a[2].i[i], &s->out->dim[i]))
            return SAY("padding of axis %d is negative or too large", i);
    return NULL;
}

const char *shape_reverse(Shape *s)
{
    *s->out = s->args[0];
    return axes_fault(&s->attr[0], s->args[0].rank);
}

bool window_extent(int64_t in, int64_t size, int64_t stride, int64_t dilation, int64_t *out)
{
    int64_t reach;
    if (size < 1 || stride < 1 || dilation < 1 || !mul_ok(size - 1, dilation, &reach)) return false;
    if (reach >= in) return false;
    *out = (in - 1 - reach) / stride + 1;
    return true;
}

const char *shape_window(Shape *s)
{ /* size, strides, dilations */
    const Attr *a = s->attr;
    const Type *x = &s->args[0];
    int k = a[0].n, first = x->rank - k;
    if (k < 1 || a[1].n != k || a[2].n != k)
        return "size, strides and dilations must have equal lengths";
    if (first < 0 || x->rank + k > MAX_RANK) return "more window axes than the rank allows";
    *s->out = *x;
    s->out->rank = x->rank + k;
    for (int i = 0; i < k; i++) {
        s->out->dim[x->rank + i] = a[0].i[i];
        if (!window_extent(x->dim[first + i], a[0].i[i], a[1].i[i], a[2].i[i],
                           &s->out->dim[first + i]))
            return SAY("the window does not fit axis %d of %lld", first + i,
                       (long long)x->dim[first + i]);
    }
    return NULL;
}

const char *shape_fold(Shape *s)
{ /* in, strides, dilations */
    const Attr *a = s->attr;
    const Type *x = &s->args[0];
    int k = a[0].n, first = x->rank - 2 * k;
    if (k < 1 || a[1].n != k || a[2].n != k)
        return "in, strides and dilations must have equal lengths";
    if (first < 0 || !is_number(*x))
        return first < 0 ? "the rank is below two for each window axis" : "sums numbers, not bool";
    *s->out = (Type){.dtype = x->dtype, .rank = first + k};
    memcpy(s->out->dim, x->dim, sizeof(int64_t) * (size_t)first);
    for (int i = 0; i < k; i++) {
        int64_t in = a[0].i[i], n;
        if (!window_extent(in, x->dim[first + k + i], a[1].i[i], a[2].i[i], &n) ||
            n != x->dim[first + i])
            return SAY("no window over %lld gives axis %d", (long long)in, first + i);
        s->out->dim[first + i] = in;
    }
    return NULL;
}

static bool joins(const Type *a, const Type *b, int axis)
{
    Type t = *b;
    if (a->rank != b->rank) return false;
    t.dim[axis] = a->dim[axis];
    return type_eq(*a, t);
}

const char *shape_concat(Shape *s)
{
    int64_t axis = s->attr[0].i[0];
    if (!is_axis(axis, s->args[0].rank)) return "axis is outside the rank";
    *s->out = s->args[0];
    for (int i = 1; i < s->nargs; i++) {
        if (!joins(&s->args[0], &s->args[i], (int)axis))
            return SAY("operand %d differs from the first beyond axis %d", i, (int)axis);
        s->out->dim[axis] += s->args[i].dim[axis]; /* each is at most 2^40 */
    }
    return NULL;
}

/* ---- reductions ---- */

static const char *reduced(Shape *s)
{
    const Attr *axes = &s->attr[0];
    const char *fault = axes_fault(axes, s->args[0].rank);
    if (fault) return fault;
    if (!is_number(s->args[0])) return "takes numbers, not bool";
    *s->out = s->args[0];
    for (int i = 0; i < axes->n; i++) s->out->dim[axes->i[i]] = 1;
    return NULL;
}

const char *shape_reduce(Shape *s)
{
    return reduced(s);
}

const char *shape_argmax(Shape *s)
{
    const char *fault = reduced(s);
    s->out->dtype = DT_I64;
    return fault;
}

const char *shape_scan(Shape *s)
{ /* axis, reverse, exclusive */
    *s->out = s->args[0];
    if (!is_axis(s->attr[0].i[0], s->args[0].rank)) return "axis is outside the rank";
    if ((s->attr[1].i[0] | s->attr[2].i[0]) & ~INT64_C(1))
        return "reverse and exclusive are 0 or 1";
    return is_number(s->args[0]) ? NULL : "sums numbers, not bool";
}

const char *shape_argsort(Shape *s)
{ /* axis, k */
    int64_t axis = s->attr[0].i[0], k = s->attr[1].i[0];
    *s->out = type_with(s->args[0], DT_I64);
    if (!is_axis(axis, s->args[0].rank)) return "axis is outside the rank";
    if (k < 1 || k > s->args[0].dim[axis])
        return SAY("k is %lld of %lld", (long long)k, (long long)s->args[0].dim[axis]);
    s->out->dim[axis] = k;
    return is_number(s->args[0]) ? NULL : "sorts numbers, not bool";
}

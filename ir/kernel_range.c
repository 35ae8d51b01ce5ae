/* SPDX-License-Identifier: Apache-2.0 */
/* Intervals of integer expressions. An interval is either exact in int64 at both ends or
 * unknown: any step that might overflow gives the whole range, so a known interval also says
 * that nothing wrapped. */
#include "kernel_impl.h"

Range range_whole(void)
{
    return (Range){INT64_MIN, INT64_MAX};
}

bool range_known(Range r)
{
    return r.lo != INT64_MIN && r.hi != INT64_MAX;
}

Range range_join(Range a, Range b)
{
    return (Range){a.lo < b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
}

Range range_add(Range a, Range b)
{
    Range r;
    if (!range_known(a) || !range_known(b) || __builtin_add_overflow(a.lo, b.lo, &r.lo) ||
        __builtin_add_overflow(a.hi, b.hi, &r.hi))
        return range_whole();
    return r;
}

Range range_scale(Range a, int64_t c)
{
    int64_t x, y;
    if (!c) return (Range){0, 0};
    if (!range_known(a) || __builtin_mul_overflow(a.lo, c, &x) ||
        __builtin_mul_overflow(a.hi, c, &y))
        return range_whole();
    return c > 0 ? (Range){x, y} : (Range){y, x};
}

static Range range_mul(Range a, Range b)
{
    return range_join(range_scale(a, b.lo), range_scale(a, b.hi));
}

Range range_of(const Kernel *k, KRef e)
{
    return (Range){k->expr[e].lo, k->expr[e].hi};
}

Range range_of_dtype(DType d)
{
    switch (d) {
    case DT_I32: return (Range){INT32_MIN, INT32_MAX};
    case DT_I8: return (Range){INT8_MIN, INT8_MAX};
    case DT_U8: return (Range){0, UINT8_MAX};
    case DT_BOOL: return (Range){0, 1};
    default: return range_whole();
    }
}

static Range range_min(Range a, Range b)
{
    return (Range){a.lo < b.lo ? a.lo : b.lo, a.hi < b.hi ? a.hi : b.hi};
}

static Range range_max(Range a, Range b)
{
    return (Range){a.lo > b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
}

/* One known side is enough for min2 and max2 to bound a side, which serves clamped indices; half a
 * range is of no use to the rest, and counts as unknown there. */
static Range range_of_op(const Kernel *k, Op op, int nargs, const KRef *args)
{
    Range a = range_of(k, args[0]), b = nargs > 1 ? range_of(k, args[1]) : a;
    switch (op) {
    case OP_cast: return dtype_is_float(k->expr[args[0]].dtype) ? range_whole() : a;
    case OP_neg: return range_scale(a, -1);
    case OP_add: return range_add(a, b);
    case OP_sub: return range_add(a, range_scale(b, -1));
    case OP_mul: return range_known(b) ? range_mul(a, b) : range_whole();
    case OP_min2: return range_min(a, b);
    case OP_max2: return range_max(a, b);
    case OP_select: return range_join(b, range_of(k, args[2]));
    default: return range_whole();
    }
}

Range range_of_eval(const Kernel *k, Op op, DType d, int nargs, const KRef *args)
{
    Range all = range_of_dtype(d);
    if (dtype_is_float(d) || d == DT_BOOL) return all;
    Range r = range_of_op(k, op, nargs, args);
    return r.lo >= all.lo && r.hi <= all.hi ? r : all;
}

int range_compare(const Kernel *k, Op op, KRef x, KRef y)
{
    Range a = range_of(k, x), b = range_of(k, y);
    if (op == OP_lt) return a.hi < b.lo ? 1 : a.lo >= b.hi ? 0 : -1;
    if (op == OP_le) return a.hi <= b.lo ? 1 : a.lo > b.hi ? 0 : -1;
    if (a.lo == a.hi && b.lo == b.hi && a.lo == b.lo) return 1;
    return a.hi < b.lo || b.hi < a.lo ? 0 : -1;
}

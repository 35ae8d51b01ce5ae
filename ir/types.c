/* SPDX-License-Identifier: Apache-2.0 */
/* Element types and tensor types. A Type built here has extents >= 1, at most 2^40 bytes, and zeros
 * in the extents beyond its rank, so that equal types are equal bytes. */
#include "graph_impl.h"

#include <string.h>

static const struct {
    const char *name;
    int bytes;
    bool is_float;
} dtypes[DT_COUNT] = {
    [DT_F64] = {"f64", 8, true},   [DT_F32] = {"f32", 4, true},  [DT_F16] = {"f16", 2, true},
    [DT_BF16] = {"bf16", 2, true}, [DT_I64] = {"i64", 8, false}, [DT_I32] = {"i32", 4, false},
    [DT_I8] = {"i8", 1, false},    [DT_U8] = {"u8", 1, false},   [DT_BOOL] = {"bool", 1, false},
};

int dtype_bytes(DType d)
{
    return dtypes[d].bytes;
}

const char *dtype_name(DType d)
{
    return (unsigned)d < DT_COUNT ? dtypes[d].name : "?";
}

bool dtype_is_float(DType d)
{
    return dtypes[d].is_float;
}

bool dtype_by_name(const char *name, DType *out)
{
    for (int d = 0; d < DT_COUNT; d++)
        if (!strcmp(name, dtypes[d].name)) {
            *out = (DType)d;
            return true;
        }
    return false;
}

const char *type_check(Type t)
{
    if ((unsigned)t.dtype >= DT_COUNT) return "unknown element type";
    if (t.rank < 0 || t.rank > MAX_RANK) return "rank above 8";
    int64_t bytes = dtypes[t.dtype].bytes;
    for (int i = 0; i < t.rank; i++)
        if (t.dim[i] < 1)
            return "extents must be at least 1";
        else if (!mul_ok(bytes, t.dim[i], &bytes) || bytes > (int64_t)1 << 40)
            return "larger than 2^40 bytes";
    return NULL;
}

Type type_of(DType dtype, int rank, const int64_t *dim)
{
    Type t = {.dtype = dtype, .rank = rank};
    for (int i = 0; i < rank && i < MAX_RANK; i++) t.dim[i] = dim[i];
    const char *fault = type_check(t);
    if (fault) err(NULL, "a tensor type does not work: %s", fault);
    return t;
}

Type type_scalar(DType d)
{
    return (Type){.dtype = d};
}

Type type_with(Type t, DType d)
{
    t.dtype = d;
    return t;
}

bool type_same_dims(Type a, Type b)
{
    if (a.rank != b.rank) return false;
    for (int i = 0; i < a.rank; i++)
        if (a.dim[i] != b.dim[i]) return false;
    return true;
}

bool type_eq(Type a, Type b)
{
    return a.dtype == b.dtype && type_same_dims(a, b);
}

int64_t type_count(Type t)
{
    int64_t n = 1;
    for (int i = 0; i < t.rank; i++) n *= t.dim[i];
    return n;
}

int64_t type_bytes(Type t)
{
    return type_count(t) * dtype_bytes(t.dtype);
}

void type_text(Str *s, Type t)
{
    str_fmt(s, "%s[", dtype_name(t.dtype));
    for (int i = 0; i < t.rank; i++) str_fmt(s, i ? ",%lld" : "%lld", (long long)t.dim[i]);
    str_put(s, "]");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing single elements of any dtype. Conversions to narrower floats round once, to
 * nearest even, also from double (by way of a float rounded to odd). Float to integer truncates and
 * saturates, NaN gives 0; integer to integer wraps. */
#include "graph.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static float float_of(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, man = h & 0x3ff;
    if (exp == 31) return float_of(sign | 0x7f800000u | man << 13);
    if (exp) return float_of(sign | (exp + 112) << 23 | man << 13);
    float f = (float)man * 0x1p-24f;
    return sign ? -f : f;
}

/* Drops the low `shift` bits of v, rounding to nearest even. */
static uint32_t round_shift(uint32_t v, int shift)
{
    uint32_t half = 1u << (shift - 1), low = v & (2 * half - 1), r = v >> shift;
    return r + (low > half || (low == half && (r & 1)));
}

uint16_t float_to_half(float f)
{
    uint32_t u = bits_of(f), sign = u >> 16 & 0x8000, mag = u & 0x7fffffff;
    if (mag > 0x7f800000u) return (uint16_t)(sign | 0x7e00 | (mag >> 13 & 0x3ff));
    if (mag >= 0x47800000u) /* 65536 and above, infinity */
        return (uint16_t)(sign | 0x7c00);
    if (mag >= 0x38800000u) /* normal; a carry runs into the exponent, to infinity at the top */
        return (uint16_t)(sign | round_shift(mag - (112u << 23), 13));
    int shift = 126 - (int)(mag >> 23); /* subnormal: units of 2^-24 */
    if (shift > 25) return (uint16_t)sign;
    return (uint16_t)(sign | round_shift((mag & 0x7fffff) | 0x800000, shift));
}

float bf16_to_float(uint16_t h)
{
    return float_of((uint32_t)h << 16);
}

uint16_t float_to_bf16(float f)
{
    uint32_t u = bits_of(f);
    if ((u & 0x7fffffff) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)round_shift(u, 16);
}

/* The float towards zero from v, its last bit set if inexact: rounding it again rounds v once. */
static float float_odd(double v)
{
    float f = (float)v;
    if (isnan(v) || (double)f == v) return f;
    uint32_t u = bits_of(f);
    if (fabs((double)f) > fabs(v)) u--;
    return float_of(u | 1);
}

static int64_t to_int(double v, int64_t lo, int64_t hi)
{
    if (isnan(v)) return 0;
    if (v <= (double)lo) return lo;
    return v >= (double)hi ? hi : (int64_t)v;
}

double elem_get(DType d, const void *data, int64_t i)
{
    switch (d) {
    case DT_F64: return ((const double *)data)[i];
    case DT_F32: return ((const float *)data)[i];
    case DT_F16: return half_to_float(((const uint16_t *)data)[i]);
    case DT_BF16: return bf16_to_float(((const uint16_t *)data)[i]);
    default: return (double)elem_get_int(d, data, i);
    }
}

int64_t elem_get_int(DType d, const void *data, int64_t i)
{
    switch (d) {
    case DT_I64: return ((const int64_t *)data)[i];
    case DT_I32: return ((const int32_t *)data)[i];
    case DT_I8: return ((const int8_t *)data)[i];
    case DT_U8: return ((const uint8_t *)data)[i];
    case DT_BOOL: return ((const uint8_t *)data)[i] != 0;
    default: return to_int(elem_get(d, data, i), INT64_MIN, INT64_MAX);
    }
}

void elem_set(DType d, void *data, int64_t i, double v)
{
    switch (d) {
    case DT_F64: ((double *)data)[i] = v; break;
    case DT_F32: ((float *)data)[i] = (float)v; break;
    case DT_F16: ((uint16_t *)data)[i] = float_to_half(float_odd(v)); break;
    case DT_BF16: ((uint16_t *)data)[i] = float_to_bf16(float_odd(v)); break;
    case DT_I64: ((int64_t *)data)[i] = to_int(v, INT64_MIN, INT64_MAX); break;
    case DT_I32: ((int32_t *)data)[i] = (int32_t)to_int(v, INT32_MIN, INT32_MAX); break;
    case DT_I8: ((int8_t *)data)[i] = (int8_t)to_int(v, INT8_MIN, INT8_MAX); break;
    case DT_U8: ((uint8_t *)data)[i] = (uint8_t)to_int(v, 0, UINT8_MAX); break;
    case DT_BOOL: ((uint8_t *)data)[i] = v != 0; break;
    default: die("unknown dtype %d", (int)d);
    }
}

void elem_set_int(DType d, void *data, int64_t i, int64_t v)
{
    switch (d) {
    case DT_F32: ((float *)data)[i] = (float)v; break;
    case DT_I64: ((int64_t *)data)[i] = v; break;
    case DT_I32: ((int32_t *)data)[i] = (int32_t)(uint32_t)(uint64_t)v; break;
    case DT_I8: ((int8_t *)data)[i] = (int8_t)(uint8_t)(uint64_t)v; break;
    case DT_U8: ((uint8_t *)data)[i] = (uint8_t)(uint64_t)v; break;
    case DT_BOOL: ((uint8_t *)data)[i] = v != 0; break;
    default: elem_set(d, data, i, (double)v);
    }
}

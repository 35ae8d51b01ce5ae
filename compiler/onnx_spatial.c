/* SPDX-License-Identifier: Apache-2.0 */
/* The attributes that convolutions and pools share: kernel_shape, strides, dilations, and pads in
 * their three guises (explicit, auto_pad, and what ceil_mode adds at the high end). */
#include "onnx_node.h"

#include <string.h>

/* Far above any real one, and small enough that sums and products of a few cannot overflow. */
static const int64_t LIMIT = INT64_C(1) << 24;

static void numbers(const OnnxNode *n, const char *name, int count, int64_t absent, int64_t least,
                    int64_t *out)
{
    int64_t list[2 * MAX_RANK];
    int have = onnx_ints(n, name, list, COUNT(list));
    if (have >= 0 && have != count)
        onnx_fail(n, "attribute %s has %d numbers, not %d", name, have, count);
    for (int i = 0; i < count; i++) {
        out[i] = have < 0 ? absent : list[i];
        if (out[i] < least || out[i] > LIMIT)
            onnx_fail(n, "attribute %s: %lld is not supported", name, (long long)out[i]);
    }
}

static int64_t reach(const Spatial *s, int i)
{
    return (s->size[i] - 1) * s->dilations[i] + 1;
}

static void explicit_pads(const OnnxNode *n, Spatial *s)
{
    int64_t pads[6];
    numbers(n, "pads", 2 * s->k, 0, 0, pads);
    memcpy(s->low, pads, sizeof *pads * (size_t)s->k);
    memcpy(s->high, pads + s->k, sizeof *pads * (size_t)s->k);
}

/* As many results as strides fit the input; an odd pad goes high (SAME_UPPER) or low. */
static void same_pads(Spatial *s, bool upper)
{
    for (int i = 0; i < s->k; i++) {
        int64_t out = (s->in[i] + s->strides[i] - 1) / s->strides[i];
        int64_t total = (out - 1) * s->strides[i] + reach(s, i) - s->in[i];
        if (total < 0) total = 0;
        s->low[i] = upper ? total / 2 : total - total / 2;
        s->high[i] = total - s->low[i];
    }
}

static void read_pads(const OnnxNode *n, Spatial *s)
{
    const char *how = onnx_str(n, "auto_pad", "NOTSET");
    if (!strcmp(how, "NOTSET"))
        explicit_pads(n, s);
    else if (!strcmp(how, "SAME_UPPER") || !strcmp(how, "SAME_LOWER"))
        same_pads(s, !strcmp(how, "SAME_UPPER"));
    else if (strcmp(how, "VALID"))
        onnx_fail(n, "auto_pad %s is not supported", how);
}

static int64_t extent(const OnnxNode *n, const Spatial *s, int i, bool ceil)
{
    int64_t room = s->in[i] + s->low[i] + s->high[i] - reach(s, i);
    if (room < 0) onnx_fail(n, "the window does not fit axis %d", i + 2);
    int64_t out = (room + (ceil ? s->strides[i] - 1 : 0)) / s->strides[i] + 1;
    /* a window that would start beyond the input and its low pad does not count */
    return ceil && (out - 1) * s->strides[i] >= s->in[i] + s->low[i] ? out - 1 : out;
}

Spatial onnx_spatial(const OnnxNode *n, Type x, const int64_t *kernel)
{
    Spatial s = {.k = x.rank - 2};
    if (s.k < 1 || s.k > 3)
        onnx_fail(n, "%d spatial axes; 1 to 3 are supported", s.k < 0 ? 0 : s.k);
    memcpy(s.in, x.dim + 2, sizeof *s.in * (size_t)s.k);
    numbers(n, "kernel_shape", s.k, 0, kernel ? 0 : 1, s.size);
    numbers(n, "strides", s.k, 1, 1, s.strides);
    numbers(n, "dilations", s.k, 1, 1, s.dilations);
    for (int i = 0; i < s.k && kernel; i++) {
        if (kernel[i] > LIMIT || (s.size[i] && s.size[i] != kernel[i]))
            onnx_fail(n, "kernel_shape is not that of the weights");
        s.size[i] = kernel[i];
    }
    for (int i = 0; i < s.k; i++)
        if (s.in[i] > INT64_C(1) << 40 || reach(&s, i) > INT64_C(1) << 40)
            onnx_fail(n, "axis %d is too large", i + 2);
    read_pads(n, &s);
    bool ceil = onnx_int(n, "ceil_mode", 0) != 0;
    for (int i = 0; i < s.k; i++) s.out[i] = extent(n, &s, i, ceil);
    return s;
}

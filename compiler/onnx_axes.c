/* SPDX-License-Identifier: Apache-2.0 */
/* Axes and broadcasting, as ONNX counts them: negative axes from the end, operands aligned at the
 * last axis, parameters of channels along axis 1. */
#include "onnx_node.h"

#include <math.h>

int onnx_axis(const OnnxNode *n, int64_t axis, int rank)
{
    if (axis < -rank || axis >= rank)
        onnx_fail(n, "axis %lld is outside rank %d", (long long)axis, rank);
    return (int)(axis < 0 ? axis + rank : axis);
}

int onnx_axes(const OnnxNode *n, int i, int rank, int *axes)
{
    int64_t list[MAX_RANK];
    int count = onnx_ints_at(n, "axes", i, list, MAX_RANK);
    bool used[MAX_RANK] = {false};
    for (int k = 0; k < count; k++) {
        int axis = onnx_axis(n, list[k], rank);
        if (used[axis]) onnx_fail(n, "axis %d is given twice", axis);
        used[axis] = true;
    }
    for (int axis = 0, k = 0; axis < rank; axis++)
        if (used[axis]) axes[k++] = axis;
    return count;
}

Ref onnx_drop_axes(const OnnxNode *n, Ref x, int naxes, const int *axes)
{
    Type t = onnx_type(n, x);
    int64_t dim[MAX_RANK];
    int rank = 0;
    for (int i = 0, k = 0; i < t.rank; i++) {
        if (k == naxes || axes[k] != i)
            dim[rank++] = t.dim[i];
        else if (t.dim[axes[k++]] != 1)
            onnx_fail(n, "axis %d has extent %lld, not 1", i, (long long)t.dim[i]);
    }
    return b_reshape(n->g, x, rank, dim);
}

Ref onnx_channels(const OnnxNode *n, Ref vector, Ref x)
{
    Type t = onnx_type(n, x), v = onnx_type(n, vector);
    int64_t dim[MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1};
    if (t.rank < 2) onnx_fail(n, "rank %d has no channels", t.rank);
    if (v.rank != 1 || v.dim[0] != t.dim[1])
        onnx_fail(n, "a parameter has %lld elements for %lld channels", (long long)type_count(v),
                  (long long)t.dim[1]);
    dim[1] = v.dim[0];
    return b_broadcast_to(n->g, b_reshape(n->g, vector, t.rank, dim), type_with(t, v.dtype));
}

Ref onnx_binary(const OnnxNode *n, Op op, Ref a, Ref b)
{
    b_align(n->g, &a, &b);
    return b_binary(n->g, op, a, b);
}

double onnx_lowest(DType t)
{
    switch (t) {
    case DT_I64: return -0x1p63;
    case DT_I32: return -0x1p31;
    case DT_I8: return -128;
    case DT_U8:
    case DT_BOOL: return 0;
    default: return (double)-INFINITY;
    }
}

double onnx_highest(DType t)
{
    switch (t) {
    case DT_I64: return 0x1.fffffffffffffp62; /* the largest double that fits */
    case DT_I32: return 0x1p31 - 1;
    case DT_I8: return 127;
    case DT_U8: return 255;
    case DT_BOOL: return 1;
    default: return (double)INFINITY;
    }
}

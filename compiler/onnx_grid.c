/* SPDX-License-Identifier: Apache-2.0 */
/* Grids and windows as lists: AffineGrid is one product with a constant, Col2Im one fold. */
#include "onnx_node.h"

#include <string.h>

/* ---- AffineGrid ---- */

/* Element i of d points across [-1, 1]: pixels' centres, or corners included. */
static double point(int64_t i, int64_t d, bool corners)
{
    if (corners) return d > 1 ? 2 * (double)i / (double)(d - 1) - 1 : -1;
    return (2 * (double)i + 1) / (double)d - 1;
}

/* [points, k + 1]: the last axis's coordinate first, then 1. */
static Ref base_grid(const OnnxNode *n, int k, const int64_t *size, DType d)
{
    bool corners = onnx_int(n, "align_corners", 0) != 0;
    int64_t dim[2] = {1, k + 1};
    for (int i = 0; i < k; i++)
        if (!mul_ok(dim[0], size[i], dim) || dim[0] < 1) onnx_fail(n, "its size is not supported");
    Type t = type_of(d, 2, dim);
    void *data = onnx_data(n, t);
    for (int64_t p = 0; p < dim[0]; p++) {
        int64_t left = p;
        for (int i = k - 1; i >= 0; left /= size[i--])
            elem_set(d, data, p * (k + 1) + k - 1 - i, point(left % size[i], size[i], corners));
        elem_set(d, data, p * (k + 1) + k, 1);
    }
    return graph_const(n->g, t, data);
}

void build_affine_grid(OnnxNode *n)
{
    Ref theta = onnx_in(n, 0);
    Type t = onnx_type(n, theta);
    int64_t size[MAX_RANK];
    int have = onnx_ints_in(n, 1, size, MAX_RANK), k = have - 2;
    if (k < 2 || k > 3 || t.rank != 3 || t.dim[1] != k || t.dim[2] != k + 1)
        onnx_fail(n, "theta and size are not of 2 or 3 axes");
    Ref base = base_grid(n, k, size + 2, t.dtype);
    Ref y = onnx_matmul(n, base, b_transpose(n->g, theta, (int[]){0, 2, 1}));
    int64_t dim[MAX_RANK] = {t.dim[0]};
    memcpy(dim + 1, size + 2, sizeof *dim * (size_t)k);
    dim[k + 1] = k;
    onnx_out(n, 0, b_reshape(n->g, y, k + 2, dim));
}

/* ---- Col2Im ---- */

typedef struct Image {
    int k;
    int64_t size[3], block[3], strides[3], dilations[3], low[3];
    int64_t full[3], steps[3]; /* with pads; windows along each axis */
} Image;

static void numbers(const OnnxNode *n, const char *name, int count, int64_t absent, int64_t *out)
{
    int have = onnx_ints(n, name, out, count);
    if (have >= 0 && have != count) onnx_fail(n, "attribute %s has %d numbers", name, have);
    for (int i = 0; i < count; i++) {
        if (have < 0) out[i] = absent;
        if (out[i] < absent || out[i] > 1 << 24) onnx_fail(n, "attribute %s: too large", name);
    }
}

static Image read_image(const OnnxNode *n)
{
    Image m;
    int64_t pads[6];
    m.k = onnx_ints_in(n, 1, m.size, 3);
    if (m.k < 1 || onnx_ints_in(n, 2, m.block, 3) != m.k)
        onnx_fail(n, "image and block are not of the same 1 to 3 axes");
    numbers(n, "strides", m.k, 1, m.strides);
    numbers(n, "dilations", m.k, 1, m.dilations);
    numbers(n, "pads", 2 * m.k, 0, pads);
    for (int i = 0; i < m.k; i++) {
        if (m.size[i] < 1 || m.size[i] > 1 << 24 || m.block[i] < 1 || m.block[i] > 1 << 24)
            onnx_fail(n, "axis %d of the image is not supported", i);
        m.low[i] = pads[i];
        m.full[i] = m.size[i] + pads[i] + pads[m.k + i];
        int64_t room = m.full[i] - (m.block[i] - 1) * m.dilations[i] - 1;
        if (room < 0) onnx_fail(n, "the block does not fit axis %d", i);
        m.steps[i] = room / m.strides[i] + 1;
    }
    return m;
}

/* [N, C*K, L] -> [N, C, steps.., block..] */
static Ref as_windows(const OnnxNode *n, const Image *m, Ref x)
{
    Type t = onnx_type(n, x);
    int64_t dim[MAX_RANK] = {0}, taps = 1, count = 1;
    int perm[MAX_RANK] = {0, 1};
    for (int i = 0; i < m->k; i++) {
        dim[2 + i] = m->block[i];
        dim[2 + m->k + i] = m->steps[i];
        if (!mul_ok(taps, m->block[i], &taps) || !mul_ok(count, m->steps[i], &count)) taps = 0;
        if (!taps) onnx_fail(n, "the image is too large");
        perm[2 + i] = 2 + m->k + i;
        perm[2 + m->k + i] = 2 + i;
    }
    if (t.rank != 3 || t.dim[1] % taps || t.dim[2] != count)
        onnx_fail(n, "its columns do not fit the image");
    dim[0] = t.dim[0];
    dim[1] = t.dim[1] / taps;
    return b_transpose(n->g, b_reshape(n->g, x, 2 + 2 * m->k, dim), perm);
}

/* Windows are added up where they overlap; the pads are cut off. */
void build_col2im(OnnxNode *n)
{
    Image m = read_image(n);
    Ref x = as_windows(n, &m, onnx_in(n, 0));
    x = b_fold(n->g, x, m.k, m.full, m.strides, m.dilations);
    for (int i = 0; i < m.k; i++) x = b_slice_axis(n->g, x, 2 + i, m.low[i], m.size[i], 1);
    onnx_out(n, 0, x);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* (pixel * scale - mean[c]) / std[c], then the layout the model wants. A model that takes integers
 * is fed the nearest ones. */
#include "onnx_preprocess.h"

#include "ir/build.h"

/* Per-channel numbers, spread over the image. */
static Ref per_channel(Graph *g, Type image, int n, const double *v, const char *what)
{
    int64_t channels = image.rank > 1 ? image.dim[1] : 0;
    if (n == 1) return graph_splat(g, image, v[0]);
    if (n != channels)
        err(NULL, "%d numbers of %s for %lld channels", n, what, (long long)channels);
    Type t = image;
    uint64_t data[4] = {0};
    for (int i = 0; i < t.rank; i++) t.dim[i] = i == 1 ? n : 1;
    for (int i = 0; i < n; i++) elem_set(t.dtype, data, i, v[i]);
    return b_broadcast_to(g, graph_const(g, t, data), image);
}

static Ref normalise(Graph *g, Ref x, Type image, const OnnxOptions *o)
{
    if (o->scale != 0 && o->scale != 1) x = b_binary(g, OP_mul, x, graph_splat(g, image, o->scale));
    if (o->nmean) x = b_binary(g, OP_sub, x, per_channel(g, image, o->nmean, o->mean, "mean"));
    for (int i = 0; i < o->nstd; i++)
        if (!(o->std[i] > 0)) err(NULL, "std must be positive");
    if (o->nstd) x = b_binary(g, OP_div, x, per_channel(g, image, o->nstd, o->std, "std"));
    return x;
}

static Type image_of(Type model, bool nhwc)
{
    if (!nhwc) return model;
    if (model.rank != 4) err(NULL, "NHWC needs an input of rank 4, not %d", model.rank);
    int64_t dim[] = {model.dim[0], model.dim[3], model.dim[1], model.dim[2]};
    return type_of(model.dtype, 4, dim);
}

Ref onnx_preprocess(Graph *g, const char *name, Type model, const OnnxOptions *o)
{
    Type image = image_of(model, o->nhwc);
    bool counts = (o->nmean || o->nstd || (o->scale != 0 && o->scale != 1));
    bool rounds = counts && !dtype_is_float(model.dtype);
    if (rounds) image.dtype = DT_F32;
    Ref x = b_input(g, name, image);
    graph_set_origin(g, "preprocessing");
    x = normalise(g, x, image, o);
    if (rounds) x = b_cast(g, b_unary(g, OP_round, x), model.dtype);
    if (o->nhwc) x = b_transpose(g, x, (int[]){0, 2, 3, 1});
    graph_set_origin(g, NULL);
    return x;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that draw random numbers, as `rng` rows. Each has a stream of its own; what the numbers
 * are depends on the call's seed, the sample's id, the program's draw and the element, never on the
 * batch. So the first axis of what is drawn must be the batch axis, and samples do not share
 * numbers, as they would within one batch of a framework where a tensor without that axis is drawn.
 * A `seed` attribute plays no part. */
#include "onnx_walk.h"
#include "random.h"

#include <string.h>

bool rng_input(const Node *n)
{
    return n->op == OP_input && !strncmp(node_attr(n, "name")->s, RNG_INPUT, strlen(RNG_INPUT));
}

/* Uniforms in [0,1) of the type's shape, f32. */
static Ref uniforms(OnnxNode *n, Type t)
{
    Graph *g = n->g;
    Ref image = graph_find_input(g, "x");
    int64_t b = image == NOREF ? 1 : g->node[image].type.dim[0];
    int stream = RNG_MODEL + n->walk->random++;
    if (t.rank < 1 || t.dim[0] != b) onnx_fail(n, "draws numbers without a batch axis in front");
    if (stream >= RNG_STREAMS)
        onnx_fail(n, "is one operator that draws too many: %d are supported",
                  RNG_STREAMS - RNG_MODEL);
    Ref seed = b_input(g, RNG_SEED, type_scalar(DT_I64));
    Ref id = b_input(g, RNG_ID, type_of(DT_I64, 1, &b));
    Ref draw = b_input(g, RNG_DRAW, type_of(DT_I32, 1, &b));
    return b_rng(g, seed, id, draw, type_with(t, DT_F32), stream);
}

/* scale u + shift, as an output of that element type. */
static void give(OnnxNode *n, Ref u, double scale, double shift, DType d)
{
    Graph *g = n->g;
    Ref v = b_binary(g, OP_mul, u, b_like(g, u, scale));
    v = b_binary(g, OP_add, v, b_like(g, v, shift));
    onnx_out(n, 0, b_cast(g, v, d));
}

static DType wanted(OnnxNode *n, DType otherwise)
{
    return onnx_has(n, "dtype") ? onnx_dtype(n, onnx_int(n, "dtype", 0)) : otherwise;
}

/* Attribute `shape`, its leading extent taken for the batch if it is what inputs have. */
static Type shape_of(OnnxNode *n)
{
    int64_t dim[MAX_RANK];
    int rank = onnx_ints(n, "shape", dim, MAX_RANK);
    if (rank < 1) onnx_fail(n, "draws numbers without a batch axis in front");
    if (n->batch && dim[0] == n->batch) dim[0] = 1;
    for (int i = 0; i < rank; i++)
        if (dim[i] < 1) onnx_fail(n, "attribute shape has an extent below 1");
    return type_of(DT_F32, rank, dim);
}

static void uniform(OnnxNode *n, Type t)
{
    double low = onnx_float(n, "low", 0), high = onnx_float(n, "high", 1);
    DType d = wanted(n, t.dtype);
    give(n, uniforms(n, t), high - low, low, d);
}

static void normal(OnnxNode *n, Type t)
{
    double mean = onnx_float(n, "mean", 0), scale = onnx_float(n, "scale", 1);
    DType d = wanted(n, t.dtype);
    give(n, b_normal(n->g, uniforms(n, t)), scale, mean, d);
}

void build_random_uniform_like(OnnxNode *n)
{
    uniform(n, onnx_type(n, onnx_in(n, 0)));
}

void build_random_normal_like(OnnxNode *n)
{
    normal(n, onnx_type(n, onnx_in(n, 0)));
}

void build_random_uniform(OnnxNode *n)
{
    uniform(n, shape_of(n));
}

void build_random_normal(OnnxNode *n)
{
    normal(n, shape_of(n));
}

/* 1 with the probability that the input says. */
void build_bernoulli(OnnxNode *n)
{
    Ref p = onnx_in(n, 0), u = uniforms(n, onnx_type(n, p));
    DType d = wanted(n, onnx_type(n, p).dtype);
    Ref hit = b_binary(n->g, OP_lt, u, b_cast(n->g, p, DT_F32));
    onnx_out(n, 0, b_cast(n->g, hit, d));
}

/* ---- dropout ---- */

/* The training form keeps elements with probability 1 - ratio and divides them by it. */
static Ref drop(OnnxNode *n, Ref x, double ratio)
{
    Graph *g = n->g;
    Ref u = uniforms(n, onnx_type(n, x));
    Ref keep = b_binary(g, OP_le, b_like(g, u, ratio), u);
    Ref scaled = b_binary(g, OP_mul, x, b_like(g, x, ratio < 1 ? 1 / (1 - ratio) : 0));
    onnx_out(n, 0, b_select(g, keep, scaled, b_like(g, x, 0)));
    return keep;
}

/* In inference the identity; its mask, if wanted, is all true. */
void build_dropout(OnnxNode *n)
{
    Ref x = onnx_in(n, 0), keep;
    double ratio = onnx_number_in(n, 1, 0.5);
    bool trains = onnx_number_in(n, 2, 0) != 0 && ratio != 0;
    if (trains && !(ratio > 0 && ratio <= 1)) onnx_fail(n, "ratio is not between 0 and 1");
    DType mask = n->opset < 10 ? onnx_type(n, x).dtype : DT_BOOL;
    if (!trains) onnx_out(n, 0, x);
    keep = trains ? drop(n, x, ratio) : graph_splat(n->g, type_with(onnx_type(n, x), DT_BOOL), 1);
    onnx_out(n, 1, b_cast(n->g, keep, mask));
}

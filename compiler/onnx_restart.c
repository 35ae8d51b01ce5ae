/* SPDX-License-Identifier: Apache-2.0 */
/* A model as it is before training: another activation, fresh weights. A file becomes a file.
 *
 * half-Huber (Woods, Chen, Teuscher 2019) for ReLU: c (2 x - c), c = x clipped to [0, 1/2].
 *
 * Fresh weights are uniform in +-sqrt(6 / fan-in) (He, Zhang, Ren, Sun 2015), those of the last
 * convolution or matrix in +-1/sqrt(fan-in), drawn by the counter generator; biases 0,
 * normalisations as they begin. zero_last: the last convolution of each residual block starts at 0
 * (He, Zhang, Zhang, Zhang, Xie, Li 2019, "Bag of tricks", section 3.1, there by its
 * normalisation). A block's branch is the operand of a sum that went through more convolutions. */
#include <math.h>
#include <string.h>

#include "compiler/adjoint.h"
#include "compiler/onnx_walk.h"
#include "compiler/onnx_write.h"
#include "ir/eval.h"
#include "onnx.pb-c.h"

enum { CLIP_BY_INPUTS = 11 }; /* the opset from which Clip has its bounds as inputs */

typedef struct Restart {
    Arena *a;
    Onnx__GraphProto *g;
    const AdjRestart *how;
    const char *from, *to;
    uint32_t nodes, node_cap, tensors, tensor_cap;
    Onnx__NodeProto **node; /* of the new graph */
    Onnx__TensorProto **tensor;
} Restart;

static bool is(const Onnx__NodeProto *n, const char *op)
{
    return !strcmp(walk_text(n->op_type), op);
}

/* ---- activation ---- */

static char *add_node(Restart *r, const char *op, char *name, int nin, char *const *in, char *out)
{
    Onnx__NodeProto *n = NEW(r->a, Onnx__NodeProto);
    onnx__node_proto__init(n);
    n->op_type = arena_strdup(r->a, op);
    n->name = name;
    n->n_input = (size_t)nin;
    n->input = arena_dup(r->a, in, sizeof *in * (size_t)nin);
    n->n_output = 1;
    n->output = NEW_N(r->a, char *, 1);
    n->output[0] = out ? out : arena_printf(r->a, "%s.y", name);
    GROW(r->a, r->node, r->nodes, r->node_cap);
    r->node[r->nodes++] = n;
    return n->output[0];
}

static char bounds[2][24] = {"half_huber_relu.low", "half_huber_relu.high"};

static void add_bounds(Restart *r)
{
    for (int i = 0; i < 2; i++) {
        Onnx__TensorProto *t = onnx_new_tensor(r->a, bounds[i], 0, NULL);
        onnx_put_float(t, 0, (float)i / 2);
        GROW(r->a, r->tensor, r->tensors, r->tensor_cap);
        r->tensor[r->tensors++] = t;
    }
}

static void half_huber(Restart *r, const Onnx__NodeProto *relu)
{
    const char *name = *walk_text(relu->name) ? relu->name : relu->output[0];
    char *x = relu->input[0], *clip[] = {x, bounds[0], bounds[1]}, *two[] = {x, x};
    char *c = add_node(r, "Clip", arena_printf(r->a, "%s.clip", name), 3, clip, NULL);
    char *twice = add_node(r, "Add", arena_printf(r->a, "%s.twice", name), 2, two, NULL);
    char *minus[] = {twice, c};
    char *rest = add_node(r, "Sub", arena_printf(r->a, "%s.rest", name), 2, minus, NULL);
    char *product[] = {c, rest};
    add_node(r, "Mul", arena_strdup(r->a, name), 2, product, relu->output[0]);
}

static void swap_activations(Restart *r, const Onnx__ModelProto *m)
{
    int swapped = 0;
    for (size_t i = 0; i < r->g->n_node; i++) {
        Onnx__NodeProto *n = r->g->node[i];
        if (is(n, "Relu")) {
            half_huber(r, n);
            swapped++;
            continue;
        }
        GROW(r->a, r->node, r->nodes, r->node_cap);
        r->node[r->nodes++] = n;
    }
    if (!swapped) err("--activation", "%s has no Relu", r->from);
    if (onnx_model_opset(m) < CLIP_BY_INPUTS)
        err("--activation", "%s has opset %d; it takes %d", r->from, (int)onnx_model_opset(m),
            CLIP_BY_INPUTS);
    add_bounds(r);
    r->g->node = r->node;
    r->g->n_node = r->nodes;
}

/* ---- weights ---- */

static int find_tensor(const Restart *r, const char *name)
{
    for (uint32_t i = 0; i < r->tensors; i++)
        if (!strcmp(walk_text(r->tensor[i]->name), name)) return (int)i;
    return -1;
}

/* A tensor of the file, its values to be written anew; NULL: it is none of the file's. */
static Onnx__TensorProto *renewed(Restart *r, const Onnx__NodeProto *n, size_t input)
{
    int i = input < n->n_input ? find_tensor(r, walk_text(n->input[input])) : -1;
    if (i < 0) return NULL;
    const Onnx__TensorProto *old = r->tensor[i];
    return r->tensor[i] = onnx_new_tensor(r->a, old->name, (int)old->n_dims, old->dims);
}

static void fill(Restart *r, const Onnx__NodeProto *n, size_t input, double value)
{
    Onnx__TensorProto *t = renewed(r, n, input);
    for (int64_t i = 0; t && i < (int64_t)t->raw_data.len / 4; i++)
        onnx_put_float(t, i, (float)value);
}

static bool transposed(const Onnx__NodeProto *n)
{
    for (size_t i = 0; i < n->n_attribute; i++)
        if (!strcmp(walk_text(n->attribute[i]->name), "transB")) return n->attribute[i]->i != 0;
    return false;
}

/* Elements that one result sums over. */
static double fan_in(const Onnx__NodeProto *n, const Onnx__TensorProto *t)
{
    double all = 1;
    for (size_t i = 1; i < t->n_dims; i++) all *= (double)t->dims[i];
    bool rows = is(n, "Conv") || (is(n, "Gemm") && transposed(n));
    if (rows || t->n_dims < 2) return all;
    return is(n, "ConvTranspose") ? all / (double)t->dims[1] * (double)t->dims[0]
                                  : (double)t->dims[t->n_dims - 2];
}

static void draw(Restart *r, const Onnx__NodeProto *n, uint64_t number, bool last)
{
    Onnx__TensorProto *t = renewed(r, n, 1);
    if (!t) return;
    double bound = sqrt((last ? 1 : 6) / fan_in(n, t));
    for (int64_t i = 0; i < (int64_t)t->raw_data.len / 4; i++) {
        double u = philox_uniform(r->how->seed, number, 0, 0, (uint64_t)i);
        onnx_put_float(t, i, (float)((2 * u - 1) * bound));
    }
    fill(r, n, 2, 0);
}

static bool is_linear(const Onnx__NodeProto *n)
{
    return is(n, "Conv") || is(n, "ConvTranspose") || is(n, "Gemm") || is(n, "MatMul");
}

/* Scale, bias, and of batch normalisation mean and variance. */
static void begin_norm(Restart *r, const Onnx__NodeProto *n)
{
    static const double start[] = {1, 0, 0, 1};
    for (size_t i = 0; i < 4; i++) fill(r, n, i + 1, start[i]);
}

static void renew_weights(Restart *r)
{
    size_t last = 0;
    for (size_t i = 0; i < r->g->n_node; i++)
        if (is_linear(r->g->node[i])) last = i;
    for (size_t i = 0; i < r->g->n_node; i++) {
        const Onnx__NodeProto *n = r->g->node[i];
        if (is_linear(n)) draw(r, n, i, i == last);
        if (strstr(walk_text(n->op_type), "Normalization")) begin_norm(r, n);
    }
}

/* ---- the last convolution of a block ---- */

static int producer(const Restart *r, const char *name)
{
    for (size_t i = 0; i < r->g->n_node; i++)
        for (size_t k = 0; k < r->g->node[i]->n_output; k++)
            if (!strcmp(walk_text(r->g->node[i]->output[k]), name)) return (int)i;
    return -1;
}

/* Convolutions before a tensor, on the longest way; nodes are in order. */
static int depth_of(const Restart *r, const int *depth, const char *name)
{
    int at = producer(r, name);
    return at < 0 ? -1 : depth[at];
}

/* The convolution whose normalised result this is, or -1. */
static int last_convolution(const Restart *r, const char *name)
{
    int at = producer(r, name);
    while (at >= 0 && !is(r->g->node[at], "Conv")) {
        const Onnx__NodeProto *n = r->g->node[at];
        bool passes = is(n, "BatchNormalization") || is(n, "Identity") || is(n, "Dropout");
        at = passes && n->n_input ? producer(r, n->input[0]) : -1;
    }
    return at;
}

static void zero_last(Restart *r)
{
    int *depth = NEW_N(r->a, int, r->g->n_node + 1), blocks = 0;
    for (size_t i = 0; i < r->g->n_node; i++) {
        const Onnx__NodeProto *n = r->g->node[i];
        for (size_t k = 0; k < n->n_input; k++) {
            int d = depth_of(r, depth, n->input[k]);
            if (d > depth[i]) depth[i] = d;
        }
        if (is(n, "Conv")) depth[i]++;
        if (!is(n, "Add") || n->n_input != 2) continue;
        int a = depth_of(r, depth, n->input[0]), b = depth_of(r, depth, n->input[1]);
        int conv = a < 0 || b < 0 || a == b ? -1 : last_convolution(r, n->input[a < b]);
        if (conv < 0) continue;
        fill(r, r->g->node[conv], 1, 0);
        blocks++;
    }
    if (!blocks) err("--init", "%s has no residual blocks", r->from);
}

/* ---- the interface ---- */

static void restart(void *arg, Arena *scratch)
{
    Restart *r = arg;
    Onnx__ModelProto *m = onnx_load(scratch, r->from);
    r->a = scratch;
    r->g = m->graph;
    for (size_t i = 0; i < r->g->n_initializer; i++) {
        GROW(r->a, r->tensor, r->tensors, r->tensor_cap);
        r->tensor[r->tensors++] = r->g->initializer[i];
    }
    if (r->how->init) renew_weights(r);
    if (r->how->zero_last) zero_last(r);
    if (r->how->half_huber) swap_activations(r, m);
    r->g->initializer = r->tensor;
    r->g->n_initializer = r->tensors;
    onnx_write(scratch, m, r->to);
}

static void guarded(void *arg)
{
    Restart *r = arg;
    onnx_within(r->from, restart, r);
}

bool adj_restart(const char *model, const AdjRestart *how, const char *path, AdjError *e)
{
    Restart r = {.how = how, .from = model, .to = path};
    AdjError ignored;
    e = e ? e : &ignored;
    return err_guard(guarded, &r, e->msg, sizeof e->msg);
}

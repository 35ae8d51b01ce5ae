/* SPDX-License-Identifier: Apache-2.0 */
/* New residual networks as ONNX files. Of 2 k s + 2 layers in s stages of k blocks of two 3x3
 * convolutions; stages after the first halve the image.
 *
 *   plain   conv, norm, act; y = act(norm(conv(act(norm(conv(x))))) + shortcut(x))   (He, Zhang,
 *           Ren, Sun 2016, "Deep residual learning for image recognition", section 4.2), the
 *           shortcut a 1x1 convolution and norm where the shape changes; mean over the image,
 *           matrix
 *   preact  conv; p = act(norm(x)), y = conv(act(norm(conv(p)))) + shortcut (He et al. 2016,
 *           "Identity mappings in deep residual networks"), the shortcut x, or a 3x3 convolution of
 *           p where the shape changes; norm, act, mean, 1x1 convolution: the network of Woods,
 *           Chen, Teuscher 2019
 *
 * Weights are uniform in +-sqrt(6 / fan-in) (He et al. 2015, "Delving deep into rectifiers"), those
 * of the classifier in +-1/sqrt(fan-in), drawn by the counter generator: a seed gives the same
 * bytes everywhere. The half-Huber ReLU (Woods et al.) with d = 1/2 is c (2 x - c), c = x clipped
 * to [0, d]: 0, x^2, x - 1/4. */
#include "compiler/onnx_write.h"

#include "compiler/adjoint.h"
#include "ir/eval.h"
#include "onnx.pb-c.h"

#include <math.h>
#include <stdio.h>

enum { OPSET = 13, IR_VERSION = 7 };

typedef struct Net {
    Arena *a;
    const AdjResnet *o;
    Onnx__GraphProto g;
    uint32_t nodes, node_cap, tensors, tensor_cap;
} Net;

/* ---- tensors ---- */

static Onnx__TensorProto *tensor(Net *n, const char *name, int rank, const int64_t *dim)
{
    Onnx__TensorProto *t = onnx_new_tensor(n->a, name, rank, dim);
    GROW(n->a, n->g.initializer, n->tensors, n->tensor_cap);
    n->g.initializer[n->tensors++] = t;
    return t;
}

static char *constant(Net *n, const char *name, int64_t count, double value)
{
    Onnx__TensorProto *t = tensor(n, name, count > 0, &count);
    for (int64_t i = 0; i < count + !count; i++) onnx_put_float(t, i, (float)value);
    return t->name;
}

/* A tensor's values depend on the seed and on how many came before it. */
static char *uniform(Net *n, const char *name, int rank, const int64_t *dim, double bound)
{
    Onnx__TensorProto *t = tensor(n, name, rank, dim);
    for (int64_t i = 0; i < (int64_t)t->raw_data.len / 4; i++) {
        double u = philox_uniform(n->o->seed, n->tensors, 0, 0, (uint64_t)i);
        onnx_put_float(t, i, (float)((2 * u - 1) * bound));
    }
    return t->name;
}

static char *triple(Net *n, const char *name, const double *value, int count)
{
    int64_t dim[] = {1, n->o->channels, 1, 1};
    Onnx__TensorProto *t = tensor(n, name, 4, dim);
    for (int64_t i = 0; i < dim[1]; i++) onnx_put_float(t, i, (float)value[count == 1 ? 0 : i]);
    return t->name;
}

/* ---- nodes ---- */

static Onnx__NodeProto *node(Net *n, const char *op, const char *name, int nin, char *const *in)
{
    Onnx__NodeProto *p = NEW(n->a, Onnx__NodeProto);
    onnx__node_proto__init(p);
    p->op_type = arena_strdup(n->a, op);
    p->name = arena_strdup(n->a, name);
    p->n_input = (size_t)nin;
    p->input = arena_dup(n->a, in, sizeof *in * (size_t)nin);
    p->n_output = 1;
    p->output = NEW_N(n->a, char *, 1);
    p->output[0] = arena_printf(n->a, "%s.y", name);
    GROW(n->a, n->g.node, n->nodes, n->node_cap);
    n->g.node[n->nodes++] = p;
    return p;
}

static Onnx__AttributeProto *attribute(Net *n, Onnx__NodeProto *p, const char *name)
{
    Onnx__AttributeProto *at = NEW(n->a, Onnx__AttributeProto);
    uint32_t have = (uint32_t)p->n_attribute, cap = have;
    onnx__attribute_proto__init(at);
    at->name = arena_strdup(n->a, name);
    at->has_type = true;
    GROW(n->a, p->attribute, have, cap);
    p->attribute[p->n_attribute++] = at;
    return at;
}

static void ints(Net *n, Onnx__NodeProto *p, const char *name, int count, int64_t value)
{
    Onnx__AttributeProto *at = attribute(n, p, name);
    at->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    at->n_ints = (size_t)count;
    at->ints = NEW_N(n->a, int64_t, count);
    for (int i = 0; i < count; i++) at->ints[i] = value;
}

static void real(Net *n, Onnx__NodeProto *p, const char *name, float value)
{
    Onnx__AttributeProto *at = attribute(n, p, name);
    at->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
    at->has_f = true;
    at->f = value;
}

static char *binary(Net *n, const char *op, const char *name, char *x, char *y)
{
    char *in[] = {x, y};
    return node(n, op, name, 2, in)->output[0];
}

static char *unary(Net *n, const char *op, const char *name, char *x)
{
    return node(n, op, name, 1, &x)->output[0];
}

/* ---- layers ---- */

typedef struct Conv {
    int64_t in, out, kernel, stride;
    bool zero, last; /* weights all 0; the classifier, which has a bias */
} Conv;

static char *weights(Net *n, const char *name, const Conv *c)
{
    int64_t dim[] = {c->out, c->in, c->kernel, c->kernel};
    double fan_in = (double)(c->in * c->kernel * c->kernel);
    double bound = c->zero ? 0 : sqrt((c->last ? 1 : 6) / fan_in);
    return uniform(n, arena_printf(n->a, "%s.weight", name), 4, dim, bound);
}

static char *conv(Net *n, const char *name, char *x, Conv c)
{
    char *in[3] = {x, weights(n, name, &c), NULL};
    if (c.last) in[2] = constant(n, arena_printf(n->a, "%s.bias", name), c.out, 0);
    Onnx__NodeProto *p = node(n, "Conv", name, c.last ? 3 : 2, in);
    ints(n, p, "kernel_shape", 2, c.kernel);
    ints(n, p, "pads", 4, c.kernel / 2);
    ints(n, p, "strides", 2, c.stride);
    return p->output[0];
}

static char *norm(Net *n, const char *name, char *x, int64_t c)
{
    char *in[5] = {x};
    in[1] = constant(n, arena_printf(n->a, "%s.weight", name), c, 1);
    in[2] = constant(n, arena_printf(n->a, "%s.bias", name), c, 0);
    in[3] = constant(n, arena_printf(n->a, "%s.running_mean", name), c, 0);
    in[4] = constant(n, arena_printf(n->a, "%s.running_var", name), c, 1);
    Onnx__NodeProto *p = node(n, "BatchNormalization", name, 5, in);
    real(n, p, "epsilon", 1e-5F);
    real(n, p, "momentum", .9F);
    return p->output[0];
}

static char *half_huber(Net *n, const char *name, char *x)
{
    char *in[] = {x, "half_huber.low", "half_huber.high"};
    char *c = node(n, "Clip", arena_printf(n->a, "%s.clip", name), 3, in)->output[0];
    char *twice = binary(n, "Add", arena_printf(n->a, "%s.twice", name), x, x);
    char *rest = binary(n, "Sub", arena_printf(n->a, "%s.rest", name), twice, c);
    return binary(n, "Mul", name, c, rest);
}

static char *act(Net *n, const char *name, char *x)
{
    return n->o->half_huber ? half_huber(n, name, x) : unary(n, "Relu", name, x);
}

/* ---- blocks ---- */

static char *plain_block(Net *n, const char *b, char *x, Conv c)
{
    Arena *a = n->a;
    Conv second = {c.out, c.out, 3, 1, false, false};
    Conv shortcut = {c.in, c.out, 1, c.stride, false, false};
    char *y = conv(n, arena_printf(a, "%s.conv1", b), x, c);
    y = norm(n, arena_printf(a, "%s.norm1", b), y, c.out);
    y = act(n, arena_printf(a, "%s.act1", b), y);
    second.zero = n->o->zero_last;
    y = conv(n, arena_printf(a, "%s.conv2", b), y, second);
    y = norm(n, arena_printf(a, "%s.norm2", b), y, c.out);
    if (c.stride != 1 || c.in != c.out) {
        x = conv(n, arena_printf(a, "%s.shortcut", b), x, shortcut);
        x = norm(n, arena_printf(a, "%s.shortcut_norm", b), x, c.out);
    }
    return act(n, arena_printf(a, "%s.act2", b),
               binary(n, "Add", arena_printf(a, "%s.add", b), y, x));
}

static char *preact_block(Net *n, const char *b, char *x, Conv c)
{
    Arena *a = n->a;
    Conv second = {c.out, c.out, 3, 1, false, false};
    char *p = norm(n, arena_printf(a, "%s.norm1", b), x, c.in);
    p = act(n, arena_printf(a, "%s.act1", b), p);
    char *y = conv(n, arena_printf(a, "%s.conv1", b), p, c);
    y = norm(n, arena_printf(a, "%s.norm2", b), y, c.out);
    y = act(n, arena_printf(a, "%s.act2", b), y);
    second.zero = n->o->zero_last;
    y = conv(n, arena_printf(a, "%s.conv2", b), y, second);
    if (c.stride != 1 || c.in != c.out) x = conv(n, arena_printf(a, "%s.shortcut", b), p, c);
    return binary(n, "Add", arena_printf(a, "%s.add", b), y, x);
}

static char *blocks(Net *n, char *x)
{
    const AdjResnet *o = n->o;
    int64_t in = o->widths[0], each = (o->depth - 2) / (2 * o->nstage);
    for (int s = 0; s < o->nstage; s++)
        for (int64_t k = 0; k < each; k++) {
            const char *name = arena_printf(n->a, "stage%d.block%d", s + 1, (int)k + 1);
            Conv c = {in, o->widths[s], 3, s > 0 && k == 0 ? 2 : 1, false, false};
            x = (o->preact ? preact_block : plain_block)(n, name, x, c);
            in = o->widths[s];
        }
    return x;
}

/* ---- the network ---- */

static char *standardised(Net *n, char *x)
{
    const AdjResnet *o = n->o;
    if (o->nmean) x = binary(n, "Sub", "centre", x, triple(n, "pixel.mean", o->mean, o->nmean));
    if (o->nstd) x = binary(n, "Div", "scale", x, triple(n, "pixel.std", o->std, o->nstd));
    return x;
}

static void layers(Net *n)
{
    const AdjResnet *o = n->o;
    int64_t last = o->widths[o->nstage - 1];
    if (o->half_huber) {
        constant(n, "half_huber.low", 0, 0);
        constant(n, "half_huber.high", 0, .5);
    }
    char *x = standardised(n, "x");
    x = conv(n, "stem", x, (Conv){o->channels, o->widths[0], 3, 1, false, false});
    if (!o->preact) x = act(n, "stem.act", norm(n, "stem.norm", x, o->widths[0]));
    x = blocks(n, x);
    if (o->preact) x = act(n, "head.act", norm(n, "head.norm", x, last));
    x = unary(n, "GlobalAveragePool", "head.mean", x);
    x = conv(n, "head", x, (Conv){last, o->classes, 1, 1, false, true});
    unary(n, "Flatten", "head.flat", x);
    n->g.node[n->nodes - 1]->output[0] = "logits";
    n->g.n_node = n->nodes;
    n->g.n_initializer = n->tensors;
}

/* Extent 0 is the batch, which is open. */
static Onnx__TensorShapeProto__Dimension *dimension(Arena *a, int64_t extent)
{
    Onnx__TensorShapeProto__Dimension *d = NEW(a, Onnx__TensorShapeProto__Dimension);
    onnx__tensor_shape_proto__dimension__init(d);
    d->value_case = extent ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE
                           : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    if (extent)
        d->dim_value = extent;
    else
        d->dim_param = "N";
    return d;
}

static Onnx__TypeProto *tensor_type(Arena *a, int rank, const int64_t *dim)
{
    Onnx__TypeProto *type = NEW(a, Onnx__TypeProto);
    Onnx__TypeProto__Tensor *t = NEW(a, Onnx__TypeProto__Tensor);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(t);
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = t;
    t->has_elem_type = true;
    t->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    t->shape = NEW(a, Onnx__TensorShapeProto);
    onnx__tensor_shape_proto__init(t->shape);
    t->shape->n_dim = (size_t)rank;
    t->shape->dim = NEW_N(a, Onnx__TensorShapeProto__Dimension *, rank);
    for (int i = 0; i < rank; i++) t->shape->dim[i] = dimension(a, dim[i]);
    return type;
}

static Onnx__ValueInfoProto *value_info(Arena *a, char *name, int rank, const int64_t *dim)
{
    Onnx__ValueInfoProto *v = NEW(a, Onnx__ValueInfoProto);
    onnx__value_info_proto__init(v);
    v->name = name;
    v->type = tensor_type(a, rank, dim);
    return v;
}

static void write_net(Net *n, const char *path)
{
    const AdjResnet *o = n->o;
    int64_t image[] = {0, o->channels, o->height, o->width}, scores[] = {0, o->classes};
    Onnx__ModelProto m = ONNX__MODEL_PROTO__INIT;
    Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT, *opsets = &opset;
    Onnx__ValueInfoProto *in = value_info(n->a, "x", 4, image);
    Onnx__ValueInfoProto *out = value_info(n->a, "logits", 2, scores);
    m.has_ir_version = opset.has_version = true;
    m.ir_version = IR_VERSION;
    opset.version = OPSET;
    opset.domain = "";
    m.n_opset_import = 1;
    m.opset_import = &opsets;
    m.producer_name = "adjoint";
    n->g.name = "resnet";
    n->g.n_input = n->g.n_output = 1;
    n->g.input = &in;
    n->g.output = &out;
    m.graph = &n->g;
    onnx_write(n->a, &m, path);
}

/* ---- the interface ---- */

static void check_net(const AdjResnet *o)
{
    if (o->depth < 2 + 2 * o->nstage || (o->depth - 2) % (2 * o->nstage))
        err("--depth", "with %d stages it is 2 and a multiple of %d: %d or %d, not %d", o->nstage,
            2 * o->nstage, 2 + 2 * o->nstage, 2 + 4 * o->nstage, o->depth);
    if ((o->nmean > 1 && o->nmean != o->channels) || (o->nstd > 1 && o->nstd != o->channels))
        err("--mean", "--mean and --std want one number, or one for each of %d channels",
            (int)o->channels);
}

typedef struct Order {
    const AdjResnet *o;
    const char *path;
} Order;

static void free_arena(void *a)
{
    arena_free(a);
}

static void make(void *arg)
{
    Order *order = arg;
    Arena *a = arena_new();
    err_defer(free_arena, a);
    Net n = {.a = a, .o = order->o, .g = ONNX__GRAPH_PROTO__INIT};
    check_net(order->o);
    layers(&n);
    write_net(&n, order->path);
    err_keep(a);
    arena_free(a);
}

bool adj_new_resnet(const AdjResnet *o, const char *path, AdjError *e)
{
    AdjError ignored;
    Order order = {o, path};
    e = e ? e : &ignored;
    return err_guard(make, &order, e->msg, sizeof e->msg);
}

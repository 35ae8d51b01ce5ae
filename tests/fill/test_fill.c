/* SPDX-License-Identifier: Apache-2.0 */
/* fill_weights on a graph made here: a ConstantOfShape, a shared Identity, a Constant and
 * initializers as weights of a convolution, a batch norm and a matrix product. */
#include "tools/fill-weights/fill.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int passed, failed;

static void expect(bool ok, const char *what)
{
    ok ? passed++ : failed++;
    if (!ok) printf("FAIL %s\n", what);
}

/* ---- a graph ---- */

typedef struct Make {
    Arena *a;
    Onnx__GraphProto *g;
} Make;

static Onnx__TensorProto *tensor(Make *m, const char *name, int rank, const int64_t *dims)
{
    Onnx__TensorProto *t = NEW(m->a, Onnx__TensorProto);
    onnx__tensor_proto__init(t);
    t->name = (char *)name;
    t->has_data_type = true;
    t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    t->n_dims = (size_t)rank;
    t->dims = arena_dup(m->a, dims, sizeof *dims * (size_t)rank);
    return t;
}

static Onnx__TensorProto *initializer(Make *m, const char *name, int rank, const int64_t *dims)
{
    return m->g->initializer[m->g->n_initializer++] = tensor(m, name, rank, dims);
}

static void shape(Make *m, const char *name, int rank, const int64_t *dims)
{
    Onnx__TensorProto *t = initializer(m, name, 1, (const int64_t[]){rank});
    t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    t->n_int64_data = (size_t)rank;
    t->int64_data = arena_dup(m->a, dims, sizeof *dims * (size_t)rank);
}

/* Inputs end at the first NULL. */
static Onnx__NodeProto *node(Make *m, const char *op, const char *output, const char *const *inputs)
{
    Onnx__NodeProto *n = NEW(m->a, Onnx__NodeProto);
    onnx__node_proto__init(n);
    n->op_type = (char *)op;
    n->n_output = 1;
    n->output = NEW(m->a, char *);
    n->output[0] = (char *)output;
    n->input = NEW_N(m->a, char *, 8);
    for (; inputs[n->n_input]; n->n_input++) n->input[n->n_input] = (char *)inputs[n->n_input];
    return m->g->node[m->g->n_node++] = n;
}
#define NODE(op, output, ...) node(m, op, output, (const char *const[]){__VA_ARGS__, NULL})

static Onnx__AttributeProto *attribute(Make *m, Onnx__NodeProto *n, const char *name)
{
    Onnx__AttributeProto *at = NEW(m->a, Onnx__AttributeProto);
    onnx__attribute_proto__init(at);
    at->name = (char *)name;
    n->attribute = NEW(m->a, Onnx__AttributeProto *);
    n->n_attribute = 1;
    return n->attribute[0] = at;
}

static const int64_t conv_dims[] = {32, 16, 3, 3}, fc_dims[] = {10, 32}, channels[] = {32};

/* The main path of a small residual net; x and z are its input and output. */
static void nodes(Make *m)
{
    NODE("ConstantOfShape", "w", "w_shape");
    NODE("Identity", "mean", "bias");
    attribute(m, NODE("Constant", "var", NULL), "value")->t = tensor(m, NULL, 1, channels);
    NODE("Conv", "c", "x", "w");
    NODE("BatchNormalization", "n", "c", "scale", "bias", "mean", "var");
    NODE("Add", "s", "n", "x");
    Onnx__AttributeProto *trans = attribute(m, NODE("Gemm", "z", "s", "fc", "fc_bias"), "transB");
    trans->has_i = true;
    trans->i = 1;
}

static Onnx__GraphProto *graph(Arena *a)
{
    Make m = {a, NEW(a, Onnx__GraphProto)};
    onnx__graph_proto__init(m.g);
    m.g->node = NEW_N(a, Onnx__NodeProto *, 16);
    m.g->initializer = NEW_N(a, Onnx__TensorProto *, 16);
    m.g->n_output = 1;
    m.g->output = NEW(a, Onnx__ValueInfoProto *);
    m.g->output[0] = NEW(a, Onnx__ValueInfoProto);
    onnx__value_info_proto__init(m.g->output[0]);
    m.g->output[0]->name = "z";
    shape(&m, "w_shape", 4, conv_dims);
    initializer(&m, "scale", 1, channels);
    initializer(&m, "bias", 1, channels);
    initializer(&m, "fc", 2, fc_dims);
    initializer(&m, "fc_bias", 1, (const int64_t[]){10});
    nodes(&m);
    return m.g;
}

/* ---- what became of it ---- */

static const Onnx__TensorProto *find(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_initializer; i++)
        if (!strcmp(g->initializer[i]->name, name)) return g->initializer[i];
    return NULL;
}

typedef struct Moments {
    double mean, variance, least, most;
} Moments;

static Moments moments(const Onnx__TensorProto *t)
{
    Moments m = {0, 0, INFINITY, -INFINITY};
    size_t n = t->raw_data.len / 4;
    for (size_t i = 0; i < n; i++) {
        float v;
        memcpy(&v, t->raw_data.data + 4 * i, 4);
        m.mean += v / (double)n;
        m.variance += v * (double)v / (double)n;
        m.least = fmin(m.least, v);
        m.most = fmax(m.most, v);
    }
    m.variance -= m.mean * m.mean;
    return m;
}

static bool near(double a, double b, double share)
{
    return fabs(a - b) <= share * fabs(b);
}

static void check_values(const Onnx__GraphProto *g)
{
    Moments w = moments(find(g, "w")), fc = moments(find(g, "fc"));
    Moments scale = moments(find(g, "scale")), mean = moments(find(g, "mean"));
    Moments var = moments(find(g, "var"));
    expect(near(w.variance, 2. / (16 * 9), .1), "a convolution in the only sum: gain 2 / 1");
    expect(near(fc.variance, 2. / 32, .2), "a matrix with transB: fan-in 32");
    expect(fabs(w.mean) < .01, "weights have mean 0");
    expect(scale.least >= .8 && scale.most <= 1.2 && scale.variance > 0, "scales near 1");
    expect(var.least >= .8 && var.most <= 1.25 && var.variance > 0, "variances near 1");
    expect(fabs(mean.mean) < .1 && mean.variance > 0, "means around 0");
}

static void check_form(const Onnx__GraphProto *g, FillCount c)
{
    static const char *const names[] = {"w", "scale", "bias", "mean", "var", "fc", "fc_bias"};
    expect(c.tensors == COUNT(names) && c.values == 32 * 16 * 9 + 4 * 32 + 320 + 10, "count");
    expect(g->n_initializer == COUNT(names), "the shape is gone");
    expect(g->n_node == 4, "nodes that made constants are gone");
    for (int i = 0; i < COUNT(names); i++) {
        const Onnx__TensorProto *t = find(g, names[i]);
        expect(t && t->has_raw_data, names[i]);
        for (int k = 0; t && k < i; k++) {
            const Onnx__TensorProto *u = find(g, names[k]);
            expect(u && memcmp(t->raw_data.data, u->raw_data.data, 40) != 0, "distinct");
        }
    }
}

static void check_seeds(Arena *a, const Onnx__TensorProto *w)
{
    Onnx__GraphProto *same = graph(a), *other = graph(a);
    fill_weights(a, same, 7);
    fill_weights(a, other, 8);
    size_t n = w->raw_data.len;
    expect(!memcmp(find(same, "w")->raw_data.data, w->raw_data.data, n), "same seed");
    expect(memcmp(find(other, "w")->raw_data.data, w->raw_data.data, n) != 0, "other seed");
}

static void fill(void *graph)
{
    Arena *a = arena_new();
    err_defer((void (*)(void *))arena_free, a);
    fill_weights(a, graph, 0);
}

static void check_refusals(Arena *a)
{
    char message[256];
    Onnx__GraphProto *g = graph(a);
    g->initializer[3]->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
    expect(!err_guard(fill, g, message, sizeof message) && strstr(message, "'fc' is not of type"),
           "a weight of doubles is refused");
    g = graph(a);
    g->initializer[0]->int64_data[1] = INT64_C(1) << 62;
    expect(!err_guard(fill, g, message, sizeof message) && strstr(message, "too large"),
           "a weight of 2^62 channels is refused");
    g = graph(a);
    g->n_node = 0;
    expect(!err_guard(fill, g, message, sizeof message) && strstr(message, "no constant"),
           "a graph without weights is refused");
}

int main(void)
{
    Arena *a = arena_new();
    Onnx__GraphProto *g = graph(a);
    FillCount c = fill_weights(a, g, 7);
    check_form(g, c);
    check_values(g);
    check_seeds(a, find(g, "w"));
    check_refusals(a);
    arena_free(a);
    printf("fill: %d passed, %d failed\n", passed, failed);
    return failed > 0;
}

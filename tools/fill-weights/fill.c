/* SPDX-License-Identifier: Apache-2.0 */
/* Which constants are weights, and what they become.
 *
 * Weights are uniform with mean 0 and variance gain / fan-in (He et al. 2015, "Delving deep into
 * rectifiers", section 2.2: gain 2 keeps the second moment through a ReLU). What is added to a
 * shortcut gets less, so that a sum keeps it too: 1 where both operands are convolutions, else
 * 2 / (number of sums), so that any number of blocks grows by e^2 at most. Normalisations get
 * statistics near those of such activations, but no two alike. Only +, *, / and sqrt are used: a
 * seed gives the same bytes everywhere. */
#include "tools/fill-weights/fill.h"

#include <math.h>
#include <string.h>

typedef enum Role { WEIGHT, BIAS, SCALE, MEAN, VARIANCE } Role;

/* Bounds of the uniform values of a role; a weight's depend on its fan-in. */
static const double bounds[][2] = {
    [BIAS] = {-.1, .1}, [SCALE] = {.8, 1.2}, [MEAN] = {-.1, .1}, [VARIANCE] = {.8, 1.25}};

static const struct {
    const char *op;
    unsigned slot;
    Role role;
} rows[] = {
    {"Conv", 1, WEIGHT},
    {"Conv", 2, BIAS},
    {"ConvTranspose", 1, WEIGHT},
    {"ConvTranspose", 2, BIAS},
    {"Gemm", 1, WEIGHT},
    {"Gemm", 2, BIAS},
    {"MatMul", 1, WEIGHT},
    {"BatchNormalization", 1, SCALE},
    {"BatchNormalization", 2, BIAS},
    {"BatchNormalization", 3, MEAN},
    {"BatchNormalization", 4, VARIANCE},
    {"InstanceNormalization", 1, SCALE},
    {"InstanceNormalization", 2, BIAS},
    {"GroupNormalization", 1, SCALE},
    {"GroupNormalization", 2, BIAS},
    {"LayerNormalization", 1, SCALE},
    {"LayerNormalization", 2, BIAS},
};

typedef struct Fill {
    Arena *a;
    Onnx__GraphProto *g;
    uint64_t seed;
    Onnx__TensorProto **made;
    uint32_t n, cap;
    FillCount count;
} Fill;

/* ---- gains ---- */

static const Onnx__NodeProto *reader_of(const Onnx__GraphProto *g, const Onnx__NodeProto *n)
{
    return n->n_output ? node_reading(g, n->output[0]) : NULL;
}

static bool is_op(const Onnx__NodeProto *n, const char *op)
{
    return n && !strcmp(n->op_type, op);
}

static bool is_sum(const Onnx__GraphProto *g, const Onnx__NodeProto *n)
{
    Shape s;
    if (!is_op(n, "Add") && !is_op(n, "Sum")) return false;
    for (size_t i = 0; i < n->n_input; i++) /* else a bias */
        if (constant_shape(g, n->input[i], &s)) return false;
    return true;
}

static bool is_branch(const Onnx__GraphProto *g, const char *name)
{
    const Onnx__NodeProto *n = node_making(g, name);
    if (is_op(n, "BatchNormalization") && n->n_input) n = node_making(g, n->input[0]);
    return is_op(n, "Conv");
}

static double gain(const Onnx__GraphProto *g, const Onnx__NodeProto *n)
{
    int branches = 0, sums = 0;
    const Onnx__NodeProto *to = reader_of(g, n);
    if (is_op(to, "BatchNormalization")) to = reader_of(g, to);
    if (!is_sum(g, to)) return 2;
    for (size_t i = 0; i < to->n_input; i++) branches += is_branch(g, to->input[i]);
    for (size_t i = 0; i < g->n_node; i++) sums += is_sum(g, g->node[i]);
    return branches > 1 ? 1 : 2. / sums;
}

/* ---- values ---- */

/* The products that one output sums, whatever the strides. */
static double fan_in(const Onnx__NodeProto *n, const Shape *s)
{
    int64_t all = 1, outputs = s->dim[s->rank - 1];
    for (int i = 0; i < s->rank; i++) all *= s->dim[i];
    if (is_op(n, "Conv")) outputs = s->dim[0];
    if (is_op(n, "ConvTranspose")) outputs = s->dim[1];
    for (size_t i = 0; i < n->n_attribute; i++)
        if (!strcmp(n->attribute[i]->name, "transB") && n->attribute[i]->i) outputs = s->dim[0];
    return (double)all / (double)outputs;
}

/* SplitMix64 (Steele, Lea, Flood 2014): 53 bits of its output as a number in [0,1). */
static double uniform(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static void put_float(uint8_t *p, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, 4);
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(bits >> 8 * i);
}

/* A tensor's values depend on the seed and on how many came before it. */
static void put_values(Fill *f, Onnx__TensorProto *t, double lo, double hi)
{
    uint64_t state = hash_bytes(&f->n, sizeof f->n, f->seed);
    for (size_t i = 0; i < t->raw_data.len; i += 4)
        put_float(t->raw_data.data + i, (float)(lo + (hi - lo) * uniform(&state)));
}

/* ---- tensors ---- */

static const char *where(const Onnx__NodeProto *n)
{
    return *n->name || !n->n_output ? n->name : n->output[0];
}

static int64_t elements(const Onnx__NodeProto *n, const char *name, const Shape *s)
{
    int64_t all = 1;
    if (s->type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
        err(where(n), "its %s '%s' is not of type float", n->op_type, name);
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] < 1 || !mul_ok(all, s->dim[i], &all) || all > INT64_C(1) << 29)
            err(where(n), "its %s '%s' is empty or too large", n->op_type, name);
    return all;
}

static Onnx__TensorProto *new_tensor(Arena *a, char *name, const Shape *s, int64_t n)
{
    Onnx__TensorProto *t = NEW(a, Onnx__TensorProto);
    onnx__tensor_proto__init(t);
    t->name = name;
    t->n_dims = (size_t)s->rank;
    t->dims = arena_dup(a, s->dim, sizeof *s->dim * t->n_dims);
    t->has_data_type = t->has_raw_data = true;
    t->data_type = s->type;
    t->raw_data.len = 4 * (size_t)n;
    t->raw_data.data = arena_alloc(a, t->raw_data.len);
    return t;
}

static bool is_made(const Fill *f, const char *name)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (!strcmp(f->made[i]->name, name)) return true;
    return false;
}

static void fill_slot(Fill *f, const Onnx__NodeProto *n, unsigned slot, Role role)
{
    Shape s;
    char *name = slot < n->n_input ? n->input[slot] : "";
    if (!*name || is_made(f, name) || !constant_shape(f->g, name, &s)) return;
    int64_t size = elements(n, name, &s);
    if (role == WEIGHT && s.rank < 2) err(where(n), "its weight '%s' is no matrix", name);
    Onnx__TensorProto *t = new_tensor(f->a, name, &s, size);
    double bound = role == WEIGHT ? sqrt(3 * gain(f->g, n) / fan_in(n, &s)) : 0;
    put_values(f, t, role == WEIGHT ? -bound : bounds[role][0],
               role == WEIGHT ? bound : bounds[role][1]);
    GROW(f->a, f->made, f->n, f->cap);
    f->made[f->n++] = t;
    f->count.tensors++;
    f->count.values += size;
}

/* ---- the graph ---- */

/* The node or initializer of that name gives way to the new tensor: an output without a name is one
 * that nobody reads. */
static void give_way(Onnx__GraphProto *g, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < g->n_initializer; i++)
        if (strcmp(g->initializer[i]->name, name) != 0) g->initializer[kept++] = g->initializer[i];
    g->n_initializer = kept;
    Onnx__NodeProto *n = (Onnx__NodeProto *)node_making(g, name);
    if (n) n->output[0] = "";
}

static void replace(Fill *f)
{
    Onnx__GraphProto *g = f->g;
    for (uint32_t i = 0; i < f->n; i++) give_way(g, f->made[i]->name);
    Onnx__TensorProto **all = NEW_N(f->a, Onnx__TensorProto *, g->n_initializer + f->n);
    memcpy(all, g->initializer, sizeof *all * g->n_initializer);
    memcpy(all + g->n_initializer, f->made, sizeof *all * f->n);
    g->initializer = all;
    g->n_initializer += f->n;
    drop_unread(g);
}

FillCount fill_weights(Arena *a, Onnx__GraphProto *g, uint64_t seed)
{
    Fill f = {.a = a, .g = g, .seed = seed};
    name_all(g);
    for (size_t i = 0; i < g->n_node; i++)
        for (int r = 0; r < COUNT(rows); r++)
            if (is_op(g->node[i], rows[r].op))
                fill_slot(&f, g->node[i], rows[r].slot, rows[r].role);
    if (!f.n) err(NULL, "has no constant that is a weight of a node");
    replace(&f);
    return f.count;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A small network with everything a ResNet has: strided grouped convolution, batch
 * normalisation with the batch's own statistics, ReLU, padded max pooling, a gather of the
 * label's logit, cross-entropy. Its first, second and third derivatives along random directions
 * against central differences. */
#include "tests/passes/harness.h"

#include <math.h>
#include <stdio.h>

static Ref input(Graph *g, const char *name, int rank, const int64_t *dim)
{
    return b_input(g, name, type_of(DT_F64, rank, dim));
}
#define INPUT(g, name, ...)                                                                        \
    input(g, name, COUNT(((int64_t[]){__VA_ARGS__})), (int64_t[]){__VA_ARGS__})

static Ref binary_like(Graph *g, Op op, Ref a, Ref b)
{
    return b_binary(g, op, a, b_broadcast_to(g, b, g->node[a].type));
}

static Ref mean_of_channels(Graph *g, Ref x)
{
    Ref sum = b_reduce(g, OP_sum, x, 3, (int[]){0, 2, 3});
    double n = (double)(type_count(g->node[x].type) / g->node[x].type.dim[1]);
    return b_binary(g, OP_div, sum, b_like(g, sum, n));
}

static Ref batch_norm(Graph *g, Ref x, Ref scale, Ref shift)
{
    Ref centred = binary_like(g, OP_sub, x, mean_of_channels(g, x));
    Ref var = mean_of_channels(g, b_binary(g, OP_mul, centred, centred));
    Ref dev = b_unary(g, OP_sqrt, b_binary(g, OP_add, var, b_like(g, var, 1e-3)));
    Ref unit = binary_like(g, OP_div, centred, dev);
    return binary_like(g, OP_add, binary_like(g, OP_mul, unit, scale), shift);
}

static Ref max_pool(Graph *g, Ref x)
{
    int64_t edge[] = {0, 0, 1, 1}, none[] = {0, 0, 0, 0};
    Ref padded = b_pad(g, x, edge, edge, none, -INFINITY);
    Ref windows = b_window(g, padded, 2, (int64_t[]){3, 3}, (int64_t[]){2, 2}, (int64_t[]){1, 1});
    return b_reduce(g, OP_max, windows, 2, (int[]){4, 5});
}

/* log1p(sum over j != y of exp(z_j - z_y)), one a sample. */
static Ref cross_entropy(Graph *g, Ref z, Ref label)
{
    Type t = g->node[z].type;
    Ref own = b_gather(g, z, label, 1, 1);
    own = b_reshape(g, own, 2, (int64_t[]){t.dim[0], 1});
    Ref odds = b_unary(g, OP_exp, binary_like(g, OP_sub, z, own));
    Ref others = b_select(g, b_onehot(g, label, t), b_like(g, z, 0), odds);
    return b_unary(g, OP_log1p, b_reduce(g, OP_sum, others, 1, (int[]){1}));
}

static Ref network(Graph *g)
{
    int64_t two = 2, labels[] = {3, 1};
    ConvAttrs c = {2, {2, 2}, {1, 1, 1, 1}, {1, 1}, 2};
    Ref x = INPUT(g, "x", 2, 4, 8, 8), w = INPUT(g, "w", 6, 2, 3, 3);
    Ref scale = INPUT(g, "scale", 1, 6, 1, 1), shift = INPUT(g, "shift", 1, 6, 1, 1);
    Ref features = b_relu(g, batch_norm(g, b_conv(g, x, w, &c), scale, shift));
    Ref flat = b_reshape(g, max_pool(g, features), 2, (int64_t[]){2, 24});
    Ref z = b_matmul(g, flat, INPUT(g, "fc", 24, 5));
    return cross_entropy(g, z, graph_const(g, type_of(DT_I64, 1, &two), labels));
}

/* d/dt of the scalar at x + t d, from the gradients and from differences. */
static void compare_along(Point *p, Ref scalar, const Ref *grad, double tol, const char *what)
{
    const double h = 1e-5;
    double exact = 0, at[2];
    double *d[MAX_INPUTS];
    for (int i = 0; i < p->n; i++) {
        int64_t n = type_count(p->g->node[p->in[i]].type);
        d[i] = NEW_N(p->g->arena, double, n);
        for (int64_t j = 0; j < n; j++) d[i][j] = uniform(-1, 1);
        exact += point_dot(p, grad[i], d[i]);
    }
    for (int side = 0; side < 2; side++) {
        Point q = *p;
        for (int i = 0; i < p->n; i++) {
            int64_t n = type_count(p->g->node[p->in[i]].type);
            q.x[i] = NEW_N(p->g->arena, double, n);
            for (int64_t j = 0; j < n; j++) q.x[i][j] = p->x[i][j] + (side ? h : -h) * d[i][j];
        }
        at[side] = point_value(&q, scalar)[0];
    }
    expect(fabs(exact) > 1e-6, what, "the derivative vanishes");
    expect(fabs(exact - (at[1] - at[0]) / (2 * h)) <= tol * fabs(exact), what,
           "%.12g, by differences %.12g", exact, (at[1] - at[0]) / (2 * h));
}

/* simplify and fold change no value. */
static void compare_simplified(const Point *p, const Ref *grad, const char *what)
{
    Graph *g = p->g;
    for (int i = 0; i < p->n; i++)
        graph_output(g, arena_printf(g->arena, "%s d%d", what, i), grad[i]);
    Graph *s = pass_simplify(g->arena, pass_fold(g->arena, pass_simplify(g->arena, g)));
    graph_verify(s, what);
    Point q = point_move(s, p);
    for (uint32_t i = 0; i < g->nout; i++) {
        int64_t n = type_count(g->node[g->out[i].ref].type);
        const double *want = point_value(p, g->out[i].ref), *got = point_value(&q, s->out[i].ref);
        for (int64_t j = 0; j < n; j++) expect_near(got[j], want[j], 1e-11, what, "simplified");
    }
    expect(s->n < g->n, what, "%u nodes are still %u", g->n, s->n);
}

void test_network(void)
{
    Arena *a = arena_new();
    Graph *g = graph_new(a, "network");
    Ref loss = network(g), grad[MAX_INPUTS];
    Point p = point_random(g, -1, 1);
    Ref s = random_functional(g, 1, &loss);
    static const char *const names[] = {"network, first order", "network, second order",
                                        "network, third order"};
    static const double tol[] = {1e-6, 1e-5, 1e-5};
    for (int order = 0; order < 3; order++) {
        grad_append(g, 1, &s, NULL, p.n, p.in, grad);
        graph_verify(g, names[order]);
        compare_along(&p, s, grad, tol[order], names[order]);
        compare_simplified(&p, grad, names[order]);
        s = random_functional(g, p.n, grad);
    }
    arena_free(a);
}

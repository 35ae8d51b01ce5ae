/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products with weights become convolutions (passes/matmul.c): which do, what follows them,
 * and that values stay. */
#include "passes/lowering.h"
#include "tests/passes/harness.h"

enum { SAMPLES = 3, IN = 4, OUT = 5 };

typedef struct Product {
    const char *name;
    Ref (*make)(Graph *, Ref x); /* of x [SAMPLES, IN] */
    bool claims;                 /* of the target */
    int products, convs;         /* afterwards */
    int follow;                  /* elementwise values that have become ones of maps */
} Product;

static Type matrix(int64_t rows, int64_t cols)
{
    return type_of(DT_F64, 2, (int64_t[]){rows, cols});
}

static Ref swapped(Graph *g, Ref r)
{
    return b_transpose(g, r, (int[]){1, 0});
}

static Ref by_input(Graph *g, Ref x)
{
    return b_matmul(g, x, b_input(g, "w", matrix(IN, OUT)));
}

static Ref by_swapped_input(Graph *g, Ref x)
{
    return b_matmul(g, x, swapped(g, b_input(g, "w", matrix(OUT, IN))));
}

static Ref by_const(Graph *g, Ref x)
{
    return b_matmul(g, x, random_const(g, matrix(IN, OUT)));
}

static Ref by_swapped_const(Graph *g, Ref x)
{
    return b_matmul(g, x, swapped(g, random_const(g, matrix(OUT, IN))));
}

static Ref by_half_const(Graph *g, Ref x)
{
    Type t = type_with(matrix(IN, OUT), DT_BF16);
    char *data = arena_alloc(g->arena, (size_t)type_bytes(t));
    for (int64_t i = 0; i < type_count(t); i++) elem_set(t.dtype, data, i, uniform(-1, 1));
    return b_matmul(g, x, b_cast(g, graph_const(g, t, data), DT_F64));
}

/* As in a network: bias, ReLU, another layer. */
static Ref two_layers(Graph *g, Ref x)
{
    Ref h = by_const(g, x), bias = b_input(g, "b", matrix(1, OUT));
    h = b_binary(g, OP_add, h, b_broadcast_to(g, bias, g->node[h].type));
    return b_matmul(g, b_relu(g, h), random_const(g, matrix(OUT, IN)));
}

/* Behind the maximum and what reads it there is no map. */
static Ref less_largest(Graph *g, Ref x)
{
    Ref h = by_const(g, x), m = b_reduce(g, OP_max, h, 1, (int[]){1});
    m = b_broadcast_to(g, b_reshape(g, m, 2, (int64_t[]){SAMPLES, 1}), g->node[h].type);
    return b_unary(g, OP_exp, b_binary(g, OP_sub, h, m));
}

static Ref over_samples(Graph *g, Ref x)
{
    return b_matmul(g, swapped(g, x), b_unary(g, OP_exp, x));
}

static Ref of_two_values(Graph *g, Ref x)
{
    return b_matmul(g, x, swapped(g, b_unary(g, OP_exp, x)));
}

static Ref more_extents(Graph *g, Ref x)
{
    Ref r = b_reshape(g, x, 3, (int64_t[]){SAMPLES, 2, 2});
    return b_matmul(g, r, random_const(g, type_of(DT_F64, 3, (int64_t[]){SAMPLES, 2, 2})));
}

static const Product cases[] = {
    {"an input", by_input, true, 0, 1, 0},
    {"a transposed input", by_swapped_input, true, 0, 1, 0},
    {"a constant", by_const, true, 0, 1, 0},
    {"a transposed constant", by_swapped_const, true, 0, 1, 0},
    {"a constant of bf16", by_half_const, true, 0, 1, 0},
    {"two layers", two_layers, true, 0, 2, 2},
    {"less the largest", less_largest, true, 0, 1, 0},
    {"over samples", over_samples, true, 0, 1, 0},
    {"of two values", of_two_values, true, 1, 0, 0},
    {"more extents", more_extents, true, 1, 0, 0},
    {"no claims", by_const, false, 1, 0, 0},
};

static bool no_offer(const Target *t, const Contract *c, Offer *o)
{
    (void)t, (void)c, (void)o;
    return false;
}

static bool is_conv(Op op)
{
    return op == OP_conv || op == OP_conv_dx || op == OP_conv_dw;
}

static void check_left(const Product *p, const Graph *g)
{
    int products = 0, convs = 0, follow = 0;
    for (Ref r = 0; r < g->n; r++) {
        const Node *n = &g->node[r];
        products += n->op == OP_matmul;
        convs += is_conv(n->op);
        bool map = op_info[n->op].cls == CL_ELEMENTWISE && n->op != OP_cast && n->type.rank == 4;
        follow += map;
    }
    expect(products == p->products, p->name, "%d products are left", products);
    expect(convs == p->convs, p->name, "%d convolutions", convs);
    expect(follow == p->follow, p->name, "%d values follow", follow);
}

void test_matmul(void)
{
    for (int i = 0; i < COUNT(cases); i++) {
        Arena *a = arena_new();
        Target t = {.vec_bytes = 64, .offer = cases[i].claims ? no_offer : NULL};
        Graph *g = graph_new(a, "t");
        graph_output(g, "y", cases[i].make(g, b_input(g, "x", matrix(SAMPLES, IN))));
        Graph *left = pass_dce(a, pass_matmul(a, &t, g));
        graph_verify(left, cases[i].name);
        check_left(&cases[i], left);
        Point p = point_random(g, -1, 1), q = point_move(left, &p);
        Ref before = graph_find_output(g, "y");
        const double *want = point_value(&p, before);
        const double *got = point_value(&q, graph_find_output(left, "y"));
        for (int64_t k = 0; k < type_count(g->node[before].type); k++)
            expect_near(got[k], want[k], 1e-12, cases[i].name, "matmul");
        arena_free(a);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions of one tap lose their strides (passes/strides.c): which do, and that values stay. */
#include "passes/lowering.h"
#include "passes/rewrite.h"
#include "tests/passes/harness.h"

typedef struct Strided {
    const char *name;
    DType dtype;
    int64_t size[2], stride[2], kernel, pad, groups;
    bool narrow, claims, gone; /* data of bf16; a target with claims; no stride is left */
} Strided;

static const Strided cases[] = {
    {"even map", DT_F32, {6, 8}, {2, 2}, 1, 0, 1, false, true, true},
    {"odd map", DT_F32, {7, 5}, {2, 2}, 1, 0, 1, false, true, true},
    {"a rest of two", DT_F32, {9, 8}, {3, 3}, 1, 0, 1, false, true, true},
    {"columns alone", DT_F32, {5, 6}, {1, 2}, 1, 0, 1, false, true, true},
    {"groups", DT_F32, {6, 6}, {2, 2}, 1, 0, 2, false, true, true},
    {"three taps", DT_F32, {7, 7}, {2, 2}, 3, 0, 1, false, true, false},
    {"padding", DT_F32, {6, 6}, {2, 2}, 1, 1, 1, false, true, false},
    {"f64", DT_F64, {6, 6}, {2, 2}, 1, 0, 1, false, true, false},
    {"bf16", DT_F32, {6, 6}, {2, 2}, 1, 0, 1, true, true, false},
    {"no claims", DT_F32, {6, 6}, {2, 2}, 1, 0, 1, false, false, false},
};

static bool no_offer(const Target *t, const Contract *c, Offer *o)
{
    (void)t, (void)c, (void)o;
    return false;
}

static Ref of_dtype(Graph *g, const Strided *s, Ref r)
{
    return b_cast(g, s->narrow ? b_cast(g, r, DT_BF16) : r, s->dtype);
}

static bool has_strides(const Graph *g)
{
    for (Ref r = 0; r < g->n; r++) {
        const Node *n = &g->node[r];
        if (n->op != OP_conv && n->op != OP_conv_dx) continue;
        if (!all_equal(node_attr(n, "strides")->i, 2, 1)) return true;
    }
    return false;
}

/* y = conv(x, w), and its adjoint applied to a dy. */
static Graph *both(Arena *a, const Strided *s)
{
    Graph *g = graph_new(a, "t");
    ConvAttrs at = {
        2, {s->stride[0], s->stride[1]}, {s->pad, s->pad, s->pad, s->pad}, {1, 1}, s->groups};
    Ref x = b_input(g, "x", type_of(DT_F64, 4, (int64_t[]){2, 4, s->size[0], s->size[1]}));
    Ref w =
        b_input(g, "w", type_of(DT_F64, 4, (int64_t[]){6, 4 / s->groups, s->kernel, s->kernel}));
    Ref weights = of_dtype(g, s, w), y = b_conv(g, of_dtype(g, s, x), weights, &at);
    Type t = g->node[y].type;
    t.dtype = DT_F64;
    Ref dy = of_dtype(g, s, b_input(g, "dy", t));
    graph_output(g, "y", b_cast(g, y, DT_F64));
    graph_output(g, "dx", b_cast(g, b_conv_dx(g, dy, weights, &at, s->size), DT_F64));
    return g;
}

static void check_values(const Strided *s, Graph *g, Graph *left)
{
    static const char *const name[] = {"y", "dx"};
    Point p = point_random(g, -1, 1), q = point_move(left, &p);
    for (int k = 0; k < COUNT(name); k++) {
        Ref before = graph_find_output(g, name[k]), after = graph_find_output(left, name[k]);
        const double *want = point_value(&p, before), *got = point_value(&q, after);
        for (int64_t i = 0; i < type_count(g->node[before].type); i++)
            expect(got[i] == want[i], s->name, "%s[%d] is %g, not %g", name[k], (int)i, got[i],
                   want[i]);
    }
}

void test_strides(void)
{
    for (int i = 0; i < COUNT(cases); i++) {
        const Strided *s = &cases[i];
        Arena *a = arena_new();
        Target t = {.vec_bytes = 64, .offer = s->claims ? no_offer : NULL};
        Graph *g = both(a, s), *left = pass_dce(a, pass_strides(a, &t, g));
        graph_verify(left, s->name);
        expect(has_strides(left) != s->gone, s->name, "strides are %sleft", s->gone ? "" : "not ");
        check_values(s, g, left);
        arena_free(a);
    }
}

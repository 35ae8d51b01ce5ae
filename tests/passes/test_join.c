/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions that are added become one where matrix tiles multiply (passes/join.c): which do, and
 * that the sum stays what it was. */
#include "passes/lowering.h"
#include "passes/rewrite.h"
#include "tests/passes/harness.h"

typedef struct Shortcut {
    const char *name;
    int64_t channels[2], kernel, stride, groups;
    bool bias, shared, narrow, tiles; /* shared: one sum is an output too; narrow: of bf16 */
    int left;                         /* convolutions afterwards */
} Shortcut;

static const Shortcut shortcuts[] = {
    {"joined", {32, 64}, 1, 1, 1, true, false, true, true, 1},
    {"without bias", {64, 32}, 1, 1, 1, false, false, true, true, 1},
    {"with a stride", {32, 32}, 1, 2, 1, true, false, true, true, 1},
    {"three taps", {32, 64}, 3, 1, 1, true, false, true, true, 2},
    {"half a block", {32, 48}, 1, 1, 1, true, false, true, true, 2},
    {"with groups", {32, 64}, 1, 1, 2, true, false, true, true, 2},
    {"read by others", {32, 64}, 1, 1, 1, true, true, true, true, 2},
    {"of f32", {32, 64}, 1, 1, 1, true, false, false, true, 2},
    {"no tiles", {32, 64}, 1, 1, 1, true, false, true, false, 2},
};

static Ref weight(Graph *g, bool narrow, int64_t in, int64_t kernel)
{
    Type t = type_of(narrow ? DT_BF16 : DT_F32, 4, (int64_t[]){8, in, kernel, kernel});
    char *data = arena_alloc(g->arena, (size_t)type_bytes(t));
    for (int64_t i = 0; i < type_count(t); i++) elem_set(t.dtype, data, i, uniform(-1, 1));
    return b_cast(g, graph_const(g, t, data), DT_F32);
}

/* A convolution to [2, 8, 5, 4], and its bias. */
static Ref half(Graph *g, const Shortcut *s, int i)
{
    int64_t stride = i ? s->stride : 1, groups = i ? s->groups : 1, pad = s->kernel / 2;
    Type t = type_of(DT_F64, 4, (int64_t[]){2, s->channels[i], 5 * stride, 4 * stride});
    Ref x = b_input(g, i ? "x" : "y", t);
    x = b_cast(g, s->narrow ? b_cast(g, x, DT_BF16) : x, DT_F32);
    ConvAttrs at = {2, {stride, stride}, {pad, pad, pad, pad}, {1, 1}, groups};
    Ref r = b_conv(g, x, weight(g, s->narrow, s->channels[i] / groups, s->kernel), &at);
    if (!s->bias) return r;
    Ref bias = b_cast(g, random_const(g, type_of(DT_F64, 4, (int64_t[]){1, 8, 1, 1})), DT_F32);
    return b_binary(g, OP_add, r, b_broadcast_to(g, bias, g->node[r].type));
}

static int convolutions(const Graph *g)
{
    int n = 0;
    for (Ref r = 0; r < g->n; r++) n += g->node[r].op == OP_conv;
    return n;
}

static void check_sum(const Shortcut *s)
{
    Arena *a = arena_new();
    Target t = {.vec_bytes = 64, .tiles = s->tiles ? 512 : 0, .dot = 1};
    Graph *g = graph_new(a, "t");
    Ref first = half(g, s, 0), second = half(g, s, 1);
    if (s->shared) graph_output(g, "z", b_cast(g, first, DT_F64));
    graph_output(g, "s", b_cast(g, b_binary(g, OP_add, first, second), DT_F64));
    Graph *joined = pass_join(a, &t, g), *left = pass_dce(a, joined);
    graph_verify(left, s->name);
    expect(convolutions(left) == s->left, s->name, "%d convolutions", convolutions(left));
    Point p = point_random(g, -1, 1), q = point_move(left, &p);
    Ref before = graph_find_output(g, "s"), after = graph_find_output(left, "s");
    const double *want = point_value(&p, before), *got = point_value(&q, after);
    for (int64_t i = 0; i < type_count(g->node[before].type); i++)
        expect_near(got[i], want[i], 1e-5, s->name, "join");
    arena_free(a);
}

void test_join(void)
{
    for (int i = 0; i < COUNT(shortcuts); i++) check_sum(&shortcuts[i]);
}

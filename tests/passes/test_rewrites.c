/* SPDX-License-Identifier: Apache-2.0 */
/* simplify, fold and channels change no value: for every row, its gradient and its second derivative, and for
 * convolutions with batch normalisation in all its forms, evaluated before and after. */
#define _POSIX_C_SOURCE 200809L
#include "tests/passes/harness.h"

#include <string.h>

static const char *const specs[] = {
    "dce",        "simplify",  "fold", "simplify fold simplify fold", "retype=f64:f64",
    "channels=4", "channels=8"};

static Graph *run(Arena *a, const Graph *g, const char *spec)
{
    char *names = arena_strdup(a, spec), *save;
    const Graph *at = g;
    for (char *p = strtok_r(names, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
        at = pass_by_spec(a, at, p);
        graph_verify(at, spec);
    }
    return (Graph *)at;
}

static void same_values(const Point *p, const char *spec, const char *what)
{
    Arena *a = arena_new();
    Graph *g = run(a, p->g, spec);
    Point q = point_move(g, p);
    expect(g->nout == p->g->nout, what, "%s: outputs are lost", spec);
    for (uint32_t i = 0; i < g->nout; i++) {
        Ref before = p->g->out[i].ref, after = g->out[i].ref;
        expect(type_eq(p->g->node[before].type, g->node[after].type), what, "%s: type", spec);
        const double *want = point_value(p, before), *got = point_value(&q, after);
        for (int64_t j = 0; j < type_count(g->node[after].type); j++)
            expect_near(got[j], want[j], 1e-12, what, spec);
    }
    arena_free(a);
}

static void test_row(const Row *row)
{
    Arena *a = arena_new();
    Graph *g = read_row(a, row);
    bool ranged = row->lo != 0 || row->hi != 0;
    Point p = point_random(g, ranged ? row->lo : -1, ranged ? row->hi : 1);
    Ref y = graph_find_output(g, "y"), s = random_functional(g, 1, &y);
    for (int order = 1; order <= 2; order++) {
        Ref grad[MAX_INPUTS];
        grad_append(g, 1, &s, NULL, p.n, p.in, grad);
        for (int i = 0; i < p.n; i++) graph_output(g, arena_printf(a, "d%d_%d", order, i), grad[i]);
        s = random_functional(g, p.n, grad);
    }
    for (int i = 0; i < COUNT(specs); i++) same_values(&p, specs[i], row->name);
    arena_free(a);
}

/* ---- batch normalisation next to every kind of convolution ---- */

typedef struct Norm {
    int groups;
    bool dx; /* conv_dx instead of conv */
    const char
        *ops; /* in order: '<' scales before; '*' '/' '+' '-' after, 'c' is the convolution */
} Norm;

static Ref channels(Graph *g, Ref x)
{
    Type t = g->node[x].type;
    int64_t dim[] = {1, t.dim[1], 1, 1};
    Ref c = random_const(g, type_of(DT_F64, 4, dim));
    c = b_binary(g, OP_add, c, graph_splat(g, g->node[c].type, 2)); /* away from zero */
    return b_broadcast(g, c, t.rank, t.dim);
}

static Ref convolution(Graph *g, Ref x, const Norm *n)
{
    ConvAttrs c = {2, {2, 1}, {1, 1, 1, 0}, {1, 1}, n->groups};
    int64_t dim[] = {n->dx ? 4 : 6, (n->dx ? 6 : 4) / n->groups, 3, 3};
    Ref w = random_const(g, type_of(DT_F64, 4, dim));
    return n->dx ? b_conv_dx(g, x, w, &c, (int64_t[]){7, 6}) : b_conv(g, x, w, &c);
}

static Ref apply(Graph *g, Ref x, char what, const Norm *n)
{
    static const struct {
        char sign;
        Op op;
    } ops[] = {{'<', OP_mul}, {'*', OP_mul}, {'/', OP_div}, {'+', OP_add}, {'-', OP_sub}};
    for (int i = 0; i < COUNT(ops); i++)
        if (ops[i].sign == what) return b_binary(g, ops[i].op, x, channels(g, x));
    return convolution(g, x, n);
}

static int count_ops(const Graph *g, Op op)
{
    int n = 0;
    for (Ref r = 0; r < g->n; r++) n += g->node[r].op == op;
    return n;
}

static void test_norm(const Norm *n)
{
    Arena *a = arena_new();
    Graph *g = graph_new(a, "norm");
    int64_t dim[] = {2, 4, n->dx ? 4 : 7, n->dx ? 5 : 6};
    Ref y = b_input(g, "x", type_of(DT_F64, 4, dim));
    for (const char *p = n->ops; *p; p++) y = apply(g, y, *p, n);
    graph_output(g, "y", y);
    Point p = point_random(g, -1, 1);
    const char *what = arena_printf(a, "norm %s%s/%d", n->ops, n->dx ? " dx" : "", n->groups);
    for (int i = 0; i < COUNT(specs); i++) same_values(&p, specs[i], what);
    const Graph *f = run(a, g, "simplify fold simplify fold");
    expect(count_ops(f, OP_mul) + count_ops(f, OP_div) == 0, what, "a scale is left");
    expect(count_ops(f, OP_add) + count_ops(f, OP_sub) <= 1, what, "more than one shift is left");
    arena_free(a);
}

void test_rewrites(void)
{
    static const char *const forms[] = {"c*",   "c/",   "c*+", "c+*",  "c-/",
                                        "c-*+", "c+*+", "<c",  "<c*+", "c+*/-*"};
    for (int i = 0; i < nrows; i++) test_row(&rows[i]);
    for (int i = 0; i < COUNT(forms); i++)
        for (int dx = 0; dx < 2; dx++)
            for (int groups = 1; groups <= 2; groups++) test_norm(&(Norm){groups, dx, forms[i]});
}

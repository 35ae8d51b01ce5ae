/* SPDX-License-Identifier: Apache-2.0 */
/* The tally, random points and evaluation at them. */
#include "tests/passes/harness.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int passed, failed;

void expect(bool ok, const char *what, const char *format, ...)
{
    va_list ap;
    passed += ok;
    failed += !ok;
    if (ok) return;
    printf("%s: ", what);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    printf("\n");
}

void expect_near(double got, double want, double tol, const char *what, const char *detail)
{
    double scale = fmax(1, fmax(fabs(got), fabs(want)));
    expect(fabs(got - want) <= tol * scale, what, "%s: %.12g, not %.12g", detail, got, want);
}

int report(void)
{
    printf("passes: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}

double uniform(double lo, double hi)
{
    static uint64_t state = 42;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return lo + (hi - lo) * (double)(state >> 11) * 0x1p-53;
}

Graph *read_row(Arena *a, const Row *row)
{
    char *text = arena_printf(a, "graph t {\n%s\nreturn y=%%y\n}\n", row->text);
    return graph_read(a, text, row->name, NULL);
}

static bool is_point(const Node *n)
{
    return n->op == OP_input && n->type.dtype == DT_F64;
}

Point point_random(Graph *g, double lo, double hi)
{
    Point p = {.g = g};
    for (Ref r = 0; r < g->n; r++) {
        if (!is_point(&g->node[r])) continue;
        check(p.n < MAX_INPUTS);
        int64_t n = type_count(g->node[r].type);
        p.x[p.n] = NEW_N(g->arena, double, n);
        for (int64_t i = 0; i < n; i++) p.x[p.n][i] = uniform(lo, hi);
        p.in[p.n++] = r;
    }
    return p;
}

Point point_move(Graph *to, const Point *from)
{
    Point p = *from;
    p.g = to;
    for (int i = 0; i < p.n; i++) {
        const Node *n = &from->g->node[from->in[i]];
        p.in[i] = graph_find_input(to, node_attr(n, "name")->s);
        check(p.in[i] != NOREF);
    }
    return p;
}

double *point_value(const Point *p, Ref r)
{
    Eval *e = eval_new(p->g);
    for (int i = 0; i < p->n; i++) eval_bind(e, p->in[i], p->x[i]);
    eval_run(e, &r, 1);
    const Tensor *t = eval_get(e, r);
    check(t->type.dtype == DT_F64);
    double *copy = arena_dup(p->g->arena, t->data, (size_t)type_bytes(t->type));
    eval_free(e);
    return copy;
}

double point_dot(const Point *p, Ref r, const double *y)
{
    const double *x = point_value(p, r);
    double sum = 0;
    for (int64_t i = 0; i < type_count(p->g->node[r].type); i++) sum += x[i] * (y ? y[i] : 1);
    return sum;
}

Ref random_const(Graph *g, Type t)
{
    int64_t n = type_count(t);
    double *x = NEW_N(g->arena, double, n);
    for (int64_t i = 0; i < n; i++) x[i] = uniform(-1, 1);
    return graph_const(g, t, x);
}

Ref random_functional(Graph *g, int n, const Ref *r)
{
    Ref sum = NOREF;
    int64_t one = 1;
    for (int i = 0; i < n; i++) {
        Type t = g->node[r[i]].type;
        int64_t count = type_count(t);
        Ref terms = b_binary(g, OP_mul, r[i], random_const(g, t));
        terms = b_reduce(g, OP_sum, b_reshape(g, terms, 1, &count), 1, (int[]){0});
        terms = b_reshape(g, terms, 1, &one);
        sum = sum == NOREF ? terms : b_binary(g, OP_add, sum, terms);
    }
    return sum;
}

int main(void)
{
    test_gradients();
    test_network();
    test_rewrites();
    test_batch();
    test_join();
    test_strides();
    test_matmul();
    return report();
}

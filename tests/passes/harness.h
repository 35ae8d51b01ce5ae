/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of graph passes: small f64 graphs, written as text, evaluated at random points. */
#ifndef ADJ_TESTS_PASSES_HARNESS_H
#define ADJ_TESTS_PASSES_HARNESS_H

#include "ir/build.h"
#include "ir/eval.h"
#include "passes/passes.h"

enum { MAX_INPUTS = 8 };

typedef struct Row {
    const char *name; /* of the op it is about, and then anything */
    const char *text; /* inputs are f64, the one output is y, f64 */
    double lo, hi;    /* range of the inputs; both 0 for [-1, 1] */
    char linear;      /* 'j' jointly in all inputs, 'e' in each one; 0 in none */
    double h, tol;    /* of central differences; 0 for the default */
} Row;
extern const Row rows[];
extern const int nrows;

/* A graph and a point: values for all its inputs. */
typedef struct Point {
    Graph *g;
    int n;
    Ref in[MAX_INPUTS];
    double *x[MAX_INPUTS];
} Point;

void expect(bool ok, const char *what, const char *format, ...) PRINTF(3, 4);
void expect_near(double got, double want, double tol, const char *what, const char *detail);
int report(void); /* prints the tally; the exit status */

double uniform(double lo, double hi); /* the same sequence in every run */

/* Wraps a row's body: "graph t { .. }" is added around it. */
Graph *read_row(Arena *, const Row *);
Point point_random(Graph *, double lo, double hi);
/* The same values, found by the names of the inputs, for another graph. */
Point point_move(Graph *to, const Point *from);
double *point_value(const Point *, Ref); /* f64 elements, from the graph's arena */
double point_dot(const Point *, Ref, const double *);
Ref random_const(Graph *, Type);
/* A random linear functional of all of `r`: sum over i of <r[i], random>, as a scalar-like node. */
Ref random_functional(Graph *, int n, const Ref *r);

void test_gradients(void);
void test_network(void);
void test_rewrites(void);
void test_batch(void);
void test_join(void);
void test_strides(void);
void test_matmul(void);

#endif

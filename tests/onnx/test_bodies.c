/* SPDX-License-Identifier: Apache-2.0 */
/* Models whose nodes have bodies, functions and branches, and weights of other float types: files
 * written by hand, imported and evaluated. */
#define _GNU_SOURCE
#include "compiler/onnx.h"
#include "ir/eval.h"
#include "proto.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int passed, failed;
static char file[] = "/tmp/test-bodies-XXXXXX";

/* ---- importing ---- */

typedef struct Job {
    Arena *a;
    Graph *g;
    float y[4];
} Job;

static void free_eval(void *e)
{
    eval_free(e);
}

static void job(void *arg)
{
    static const float x[4] = {1, 2, 3, 4};
    Job *j = arg;
    j->g = onnx_import(j->a, file, NULL);
    Eval *e = eval_new(j->g);
    err_defer(free_eval, e);
    Ref y = j->g->out[0].ref;
    eval_bind(e, graph_find_input(j->g, "x"), x);
    eval_run(e, &y, 1);
    if (j->g->node[y].type.dtype != DT_F32) err(NULL, "the output is not f32");
    memcpy(j->y, eval_get(e, y)->data, sizeof j->y);
    err_keep(e);
    eval_free(e);
}

static void write_file(const Proto *m)
{
    FILE *f = fopen(file, "wb");
    if (!f || fwrite(m->p, 1, m->n, f) != m->n || fclose(f)) perror(file);
}

static void expect(const char *name, const Proto *m, const char *message, float first, float last)
{
    char msg[1024] = "";
    Job j = {.a = arena_new()};
    write_file(m);
    bool ok = err_guard(job, &j, msg, sizeof msg);
    bool good = message ? !ok && strstr(msg, message) : ok && j.y[0] == first && j.y[3] == last;
    if (!good) printf("%s: %s (%g .. %g)\n", name, msg, (double)j.y[0], (double)j.y[3]);
    passed += good;
    failed += !good;
    arena_free(j.a);
}

static void gives(const char *name, const Proto *m, float first, float last)
{
    expect(name, m, NULL, first, last);
}

static void says(const char *name, const Proto *m, const char *message)
{
    expect(name, m, message, 0, 0);
}

/* ---- models ---- */

enum { FLOAT = 1, GRAPH = 5 };

/* out = op(a, b); b may be NULL */
static Proto node(const char *domain, const char *op, const char *a, const char *b, const char *out)
{
    Proto n = {.n = 0};
    text_field(&n, 1, a);
    if (b) text_field(&n, 1, b);
    text_field(&n, 2, out);
    text_field(&n, 4, op);
    text_field(&n, 7, domain);
    return n;
}

static Proto attribute(const char *name, unsigned type)
{
    Proto a = {.n = 0};
    text_field(&a, 1, name);
    byte(&a, 20 << 3 & 127 | 128); /* field 20 takes two bytes */
    byte(&a, 20 << 3 >> 7);
    byte(&a, type);
    return a;
}

static void float_field(Proto *p, unsigned field, float v)
{
    byte(p, field << 3 | 5);
    memcpy(p->p + p->n, &v, 4);
    p->n += 4;
}

static void add_float(Proto *n, unsigned field, const char *name, float v)
{
    Proto a = attribute(name, FLOAT);
    float_field(&a, 2, v);
    nest(n, field, &a);
}

/* Attribute `name` of the node is `from` of the call. */
static void add_reference(Proto *n, const char *name, const char *from)
{
    Proto a = attribute(name, FLOAT);
    byte(&a, (21 << 3 | 2) & 127 | 128);
    byte(&a, (21 << 3 | 2) >> 7);
    byte(&a, (unsigned)strlen(from));
    memcpy(a.p + a.n, from, strlen(from));
    a.n += strlen(from);
    nest(n, 5, &a);
}

static Proto function(const char *name)
{
    Proto f = {.n = 0}, opset = {.n = 0};
    text_field(&f, 1, name);
    text_field(&f, 4, "a");
    text_field(&f, 5, "b");
    text_field(&f, 10, "mine");
    number_field(&opset, 2, 16);
    nest(&f, 9, &opset);
    return f;
}

/* Tensor `name` [4] of that element type with these bytes. */
static Proto tensor(const char *name, unsigned type, const void *data, size_t bytes)
{
    Proto w = {.n = 0};
    number_field(&w, 1, 4);
    number_field(&w, 2, type);
    text_field(&w, 8, name);
    bytes_field(&w, 9, data, bytes);
    return w;
}

/* y of the node, opset 16, IR 9, with an initializer and functions. */
static Proto model(const Proto *n, const Proto *init, unsigned field, const Proto *functions,
                   int nfunctions)
{
    Proto graph = {.n = 0}, opset = {.n = 0}, m = {.n = 0};
    Proto x = value_info("x"), y = value_info("y");
    nest(&graph, 1, n);
    if (init) nest(&graph, field, init);
    nest(&graph, 11, &x);
    nest(&graph, 12, &y);
    number_field(&opset, 2, 16);
    number_field(&m, 1, 9);
    nest(&m, 7, &graph);
    nest(&m, 8, &opset);
    for (int i = 0; i < nfunctions; i++) {
        byte(&m, (25 << 3 | 2) & 127 | 128);
        byte(&m, (25 << 3 | 2) >> 7);
        byte(&m, (unsigned)(functions[i].n & 127) | 128);
        byte(&m, (unsigned)(functions[i].n >> 7));
        memcpy(m.p + m.n, functions[i].p, functions[i].n);
        m.n += functions[i].n;
    }
    return m;
}

/* ---- functions ---- */

/* b = ThresholdedRelu(a) with alpha the function's `level` */
static Proto threshold(void)
{
    Proto f = function("Threshold"), inner = node("", "ThresholdedRelu", "a", NULL, "b");
    add_reference(&inner, "alpha", "level");
    nest(&f, 7, &inner);
    return f;
}

static void test_attributes(void)
{
    Proto f = threshold(), call = node("mine", "Threshold", "x", NULL, "y");
    Proto absent = model(&call, NULL, 0, &f, 1);
    gives("an attribute that the call lacks is absent in the body", &absent, 0, 4);
    add_float(&f, 11, "level", 3.5f);
    Proto by_default = model(&call, NULL, 0, &f, 1);
    gives("a function's default", &by_default, 0, 4);
    add_float(&call, 5, "level", 0.5f);
    Proto given = model(&call, NULL, 0, &f, 1);
    gives("an attribute of the call", &given, 1, 4);
}

/* F<i> calls F<i+1> twice; the last adds. */
static int doubling(Proto *f, int n, bool cycle)
{
    char name[8], next[8];
    for (int i = 0; i < n; i++) {
        bool last = i == n - 1 && !cycle;
        snprintf(name, sizeof name, "F%d", i);
        snprintf(next, sizeof next, "F%d", (i + 1) % n);
        f[i] = function(name);
        Proto one = last ? node("", "Add", "a", "a", "b") : node("mine", next, "a", NULL, "c");
        nest(&f[i], 7, &one);
        Proto two = node("mine", next, "c", NULL, "b");
        if (!last) nest(&f[i], 7, &two);
    }
    return n;
}

static void test_calls(void)
{
    Proto f[32], call = node("mine", "F0", "x", NULL, "y");
    Proto three = model(&call, NULL, 0, f, doubling(f, 3, false));
    gives("functions that call functions", &three, 16, 64);
    Proto cycle = model(&call, NULL, 0, f, doubling(f, 2, true));
    says("functions that call each other", &cycle, "calls are nested too deeply");
    Proto many = model(&call, NULL, 0, f, doubling(f, 24, false));
    says("a bomb of functions", &many, "more than 262144 nodes");
    Proto twice[2] = {threshold(), threshold()}, either = node("mine", "Threshold", "x", NULL, "y");
    Proto overloads = model(&either, NULL, 0, twice, 2);
    says("overloads", &overloads, "overloads of function Threshold are not supported");
    Proto bad = function("F0"), inner = node("", "Loop", "a", NULL, "b");
    nest(&bad, 7, &inner);
    Proto loop = model(&call, NULL, 0, &bad, 1);
    says("an operator within a function", &loop, "F0 #0 / Loop #0: operator Loop is not supported");
}

/* ---- branches ---- */

static Proto branch(const char *op)
{
    Proto g = {.n = 0}, n = node("", op, "x", "x", "r"), out = value_info("r");
    nest(&g, 1, &n);
    nest(&g, 12, &out);
    return g;
}

static Proto if_of(const char *condition)
{
    Proto n = node("", "If", condition, NULL, "y"), add = branch("Add"), mul = branch("Mul");
    Proto then = attribute("then_branch", GRAPH), other = attribute("else_branch", GRAPH);
    nest(&then, 6, &add);
    nest(&other, 6, &mul);
    nest(&n, 5, &then);
    nest(&n, 5, &other);
    return n;
}

static void test_branches(void)
{
    for (int yes = 0; yes < 2; yes++) {
        Proto c = {.n = 0}, n = if_of("c");
        unsigned char value = yes ? 3 : 0; /* any byte but 0 is true */
        number_field(&c, 1, 1);
        number_field(&c, 2, 9);
        text_field(&c, 8, "c");
        bytes_field(&c, 9, &value, 1);
        Proto m = model(&n, &c, 5, NULL, 0);
        gives("a constant condition", &m, yes ? 2 : 1, yes ? 8 : 16);
    }
    Proto n = if_of("x"), m = model(&n, NULL, 0, NULL, 0);
    says("a condition of data", &m, "If #0: its condition must be constant");
}

/* ---- weights ---- */

static void test_weights(void)
{
    static const uint16_t half[4] = {0x3c00, 0x4000, 0x4200, 0x4400}; /* 1 2 3 4 */
    static const uint16_t brain[4] = {0x3f80, 0x4000, 0x4040, 0x4080};
    static const double wide[4] = {1, 2, 3, 4};
    Proto n = node("", "Add", "x", "w", "y");
    Proto w[3] = {tensor("w", 10, half, 8), tensor("w", 16, brain, 8), tensor("w", 11, wide, 32)};
    for (int i = 0; i < 3; i++) {
        Proto m = model(&n, &w[i], 5, NULL, 0);
        gives("weights of another float type", &m, 2, 8);
    }
    Proto sparse = {.n = 0};
    nest(&sparse, 1, &w[0]);
    Proto m = model(&n, &sparse, 15, NULL, 0);
    says("sparse weights", &m, "initializer \"w\" is sparse: not supported");
}

int main(void)
{
    int fd = mkstemp(file);
    if (fd < 0) return 1;
    close(fd);
    test_attributes();
    test_calls();
    test_branches();
    test_weights();
    unlink(file);
    printf("onnx bodies: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The batch proof: where it succeeds, sample i of the batched graph equals the graph of one
 * sample on sample i; where samples are coupled it says so. */
#include "tests/passes/harness.h"

#include <string.h>

#define X(type) "%x = input {name=\"x\"} : f64" type "\n"

typedef struct Case {
    const char *name, *text, *fault; /* the fault is part of the message; NULL: independent */
} Case;

static const Case cases[] = {
    {"elementwise with a shared operand",
     X("[1,3]") "%c = const [1, 2, 3] : f64[1,3]\n"
                "%y = mul %x, %c : f64[1,3]\n",
     NULL},
    {"reshape", X("[1,6]") "%y = reshape %x : f64[1,2,3]\n", NULL},
    {"window and max",
     X("[1,2,5,5]") "%v = window %x {size=[3,3] strides=[2,2] dilations=[1,1]}"
                    " : f64[1,2,2,2,3,3]\n%y = max %v {axes=[4,5]} : f64[1,2,2,2,1,1]\n",
     NULL},
    {"matmul with weights",
     X("[1,3]") "%w = const [1, 2, 3, 4, 5, 6] : f64[3,2]\n"
                "%y = matmul %x, %w : f64[1,2]\n",
     NULL},
    {"matmul of two samples",
     X("[1,2,2]") "%w = const [1, 2, 3, 4] : f64[1,2,2]\n"
                  "%a = matmul %x, %w : f64[1,2,2]\n%y = matmul %w, %a : f64[1,2,2]\n",
     NULL},
    {"convolution",
     X("[1,2,3,3]") "%w = const [1, 2, 3, 4, 5, 6, 7, 8] : f64[1,2,2,2]\n"
                    "%c = conv %x, %w {strides=[1,1] pads=[0,0,0,0] dilations=[1,1] groups=1} : "
                    "f64[1,1,2,2]\n"
                    "%y = conv_dx %c, %w {strides=[1,1] pads=[0,0,0,0] dilations=[1,1] groups=1 "
                    "in=[3,3]}"
                    " : f64[1,2,3,3]\n",
     NULL},
    {"gather, pad, slice, reverse, scan",
     X("[1,4]") "%i = argsort %x {axis=1 k=2} : i64[1,2]\n"
                "%a = gather %x, %i {axis=1 batch=1} : f64[1,2]\n"
                "%b = pad %a {low=[0,1] high=[0,1] inner=[3,1] value=2} : f64[1,5]\n"
                "%c = slice %b {starts=[0,1] sizes=[1,3] steps=[5,1]} : f64[1,3]\n"
                "%d = reverse %c {axes=[1]} : f64[1,3]\n"
                "%y = scan %d {axis=1 reverse=0 exclusive=0} : f64[1,3]\n",
     NULL},
    {"indices of a shared table",
     X("[1,4]") "%t = const [9, 8, 7, 6] : f64[4]\n"
                "%m = argmax %x {axes=[1]} : i64[1,1]\n%i = reshape %m : i64[1]\n"
                "%a = gather %t, %i {axis=0 batch=0} : f64[1]\n%b = reshape %a : f64[1,1]\n"
                "%c = concat %x, %b {axis=1} : f64[1,5]\n%d = iota {axis=1} : f64[1,5]\n"
                "%y = add %c, %d : f64[1,5]\n",
     NULL},
    {"a shared scalar",
     X("[1,4]") "%e = input {name=\"eps\"} : f64[]\n%r = reshape %e : f64[1,1]\n"
                "%b = broadcast %r : f64[1,4]\n%y = mul %x, %b : f64[1,4]\n",
     NULL},
    {"an output that no sample reaches", X("[1,4]") "%y = const splat(2) : f64[1,3]\n", NULL},

    {"reshape drops the axis", X("[1,6]") "%y = reshape %x : f64[6]\n", "mixes the sample axis"},
    {"reshape to a scalar", X("[1]") "%y = reshape %x : f64[]\n", "mixes the sample axis"},
    {"transpose", X("[1,3]") "%y = transpose %x {perm=[1,0]} : f64[3,1]\n",
     "moves the sample axis"},
    {"broadcast", X("[1,3]") "%y = broadcast %x : f64[2,3]\n", "repeats the sample axis"},
    {"pad", X("[1,3]") "%y = pad %x {low=[1,0] high=[0,0] inner=[0,0] value=0} : f64[2,3]\n",
     "adds samples"},
    {"reverse", X("[1,3]") "%y = reverse %x {axes=[0]} : f64[1,3]\n", "reverse"},
    {"sum", X("[1,3]") "%y = sum %x {axes=[0,1]} : f64[1,1]\n", "over the sample axis"},
    {"scan", X("[1,3]") "%y = scan %x {axis=0 reverse=0 exclusive=0} : f64[1,3]\n", "along"},
    {"concat", X("[1,3]") "%y = concat %x, %x {axis=0} : f64[2,3]\n", "along the sample axis"},
    {"window", X("[1]") "%y = window %x {size=[1] strides=[1] dilations=[1]} : f64[1,1]\n",
     "windows over"},
    {"matmul", X("[1,1]") "%y = matmul %x, %x : f64[1,1]\n", "contracts the sample axis"},
    {"weights",
     X("[1,1,2,2]") "%y = conv %x, %x {strides=[1,1] pads=[0,0,0,0] dilations=[1,1]"
                    " groups=1} : f64[1,1,1,1]\n",
     "the weights of a convolution"},
    {"conv_dw",
     X("[1,1,2,2]") "%y = conv_dw %x, %x {strides=[1,1] pads=[0,0,0,0] dilations=[1,1]"
                    " groups=1 kernel=[1,1]} : f64[1,1,1,1]\n",
     "sums over samples"},
    {"scatter_add",
     X("[1,3]") "%i = const [0] : i64[1]\n"
                "%y = scatter_add %x, %i {axis=0 batch=0 size=1} : f64[1,3]\n",
     "adds up samples"},
    {"allreduce", X("[1,3]") "%y = allreduce %x : f64[1,3]\n", "other ranks"},
    {"extent 2", X("[2,3]") "%y = neg %x : f64[2,3]\n", "must be 1"},
};

enum { BATCH = 3 };

/* Evaluates one sample of the point q of the batched graph with the graph of one sample. */
static void compare_sample(Graph *one, const Point *q, int sample, const char *what)
{
    Point p = point_random(one, 0, 1);
    for (int i = 0; i < p.n; i++) {
        Type t = one->node[p.in[i]].type;
        int64_t n = type_count(t), from = t.rank ? sample * n : 0;
        memcpy(p.x[i], q->x[i] + from, sizeof(double) * (size_t)n);
    }
    Ref y1 = graph_find_output(one, "y"), yb = graph_find_output(q->g, "y");
    const double *want = point_value(&p, y1), *got = point_value(q, yb);
    int64_t n = type_count(one->node[y1].type);
    bool shared = type_count(q->g->node[yb].type) == n;
    for (int64_t j = 0; j < n; j++)
        expect_near(got[(shared ? 0 : sample * n) + j], want[j], 1e-14, what, "sample");
}

static void test_independent(const Case *c)
{
    Arena *a = arena_new();
    Row row = {.name = c->name, .text = c->text};
    Graph *one = read_row(a, &row), *many = pass_batch(a, one, BATCH);
    graph_verify(many, c->name);
    Point q = point_random(many, -1, 1);
    for (int i = 0; i < BATCH; i++) compare_sample(one, &q, i, c->name);
    arena_free(a);
}

static void run_batch(void *context)
{
    const Case *c = context;
    Arena *a = arena_new();
    err_defer((void (*)(void *))(void *)arena_free, a);
    Row row = {.name = c->name, .text = c->text};
    pass_batch(a, read_row(a, &row), BATCH);
    err_keep(a);
    arena_free(a);
}

static void test_coupled(const Case *c)
{
    char message[512] = "no error";
    bool ran = err_guard(run_batch, (void *)(uintptr_t)c, message, sizeof message);
    expect(!ran && strstr(message, c->fault), c->name, "%s", message);
}

void test_batch(void)
{
    for (int i = 0; i < COUNT(cases); i++)
        if (cases[i].fault)
            test_coupled(&cases[i]);
        else
            test_independent(&cases[i]);
}

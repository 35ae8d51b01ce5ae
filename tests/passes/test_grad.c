/* SPDX-License-Identifier: Apache-2.0 */
/* Derivatives against central differences, first and second order for every row, and the exact
 * <A x, y> = <x, A' y> for the linear ones; then what differences cannot show: ties, NaN, stop. */
#include "tests/passes/harness.h"

#include <math.h>
#include <string.h>

/* Compares d(scalar)/d(every element of every input) with the gradients. */
static void compare(Point *p, Ref scalar, const Ref *grad, double h, double tol, const char *what)
{
    for (int i = 0; i < p->n; i++) {
        const double *g = point_value(p, grad[i]);
        int64_t n = type_count(p->g->node[p->in[i]].type);
        for (int64_t j = 0; j < n; j++) {
            double *x = &p->x[i][j], old = *x, up, down;
            *x = old + h, up = point_value(p, scalar)[0];
            *x = old - h, down = point_value(p, scalar)[0];
            *x = old;
            expect_near(g[j], (up - down) / (2 * h), tol, what, "against differences");
        }
    }
}

/* A map that is linear in all inputs gives <A x, y> in total, one linear in each gives it for
 * each. */
static void adjoint_exact(const Point *p, Ref scalar, const Ref *grad, const Row *row)
{
    double image = point_value(p, scalar)[0], total = 0;
    for (int i = 0; i < p->n; i++) {
        double part = point_dot(p, grad[i], p->x[i]);
        total += part;
        if (row->linear == 'e') expect_near(part, image, 1e-12, row->name, "<Ax,y> = <x,A'y>");
    }
    if (row->linear == 'j') expect_near(total, image, 1e-12, row->name, "<Ax,y> = <x,A'y>");
}

static void differentiate(Graph *g, Ref scalar, const Point *p, Ref *grad)
{
    grad_append(g, 1, &scalar, NULL, p->n, p->in, grad);
    for (int i = 0; i < p->n; i++) check(type_eq(g->node[grad[i]].type, g->node[p->in[i]].type));
}

static void test_row(const Row *row)
{
    Arena *a = arena_new();
    Graph *g = read_row(a, row);
    bool ranged = row->lo != 0 || row->hi != 0;
    Point p = point_random(g, ranged ? row->lo : -1, ranged ? row->hi : 1);
    Ref grad[MAX_INPUTS], second[MAX_INPUTS], y = graph_find_output(g, "y");
    Ref s = random_functional(g, 1, &y);
    double h = row->h ? row->h : 1e-5;
    differentiate(g, s, &p, grad);
    compare(&p, s, grad, h, row->tol ? row->tol : 1e-6, row->name);
    if (row->linear) adjoint_exact(&p, s, grad, row);
    Ref s2 = random_functional(g, p.n, grad);
    differentiate(g, s2, &p, second);
    compare(&p, s2, second, h, 1e-5, arena_printf(a, "%s, second order", row->name));
    graph_verify(g, row->name);
    arena_free(a);
}

/* ---- every row of the table is tested ---- */

static bool has_row(const char *op)
{
    for (int i = 0; i < nrows; i++)
        if (!strcmp(rows[i].name, op)) return true;
    return false;
}

static void test_coverage(void)
{
    static const struct {
        const char *op, *rule;
    } table[] = {
#define OP(name, nargs, cls, shape, vjp, eval, ...) {#name, #vjp},
#include "ir/ops.def"
#undef OP
    };
    for (int i = 0; i < COUNT(table); i++)
        if (strcmp(table[i].rule, "none") && strcmp(table[i].rule, "stop"))
            expect(has_row(table[i].op), table[i].op, "has a derivative and no test");
}

/* ---- matters of choice ---- */

/* The gradient of y at x, where the body computes y from x, both f64[n]. */
static void expect_grad(const char *what, const char *body, int n, double *x, const double *want)
{
    Arena *a = arena_new();
    char *text = arena_printf(a, "%%x = input {name=\"x\"} : f64[%d]\n%s", n, body);
    Row row = {.name = what, .text = text};
    Graph *g = read_row(a, &row);
    Point p = point_random(g, 0, 1);
    p.x[0] = x;
    Ref grad;
    differentiate(g, graph_find_output(g, "y"), &p, &grad);
    const double *got = point_value(&p, grad);
    for (int i = 0; i < n; i++)
        expect(got[i] == want[i] || (isnan(got[i]) && isnan(want[i])), what,
               "element %d: %g, not %g", i, got[i], want[i]);
    arena_free(a);
}

static void test_choices(void)
{
    double x[] = {-1, 0, 2, NAN}, both[] = {2, 2, 2, 2}, zero[] = {0, 4, -3};
    expect_grad("relu at 0 is 0, at NaN 0",
                "%z = const splat(0) : f64[4]\n"
                "%y = max2 %x, %z : f64[4]\n",
                4, x, (double[]){0, 0, 1, 0});
    expect_grad("clip at its bounds is 1",
                "%l = const splat(-1) : f64[4]\n"
                "%h = const splat(2) : f64[4]\n%m = max2 %l, %x : f64[4]\n"
                "%y = min2 %h, %m : f64[4]\n",
                4, x, (double[]){1, 1, 1, 1});
    expect_grad("a tie of max goes to the first",
                "%m = max %x {axes=[0]} : f64[1]\n"
                "%y = broadcast %m : f64[4]\n",
                4, both, (double[]){4, 0, 0, 0});
    expect_grad("abs at 0 is 0", "%y = abs %x : f64[3]\n", 3, zero, (double[]){0, 1, -1});
    expect_grad("stop", "%s = stop %x : f64[4]\n%y = mul %x, %s : f64[4]\n", 4, both, both);
    expect_grad("pow(0, vector) has no NaN",
                "%c = const [0, 1, 2, 0] : f64[4]\n"
                "%y = pow %x, %c : f64[4]\n",
                4, (double[]){0, 0, 0, 3}, (double[]){0, 1, 0, 0});
    expect_grad("pow(2, x) at a base below 0",
                "%b = const [-2, 0, 1, 1] : f64[4]\n"
                "%y = pow %b, %x : f64[4]\n",
                4, (double[]){2, 2, 2, 2}, (double[]){0, 0, 0, 0});
    expect_grad("independent", "%y = const splat(3) : f64[2]\n", 2, both, (double[]){0, 0});
}

/* An interior node as wrt, a given cotangent, an output that is itself wrt. */
static void test_interface(void)
{
    Arena *a = arena_new();
    Row row = {.name = "interface",
               .text = "%x = input {name=\"x\"} : f64[2]\n"
                       "%m = exp %x : f64[2]\n%y = mul %m, %x : f64[2]\n"};
    Graph *g = read_row(a, &row);
    Point p = point_random(g, 0.5, 1);
    Ref y = graph_find_output(g, "y"), m = g->node[y].args[0];
    Ref cot = graph_splat(g, g->node[y].type, 3), zero = graph_splat(g, g->node[y].type, 0);
    Ref wrt[] = {p.in[0], m, y}, grad[3], none[3];
    grad_append(g, 1, &y, &cot, 3, wrt, grad);
    const double *dx = point_value(&p, grad[0]), *dm = point_value(&p, grad[1]);
    double x = p.x[0][0];
    expect_near(dx[0], 3 * (1 + x) * exp(x), 1e-14, "wrt input", "d");
    expect_near(dm[0], 3 * x, 1e-14, "wrt interior", "d");
    expect(grad[2] == cot, "wrt output", "is not the cotangent");
    uint32_t before = g->n;
    grad_append(g, 1, &y, &zero, 3, wrt, none);
    expect(g->n == before && none[0] == zero, "a zero cotangent", "makes nodes");
    arena_free(a);
}

void test_gradients(void)
{
    test_coverage();
    for (int i = 0; i < nrows; i++) test_row(&rows[i]);
    test_choices();
    test_interface();
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The graph IR by itself: guards and arenas, conversions, hash-consing, a good and a bad case of
 * every op's shape rule, text that reads back to itself, and text that must not crash the reader.
 * */
#include "ir/build.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int passed, failed;

static void expect_at(bool ok, int line, const char *what)
{
    passed += ok;
    failed += !ok;
    if (!ok) printf("test_graph.c:%d: %s\n", line, what);
}
#define EXPECT(c) expect_at((c), __LINE__, #c)

static char msg[512];

/* ---- guards and arenas ---- */

static int released;

static void release(void *p)
{
    (void)p;
    released++;
}

static void inner(void *p)
{
    err_defer(release, p);
    err("Conv_1", "bad %d", 7);
}

static void outer(void *p)
{
    int kept;
    err_defer(release, &kept);
    EXPECT(!err_guard(inner, p, msg, sizeof msg));
    EXPECT(!strcmp(msg, "Conv_1: bad 7") && released == 1);
    err_keep(&kept);
    err(NULL, "outer");
}

static void fine(void *p)
{
    err_defer(release, p);
}

static void test_guards(void)
{
    int x;
    char tiny[4];
    EXPECT(!err_guard(outer, &x, msg, sizeof msg) && !strcmp(msg, "outer") && released == 1);
    EXPECT(err_guard(fine, &x, msg, sizeof msg) && msg[0] == 0 && released == 1);
    EXPECT(!err_guard(inner, &x, tiny, sizeof tiny) && !strcmp(tiny, "Con"));
    EXPECT(!err_guard(inner, &x, NULL, 0));
}

static void use_arena(void *p)
{
    Arena *a = p;
    for (int i = 0; i < 100; i++) {
        char *s = arena_alloc(a, (size_t)(i * 977));
        for (int j = 0; j < i * 977; j++)
            if (s[j]) err(NULL, "not zeroed");
        if ((uintptr_t)s % 16) err(NULL, "not aligned");
        memset(s, 1, (size_t)(i * 977));
    }
}

static void test_arena(void)
{
    Arena *a = arena_new();
    uint32_t cap = 0, n = 0;
    int *v = NULL;
    EXPECT(err_guard(use_arena, a, msg, sizeof msg));
    for (; n < 1000; n++) {
        GROW(a, v, n, cap);
        v[n] = (int)n;
    }
    EXPECT(v[0] == 0 && v[999] == 999);
    arena_fail_after(5);
    EXPECT(!err_guard(use_arena, a, msg, sizeof msg) && strstr(msg, "out of memory"));
    arena_fail_after(-1);
    arena_free(a);
}

static bool prints(double v, const char *want)
{
    Str s = {0};
    str_double(&s, v);
    bool ok = !strcmp(s.s, want);
    str_free(&s);
    return ok;
}

static void test_text(void)
{
    int64_t p;
    EXPECT(prints(0.1, "0.1") && prints(-0.0, "-0"));
    EXPECT(prints(INFINITY, "inf") && prints(NAN, "nan"));
    EXPECT(prints(1.0 / 3, "0.3333333333333333") && prints(1e300, "1e+300"));
    EXPECT(mul_ok(3, 4, &p) && p == 12 && !mul_ok(-1, 4, &p) && !mul_ok(INT64_MAX, 2, &p));
    EXPECT(hash_bytes("abcdefghi", 9, 0) != hash_bytes("abcdefghj", 9, 0));
    EXPECT(hash_bytes("a\0", 2, 0) != hash_bytes("a", 1, 0));
    EXPECT(hash_bytes("a", 1, 0) != hash_bytes("a", 1, 1));
}

/* ---- conversions ---- */

/* The value of a half or bf16 by its definition. */
static double narrow_value(unsigned h, int man_bits)
{
    int exp_bits = 15 - man_bits, bias = (1 << (exp_bits - 1)) - 1, top = (1 << exp_bits) - 1;
    int e = (int)(h >> man_bits) & top, m = (int)h & ((1 << man_bits) - 1);
    double v = e == top ? (m ? NAN : INFINITY)
               : e      ? ldexp(m + (1 << man_bits), e - bias - man_bits)
                        : ldexp(m, 1 - bias - man_bits);
    return h & 0x8000 ? -v : v;
}

/* Each neighbour pair: below, at and above their middle, where the even one wins. */
static int narrow_faults(DType d, int man_bits)
{
    int bad = 0;
    unsigned inf = 0x7fffu >> man_bits << man_bits;
    for (unsigned h = 0; h < inf; h++) {
        double lo = narrow_value(h, man_bits), hi = narrow_value(h + 1, man_bits);
        if (h + 1 == inf) /* where infinity would stand were it a number */
            hi = 2 * lo - narrow_value(h - 1, man_bits);
        double mid = lo + (hi - lo) / 2;
        uint16_t got[6] = {0};
        elem_set(d, got, 0, lo);
        elem_set(d, got, 1, nextafter(mid, 0));
        elem_set(d, got, 2, mid);
        elem_set(d, got, 3, nextafter(mid, INFINITY));
        elem_set(d, got, 4, -mid);
        unsigned even = h & 1 ? h + 1 : h;
        bad += got[0] != h || got[1] != h || got[2] != even || got[3] != h + 1;
        bad += got[4] != (even | 0x8000);
    }
    return bad;
}

static int widen_faults(DType d, int man_bits)
{
    int bad = 0;
    for (unsigned h = 0; h < 65536; h++) {
        uint16_t bits = (uint16_t)h;
        double got = elem_get(d, &bits, 0), want = narrow_value(h, man_bits);
        bad += isnan(want) ? !isnan(got) : got != want || signbit(got) != signbit(want);
    }
    return bad;
}

static void test_conversions(void)
{
    int64_t i;
    int8_t c;
    EXPECT(widen_faults(DT_F16, 10) == 0 && narrow_faults(DT_F16, 10) == 0);
    EXPECT(widen_faults(DT_BF16, 7) == 0 && narrow_faults(DT_BF16, 7) == 0);
    EXPECT(float_to_half(INFINITY) == 0x7c00 && float_to_half(1e10f) == 0x7c00);
    EXPECT(isnan(half_to_float(float_to_half(NAN))) && isnan(bf16_to_float(float_to_bf16(NAN))));
    EXPECT(float_to_bf16(3.4e38f) == 0x7f80 && float_to_half(-0.0f) == 0x8000);
    elem_set(DT_I64, &i, 0, 1e30);
    EXPECT(i == INT64_MAX);
    elem_set(DT_I64, &i, 0, NAN);
    EXPECT(i == 0);
    elem_set(DT_I8, &c, 0, -2.9);
    EXPECT(c == -2);
    elem_set_int(DT_I8, &c, 0, 257);
    EXPECT(c == 1);
}

/* ---- hash-consing and origins ---- */

static Type f32_23(void)
{
    return type_of(DT_F32, 2, (int64_t[]){2, 3});
}

static void clash(void *p)
{
    b_param(p, "x", type_scalar(DT_F32));
}

static void test_consing(void)
{
    Arena *a = arena_new();
    Graph *g = graph_new(a, "g");
    Ref x = b_input(g, "x", f32_23()), y = b_input(g, "y", f32_23());
    EXPECT(x == b_input(g, "x", f32_23()) && x != y);
    EXPECT(graph_find_input(g, "y") == y && graph_find_input(g, "z") == NOREF);
    EXPECT(!err_guard(clash, g, msg, sizeof msg) && strstr(msg, "param: \"x\" exists"));
    EXPECT(b_binary(g, OP_add, x, y) == b_binary(g, OP_add, x, y));
    EXPECT(b_binary(g, OP_add, x, y) != b_binary(g, OP_add, y, x));
    EXPECT(b_reduce(g, OP_sum, x, 2, (int[]){1, 0}) == b_reduce(g, OP_sum, x, 2, (int[]){0, 1}));
    float same[6] = {1, 1, 1, 1, 1, 1}, zeros[6] = {0, 0, 0, 0, 0, -0.0f};
    EXPECT(graph_const(g, f32_23(), same) == graph_splat(g, f32_23(), 1));
    EXPECT(graph_const(g, f32_23(), zeros) != graph_splat(g, f32_23(), 0));
    EXPECT(b_like(g, x, NAN) == b_like(g, y, -NAN));
    for (int i = 0; i < 1000; i++) b_like(g, x, i);
    uint32_t n = g->n;
    for (int i = 0; i < 1000; i++) b_like(g, x, i);
    EXPECT(g->n == n);
    graph_verify(g, "test");
    arena_free(a);
}

static bool origin_is(const Graph *g, Ref r, const char *want)
{
    Str s = {0};
    graph_origin_text(g, r, &s);
    bool ok = !strcmp(s.s, want);
    if (!ok) printf("origin: %s\n", s.s);
    str_free(&s);
    return ok;
}

static void bad_add(void *p)
{
    Graph *g = p;
    b_binary(g, OP_add, 0, graph_splat(g, type_scalar(DT_F32), 0));
}

static void test_origins(void)
{
    Arena *a = arena_new(), *b = arena_new();
    Graph *g = graph_new(a, "g"), *h = graph_new(b, "h");
    Ref x = b_input(g, "x", f32_23());
    graph_set_origin(g, "Relu_3 (Relu)");
    Ref y = b_relu(g, x);
    graph_mark_grad(g);
    EXPECT(b_relu(g, x) == y);
    EXPECT(origin_is(g, x, "") && origin_is(g, y, "Relu_3 (Relu), gradient of Relu_3 (Relu)"));
    EXPECT(!err_guard(bad_add, g, msg, sizeof msg));
    EXPECT(strstr(msg, "gradient of Relu_3 (Relu): add: operands differ: f32[2,3] and f32[]"));
    Ref map[8];
    graph_set_origin(h, "Other");
    for (Ref r = 0; r < g->n; r++) map[r] = graph_copy(h, g, r, map);
    EXPECT(origin_is(h, map[y], "Relu_3 (Relu), gradient of Relu_3 (Relu)"));
    for (int i = 0; i < 50; i++) {
        graph_set_origin(h, arena_printf(b, "Node_%d", i));
        b_relu(h, map[x]);
    }
    EXPECT(h->origin[map[y]].n == 32);
    graph_verify(h, "copy");
    arena_free(a);
    arena_free(b);
}

/* ---- every op, good and bad, as text ---- */

static const char prelude[] = "graph t { # a comment\n"
                              "%x = input {name=\"x\"} : f32[2,4,8,8]\n"
                              "%w = param {name=\"w \\\"\\\\\\x01\"} : f32[6,2,3,3]\n"
                              "%dy = input {name=\"dy\"} : f32[2,6,4,4]\n"
                              "%a = input {name=\"a\"} : f32[2,3]\n"
                              "%b = input {name=\"b\"} : bool[2,3]\n"
                              "%i = input {name=\"i\"} : i64[2,3]\n"
                              "%m = input {name=\"m\"} : f32[3,5]\n"
                              "%seed = input {name=\"seed\"} : i64[]\n"
                              "%id = input {name=\"id\"} : i64[2]\n"
                              "%t = input {name=\"t\"} : i32[2]\n"
                              "%row = input {name=\"row\"} : f32[1,3] ; origin\n"
                              "%win = input {name=\"win\"} : f32[2,3,3,2,2]\n";

#define CONV "strides=[2,2] pads=[1,1,1,1] dilations=[1,1] groups=2"

typedef struct Case {
    Op op;
    const char *good, *bad; /* what follows the op's name */
} Case;

static const Case cases[] = {
    {OP_input, "{name=\"new\"} : f16[3]", "{name=\"x\"} : f32[3]"},
    {OP_input, "{name=\"scalar\"} : u8[]", "{name=\"new\"} : f32[0]"},
    {OP_const, "[1, 2.5, nan] : f32[3]", "[1, 2.5] : f32[3]"},
    {OP_const, "splat(-0) : f64[1000,1000]", "splat(0) : f64[1000000,1000000,1000]"},
    {OP_const, "[1, 0, 1] : bool[3]", "[1, 2] : bool[2]"},
    {OP_const, "[-9223372036854775808, 9223372036854775807] : i64[2]",
     "[9223372036854775808] : i64[1]"},
    {OP_const, "[0.1, 65504, 6e-08] : f16[3]", "hash(0x12) : f32[64]"},
    {OP_param, "{name=\"p\"} : bf16[3,4]", "{name=\"p\" shape=[3]} : f32[3]"},
    {OP_iota, "{axis=1} : i32[2,3]", "{axis=2} : i32[2,3]"},
    {OP_rng, "%seed, %id, %t {stream=7} : f32[2,3,8]", "%seed, %id, %id {stream=7} : f32[2,3,8]"},
    {OP_rng, "%seed, %id, %t {stream=7} : f32[2]", "%seed, %id, %t {stream=7} : f32[3,3]"},
    {OP_neg, "%a : f32[2,3]", "%b : bool[2,3]"},
    {OP_abs, "%i : i64[2,3]", "%b : bool[2,3]"},
    {OP_sign, "%a : f32[2,3]", "%a, %a : f32[2,3]"},
    {OP_exp, "%a : f32[2,3]", "%i : i64[2,3]"},
    {OP_log, "%a : f32[2,3]", "%i : i64[2,3]"},
    {OP_log1p, "%a : f32[2,3]", "%i : i64[2,3]"},
    {OP_sqrt, "%a : f32[2,3]", "%i : i64[2,3]"},
    {OP_tanh, "%a : f32[2,3]", "%i : i64[2,3]"},
    {OP_erf, "%a : f32[2,3]", "%i : i64[2,3]"},
    {OP_floor, "%a : f32[2,3]", "%i : i64[2,3]"},
    {OP_round, "%a : f32[2,3]", "%a : f32[3,2]"},
    {OP_not, "%b : bool[2,3]", "%a : f32[2,3]"},
    {OP_cast, "%a : i8[2,3]", "%a : i8[3,2]"},
    {OP_add, "%a, %a : f32[2,3]", "%a, %row : f32[2,3]"},
    {OP_sub, "%a, %a : f32[2,3]", "%a, %i : f32[2,3]"},
    {OP_mul, "%a, %a : f32[2,3]", "%a : f32[2,3]"},
    {OP_div, "%a, %a : f32[2,3]", "%b, %b : bool[2,3]"},
    {OP_pow, "%a, %a : f32[2,3]", "%i, %i : i64[2,3]"},
    {OP_max2, "%a, %a : f32[2,3]", "%b, %b : bool[2,3]"},
    {OP_min2, "%i, %i : i64[2,3]", "%a, %i : f32[2,3]"},
    {OP_lt, "%a, %a : bool[2,3]", "%a, %a : f32[2,3]"},
    {OP_le, "%a, %a : bool[2,3]", "%a, %i : bool[2,3]"},
    {OP_eq, "%i, %i : bool[2,3]", "%a, %row : bool[2,3]"},
    {OP_and, "%b, %b : bool[2,3]", "%a, %a : f32[2,3]"},
    {OP_or, "%b, %b : bool[2,3]", "%b, %a : bool[2,3]"},
    {OP_select, "%b, %a, %a : f32[2,3]", "%a, %a, %a : f32[2,3]"},
    {OP_select, "%b, %i, %i : i64[2,3]", "%b, %a, %i : f32[2,3]"},
    {OP_reshape, "%a : f32[6]", "%a : f32[7]"},
    {OP_reshape, "%a : f32[3,1,2]", "%a : i64[6]"},
    {OP_transpose, "%a {perm=[1,0]} : f32[3,2]", "%a {perm=[1,1]} : f32[3,3]"},
    {OP_transpose, "%m {perm=[0,1]} : f32[3,5]", "%a {perm=[1]} : f32[3]"},
    {OP_broadcast, "%row : f32[7,3]", "%a : f32[4,3]"},
    {OP_slice, "%m {starts=[1,0] sizes=[2,2] steps=[1,4]} : f32[2,2]",
     "%m {starts=[1,1] sizes=[2,2] steps=[1,4]} : f32[2,2]"},
    {OP_slice, "%m {starts=[2,4] sizes=[1,1] steps=[9,9]} : f32[1,1]",
     "%m {starts=[0,0] sizes=[2,3] steps=[1,6148914691236517205]} : f32[2,3]"},
    {OP_pad, "%a {low=[1,0] high=[0,2] inner=[1,0] value=-inf} : f32[4,5]",
     "%a {low=[-1,0] high=[0,2] inner=[1,0] value=0} : f32[2,5]"},
    {OP_pad, "%a {low=[0,0] high=[0,0] inner=[0,0] value=0.1} : f32[2,3]",
     "%a {low=[9223372036854775807,0] high=[9,2] inner=[1,0] value=0} : f32[2,5]"},
    {OP_reverse, "%a {axes=[0,1]} : f32[2,3]", "%a {axes=[1,0]} : f32[2,3]"},
    {OP_window, "%a {size=[2] strides=[1] dilations=[1]} : f32[2,2,2]",
     "%a {size=[2] strides=[1] dilations=[3]} : f32[2,1,2]"},
    {OP_window, "%x {size=[3,3] strides=[2,2] dilations=[1,1]} : f32[2,4,3,3,3,3]",
     "%x {size=[1,1,1,1,1] strides=[1] dilations=[1]} : f32[2]"},
    {OP_concat, "%a, %row {axis=0} : f32[3,3]", "%a, %row {axis=1} : f32[2,4]"},
    {OP_concat, "%a {axis=0} : f32[2,3]", "{axis=0} : f32[2,3]"},
    {OP_sum, "%x {axes=[1,2,3]} : f32[2,1,1,1]", "%x {axes=[1,1]} : f32[2,1,8,8]"},
    {OP_sum, "%a {axes=[]} : f32[2,3]", "%a {axes=[2]} : f32[2,3]"},
    {OP_prod, "%a {axes=[1]} : f32[2,1]", "%b {axes=[1]} : bool[2,1]"},
    {OP_max, "%a {axes=[1]} : f32[2,1]", "%a {axes=[-1]} : f32[2,1]"},
    {OP_min, "%a {axes=[1]} : f32[2,1]", "%a {} : f32[2,1]"},
    {OP_argmax, "%a {axes=[1]} : i64[2,1]", "%a {axes=[1]} : f32[2,1]"},
    {OP_scan, "%a {axis=1 reverse=1 exclusive=0} : f32[2,3]",
     "%a {axis=1 reverse=2 exclusive=0} : f32[2,3]"},
    {OP_fold, "%win {in=[4,4] strides=[1,1] dilations=[1,1]} : f32[2,4,4]",
     "%win {in=[5,5] strides=[1,1] dilations=[1,1]} : f32[2,5,5]"},
    {OP_argsort, "%a {axis=1 k=2} : i64[2,2]", "%a {axis=1 k=4} : i64[2,4]"},
    {OP_matmul, "%a, %m : f32[2,5]", "%m, %a : f32[3,3]"},
    {OP_conv, "%x, %w {" CONV "} : f32[2,6,4,4]",
     "%x, %w {strides=[1,1] pads=[1,1,1,1] dilations=[1,1] groups=1} : f32[2,6,8,8]"},
    {OP_conv, "%x, %w {strides=[1,1] pads=[0,0,0,0] dilations=[3,3] groups=2} : f32[2,6,2,2]",
     "%x, %w {strides=[1,1] pads=[0,0,0,0] dilations=[4,4] groups=2} : f32[2,6,1,1]"},
    {OP_conv, "%x, %w {strides=[3,1] pads=[0,0,1,0] dilations=[1,1] groups=2} : f32[2,6,3,6]",
     "%a, %m {strides=[] pads=[] dilations=[] groups=1} : f32[2,6]"},
    {OP_conv_dx, "%dy, %w {" CONV " in=[8,8]} : f32[2,4,8,8]",
     "%dy, %w {" CONV " in=[9,8]} : f32[2,4,9,8]"},
    {OP_conv_dx, "%dy, %w {" CONV " in=[7,7]} : f32[2,4,7,7]",
     "%dy, %w {strides=[2,2] pads=[1,1,1,1] dilations=[1,1] groups=4 in=[8,8]} : f32[2,8,8,8]"},
    {OP_conv_dw, "%x, %dy {" CONV " kernel=[3,3]} : f32[6,2,3,3]",
     "%x, %dy {" CONV " kernel=[5,5]} : f32[6,2,5,5]"},
    {OP_gather, "%x, %i {axis=1 batch=0} : f32[2,2,3,8,8]",
     "%x, %a {axis=1 batch=0} : f32[2,2,3,8,8]"},
    {OP_gather, "%x, %i {axis=1 batch=1} : f32[2,3,8,8]", "%x, %i {axis=0 batch=1} : f32[2,8,8]"},
    {OP_gather, "%a, %id {axis=1 batch=1} : f32[2]", "%m, %id {axis=1 batch=1} : f32[3]"},
    {OP_scatter_add, "%a, %i {axis=1 batch=1 size=9} : f32[2,9]",
     "%m, %i {axis=1 batch=1 size=9} : f32[2,9]"},
    {OP_scatter_add, "%a, %i {axis=0 batch=0 size=9} : f32[9]",
     "%a, %i {axis=1 batch=0 size=9} : f32[2,9]"},
    {OP_scatter_add, "%x, %id {axis=0 batch=0 size=5} : f32[5,4,8,8]",
     "%x, %id {axis=0 batch=0 size=-5} : f32[2,4,8,8]"},
    {OP_stop, "%b : bool[2,3]", "%a, %a : f32[2,3]"},
    {OP_allreduce, "%a : f32[2,3]", " : f32[2,3]"},
};

/* ---- reading under a guard ---- */

typedef struct Reading {
    const char *text, *sidecar;
    Arena *arena;
    Graph *g;
} Reading;

static void read_fn(void *p)
{
    Reading *r = p;
    r->g = graph_read(r->arena, r->text, "t.adj", r->sidecar);
}

/* True if it reads; the graph lives in r->arena, which the caller frees either way. */
static bool reads(Reading *r, const char *text, const char *sidecar)
{
    *r = (Reading){text, sidecar, arena_new(), NULL};
    return err_guard(read_fn, r, msg, sizeof msg);
}

static void test_case(const Case *c)
{
    for (int bad = 0; bad < 2; bad++) {
        Reading r;
        Str s = {0};
        str_fmt(&s, "%s%%z = %s %s\nreturn z=%%z\n}\n", prelude, op_info[c->op].name,
                bad ? c->bad : c->good);
        bool ok = reads(&r, s.s, NULL);
        EXPECT(ok != bad);
        if (ok == bad) printf("    %s: %s\n", ok ? s.s : msg, bad ? c->bad : c->good);
        if (bad) EXPECT(strstr(msg, "t.adj:14") == msg);
        arena_free(r.arena);
        str_free(&s);
    }
}

static void whole_text(Str *s)
{
    str_put(s, prelude);
    for (int i = 0; i < COUNT(cases); i++)
        str_fmt(s, "%%c%d = %s %s\n", i, op_info[cases[i].op].name, cases[i].good);
    str_fmt(s, "return logits=%%x, \"out put/0\"=%%c%d\n}\n", COUNT(cases) - 1);
}

static void test_round_trip(void)
{
    Str s = {0}, once = {0}, twice = {0}, shown = {0};
    Reading r, again, last;
    whole_text(&s);
    EXPECT(reads(&r, s.s, NULL));
    graph_verify(r.g, "reading");
    graph_print(&once, r.g);
    EXPECT(reads(&again, once.s, NULL));
    graph_print(&twice, again.g);
    EXPECT(!strcmp(once.s, twice.s));
    graph_print_origins(&shown, r.g);
    EXPECT(strstr(shown.s, " ; t.adj:14\n") != NULL);
    EXPECT(reads(&last, shown.s, NULL) && last.g->n == r.g->n);
    EXPECT(strstr(once.s, "%1 = param {name=\"w \\\"\\\\\\x01\"} : f32[6,2,3,3]\n") != NULL);
    EXPECT(strstr(once.s, "= const [0.1, 65504, 6e-08] : f16[3]\n") != NULL);
    bool used[OP_COUNT] = {0};
    for (Ref i = 0; i < r.g->n; i++) used[r.g->node[i].op] = true;
    for (int op = 0; op < OP_COUNT; op++) EXPECT(used[op]);
    arena_free(r.arena);
    arena_free(again.arena);
    arena_free(last.arena);
    str_free(&s), str_free(&once), str_free(&twice), str_free(&shown);
}

static void test_sidecar(const char *path)
{
    Arena *a = arena_new();
    Graph *g = graph_new(a, "big");
    float data[100];
    for (int i = 0; i < 100; i++) data[i] = (float)i / 7;
    graph_output(g, "w", graph_const(g, type_of(DT_F32, 2, (int64_t[]){10, 10}), data));
    graph_output(g, "v", graph_const(g, type_of(DT_U8, 1, (int64_t[]){99}), data));
    Str s = {0};
    graph_print(&s, g);
    Reading r;
    EXPECT(graph_write_consts(g, path) && reads(&r, s.s, path));
    EXPECT(r.g && !memcmp(r.g->node[0].value->data, data, sizeof data));
    arena_free(r.arena);
    EXPECT(!reads(&r, s.s, NULL) && strstr(msg, "needs the file of constants"));
    arena_free(r.arena);
    EXPECT(!reads(&r, s.s, "/nonexistent") && strstr(msg, "cannot be opened"));
    arena_free(r.arena);
    str_free(&s);
    arena_free(a);
}

/* ---- hostile input ---- */

static uint64_t seed = 1;

static uint32_t rnd(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static void mutate(char *text, size_t n)
{
    static const char chars[] = "%={}[](),:\"\\#; \n-0123456789xefi\xff";
    for (uint32_t edits = 1 + rnd(4); edits; edits--) {
        uint32_t at = rnd((uint32_t)n), kind = rnd(3);
        if (kind == 0)
            text[at] = chars[rnd(sizeof chars - 1)];
        else if (kind == 1)
            memmove(text + at, text + at + 1, n - at);
        else if (at + 8 < n)
            memmove(text + at, text + rnd((uint32_t)n - 8), rnd(8));
    }
}

static void test_hostile(void)
{
    static const char *const texts[] = {
        "",
        "graph",
        "graph g",
        "graph g {",
        "graph g {\nreturn",
        "graph g {\n%0 = ",
        "graph \"",
        "graph \"\\x",
        "graph \"\\",
        "graph g {}",
        "}",
        "\xff\xfe",
        "graph g {\n%0 = const [",
        "graph g {\n%0 = const splat(1e999999) : i8[1]\nreturn}",
        "graph g {\n%0 = input {name=\"x\"} : f32[99999999999999999999]\nreturn}",
        "graph g {\n%0 = input {name=\"\"} : f32[1]\nreturn}",
        "graph g {\n%0 = input {name=\"\\x00\"} : f32[1]\nreturn}",
        "graph g {\n%0 = add %0, %0 : f32[]\nreturn}",
        "graph g { return a=%0 }"};
    Reading r;
    for (int i = 0; i < COUNT(texts); i++) {
        EXPECT(!reads(&r, texts[i], NULL));
        arena_free(r.arena);
    }
    Str good = {0};
    whole_text(&good);
    int survived = 0, rounds = 4000;
    for (int i = 0; i < rounds; i++) {
        char *text = strdup(good.s);
        mutate(text, good.n);
        survived += reads(&r, text, NULL);
        if (r.g) graph_verify(r.g, "a mutation");
        arena_free(r.arena);
        free(text);
    }
    EXPECT(survived > 0 && survived < rounds);
    str_free(&good);
}

static void test_hostile_sidecar(const char *path)
{
    static const char magic[] = "ADJCONST\1\0\0\0\0\0\0";
    const char *text = "graph g {\n%0 = const hash(0x0) : f32[64]\nreturn a=%0\n}\n";
    unsigned char file[16 + 8 + 96 + 300];
    Reading r;
    for (int i = 0; i < 500; i++) {
        size_t n = rnd(sizeof file + 1);
        for (size_t j = 0; j < sizeof file; j++) file[j] = (unsigned char)(rnd(3) ? 0 : rnd(256));
        memcpy(file, magic, 16);
        FILE *f = fopen(path, "wb");
        if (!f || fwrite(file, 1, n, f) != n || fclose(f)) {
            EXPECT(!"the sidecar can be written");
            return;
        }
        if (reads(&r, text, path)) EXPECT(!"a random sidecar was believed");
        arena_free(r.arena);
    }
    remove(path);
}

static void test_exhaustion(void)
{
    Str s = {0};
    whole_text(&s);
    long n = 0;
    for (bool ok = false; !ok && n < 100000; n += 7) {
        Reading r = {s.s, NULL, arena_new(), NULL};
        arena_fail_after(n);
        ok = err_guard(read_fn, &r, msg, sizeof msg);
        arena_fail_after(-1);
        if (!ok && !strstr(msg, "out of memory")) EXPECT(!"only memory runs out");
        arena_free(r.arena);
    }
    EXPECT(n > 100 && n < 100000);
    str_free(&s);
}

/* ---- compositions ---- */

static Type made(const Graph *g, Ref r)
{ /* g->node may move while r is made */
    return g->node[r].type;
}

static void test_build(void)
{
    Arena *a = arena_new();
    Graph *g = graph_new(a, "g");
    Ref x = b_input(g, "x", f32_23());
    Ref col = b_input(g, "col", type_of(DT_F32, 2, (int64_t[]){2, 1}));
    Ref row = b_input(g, "row", type_of(DT_F32, 1, (int64_t[]){3}));
    b_align(g, &col, &row);
    EXPECT(type_eq(g->node[col].type, f32_23()) && type_eq(g->node[row].type, f32_23()));
    EXPECT(b_broadcast_to(g, x, f32_23()) == x && b_cast(g, x, DT_F32) == x);
    Ref parts[100];
    for (int i = 0; i < 100; i++) parts[i] = x;
    EXPECT(made(g, b_concat(g, 100, parts, 0)).dim[0] == 200);
    EXPECT(made(g, b_sum_samples(g, x)).dim[1] == 1);
    Ref idx = b_input(g, "idx", type_of(DT_I64, 1, (int64_t[]){2}));
    EXPECT(made(g, b_onehot(g, idx, f32_23())).dtype == DT_BOOL);
    EXPECT(made(g, b_slice_axis(g, x, 1, 0, 2, 2)).dim[1] == 2);
    graph_verify(g, "building");
    arena_free(a);
}

/* Weights are told apart by their number, whatever they hold. */
static void test_weights(void)
{
    Arena *a = arena_new();
    Graph *g = graph_new(a, "weights"), *h = graph_new(a, "weights");
    float ones[6] = {1, 1, 1, 1, 1, 1}, other[6] = {0, 1, 2, 3, 4, 5};
    Ref w = graph_weight(g, f32_23(), ones, 1);
    EXPECT(w != graph_const(g, f32_23(), ones) && w != graph_splat(g, f32_23(), 1));
    EXPECT(w != graph_weight(g, f32_23(), ones, 2));
    EXPECT(w == graph_weight(g, f32_23(), ones, 1) && !g->node[w].value->splat);
    graph_verify(g, "weights");
    Str one = {0}, two = {0};
    Graph *k = graph_new(a, "weights");
    graph_output(h, "y", graph_weight(h, f32_23(), other, 1));
    graph_output(k, "y", graph_copy(k, g, w, NULL));
    graph_print(&one, k);
    graph_print(&two, h);
    EXPECT(!strcmp(one.s, two.s));
    str_free(&one);
    str_free(&two);
    arena_free(a);
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "test_graph.consts";
    test_guards();
    test_arena();
    test_text();
    test_conversions();
    test_consing();
    test_origins();
    test_weights();
    for (int i = 0; i < COUNT(cases); i++) test_case(&cases[i]);
    test_round_trip();
    test_sidecar(path);
    test_hostile();
    test_hostile_sidecar(path);
    test_exhaustion();
    test_build();
    printf("ir: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the kernel IR: index simplification and its ranges against brute force, layouts,
 * scheduling, the interpreter against naive loops, text, the verifier, and a hand-made module. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ir/eval.h"
#include "ir/module.h"

static int passed, failed;
static Arena *arena;

static void check_at(bool ok, int line, const char *what)
{
    if (ok)
        passed++;
    else if (++failed < 40)
        printf("test_kernel.c:%d: %s\n", line, what);
}

#define CHECK(x) check_at((x), __LINE__, #x)

static uint64_t state = 88172645463325252u;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static int64_t pick(int64_t n)
{ /* in [0, n) */
    return (int64_t)(next() >> 11) % n;
}

/* ---- expressions evaluated directly ---- */

static int64_t fdiv(int64_t a, int64_t b)
{
    return (int64_t)floor((double)a / (double)b);
}

static int64_t value(const Kernel *k, KRef r, const int64_t *axis)
{
    const KExpr *e = &k->expr[r];
    int64_t a = e->nargs > 0 ? value(k, e->arg[0], axis) : 0;
    int64_t b = e->nargs > 1 ? value(k, e->arg[1], axis) : 0;
    switch (e->kop) {
    case K_AXIS: return axis[e->imm.i];
    case K_CONST: return e->imm.i;
    case K_DIV: return fdiv(a, e->imm.i);
    case K_MOD: return a - e->imm.i * fdiv(a, e->imm.i);
    default: break;
    }
    switch (e->op) {
    case OP_add: return a + b;
    case OP_mul: return a * b;
    case OP_lt: return a < b;
    case OP_le: return a <= b;
    case OP_and: return a & b;
    case OP_max2: return a > b ? a : b;
    case OP_min2: return a < b ? a : b;
    default: die("unexpected %s", op_info[e->op].name);
    }
}

/* The same expression twice: as built, and as a plain tree. */
typedef struct Tree {
    char op; /* x axis, c constant, + * / % */
    int64_t n;
    struct Tree *a, *b;
    KRef ref;
} Tree;

static int64_t tree_value(const Tree *t, const int64_t *axis)
{
    switch (t->op) {
    case 'x': return axis[t->n];
    case 'c': return t->n;
    case '+': return tree_value(t->a, axis) + tree_value(t->b, axis);
    case '*': return tree_value(t->a, axis) * t->n;
    case '/': return fdiv(tree_value(t->a, axis), t->n);
    default: return tree_value(t->a, axis) - t->n * fdiv(tree_value(t->a, axis), t->n);
    }
}

static const int64_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 17, 32};

static Tree *leaf(Kernel *k, Arena *a)
{
    Tree *t = NEW(a, Tree);
    t->op = pick(4) ? 'x' : 'c';
    t->n = t->op == 'x' ? pick(k->naxis) : pick(41) - 20;
    t->ref = t->op == 'x' ? kx_axis(k, (int)t->n) : kx_int(k, t->n);
    return t;
}

static Tree *random_tree(Kernel *k, Arena *a, int depth)
{
    if (!depth || !pick(6)) return leaf(k, a);
    Tree *t = NEW(a, Tree);
    t->op = "++*//%%"[pick(7)];
    t->a = random_tree(k, a, depth - 1);
    t->n = t->op == '*' ? pick(33) - 8 : sizes[pick(COUNT(sizes))];
    if (t->op == '+') {
        t->b = random_tree(k, a, depth - 1);
        t->ref = kx_add(k, t->a->ref, t->b->ref);
    } else {
        t->ref = t->op == '*'   ? kx_mulc(k, t->a->ref, t->n)
                 : t->op == '/' ? kx_div(k, t->a->ref, t->n)
                                : kx_mod(k, t->a->ref, t->n);
    }
    return t;
}

/* Steps through all values of all axes; false at the end. */
static bool step(const Kernel *k, int64_t *axis)
{
    for (int i = k->naxis; i-- > 0;) {
        if (++axis[i] < k->axis[i].extent) return true;
        axis[i] = 0;
    }
    return false;
}

static bool tree_agrees(const Kernel *k, const Tree *t)
{
    int64_t axis[MAX_AXES] = {0};
    const KExpr *e = &k->expr[t->ref];
    do {
        int64_t want = tree_value(t, axis), got = value(k, t->ref, axis);
        if (want != got || got < e->lo || got > e->hi) return false;
    } while (step(k, axis));
    return true;
}

static bool bounds_agree(Kernel *k, const Tree *t)
{
    int64_t lo = pick(30) - 15, hi = lo + pick(40), axis[MAX_AXES] = {0};
    KRef in = kx_in_range(k, t->ref, lo, hi);
    do {
        int64_t v = tree_value(t, axis);
        if ((v >= lo && v < hi) != (in == NOK || value(k, in, axis))) return false;
    } while (step(k, axis));
    return true;
}

static void random_axes(Kernel *k)
{
    for (int i = 0; i < 3; i++)
        kernel_axis(k, (char[]){(char)('a' + i), 0}, AX_SEQ, sizes[pick(9)], false);
}

static void test_random_indices(void)
{
    for (int i = 0; i < 6000; i++) {
        Arena *a = arena_new();
        Kernel *k = kernel_new(a);
        random_axes(k);
        Tree *t = random_tree(k, a, 1 + (int)pick(6));
        CHECK(tree_agrees(k, t));
        CHECK(bounds_agree(k, t));
        arena_free(a);
    }
}

/* ---- what must become simple ---- */

static KRef flatten(Kernel *k, int n, const KRef *digit, const int64_t *dim)
{
    KRef e = kx_int(k, 0);
    for (int i = 0; i < n; i++) e = kx_add(k, kx_mulc(k, e, dim[i]), digit[i]);
    return e;
}

static void unflatten(Kernel *k, KRef flat, int n, KRef *digit, const int64_t *dim)
{
    for (int i = n; i-- > 0;) {
        digit[i] = kx_mod(k, flat, dim[i]);
        flat = kx_div(k, flat, dim[i]);
    }
}

/* Flattening and going back gives the axes; through another shape of the same size it is the
 * same. */
static void test_reshapes(void)
{
    for (int i = 0; i < 300; i++) {
        Arena *a = arena_new();
        Kernel *k = kernel_new(a);
        int64_t dim[3], prime[6], other[3] = {1, 1, 1};
        KRef axis[3], back[3], via[3];
        for (int d = 0; d < 3; d++) {
            prime[2 * d] = 1 + pick(4);
            prime[2 * d + 1] = 1 + pick(5);
            dim[d] = prime[2 * d] * prime[2 * d + 1];
            axis[d] = kx_axis(k, kernel_axis(k, "x", AX_SEQ, dim[d], false));
        }
        for (int p = 0; p < 6; p++) other[pick(3)] *= prime[p];
        KRef flat = flatten(k, 3, axis, dim);
        unflatten(k, flat, 3, back, dim);
        for (int d = 0; d < 3; d++) CHECK(back[d] == axis[d]);
        unflatten(k, flat, 3, via, other);
        CHECK(flatten(k, 3, via, other) == flat);
        arena_free(a);
    }
}

static void test_simple_indices(void)
{
    Kernel *k = kernel_new(arena);
    KRef cb = kx_axis(k, kernel_axis(k, "cb", AX_SEQ, 4, false));
    KRef y = kx_axis(k, kernel_axis(k, "y", AX_SEQ, 7, false));
    KRef x = kx_axis(k, kernel_axis(k, "x", AX_SEQ, 9, false));
    KRef cv = kx_axis(k, kernel_axis(k, "cv", AX_VEC, 16, false));
    KRef c = kx_add(k, cv, kx_mulc(k, cb, 16)), yx = kx_add(k, kx_mulc(k, y, 9), x);
    CHECK(kx_div(k, c, 16) == cb && kx_mod(k, c, 16) == cv);
    CHECK(kx_div(k, c, 64) == kx_int(k, 0) && kx_mod(k, c, 64) == c);
    CHECK(kx_div(k, yx, 9) == y && kx_mod(k, yx, 9) == x);
    CHECK(kx_div(k, yx, 18) == kx_div(k, y, 2));
    KRef z = kx_axis(k, kernel_axis(k, "z", AX_SEQ, 100, false));
    CHECK(kx_div(k, kx_div(k, z, 4), 5) == kx_div(k, z, 20));
    CHECK(kx_div(k, kx_addc(k, kx_div(k, z, 4), 3), 5) == kx_div(k, kx_addc(k, z, 12), 20));
    CHECK(kx_mod(k, kx_mod(k, yx, 20), 5) == kx_mod(k, yx, 5));
    CHECK(kx_div(k, kx_mod(k, yx, 20), 5) == kx_mod(k, kx_div(k, yx, 5), 4));
    CHECK(kx_add(k, y, x) == kx_add(k, x, y));
    CHECK(kx_add(k, kx_add(k, y, x), kx_mulc(k, y, -1)) == x);
    CHECK(kx_in_range(k, y, 0, 7) == NOK && kx_is_false(k, kx_in_range(k, y, 7, 9)));
    CHECK(kx_in_range(k, kx_addc(k, y, -1), 0, 9) == kx_in_range(k, y, 1, 9));
    CHECK(kx_is_false(k, kx_and(k, kx_in_range(k, y, 1, 4), kx_in_range(k, x, 9, 10))));
    KRef in = kx_in_range(k, y, 1, 4);
    CHECK(kx_and(k, in, NOK) == in && kx_and(k, NOK, NOK) == NOK && kx_and(k, in, in) == in);
}

static KRef eval2(Kernel *k, Op op, DType d, KRef a, KRef b)
{
    return kx_eval(k, op, d, 2, (KRef[]){a, b});
}

static void test_folding(void)
{
    Kernel *k = kernel_new(arena);
    Layout four = layout_plain(type_of(DT_F32, 1, (int64_t[]){4}));
    KRef i = kx_axis(k, kernel_axis(k, "i", AX_SEQ, 4, false));
    int p = kernel_param(k, (KParam){.dtype = DT_F32, .layout = four, .in = true});
    KRef v = kx_load(k, p, 1, &i, NOK, 0), zero = kx_const(k, DT_F32, 0);
    KRef one = kx_const(k, DT_F32, 1), no = kx_const(k, DT_BOOL, 0);
    CHECK(eval2(k, OP_mul, DT_F32, v, one) == v && eval2(k, OP_mul, DT_F32, one, v) == v);
    CHECK(eval2(k, OP_add, DT_F32, v, zero) != v); /* -0 + 0 is 0 */
    CHECK(eval2(k, OP_add, DT_F32, v, kx_const(k, DT_F32, -0.0)) == v);
    CHECK(eval2(k, OP_sub, DT_F32, v, zero) == v);
    CHECK(eval2(k, OP_add, DT_F32, one, one) == kx_const(k, DT_F32, 2));
    KRef third = eval2(k, OP_div, DT_F32, one, kx_const(k, DT_F32, 3));
    CHECK(k->expr[third].imm.f == 1.0f / 3);
    CHECK(kx_load(k, p, 1, &i, no, 2) == kx_const(k, DT_F32, 2));
    CHECK(kx_load(k, p, 1, &i, kx_const(k, DT_BOOL, 1), 2) == v);
    CHECK(kx_eval(k, OP_select, DT_F32, 3, (KRef[]){no, one, v}) == v);
    CHECK(eval2(k, OP_max2, DT_I64, i, kx_int(k, 0)) == i);
    CHECK(eval2(k, OP_min2, DT_I64, i, kx_int(k, 2)) != i);
    CHECK(eval2(k, OP_sub, DT_I64, i, i) == kx_int(k, 0));
    CHECK(reduce_init(OP_max, DT_F32) == -INFINITY && reduce_init(OP_min, DT_U8) == 255);
}

/* ---- layouts ---- */

static Type random_type(DType d)
{
    Type t = {.dtype = d, .rank = 2 + (int)pick(4)};
    for (int i = 0; i < t.rank; i++) t.dim[i] = 1 + pick(5);
    t.dim[1] = 8 * (1 + pick(3));
    return t;
}

static Layout random_layout(Type t)
{
    int64_t low[8], high[8];
    for (int i = 0; i < 8; i++) {
        low[i] = pick(3);
        high[i] = pick(3);
    }
    Layout l = layout_plain(t);
    if (pick(3))
        l = pick(2) ? layout_blocked(t, pick(2) ? 8 : 4, low, high) : layout_halo(t, low, high);
    l.bits = t.dtype == DT_BOOL && l.digit[l.ndigit - 1].extent % 8 == 0;
    return l;
}

static void test_pack(Type t)
{
    Layout l = random_layout(t);
    size_t n = (size_t)type_bytes(t), m = (size_t)layout_bytes(&l, t.dtype);
    uint8_t *dense = NEW_N(arena, uint8_t, n), *back = NEW_N(arena, uint8_t, n);
    uint8_t *packed = NEW_N(arena, uint8_t, m), set = 0;
    for (size_t i = 0; i < n; i++)
        dense[i] = t.dtype == DT_BOOL ? (uint8_t)pick(2) : (uint8_t)(1 + pick(255));
    memset(packed, 0xff, m);
    layout_pack(&l, t, dense, packed);
    layout_unpack(&l, t, packed, back);
    CHECK(!memcmp(dense, back, n));
    size_t cells = 0, want = 0;
    for (size_t i = 0; i < n; i++) want += dense[i] != 0;
    for (size_t i = 0; i < m; i++)
        for (set = packed[i]; set; set = l.bits ? (uint8_t)(set & (set - 1)) : 0) cells++;
    CHECK(cells == want); /* halo and padding are zero */
    CHECK(layout_eq(&l, &l));
}

static void test_layouts(void)
{
    static const DType dtypes[] = {DT_F64, DT_F32, DT_BF16, DT_U8, DT_BOOL};
    for (int i = 0; i < 300; i++) test_pack(random_type(dtypes[pick(COUNT(dtypes))]));
    Type t = type_of(DT_F32, 4, (int64_t[]){8, 64, 32, 32});
    Layout l = layout_blocked(t, 16, (int64_t[]){1, 1}, (int64_t[]){1, 1});
    Str s = {0};
    layout_text(&s, &l);
    CHECK(!strcmp(s.s, "{0 1/16 2+1:34 3+1:34 1%16}"));
    CHECK(layout_cells(&l) == 8 * 64 * 34 * 34 && layout_has_halo(&l));
    CHECK(layout_address(&l, (int64_t[]){1, 17, -1, 0}) ==
          ((((int64_t)1 * 4 + 1) * 34 + 0) * 34 + 1) * 16 + 1);
    Layout behind = layout_halo(t, (int64_t[]){0, 0}, (int64_t[]){1, 0});
    CHECK(layout_has_halo(&behind) && !layout_eq(&behind, &l));
    str_free(&s);
}

/* ---- a convolution three ways ---- */

typedef struct Conv {
    int64_t n, ic, oc, h, w, k, stride, pad, oh, ow;
} Conv;

static Type conv_x(const Conv *c)
{
    return type_of(DT_F32, 4, (int64_t[]){c->n, c->ic, c->h, c->w});
}

static Type conv_w(const Conv *c)
{
    return type_of(DT_F32, 4, (int64_t[]){c->oc, c->ic, c->k, c->k});
}

static Type conv_y(const Conv *c)
{
    return type_of(DT_F32, 4, (int64_t[]){c->n, c->oc, c->oh, c->ow});
}

static int add_param(Kernel *k, Type t, Layout l, bool out)
{
    return kernel_param(
        k, (KParam){.dtype = t.dtype, .layout = l, .sample = true, .out = out, .in = !out});
}

static KRef tap(Kernel *k, const Conv *c, int loop, int red)
{
    KRef e = kx_mulc(k, kx_axis(k, loop), c->stride);
    e = kx_add(k, e, kx_axis(k, red));
    return kx_addc(k, e, -c->pad);
}

/* y = relu(conv(x, w)); a guard where x has no halo. */
static Kernel *conv_kernel(const Conv *c, Layout x, Layout y, bool guarded)
{
    static const char *const names[] = {"n", "c", "h", "w", "ic", "kh", "kw"};
    const int64_t extent[] = {c->n, c->oc, c->oh, c->ow, c->ic, c->k, c->k};
    Kernel *k = kernel_new(arena);
    k->name = "conv";
    for (int i = 0; i < 7; i++)
        kernel_axis(k, names[i], i < 4 ? AX_SEQ : AX_RED, extent[i], i == 0);
    KRef a[7];
    for (int i = 0; i < 7; i++) a[i] = kx_axis(k, i);
    int px = add_param(k, conv_x(c), x, false);
    int pw = add_param(k, conv_w(c), layout_plain(conv_w(c)), false);
    int py = add_param(k, conv_y(c), y, true);
    k->param[pw].sample = false;
    KRef at[4] = {a[0], a[4], tap(k, c, 2, 5), tap(k, c, 3, 6)}, guard = NOK;
    if (guarded) { /* one builder a statement: the order of the expressions is the text's */
        guard = kx_in_range(k, at[2], 0, c->h);
        guard = kx_and(k, guard, kx_in_range(k, at[3], 0, c->w));
    }
    KRef v = kx_load(k, px, 4, at, guard, 0);
    KRef w = kx_load(k, pw, 4, (KRef[]){a[1], a[4], a[5], a[6]}, NOK, 0);
    k->heavy = kx_reduce(k, OP_sum, DT_F32, eval2(k, OP_mul, DT_F32, v, w), NOK);
    k->store[k->nstore++] =
        (KStore){.param = py,
                 .rank = 4,
                 .index = {a[0], a[1], a[2], a[3]},
                 .value = eval2(k, OP_max2, DT_F32, k->heavy, kx_const(k, DT_F32, 0))};
    return k;
}

static float conv_at(const Conv *c, const float *x, const float *w, const int64_t *o)
{
    float sum = 0;
    for (int64_t i = 0; i < c->ic * c->k * c->k; i++) {
        int64_t ic = i / (c->k * c->k), kh = i / c->k % c->k, kw = i % c->k;
        int64_t h = o[2] * c->stride + kh - c->pad, v = o[3] * c->stride + kw - c->pad;
        bool in = h >= 0 && h < c->h && v >= 0 && v < c->w;
        float xv = in ? x[((o[0] * c->ic + ic) * c->h + h) * c->w + v] : 0;
        sum = fmaf(xv, w[((o[1] * c->ic + ic) * c->k + kh) * c->k + kw], sum);
    }
    return sum > 0 ? sum : 0;
}

typedef struct ConvData {
    Conv c;
    Layout x, y;
    float *dense_x, *w, *want, *got;
    void *px, *py;
} ConvData;

static float *random_floats(int64_t n, bool whole)
{
    float *f = NEW_N(arena, float, n);
    for (int64_t i = 0; i < n; i++)
        f[i] = whole ? (float)(pick(7) - 3) : (float)((double)pick(1 << 20) / (1 << 19) - 1);
    return f;
}

static ConvData conv_data(Conv c, Layout x, Layout y, bool whole)
{
    ConvData d = {.c = c, .x = x, .y = y};
    d.dense_x = random_floats(type_count(conv_x(&c)), whole);
    d.w = random_floats(type_count(conv_w(&c)), whole);
    d.want = NEW_N(arena, float, type_count(conv_y(&c)));
    d.got = NEW_N(arena, float, type_count(conv_y(&c)));
    int64_t o[4], at = 0;
    for (o[0] = 0; o[0] < c.n; o[0]++)
        for (o[1] = 0; o[1] < c.oc; o[1]++)
            for (o[2] = 0; o[2] < c.oh; o[2]++)
                for (o[3] = 0; o[3] < c.ow; o[3]++) d.want[at++] = conv_at(&c, d.dense_x, d.w, o);
    d.px = arena_alloc(arena, (size_t)layout_bytes(&x, DT_F32));
    d.py = arena_alloc(arena, (size_t)layout_bytes(&y, DT_F32));
    layout_pack(&x, conv_x(&c), d.dense_x, d.px);
    return d;
}

static bool conv_runs(ConvData *d, const Kernel *k)
{
    KMem mem[] = {{d->px, 0}, {d->w, 0}, {d->py, 0}};
    kernel_verify(k);
    memset(d->py, 0xff, (size_t)layout_bytes(&d->y, DT_F32));
    kernel_eval(k, mem, NULL, 0, d->c.n);
    layout_unpack(&d->y, conv_y(&d->c), d->py, d->got);
    return !memcmp(d->want, d->got, sizeof(float) * (size_t)type_count(conv_y(&d->c)));
}

static Conv random_conv(void)
{
    Conv c = {.n = 1 + pick(2),
              .ic = 4 * (1 + pick(2)),
              .oc = 4 * (1 + pick(3)),
              .h = 3 + pick(4),
              .w = 3 + pick(4),
              .k = 1 + 2 * pick(2),
              .stride = 1 + pick(2)};
    c.pad = c.k / 2;
    c.oh = (c.h + 2 * c.pad - c.k) / c.stride + 1;
    c.ow = (c.w + 2 * c.pad - c.k) / c.stride + 1;
    return c;
}

static Layout conv_blocked(const Conv *c, Type t)
{
    return layout_blocked(t, 4, (int64_t[]){c->pad, c->pad}, (int64_t[]){c->pad, c->pad});
}

static void test_convs(void)
{
    for (int i = 0; i < 20; i++) {
        Conv c = random_conv();
        ConvData plain = conv_data(c, layout_plain(conv_x(&c)), layout_plain(conv_y(&c)), false);
        CHECK(conv_runs(&plain, conv_kernel(&c, plain.x, plain.y, true)));
        Layout bx = conv_blocked(&c, conv_x(&c)), by = conv_blocked(&c, conv_y(&c));
        ConvData blocked = conv_data(c, bx, by, false);
        Kernel *k = conv_kernel(&c, bx, by, false);
        CHECK(conv_runs(&blocked, k));
        Kernel *v = kernel_split(arena, k, 1, 4);
        v->axis[4].kind = AX_VEC;
        CHECK(!strcmp(v->axis[1].name, "c0") && !strcmp(v->axis[4].name, "c1"));
        CHECK(conv_runs(&blocked, v));
        CHECK(conv_runs(&blocked, kernel_split(arena, v, 5, 2))); /* a reduction, in place */
    }
}

/* ---- scheduling ---- */

static int64_t divisor(int64_t n)
{
    int64_t d = 1 + pick(n);
    while (n % d) d--;
    return d;
}

static void shuffle(int *order, int from, int to)
{
    for (int i = to - 1; i > from; i--) {
        int j = from + (int)pick(i - from + 1), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
}

static Kernel *random_edit(const Kernel *k)
{
    int a = (int)pick(k->naxis), order[MAX_AXES], loops = 0;
    if (pick(2) && !k->axis[a].sample && k->naxis < 14)
        return kernel_split(arena, k, a, divisor(k->axis[a].extent));
    for (int i = 0; i < k->naxis; i++) {
        order[i] = i;
        loops += k->axis[i].kind != AX_RED;
    }
    shuffle(order, 0, loops);
    shuffle(order, loops, k->naxis);
    return kernel_reorder(arena, k, order);
}

/* Whole numbers: sums are exact in any order. */
static void test_schedules(void)
{
    for (int i = 0; i < 12; i++) {
        Conv c = random_conv();
        Layout bx = conv_blocked(&c, conv_x(&c));
        ConvData d = conv_data(c, bx, layout_plain(conv_y(&c)), true);
        Kernel *k = conv_kernel(&c, bx, d.y, i % 2);
        k->contract.op = OP_conv;
        k->data_param = 0;
        for (int e = 0; e < 8; e++) {
            k = random_edit(k);
            CHECK(conv_runs(&d, k));
        }
        CHECK(k->contract.op == OP_conv && k->data_param == 0 && !strcmp(k->name, "conv"));
        CHECK(k->expr[k->heavy].kop == K_REDUCE);
    }
}

/* ---- the interpreter, op by op ---- */

static KRef load1(Kernel *k, Type t, void *mem, KMem *at, KRef i)
{
    int p = kernel_param(k, (KParam){.dtype = t.dtype, .layout = layout_plain(t), .in = true});
    at[p].base = mem;
    return kx_load(k, p, 1, &i, NOK, 0);
}

static void store1(Kernel *k, Type t, void *mem, KMem *at, KRef i, KRef v)
{
    int p = kernel_param(k, (KParam){.dtype = t.dtype, .layout = layout_plain(t), .out = true});
    at[p].base = mem;
    k->store[k->nstore++] = (KStore){.param = p, .rank = 1, .index = {i}, .value = v};
}

static void test_reductions(void)
{
    float x[5] = {1, 3, -2, 3, 0}, out[5] = {0};
    int64_t where[1] = {-1};
    KMem at[MAX_PARAMS] = {0};
    Kernel *k = kernel_new(arena);
    KRef r = kx_axis(k, kernel_axis(k, "r", AX_RED, 5, false)), zero = kx_int(k, 0);
    Type five = type_of(DT_F32, 1, (int64_t[]){5}), one = type_of(DT_F32, 1, (int64_t[]){1});
    KRef v = load1(k, five, x, at, r);
    static const Op ops[] = {OP_sum, OP_prod, OP_max, OP_min};
    for (int i = 0; i < 4; i++)
        store1(k, one, &out[i], at, zero, kx_reduce(k, ops[i], DT_F32, v, NOK));
    store1(k, type_with(one, DT_I64), where, at, zero, kx_reduce(k, OP_argmax, DT_I64, v, r));
    kernel_verify(k);
    kernel_eval(k, at, NULL, 0, 1);
    CHECK(out[0] == 5 && out[1] == 0 && out[2] == 3 && out[3] == -2 && where[0] == 1);
    x[2] = x[4] = NAN;
    kernel_eval(k, at, NULL, 0, 1);
    CHECK(isnan(out[0]) && isnan(out[2]) && isnan(out[3]) && where[0] == 2);
}

static void test_fused(void)
{
    float x[2] = {-1, 1 + 0x1p-12f}, y[2] = {1 + 0x1p-11f, 1 + 0x1p-12f}, out[1];
    KMem at[MAX_PARAMS] = {0};
    Kernel *k = kernel_new(arena);
    Type two = type_of(DT_F32, 1, (int64_t[]){2}), one = type_of(DT_F32, 1, (int64_t[]){1});
    KRef r = kx_axis(k, kernel_axis(k, "r", AX_RED, 2, false));
    KRef p = eval2(k, OP_mul, DT_F32, load1(k, two, x, at, r), load1(k, two, y, at, r));
    store1(k, one, out, at, kx_int(k, 0), kx_reduce(k, OP_sum, DT_F32, p, NOK));
    kernel_eval(k, at, NULL, 0, 1);
    CHECK(out[0] == 0x1p-24f); /* 0 if the product were rounded first */
}

static void test_dtypes(void)
{
    static const DType dtypes[] = {DT_F64, DT_F32, DT_F16, DT_BF16, DT_I64, DT_I32, DT_I8, DT_U8};
    for (int i = 0; i < COUNT(dtypes); i++) {
        DType d = dtypes[i];
        Type t = type_of(d, 1, (int64_t[]){6});
        uint64_t a[6] = {0}, b[6] = {0}, got[6] = {0};
        KMem at[MAX_PARAMS] = {0};
        Kernel *k = kernel_new(arena);
        KRef n = kx_axis(k, kernel_axis(k, "i", AX_SEQ, 6, false));
        KRef p = eval2(k, OP_mul, d, load1(k, t, a, at, n), load1(k, t, b, at, n));
        store1(k, t, got, at, n, eval2(k, OP_add, d, p, kx_const(k, d, 3)));
        for (int e = 0; e < 6; e++) {
            elem_set(d, a, e, (double)pick(200) / 7);
            elem_set(d, b, e, (double)pick(200) / 9);
        }
        kernel_verify(k);
        kernel_eval(k, at, NULL, 0, 1);
        for (int e = 0; e < 6; e++) {
            Scalar v[2], w[2] = {{0}};
            scalars_load(d, a, e, 1, &v[0]);
            scalars_load(d, b, e, 1, &v[1]);
            w[0] = scalar_op(OP_mul, d, d, v);
            w[1] = scalar_cast(DT_F64, d, (Scalar){.f = 3});
            Scalar want = scalar_op(OP_add, d, d, w), is;
            scalars_load(d, got, e, 1, &is);
            CHECK(want.i == is.i);
        }
    }
}

/* Bits in a blocked layout, written from a comparison and read back by a select. */
static void test_bits(void)
{
    Type t = type_of(DT_F32, 4, (int64_t[]){2, 16, 3, 3});
    Layout bits = layout_blocked(type_with(t, DT_BOOL), 8, NULL, NULL);
    bits.bits = true;
    float *x = random_floats(type_count(t), false), *y = random_floats(type_count(t), false);
    uint8_t *mask = arena_alloc(arena, (size_t)layout_bytes(&bits, DT_BOOL));
    for (int pass = 0; pass < 2; pass++) {
        Kernel *k = kernel_new(arena);
        KRef a[4];
        for (int i = 0; i < 4; i++) a[i] = kx_axis(k, kernel_axis(k, "i", AX_SEQ, t.dim[i], false));
        add_param(k, t, layout_plain(t), pass);
        add_param(k, type_with(t, DT_BOOL), bits, !pass);
        KRef v = kx_load(k, pass, 4, a, NOK, 0);
        v = pass ? kx_eval(k, OP_cast, DT_F32, 1, &v)
                 : eval2(k, OP_lt, DT_BOOL, kx_const(k, DT_F32, 0), v);
        KStore s = {.param = !pass, .rank = 4, .value = v};
        memcpy(s.index, a, sizeof a);
        k->store[k->nstore++] = s;
        kernel_verify(k);
        kernel_eval(k, (KMem[]){{pass ? y : x, 0}, {mask, 0}}, NULL, 0, 2);
    }
    bool same = true;
    for (int64_t i = 0; i < type_count(t); i++) same &= y[i] == (x[i] > 0);
    CHECK(same);
}

/* Slots [lo, hi) of an io parameter go through the table; the others are not touched. */
static void test_samples(void)
{
    Type t = type_of(DT_F32, 2, (int64_t[]){4, 3});
    float in[6 * 3], out[4 * 3];
    for (int i = 0; i < 18; i++) in[i] = (float)i;
    memset(out, 0, sizeof out);
    Kernel *k = kernel_new(arena);
    KRef at[2] = {kx_axis(k, kernel_axis(k, "n", AX_PAR, 4, true)),
                  kx_axis(k, kernel_axis(k, "c", AX_SEQ, 3, false))};
    int p = add_param(k, t, layout_plain(t), false), q = add_param(k, t, layout_plain(t), true);
    k->param[p].io = true;
    k->store[k->nstore++] = (KStore){
        .param = q, .rank = 2, .index = {at[0], at[1]}, .value = kx_load(k, p, 2, at, NOK, 0)};
    kernel_verify(k);
    kernel_eval(k, (KMem[]){{in, 12}, {out, 0}}, (int64_t[]){0, 5, 3, 0}, 1, 3);
    CHECK(out[0] == 0 && out[3] == 15 && out[5] == 17 && out[6] == 9 && out[9] == 0);
}

static void test_rng(void)
{
    float out[7];
    KMem at[MAX_PARAMS] = {0};
    Kernel *k = kernel_new(arena);
    Type t = type_of(DT_F32, 1, (int64_t[]){7});
    KRef i = kx_axis(k, kernel_axis(k, "i", AX_SEQ, 7, false));
    KRef u = kx_rng(k, DT_F32, kx_int(k, 11), kx_int(k, 5), kx_const(k, DT_I32, 2), i, 3);
    store1(k, t, out, at, i, u);
    kernel_verify(k);
    kernel_eval(k, at, NULL, 0, 1);
    for (int e = 0; e < 7; e++) CHECK(out[e] == (float)philox_uniform(11, 5, 3, 2, (uint64_t)e));
}

/* ---- text ---- */

static const char conv_text[] =
    "kernel conv\n"
    "  axes n:seq 2 sample, c0:seq 2, h:seq 5, w:seq 5, c1:vec 4 | ic:red 4, kh:red 3, kw:red 3\n"
    "  p0 f32 {0 1 2 3} 2x4x5x5 in sample\n"
    "  p1 f32 {0 1 2 3} 8x4x3x3 in\n"
    "  p2 f32 {0 1/4 2 3 1%4} 2x2x5x5x4 out sample\n"
    "  %0 = le 1, h + kh : bool\n"
    "  %1 = lt h + kh, 6 : bool\n"
    "  %2 = and %0, %1 : bool\n"
    "  %3 = le 1, w + kw : bool\n"
    "  %4 = lt w + kw, 6 : bool\n"
    "  %5 = and %3, %4 : bool\n"
    "  %6 = and %2, %5 : bool\n"
    "  %7 = load p0[n, ic, h + kh - 1, w + kw - 1] if %6 else 0 : f32\n"
    "  %8 = load p1[c0*4 + c1, ic, kh, kw] : f32\n"
    "  %9 = mul %7, %8 : f32\n"
    "  %10 = reduce sum %9 : f32 heavy\n"
    "  %11 = max2 %10, 0 : f32\n"
    "  store p2[n, c0*4 + c1, h, w] = %11\n";

static void test_text(void)
{
    Conv c = {
        .n = 2, .ic = 4, .oc = 8, .h = 5, .w = 5, .k = 3, .stride = 1, .pad = 1, .oh = 5, .ow = 5};
    Layout y = layout_blocked(conv_y(&c), 4, NULL, NULL);
    Kernel *k = kernel_split(arena, conv_kernel(&c, layout_plain(conv_x(&c)), y, true), 1, 4);
    k->axis[4].kind = AX_VEC;
    Str s = {0}, again = {0};
    kernel_print(&s, k);
    CHECK(!strcmp(s.s, conv_text));
    if (strcmp(s.s, conv_text)) printf("%s", s.s);
    kx_mod(k, kx_axis(k, 0), 2); /* what nobody needs does not show */
    kernel_print(&again, k);
    CHECK(!strcmp(s.s, again.s));
    str_free(&s);
    str_free(&again);
}

/* ---- the verifier ---- */

static bool dies(const Kernel *k)
{
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        if (!freopen("/dev/null", "w", stderr)) _exit(0);
        kernel_verify(k);
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return status != 0;
}

static void test_verifier(void)
{
    Conv c = {
        .n = 2, .ic = 4, .oc = 8, .h = 5, .w = 5, .k = 3, .stride = 1, .pad = 1, .oh = 5, .ow = 5};
    Layout x = layout_plain(conv_x(&c)), y = layout_plain(conv_y(&c));
    CHECK(!dies(conv_kernel(&c, x, y, true)));
    CHECK(dies(conv_kernel(&c, x, y, false))); /* leaves the tensor without a guard */
    Kernel *k = conv_kernel(&c, x, y, true);
    k->axis[0].kind = AX_VEC;
    CHECK(dies(k)); /* lanes before loops */
    k = conv_kernel(&c, x, y, true);
    k->store[0].value = k->expr[k->heavy].arg[0];
    CHECK(dies(k)); /* stores inside the reduction */
    k = conv_kernel(&c, x, y, true);
    k->store[0].value = kx_const(k, DT_F64, 0);
    CHECK(dies(k)); /* dtype */
    k = conv_kernel(&c, x, y, true);
    k->store[0].index[0] = kx_addc(k, k->store[0].index[0], 1);
    CHECK(dies(k)); /* outside */
}

/* ---- a module ---- */

/* temp = x * h; y = temp + temp. One kernel a call, two slots, a table. */
static Kernel *module_kernel_of(Op op, Layout l, bool io_in, bool io_out)
{
    Kernel *k = kernel_new(arena);
    k->name = op == OP_mul ? "k0_scale" : "k1_double";
    Layout one = {.rank = 1, .ndigit = 1, .digit = {{0, 1, 2, 0}}};
    KRef at[2] = {kx_axis(k, kernel_axis(k, "n", AX_SEQ, 2, true)),
                  kx_axis(k, kernel_axis(k, "c", AX_SEQ, 3, false))};
    kernel_param(k, (KParam){DT_F32, l, .sample = true, .io = io_in, .in = true});
    kernel_param(k, (KParam){DT_F32, l, .sample = true, .io = io_out, .out = true});
    KRef v = kx_load(k, 0, 2, at, NOK, 0), w = v;
    KParam h = {DT_F32, one, .sample = true, .io = true, .in = true};
    if (op == OP_mul) w = kx_load(k, kernel_param(k, h), 1, at, NOK, 0);
    k->store[k->nstore++] = (KStore){
        .param = 1, .rank = 2, .index = {at[0], at[1]}, .value = eval2(k, op, DT_F32, v, w)};
    kernel_verify(k);
    return k;
}

static void count_call(void *user, int call)
{
    *(int *)user += 1 + call;
}

static void test_module(void)
{
    Layout l = layout_plain(type_of(DT_F32, 2, (int64_t[]){2, 3}));
    Layout one = layout_plain(type_of(DT_I64, 1, (int64_t[]){2}));
    Kernel *kernels[] = {module_kernel_of(OP_mul, l, true, false),
                         module_kernel_of(OP_add, l, false, true)};
    Buffer buffers[] = {{BUF_TEMP, DT_I64, one, .bytes = 16, .offset = 0, .name = "sample"},
                        {BUF_IO, DT_F32, l, .sample = true, .index = 0, .name = "x"},
                        {BUF_HYPER, DT_F32, one, .sample = true, .index = 0, .name = "h"},
                        {BUF_TEMP, DT_F32, l, .sample = true, .bytes = 24, .offset = 64},
                        {BUF_IO, DT_F32, l, .sample = true, .index = 1, .name = "y"}};
    Call calls[] = {{.kernel = 0, .nbuf = 3, .buf = (int[]){1, 3, 2}},
                    {.kernel = 1, .nbuf = 2, .buf = (int[]){3, 4}}};
    Program p = {.name = "forward",
                 .nio = 2,
                 .nhyper = 1,
                 .slots = 2,
                 .nbuffer = 5,
                 .buffer = buffers,
                 .step = {.ncall = 2, .call = calls},
                 .scratch_offset = 128,
                 .io = {{"x", DT_F32, 1, {3}, .alias = -1},
                        {"y", DT_F32, 1, {3}, .output = true, .alias = -1}},
                 .hyper = {{"h", DT_F32, .value = 10, .hi = 100}},
                 .buf_id = -1,
                 .buf_t = -1,
                 .buf_limit = -1,
                 .buf_done = -1};
    Module m = {.prefix = "m",
                .precision = DT_F32,
                .nkernel = 2,
                .kernel = kernels,
                .nprogram = 1,
                .program = &p};
    uint8_t *mem = arena_alloc(arena, 192);
    memcpy(mem, (int64_t[]){2, 0}, 16);
    float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, y[9] = {0}, h[] = {1, 2, 3};
    PhaseMem at = {mem, (void *[]){x, y}, (int64_t[]){12, 12}, (const void *[]){h}, (int64_t[]){4},
                   0};
    int count = 0;
    module_eval_phase(&m, &p, &p.step, &at, 0, 2, count_call, &count);
    CHECK(count == 3 && y[0] == 2 && y[2] == 6 && y[3] == 0 && y[6] == 42 && y[8] == 54);
    at.hyper = NULL; /* the default */
    module_eval_phase(&m, &p, &p.step, &at, 0, 1, NULL, NULL);
    CHECK(y[0] == 2 && y[6] == 140);
    at.io = (void *[]){x, NULL}; /* nobody wants y */
    module_eval_phase(&m, &p, &p.step, &at, 0, 2, NULL, NULL);
    CHECK(y[6] == 140 && ((float *)(void *)(mem + 128))[0] == 20);
    Str s = {0};
    module_print(&s, &m);
    CHECK(strstr(s.s, "    0 k0_scale(b1, b3, b2)") && strstr(s.s, "kernel k1_double\n"));
    str_free(&s);
}

static void run_all(void *unused)
{
    (void)unused;
    test_random_indices();
    test_reshapes();
    test_simple_indices();
    test_folding();
    test_layouts();
    test_convs();
    test_schedules();
    test_reductions();
    test_fused();
    test_dtypes();
    test_bits();
    test_samples();
    test_rng();
    test_text();
    test_verifier();
    test_module();
}

int main(void)
{
    char msg[256];
    arena = arena_new();
    if (!err_guard(run_all, NULL, msg, sizeof msg)) {
        printf("%s\n", msg);
        failed++;
    }
    arena_free(arena);
    printf("kernel: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}

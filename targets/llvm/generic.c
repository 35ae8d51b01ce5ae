/* SPDX-License-Identifier: Apache-2.0 */
/* The lowering of any kernel: loops over its axes, reductions as loop-carried accumulators,
 * stores. Axes marked `unroll` are a tile: their points share one nest of reduction loops, so what
 * does not depend on them is loaded once for all. Each point still folds in the order of the
 * reduction axes. */
#include <string.h>

#include "targets/llvm/walk_impl.h"

enum { MOST_ACCS = 64, MOST_STEPS = 9, MOST_FOLDS = 36 };
enum { ENOUGH_PIECES = 64, MOST_PIECES = 1 << 24 };

/* ---- reductions of a kernel ---- */

typedef struct Reduces {
    int n;
    KRef ref[MOST_ACCS];
} Reduces;

static void mark(const Kernel *k, KRef r, bool *live)
{
    if (r == NOK || live[r]) return;
    live[r] = true;
    mark(k, k->expr[r].guard, live);
    for (int i = 0; i < k->expr[r].nargs; i++) mark(k, k->expr[r].arg[i], live);
}

static bool *live_exprs(Arena *a, const Kernel *k)
{
    bool *live = NEW_N(a, bool, k->nexpr);
    for (int i = 0; i < k->nstore; i++) {
        mark(k, k->store[i].value, live);
        for (int d = 0; d < k->store[i].rank; d++) mark(k, k->store[i].index[d], live);
    }
    return live;
}

static Reduces find_reduces(const Kernel *k)
{
    bool *live = live_exprs(k->arena, k);
    Reduces s = {0};
    for (KRef r = 0; r < k->nexpr; r++) {
        if (!live[r] || k->expr[r].kop != K_REDUCE) continue;
        if (s.n == MOST_ACCS) die("%s: too many reductions", k->name);
        s.ref[s.n++] = r;
    }
    return s;
}

/* ---- the nest ---- */

static int64_t accs_of(const Kernel *k, KRef r)
{
    return k->expr[r].op == OP_argmax ? 2 : 1; /* the index, and the value it stands for */
}

static int64_t most_points(const Kernel *k)
{
    int64_t each = 0;
    for (KRef r = 0; r < k->nexpr; r++)
        if (k->expr[r].kop == K_REDUCE) each += accs_of(k, r);
    return MOST_ACCS / (each ? each : 1);
}

static bool joins_tile(const Axis *x, int64_t points, int64_t most)
{
    return x->kind == AX_UNROLL && !x->sample && x->extent <= most / points;
}

/* Axes of one kind become loops, a tile or reductions; a tile keeps to a few accumulators. */
Nest kernel_nest(const Kernel *k)
{
    Nest n = {0};
    int64_t points = 1, most = most_points(k);
    for (int a = 0; a < k->naxis; a++) {
        const Axis *x = &k->axis[a];
        if (x->kind == AX_VEC) continue;
        if (x->kind == AX_RED) {
            n.red[n.nred++] = a;
        } else if (joins_tile(x, points, most)) {
            points *= x->extent;
            n.tile[n.ntile++] = a;
        } else {
            n.loop[n.nloop++] = a;
        }
    }
    return n;
}

static int64_t extents(const Kernel *k, const int *axis, int n)
{
    int64_t e = 1;
    for (int i = 0; i < n; i++) e *= k->axis[axis[i]].extent;
    return e;
}

int64_t kernel_points(const Kernel *k)
{
    Nest n = kernel_nest(k);
    int64_t e = 1;
    for (int i = 0; i < n.nloop; i++)
        if (!k->axis[n.loop[i]].sample) e *= k->axis[n.loop[i]].extent;
    return e;
}

/* ---- folding ---- */

typedef struct Point { /* everything below the outer loops */
    Walk *w;
    const Nest *nest;
    Reduces reduces;
    int npoint, nacc; /* of the tile; accumulators in all */
    LLVMValueRef acc[MOST_ACCS];
} Point;

static LLVMValueRef number(Walk *w, DType d, bool vec, double v)
{
    LLVMTypeRef t = vec ? walk_vec(w, d, w->lanes) : walk_type(w, d);
    return dtype_is_float(d) ? v_real(w, t, v) : v_int(w, t, (int64_t)v);
}

static void start_one(Walk *w, KRef r, LLVMValueRef *acc)
{
    const KExpr *e = walk_at(w, r);
    bool vec = walk_on_vec(w, r), arg = e->op == OP_argmax;
    DType d = walk_at(w, e->arg[0])->dtype;
    acc[0] = number(w, e->dtype, vec, arg ? 0 : reduce_init(e->op, e->dtype));
    if (arg) acc[1] = number(w, d, vec, reduce_init(OP_argmax, d));
}

/* NaN is the largest, and the first largest stays. */
static LLVMValueRef is_larger(Walk *w, DType d, LLVMValueRef v, LLVMValueRef best)
{
    if (!dtype_is_float(d))
        return i_cmp(w, d == DT_U8 || d == DT_BOOL ? LLVMIntUGT : LLVMIntSGT, v, best);
    LLVMValueRef number = f_cmp(w, LLVMRealORD, best, best);
    return i_and(w, number, f_cmp(w, LLVMRealUGT, v, best));
}

static void fold_argmax(Walk *w, const KExpr *e, bool vec, LLVMValueRef *acc)
{
    LLVMValueRef v = walk_operand(w, e->arg[0], vec), at = walk_operand(w, e->arg[1], vec);
    DType d = walk_at(w, e->arg[0])->dtype;
    LLVMValueRef larger = is_larger(w, d, v, acc[1]);
    at = walk_cast(w, DT_I64, e->dtype, at);
    acc[0] = v_select(w, larger, at, acc[0]);
    acc[1] = v_select(w, larger, v, acc[1]);
}

static bool is_product_sum(const Walk *w, const KExpr *e)
{
    const KExpr *x = walk_at(w, e->arg[0]);
    return e->op == OP_sum && dtype_is_float(e->dtype) && x->kop == K_EVAL && x->op == OP_mul;
}

static LLVMValueRef fold_product(Walk *w, const KExpr *e, bool vec, LLVMValueRef acc)
{
    KRef a = walk_at(w, e->arg[0])->arg[0], b = walk_at(w, e->arg[0])->arg[1];
    LLVMValueRef va = walk_operand(w, a, vec), vb = walk_operand(w, b, vec);
    return walk_round_to(w, e->dtype, v_fma(w, va, vb, acc));
}

static const Op fold_op[OP_COUNT] = {
    [OP_sum] = OP_add, [OP_prod] = OP_mul, [OP_max] = OP_max2, [OP_min] = OP_min2};

static LLVMValueRef fold_value(Walk *w, const KExpr *e, bool vec, LLVMValueRef acc)
{
    EvalArgs a = {.operand = e->dtype, .result = e->dtype};
    bool extreme = e->op == OP_max || e->op == OP_min; /* at a tie the accumulator stays */
    a.v[extreme] = acc;
    a.v[!extreme] = walk_operand(w, e->arg[0], vec);
    return walk_op(w, fold_op[e->op], &a);
}

static void fold_one(Walk *w, KRef r, LLVMValueRef *acc)
{
    KExpr e = *walk_at(w, r);
    bool vec = walk_on_vec(w, r);
    if (e.op == OP_argmax)
        fold_argmax(w, &e, vec, acc);
    else if (is_product_sum(w, &e))
        acc[0] = fold_product(w, &e, vec, acc[0]);
    else
        acc[0] = fold_value(w, &e, vec, acc[0]);
}

/* ---- the tile ---- */

static void bind_tile(Point *p, int point)
{
    const Nest *n = p->nest;
    int64_t rest = point;
    for (int i = n->ntile; i-- > 0;) {
        int64_t extent = p->w->k->axis[n->tile[i]].extent;
        walk_bind(p->w, n->tile[i], walk_i64(p->w, rest % extent));
        rest /= extent;
    }
}

typedef void OneFn(Walk *, KRef, LLVMValueRef *);

static void each_acc(Point *p, OneFn *fn)
{
    LLVMValueRef *acc = p->acc;
    for (int i = 0; i < p->npoint; i++) {
        bind_tile(p, i);
        for (int j = 0; j < p->reduces.n; j++) {
            fn(p->w, p->reduces.ref[j], acc);
            acc += accs_of(p->w->k, p->reduces.ref[j]);
        }
    }
}

/* ---- reduction loops ---- */

static void red_loops(Point *p, int depth);

static void red_unrolled(Point *p, int depth, int axis, int64_t extent)
{
    for (int64_t i = 0; i < extent; i++) {
        walk_bind(p->w, axis, walk_i64(p->w, i));
        red_loops(p, depth + 1);
    }
}

static void red_loop(Point *p, int depth, int axis, int64_t extent)
{
    Walk *w = p->w;
    Loop l = loop_begin(w, w->k->axis[axis].name, walk_i64(w, 0), walk_i64(w, extent), 1, p->nacc,
                        p->acc);
    walk_bind(w, axis, l.index);
    memcpy(p->acc, l.acc, sizeof *l.acc * (size_t)p->nacc);
    red_loops(p, depth + 1);
    loop_end(w, &l, p->acc, p->acc);
}

/* Few steps are written out: indices and guards then fold into constants. */
static void red_loops(Point *p, int depth)
{
    const Nest *n = p->nest;
    if (depth == n->nred) {
        each_acc(p, fold_one);
        return;
    }
    int axis = n->red[depth];
    int64_t steps = extents(p->w->k, n->red + depth, n->nred - depth);
    int64_t extent = p->w->k->axis[axis].extent;
    if (extent == 1 || (steps <= MOST_STEPS && steps * p->nacc <= MOST_FOLDS))
        red_unrolled(p, depth, axis, extent);
    else
        red_loop(p, depth, axis, extent);
}

static int count_accs(const Kernel *k, const Reduces *s)
{
    int64_t n = 0;
    for (int i = 0; i < s->n; i++) n += accs_of(k, s->ref[i]);
    return (int)n;
}

static void store_points(Point *p)
{
    LLVMValueRef *acc = p->acc;
    for (int i = 0; i < p->npoint; i++) {
        bind_tile(p, i);
        for (int j = 0; j < p->reduces.n; j++) {
            walk_set(p->w, p->reduces.ref[j], acc[0]);
            acc += accs_of(p->w->k, p->reduces.ref[j]);
        }
        walk_stores(p->w);
    }
}

void generic_point(Walk *w, const Nest *nest)
{
    Point p = {.w = w, .nest = nest, .reduces = find_reduces(w->k)};
    p.npoint = (int)extents(w->k, nest->tile, nest->ntile);
    p.nacc = p.npoint * count_accs(w->k, &p.reduces);
    check(p.nacc <= MOST_ACCS);
    each_acc(&p, start_one);
    if (p.nacc) red_loops(&p, 0);
    store_points(&p);
}

/* ---- outer loops ---- */

/* Loops that are cut into pieces: the first that are no samples, until there are pieces enough. */
typedef struct Cut {
    int naxis, axis[MAX_AXES];
    int64_t pieces;
} Cut;

/* Lanes that share a byte with others (walk_bits.c) must not be of two workers. */
static bool shares_bytes(const Kernel *k)
{
    int64_t lanes = 1;
    for (int a = 0; a < k->naxis; a++)
        if (k->axis[a].kind == AX_VEC) lanes = k->axis[a].extent;
    for (int i = 0; i < k->nstore; i++)
        if (k->param[k->store[i].param].layout.bits && lanes < 8) return true;
    return false;
}

/* What is left of it inside the outermost of its loops. */
static Cut cut_inner(const Kernel *k, const Cut *c)
{
    Cut inner = {.naxis = c->naxis - 1, .pieces = c->pieces / k->axis[c->axis[0]].extent};
    for (int i = 0; i < inner.naxis; i++) inner.axis[i] = c->axis[i + 1];
    return inner;
}

static Cut cut_of(const Kernel *k, const Nest *n)
{
    Cut c = {.pieces = 1};
    if (shares_bytes(k)) return c;
    for (int i = 0; i < n->nloop && c.pieces < ENOUGH_PIECES; i++) {
        const Axis *x = &k->axis[n->loop[i]];
        if (x->sample || x->extent == 1) continue;
        if (x->extent > MOST_PIECES / c.pieces) break;
        c.axis[c.naxis++] = n->loop[i];
        c.pieces *= x->extent;
    }
    return c;
}

int64_t generic_pieces(const Kernel *k)
{
    Nest n = kernel_nest(k);
    return cut_of(k, &n).pieces;
}

static void outer_loops(Walk *w, const Nest *n, Cut cut, Slice pieces, int depth);

/* The outermost loop of the cut: each turn has its part of the pieces. */
static void cut_loop(Walk *w, const Nest *n, const Cut *cut, Slice pieces, int depth)
{
    Cut inner = cut_inner(w->k, cut);
    Slice range = slice_outer(w, pieces, inner.pieces);
    Loop l = loop_begin(w, w->k->axis[cut->axis[0]].name, range.from, range.to, 1, 0, NULL);
    walk_bind(w, cut->axis[0], l.index);
    LLVMValueRef first = i_mul(w, l.index, walk_i64(w, inner.pieces));
    outer_loops(w, n, inner, slice_part(w, pieces, first, inner.pieces), depth + 1);
    loop_end(w, &l, NULL, NULL);
}

static void outer_loops(Walk *w, const Nest *n, Cut cut, Slice pieces, int depth)
{
    if (depth == n->nloop) {
        generic_point(w, n);
        return;
    }
    int a = n->loop[depth];
    const Axis *x = &w->k->axis[a];
    if (x->extent == 1 && !x->sample) {
        walk_bind(w, a, walk_i64(w, 0));
        outer_loops(w, n, cut, pieces, depth + 1);
        return;
    }
    if (cut.naxis && cut.axis[0] == a) {
        cut_loop(w, n, &cut, pieces, depth);
        return;
    }
    LLVMValueRef from = x->sample ? w->lo : walk_i64(w, 0);
    LLVMValueRef to = x->sample ? w->hi : walk_i64(w, x->extent);
    Loop l = loop_begin(w, x->name, from, to, 1, 0, NULL);
    walk_bind(w, a, l.index);
    outer_loops(w, n, cut, pieces, depth + 1);
    loop_end(w, &l, NULL, NULL);
}

/* Loops are do-while: an empty range of samples or pieces leaves at once. */
static void leave_if_empty(Walk *w)
{
    LLVMBasicBlockRef out = LLVMAppendBasicBlockInContext(w->ctx, w->fn, "empty");
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(w->ctx, w->fn, "body");
    LLVMValueRef some = i_cmp(w, LLVMIntSLT, w->lo, w->hi);
    some = i_and(w, some, i_cmp(w, LLVMIntSLT, w->from, w->to));
    LLVMBuildCondBr(w->b, some, body, out);
    LLVMPositionBuilderAtEnd(w->b, out);
    LLVMBuildRetVoid(w->b);
    LLVMPositionBuilderAtEnd(w->b, body);
}

void generic_emit(Walk *w)
{
    Nest n = kernel_nest(w->k);
    leave_if_empty(w);
    outer_loops(w, &n, cut_of(w->k, &n), (Slice){w->from, w->to}, 0);
    LLVMBuildRetVoid(w->b);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 3 of winograd.c: products to results, and the epilogue. */
#include "winoemit.h"

typedef struct Sum {
    const WinoEmit *e;
    Tile *t;
    LLVMValueRef tile, n;        /* its number; sample */
    LLVMValueRef from, row, col; /* the tile's products; its first result */
    LLVMValueRef rows, cols;     /* results in reach */
    LLVMValueRef line;           /* index of a row's results among those that wait */
    int class[2];                /* of the results at hand: rows, columns */
} Sum;

/* A class of results along an axis: those of one remainder modulo the stride. */
typedef struct Class {
    int first, step; /* results in a tile */
    int from, n;     /* points of the products */
} Class;

static int classes(const WinoForm *f)
{
    return f->dx ? f->stride : 1;
}

static Class class_of(const WinoForm *f, int i)
{
    int n = wino_few(f);
    return (Class){.first = classes(f) - 1 - i, .step = classes(f), .from = i * n, .n = n - i};
}

/* The results of a class, tile and channel block, before the epilogue. */
static void tile_results(const Sum *s, Walk *w, LLVMValueRef from,
                         LLVMValueRef r[WINO_OUT][WINO_OUT])
{
    const WinoEmit *e = s->e;
    LLVMValueRef half[WINO_OUT][WINO_IN] = {0}, m[WINO_IN] = {0}, t[WINO_OUT];
    Class row = class_of(e->f, s->class[0]), col = class_of(e->f, s->class[1]);
    for (int j = 0; j < col.n; j++) { /* columns */
        for (int i = 0; i < row.n; i++) {
            int64_t plane = (row.from + i) * wino_sums(e->f) + col.from + j;
            m[i] = wino_load(e, w, tile_at_const(w, e->elem, from, plane * e->result_plane));
        }
        e->f->sums(w, m, t);
        for (int i = 0; i < e->f->out; i++) half[i][j] = t[i];
    }
    for (int i = 0; i < e->f->out; i++) e->f->sums(w, half[i], r[i]);
}

static int place(const Sum *s, int axis, int i) /* of a class's result in the tile */
{
    Class c = class_of(s->e->f, s->class[axis]);
    return c.first + i * c.step;
}

static void bind_point(const Sum *s, Walk *w, int i, int j)
{
    walk_bind(w, s->e->axis[A_ROW], tile_affine(w, s->row, 1, place(s, 0, i)));
    walk_bind(w, s->e->axis[A_COL], tile_affine(w, s->col, 1, place(s, 1, j)));
}

/* The lines that the next tile's results go to: the nearest cache has few of them, and stores that
 * wait for theirs one by one take longer than the sums. */
static void fetch_next(const Sum *s, Walk *w)
{
    const WinoEmit *e = s->e;
    int out = e->f->out, span = wino_span(e->f);
    WinoPlace to = wino_place(e, w, tile_affine(w, s->tile, 1, 1));
    Sum next = *s;
    next.row = tile_affine(w, to.row, span, 0);
    next.col = tile_affine(w, to.col, span, 0);
    walk_bind(w, e->axis[A_SAMPLE], to.n);
    for (int k = 0; k < w->k->nstore; k++) {
        for (int i = 0; i < out * out; i++) {
            bind_point(&next, w, i / out, i % out);
            LLVMValueRef at = walk_where(w, k);
            if (at) tile_prefetch_store(w, at);
        }
    }
}

/* All that the epilogue reads first, then all stores to one place before the next: stores to
 * several places by turns, and loads after them, take half as long again. */
static void store_whole(const Sum *s, Walk *w, LLVMValueRef r[WINO_OUT][WINO_OUT])
{
    int out = s->e->f->out;
    LLVMValueRef value[WINO_OUT][WINO_OUT][MAX_STORES];
    for (int i = 0; i < out; i++) {
        for (int j = 0; j < out; j++) {
            bind_point(s, w, i, j);
            walk_set(w, w->k->heavy, r[i][j]);
            walk_values(w, value[i][j]);
        }
    }
    for (int k = 0; k < w->k->nstore; k++) {
        tile_in_order(w);
        for (int i = 0; i < out * out; i++) {
            bind_point(s, w, i / out, i % out);
            walk_put(w, k, value[i / out][i % out][k]);
        }
    }
}

static void store_one(Walk *w, void *user, LLVMValueRef j)
{
    const Sum *s = user;
    LLVMValueRef at = LLVMBuildAdd(w->b, s->line, j, "");
    at = tile_at(w, s->e->elem, wino_results(s->e, w), at, s->e->lanes);
    walk_bind(w, s->e->axis[A_COL], LLVMBuildNSWAdd(w->b, s->col, j, ""));
    walk_set(w, w->k->heavy, wino_load(s->e, w, at));
    walk_stores(w);
}

static void store_row(Walk *w, void *user, LLVMValueRef i)
{
    Sum s = *(const Sum *)user;
    s.line = tile_affine(w, i, wino_span(s.e->f), 0);
    walk_bind(w, s.e->axis[A_ROW], LLVMBuildNSWAdd(w->b, s.row, i, ""));
    tile_range(w, "col", walk_i64(w, 0), s.cols, store_one, &s);
}

/* Where a map's edge may cut a tile, or the epilogue is long: results wait, to be stored one by
 * one. */
static void keep_results(const Sum *s, Walk *w, LLVMValueRef r[WINO_OUT][WINO_OUT])
{
    int out = s->e->f->out, span = wino_span(s->e->f);
    for (int i = 0; i < out * out; i++) {
        int64_t at = place(s, 0, i / out) * span + place(s, 1, i % out);
        wino_store(s->e, w, tile_at_const(w, s->e->elem, wino_results(s->e, w), at * s->e->lanes),
                   r[i / out][i % out]);
    }
}

/* Whether every tile has all its results, and they go where lanes lie side by side: scattered
 * lanes are too much code to have so often. */
static bool is_whole(const WinoEmit *e)
{
    const Kernel *k = e->w->k;
    for (int i = 0; i < k->nstore; i++)
        if (k->param[k->store[i].param].io) return false;
    return e->s.result[0] % wino_span(e->f) == 0 && e->s.result[1] % wino_span(e->f) == 0;
}

static void sum_block(Walk *w, void *user, LLVMValueRef block)
{
    Sum *s = user;
    const WinoEmit *e = s->e;
    int n = classes(e->f);
    LLVMValueRef r[WINO_OUT][WINO_OUT];
    walk_bind(w, e->axis[A_BLOCK], block);
    LLVMValueRef from = tile_at(w, e->elem, s->from, block, e->p.block * e->lanes);
    for (int i = 0; i < n * n; i++) {
        s->class[0] = i / n;
        s->class[1] = i % n;
        if (i > 0) tile_in_order(w);
        if (is_whole(e)) fetch_next(s, w);
        walk_bind(w, e->axis[A_SAMPLE], s->n);
        tile_results(s, w, from, r);
        if (is_whole(e))
            store_whole(s, w, r);
        else
            keep_results(s, w, r);
    }
    if (!is_whole(e)) tile_range(w, "row", walk_i64(w, 0), s->rows, store_row, s);
}

/* Results of a tile along an axis: all, or what the map's edge leaves. */
static LLVMValueRef in_reach(const WinoEmit *e, Walk *w, int axis, LLVMValueRef first)
{
    LLVMValueRef left = LLVMBuildSub(w->b, walk_i64(w, e->s.result[axis]), first, "");
    LLVMValueRef all = walk_i64(w, wino_span(e->f));
    return LLVMBuildSelect(w->b, LLVMBuildICmp(w->b, LLVMIntSLT, left, all, ""), left, all, "");
}

static void sum_tile(Walk *w, void *user, LLVMValueRef i)
{
    Sum *s = user;
    const WinoEmit *e = s->e;
    s->tile = LLVMBuildAdd(w->b, s->t->scalar[S_FIRST], i, "");
    WinoPlace at = wino_place(e, w, s->tile);
    s->n = at.n;
    walk_bind(w, e->axis[A_LANE], walk_i64(w, 0));
    w->lo = tile_slot(w, at.n);
    s->row = tile_affine(w, at.row, wino_span(e->f), 0);
    s->col = tile_affine(w, at.col, wino_span(e->f), 0);
    s->rows = in_reach(e, w, 0, s->row);
    s->cols = in_reach(e, w, 1, s->col);
    s->from = tile_at(w, e->elem, wino_result_planes(e, w), i, e->lanes);
    if (e->s.result_ch == e->lanes) { /* from a loop LLVM would hoist, then spill, what it reads */
        sum_block(w, s, walk_i64(w, 0));
        return;
    }
    tile_range(w, "block", tile_affine(w, s->t->scalar[S_GROUP], e->p.c, 0),
               tile_affine(w, s->t->scalar[S_GROUPS], e->p.c, 0), sum_block, s);
}

Tile wino_sum_stage(const WinoEmit *e)
{
    Tile t = tile_begin(e->w, "sums");
    Sum s = {.e = e, .t = &t};
    tile_range(&t.w, "tile", walk_i64(&t.w, 0), t.scalar[S_COUNT], sum_tile, &s);
    tile_end(&t);
    return t;
}

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
} Sum;

/* The results of a tile and channel block, before the epilogue. */
static void tile_results(const WinoEmit *e, Walk *w, LLVMValueRef from,
                         LLVMValueRef r[WINO_OUT][WINO_OUT])
{
    LLVMValueRef half[WINO_OUT][WINO_IN], m[WINO_IN], t[WINO_OUT];
    int in = wino_in(e->f), out = e->f->out;
    for (int j = 0; j < in; j++) { /* columns */
        for (int i = 0; i < in; i++) {
            int64_t plane = (i * in + j) * e->result_plane;
            m[i] = wino_load(e, w, tile_at_const(w, e->elem, from, plane));
        }
        e->f->sums(w, m, t);
        for (int i = 0; i < out; i++) half[i][j] = t[i];
    }
    for (int i = 0; i < out; i++) e->f->sums(w, half[i], r[i]);
}

static void bind_point(const Sum *s, Walk *w, int i, int j)
{
    walk_bind(w, s->e->axis[A_ROW], tile_affine(w, s->row, 1, i));
    walk_bind(w, s->e->axis[A_COL], tile_affine(w, s->col, 1, j));
}

/* The lines that the next tile's results go to: the nearest cache has few of them, and stores that
 * wait for theirs one by one take longer than the sums. */
static void fetch_next(const Sum *s, Walk *w)
{
    const WinoEmit *e = s->e;
    int out = e->f->out;
    WinoPlace to = wino_place(e, w, tile_affine(w, s->tile, 1, 1));
    Sum next = {
        .e = e, .row = tile_affine(w, to.row, out, 0), .col = tile_affine(w, to.col, out, 0)};
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
    s.line = tile_affine(w, i, s.e->f->out, 0);
    walk_bind(w, s.e->axis[A_ROW], LLVMBuildNSWAdd(w->b, s.row, i, ""));
    tile_range(w, "col", walk_i64(w, 0), s.cols, store_one, &s);
}

/* Where a map's edge may cut a tile, or the epilogue is long: results wait, to be stored one by
 * one. */
static void store_part(Sum *s, Walk *w, LLVMValueRef r[WINO_OUT][WINO_OUT])
{
    int out = s->e->f->out;
    for (int i = 0; i < out * out; i++)
        wino_store(s->e, w, tile_at_const(w, s->e->elem, wino_results(s->e, w), i * s->e->lanes),
                   r[i / out][i % out]);
    tile_range(w, "row", walk_i64(w, 0), s->rows, store_row, s);
}

/* Whether every tile has all its results, and they go where lanes lie side by side: scattered
 * lanes are too much code to have so often. */
static bool is_whole(const WinoEmit *e)
{
    const Kernel *k = e->w->k;
    for (int i = 0; i < k->nstore; i++)
        if (k->param[k->store[i].param].io) return false;
    return e->s.result[0] % e->f->out == 0 && e->s.result[1] % e->f->out == 0;
}

static void sum_block(Walk *w, void *user, LLVMValueRef block)
{
    Sum *s = user;
    const WinoEmit *e = s->e;
    LLVMValueRef r[WINO_OUT][WINO_OUT];
    walk_bind(w, e->axis[A_BLOCK], block);
    if (is_whole(e)) fetch_next(s, w);
    walk_bind(w, e->axis[A_SAMPLE], s->n);
    tile_results(e, w, tile_at(w, e->elem, s->from, block, e->p.block * e->lanes), r);
    if (is_whole(e))
        store_whole(s, w, r);
    else
        store_part(s, w, r);
}

/* Results of a tile along an axis: all, or what the map's edge leaves. */
static LLVMValueRef in_reach(const WinoEmit *e, Walk *w, int axis, LLVMValueRef first)
{
    LLVMValueRef left = LLVMBuildSub(w->b, walk_i64(w, e->s.result[axis]), first, "");
    LLVMValueRef all = walk_i64(w, e->f->out);
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
    s->row = tile_affine(w, at.row, e->f->out, 0);
    s->col = tile_affine(w, at.col, e->f->out, 0);
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

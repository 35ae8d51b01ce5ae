/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 1 of winograd.c: patches of data, transformed. */
#include "winoemit.h"

typedef struct Patch { /* one tile, its channel blocks one by one */
    const WinoEmit *e;
    Tile *t;
    LLVMValueRef from, to;
} Patch;

static void data_block(Walk *w, void *user, LLVMValueRef block)
{
    const Patch *p = user;
    const WinoEmit *e = p->e;
    LLVMValueRef half[WINO_IN][WINO_IN], d[WINO_IN], t[WINO_IN];
    int in = wino_in(e->f);
    LLVMTypeRef data = tile_elem(w, w->k->data_param);
    LLVMValueRef from = tile_at(w, data, p->from, block, e->in_block);
    LLVMValueRef to = tile_at(w, e->elem, p->to, block, e->p.block * e->lanes);
    for (int j = 0; j < in; j++) { /* columns */
        for (int i = 0; i < in; i++)
            d[i] = tile_data(w, tile_at_const(w, data, from, i * e->in_row + j * e->in_col));
        e->f->data(w, d, t);
        for (int i = 0; i < in; i++) half[i][j] = t[i];
    }
    for (int i = 0; i < in; i++) {
        e->f->data(w, half[i], t);
        for (int j = 0; j < in; j++) {
            int64_t plane = (i * in + j) * e->data_plane;
            wino_store(e, w, tile_at_const(w, e->elem, to, plane), t[j]);
        }
    }
}

static void data_tile(Walk *w, void *user, LLVMValueRef i)
{
    Patch *p = user;
    const WinoEmit *e = p->e;
    WinoPlace at = wino_place(e, w, LLVMBuildAdd(w->b, p->t->scalar[S_FIRST], i, ""));
    LLVMValueRef y = tile_affine(w, at.row, e->f->out, e->in_first[0]);
    LLVMValueRef x = tile_affine(w, at.col, e->f->out, e->in_first[1]);
    p->from = tile_sample(w, w->k->data_param, at.n);
    LLVMTypeRef data = tile_elem(w, w->k->data_param);
    p->from = tile_at(w, data, tile_at(w, data, p->from, y, e->in_row), x, e->in_col);
    p->to = tile_at(w, e->elem, wino_data_planes(e, w), i, e->lanes);
    tile_for(w, "block", 0, e->s.data_ch / e->lanes, 1, data_block, p);
}

Tile wino_data_stage(const WinoEmit *e)
{
    Tile t = tile_begin(e->w, "data");
    Patch p = {.e = e, .t = &t};
    tile_range(&t.w, "tile", walk_i64(&t.w, 0), t.scalar[S_COUNT], data_tile, &p);
    tile_end(&t);
    return t;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 1 of winograd.c and winodw.c: patches of a value, transformed.
 *
 * Transforms of f32 are made by halves, each with loads of the patch: its first pass over columns
 * gives only the rows that it needs, and nothing has to wait on the stack. Stores take ports to the
 * registers from multiply-adds, so 13 spilled vectors are dearer than 24 loads.
 *
 * A transform is short beside what it waits for. It writes a line to each of many planes, of which
 * the nearest cache holds none, and stores go there one by one: so those of the next tile are asked
 * for together, ahead. And where patches come from beyond the L2 cache, a patch some tiles later is
 * fetched into it, since rows of a few points are no stream that the hardware foresees.
 *
 * Where planes are made in parts (winodw.c), a stage makes the rows of one, its planes first. */
#include "winoemit.h"

enum { AHEAD = 16 }; /* tiles */

typedef struct Patch { /* one tile, its channel blocks one by one */
    const WinoEmit *e;
    const WinoPatches *of;
    Tile *t;
    LLVMValueRef from, later, to; /* later: the patch that is fetched; NULL: none */
} Patch;

static LLVMValueRef transformed_at(const Patch *p, Walk *w, LLVMValueRef block)
{
    if (!p->of->blocks) block = LLVMBuildSub(w->b, block, p->t->scalar[S_GROUP], "");
    return tile_at(w, p->e->elem, p->to, block, p->e->p.block * p->e->lanes);
}

/* The points in the middle of a patch: no other has them. */
static void fetch_patch(const Patch *p, Walk *w, LLVMValueRef block)
{
    const WinoPatches *of = p->of;
    LLVMTypeRef data = tile_elem(w, of->param);
    LLVMValueRef at = tile_at(w, data, p->later, block, of->block);
    int n = wino_step(p->e->f), edge = (of->size - n) / 2;
    for (int i = 0; i < n * n; i++) {
        int64_t y = edge + i / n, x = edge + i % n;
        tile_prefetch_far(w, tile_at_const(w, data, at, y * of->row + x * of->col));
    }
}

/* Lines of the next tile in the planes of a row. LLVM would ask for all rows' at once. */
static void fetch_planes(const Patch *p, Walk *w, LLVMValueRef to, int row)
{
    const WinoEmit *e = p->e;
    int in = wino_in(e->f);
    if (p->of->near) return;
    tile_in_order(w);
    for (int i = row * in; i < (row + 1) * in; i++)
        tile_prefetch_store(w, tile_at_const(w, e->elem, to, i * p->of->plane + e->lanes));
    tile_in_order(w);
}

/* The rows of planes of a part. */
static void data_rows(const Patch *p, Walk *w, LLVMValueRef from, LLVMValueRef to, int part)
{
    const WinoEmit *e = p->e;
    const WinoPatches *of = p->of;
    LLVMValueRef half[WINO_IN][WINO_IN], d[WINO_IN], t[WINO_IN];
    LLVMTypeRef data = tile_elem(w, of->param);
    int in = wino_in(e->f);
    WinoRows rows = wino_rows(e->f, of->parts, part);
    for (int j = 0; j < of->size; j++) { /* columns */
        for (int i = 0; i < of->size; i++)
            d[i] = tile_data(w, tile_at_const(w, data, from, i * of->row + j * of->col));
        of->line(w, d, t);
        for (int k = 0; k < rows.n; k++) half[k][j] = t[rows.at[k]];
    }
    for (int k = 0; k < rows.n; k++) {
        int row = of->part == ALL_PARTS ? rows.at[k] : k;
        fetch_planes(p, w, to, row);
        of->line(w, half[k], t);
        for (int j = 0; j < in; j++) {
            int64_t plane = (row * in + j) * of->plane;
            wino_store(e, w, tile_at_const(w, e->elem, to, plane), t[j]);
        }
    }
}

static void data_block(Walk *w, void *user, LLVMValueRef block)
{
    const Patch *p = user;
    const WinoPatches *of = p->of;
    LLVMTypeRef data = tile_elem(w, of->param);
    LLVMValueRef from = tile_at(w, data, p->from, block, of->block);
    LLVMValueRef to = transformed_at(p, w, block);
    if (p->later) fetch_patch(p, w, block);
    for (int part = 0; part < of->parts; part++) {
        if (of->part != ALL_PARTS && of->part != part) continue;
        tile_in_order(w); /* or LLVM reads a patch once */
        data_rows(p, w, from, to, part);
    }
}

static LLVMValueRef patch_of(const Patch *p, Walk *w, LLVMValueRef tile)
{
    const WinoEmit *e = p->e;
    const WinoPatches *of = p->of;
    LLVMTypeRef data = tile_elem(w, of->param);
    WinoPlace at = wino_place(e, w, tile);
    LLVMValueRef y = tile_affine(w, at.row, wino_step(e->f), of->first[0]);
    LLVMValueRef x = tile_affine(w, at.col, wino_step(e->f), of->first[1]);
    LLVMValueRef sample = tile_sample(w, of->param, at.n);
    return tile_at(w, data, tile_at(w, data, sample, y, of->row), x, of->col);
}

/* Later parts find what the first has read; where planes are near, others fetch. */
static bool fetches(const WinoPatches *of)
{
    return of->far && !of->near && of->part <= 0;
}

static void data_tile(Walk *w, void *user, LLVMValueRef i)
{
    Patch *p = user;
    const WinoEmit *e = p->e;
    const WinoPatches *of = p->of;
    LLVMValueRef tile = LLVMBuildAdd(w->b, p->t->scalar[S_FIRST], i, "");
    p->from = patch_of(p, w, tile);
    p->later = fetches(of) ? patch_of(p, w, tile_affine(w, tile, 1, AHEAD)) : NULL;
    p->to = tile_at(w, e->elem, wino_scratch(e, w, of->planes), i, e->lanes);
    if (of->blocks)
        tile_for(w, "block", 0, of->blocks, 1, data_block, p);
    else
        tile_range(w, "block", p->t->scalar[S_GROUP], p->t->scalar[S_GROUPS], data_block, p);
}

Tile wino_data_stage(const WinoEmit *e, const WinoPatches *of, const char *name)
{
    Tile t = tile_begin(e->w, name);
    Patch p = {.e = e, .of = of, .t = &t};
    tile_range(&t.w, "tile", walk_i64(&t.w, 0), t.scalar[S_COUNT], data_tile, &p);
    tile_end(&t);
    return t;
}

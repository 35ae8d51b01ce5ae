/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 2 of winograd.c: a matrix product a plane, tiles by channels, in register tiles like those
 * of 1x1 convolutions. */
#include "winoemit.h"

enum { LONGEST_SUM = 128 }; /* channels; errors grow with the length */

typedef struct Product {
    const WinoEmit *e;
    LLVMValueRef chunks; /* register tiles along the tiles of the block */
    Slice groups;
    LLVMValueRef data, wt, out; /* of the plane, then of the group of c channel blocks */
} Product;

/* `unroll` k-steps: each broadcasts the tiles' data against c vectors of weights. */
static void product_steps(Walk *w, void *user, LLVMValueRef in, LLVMValueRef wt, LLVMValueRef *acc)
{
    const WinoEmit *e = ((const Product *)user)->e;
    int64_t c = e->p.c;
    LLVMValueRef weight[MAX_ACC];
    for (int64_t u = 0; u < e->p.unroll; u++) {
        if (e->fetches)
            tile_prefetch_stream(w, tile_at_const(w, e->elem, wt, u * c * e->lanes), c * e->bytes);
        for (int64_t j = 0; j < c; j++)
            weight[j] = wino_load(e, w, tile_at_const(w, e->elem, wt, (u * c + j) * e->lanes));
        for (int64_t i = 0; i < e->p.t; i++) {
            LLVMValueRef at = tile_at_const(w, e->elem, in, i * e->lanes + u);
            LLVMValueRef x = walk_splat(w, tile_load(w, e->elem, at, e->bytes / e->lanes));
            for (int64_t j = 0; j < c; j++)
                acc[i * c + j] = tile_fma(w, x, weight[j], acc[i * c + j]);
        }
    }
}

/* Channel blocks whose products are summed in one go. */
static int64_t segment_blocks(const WinoEmit *e)
{
    int64_t blocks = e->s.data_ch / e->lanes, n = LONGEST_SUM / e->lanes;
    if (blocks <= n) return blocks;
    while (blocks % n != 0) n--;
    return n;
}

/* Sums of earlier segments wait in memory; the first finds anything there. */
static void store_product(const Product *p, Walk *w, LLVMValueRef first, LLVMValueRef to,
                          LLVMValueRef sum)
{
    if (first) {
        LLVMValueRef none = LLVMConstNull(p->e->vec), before = wino_load(p->e, w, to);
        before = LLVMBuildSelect(w->b, first, none, before, "");
        sum = LLVMBuildFAdd(w->b, before, sum, "");
    }
    wino_store(p->e, w, to, sum);
}

static void product_segment(Walk *w, void *user, LLVMValueRef segment)
{
    const Product *p = user;
    const WinoEmit *e = p->e;
    int64_t row = e->p.block * e->lanes, step = e->p.c * e->lanes, blocks = segment_blocks(e);
    bool one = blocks * e->lanes == e->s.data_ch;
    Nest n = {.elem = e->elem,
              .nlevel = 2,
              .nacc = (int)(e->p.t * e->p.c),
              .body = product_steps,
              .user = user,
              .level = {{"block", blocks, 1, row, step * e->lanes},
                        {"channel", e->lanes, e->p.unroll, 1, step}}};
    LLVMValueRef acc[MAX_ACC], zero = walk_i64(w, 0);
    LLVMValueRef data = tile_at(w, e->elem, p->data, segment, blocks * row);
    LLVMValueRef wt = tile_at(w, e->elem, p->wt, segment, blocks * step * e->lanes);
    for (int i = 0; i < n.nacc; i++) acc[i] = LLVMConstNull(e->vec);
    nest_emit(w, &n, data, wt, acc);
    LLVMValueRef first = one ? NULL : LLVMBuildICmp(w->b, LLVMIntEQ, segment, zero, "");
    for (int i = 0; i < n.nacc; i++) {
        int64_t at = i % e->p.c * row + i / e->p.c * e->lanes;
        store_product(p, w, first, tile_at_const(w, e->elem, p->out, at), acc[i]);
    }
}

static void product_chunk(Walk *w, void *user, LLVMValueRef chunk)
{
    Product p = *(const Product *)user;
    const WinoEmit *e = p.e;
    p.data = tile_at(w, e->elem, p.data, chunk, e->p.t * e->lanes);
    p.out = tile_at(w, e->elem, p.out, chunk, e->p.t * e->lanes);
    int64_t segments = e->s.data_ch / e->lanes / segment_blocks(e);
    tile_for(w, "segment", 0, segments, 1, product_segment, &p);
}

static void product_group(Walk *w, void *user, LLVMValueRef group)
{
    Product p = *(const Product *)user;
    const WinoEmit *e = p.e;
    p.wt = tile_at(w, e->elem, p.wt, group, e->p.c * e->lanes * e->s.data_ch);
    p.out = tile_at(w, e->elem, p.out, group, e->p.c * e->lanes * e->p.block);
    tile_range(w, "tiles", walk_i64(w, 0), p.chunks, product_chunk, &p);
}

static void product_plane(Walk *w, void *user, LLVMValueRef plane)
{
    Product p = *(const Product *)user;
    const WinoEmit *e = p.e;
    p.data = tile_at(w, e->elem, wino_data_planes(e, w), plane, e->in.plane);
    p.out = tile_at(w, e->elem, wino_result_planes(e, w), plane, e->result_plane);
    p.wt = tile_at(w, e->elem, w->base[w->k->packed_param], plane, e->s.data_ch * e->s.result_ch);
    tile_range(w, "group", p.groups.from, p.groups.to, product_group, &p);
}

Tile wino_product_stage(const WinoEmit *e)
{
    Tile t = tile_begin(e->w, "products");
    Product p = {.e = e, .groups = {t.scalar[S_GROUP], t.scalar[S_GROUPS]}};
    LLVMValueRef most = tile_affine(&t.w, t.scalar[S_COUNT], 1, e->p.t - 1);
    p.chunks = walk_quotient(&t.w, most, e->p.t);
    tile_for(&t.w, "plane", 0, wino_planes(e->f), 1, product_plane, &p);
    tile_end(&t);
    return t;
}

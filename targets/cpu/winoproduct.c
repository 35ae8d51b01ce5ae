/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 2 of winograd.c: a matrix product a plane, tiles by channels, in register tiles like those
 * of 1x1 convolutions. */
#include "winoemit.h"

enum { LONGEST_SUM = 128 }; /* channels; errors grow with the length */

static int64_t wino_weights(const WinoEmit *e) /* of a plane */
{
    return e->s.data_ch * e->s.result_ch;
}

typedef struct Product {
    const WinoEmit *e;
    LLVMValueRef chunks; /* register tiles along the tiles of the block */
    Slice groups;
    LLVMValueRef data, wt, out; /* of the plane, then of the group of c channel blocks */
    LLVMValueRef more[2];       /* planes that are summed along an axis; NULL: one */
    LLVMValueRef odd[2];        /* from the first's weights to the others', in elements */
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
            weight[j] = tile_weights(
                w, e->vec, tile_at_const(w, e->elem, wt, (u * c + j) * e->lanes), e->bytes);
        for (int64_t i = 0; i < e->p.t; i++) {
            LLVMValueRef at = tile_at_const(w, e->elem, in, i * e->lanes + u);
            LLVMValueRef x = walk_splat(w, tile_load(w, e->elem, at, e->bytes / e->lanes));
            for (int64_t j = 0; j < c; j++)
                acc[i * c + j] = tile_weigh(w, x, weight[j], acc[i * c + j]);
        }
    }
}

/* Planes of data whose products are summed in one go, along both axes at most. */
static int64_t summed(const WinoForm *f)
{
    return f->dx ? 1 : f->stride;
}

/* Channel blocks whose products are. */
static int64_t segment_blocks(const WinoEmit *e)
{
    int64_t blocks = e->s.data_ch / e->lanes, planes = summed(e->f) * summed(e->f),
            n = LONGEST_SUM / planes / e->lanes;
    if (n == 0) n = 1;
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
    int64_t planes = summed(e->f), down = wino_in(e->f) * e->in.plane;
    Nest n = {.elem = e->elem,
              .nlevel = 4,
              .nacc = (int)(e->p.t * e->p.c),
              .body = product_steps,
              .user = user,
              .level = {{"row", planes, 1, down, .to = p->more[0], .wt_by = p->odd[0]},
                        {"col", planes, 1, e->in.plane, .to = p->more[1], .wt_by = p->odd[1]},
                        {"block", blocks, 1, row, step * e->lanes},
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

/* Which planes of data and of the kernel make one of products. */
typedef struct Sources {
    LLVMValueRef data, kernel;
} Sources;

/* Of a point along an axis, where the stride is 2 (wino.h). `odd`: to the kernel's last point. */
static Sources sources(const WinoForm *f, Walk *w, LLVMValueRef point, LLVMValueRef *more,
                       LLVMValueRef *odd)
{
    int64_t few = wino_few(f), tap = wino_kernel(f) - 1;
    LLVMValueRef low =
        LLVMBuildICmp(w->b, LLVMIntSLT, point, walk_i64(w, f->dx ? few : few - 1), "");
    if (f->dx) {
        LLVMValueRef less = tile_affine(w, point, 1, -few);
        return (Sources){LLVMBuildSelect(w->b, low, point, less, ""),
                         LLVMBuildSelect(w->b, low, point, walk_i64(w, tap), "")};
    }
    *more = LLVMBuildSelect(w->b, low, walk_i64(w, f->stride), walk_i64(w, 1), "");
    *odd = tile_affine(w, point, -1, tap);
    return (Sources){tile_affine(w, point, f->stride, 0), point};
}

static Sources plane_sources(Product *p, Walk *w, LLVMValueRef plane)
{
    const WinoForm *f = p->e->f;
    if (f->stride == 1) return (Sources){plane, plane};
    LLVMValueRef row = walk_quotient(w, plane, wino_sums(f));
    LLVMValueRef col = LLVMBuildSub(w->b, plane, tile_affine(w, row, wino_sums(f), 0), "");
    Sources r = sources(f, w, row, &p->more[0], &p->odd[0]),
            c = sources(f, w, col, &p->more[1], &p->odd[1]);
    if (p->odd[0]) {
        p->odd[0] = tile_affine(w, p->odd[0], wino_kernel(f) * wino_weights(p->e), 0);
        p->odd[1] = tile_affine(w, p->odd[1], wino_weights(p->e), 0);
    }
    return (Sources){LLVMBuildAdd(w->b, tile_affine(w, r.data, wino_in(f), 0), c.data, ""),
                     LLVMBuildAdd(w->b, tile_affine(w, r.kernel, wino_kernel(f), 0), c.kernel, "")};
}

static void product_plane(Walk *w, void *user, LLVMValueRef plane)
{
    Product p = *(const Product *)user;
    const WinoEmit *e = p.e;
    Sources from = plane_sources(&p, w, plane);
    p.data = tile_at(w, e->elem, wino_data_planes(e, w), from.data, e->in.plane);
    p.out = tile_at(w, e->elem, wino_result_planes(e, w), plane, e->result_plane);
    p.wt = tile_at(w, e->elem, w->base[w->k->packed_param], from.kernel, wino_weights(e));
    tile_range(w, "group", p.groups.from, p.groups.to, product_group, &p);
}

Tile wino_product_stage(const WinoEmit *e)
{
    Tile t = tile_begin(e->w, "products");
    Product p = {.e = e, .groups = {t.scalar[S_GROUP], t.scalar[S_GROUPS]}};
    LLVMValueRef most = tile_affine(&t.w, t.scalar[S_COUNT], 1, e->p.t - 1);
    p.chunks = walk_quotient(&t.w, most, e->p.t);
    tile_for(&t.w, "plane", 0, wino_sums(e->f) * wino_sums(e->f), 1, product_plane, &p);
    tile_end(&t);
    return t;
}

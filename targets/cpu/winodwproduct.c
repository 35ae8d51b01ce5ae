/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 2 of winodw.c: products, summed over tiles. */
#include "winodwemit.h"

enum { LINE = 16 }; /* floats */

typedef struct Product {
    const WinoDw *d;
    Tile *t;
    WinoReach at;
    LLVMValueRef is_first, ends; /* i1: the run is the first of all; the block its last, or NULL */
    LLVMValueRef x, y, sum; /* of the plane; then of the group of x's channels, the part of dy's */
    LLVMValueRef kept;      /* sums of the run */
    LLVMValueRef group;
    int64_t first; /* plane of the part of planes */
    int64_t joint; /* parts */
    int64_t s;     /* scalars of a register tile, of one piece or of joint ones */
} Product;

/* One tile: s scalars of dy against c vectors of x. Joint pieces read each line of a plane once,
 * and fetch that of the next plane: it is in the L2 cache, and waiting for it costs a third. */
static void product_step(Walk *w, void *user, LLVMValueRef tile, LLVMValueRef *acc)
{
    const Product *p = user;
    const WinoEmit *e = &p->d->e;
    int64_t s = p->s, c = p->d->p.c;
    LLVMValueRef x = tile_at(w, e->elem, p->x, tile, e->lanes), v[MAX_ACC];
    LLVMValueRef y = walk_own_register(w, tile_at(w, e->elem, p->y, tile, e->lanes));
    for (int64_t j = 0; j < c; j++)
        v[j] = wino_load(e, w, tile_at_const(w, e->elem, x, j * p->d->p.block * e->lanes));
    if (s > p->d->p.s && !p->d->near) {
        tile_prefetch(w, tile_at_const(w, e->elem, x, e->in.plane));
        tile_prefetch(w, tile_at_const(w, e->elem, y, p->d->y.plane));
    }
    for (int64_t i = 0; i < s; i++) {
        LLVMValueRef at = tile_at_const(w, e->elem, y, i);
        LLVMValueRef k = walk_splat(w, tile_load(w, e->elem, at, e->bytes / e->lanes));
        for (int64_t j = 0; j < c; j++) acc[i * c + j] = tile_fma(w, k, v[j], acc[i * c + j]);
    }
}

/* One piece's sums over the block, or joint ones'. */
typedef struct Sums {
    const Product *p;
    LLVMValueRef acc[MAX_ACC];
    int n;
} Sums;

static LLVMValueRef sum_at(const Sums *s, Walk *w, LLVMValueRef sums, int i)
{
    return tile_at_const(w, s->p->d->e.elem, sums, i * s->p->d->e.lanes);
}

/* The first finds anything there. */
static void add_to_all(const Sums *s, Walk *w)
{
    const WinoEmit *e = &s->p->d->e;
    LLVMValueRef none = LLVMConstNull(e->vec);
    for (int i = 0; i < s->n; i++) {
        LLVMValueRef to = sum_at(s, w, s->p->sum, i), before = wino_load(e, w, to);
        before = LLVMBuildSelect(w->b, s->p->is_first, none, before, "");
        wino_store(e, w, to, LLVMBuildFAdd(w->b, before, s->acc[i], ""));
    }
}

/* A run leaves zeros to the next. */
static void end_run(Walk *w, void *user, LLVMValueRef any)
{
    const Sums *s = user;
    const WinoEmit *e = &s->p->d->e;
    (void)any;
    add_to_all(s, w);
    for (int i = 0; i < s->n; i++)
        wino_store(e, w, sum_at(s, w, s->p->kept, i), LLVMConstNull(e->vec));
}

static void in_run(Walk *w, void *user, LLVMValueRef any)
{
    const Sums *s = user;
    (void)any;
    for (int i = 0; i < s->n; i++)
        wino_store(&s->p->d->e, w, sum_at(s, w, s->p->kept, i), s->acc[i]);
}

static void when(Walk *w, LLVMValueRef condition, TileBody *body, void *user)
{
    LLVMValueRef turns = LLVMBuildZExt(w->b, condition, LLVMInt64TypeInContext(w->ctx), "");
    tile_steps(w, "when", (Slice){walk_i64(w, 0), turns}, 1, body, user);
}

static void add_sums(Sums *s, Walk *w)
{
    const WinoEmit *e = &s->p->d->e;
    if (!s->p->ends) {
        add_to_all(s, w);
        return;
    }
    for (int i = 0; i < s->n; i++)
        s->acc[i] =
            LLVMBuildFAdd(w->b, wino_load(e, w, sum_at(s, w, s->p->kept, i)), s->acc[i], "");
    when(w, s->p->ends, end_run, s);
    when(w, LLVMBuildNot(w->b, s->p->ends, ""), in_run, s);
}

/* Where the block is in its run, the run among all. */
static void find_place(Product *p, Walk *w)
{
    int64_t tiles = p->d->run * p->d->p.block;
    LLVMValueRef first = p->t->scalar[S_FIRST], all = walk_i64(w, p->d->tiles);
    LLVMValueRef run = tile_affine(w, walk_quotient(w, first, tiles), tiles, 0);
    LLVMValueRef next = tile_affine(w, first, 1, p->d->p.block);
    p->is_first = LLVMBuildICmp(w->b, LLVMIntEQ, run, walk_i64(w, 0), "");
    if (p->d->run == 1) return;
    p->ends = LLVMBuildICmp(w->b, LLVMIntEQ, next, tile_affine(w, run, 1, tiles), "");
    p->ends = LLVMBuildOr(w->b, p->ends, LLVMBuildICmp(w->b, LLVMIntSGE, next, all, ""), "");
}

/* `part` and those joint with it */
static void product_parts(Product p, Walk *w, LLVMValueRef part)
{
    const WinoDw *d = p.d;
    const WinoEmit *e = &d->e;
    int64_t in_block = e->lanes / d->p.s; /* parts */
    Sums s = {.p = &p, .n = (int)(p.s * d->p.c)};
    LLVMValueRef block = walk_quotient(w, part, in_block);
    LLVMValueRef rest = LLVMBuildSub(w->b, part, tile_affine(w, block, in_block, 0), "");
    block = LLVMBuildSub(w->b, block, p.at.y.from, "");
    p.y = tile_at(w, e->elem, p.y, block, d->p.block * e->lanes);
    p.y = tile_at(w, e->elem, p.y, rest, d->p.s);
    LLVMValueRef piece = LLVMBuildAdd(w->b, tile_affine(w, p.group, d->shape.parts, 0), part, "");
    piece = LLVMBuildSub(w->b, piece, p.at.pieces.from, "");
    p.sum = tile_at(w, e->elem, p.sum, piece, d->p.s * d->p.c * e->lanes);
    p.kept = tile_at(w, e->elem, p.kept, piece, d->p.s * d->p.c * e->lanes);
    for (int i = 0; i < s.n; i++) s.acc[i] = LLVMConstNull(e->vec);
    tile_sum(w, "tile", p.t->scalar[S_COUNT], s.n, s.acc, product_step, &p);
    add_sums(&s, w);
}

static void product_part(Walk *w, void *user, LLVMValueRef part)
{
    const Product *p = user;
    product_parts(*p, w, part);
}

static void joint_parts(Walk *w, void *user, LLVMValueRef index)
{
    Product p = *(const Product *)user;
    p.s *= p.joint;
    product_parts(p, w, tile_affine(w, index, p.joint, 0));
}

static void product_group(Walk *w, void *user, LLVMValueRef group)
{
    Product p = *(const Product *)user;
    const WinoDw *d = p.d;
    p.group = group;
    LLVMValueRef of_slab = LLVMBuildSub(w->b, group, p.at.groups.from, "");
    p.x = tile_at(w, d->e.elem, p.x, of_slab, d->p.c * d->p.block * d->e.lanes);
    LLVMValueRef first = tile_affine(w, group, d->shape.parts, 0);
    Slice parts = slice_part(w, p.at.pieces, first, d->shape.parts);
    Slice joint = {walk_quotient(w, parts.from, p.joint), walk_quotient(w, parts.to, p.joint)};
    if (p.joint > 1)
        tile_range(w, "joint", joint.from, joint.to, joint_parts, &p);
    else
        tile_range(w, "part", parts.from, parts.to, product_part, &p);
}

/* What the next run of blocks is made of, a portion a plane: it comes from beyond the L2 cache, and
 * a transform, which has little else to do, would wait for it. */
static void fetch_next(const Product *p, Walk *w, LLVMValueRef plane, const WinoPatches *of)
{
    const WinoDw *d = p->d;
    const Layout *l = &w->k->param[of->param].layout;
    int64_t sample = layout_stride(l, layout_digit(l, 0, 1));
    int64_t tiles = d->e.tiles[0] * d->e.tiles[1], planes = wino_planes(d->e.f);
    int64_t lines = (sample / tiles * d->p.block / LINE + planes - 1) / planes;
    LLVMValueRef tile = tile_affine(w, p->t->scalar[S_FIRST], 1, d->run * d->p.block);
    LLVMValueRef n = walk_quotient(w, tile, tiles), at = w->base[of->param];
    tile = LLVMBuildSub(w->b, tile, tile_affine(w, n, tiles, 0), "");
    at = tile_at(w, d->e.elem, tile_at(w, d->e.elem, at, n, sample), tile, sample / tiles);
    at = tile_at(w, d->e.elem, at, tile_affine(w, plane, 1, p->first), lines * LINE);
    for (int i = 0; i < lines; i++) tile_prefetch_far(w, tile_at_const(w, d->e.elem, at, i * LINE));
}

static void product_plane(Walk *w, void *user, LLVMValueRef plane)
{
    Product p = *(const Product *)user;
    const WinoDw *d = p.d;
    const WinoEmit *e = &d->e;
    if (d->near && e->in.far) fetch_next(&p, w, plane, &e->in);
    if (d->near && d->y.far) fetch_next(&p, w, plane, &d->y);
    p.x = tile_at(w, e->elem, wino_scratch(e, w, e->in.planes), plane, e->in.plane);
    p.y = tile_at(w, e->elem, wino_scratch(e, w, d->y.planes), plane, d->y.plane);
    p.sum = wino_scratch(e, w, d->sum_planes + p.first * d->sum_plane);
    p.sum = tile_at(w, e->elem, p.sum, plane, d->sum_plane);
    p.kept = tile_at(w, e->elem, wino_scratch(e, w, d->kept_planes), plane, d->sum_plane);
    tile_range(w, "group", p.at.groups.from, p.at.groups.to, product_group, &p);
}

static void product_planes(Walk *w, void *user, LLVMValueRef any)
{
    const Product *p = user;
    (void)any;
    tile_for(w, "plane", 0, wino_planes(p->d->e.f) / p->d->p.parts, 1, product_plane, user);
}

/* Whether a worker's range cuts no joint pieces. */
static LLVMValueRef is_joint(const Product *p, Walk *w)
{
    LLVMValueRef ends = LLVMBuildOr(w->b, p->at.pieces.from, p->at.pieces.to, "");
    LLVMValueRef cut = LLVMBuildAnd(w->b, ends, walk_i64(w, p->joint - 1), "");
    return LLVMBuildICmp(w->b, LLVMIntEQ, cut, walk_i64(w, 0), "");
}

Tile winodw_product_stage(const WinoDw *d)
{
    Tile t = tile_begin(d->e.w, "products");
    Walk *w = &t.w;
    Product p = {.d = d, .t = &t, .s = d->p.s};
    p.joint = winodw_joint(w->target, &d->p, d->e.lanes);
    p.first = d->part * wino_planes(d->e.f) / d->p.parts;
    find_place(&p, w);
    p.at = winodw_reach(d, w, (Slice){t.scalar[S_GROUP], t.scalar[S_GROUPS]});
    if (p.joint > 1) {
        Product all = p;
        LLVMValueRef joint = is_joint(&p, w);
        if (d->shape.slab == p.joint) /* no more than one: all that is left is the sums */
            all.at = winodw_reach(d, w, (Slice){walk_i64(w, 0), walk_i64(w, d->shape.slab)});
        when(w, joint, product_planes, &all);
        p.joint = 1;
        when(w, LLVMBuildNot(w->b, joint, ""), product_planes, &p);
    } else {
        product_planes(w, &p, walk_i64(w, 0));
    }
    tile_end(&t);
    return t;
}

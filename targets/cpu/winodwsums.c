/* SPDX-License-Identifier: Apache-2.0 */
/* Stages 2 and 3 of winodw.c: products, summed over tiles; and what the sums give. */
#include "winodwemit.h"

/* ---- products ---- */

typedef struct Product {
    const WinoDw *d;
    Tile *t;
    WinoReach at;
    LLVMValueRef x, y, sum; /* of the plane; then of the group of x's channels, the part of dy's */
    LLVMValueRef group;
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
    LLVMValueRef y = tile_own_register(w, tile_at(w, e->elem, p->y, tile, e->lanes));
    for (int64_t j = 0; j < c; j++)
        v[j] = wino_load(e, w, tile_at_const(w, e->elem, x, j * p->d->p.block * e->lanes));
    if (s > p->d->p.s) {
        tile_prefetch(w, tile_at_const(w, e->elem, x, e->in.plane));
        tile_prefetch(w, tile_at_const(w, e->elem, y, p->d->y.plane));
    }
    for (int64_t i = 0; i < s; i++) {
        LLVMValueRef at = tile_at_const(w, e->elem, y, i);
        LLVMValueRef k = walk_splat(w, tile_load(w, e->elem, at, e->bytes / e->lanes));
        for (int64_t j = 0; j < c; j++) acc[i * c + j] = tile_fma(w, k, v[j], acc[i * c + j]);
    }
}

/* The block's sums are added to those of the blocks before; the first finds anything there. */
static void add_sums(const Product *p, Walk *w, const LLVMValueRef *acc, int n)
{
    const WinoEmit *e = &p->d->e;
    LLVMValueRef none = LLVMConstNull(e->vec), zero = walk_i64(w, 0);
    LLVMValueRef first = LLVMBuildICmp(w->b, LLVMIntEQ, p->t->scalar[S_FIRST], zero, "");
    for (int i = 0; i < n; i++) {
        LLVMValueRef to = tile_at_const(w, e->elem, p->sum, i * e->lanes);
        LLVMValueRef before = LLVMBuildSelect(w->b, first, none, wino_load(e, w, to), "");
        wino_store(e, w, to, LLVMBuildFAdd(w->b, before, acc[i], ""));
    }
}

/* `part` and those joint with it */
static void product_parts(Product p, Walk *w, LLVMValueRef part)
{
    const WinoDw *d = p.d;
    const WinoEmit *e = &d->e;
    int64_t in_block = e->lanes / d->p.s; /* parts */
    int nacc = (int)(p.s * d->p.c);
    LLVMValueRef acc[MAX_ACC], block = walk_quotient(w, part, in_block);
    LLVMValueRef rest = LLVMBuildSub(w->b, part, tile_affine(w, block, in_block, 0), "");
    block = LLVMBuildSub(w->b, block, p.at.y.from, "");
    p.y = tile_at(w, e->elem, p.y, block, d->p.block * e->lanes);
    p.y = tile_at(w, e->elem, p.y, rest, d->p.s);
    LLVMValueRef piece = LLVMBuildAdd(w->b, tile_affine(w, p.group, d->shape.parts, 0), part, "");
    piece = LLVMBuildSub(w->b, piece, p.at.pieces.from, "");
    p.sum = tile_at(w, e->elem, p.sum, piece, d->p.s * d->p.c * e->lanes);
    for (int i = 0; i < nacc; i++) acc[i] = LLVMConstNull(e->vec);
    tile_sum(w, "tile", p.t->scalar[S_COUNT], nacc, acc, product_step, &p);
    add_sums(&p, w, acc, nacc);
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

static LLVMValueRef larger(Walk *w, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(w->b, LLVMBuildICmp(w->b, LLVMIntSGT, a, b, ""), a, b, "");
}

/* Joint parts, and what a worker's range has before and behind them. */
static void all_parts(Product *p, Walk *w, Slice parts)
{
    Slice whole = {walk_quotient(w, tile_affine(w, parts.from, 1, p->joint - 1), p->joint),
                   walk_quotient(w, parts.to, p->joint)};
    whole.to = larger(w, whole.from, whole.to);
    LLVMValueRef from = tile_affine(w, whole.from, p->joint, 0);
    LLVMValueRef to = tile_affine(w, whole.to, p->joint, 0);
    LLVMValueRef over = LLVMBuildICmp(w->b, LLVMIntSGT, from, parts.to, "");
    Slice before = {parts.from, LLVMBuildSelect(w->b, over, parts.to, from, "")};
    tile_steps(w, "part", before, 1, product_part, p);
    tile_steps(w, "joint", whole, 1, joint_parts, p);
    tile_steps(w, "part", (Slice){to, parts.to}, 1, product_part, p);
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
    if (p.joint > 1)
        all_parts(&p, w, parts);
    else
        tile_range(w, "part", parts.from, parts.to, product_part, &p);
}

static void product_plane(Walk *w, void *user, LLVMValueRef plane)
{
    Product p = *(const Product *)user;
    const WinoDw *d = p.d;
    const WinoEmit *e = &d->e;
    p.x = tile_at(w, e->elem, wino_scratch(e, w, e->in.planes), plane, e->in.plane);
    p.y = tile_at(w, e->elem, wino_scratch(e, w, d->y.planes), plane, d->y.plane);
    p.sum = tile_at(w, e->elem, wino_scratch(e, w, d->sum_planes), plane, d->sum_plane);
    tile_range(w, "group", p.at.groups.from, p.at.groups.to, product_group, &p);
}

Tile winodw_product_stage(const WinoDw *d)
{
    Tile t = tile_begin(d->e.w, "products");
    Product p = {.d = d, .t = &t, .s = d->p.s};
    p.joint = winodw_joint(d->e.w->target, &d->p, d->e.lanes);
    p.at = winodw_reach(d, &t.w, (Slice){t.scalar[S_GROUP], t.scalar[S_GROUPS]});
    tile_for(&t.w, "plane", 0, wino_planes(d->e.f), 1, product_plane, &p);
    tile_end(&t);
    return t;
}

/* ---- results ---- */

typedef struct Taps {
    const WinoDw *d;
    Tile *t;
    LLVMValueRef sums, oc, ic; /* of the piece at hand: its first sums, channel, block */
    LLVMValueRef row;          /* of the kernel */
} Taps;

/* r = GT m along an axis */
static void gather(const WinoForm *f, Walk *w, const LLVMValueRef m[WINO_IN],
                   LLVMValueRef r[WINO_TAPS])
{
    for (int t = 0; t < WINO_TAPS; t++) {
        r[t] = NULL;
        for (int i = 0; i < wino_in(f); i++) {
            double g = f->g[i][t];
            if (g == 0) continue;
            LLVMValueRef k = tile_real(m[i], g);
            if (r[t])
                r[t] = tile_fma(w, k, m[i], r[t]);
            else
                r[t] = g == 1 ? m[i] : LLVMBuildFMul(w->b, k, m[i], "");
        }
    }
}

static LLVMValueRef sum_at(const Taps *s, Walk *w, int64_t plane)
{
    return tile_at_const(w, s->d->e.elem, s->sums, plane * s->d->sum_plane);
}

/* The taps take the place of the first sums. */
static void sums_to_taps(const Taps *s, Walk *w)
{
    const WinoForm *f = s->d->e.f;
    LLVMValueRef half[WINO_TAPS][WINO_IN], m[WINO_IN], r[WINO_TAPS];
    int in = wino_in(f);
    for (int j = 0; j < in; j++) { /* columns */
        for (int i = 0; i < in; i++) m[i] = wino_load(&s->d->e, w, sum_at(s, w, i * in + j));
        gather(f, w, m, r);
        for (int i = 0; i < WINO_TAPS; i++) half[i][j] = r[i];
    }
    for (int i = 0; i < WINO_TAPS; i++) {
        gather(f, w, half[i], r);
        for (int j = 0; j < WINO_TAPS; j++)
            wino_store(&s->d->e, w, sum_at(s, w, i * WINO_TAPS + j), r[j]);
    }
}

static void store_tap(Walk *w, void *user, LLVMValueRef col)
{
    const Taps *s = user;
    LLVMValueRef at = LLVMBuildAdd(w->b, tile_affine(w, s->row, WINO_TAPS, 0), col, "");
    at = tile_at(w, s->d->e.elem, s->sums, at, s->d->sum_plane);
    walk_bind(w, s->d->e.axis[A_KX], col);
    walk_set(w, w->k->heavy, wino_load(&s->d->e, w, at));
    walk_stores(w);
}

static void store_row(Walk *w, void *user, LLVMValueRef row)
{
    Taps s = *(const Taps *)user;
    s.row = row;
    walk_bind(w, s.d->e.axis[A_KY], row);
    tile_for(w, "kx", 0, WINO_TAPS, 1, store_tap, &s);
}

static void tap_vector(Walk *w, void *user, LLVMValueRef j)
{
    Taps s = *(const Taps *)user;
    const WinoEmit *e = &s.d->e;
    s.sums = tile_at(w, e->elem, s.sums, j, e->lanes);
    walk_bind(w, e->axis[A_IC], LLVMBuildAdd(w->b, s.ic, j, ""));
    sums_to_taps(&s, w);
    tile_for(w, "ky", 0, WINO_TAPS, 1, store_row, &s);
}

static void tap_scalar(Walk *w, void *user, LLVMValueRef i)
{
    Taps s = *(const Taps *)user;
    const WinoEmit *e = &s.d->e;
    s.sums = tile_at(w, e->elem, s.sums, i, s.d->p.c * e->lanes);
    walk_bind(w, e->axis[A_OC], LLVMBuildAdd(w->b, s.oc, i, ""));
    tile_for(w, "vector", 0, s.d->p.c, 1, tap_vector, &s);
}

static void tap_piece(Walk *w, void *user, LLVMValueRef piece)
{
    Taps s = *(const Taps *)user;
    const WinoDw *d = s.d;
    LLVMValueRef of_slab = LLVMBuildSub(w->b, piece, s.t->scalar[S_GROUP], "");
    LLVMValueRef group = walk_quotient(w, piece, d->shape.parts);
    LLVMValueRef part = tile_affine(w, group, d->shape.parts, 0);
    part = LLVMBuildSub(w->b, piece, part, "");
    LLVMValueRef first = tile_affine(w, s.t->scalar[S_COUNT], d->e.lanes, 0);
    s.oc = LLVMBuildAdd(w->b, first, tile_affine(w, part, d->p.s, 0), "");
    s.ic = LLVMBuildAdd(w->b, s.t->scalar[S_FIRST], tile_affine(w, group, d->p.c, 0), "");
    s.sums = tile_at(w, d->e.elem, s.sums, of_slab, d->p.s * d->p.c * d->e.lanes);
    tile_for(w, "scalar", 0, d->p.s, 1, tap_scalar, &s);
}

/* Its scalars, but for the pieces: the slab's first blocks of channels, of x and of dy. */
Tile winodw_tap_stage(const WinoDw *d)
{
    Tile t = tile_begin(d->e.w, "results");
    Taps s = {.d = d, .t = &t};
    s.sums = wino_scratch(&d->e, &t.w, d->sum_planes);
    walk_bind(&t.w, d->e.axis[A_LANE], walk_i64(&t.w, 0));
    tile_range(&t.w, "piece", t.scalar[S_GROUP], t.scalar[S_GROUPS], tap_piece, &s);
    tile_end(&t);
    return t;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 3 of winodw.c: what the sums give. */
#include "winodwemit.h"

typedef struct Taps {
    const WinoDw *d;
    Tile *t;
    LLVMValueRef sums, oc, ic; /* of the piece at hand: its first sums, channel, block */
    LLVMValueRef row;          /* of the kernel */
} Taps;

/* r = GT m along an axis. Rows of G are one tap, pairs even +- odd, and one tap. */
static void gather(const WinoForm *f, Walk *w, const LLVMValueRef m[WINO_IN],
                   LLVMValueRef r[WINO_TAPS])
{
    int last = wino_in(f) - 1;
    r[0] = m[0], r[1] = NULL, r[2] = m[last];
    for (int i = 1; i < last; i += 2) {
        LLVMValueRef even = LLVMBuildFAdd(w->b, m[i], m[i + 1], "");
        LLVMValueRef odd = LLVMBuildFSub(w->b, m[i], m[i + 1], "");
        for (int t = 0; t < WINO_TAPS; t++) {
            LLVMValueRef v = t == 1 ? odd : even, k = tile_real(v, f->g[i][t]);
            r[t] = r[t] ? tile_fma(w, k, v, r[t]) : LLVMBuildFMul(w->b, k, v, "");
        }
    }
}

static LLVMValueRef sum_at(const Taps *s, Walk *w, int64_t plane)
{
    return tile_at_const(w, s->d->e.elem, s->sums, plane * s->d->sum_plane);
}

/* Where the planes of a row lie: part by part. */
static void plane_rows(const Taps *s, int place[WINO_IN])
{
    int parts = (int)s->d->p.parts;
    for (int part = 0, n = 0; part < parts; part++) {
        WinoRows r = wino_rows(s->d->e.f, parts, part);
        for (int i = 0; i < r.n; i++) place[r.at[i]] = n++;
    }
}

static void taps_of(const Taps *s, Walk *w, LLVMValueRef r[WINO_TAPS][WINO_TAPS])
{
    const WinoForm *f = s->d->e.f;
    LLVMValueRef half[WINO_TAPS][WINO_IN], m[WINO_IN];
    int in = wino_in(f), row[WINO_IN];
    plane_rows(s, row);
    for (int j = 0; j < in; j++) { /* columns */
        for (int i = 0; i < in; i++) m[i] = wino_load(&s->d->e, w, sum_at(s, w, row[i] * in + j));
        gather(f, w, m, r[0]);
        for (int i = 0; i < WINO_TAPS; i++) half[i][j] = r[0][i];
    }
    for (int i = 0; i < WINO_TAPS; i++) gather(f, w, half[i], r[i]);
}

static void bind_tap(const Taps *s, Walk *w, int i)
{
    walk_bind(w, s->d->e.axis[A_KY], walk_i64(w, i / WINO_TAPS));
    walk_bind(w, s->d->e.axis[A_KX], walk_i64(w, i % WINO_TAPS));
}

static void store_all(const Taps *s, Walk *w, LLVMValueRef r[WINO_TAPS][WINO_TAPS])
{
    LLVMValueRef value[WINO_TAPS * WINO_TAPS][MAX_STORES];
    for (int i = 0; i < WINO_TAPS * WINO_TAPS; i++) {
        bind_tap(s, w, i);
        walk_set(w, w->k->heavy, r[i / WINO_TAPS][i % WINO_TAPS]);
        walk_values(w, value[i]);
    }
    for (int k = 0; k < w->k->nstore; k++) {
        tile_in_order(w);
        for (int i = 0; i < WINO_TAPS * WINO_TAPS; i++) {
            bind_tap(s, w, i);
            walk_put(w, k, value[i][k]);
        }
    }
}

/* Lanes that lie side by side: scattered ones are too much code to have nine times. */
static bool is_plain(const Kernel *k)
{
    for (int i = 0; i < k->nstore; i++) {
        const KParam *p = &k->param[k->store[i].param];
        if (p->io || p->layout.rank != 4) return false;
        if (layout_stride(&p->layout, layout_digit(&p->layout, 1, 1)) != 1) return false;
    }
    return true;
}

/* The taps take the place of the first sums. */
static void keep_taps(const Taps *s, Walk *w, LLVMValueRef r[WINO_TAPS][WINO_TAPS])
{
    for (int i = 0; i < WINO_TAPS * WINO_TAPS; i++)
        wino_store(&s->d->e, w, sum_at(s, w, i), r[i / WINO_TAPS][i % WINO_TAPS]);
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
    LLVMValueRef r[WINO_TAPS][WINO_TAPS];
    taps_of(&s, w, r);
    if (is_plain(w->k)) {
        store_all(&s, w, r);
    } else {
        keep_taps(&s, w, r);
        tile_for(w, "ky", 0, WINO_TAPS, 1, store_row, &s);
    }
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

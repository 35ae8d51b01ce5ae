/* SPDX-License-Identifier: Apache-2.0 */
/* Physical layouts. An address is a sum of one term a logical dimension (each digit looks at one
 * dimension only), which is what makes packing a matter of small tables. With `bits`, addresses
 * count bits: element e is bit e % 8 of byte e / 8. Cells of halo and padding belong to no
 * element and hold zero after packing.
 *
 * A layout does not know the extents of its tensor, so a halo that lies only behind would not
 * show: the constructors put at least one cell in front of every axis that has cells behind. */
#include "kernel_impl.h"

#include <string.h>

static void add_digit(Layout *l, int dim, int64_t div, int64_t extent, int64_t low)
{
    if (l->ndigit == MAX_DIGITS) die("layout of more than %d digits", MAX_DIGITS);
    l->digit[l->ndigit++] = (Digit){dim, div, extent, low};
}

Layout layout_plain(Type t)
{
    return layout_halo(t, NULL, NULL);
}

static void add_spatial(Layout *l, Type t, const int64_t *low, const int64_t *high)
{
    for (int d = 2; d < t.rank; d++) {
        int64_t lo = low ? low[d - 2] : 0, hi = high ? high[d - 2] : 0;
        if (hi && !lo) lo = 1;
        add_digit(l, d, 1, lo + t.dim[d] + hi, lo);
    }
}

Layout layout_halo(Type t, const int64_t *low, const int64_t *high)
{
    Layout l = {.rank = t.rank};
    for (int d = 0; d < t.rank && d < 2; d++) add_digit(&l, d, 1, t.dim[d], 0);
    add_spatial(&l, t, low, high);
    return l;
}

Layout layout_blocked(Type t, int v, const int64_t *low, const int64_t *high)
{
    if (v == 1) return layout_halo(t, low, high);
    check(t.rank >= 2 && v > 1 && t.dim[1] % v == 0);
    Layout l = {.rank = t.rank};
    add_digit(&l, 0, 1, t.dim[0], 0);
    add_digit(&l, 1, v, t.dim[1] / v, 0);
    add_spatial(&l, t, low, high);
    add_digit(&l, 1, 1, v, 0);
    return l;
}

static bool digit_eq(const Digit *a, const Digit *b)
{
    return a->dim == b->dim && a->div == b->div && a->extent == b->extent && a->low == b->low;
}

bool layout_eq(const Layout *a, const Layout *b)
{
    if (a->rank != b->rank || a->ndigit != b->ndigit || a->bits != b->bits) return false;
    for (int i = 0; i < a->ndigit; i++)
        if (!digit_eq(&a->digit[i], &b->digit[i])) return false;
    return true;
}

int64_t layout_stride(const Layout *l, int digit)
{
    int64_t n = 1;
    for (int i = digit + 1; i < l->ndigit; i++)
        if (!mul_ok(n, l->digit[i].extent, &n)) err(NULL, "a tensor is too large for its layout");
    return n;
}

int64_t layout_cells(const Layout *l)
{
    return layout_stride(l, -1);
}

int64_t layout_bytes(const Layout *l, DType d)
{
    int64_t n;
    if (l->bits) return (layout_cells(l) + 7) / 8;
    if (!mul_ok(layout_cells(l), dtype_bytes(d), &n))
        err(NULL, "a tensor is too large for its layout");
    return n;
}

bool layout_has_halo(const Layout *l)
{
    for (int i = 0; i < l->ndigit; i++)
        if (l->digit[i].low) return true;
    return false;
}

int64_t layout_coarser(const Layout *l, int digit)
{
    const Digit *d = &l->digit[digit];
    int64_t best = 0;
    for (int i = 0; i < l->ndigit; i++) {
        const Digit *e = &l->digit[i];
        if (e->dim == d->dim && e->div > d->div && (!best || e->div < best)) best = e->div;
    }
    return best;
}

/* What one dimension adds to the address. Indices below 0 reach into the halo. */
static int64_t dim_address(const Layout *l, int dim, int64_t index)
{
    int64_t at = 0;
    for (int i = 0; i < l->ndigit; i++) {
        const Digit *d = &l->digit[i];
        if (d->dim != dim) continue;
        int64_t mod = layout_coarser(l, i), v = floor_div(index, d->div);
        if (mod) v = floor_mod(v, mod / d->div);
        at += (v + d->low) * layout_stride(l, i);
    }
    return at;
}

int64_t layout_address(const Layout *l, const int64_t *index)
{
    int64_t at = 0;
    for (int d = 0; d < l->rank; d++) at += dim_address(l, d, index[d]);
    return at;
}

/* ---- packing ---- */

static void release_arena(void *arena)
{
    arena_free(arena);
}

Arena *scratch_begin(void)
{
    Arena *a = arena_new();
    err_defer(release_arena, a);
    return a;
}

void scratch_end(Arena *a)
{
    err_keep(a);
    arena_free(a);
}

typedef struct Pack {
    const Layout *l;
    Type type;
    int64_t *table[MAX_RANK]; /* dim_address of every index of a dimension */
    const char *from;
    char *to;
    bool unpack;
} Pack;

static void copy_element(const Pack *p, int64_t dense, int64_t at)
{
    size_t n = (size_t)dtype_bytes(p->type.dtype);
    int64_t from = p->unpack ? at : dense, to = p->unpack ? dense : at;
    if (!p->l->bits)
        memcpy(p->to + (size_t)to * n, p->from + (size_t)from * n, n);
    else if (p->unpack)
        p->to[dense] = (char)(p->from[at / 8] >> (at % 8) & 1);
    else if (p->from[dense])
        p->to[at / 8] = (char)(p->to[at / 8] | 1 << (at % 8));
}

static void copy_from_dim(const Pack *p, int dim, int64_t dense, int64_t at)
{
    if (dim == p->type.rank) {
        copy_element(p, dense, at);
        return;
    }
    int64_t n = p->type.dim[dim];
    for (int64_t i = 0; i < n; i++) copy_from_dim(p, dim + 1, dense * n + i, at + p->table[dim][i]);
}

static void copy_all(Pack *p)
{
    check(p->l->rank == p->type.rank);
    Arena *tables = scratch_begin();
    for (int d = 0; d < p->type.rank; d++) {
        p->table[d] = NEW_N(tables, int64_t, p->type.dim[d]);
        for (int64_t i = 0; i < p->type.dim[d]; i++) p->table[d][i] = dim_address(p->l, d, i);
    }
    copy_from_dim(p, 0, 0, 0);
    scratch_end(tables);
}

void layout_pack(const Layout *l, Type t, const void *dense, void *packed)
{
    memset(packed, 0, (size_t)layout_bytes(l, t.dtype));
    copy_all(&(Pack){.l = l, .type = t, .from = dense, .to = packed});
}

void layout_unpack(const Layout *l, Type t, const void *packed, void *dense)
{
    copy_all(&(Pack){.l = l, .type = t, .from = packed, .to = dense, .unpack = true});
}

/* ---- text ---- */

static void digit_text(Str *s, const Layout *l, int i)
{
    const Digit *d = &l->digit[i];
    int64_t mod = layout_coarser(l, i);
    str_fmt(s, "%d", d->dim);
    if (d->div > 1) str_fmt(s, "/%lld", (long long)d->div);
    if (mod) str_fmt(s, "%%%lld", (long long)(mod / d->div));
    if (d->low) str_fmt(s, "+%lld:%lld", (long long)d->low, (long long)d->extent);
}

void layout_text(Str *s, const Layout *l)
{
    str_put(s, "{");
    for (int i = 0; i < l->ndigit; i++) {
        if (i) str_put(s, " ");
        digit_text(s, l, i);
    }
    str_put(s, l->bits ? " bits}" : "}");
}

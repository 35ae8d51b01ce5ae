/* SPDX-License-Identifier: Apache-2.0 */
/* Zeroes the halos of a machine's buffers: what lies around the elements, not the elements. On maps
 * of 56x56 with a halo of one that is 7% of the bytes. */
#include "entry.h"

typedef struct Edge {
    EntryGen *g;
    const Buffer *b;
    int last; /* digit: those behind it hold elements only */
} Edge;

/* Elements among the digit's cells; what follows `low` and them is halo, too. */
static int64_t used_cells(const Buffer *b, int digit)
{
    const Digit *d = &b->layout.digit[digit];
    if (layout_coarser(&b->layout, digit)) return d->extent - d->low;
    int64_t used = (b->dim[d->dim] + d->div - 1) / d->div;
    check(used > 0 && d->low + used <= d->extent);
    return used;
}

static int64_t cell_bytes(const Buffer *b, int digit)
{
    int64_t cells = layout_stride(&b->layout, digit);
    return b->layout.bits ? cells / 8 : cells * dtype_bytes(b->dtype);
}

static bool has_edge(const Buffer *b, int digit)
{
    const Digit *d = &b->layout.digit[digit];
    return d->low || used_cells(b, digit) < d->extent;
}

static int last_edge(const Buffer *b)
{
    int last = -1;
    for (int i = 0; i < b->layout.ndigit; i++)
        if (has_edge(b, i)) last = i;
    return last;
}

static void zero_cells(const Edge *e, LLVMValueRef at, int digit, int64_t from, int64_t n)
{
    int64_t bytes = cell_bytes(e->b, digit);
    if (n > 0) ib_zero(&e->g->ib, ib_at(&e->g->ib, at, from * bytes), n * bytes);
}

/* The edges of digit and of those behind it, of the cells from `at` on. */
static void zero_edges(const Edge *e, LLVMValueRef at, int digit)
{
    Ib *ib = &e->g->ib;
    const Digit *d = &e->b->layout.digit[digit];
    int64_t used = used_cells(e->b, digit), end = d->low + used;
    zero_cells(e, at, digit, 0, d->low);
    zero_cells(e, at, digit, end, d->extent - end);
    if (digit == e->last) return;
    IbFor cell = ib_for(ib, ib_i64(ib, d->low), ib_i64(ib, end));
    LLVMValueRef skip =
        LLVMBuildMul(ib->b, ib_value(ib, cell.i), ib_i64(ib, cell_bytes(e->b, digit)), "");
    zero_edges(e, ib_elem(ib, ib->i8, at, skip), digit + 1);
    ib_end_for(ib, &cell);
}

/* Bits of one byte may lie on both sides of an edge. */
static bool cut_at_bytes(const Buffer *b, int last)
{
    return !b->layout.bits || layout_stride(&b->layout, last) % 8 == 0;
}

static void zero_halo(EntryGen *g, LLVMValueRef arena, const Buffer *b)
{
    Edge e = {g, b, last_edge(b)};
    LLVMValueRef at = ib_at(&g->ib, arena, b->offset);
    if (cut_at_bytes(b, e.last))
        zero_edges(&e, at, 0);
    else
        ib_zero(&g->ib, at, b->bytes);
}

static bool has_halo(const Buffer *b)
{
    return (b->kind == BUF_STATE || b->kind == BUF_TEMP) && layout_has_halo(&b->layout);
}

/* Whether another has the halo of a buffer's place: as many slots or more, and first if as many. */
static bool zeroed_with_another(const Program *p, int buffer)
{
    const Buffer *b = &p->buffer[buffer];
    for (int i = 0; i < p->nbuffer; i++) {
        const Buffer *o = &p->buffer[i];
        if (i == buffer || !has_halo(o) || o->offset != b->offset) continue;
        if (o->bytes > b->bytes || (o->bytes == b->bytes && i < buffer)) return true;
    }
    return false;
}

void entry_zero_halos(EntryGen *g, LLVMValueRef run)
{
    LLVMValueRef arena = ib_get(&g->ib, g->run_t, run, RUN_ARENA);
    for (int i = 0; i < g->p->nbuffer; i++)
        if (has_halo(&g->p->buffer[i]) && !zeroed_with_another(g->p, i))
            zero_halo(g, arena, &g->p->buffer[i]);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers and their places in the memory of a machine:
 *
 *   states | states and pools with a halo (zeroed once a call) | temporaries | phases |
 *   scratch of claims | one spare sample
 *
 * The second line is each worker's own where several share the kernels of a machine; claims run one
 * after another and use the same scratch.
 * A halo is zeroed once and never written, so a buffer with a halo shares its place only with
 * buffers of the very same geometry, be they of fewer slots: those form a pool, and pools do not
 * overlap. Other temporaries are placed first-fit by lifetime. Phases never run at the same time on
 * a worker and share all of it. */
#include <string.h>

#include "lowering.h"

enum { ALIGN = CONST_ALIGN };

static int64_t align_up(int64_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

int buffer_add(Arena *a, Program *p, Buffer b)
{
    uint32_t n = (uint32_t)p->nbuffer;
    GROW(a, p->buffer, n, p->buffer_cap);
    p->buffer[n] = b;
    return p->nbuffer++;
}

/* ---- constants ---- */

static bool same_const(const ModConst *a, const ModConst *b)
{
    if (a->value->hash != b->value->hash || !type_eq(a->value->type, b->value->type) ||
        a->definition != b->definition || !layout_eq(&a->layout, &b->layout))
        return false;
    if (!a->target || !b->target) return a->target == b->target;
    return a->offer->claim == b->offer->claim && a->contract->op == b->contract->op &&
           !memcmp(a->offer->number, b->offer->number, sizeof a->offer->number);
}

static ModConst *module_const(Module *m, const ModConst *c)
{
    for (uint32_t i = 0; i < m->nconst; i++)
        if (same_const(&m->constant[i], c)) return &m->constant[i];
    GROW(m->arena, m->constant, m->nconst, m->const_cap);
    ModConst *own = &m->constant[m->nconst++];
    int64_t *end = c->definition ? &m->shadow_bytes : &m->const_bytes;
    *own = *c;
    own->offset = *end;
    *end += align_up(c->bytes);
    return own;
}

static int add_const(Lowering *l, const ModConst *c)
{
    const ModConst *own = module_const(l->module, c);
    Program *p = l->prog;
    for (int i = 0; i < p->nbuffer; i++)
        if (p->buffer[i].kind == BUF_CONST && p->buffer[i].offset == own->offset &&
            p->buffer[i].definition == own->definition)
            return i;
    return buffer_add(l->module->arena, p,
                      (Buffer){.kind = BUF_CONST,
                               .dtype = own->value->type.dtype,
                               .layout = own->layout,
                               .bytes = own->bytes,
                               .offset = own->offset,
                               .value = own->value,
                               .definition = own->definition,
                               .name = "constant"});
}

static ModConst plain_const(const Const *value, const Layout *lay)
{
    return (ModConst){
        .value = value, .layout = *lay, .bytes = layout_bytes(lay, value->type.dtype)};
}

int buffer_const(Lowering *l, const Const *value, const Layout *lay)
{
    ModConst c = plain_const(value, lay);
    return add_const(l, &c);
}

int buffer_definition(Lowering *l, const Const *value, const Layout *lay)
{
    ModConst c = plain_const(value, lay);
    c.definition = true;
    return add_const(l, &c);
}

int buffer_packed(Lowering *l, const Const *value, const Contract *contract, const Offer *offer)
{
    int64_t cells = offer->packed_bytes / dtype_bytes(value->type.dtype);
    Layout lay = layout_plain(type_of(value->type.dtype, 1, &cells));
    ModConst c = plain_const(value, &lay);
    c.target = l->target;
    c.contract = arena_dup(l->module->arena, contract, sizeof *contract);
    c.offer = arena_dup(l->module->arena, offer, sizeof *offer);
    return add_const(l, &c);
}

/* ---- names ---- */

static int find_named(const Program *p, BufKind kind, const char *name)
{
    for (int i = 0; i < p->nbuffer; i++)
        if (p->buffer[i].kind == kind && !strcmp(p->buffer[i].name, name)) return i;
    return -1;
}

static int add_named(Module *m, Program *p, BufKind kind, const char *name, int index, Type t)
{
    Buffer b = {.kind = kind,
                .dtype = t.dtype,
                .index = index,
                .sample = t.rank > 0,
                .name = arena_strdup(m->arena, name)};
    if (kind != BUF_STATE || t.rank <= 1) b.layout = layout_plain(t);
    memcpy(b.dim, t.dim, sizeof b.dim);
    b.bytes = type_bytes(t);
    return buffer_add(m->arena, p, b);
}

static bool is_state(const char *name)
{
    static const char *const own[] = {"id", "t", "limit", "done", "sample"};
    for (int i = 0; i < COUNT(own); i++)
        if (!strcmp(name, own[i])) return true;
    return !strncmp(name, "state.", 6);
}

static int bind(Module *m, Program *p, BufKind kind, const char *name, int index, Type t)
{
    int b = find_named(p, kind, name);
    return b >= 0 ? b : add_named(m, p, kind, name, index, t);
}

int buffer_bind(Module *m, Program *p, const char *name, Type t, bool output)
{
    for (int i = 0; i < p->nio; i++)
        if (!strcmp(p->io[i].name, name) && p->io[i].output == output)
            return bind(m, p, BUF_IO, name, i, t);
    for (int i = 0; i < p->nhyper && !output; i++)
        if (!strcmp(p->hyper[i].name, name)) return bind(m, p, BUF_HYPER, name, i, t);
    if (!strcmp(name, "seed") && !output) return bind(m, p, BUF_SEED, name, 0, t);
    return is_state(name) ? bind(m, p, BUF_STATE, name, 0, t) : -1;
}

/* ---- placing ---- */

static int64_t place_states(Program *p, bool halo, int64_t at)
{
    for (int i = 0; i < p->nbuffer; i++) {
        Buffer *b = &p->buffer[i];
        if (b->kind != BUF_STATE || layout_has_halo(&b->layout) != halo) continue;
        b->offset = at;
        at = align_up(at + b->bytes);
    }
    return at;
}

static bool overlap(const Buffer *a, const Buffer *b)
{
    return a->phase == b->phase && a->from <= b->to && b->from <= a->to;
}

static bool has_pool(const Buffer *b)
{
    return b->kind == BUF_TEMP && layout_has_halo(&b->layout);
}

/* Whether a place of `a` serves b: what a slot has there is alike, and b has no more of them. */
static bool serves(const Buffer *a, const Buffer *b)
{
    Layout as = a->layout;
    if (b->chunk && !as.digit[0].low) as.digit[0].extent = b->layout.digit[0].extent;
    return a->bytes >= b->bytes && a->dtype == b->dtype && layout_eq(&as, &b->layout) &&
           !memcmp(a->dim + 1, b->dim + 1, sizeof a->dim - sizeof a->dim[0]);
}

/* Whether those of the pools that have places keep clear of `offset` during b's life. */
static bool is_free(const Program *p, int64_t offset, const Buffer *b)
{
    for (int i = 0; i < p->nbuffer; i++) {
        const Buffer *o = &p->buffer[i];
        if (o != b && has_pool(o) && o->offset == offset && overlap(o, b)) return false;
    }
    return true;
}

/* Finds a place in b's pool that is free during b's life, or opens one. Those without one yet are
 * at -1. */
static int64_t place_in_pool(Program *p, Buffer *b, int64_t end)
{
    for (int i = 0; i < p->nbuffer; i++) {
        const Buffer *o = &p->buffer[i];
        if (!has_pool(o) || o->offset < 0 || !serves(o, b) || !is_free(p, o->offset, b)) continue;
        b->offset = o->offset;
        return end;
    }
    b->offset = end;
    return align_up(end + b->bytes);
}

/* Those of many slots first: others find room in theirs. */
static int64_t place_pools(Program *p, int64_t at)
{
    for (int i = 0; i < p->nbuffer; i++)
        if (has_pool(&p->buffer[i])) p->buffer[i].offset = -1;
    for (int slots = p->slots; slots > 0; slots--)
        for (int i = 0; i < p->nbuffer; i++) {
            Buffer *b = &p->buffer[i];
            if (has_pool(b) && (b->chunk ? b->chunk : p->slots) == slots)
                at = place_in_pool(p, b, at);
        }
    return at;
}

/* First fit: the lowest offset not used by any placed temporary that is alive with b. */
static void place_first_fit(Program *p, int b, int64_t base)
{
    Buffer *me = &p->buffer[b];
    int64_t at = base;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < b; i++) {
            Buffer *o = &p->buffer[i];
            if (o->kind != BUF_TEMP || layout_has_halo(&o->layout) || !overlap(o, me)) continue;
            if (at < o->offset + o->bytes && o->offset < at + me->bytes) {
                at = align_up(o->offset + o->bytes);
                moved = true;
            }
        }
    }
    me->offset = at;
}

static int64_t spare_sample(const Program *p)
{
    int64_t most = 0;
    for (int i = 0; i < p->nio; i++) {
        int64_t n = dtype_bytes(p->io[i].dtype);
        for (int d = 0; d < p->io[i].rank; d++) n *= p->io[i].dim[d];
        if (p->io[i].output && n > most) most = n;
    }
    return most;
}

static void place_own(Program *p)
{
    int64_t most = 0;
    for (int i = 0; i < p->nbuffer; i++) {
        Buffer *b = &p->buffer[i];
        if (b->kind != BUF_SCRATCH) continue;
        b->offset = p->main_bytes;
        if (b->bytes > most) most = b->bytes;
    }
    p->scratch_offset = p->main_bytes + align_up(most);
    int64_t end = align_up(p->scratch_offset + spare_sample(p));
    p->own_bytes = end > p->main_bytes ? end - p->main_bytes : ALIGN; /* arenas are divided by it */
}

void lower_plan(Module *m, Program *p)
{
    (void)m;
    p->zero_offset = place_states(p, false, 0);
    int64_t at = place_states(p, true, p->zero_offset);
    at = place_pools(p, at);
    p->zero_bytes = at - p->zero_offset;
    int64_t base = at;
    for (int i = 0; i < p->nbuffer; i++) {
        Buffer *b = &p->buffer[i];
        if (b->kind != BUF_TEMP || layout_has_halo(&b->layout)) continue;
        place_first_fit(p, i, base);
        if (b->offset + b->bytes > at) at = align_up(b->offset + b->bytes);
    }
    p->phase_offset = at;
    p->main_bytes = align_up(p->phase_offset + 8 * (int64_t)p->slots);
    place_own(p);
    program_arena(p);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One artefact for several CPUs (--cpu a,b): a module for each, lowered on its own, since layouts,
 * packed weights and kernels differ. Joined they look like one to the caller: the arena is as large
 * as the largest needs, and constants lie in one blob, equal bytes once. */
#include <string.h>

#include "compiler/compiled.h"

/* ---- targets ---- */

static const Target *find_target(AdjCompiled *c, const char *cpu)
{
    Target *t = arena_dup(c->arena, target_find(c->arena, c->opt.target, cpu), sizeof *t);
    t->winograd = !c->opt.no_winograd;
    if (c->opt.tiles == ADJ_TILES_OFF) t->tiles = 0;
    t->f32_tiles = c->opt.tiles == ADJ_TILES_F32;
    t->depth_first = !c->opt.no_depth;
    t->max_error = c->opt.max_error;
    t->bf16_parts = c->opt.bf16;
    t->schedule = &c->schedule;
    if (c->opt.generic) t->offer = NULL;
    return t;
}

/* Objects ask cpuid which variant to run. */
static void check_family(const Target *first)
{
    if (strcmp(first->name, "x86-64"))
        err("--cpu", "a list of CPUs is possible on x86-64 only, not for %s", first->triple);
}

static void add_variant(AdjCompiled *c, const char *cpu)
{
    if (c->nvariant) check_family(c->variant[0].target);
    const Target *t = find_target(c, cpu);
    for (int i = 0; i < c->nvariant; i++)
        if (!strcmp(c->variant[i].target->cpu, t->cpu)) err("--cpu", "names %s twice", t->cpu);
    if (c->nvariant == MAX_VARIANTS) err("--cpu", "more than %d CPUs", MAX_VARIANTS);
    c->variant[c->nvariant++].target = t;
    c->cpus = c->cpus ? arena_printf(c->arena, "%s,%s", c->cpus, t->cpu) : t->cpu;
}

/* The entry's choice on this machine, so that what is interpreted is what runs. */
static int chosen(const AdjCompiled *c)
{
    for (int i = c->nvariant - 1; i > 0; i--)
        if (target_runs_here(c->variant[i].target)) return i;
    return 0;
}

void variants_open(AdjCompiled *c)
{
    char *list = arena_strdup(c->arena, c->opt.cpu ? c->opt.cpu : "native"), *rest = list;
    for (char *cpu; (cpu = strsep(&rest, ","));)
        if (*cpu) add_variant(c, cpu);
    if (!c->nvariant) err("--cpu", "names no CPU");
    schedules_open(c);
    c->target = c->variant[chosen(c)].target;
}

/* ---- constants ---- */

typedef struct Blob {
    Arena *arena, *scratch;
    uint32_t n, cap;
    const ModConst **part; /* with their place in the blob */
    uint64_t *hash;        /* of the packed bytes */
    uint32_t hash_cap;
    int64_t size;
    uint8_t *bytes[2]; /* packed for comparing: the one to be placed, one that has its place */
} Blob;

/* May they share a place? Weights may not for their bytes: those may be exchanged. What a target
 * packs, it packs in its own way. */
static bool may_share(const ModConst *a, const ModConst *b)
{
    if (a->bytes != b->bytes || (a->value->id != 0) != (b->value->id != 0)) return false;
    if (!a->value->id) return true;
    return !a->target && !b->target && a->value->hash == b->value->hash &&
           layout_eq(&a->layout, &b->layout);
}

static bool same_bytes(Blob *b, const ModConst *placed)
{
    const_pack(placed, b->bytes[1]);
    return !memcmp(b->bytes[0], b->bytes[1], (size_t)placed->bytes);
}

/* The place of equal bytes, or a new one at the end. */
static int64_t place(Blob *b, const ModConst *c)
{
    const_pack(c, b->bytes[0]);
    uint64_t hash = hash_bytes(b->bytes[0], (size_t)c->bytes, 1);
    for (uint32_t i = 0; i < b->n; i++)
        if (b->hash[i] == hash && may_share(b->part[i], c) && same_bytes(b, b->part[i]))
            return b->part[i]->offset;
    GROW(b->arena, b->part, b->n, b->cap);
    GROW(b->scratch, b->hash, b->n, b->hash_cap);
    ModConst *own = arena_dup(b->arena, c, sizeof *own);
    own->offset = b->size;
    b->part[b->n] = own;
    b->hash[b->n++] = hash;
    b->size += (c->bytes + CONST_ALIGN - 1) / CONST_ALIGN * CONST_ALIGN;
    return own->offset;
}

static void move_buffers(Module *m, const int64_t *moved)
{
    for (int i = 0; i < m->nprogram; i++) {
        Program *p = &m->program[i];
        for (int k = 0; k < p->nbuffer; k++)
            if (p->buffer[k].kind == BUF_CONST && !p->buffer[k].definition)
                p->buffer[k].offset = moved[p->buffer[k].offset / CONST_ALIGN];
    }
}

static void move_constants(Blob *b, Module *m)
{
    int64_t *moved = NEW_N(b->scratch, int64_t, m->const_bytes / CONST_ALIGN + 1);
    for (uint32_t i = 0; i < m->nconst; i++) {
        ModConst *c = &m->constant[i];
        if (c->definition) continue; /* no part of the object */
        int64_t to = place(b, c);
        check(c->offset % CONST_ALIGN == 0);
        moved[c->offset / CONST_ALIGN] = to;
        c->offset = to;
    }
    move_buffers(m, moved);
}

static void free_scratch(void *scratch)
{
    arena_free(scratch);
}

static Blob blob_open(const AdjCompiled *c)
{
    Blob b = {.arena = c->arena, .scratch = arena_new()};
    int64_t most = 0;
    err_defer(free_scratch, b.scratch);
    for (int i = 0; i < c->nvariant; i++) {
        const Module *m = c->variant[i].module;
        for (uint32_t k = 0; k < m->npart; k++)
            if (m->part[k]->bytes > most) most = m->part[k]->bytes;
    }
    for (int i = 0; i < COUNT(b.bytes); i++) b.bytes[i] = arena_alloc(b.scratch, (size_t)most);
    return b;
}

static void join_constants(AdjCompiled *c)
{
    Blob b = blob_open(c);
    for (int i = 0; i < c->nvariant; i++) move_constants(&b, c->variant[i].module);
    for (int i = 0; i < c->nvariant; i++) {
        c->variant[i].module->part = b.part;
        c->variant[i].module->npart = b.n;
        c->variant[i].module->const_bytes = b.size;
    }
    err_keep(b.scratch);
    arena_free(b.scratch);
}

/* ---- arenas ---- */

static void raise(int64_t *a, int64_t b)
{
    if (*a < b) *a = b;
}

static void join_arenas(AdjCompiled *c, int program)
{
    int64_t shared = 0, worker = 0;
    int team = c->module->program[program].slots;
    for (int i = 0; i < c->nvariant; i++) {
        int own = c->variant[i].module->program[program].team_slots;
        if (own < team) team = own;
        raise(&shared, c->variant[i].module->program[program].shared_bytes);
        raise(&worker, c->variant[i].module->program[program].worker_bytes);
    }
    for (int i = 0; i < c->nvariant; i++) {
        c->variant[i].module->program[program].shared_bytes = shared;
        c->variant[i].module->program[program].worker_bytes = worker;
        c->variant[i].module->program[program].team_slots = team;
    }
}

void variants_join(AdjCompiled *c)
{
    c->module = c->variant[chosen(c)].module;
    if (c->nvariant == 1) return;
    join_constants(c);
    for (int i = 0; i < c->module->nprogram; i++) join_arenas(c, i);
}

/* ---- code ---- */

Bytes variants_emit(const AdjCompiled *c, EmitKind kind, int64_t *stack)
{
    Variant v[MAX_VARIANTS];
    for (int i = 0; i < c->nvariant; i++)
        v[i] = (Variant){c->variant[i].module, c->variant[i].target};
    return target_emit_variants(v, c->nvariant, kind, stack);
}

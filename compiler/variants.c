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
    c->target = c->variant[chosen(c)].target;
}

/* ---- constants ---- */

typedef struct Blob {
    Arena *arena;
    uint32_t n, cap;
    const ModConst **part; /* with their place in the blob */
    const uint8_t **bytes;
    uint64_t *hash;
    uint32_t bytes_cap, hash_cap;
    int64_t size;
} Blob;

/* May they share a place? Weights may not for their bytes: those may be exchanged. What a target
 * packs, it packs in its own way. */
static bool same_part(const ModConst *a, const ModConst *b)
{
    if (a->bytes != b->bytes || (a->value->id != 0) != (b->value->id != 0)) return false;
    if (!a->value->id) return true;
    return !a->target && !b->target && a->value->hash == b->value->hash &&
           layout_eq(&a->layout, &b->layout);
}

/* The place of equal bytes, or a new one at the end. */
static int64_t place(Blob *b, const ModConst *c, const uint8_t *bytes)
{
    uint64_t hash = hash_bytes(bytes, (size_t)c->bytes, 1);
    for (uint32_t i = 0; i < b->n; i++)
        if (b->hash[i] == hash && same_part(b->part[i], c) &&
            !memcmp(b->bytes[i], bytes, (size_t)c->bytes))
            return b->part[i]->offset;
    GROW(b->arena, b->part, b->n, b->cap);
    GROW(b->arena, b->bytes, b->n, b->bytes_cap);
    GROW(b->arena, b->hash, b->n, b->hash_cap);
    ModConst *own = arena_dup(b->arena, c, sizeof *own);
    own->offset = b->size;
    b->part[b->n] = own;
    b->bytes[b->n] = bytes;
    b->hash[b->n++] = hash;
    b->size += (c->bytes + 63) / 64 * 64;
    return own->offset;
}

static void move_buffers(Module *m, const int64_t *moved)
{
    for (int i = 0; i < m->nprogram; i++) {
        Program *p = &m->program[i];
        for (int k = 0; k < p->nbuffer; k++)
            if (p->buffer[k].kind == BUF_CONST && !p->buffer[k].definition)
                p->buffer[k].offset = moved[p->buffer[k].offset / 64];
    }
}

static void move_constants(Blob *b, Module *m)
{
    int64_t *moved = NEW_N(b->arena, int64_t, m->const_bytes / 64 + 1);
    for (uint32_t i = 0; i < m->nconst; i++) {
        ModConst *c = &m->constant[i];
        if (c->definition) continue; /* no part of the object */
        int64_t to = place(b, c, m->consts + c->offset);
        check(c->offset % 64 == 0);
        moved[c->offset / 64] = to;
        c->offset = to;
    }
    move_buffers(m, moved);
}

static uint8_t *blob_bytes(const Blob *b)
{
    uintptr_t at = (uintptr_t)arena_alloc(b->arena, (size_t)b->size + 64);
    uint8_t *all = (uint8_t *)((at + 63) / 64 * 64);
    for (uint32_t i = 0; i < b->n; i++)
        memcpy(all + b->part[i]->offset, b->bytes[i], (size_t)b->part[i]->bytes);
    return all;
}

static void join_constants(AdjCompiled *c)
{
    Blob b = {.arena = c->arena};
    for (int i = 0; i < c->nvariant; i++) move_constants(&b, c->variant[i].module);
    uint8_t *all = blob_bytes(&b);
    for (int i = 0; i < c->nvariant; i++) {
        c->variant[i].module->consts = all;
        c->variant[i].module->const_bytes = b.size;
    }
}

/* ---- arenas ---- */

static void raise(int64_t *a, int64_t b)
{
    if (*a < b) *a = b;
}

static void join_arenas(AdjCompiled *c, int program)
{
    int64_t shared = 0, worker = 0;
    for (int i = 0; i < c->nvariant; i++) {
        raise(&shared, c->variant[i].module->program[program].shared_bytes);
        raise(&worker, c->variant[i].module->program[program].worker_bytes);
    }
    for (int i = 0; i < c->nvariant; i++) {
        c->variant[i].module->program[program].shared_bytes = shared;
        c->variant[i].module->program[program].worker_bytes = worker;
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

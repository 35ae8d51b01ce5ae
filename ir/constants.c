/* SPDX-License-Identifier: Apache-2.0 */
/* The packed constants of a module. They are made from the graph's constants when they are
 * wanted, and whoever writes them to a file has one of them in memory at a time. */
#include "module.h"

#include <string.h>

static void release(void *arena)
{
    arena_free(arena);
}

static Arena *scratch_open(void)
{
    Arena *a = arena_new();
    err_defer(release, a);
    return a;
}

static void scratch_close(Arena *a)
{
    err_keep(a);
    arena_free(a);
}

/* ---- one ---- */

static void pack(const ModConst *c, const void *dense, void *to)
{
    if (!c->target) {
        layout_pack(&c->layout, c->value->type, dense, to);
        return;
    }
    memset(to, 0, (size_t)c->bytes);
    c->target->pack(c->target, c->contract, c->offer, dense, to);
}

/* Row-major. */
static const void *splat_written_out(Arena *a, const Const *c)
{
    size_t size = (size_t)dtype_bytes(c->type.dtype);
    uint8_t *all = arena_alloc(a, (size_t)type_bytes(c->type) + 1);
    for (int64_t i = 0; i < type_count(c->type); i++) memcpy(all + (size_t)i * size, c->data, size);
    return all;
}

void const_pack(const ModConst *c, void *to)
{
    if (!c->value->splat) {
        pack(c, c->value->data, to);
        return;
    }
    Arena *a = scratch_open();
    pack(c, splat_written_out(a, c->value), to);
    scratch_close(a);
}

/* ---- all ---- */

static int64_t part_end(const Module *m, uint32_t i)
{
    return i + 1 < m->npart ? m->part[i + 1]->offset : m->const_bytes;
}

static int64_t largest_part(const Module *m)
{
    int64_t most = 0;
    for (uint32_t i = 0; i < m->npart; i++) {
        int64_t bytes = part_end(m, i) - m->part[i]->offset;
        most = bytes > most ? bytes : most;
    }
    return most;
}

bool module_stream(const Module *m, bool (*put)(void *user, const void *, size_t), void *user)
{
    Arena *a = scratch_open();
    uint8_t *bytes = arena_alloc(a, (size_t)largest_part(m));
    bool ok = true;
    for (uint32_t i = 0; ok && i < m->npart; i++) {
        const ModConst *c = m->part[i];
        size_t all = (size_t)(part_end(m, i) - c->offset);
        const_pack(c, bytes);
        memset(bytes + c->bytes, 0, all - (size_t)c->bytes);
        ok = put(user, bytes, all);
    }
    scratch_close(a);
    return ok;
}

static bool append(void *user, const void *bytes, size_t n)
{
    uint8_t **end = user;
    memcpy(*end, bytes, n);
    *end += n;
    return true;
}

void module_fill(const Module *m, uint8_t *to)
{
    module_stream(m, append, &to);
}

/* ---- held ---- */

/* Aligned as callers must align weights. */
static uint8_t *blob_new(Module *m, int64_t bytes)
{
    uintptr_t at = (uintptr_t)arena_alloc(m->arena, (size_t)bytes + CONST_ALIGN);
    return (uint8_t *)((at + CONST_ALIGN - 1) / CONST_ALIGN * CONST_ALIGN);
}

void module_hold(Module *m)
{
    if (m->consts) return;
    uint8_t *consts = blob_new(m, m->const_bytes);
    module_fill(m, consts);
    m->shadow = blob_new(m, m->shadow_bytes);
    for (uint32_t i = 0; i < m->nconst; i++)
        if (m->constant[i].definition)
            const_pack(&m->constant[i], m->shadow + m->constant[i].offset);
    m->consts = consts;
}

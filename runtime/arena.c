/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and memory of arenas. Sizes come from the object, so their arithmetic is checked. */
#define _POSIX_C_SOURCE 200809L
#include "arena.h"

#include <stdlib.h>

size_t adj_arena_bytes(const AdjEntry *e, int workers)
{
    uint64_t n = workers < 1 ? 1 : (uint64_t)workers;
    if (e->worker_bytes && n > UINT64_MAX / e->worker_bytes) return 0;
    uint64_t own = n * e->worker_bytes;
    if (own > UINT64_MAX - e->shared_bytes) return 0;
    own += e->shared_bytes;
    return own <= SIZE_MAX ? (size_t)own : 0;
}

void *adj_arena_new(size_t bytes)
{
    void *p = NULL;
    return posix_memalign(&p, ADJ_ARENA_ALIGN, bytes ? bytes : 1) ? NULL : p;
}

void adj_arena_free(void *p)
{
    free(p);
}

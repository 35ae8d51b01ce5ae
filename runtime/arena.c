/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and memory of arenas. Sizes come from the object, so their arithmetic is checked. */
#define _DEFAULT_SOURCE /* madvise */
#include "arena.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 }; /* bytes; where pages are larger still, it does no harm */

size_t adj_arena_bytes(const AdjEntry *e, int workers)
{
    uint64_t n = workers < 1 ? 1 : (uint64_t)workers;
    if (e->worker_bytes && n > UINT64_MAX / e->worker_bytes) return 0;
    uint64_t own = n * e->worker_bytes;
    if (own > UINT64_MAX - e->shared_bytes) return 0;
    own += e->shared_bytes;
    return own <= SIZE_MAX ? (size_t)own : 0;
}

/* A kernel reads rows of many planes, each on a page of its own, so that translations of addresses
 * outnumber what the CPU holds of them: huge pages for all that fills one. Whether there are any is
 * the system's choice, and the memory is as good without. */
void *adj_arena_new(size_t bytes)
{
    bool huge = bytes >= HUGE_PAGE;
    void *p = NULL;
    if (posix_memalign(&p, huge ? HUGE_PAGE : ADJ_ARENA_ALIGN, bytes ? bytes : 1)) return NULL;
#ifdef MADV_HUGEPAGE
    if (huge) (void)madvise(p, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    return p;
}

void adj_arena_free(void *p)
{
    free(p);
}

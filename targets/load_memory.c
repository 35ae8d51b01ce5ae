/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a loaded object: one region, because code reaches data within 2 GB alone. Data grow
 * from its beginning, code from its end. Large data are weights, which lie on huge pages: a network
 * reads more of them than a CPU holds translations of addresses for. */
#define _GNU_SOURCE /* madvise, MAP_ANONYMOUS */
#include "targets/load_memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = 4096, HUGE_PAGE = 2 << 20, SPARE = 64 << 20 }; /* bytes */

struct LoadMemory {
    uint8_t *base;
    size_t size, data, code; /* bytes; the end of data, the beginning of code */
};

static size_t round_up(size_t n, size_t by)
{
    return (n + by - 1) / by * by;
}

/* What an object wants beyond its own bytes: alignment, and stubs, which are shorter than the
 * relocations that ask for them. Pages that nobody writes to cost nothing. */
LoadMemory *load_memory_new(size_t bytes)
{
    LoadMemory *m = calloc(1, sizeof *m);
    size_t size = round_up(bytes + SPARE, HUGE_PAGE);
    if (!m) return NULL;
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *m = (LoadMemory){.base = base, .size = size, .code = size};
    if (base != MAP_FAILED) return m;
    free(m);
    return NULL;
}

void load_memory_free(LoadMemory *m)
{
    if (!m) return;
    (void)munmap(m->base, m->size);
    free(m);
}

/* ---- what LLVM asks for; NULL ends the process ---- */

static uint8_t *code_new(void *memory, uintptr_t size, unsigned align, unsigned id,
                         const char *name)
{
    (void)id, (void)name;
    LoadMemory *m = memory;
    size_t room = m->code - m->data;
    if (size > room || room - size < align + PAGE) return NULL;
    m->code = (m->code - size) / align * align;
    return m->base + m->code;
}

static uint8_t *data_new(void *memory, uintptr_t size, unsigned align, unsigned id,
                         const char *name, LLVMBool read_only)
{
    (void)id, (void)name, (void)read_only;
    LoadMemory *m = memory;
    bool huge = size >= HUGE_PAGE;
    size_t by = huge ? HUGE_PAGE : align;
    uintptr_t base = (uintptr_t)m->base, at = round_up(base + m->data, by) - base;
    if (at + PAGE > m->code || size > m->code - at - PAGE) return NULL;
    m->data = at + size;
#ifdef MADV_HUGEPAGE
    if (huge) (void)madvise(m->base + at, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    return m->base + at;
}

static LLVMBool protect(void *memory, char **message)
{
    (void)message;
    LoadMemory *m = memory;
    size_t code = m->code / PAGE * PAGE;
    return mprotect(m->base, code, PROT_READ) != 0 ||
           mprotect(m->base + code, m->size - code, PROT_READ | PROT_EXEC) != 0;
}

static void *same(void *memory)
{
    return memory;
}

static void keep(void *memory)
{
    (void)memory;
}

LLVMOrcObjectLayerRef load_memory_layer(void *memory, LLVMOrcExecutionSessionRef session,
                                        const char *triple)
{
    (void)triple;
    return LLVMOrcCreateRTDyldObjectLinkingLayerWithMCJITMemoryManagerLikeCallbacks(
        session, memory, same, keep, code_new, data_new, protect, keep);
}

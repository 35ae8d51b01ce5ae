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

typedef struct Memory {
    uint8_t *base;
    size_t size, data, code; /* bytes; the end of data, the beginning of code */
} Memory;

static size_t round_up(size_t n, size_t by)
{
    return (n + by - 1) / by * by;
}

static void *memory_new(void *bytes)
{
    Memory *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    size_t size = round_up(2 * *(const size_t *)bytes + SPARE, HUGE_PAGE);
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base != MAP_FAILED) *m = (Memory){.base = base, .size = size, .code = size};
    return m;
}

/* LLVM ends the process where this is NULL, as it does when its own allocator has no more. */
static uint8_t *code_new(void *memory, uintptr_t size, unsigned align, unsigned id,
                         const char *name)
{
    (void)id, (void)name;
    Memory *m = memory;
    size_t room = m ? m->code - m->data : 0;
    if (size > room || room - size < align + PAGE) return NULL;
    m->code = (m->code - size) / align * align;
    return m->base + m->code;
}

static uint8_t *data_new(void *memory, uintptr_t size, unsigned align, unsigned id,
                         const char *name, LLVMBool read_only)
{
    (void)id, (void)name, (void)read_only;
    Memory *m = memory;
    if (!m || !m->base) return NULL;
    bool huge = size >= HUGE_PAGE;
    size_t by = huge ? HUGE_PAGE : align;
    uintptr_t base = (uintptr_t)m->base, at = round_up(base + m->data, by) - base;
    if (at > m->code || size > m->code - at) return NULL;
    m->data = at + size;
#ifdef MADV_HUGEPAGE
    if (huge) (void)madvise(m->base + at, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    return m->base + at;
}

static LLVMBool protect(void *memory, char **message)
{
    (void)message;
    Memory *m = memory;
    size_t code = m->code / PAGE * PAGE;
    bool failed = mprotect(m->base, code, PROT_READ) != 0 ||
                  mprotect(m->base + code, m->size - code, PROT_READ | PROT_EXEC) != 0;
    return failed;
}

static void memory_free(void *memory)
{
    Memory *m = memory;
    if (m && m->base) (void)munmap(m->base, m->size);
    free(m);
}

static void no_more(void *bytes)
{
    (void)bytes;
}

LLVMOrcObjectLayerRef load_layer(void *bytes, LLVMOrcExecutionSessionRef session,
                                 const char *triple)
{
    (void)triple;
    return LLVMOrcCreateRTDyldObjectLinkingLayerWithMCJITMemoryManagerLikeCallbacks(
        session, bytes, memory_new, no_more, code_new, data_new, protect, memory_free);
}

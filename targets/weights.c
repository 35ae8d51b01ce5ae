/* SPDX-License-Identifier: Apache-2.0 */
/* Weights behind an object. LLVM would hold them as a constant, as a fragment of a section and as
 * part of the file, so it gets a section without bytes of their size instead (WEIGHTS_PLACE), in
 * which symbols and relocations are as they should be. Here its header is changed: it is read-only,
 * has bytes, and they begin where the file ends. The name stays as long as it was, so that other
 * names keep their places in the table. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "targets/llvm/emit.h"

#define WEIGHTS_SECTION ".rodata.weights"
_Static_assert(sizeof WEIGHTS_SECTION == sizeof WEIGHTS_PLACE, "names of one length");

/* True if the header is that of the reserved section, which is then changed. */
#define PLACE_SECTION(bits)                                                                        \
    static bool place##bits(uint8_t *file, int index, uint64_t at, uint64_t bytes)                 \
    {                                                                                              \
        const Elf##bits##_Ehdr *h = (const void *)file;                                            \
        Elf##bits##_Shdr *all = (void *)(file + h->e_shoff), *s = &all[index];                     \
        check(index < h->e_shnum);                                                                 \
        char *name = (char *)file + all[h->e_shstrndx].sh_offset + s->sh_name;                     \
        if (strcmp(name, WEIGHTS_PLACE)) return false;                                             \
        check(s->sh_type == SHT_NOBITS && s->sh_size == bytes);                                    \
        memcpy(name, WEIGHTS_SECTION, sizeof WEIGHTS_SECTION);                                     \
        s->sh_type = SHT_PROGBITS;                                                                 \
        s->sh_flags = SHF_ALLOC;                                                                   \
        s->sh_offset = (Elf##bits##_Off)at;                                                        \
        return true;                                                                               \
    }
PLACE_SECTION(32)
PLACE_SECTION(64)

static void grow(Bytes *b, size_t size)
{
    uint8_t *more = realloc(b->data, size);
    if (!more) err(NULL, "out of memory (%zu bytes wanted)", size);
    memset(more + b->size, 0, size - b->size);
    *b = (Bytes){more, size};
}

void weights_place(Bytes *object, int64_t bytes)
{
    int i = 0;
    grow(object, (object->size + CONST_ALIGN - 1) / CONST_ALIGN * CONST_ALIGN);
    bool wide = object->data[EI_CLASS] == ELFCLASS64;
    while (!(wide ? place64 : place32)(object->data, i, object->size, (uint64_t)bytes)) i++;
}

void weights_append(Bytes *object, const Module *m)
{
    size_t code = object->size;
    grow(object, code + (size_t)m->const_bytes);
    module_fill(m, object->data + code);
}

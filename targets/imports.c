/* SPDX-License-Identifier: Apache-2.0 */
/* What an object leaves to the linker: the undefined symbols of an ELF file of 32 or 64 bits. The
 * bytes are our own, so only what is read is checked. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "targets/targets.h"

typedef struct Symbols {
    const uint8_t *at;
    size_t n, size;
    const char *names;
} Symbols;

#define FIND_SYMBOLS(bits)                                                                         \
    static Symbols symbols##bits(const uint8_t *file, size_t bytes)                                \
    {                                                                                              \
        const Elf##bits##_Ehdr *h = (const void *)file;                                            \
        const Elf##bits##_Shdr *s = (const void *)(file + h->e_shoff);                             \
        check(h->e_shoff + h->e_shnum * sizeof *s <= bytes);                                       \
        for (int i = 0; i < h->e_shnum; i++)                                                       \
            if (s[i].sh_type == SHT_SYMTAB)                                                        \
                return (Symbols){file + s[i].sh_offset, s[i].sh_size / sizeof(Elf##bits##_Sym),    \
                                 sizeof(Elf##bits##_Sym),                                          \
                                 (const char *)file + s[s[i].sh_link].sh_offset};                  \
        return (Symbols){0};                                                                       \
    }
FIND_SYMBOLS(32)
FIND_SYMBOLS(64)

/* NULL if the symbol is defined or has no name. */
static const char *undefined_name(const Symbols *s, size_t i)
{
    const void *at = s->at + i * s->size;
    bool wide = s->size == sizeof(Elf64_Sym);
    uint16_t section = wide ? ((const Elf64_Sym *)at)->st_shndx : ((const Elf32_Sym *)at)->st_shndx;
    uint32_t name = wide ? ((const Elf64_Sym *)at)->st_name : ((const Elf32_Sym *)at)->st_name;
    return section == SHN_UNDEF && name ? s->names + name : NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int object_imports(Arena *a, const Bytes *object, const char ***names)
{
    const uint8_t *file = object->data;
    int n = 0;
    check(object->size > sizeof(Elf64_Ehdr) && !memcmp(file, ELFMAG, SELFMAG));
    Symbols s = file[EI_CLASS] == ELFCLASS64 ? symbols64(file, object->size)
                                             : symbols32(file, object->size);
    *names = NEW_N(a, const char *, s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        const char *name = undefined_name(&s, i);
        if (name) (*names)[n++] = arena_strdup(a, name);
    }
    qsort(*names, (size_t)n, sizeof **names, by_name);
    return n;
}

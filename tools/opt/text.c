/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a file, or the standard input, into a string. */
#include "tools/opt/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void close_file(void *f)
{
    fclose(f);
}

char *text_read_file(Arena *a, const char *path)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    if (!f) err(path, "%s", strerror(errno));
    err_defer(close_file, f);
    char *text = NULL;
    uint32_t n = 0, cap = 0;
    do {
        GROW(a, text, n, cap);
        n += (uint32_t)fread(text + n, 1, cap - n, f);
    } while (n == cap);
    if (ferror(f)) err(path, "cannot be read");
    text[n] = 0;
    err_keep(f);
    fclose(f);
    return text;
}

void text_release_arena(void *arena)
{
    arena_free(arena);
}

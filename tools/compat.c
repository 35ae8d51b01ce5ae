/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/compat.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "tools/say.h"

static const Compat rows[] = {
#define COMPAT(tool, attack, eps, step, share, steps, random, settings)                            \
    {tool, attack, eps, step, share, steps, random, settings},
#include "tools/compat.def"
#undef COMPAT
};
enum { ROWS = sizeof rows / sizeof *rows };

/* Names of tools, or of one tool's attacks, each once. */
static void list(char *text, size_t size, const char *tool)
{
    size_t n = 0;
    text[0] = 0;
    for (int i = 0; i < ROWS; i++) {
        if (tool ? strcmp(rows[i].tool, tool) : i && !strcmp(rows[i].tool, rows[i - 1].tool))
            continue;
        int k = snprintf(text + n, size - n, "%s%s", n ? ", " : "",
                         tool ? rows[i].attack : rows[i].tool);
        n = n + (size_t)k < size ? n + (size_t)k : size - 1;
    }
}

const Compat *compat_find(const char *tool, const char *attack)
{
    char names[512];
    for (int i = 0; i < ROWS; i++)
        if (!strcmp(rows[i].tool, tool) && !strcmp(rows[i].attack, attack)) return &rows[i];
    list(names, sizeof names, tool);
    if (names[0]) {
        fail_usage("--compat: %s has no %s; known: %s", tool, attack, names);
        return NULL;
    }
    list(names, sizeof names, NULL);
    fail_usage("--compat: no tool '%s'; known: %s", tool, names);
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows can run here is asked of LLVM, as for `--cpu native`. */
#include "machines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "targets/targets.h"
#include "tools/opt/sample_target.h"

/* "x86-64 (triple): x86-64 haswell ..." is a family's line of target_list. */
static char *family_rows(Arena *a, const char *family)
{
    Str s = {0};
    target_list(&s);
    char *text = arena_strdup(a, s.s), *save;
    str_free(&s);
    size_t n = strlen(family);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (!strncmp(line, family, n) && line[n] == ' ') return strchr(line, ':') + 1;
    die("no family %s", family);
}

/* Lowered alike: what passes know of both is the same, and the code differs by LLVM's taste. */
static bool alike(const Target *t, const Target *u)
{
    return t->vec_bytes == u->vec_bytes && t->vec_regs == u->vec_regs && t->fma == u->fma;
}

/* Of rows that are lowered alike the last, which has the most instructions; all with
 * ADJ_ALL_CPUS. */
static int add_machine(Machine *m, int n, const Target *t)
{
    bool replace = !getenv("ADJ_ALL_CPUS") && m[n - 1].runs && alike(m[n - 1].target, t);
    if (!replace && n + 1 >= MAX_MACHINES) return n;
    m[replace ? n - 1 : n] = (Machine){t->cpu, t, true};
    return n + !replace;
}

int machines_find(Arena *a, Machine *m)
{
    int n = 0;
    char *save;
    const char *family = target_find(a, NULL, NULL)->name;
    m[n++] = (Machine){"scalars", &sample_scalar, false};
    m[n++] = (Machine){"vectors", &sample_vectors, false};
    char *rows = family_rows(a, family);
    for (char *r = strtok_r(rows, " ", &save); r; r = strtok_r(NULL, " ", &save)) {
        const Target *t = target_find(a, family, r);
        if (target_runs_here(t)) n = add_machine(m, n, t);
    }
    m[n++] = (Machine){"ptx", target_find(a, "nvptx64", NULL), false};
    return n;
}

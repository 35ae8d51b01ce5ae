/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows can run here is asked of LLVM, as for `--cpu native`. */
#include "machines.h"

#include <llvm-c/TargetMachine.h>
#include <stdio.h>
#include <string.h>

#include "targets/llvm/emit.h"

static const Target vectors = {.name = "test",
                               .triple = "test",
                               .cpu = "test",
                               .vec_bytes = 32,
                               .vec_regs = 16,
                               .fma = true,
                               .l1 = 32768,
                               .l2 = 1 << 20};
static const Target scalar = {.name = "test", .triple = "test", .cpu = "test", .gpu = true};

static bool can_run(const Target *t)
{
    char *features = LLVMGetHostCPUFeatures(), need[64];
    bool all = true;
    for (const char *p = ((const CpuRow *)t->row)->needs; *p && all;) {
        size_t n = strcspn(p, ",");
        snprintf(need, sizeof need, "+%.*s,", (int)n, p);
        all = strstr(features, need) != NULL;
        p += n + (p[n] == ',');
    }
    LLVMDisposeMessage(features);
    return all;
}

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

int machines_find(Arena *a, Machine *m)
{
    int n = 0;
    char *save;
    const char *family = target_find(a, NULL, NULL)->name;
    m[n++] = (Machine){"scalars", &scalar, false};
    m[n++] = (Machine){"vectors", &vectors, false};
    char *rows = family_rows(a, family);
    for (char *r = strtok_r(rows, " ", &save); r; r = strtok_r(NULL, " ", &save)) {
        const Target *t = target_find(a, family, r);
        if (can_run(t) && n + 1 < MAX_MACHINES) m[n++] = (Machine){t->cpu, t, true};
    }
    m[n++] = (Machine){"ptx", target_find(a, "nvptx64", NULL), false};
    return n;
}

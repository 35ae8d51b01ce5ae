/* SPDX-License-Identifier: Apache-2.0 */
/* docs/attacks.md, docs/train.md and docs/certify.md against the compiled entries: every one with
 * parameters has a section whose heading names it,
 * and in it a row for each of its parameters whose default is the compiled one. A cell that says
 * `entry`: VALUE gives that entry's default; its first number is everyone else's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compiled.h"
#include "e2e.h"

static char text[1 << 18];

static void read_docs(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f) exit(fprintf(stderr, "%s: cannot be read\n", path));
    size_t n = strlen(text);
    text[n + fread(text + n, 1, sizeof text - 1 - n, f)] = 0;
    fclose(f);
}

/* The section whose heading has `name` in backquotes; it ends where the next one begins. */
static const char *section(const char *name, const char **end)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "`%s`", name);
    for (const char *at = strstr(text, "\n## "); at; at = strstr(at + 1, "\n## ")) {
        const char *line = strchr(at + 1, '\n'), *hit = strstr(at, quoted);
        *end = strstr(at + 1, "\n## ");
        if (!*end) *end = at + strlen(at);
        if (line && hit && hit < line) return line;
    }
    return NULL;
}

/* "8/255" */
static double value_at(const char *s)
{
    char *end;
    double v = strtod(s, &end);
    return *end == '/' ? v / strtod(end + 1, NULL) : v;
}

static double documented(const char *from, const char *end, const char *entry, const char *name)
{
    char row[64], own[64];
    snprintf(row, sizeof row, "\n| `%s` | ", name);
    snprintf(own, sizeof own, "`%s`: ", entry);
    const char *at = strstr(from, row);
    if (!at || at >= end) return NAN;
    at += strlen(row);
    const char *special = strstr(at, own), *bar = strchr(at, '|');
    return value_at(special && special < bar ? special + strlen(own) : at);
}

static void check_entry(Count *c, const ProgramSpec *e)
{
    const char *end, *from = section(e->name, &end);
    if (e->nhyper == 0) return;
    count_check(c, from != NULL, "%s has a section", e->name);
    for (int i = 0; from && i < e->nhyper; i++) {
        double said = documented(from, end, e->name, e->hyper[i].name), is = e->hyper[i].value;
        count_check(c, fabs(said - is) <= 1e-6 * fabs(is), "%s %s: %g, documented as %g", e->name,
                    e->hyper[i].name, is, said);
    }
}

int main(int argc, char **argv)
{
    Count c = {.name = "attack docs"};
    if (argc < 3) return 2;
    for (int i = 2; i < argc; i++) read_docs(argv[i]);
    for (int i = 0; i < nprogram_rows; i++) {
        AdjOptions o = {.model = argv[1], .batch = 1, .entries = program_rows[i].name};
        AdjError e;
        AdjCompiled *m = adj_compile(&o, &e);
        if (!m) exit(fprintf(stderr, "%s: %s\n", argv[1], e.msg));
        check_entry(&c, &m->spec[0]);
        adj_compiled_free(m);
    }
    return count_close(&c);
}

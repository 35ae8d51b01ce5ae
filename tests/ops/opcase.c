/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the files of cases. Values are read by the reader of graphs, as constants. */
#include "opcase.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *where(Arena *a, const char *file, int line)
{
    return arena_printf(a, "%s:%d", file, line);
}

static char *read_text(Arena *a, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) err(path, "%s", strerror(errno));
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f);
    rewind(f);
    char *text = arena_alloc(a, size + 1);
    size_t got = fread(text, 1, size, f);
    fclose(f);
    if (got != size) err(path, "cannot be read");
    return text;
}

/* ---- lines ---- */

static bool starts(const char *line, const char *mark, char **rest)
{
    size_t n = strlen(mark);
    if (strncmp(line, mark, n)) return false;
    *rest = (char *)(uintptr_t)line + n;
    return true;
}

static void set_flag(Arena *a, OpCase *c, const char *flag)
{
    static const char *const names[] = {"smooth", "linear", "bilinear", "nobatch", "nogpu"};
    bool *const at[] = {&c->smooth, &c->linear, &c->bilinear, &c->nobatch, &c->nogpu};
    for (int i = 0; i < COUNT(names); i++)
        if (!strcmp(flag, names[i])) {
            *at[i] = true;
            return;
        }
    if (sscanf(flag, "range=%lf:%lf", &c->lo, &c->hi) != 2)
        err(where(a, c->file, c->line), "%s is not a flag", flag);
    c->ranged = true;
}

static void set_flags(Arena *a, OpCase *c, char *line)
{
    char *save, *word = strtok_r(line, " ", &save);
    if (!word || strcmp(word, "ops")) err(where(a, c->file, c->line), "a run line says ops first");
    while ((word = strtok_r(NULL, " ", &save))) set_flag(a, c, word);
}

/* "x = [1, 2]" */
static void add_value(Arena *a, const OpCase *c, OpValue *list, int *n, char *line, int number)
{
    char *equals = strstr(line, " = ");
    if (!equals || *n == MAX_VALUES)
        err(where(a, c->file, number), "NAME = VALUES is wanted, for at most %d names", MAX_VALUES);
    *equals = 0;
    list[(*n)++] = (OpValue){line, equals + 3, number};
}

static void read_line(Arena *a, OpCase *c, char *line, int number)
{
    char *rest;
    if (starts(line, "# run: ", &rest))
        set_flags(a, c, rest);
    else if (starts(line, "# in: ", &rest))
        add_value(a, c, c->in, &c->nin, rest, number);
    else if (starts(line, "# expect: ", &rest))
        add_value(a, c, c->expect, &c->nexpect, rest, number);
    else if (starts(line, "# skip: ", &rest))
        c->skip = rest;
}

static void read_lines(Arena *a, OpCase *c, const char *text)
{
    char *copy = arena_strdup(a, text);
    int number = c->line;
    for (const char *p = text; *p == '#'; p++, number++) {
        size_t n = strcspn(p, "\n");
        char *line = copy + (p - text);
        line[n] = 0;
        read_line(a, c, line, number);
        p += n;
        if (!*p) break;
    }
}

/* ---- cases ---- */

static char *next_case(char *text)
{
    for (char *p = text; (p = strchr(p, '\n')) != NULL;)
        if (!strncmp(++p, "# run:", 6)) return p;
    return NULL;
}

OpCase *opcase_read(Arena *a, const char *path, const char *name, int *n)
{
    OpCase *cases = NULL;
    uint32_t cap = 0;
    int line = 1;
    char *at = read_text(a, path);
    if (strncmp(at, "# run:", 6)) err(name, "a case starts with \"# run: ops\"");
    for (*n = 0; at; ++*n) {
        char *next = next_case(at), *text = arena_strdup(a, at);
        if (next) text[next - at] = 0;
        GROW(a, cases, (uint32_t)*n, cap);
        cases[*n] = (OpCase){.file = name, .text = text, .line = line};
        read_lines(a, &cases[*n], text);
        for (const char *p = text; *p; p++) line += *p == '\n';
        at = next;
    }
    return cases;
}

void *opcase_value(Arena *a, const OpCase *c, const OpValue *v, Type t)
{
    Str type = {0};
    type_text(&type, t);
    const char *text =
        arena_printf(a, "graph v {\n%%v = const %s : %s\nreturn v=%%v\n}\n", v->text, type.s);
    str_free(&type);
    const Graph *g = graph_read(a, text, where(a, c->file, v->line), NULL);
    const Const *k = g->node[g->out[0].ref].value;
    if (!k->splat) return arena_dup(a, k->data, (size_t)type_bytes(t));
    uint8_t *all = arena_alloc(a, (size_t)type_bytes(t) + 1);
    size_t each = (size_t)dtype_bytes(t.dtype);
    for (int64_t i = 0; i < type_count(t); i++) memcpy(all + (size_t)i * each, k->data, each);
    return all;
}

const OpValue *opcase_find(const OpValue *list, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(list[i].name, name)) return &list[i];
    return NULL;
}

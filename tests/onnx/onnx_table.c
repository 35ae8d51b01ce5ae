/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx_table.h"

#include "compiler/onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *op;
    int since;
    const char *limits;
} forms[] = {
#define ONNX(op, since, build, limits) {#op, since, limits},
#define REFUSED(op, reason)
#include "compiler/onnx_ops.def"
#undef ONNX
#undef REFUSED
};
static int tests[COUNT(forms)]; /* at the first form of an operator */

static const struct {
    const char *op, *reason;
} refused[] = {
#define ONNX(op, since, build, limits)
#define REFUSED(op, reason) {#op, reason},
#include "compiler/onnx_ops.def"
#undef ONNX
#undef REFUSED
};

static int first_form(const char *op)
{
    for (int i = 0; i < COUNT(forms); i++)
        if (!strcmp(forms[i].op, op)) return i;
    return -1;
}

void table_count(const char *model)
{
    Arena *a = arena_new();
    OnnxFacts *f = onnx_facts(a, model);
    for (int i = 0; i < f->nops; i++) {
        int at = first_form(f->ops[i].op);
        if (at >= 0) tests[at]++;
    }
    arena_free(a);
}

/* ---- text ---- */

static int by_op(const void *a, const void *b)
{
    return strcmp(forms[*(const int *)a].op, forms[*(const int *)b].op);
}

/* "1, 13": an operator's forms. */
static void put_row(Str *s, int first)
{
    const char *limits = "";
    str_fmt(s, "| %s |", forms[first].op);
    for (int i = first, more = 0; i < COUNT(forms); i++) {
        if (strcmp(forms[i].op, forms[first].op)) continue;
        str_fmt(s, "%s %d", more++ ? "," : "", forms[i].since);
        limits = forms[i].limits;
    }
    str_fmt(s, " | %d | %s |\n", tests[first], limits);
}

static void put_table(Str *s)
{
    int order[COUNT(forms)], n = 0;
    for (int i = 0; i < COUNT(forms); i++)
        if (first_form(forms[i].op) == i) order[n++] = i;
    qsort(order, (size_t)n, sizeof *order, by_op);
    str_fmt(s, "%d operators:\n\n", n);
    str_put(s, "| operator | forms since opset | node tests | limits |\n|---|---|---|---|\n");
    for (int i = 0; i < n; i++) put_row(s, order[i]);
    str_fmt(s, "\n%d operators are refused by name:\n\n", COUNT(refused));
    str_put(s, "| operator | reason |\n|---|---|\n");
    for (int i = 0; i < COUNT(refused); i++)
        str_fmt(s, "| %s | %s |\n", refused[i].op, refused[i].reason);
}

/* ---- the document ---- */

static const char begin[] = "<!-- table: begin -->\n", end[] = "<!-- table: end -->\n";

static void read_all(Str *s, const char *path)
{
    char line[1024];
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) str_put(s, line);
    if (f) fclose(f);
}

static void write_all(const char *path, const Str *s)
{
    FILE *f = fopen(path, "w");
    if (!f) return;
    fputs(s->s, f);
    fclose(f);
}

bool table_agrees(const char *doc)
{
    Str old = {0}, new = {0};
    read_all(&old, doc);
    const char *from = old.s ? strstr(old.s, begin) : NULL, *to = from ? strstr(from, end) : NULL;
    if (to) {
        str_fmt(&new, "%.*s", (int)(from - old.s), old.s);
        str_put(&new, begin);
        put_table(&new);
        str_put(&new, to);
        if (getenv("ADJ_WRITE")) write_all(doc, &new);
    }
    bool same = to && (getenv("ADJ_WRITE") || !strcmp(old.s, new.s));
    str_free(&old);
    str_free(&new);
    return same;
}

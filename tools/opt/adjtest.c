/* SPDX-License-Identifier: Apache-2.0 */
/* adjtest [--update] FILE...: runs test files of graphs. A file holds one or more cases:
 *
 *   # run: simplify fold          the passes, in order (adjopt has the list); the last may be one
 *                                 that prints something else than a graph (lower_print.h)
 *   # what the case is about      any further comment lines
 *   graph t { .. }                input
 *   ---
 *   graph t { .. }                the text that must come out, or one line "error: message"
 *
 * Every pass's result is verified. --update rewrites the expected parts of files that differ. */
#define _POSIX_C_SOURCE 200809L
#include "passes/passes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/opt/lower_print.h"
#include "tools/opt/text.h"

static const char run_mark[] = "# run:", split_mark[] = "---\n";

typedef struct Case {
    char *head;   /* from the run line to the split line, exclusive */
    char *passes; /* what the run line says */
    char *expected;
    int line; /* of the run line in its file */
} Case;

typedef struct Tally {
    int passed, failed;
    bool update;
} Tally;

/* ---- cutting a file into cases ---- */

static char *find_line(char *text, const char *start)
{
    for (char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
        if (!strncmp(p, start, strlen(start))) return p;
    return NULL;
}

static char *copy_span(Arena *a, const char *from, size_t n)
{
    return arena_dup(a, memcpy(arena_alloc(a, n + 1), from, n), n + 1);
}

static Case cut_case(Arena *a, const char *file, char *text, size_t n, int line)
{
    char *all = copy_span(a, text, n), *split = find_line(all, split_mark);
    if (!split) err(arena_printf(a, "%s:%d", file, line), "a case without a line \"---\"");
    char *passes = all + strlen(run_mark);
    Case c = {.expected = split + strlen(split_mark), .line = line};
    c.head = copy_span(a, all, (size_t)(split - all));
    c.passes = copy_span(a, passes, strcspn(passes, "\n"));
    size_t end = strlen(c.expected);
    while (end && c.expected[end - 1] == '\n') c.expected[--end] = 0;
    return c;
}

static Case *cut_file(Arena *a, const char *file, char *text, uint32_t *n)
{
    Case *cases = NULL;
    uint32_t cap = 0;
    int line = 1;
    char *start = find_line(text, run_mark);
    if (start != text) err(file, "a test starts with \"%s\"", run_mark);
    for (*n = 0; start; ++*n) {
        char *next = find_line(start + 1, run_mark);
        size_t size = next ? (size_t)(next - start) : strlen(start);
        GROW(a, cases, *n, cap);
        cases[*n] = cut_case(a, file, start, size, line);
        for (size_t i = 0; i < size; i++) line += start[i] == '\n';
        start = next;
    }
    return cases;
}

/* ---- running one ---- */

typedef struct Run {
    const Case *c;
    Str *out;
} Run;

/* Graph to graph, and the text of what comes out in the end. */
static void run_list(Arena *a, const Graph *g, char *passes, Str *out)
{
    char *save;
    for (char *p = strtok_r(passes, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
        if (lower_print_is(p)) {
            lower_print(a, g, p, out);
            if (strtok_r(NULL, " ", &save)) err(p, "prints, and so comes last");
            return;
        }
        g = pass_by_spec(a, g, p);
        graph_verify(g, p);
    }
    graph_print(out, g);
}

static void run_passes(void *run)
{
    Run *r = run;
    Arena *a = arena_new();
    err_defer(text_release_arena, a);
    const Graph *g = graph_read(a, r->c->head, "input", NULL);
    graph_verify(g, "reading");
    run_list(a, g, arena_strdup(a, r->c->passes), r->out);
    err_keep(a);
    arena_free(a);
}

/* What the case gives, without newlines at its end. */
static void run_case(const Case *c, Str *out)
{
    char message[1024];
    Run r = {c, out};
    if (!err_guard(run_passes, &r, message, sizeof message)) str_fmt(out, "error: %s", message);
    while (out->n && out->s[out->n - 1] == '\n') out->s[--out->n] = 0;
}

/* ---- telling ---- */

static int line_length(const char *s)
{
    return (int)strcspn(s, "\n");
}

static const char *next_line(const char *s)
{
    s += line_length(s);
    return *s ? s + 1 : s;
}

/* The lines that differ, without an attempt at realigning: the graphs are small. */
static void print_difference(const char *expected, const char *got)
{
    while (*expected || *got) {
        int e = line_length(expected), g = line_length(got);
        if (e != g || strncmp(expected, got, (size_t)e)) {
            if (*expected) printf("    - %.*s\n", e, expected);
            if (*got) printf("    + %.*s\n", g, got);
        }
        expected = next_line(expected);
        got = next_line(got);
    }
}

static void write_file(const char *file, const Str *text)
{
    FILE *f = fopen(file, "wb");
    if (!f || fwrite(text->s, 1, text->n, f) != text->n || fclose(f))
        err(file, "cannot be written");
}

static void test_file(Arena *a, const char *file, Tally *t)
{
    uint32_t n, differ = 0;
    Case *cases = cut_file(a, file, text_read_file(a, file), &n);
    Str updated = {0};
    for (uint32_t i = 0; i < n; i++) {
        Str got = {0};
        run_case(&cases[i], &got);
        bool same = !strcmp(got.s, cases[i].expected);
        str_fmt(&updated, "%s%s%s%s\n", i ? "\n" : "", cases[i].head, split_mark, got.s);
        if (!same && !t->update) {
            printf("%s:%d: failed\n", file, cases[i].line);
            print_difference(cases[i].expected, got.s);
        }
        differ += !same;
        str_free(&got);
    }
    if (differ && t->update) write_file(file, &updated);
    t->failed += t->update ? 0 : (int)differ;
    t->passed += (int)(t->update ? n : n - differ);
    str_free(&updated);
}

/* ---- the command ---- */

typedef struct File {
    const char *name;
    Tally *tally;
} File;

static void guarded(void *file)
{
    File *f = file;
    Arena *a = arena_new();
    err_defer(text_release_arena, a);
    test_file(a, f->name, f->tally);
    err_keep(a);
    arena_free(a);
}

int main(int argc, char **argv)
{
    Tally tally = {0};
    for (int i = 1; i < argc; i++) {
        char message[1024];
        File file = {argv[i], &tally};
        if (!strcmp(argv[i], "--update")) {
            tally.update = true;
        } else if (!err_guard(guarded, &file, message, sizeof message)) {
            printf("%s\n", message);
            tally.failed++;
        }
    }
    printf("adjtest: %d passed, %d failed\n", tally.passed, tally.failed);
    return tally.failed != 0;
}

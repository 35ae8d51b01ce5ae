/* SPDX-License-Identifier: Apache-2.0 */
/* adjopt [FILE] [--consts FILE] PASS...: reads a graph's text from FILE or the standard input,
 * runs passes in the order given, prints the result. */
#include "passes/passes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/opt/text.h"

typedef struct Job {
    const char *file, *consts;
    int npasses;
    char **passes;
} Job;

static void usage(FILE *to)
{
    fprintf(to,
            "usage: adjopt [FILE] [--consts FILE] PASS...\n\n"
            "Reads a graph from FILE (or standard input), runs passes in order, prints it.\n\n");
    for (int i = 0; i < pass_nrows; i++) {
        const PassRow *row = &pass_rows[i];
        char spec[64];
        snprintf(spec, sizeof spec, "%s%s%s", row->name, row->arg ? "=" : "",
                 row->arg ? row->arg : "");
        fprintf(to, "  %-18s %s\n", spec, row->help);
    }
}

static void run(void *job)
{
    Job *j = job;
    Arena *a = arena_new();
    err_defer(text_release_arena, a);
    const char *text = text_read_file(a, j->file);
    const Graph *g = graph_read(a, text, j->file, j->consts);
    for (int i = 0; i < j->npasses; i++) g = pass_by_spec(a, g, j->passes[i]);
    Str s = {0};
    graph_print(&s, g);
    fputs(s.s, stdout);
    str_free(&s);
    err_keep(a);
    arena_free(a);
}

/* Moves the passes to the front of argv and takes the rest; false if that makes no sense. */
static bool parse(Job *j, int argc, char **argv)
{
    j->passes = argv;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--consts") && i + 1 < argc)
            j->consts = argv[++i];
        else if (pass_find(argv[i]))
            argv[j->npasses++] = argv[i];
        else if (argv[i][0] == '-' && argv[i][1])
            return false;
        else if (!j->file)
            j->file = argv[i];
        else
            err(NULL, "%s: no such pass", argv[i]);
    }
    if (!j->file) j->file = "-";
    return true;
}

typedef struct Call {
    int argc;
    char **argv;
} Call;

static void guarded(void *call)
{
    Call *c = call;
    Job job = {0};
    if (parse(&job, c->argc, c->argv))
        run(&job);
    else
        usage(stdout);
}

int main(int argc, char **argv)
{
    char message[1024];
    Call call = {argc, argv};
    if (argc < 2) return usage(stderr), 2;
    if (err_guard(guarded, &call, message, sizeof message)) return 0;
    fprintf(stderr, "adjopt: %s\n", message);
    return 1;
}

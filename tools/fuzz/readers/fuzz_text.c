/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of graph text. What it accepts must verify, and print as something that reads back to
 * the same print. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "ir/graph.h"

const char fuzz_name[] = "fuzz_text";

typedef struct Job {
    Arena *a;
    const char *text;
    Str *print;
} Job;

static void read_print(void *arg)
{
    Job *j = arg;
    Graph *g = graph_read(j->a, j->text, "text", NULL);
    graph_verify(g, "reading");
    graph_print(j->print, g);
}

static bool readable(const char *text, Str *print)
{
    char msg[1024];
    Job j = {arena_new(), text, print};
    bool ok = err_guard(read_print, &j, msg, sizeof msg);
    if (!ok) check_line(msg, "text");
    arena_free(j.a);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    Str once = {0}, twice = {0};
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = 0;
    if (readable(text, &once) && !strstr(once.s, "hash="))
        if (!readable(once.s, &twice) || strcmp(once.s, twice.s)) abort();
    str_free(&once);
    str_free(&twice);
    free(text);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A schedule is small: it is read whole. */
#include "tools/sched_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/say.h"

enum { MOST_BYTES = 1 << 20 };

static int read_text(const char *path, FILE *f, char *text)
{
    size_t n = fread(text, 1, MOST_BYTES + 1, f);
    if (ferror(f)) return fail_input("%s: cannot be read: %s", path, strerror(errno));
    if (n > MOST_BYTES) return fail_input("%s: too large for a schedule", path);
    if (memchr(text, 0, n)) return fail_input("%s: is no text", path);
    text[n] = 0;
    return 0;
}

int sched_take(const char *path, AdjOptions *o)
{
    static char *text;
    if (!path) return 0;
    o->no_measured = !strcmp(path, "none");
    if (o->no_measured) return 0;
    FILE *f = fopen(path, "r");
    if (!f) return fail_input("%s: cannot be opened: %s", path, strerror(errno));
    free(text);
    text = malloc(MOST_BYTES + 2);
    int e = text ? read_text(path, f, text) : fail_input("no memory");
    fclose(f);
    o->schedule = text;
    o->schedule_name = path;
    return e;
}

void sched_warn_unused(AdjCompiled *c)
{
    char *lines = adj_schedule_unused(c, NULL);
    for (char *line = lines, *end; line && (end = strchr(line, '\n')); line = end + 1)
        warn("%.*s", (int)(end - line), line);
    free(lines);
}

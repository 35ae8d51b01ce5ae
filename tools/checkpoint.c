/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "tools/checkpoint.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "tools/data/format.h"
#include "tools/say.h"

/* ---- writing ---- */

static bool put(FILE *f, const char *text, size_t n)
{
    fwrite(text, 1, n, f);
    fprintf(f, "%08lx\n", crc32(0, (const Bytef *)text, (uInt)n));
    return !fflush(f) && !fsync(fileno(f));
}

int checkpoint_save(const char *path, const char *text, size_t n)
{
    NewFile file;
    DataError e;
    bool ok = file_create(path, &file, &e);
    if (ok) {
        bool good = put(file.f, text, n);
        if (!good) data_fail(&e, "%s: cannot write: %s", path, strerror(errno));
        ok = file_commit(&file, good, &e);
    }
    return ok ? 0 : fail_input("%s", e.msg);
}

/* ---- reading ---- */

char *checkpoint_line(char **at)
{
    char *line = *at, *end = strchr(line, '\n');
    if (!end) return NULL;
    *end = 0;
    *at = end + 1;
    return line;
}

/* Whether the last line is the checksum of what is before it, which then ends the text. */
static bool sound(char *text, size_t n)
{
    enum { LAST = 9 };
    if (n <= LAST || text[n - 1] != '\n' || strlen(text) != n) return false;
    char *end, *last = text + n - LAST;
    unsigned long crc = strtoul(last, &end, 16);
    if (end != text + n - 1 || crc != crc32(0, (const Bytef *)text, (uInt)(n - LAST))) return false;
    *last = 0;
    return true;
}

static int open_text(const char *path, char *text, size_t n, const char *command, const char *key,
                     char **body)
{
    char head[64];
    size_t length = (size_t)snprintf(head, sizeof head, "adjoint %.32s checkpoint 1\n", command);
    if (strncmp(text, head, length))
        return fail_input("%s: is no checkpoint of adjoint %s", path, command);
    if (!sound(text, n))
        return fail_input("%s: damaged checkpoint (its checksum is wrong); remove it to start anew",
                          path);
    *body = text + length;
    const char *theirs = checkpoint_line(body);
    if (theirs && !strcmp(theirs, key)) return 0;
    return fail_input("%s: checkpoint of another run (%s; this one is %s)", path,
                      theirs ? theirs : "", key);
}

int checkpoint_load(const char *path, const char *command, const char *key, char **text,
                    char **body)
{
    Bytes b;
    DataError e;
    struct stat st;
    *text = NULL;
    if (stat(path, &st) && errno == ENOENT) return 0;
    if (!file_load(path, &b, &e)) return fail_input("%s", e.msg);
    *text = calloc(b.n + 1, 1);
    if (*text) memcpy(*text, b.p, b.n);
    int status =
        *text ? open_text(path, *text, b.n, command, key, body) : fail_input("%s: no memory", path);
    file_unload(&b);
    if (!status) return 0;
    free(*text);
    *text = NULL;
    return status;
}

int checkpoint_refuse(const char *path)
{
    if (access(path, F_OK)) return 0;
    return fail_input("%s: is there from an earlier run; --resume goes on from it, or remove it",
                      path);
}

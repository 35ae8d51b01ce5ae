/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint is text: a line that says what it is, the key, a row an image, and the CRC-32 of all
 * that as the last line. It is written whole beside its name and renamed, so a kill at any moment
 * leaves the last whole one. Sizes are hexadecimal floats: no digit is lost. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "tools/ara.h"
#include "tools/data/format.h"
#include "tools/say.h"

static const char head[] = "adjoint ara checkpoint 1\n";

static uint32_t list_crc(const AraResult *r)
{
    uLong crc = crc32(0, NULL, 0);
    for (int64_t i = 0; i < r->total; i++)
        crc = crc32(crc, (const Bytef *)&r->row[i].index, sizeof r->row[i].index);
    return (uint32_t)crc;
}

void ara_key(const AraPlan *p, const AraResult *r, char *out, size_t size)
{
    snprintf(out, size,
             "%s, eps %.17g, mu %.17g, %d steps, box %d, %" PRId64
             " images, list %08x, model %016" PRIx64,
             p->attack, p->eps, p->mu, p->steps, p->box, r->total, list_crc(r), r->hash);
}

/* ---- writing ---- */

static char *print(const char *key, const AraResult *r, size_t *n)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, n);
    if (!f) return NULL;
    fprintf(f, "%s%s\n%" PRId64 "\n", head, key, r->done);
    for (int64_t i = 0; i < r->done; i++) {
        const AraRow *w = &r->row[i];
        fprintf(f, "%" PRId64 " %" PRId64 " %" PRId64 " %a %d %08x\n", w->index, w->label,
                w->predicted, w->rmse, w->first, w->crc);
    }
    if (!fclose(f)) return text;
    free(text);
    return NULL;
}

static bool put(FILE *f, const char *text, size_t n)
{
    fwrite(text, 1, n, f);
    fprintf(f, "%08lx\n", crc32(0, (const Bytef *)text, (uInt)n));
    return !fflush(f) && !fsync(fileno(f));
}

int ara_save(const char *path, const char *key, const AraResult *r)
{
    NewFile file;
    DataError e;
    size_t n = 0;
    char *text = print(key, r, &n);
    if (!text) return fail_input("%s: no memory to write it", path);
    bool ok = file_create(path, &file, &e);
    if (ok) {
        bool good = put(file.f, text, n);
        if (!good) data_fail(&e, "%s: cannot write: %s", path, strerror(errno));
        ok = file_commit(&file, good, &e);
    }
    free(text);
    return ok ? 0 : fail_input("%s", e.msg);
}

/* ---- reading ---- */

/* The line at *at, which ends there; NULL behind the last one. */
static char *next_line(char **at)
{
    char *line = *at, *end = strchr(line, '\n');
    if (!end) return NULL;
    *end = 0;
    *at = end + 1;
    return line;
}

static bool parse_row(const char *line, AraRow *w)
{
    AraRow r;
    int end = 0;
    int n = sscanf(line, "%" SCNd64 " %" SCNd64 " %" SCNd64 " %la %d %8x%n", &r.index, &r.label,
                   &r.predicted, &r.rmse, &r.first, &r.crc, &end);
    if (n != 6 || line[end] || r.index != w->index) return false;
    *w = r;
    return true;
}

static bool parse_rows(char *at, AraResult *r)
{
    char *line = next_line(&at), *end;
    if (!line) return false;
    int64_t n = strtoll(line, &end, 10);
    if (*end || n < 0 || n > r->total) return false;
    for (int64_t i = 0; i < n; i++)
        if (!(line = next_line(&at)) || !parse_row(line, &r->row[i])) return false;
    r->done = n;
    return !*at;
}

/* Whether the last line is the checksum of what is before it, which then ends the text. */
static bool sound(char *text, size_t n)
{
    enum { LAST = 9 };
    if (n < sizeof head + LAST || text[n - 1] != '\n' || strlen(text) != n) return false;
    char *end, *last = text + n - LAST;
    unsigned long crc = strtoul(last, &end, 16);
    if (end != text + n - 1 || crc != crc32(0, (const Bytef *)text, (uInt)(n - LAST))) return false;
    *last = 0;
    return true;
}

static int parse(const char *path, char *text, size_t n, const char *key, AraResult *r)
{
    char *at = text + sizeof head - 1;
    if (strncmp(text, head, sizeof head - 1))
        return fail_input("%s: is no checkpoint of adjoint ara", path);
    if (!sound(text, n))
        return fail_input("%s: damaged checkpoint (its checksum is wrong); remove it to start anew",
                          path);
    const char *theirs = next_line(&at);
    if (!theirs || strcmp(theirs, key))
        return fail_input("%s: checkpoint of another run (%s; this one is %s)", path,
                          theirs ? theirs : "", key);
    if (parse_rows(at, r)) return 0;
    return fail_input("%s: damaged checkpoint (its rows are not of this list)", path);
}

int ara_load(const char *path, const char *key, AraResult *r)
{
    Bytes b;
    DataError e;
    struct stat st;
    if (stat(path, &st) && errno == ENOENT) return 0;
    if (!file_load(path, &b, &e)) return fail_input("%s", e.msg);
    char *text = calloc(b.n + 1, 1);
    if (text) memcpy(text, b.p, b.n);
    int status = text ? parse(path, text, b.n, key, r) : fail_input("%s: no memory", path);
    free(text);
    file_unload(&b);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint: a head of text lines, the vectors as bytes, and the CRC-32 of all before it. It is
 * written beside its name and renamed, so that a kill at any moment leaves the last whole one.
 * Numbers are hexadecimal floats: no digit is lost. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "tools/data/format.h"
#include "tools/say.h"
#include "tools/train.h"

static const char head[] = "adjoint train checkpoint 1\n";

/* ---- writing ---- */

static char *pack(const TrainState *s, size_t *n)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, n);
    if (!f) return NULL;
    fprintf(f, "%s%s\n", head, s->key);
    fprintf(f, "%" PRId64 " %" PRId64 " %" PRId64 " %a %a %a %a %a %zu\n", s->epoch, s->step,
            s->correct, s->control, s->loss, s->penalty, s->psi, s->slope, strlen(s->csv));
    fputs(s->csv, f);
    for (int i = 0; i < VECS; i++) fwrite(s->vec[i], 1, s->bytes[i], f);
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

int state_save(const char *path, const TrainState *s)
{
    NewFile file;
    DataError e;
    size_t n = 0;
    char *text = pack(s, &n);
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

enum { LAST = 9 }; /* the checksum and its newline */

static bool sound(const char *p, size_t n)
{
    char last[LAST + 1] = "", *end;
    if (n < sizeof head + LAST) return false;
    memcpy(last, p + n - LAST, LAST);
    unsigned long crc = strtoul(last, &end, 16);
    return end == last + 8 && *end == '\n' && crc == crc32(0, (const Bytef *)p, (uInt)(n - LAST));
}

static bool unpack(TrainState *s, const char *at, const char *end)
{
    TrainState r = *s;
    size_t csv = 0, left;
    int used = 0;
    if (sscanf(at, "%" SCNd64 " %" SCNd64 " %" SCNd64 " %la %la %la %la %la %zu%n", &r.epoch,
               &r.step, &r.correct, &r.control, &r.loss, &r.penalty, &r.psi, &r.slope, &csv,
               &used) != 9 ||
        at[used] != '\n')
        return false;
    at += used + 1;
    left = (size_t)(end - at);
    if (left != csv + s->bytes[0] + s->bytes[1] + s->bytes[2]) return false;
    r.csv = strndup(at, csv);
    if (!r.csv) return false;
    at += csv;
    for (int i = 0; i < VECS; at += s->bytes[i++]) memcpy(s->vec[i], at, s->bytes[i]);
    free(s->csv);
    *s = r;
    return true;
}

static int parse(const char *path, const char *p, size_t n, TrainState *s)
{
    size_t key = strlen(s->key);
    const char *at = p + sizeof head - 1;
    if (n < sizeof head || memcmp(p, head, sizeof head - 1))
        return fail_input("%s: is no checkpoint of adjoint train", path);
    if (!sound(p, n))
        return fail_input("%s: damaged checkpoint (its checksum is wrong); remove it to start anew",
                          path);
    if ((size_t)(p + n - at) <= key || memcmp(at, s->key, key) || at[key] != '\n')
        return fail_input("%s: checkpoint of another model, data or recipe (%.*s)", path,
                          (int)strcspn(at, "\n"), at);
    if (unpack(s, at + key + 1, p + n - LAST)) return 0;
    return fail_input("%s: damaged checkpoint (its parts do not fit)", path);
}

int state_load(const char *path, TrainState *s, bool *found)
{
    Bytes b;
    DataError e;
    struct stat st;
    *found = false;
    if (stat(path, &st) && errno == ENOENT) return 0;
    if (!file_load(path, &b, &e)) return fail_input("%s", e.msg);
    char *text = calloc(b.n + 1, 1); /* numbers in it are read as text, which ends */
    if (text) memcpy(text, b.p, b.n);
    int status = text ? parse(path, text, b.n, s) : fail_input("%s: no memory", path);
    free(text);
    file_unload(&b);
    *found = !status;
    return status;
}

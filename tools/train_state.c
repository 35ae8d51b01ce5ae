/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint: a head of text lines, the vectors as bytes, and the CRC-32 of all before it. It is
 * written beside its name and renamed, so that a kill at any moment, or a full disk, leaves the
 * last whole one. Numbers are hexadecimal floats: no digit is lost. */
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

static const char head[] = "adjoint train checkpoint 2\n";

/* ---- writing ---- */

static char *pack(const TrainState *s, size_t *n)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, n);
    if (!f) return NULL;
    fprintf(f, "%s%s\n", head, s->key);
    fprintf(f, "%" PRId64 " %" PRId64 " %" PRId64 " %a %a %a %a %zu\n", s->epoch, s->step,
            s->correct, s->loss, s->penalty, s->psi, s->slope, strlen(s->csv));
    fputs(s->csv, f);
    for (int i = 0; i < s->nvec; i++) fwrite(s->vec[i].now, 1, s->vec[i].bytes, f);
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

TrainVector *state_vector(TrainState *s, const char *name)
{
    for (int i = 0; i < s->nvec; i++)
        if (!strcmp(s->vec[i].name, name)) return &s->vec[i];
    return NULL;
}

static void previous_name(char *out, size_t size, const char *path)
{
    snprintf(out, size, "%s.1", path);
}

/* A second name for the last one: at each moment `path` is there, and whole. */
static void keep_previous(const char *path)
{
    char previous[4200];
    previous_name(previous, sizeof previous, path);
    if (access(path, F_OK)) return;
    unlink(previous);
    if (link(path, previous)) note("%s: cannot be kept: %s", path, strerror(errno));
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
        if (good) keep_previous(path);
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
    size_t csv = 0, left, all;
    int used = 0;
    if (sscanf(at, "%" SCNd64 " %" SCNd64 " %" SCNd64 " %la %la %la %la %zu%n", &r.epoch, &r.step,
               &r.correct, &r.loss, &r.penalty, &r.psi, &r.slope, &csv, &used) != 8 ||
        at[used] != '\n')
        return false;
    at += used + 1;
    left = (size_t)(end - at);
    all = csv;
    for (int i = 0; i < s->nvec; i++) all += s->vec[i].bytes;
    if (left != all) return false;
    r.csv = strndup(at, csv);
    if (!r.csv) return false;
    at += csv;
    for (int i = 0; i < s->nvec; at += s->vec[i++].bytes)
        memcpy(s->vec[i].now, at, s->vec[i].bytes);
    free(s->csv);
    *s = r;
    return true;
}

/* Names the last good one: the one before. */
static int refuse_damaged(const char *path)
{
    char previous[4200];
    Bytes b;
    DataError e;
    previous_name(previous, sizeof previous, path);
    bool whole = file_load(previous, &b, &e);
    if (whole) {
        whole = sound((const char *)b.p, b.n);
        file_unload(&b);
    }
    if (whole)
        return fail_input("%s: damaged checkpoint (its checksum is wrong); the last good one is "
                          "%s: rename it to go on from there",
                          path, previous);
    return fail_input("%s: damaged checkpoint (its checksum is wrong); remove it to start anew",
                      path);
}

static int parse(const char *path, const char *p, size_t n, TrainState *s)
{
    size_t key = strlen(s->key);
    const char *at = p + sizeof head - 1;
    if (n < sizeof head || memcmp(p, head, sizeof head - 1))
        return fail_input("%s: is no checkpoint of adjoint train", path);
    if (!sound(p, n)) return refuse_damaged(path);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* The checkpoint of an ARA: its key, the number of rows, a row an image. Sizes are hexadecimal
 * floats: no digit is lost. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "tools/ara.h"
#include "tools/checkpoint.h"
#include "tools/say.h"

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
    fprintf(f, "adjoint ara checkpoint 1\n%s\n%" PRId64 "\n", key, r->done);
    for (int64_t i = 0; i < r->done; i++) {
        const AraRow *w = &r->row[i];
        fprintf(f, "%" PRId64 " %" PRId64 " %" PRId64 " %a %d %08x\n", w->index, w->label,
                w->predicted, w->rmse, w->first, w->crc);
    }
    if (!fclose(f)) return text;
    free(text);
    return NULL;
}

int ara_save(const char *path, const char *key, const AraResult *r)
{
    size_t n = 0;
    char *text = print(key, r, &n);
    if (!text) return fail_input("%s: no memory to write it", path);
    int e = checkpoint_save(path, text, n);
    free(text);
    return e;
}

/* ---- reading ---- */

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
    char *line = checkpoint_line(&at), *end;
    if (!line) return false;
    int64_t n = strtoll(line, &end, 10);
    if (*end || n < 0 || n > r->total) return false;
    for (int64_t i = 0; i < n; i++)
        if (!(line = checkpoint_line(&at)) || !parse_row(line, &r->row[i])) return false;
    r->done = n;
    return !*at;
}

int ara_load(const char *path, const char *key, AraResult *r)
{
    char *text, *body;
    int e = checkpoint_load(path, "ara", key, &text, &body);
    if (!e && text && !parse_rows(body, r))
        e = fail_input("%s: damaged checkpoint (its rows are not of this list)", path);
    free(text);
    return e;
}

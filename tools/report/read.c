/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one file of a run, and checking what the page will rely on. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/data/format.h"
#include "tools/report/report.h"
#include "tools/say.h"

enum { MOST_SIZES = 100000000 };

static int keep_path(char **at, const char *path)
{
    free(*at);
    *at = strdup(path);
    return *at ? 0 : fail_input("report: no memory");
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- JSON ---- */

static const json_t *value_of(const Run *r, const char *group, const char *name)
{
    return json_object_get(json_object_get(r->json, group), name);
}

double run_number(const Run *r, const char *group, const char *name)
{
    const json_t *v = value_of(r, group, name);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

const char *run_text(const Run *r, const char *group, const char *name)
{
    return json_string_value(value_of(r, group, name));
}

static const char *last_part(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path;
}

const char *run_network(const Run *r)
{
    const char *model = last_part(run_text(r, "settings", "model"));
    if (model) return model;
    return last_part(r->json_path ? r->json_path : r->csv_path ? r->csv_path : r->png_path);
}

const char *run_attack(const Run *r)
{
    static const char *const names[] = {"attack", "entry", "mode"};
    const char *name = NULL;
    for (int i = 0; i < 3 && !name; i++) name = run_text(r, "settings", names[i]);
    return name ? name : "";
}

/* What a kind has in a group and the others have not. */
static const struct {
    const char *group, *name;
} marks[RUN_KINDS] = {[RUN_ARA] = {"results", "curve"},
                      [RUN_ATTACK] = {"results", "robust_accuracy"},
                      [RUN_EXPLAIN] = {"results", "sheet"},
                      [RUN_CERTIFY] = {"results", "mean_radius"},
                      [RUN_LIPSCHITZ] = {"settings", "measure"}};

/* Sizes out of the corners of a curve: [size, share of images left behind it]. */
static int take_curve(Run *r, const char *path)
{
    const json_t *curve = value_of(r, "results", "curve");
    double n = run_number(r, "results", "n"), left = 1, before = 0;
    if (!json_is_array(curve) || !(n >= 1 && n <= MOST_SIZES))
        return fail_input("%s: is damaged: no curve of n images", path);
    if (!(r->size = calloc((size_t)n, sizeof *r->size)))
        return fail_input("%s: no memory for %.0f sizes", path, n);
    for (size_t i = 0; i < json_array_size(curve); i++) {
        const json_t *corner = json_array_get(curve, i);
        const json_t *at = json_array_get(corner, 0), *share = json_array_get(corner, 1);
        double size = json_number_value(at), here = json_number_value(share);
        if (!json_is_number(at) || !json_is_number(share) || size < before || here > left ||
            here < 0)
            return fail_input("%s: is damaged: corner %zu of the curve", path, i);
        for (int64_t k = llround((left - here) * n); k > 0 && r->n < (int64_t)n; k--)
            r->size[r->n++] = size;
        left = here;
        before = size;
    }
    return r->n ? 0 : fail_input("%s: is damaged: its curve is empty", path);
}

static RunKind kind_of(const json_t *j)
{
    if (!json_is_object(json_object_get(j, "settings"))) return RUN_KINDS;
    for (int k = 0; k < RUN_KINDS; k++)
        if (marks[k].name && json_object_get(json_object_get(j, marks[k].group), marks[k].name))
            return (RunKind)k;
    return RUN_KINDS;
}

int run_read_json(Run *r, const char *path, bool found, bool *ours)
{
    json_error_t error;
    json_t *j = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!j && error.line < 0) return fail_input("%s: cannot be read", path);
    if (!j) return fail_input("%s: is damaged: line %d: %s", path, error.line, error.text);
    RunKind kind = kind_of(j);
    *ours = kind != RUN_KINDS;
    if (!*ours || (r->kind != RUN_KINDS && r->kind != kind)) {
        json_decref(j);
        *ours = false;
        return found ? 0
                     : fail_input("%s: is no JSON of attack, ara, explain, certify or lipschitz",
                                  path);
    }
    r->kind = kind;
    r->json = j;
    if (r->kind == RUN_ARA && !r->n) {
        int e = take_curve(r, path);
        if (e) return e;
    }
    return keep_path(&r->json_path, path);
}

/* ---- CSV ---- */

/* The number of a column of that name in a head of names; -1. *columns: how many there are. */
static int find_column(const char *head, const char *name, int *columns)
{
    int found = -1;
    *columns = 0;
    for (const char *p = head; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        if (strcspn(p, ",") == strlen(name) && !strncmp(p, name, strlen(name))) found = *columns;
        ++*columns;
    }
    return found;
}

/* Column `at` of a line that must have so many. */
static bool take_column(char *line, int columns, int at, double *out)
{
    char *field = line, *end = NULL;
    bool good = false;
    for (int i = 0; i < columns; i++) {
        char *comma = strchr(field, ',');
        if (!comma != (i == columns - 1)) return false;
        if (comma) *comma = 0;
        if (i == at) {
            *out = strtod(field, &end);
            good = end != field && !*end && *out >= 0;
        }
        field += strlen(field) + 1;
    }
    return good;
}

static bool add_size(Run *r, size_t *cap, double v)
{
    if ((size_t)r->n == *cap) {
        *cap = *cap ? 2 * *cap : 256;
        double *grown = realloc(r->size, sizeof *grown * *cap);
        if (!grown) return false;
        r->size = grown;
    }
    r->size[r->n++] = v;
    return true;
}

/* An image that nothing fooled has an infinite size: it is in no histogram. */
static int take_lines(Run *r, const char *path, FILE *f, int columns, int at)
{
    char *line = NULL;
    size_t room = 0, cap = 0;
    int e = 0;
    free(r->size);
    r->size = NULL;
    r->n = 0;
    for (int number = 2; !e && getline(&line, &room, f) >= 0; number++) {
        double v;
        bool whole = line[0] && line[strlen(line) - 1] == '\n';
        line[strcspn(line, "\r\n")] = 0;
        if (!whole || !take_column(line, columns, at, &v))
            e = fail_input("%s: is damaged: line %d", path, number);
        else if (isfinite(v) && !add_size(r, &cap, v))
            e = fail_input("%s: no memory", path);
    }
    free(line);
    if (!e && !r->n) e = fail_input("%s: has no images", path);
    if (!e) qsort(r->size, (size_t)r->n, sizeof *r->size, by_size);
    return e;
}

/* Both kinds begin alike and have a column of sizes; only an ARA has that of first successes. */
static int take_csv(Run *r, const char *path, FILE *f, bool found, bool *ours)
{
    char head[512] = "";
    int columns, at;
    head[fgets(head, sizeof head, f) ? strcspn(head, "\r\n") : 0] = 0;
    if (r->kind == RUN_KINDS && training_head(head)) {
        *ours = true;
        return run_read_training(r, path, f);
    }
    bool ara = find_column(head, "first_success", &columns) >= 0;
    RunKind kind = ara ? RUN_ARA : RUN_ATTACK;
    at = find_column(head, "rmse", &columns);
    *ours =
        at >= 0 && !strncmp(head, "index,label,", 12) && (r->kind == RUN_KINDS || r->kind == kind);
    if (!*ours) return found ? 0 : fail_input("%s: is no CSV of attack, ara or train", path);
    r->kind = kind;
    return take_lines(r, path, f, columns, at);
}

int run_read_csv(Run *r, const char *path, bool found, bool *ours)
{
    FILE *f = fopen(path, "r");
    if (!f) return fail_input("%s: %s", path, strerror(errno));
    int e = take_csv(r, path, f, found, ours);
    fclose(f);
    return e || !*ours ? e : keep_path(&r->csv_path, path);
}

/* ---- PNG ---- */

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The page embeds the bytes; their first chunk is the size, their last one the end. */
int run_read_png(Run *r, const char *path)
{
    static const uint8_t head[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    Bytes b;
    DataError error;
    if (!file_load(path, &b, &error)) return fail_input("%s", error.msg);
    bool good = b.n > 45 && !memcmp(b.p, head, 8) && !memcmp(b.p + 12, "IHDR", 4) &&
                !memcmp(b.p + b.n - 8, "IEND", 4);
    r->png = good ? malloc(b.n) : NULL;
    if (r->png) {
        memcpy(r->png, b.p, b.n);
        r->png_bytes = b.n;
        r->width = big_endian(b.p + 16);
        r->height = big_endian(b.p + 20);
    }
    file_unload(&b);
    if (!good) return fail_input("%s: is no whole PNG", path);
    if (!r->png) return fail_input("%s: no memory", path);
    r->kind = RUN_EXPLAIN;
    return keep_path(&r->png_path, path);
}

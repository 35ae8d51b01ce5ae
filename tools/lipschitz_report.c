/* SPDX-License-Identifier: Apache-2.0 */
/* What local measures say: a row an image as CSV, the same bytes on every run; to people; as JSON,
 * where timings stand apart. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/data/format.h"
#include "tools/lipschitz.h"
#include "tools/say.h"
#include "tools/json_file.h"

static void put_row(FILE *f, const LipschitzMeasure *m, int64_t index, const LipschitzRow *row)
{
    fprintf(f, "%" PRId64, index);
    if (strstr(m->classes, "class")) fprintf(f, ",%" PRId64, row->class);
    if (strstr(m->classes, "target")) fprintf(f, ",%" PRId64, row->target);
    for (int k = 0; m->value[k]; k++) fprintf(f, ",%.9g", row->value[k]);
    fputc('\n', f);
}

int lipschitz_write_csv(const char *path, const LipschitzPlan *p, const LipschitzResult *r)
{
    const LipschitzMeasure *m = &lipschitz_measures[p->measure];
    NewFile file;
    DataError e;
    if (!file_create(path, &file, &e)) return fail_input("%s", e.msg);
    fprintf(file.f, "index,%s", m->classes);
    for (int k = 0; m->value[k]; k++) fprintf(file.f, "%s%s", k ? "," : "", m->value[k]);
    fputc('\n', file.f);
    for (int64_t i = 0; i < r->n; i++) put_row(file.f, m, p->range.first + i, &r->row[i]);
    return file_commit(&file, true, &e) ? 0 : fail_input("%s", e.msg);
}

/* ---- over images ---- */

typedef struct Summary {
    double mean, least, median, most;
} Summary;

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of value k; false if there is no memory. A target that is the image's own class has no values. */
static bool summarise(const LipschitzPlan *p, const LipschitzResult *r, int k, Summary *s)
{
    double *v = malloc((size_t)(r->n + 1) * sizeof *v), sum = 0;
    int64_t n = 0;
    if (!v) return false;
    for (int64_t i = 0; i < r->n; i++)
        if (p->measure != MEASURE_CLEVER || r->row[i].target >= 0) v[n++] = r->row[i].value[k];
    for (int64_t i = 0; i < n; i++) sum += v[i];
    qsort(v, (size_t)n, sizeof *v, ascending);
    *s = (Summary){NAN, NAN, NAN, NAN};
    if (n) *s = (Summary){sum / (double)n, v[0], v[n / 2], v[n - 1]};
    free(v);
    return true;
}

int lipschitz_print(const LipschitzPlan *p, const LipschitzResult *r)
{
    const LipschitzMeasure *m = &lipschitz_measures[p->measure];
    Summary s;
    printf("%-16s %s", "measure", r->entry);
    if (!isnan(r->radius)) printf(", radius %.6g", r->radius);
    if (p->measure == MEASURE_ASCENT) printf(", step %.6g, %d steps", r->step, p->steps);
    if (p->measure == MEASURE_CLEVER)
        printf(", %" PRId64 " batches of %" PRId64 " points", p->batches, p->points);
    printf(", seed %" PRIu64 ", %" PRId64 " images\n", p->run.seed, r->n);
    for (int k = 0; m->value[k]; k++) {
        if (!summarise(p, r, k, &s)) return fail_input("no memory for statistics");
        if (isnan(s.mean))
            printf("%-16s none: the target is every image's own class\n", m->value[k]);
        else
            printf("%-16s mean %.6g, least %.6g, median %.6g, largest %.6g\n", m->value[k], s.mean,
                   s.least, s.median, s.most);
    }
    printf("%-16s %.0f gradients/s (%" PRIu64 " in %.2f s, %d threads; compiled in %.2f s)\n",
           "speed", r->backwards ? (double)r->backwards / r->seconds : 0, r->backwards, r->seconds,
           p->run.threads, r->compile_seconds);
    return 0;
}

/* ---- JSON ---- */

static json_t *number_or_null(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *settings_json(const LipschitzPlan *p, const LipschitzResult *r)
{
    char hash[20];
    snprintf(hash, sizeof hash, "%016" PRIx64, r->hash);
    return json_pack("{s:s, s:s, s:o, s:o, s:i, s:I, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:s}",
                     "measure", lipschitz_measures[p->measure].name, "entry", r->entry, "radius",
                     number_or_null(r->radius), "step", number_or_null(r->step), "steps",
                     (int)p->steps, "batches", (json_int_t)p->batches, "points",
                     (json_int_t)p->points, "target_class", (json_int_t)p->target, "seed",
                     (json_int_t)p->run.seed, "model", p->model, "hash", hash, "precision",
                     r->precision, "target", r->target, "cpu", r->cpu);
}

static json_t *result_json(const LipschitzPlan *p, const LipschitzResult *r)
{
    const LipschitzMeasure *m = &lipschitz_measures[p->measure];
    json_t *j = json_pack("{s:s, s:I, s:I}", "images", p->images, "first",
                          (json_int_t)p->range.first, "n", (json_int_t)r->n);
    Summary s = {0};
    for (int k = 0; m->value[k]; k++) {
        if (!summarise(p, r, k, &s)) continue;
        json_object_set_new(j, m->value[k],
                            json_pack("{s:o, s:o, s:o, s:o}", "mean", number_or_null(s.mean),
                                      "least", number_or_null(s.least), "median",
                                      number_or_null(s.median), "largest", number_or_null(s.most)));
    }
    return j;
}

int lipschitz_write_json(const char *path, const LipschitzPlan *p, const LipschitzResult *r)
{
    json_t *time = json_pack("{s:f, s:I, s:f, s:i}", "seconds", r->seconds, "gradients",
                             (json_int_t)r->backwards, "compile_seconds", r->compile_seconds,
                             "threads", p->run.threads);
    json_t *j = json_pack("{s:o, s:o, s:o, s:s}", "settings", settings_json(p, r), "results",
                          result_json(p, r), "timings", time, "units", "pixels in [0,1]");
    return json_write(path, j);
}

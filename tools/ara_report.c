/* SPDX-License-Identifier: Apache-2.0 */
/* What an ARA says: a row an image as CSV, the same bytes on every run; to people; as JSON, where
 * timings stand apart. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "tools/ara.h"
#include "tools/data/format.h"
#include "tools/ranks.h"
#include "tools/say.h"
#include "tools/json_file.h"

enum { CURVE_LINES = 10 };

/* ---- CSV ---- */

static void put_row(FILE *f, const AraRow *w, int digits, int32_t steps)
{
    char first[16] = "";
    if (w->first != ARA_NEVER) snprintf(first, sizeof first, "%d", w->first);
    fprintf(f, "%" PRId64 ",%" PRId64 ",%" PRId64 ",%.*g,%s,%d\n", w->index, w->label, w->predicted,
            digits, w->rmse, first, ara_late(w, steps));
}

int ara_write_csv(const char *path, const AraPlan *p, const AraResult *r)
{
    NewFile file;
    DataError e;
    if (!file_create(path, &file, &e)) return fail_input("%s", e.msg);
    fputs("index,label,predicted,rmse,first_success,late\n", file.f);
    for (int64_t i = 0; i < r->total; i++) put_row(file.f, &r->row[i], r->f64 ? 17 : 9, p->steps);
    return file_commit(&file, true, &e) ? 0 : fail_input("%s", e.msg);
}

/* ---- text ---- */

static double share(int64_t part, int64_t whole)
{
    return (double)part / (double)whole;
}

/* The size that this share of the images does not exceed. */
static double quantile(const AraResult *r, double q)
{
    return r->size[(int64_t)(q * (double)(r->total - 1))];
}

static void print_curve(const AraResult *r)
{
    double most = r->size[r->total - 1];
    printf("%-16s accuracy under perturbations of up to\n", "curve");
    for (int i = 0; i <= CURVE_LINES; i++) {
        double size = most * i / CURVE_LINES;
        printf("  %.4f  at RMSE %.5f\n", ara_accuracy(r->size, r->total, size), size);
    }
}

static const char *ranks_text(void)
{
    static char text[40];
    if (ranks_count() > 1) snprintf(text, sizeof text, " in each of %d ranks", ranks_count());
    return text;
}

void ara_print(const AraPlan *p, const AraResult *r)
{
    printf("%-16s %s, eps %.6g, mu %.6g, %d steps%s\n", "attack", p->attack, p->eps, p->mu,
           p->steps, p->box ? ", in [0,1]" : "");
    printf("%-16s %.4f (%" PRId64 " of %" PRId64 ")\n", "clean accuracy",
           share(r->correct, r->total), r->correct, r->total);
    print_curve(r);
    printf("%-16s median %.6g, quartiles %.6g and %.6g, largest %.6g (RMSE, pixels in [0,1])\n",
           "sizes", quantile(r, 0.5), quantile(r, 0.25), quantile(r, 0.75), quantile(r, 1));
    printf("%-16s %.6f as published (1000 bins), %.6f exact; above chance, 1/%" PRId64 "\n", "ARA",
           r->area.published, r->area.exact, r->classes);
    if (r->done > r->resumed && r->seconds > 0)
        printf("%-16s %.0f image-steps/s (%" PRId64
               " images in %.2f s, %d threads%s; compiled in %.2f s)\n",
               "speed", (double)r->backwards / r->seconds, r->done - r->resumed, r->seconds,
               p->run.threads, ranks_text(), r->compile_seconds);
}

/* ---- JSON ---- */

static json_t *settings_json(const AraPlan *p, const AraResult *r)
{
    char hash[20];
    snprintf(hash, sizeof hash, "%016" PRIx64, r->hash);
    return json_pack("{s:s, s:f, s:f, s:i, s:b, s:s, s:s, s:s, s:s?, s:I, s:s, s:s, s:s}", "attack",
                     p->attack, "eps", p->eps, "mu", p->mu, "steps", (int)p->steps, "box", p->box,
                     "model", p->model, "hash", hash, "images", p->images, "indices", p->indices,
                     "first", (json_int_t)p->range.first, "precision", r->precision, "target",
                     r->target, "cpu", r->cpu);
}

/* Corners of the curve: behind each size, the share of images that are left. */
static json_t *curve_json(const AraResult *r)
{
    json_t *curve = json_array();
    for (int64_t i = 0; i < r->total; i++) {
        if (i + 1 < r->total && r->size[i + 1] == r->size[i]) continue;
        json_array_append_new(curve,
                              json_pack("[f, f]", r->size[i], share(r->total - i - 1, r->total)));
    }
    return curve;
}

static json_t *results_json(const AraResult *r)
{
    return json_pack("{s:I, s:f, s:f, s:f, s:f, s:I, s:I, s:{s:f, s:f, s:f, s:f}, s:o}", "n",
                     (json_int_t)r->total, "clean_accuracy", share(r->correct, r->total), "ara",
                     r->area.published, "ara_exact", r->area.exact, "chance",
                     1 / (double)r->classes, "late", (json_int_t)r->late, "never_fooled",
                     (json_int_t)r->never, "rmse", "median", quantile(r, 0.5), "quartile1",
                     quantile(r, 0.25), "quartile3", quantile(r, 0.75), "max", quantile(r, 1),
                     "curve", curve_json(r));
}

static json_t *timings_json(const AraPlan *p, const AraResult *r)
{
    return json_pack("{s:f, s:I, s:I, s:I, s:f, s:i, s:i}", "attack_seconds", r->seconds, "images",
                     (json_int_t)(r->done - r->resumed), "forwards", (json_int_t)r->forwards,
                     "backwards", (json_int_t)r->backwards, "compile_seconds", r->compile_seconds,
                     "threads", p->run.threads, "ranks", ranks_count());
}

int ara_write_json(const char *path, const AraPlan *p, const AraResult *r)
{
    json_t *j = json_pack("{s:o, s:o, s:o, s:s}", "settings", settings_json(p, r), "results",
                          results_json(r), "timings", timings_json(p, r), "units",
                          "sizes: root mean square over C*H*W of pixels in [0,1]; curve: [size, "
                          "accuracy under perturbations of up to that size]");
    return json_write(path, j);
}

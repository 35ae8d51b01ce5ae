/* SPDX-License-Identifier: Apache-2.0 */
/* What smoothing says: a row an image as CSV, the same bytes on every run; to people; as JSON,
 * where timings stand apart. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "tools/binomial.h"
#include "tools/certify.h"
#include "tools/data/format.h"
#include "tools/say.h"
#include "tools/json_file.h"

bool certify_right(const CertifySample *s)
{
    return s->predicted >= 0 && s->predicted == s->label;
}

int certify_write_csv(const char *path, const CertifyPlan *p, const CertifyResult *r)
{
    NewFile file;
    DataError e;
    if (!file_create(path, &file, &e)) return fail_input("%s", e.msg);
    fprintf(file.f, "index,label,predicted,correct,votes,%s,radius\n",
            p->predict ? "p_value" : "bound");
    for (int64_t i = 0; i < r->n; i++) {
        const CertifySample *s = &r->sample[i];
        fprintf(file.f, "%" PRId64 ",%" PRId64 ",%" PRId64 ",%d,%" PRId64 ",%.9g,%.9g\n",
                p->range.first + i * p->every, s->label, s->predicted, certify_right(s), s->votes,
                s->bound, s->radius);
    }
    return file_commit(&file, true, &e) ? 0 : fail_input("%s", e.msg);
}

/* ---- counts ---- */

typedef struct Totals {
    int64_t abstained, right;
    double radius; /* mean: 0 where the label is not what is predicted */
} Totals;

static Totals total(const CertifyResult *r)
{
    Totals t = {0};
    for (int64_t i = 0; i < r->n; i++) {
        const CertifySample *s = &r->sample[i];
        bool counts = r->labels ? certify_right(s) : s->predicted >= 0;
        t.abstained += s->predicted < 0;
        t.right += counts;
        t.radius += counts ? s->radius / (double)r->n : 0;
    }
    return t;
}

/* Images that are right (without labels: decided) with a certified radius of at least this. */
static int64_t certified(const CertifyResult *r, double radius)
{
    int64_t n = 0;
    for (int64_t i = 0; i < r->n; i++) {
        const CertifySample *s = &r->sample[i];
        n += (r->labels ? certify_right(s) : s->predicted >= 0) && s->radius >= radius;
    }
    return n;
}

/* The radius that all n votes for one class certify. */
static double most_radius(const CertifyPlan *p)
{
    return p->sigma * normal_quantile(binomial_lower(p->n, p->n, p->alpha));
}

static double share(int64_t part, int64_t whole)
{
    return (double)part / (double)whole;
}

/* ---- text ---- */

static const double radii[] = {0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3};
enum { RADII = sizeof radii / sizeof radii[0] };

static void print_line(const char *what, int64_t n, const CertifyResult *r)
{
    printf("%-16s %.4f (%" PRId64 " of %" PRId64 ")\n", what, share(n, r->n), n, r->n);
}

static void print_radii(const CertifyPlan *p, const CertifyResult *r, double mean)
{
    printf("%-16s %s\n", "certified",
           r->labels ? "accuracy at L2 radii, pixels in [0,1]"
                     : "share at L2 radii, pixels in [0,1] (no labels)");
    for (int i = 0; i < RADII && radii[i] <= most_radius(p); i++)
        printf("  %.4f  at %.2f\n", share(certified(r, radii[i]), r->n), radii[i]);
    printf("%-16s %.6f mean, %.6f at most with %" PRId64 " draws\n", "radius", mean, most_radius(p),
           p->n);
}

void certify_print(const CertifyPlan *p, const CertifyResult *r)
{
    Totals t = total(r);
    printf("%-16s sigma %.6g, ", "smoothing", p->sigma);
    if (!p->predict) printf("n0 %" PRId64 ", ", p->n0);
    printf("n %" PRId64 ", alpha %.6g, seed %" PRIu64 "\n", p->n, p->alpha, p->run.seed);
    if (r->labels) print_line("accuracy", t.right, r);
    print_line("abstained", t.abstained, r);
    if (!p->predict) print_radii(p, r, t.radius);
    printf("%-16s %.0f noisy images/s (%" PRIu64 " in %.2f s, %d threads; compiled in %.2f s)\n",
           "speed", (double)r->draws / r->seconds, r->draws, r->seconds, p->run.threads,
           r->compile_seconds);
}

/* ---- JSON ---- */

static json_t *settings_json(const CertifyPlan *p, const CertifyResult *r)
{
    char hash[20];
    snprintf(hash, sizeof hash, "%016" PRIx64, r->hash);
    return json_pack("{s:s, s:f, s:I, s:I, s:f, s:I, s:s, s:s, s:s, s:s, s:s}", "mode",
                     p->predict ? "predict" : "certify", "sigma", p->sigma, "n0",
                     (json_int_t)(p->predict ? 0 : p->n0), "n", (json_int_t)p->n, "alpha", p->alpha,
                     "seed", (json_int_t)p->run.seed, "model", p->model, "hash", hash, "precision",
                     r->precision, "target", r->target, "cpu", r->cpu);
}

static json_t *curve_json(const CertifyPlan *p, const CertifyResult *r)
{
    json_t *all = json_array();
    for (int i = 0; i < RADII && radii[i] <= most_radius(p) && !p->predict; i++)
        json_array_append_new(all, json_pack("{s:f, s:f}", "radius", radii[i], "share",
                                             share(certified(r, radii[i]), r->n)));
    return all;
}

static json_t *result_json(const CertifyPlan *p, const CertifyResult *r)
{
    Totals t = total(r);
    return json_pack("{s:s, s:I, s:I, s:I, s:b, s:f, s:f, s:f, s:o}", "images", p->images, "first",
                     (json_int_t)p->range.first, "every", (json_int_t)p->every, "n",
                     (json_int_t)r->n, "labels", r->labels, r->labels ? "accuracy" : "decided",
                     share(t.right, r->n), "abstained", share(t.abstained, r->n), "mean_radius",
                     t.radius, "certified", curve_json(p, r));
}

int certify_write_json(const char *path, const CertifyPlan *p, const CertifyResult *r)
{
    json_t *time = json_pack("{s:f, s:f, s:f, s:i}", "seconds", r->seconds,
                             "noisy_images_per_second", (double)r->draws / r->seconds,
                             "compile_seconds", r->compile_seconds, "threads", p->run.threads);
    json_t *j = json_pack("{s:o, s:o, s:o, s:s}", "settings", settings_json(p, r), "results",
                          result_json(p, r), "timings", time, "units",
                          "pixels in [0,1]; radii: L2; accuracies: shares");
    return json_write(path, j);
}

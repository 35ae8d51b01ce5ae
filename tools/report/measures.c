/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of what `certify` and `lipschitz` wrote. */
#include <math.h>
#include <string.h>

#include "tools/report/report.h"

static int count(const Report *r, RunKind kind)
{
    int n = 0;
    for (int i = 0; i < r->n; i++) n += r->run[i].kind == kind;
    return n;
}

/* NULL-terminated; the first two columns are words. */
static void put_head(FILE *f, const char *const *column)
{
    fputs("<table>\n<thead><tr>", f);
    for (int i = 0; column[i]; i++)
        fprintf(f, "<th%s scope=\"col\">%s</th>", i > 1 ? " class=\"n\"" : "", column[i]);
    fputs("</tr></thead>\n<tbody>\n", f);
}

static void begin_row(FILE *f, const Run *r)
{
    fputs("<tr><th scope=\"row\">", f);
    put_text(f, run_network(r));
    fputs("</th>", f);
}

/* ---- certificates ---- */

static const char *const radii[] = {"at 0.25", "at 0.5", "at 1"};
static const double radius[] = {0.25, 0.5, 1};

/* The share certified at a radius; none: NaN, as where no image can reach it. */
static double share_at(const Run *r, double at)
{
    const json_t *list = json_object_get(json_object_get(r->json, "results"), "certified");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i), *v = json_object_get(one, "share");
        if (json_number_value(json_object_get(one, "radius")) == at && json_is_number(v))
            return json_number_value(v);
    }
    return NAN;
}

static void certificate(FILE *f, const Run *r)
{
    begin_row(f, r);
    put_cell(f, "mode", run_attack(r));
    put_number_cell(f, "sigma", run_number(r, "settings", "sigma"), false);
    put_number_cell(f, "draws", run_number(r, "settings", "n"), false);
    put_number_cell(f, "images", run_number(r, "results", "n"), false);
    put_number_cell(f, "accuracy", run_number(r, "results", "accuracy"), true);
    put_number_cell(f, "abstained", run_number(r, "results", "abstained"), true);
    put_number_cell(f, "mean radius", run_number(r, "results", "mean_radius"), false);
    for (int i = 0; i < 3; i++) put_number_cell(f, radii[i], share_at(r, radius[i]), true);
    fputs("</tr>\n", f);
}

void put_certificates(FILE *f, const Report *r)
{
    static const char *const column[] = {"network", "mode",     "sigma",     "draws",
                                         "images",  "accuracy", "abstained", "mean radius",
                                         "at 0.25", "at 0.5",   "at 1",      NULL};
    if (!count(r, RUN_CERTIFY)) return;
    fputs(
        "<section>\n<h2>Certificates</h2>\n<p>Randomized smoothing: the share of images whose "
        "class "
        "is certain not to change within an L2 radius, of those with labels the right ones.</p>\n",
        f);
    put_head(f, column);
    for (int i = 0; i < r->n; i++)
        if (r->run[i].kind == RUN_CERTIFY) certificate(f, &r->run[i]);
    fputs("</tbody>\n</table>\n</section>\n", f);
}

/* ---- local measures ---- */

static double part(const json_t *value, const char *name)
{
    const json_t *v = json_object_get(value, name);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static void measure(FILE *f, const Run *r, const char *name, const json_t *value)
{
    begin_row(f, r);
    fputs("<td data-l=\"value\">", f);
    put_text(f, run_attack(r));
    fputs(": ", f);
    put_text(f, name);
    fputs("</td>", f);
    put_number_cell(f, "radius", run_number(r, "settings", "radius"), false);
    put_number_cell(f, "images", run_number(r, "results", "n"), false);
    put_number_cell(f, "least", part(value, "least"), false);
    put_number_cell(f, "median", part(value, "median"), false);
    put_number_cell(f, "mean", part(value, "mean"), false);
    put_number_cell(f, "largest", part(value, "largest"), false);
    fputs("</tr>\n", f);
}

/* Each value that was measured is an object of its own among the results. */
static void measures_of(FILE *f, const Run *r)
{
    const char *name;
    json_t *v;
    json_object_foreach(json_object_get(r->json, "results"), name, v)
    {
        if (json_is_object(v)) measure(f, r, name, v);
    }
}

void put_measures(FILE *f, const Report *r)
{
    static const char *const column[] = {"network", "value", "radius",  "images", "least",
                                         "median",  "mean",  "largest", NULL};
    if (!count(r, RUN_LIPSCHITZ)) return;
    fputs("<section>\n<h2>Local measures</h2>\n<p>Around each image: norms of gradients, CLEVER's "
          "estimate of the nearest border, Lipschitz constants from below.</p>\n",
          f);
    put_head(f, column);
    for (int i = 0; i < r->n; i++)
        if (r->run[i].kind == RUN_LIPSCHITZ) measures_of(f, &r->run[i]);
    fputs("</tbody>\n</table>\n</section>\n", f);
}

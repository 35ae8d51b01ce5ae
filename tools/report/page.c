/* SPDX-License-Identifier: Apache-2.0 */
/* The template with its places filled. A section that has nothing to show writes nothing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/data/format.h"
#include "tools/report/report.h"
#include "tools/say.h"

/* ---- runs by their kind ---- */

static int count(const Report *r, RunKind kind, bool json)
{
    int n = 0;
    for (int i = 0; i < r->n; i++) n += r->run[i].kind == kind && (r->run[i].json || !json);
    return n;
}

void put_swatch(FILE *f, int colour, int dash)
{
    if (colour >= 0)
        fprintf(f,
                "<svg class=\"swatch\" viewBox=\"0 0 28 8\" aria-hidden=\"true\"><path "
                "class=\"curve k%d d%d\" d=\"M1 4H27\"/></svg>",
                colour % 8, dash % 3);
}

static void put_name(FILE *f, const Run *r)
{
    put_text(f, run_network(r));
    if (!*run_attack(r)) return;
    fputs(" · <span class=\"whole\">", f);
    put_text(f, run_attack(r));
    fputs("</span>", f);
}

/* ---- sections ---- */

static void title(FILE *f, const Report *r)
{
    put_text(f, r->title);
}

static void summary(FILE *f, const Report *r)
{
    static const char *const names[RUN_KINDS][2] = {
        {"robustness curve", "robustness curves"},
        {"attack", "attacks"},
        {"sheet of explanations", "sheets of explanations"},
        {"training", "trainings"},
        {"certified set", "certified sets"},
        {"local measure", "local measures"}};
    for (int k = 0, shown = 0; k < RUN_KINDS; k++) {
        int n = count(r, (RunKind)k, false);
        if (n) fprintf(f, "%s%d %s", shown++ ? ", " : "", n, names[k][n > 1]);
    }
}

static void tile(FILE *f, const Run *r, const char *what, double v, bool percent)
{
    fprintf(f, "<li class=\"k%d\"><span class=\"what\">%s</span><b>", r->colour % 8, what);
    if (percent)
        put_percent(f, v);
    else
        put_number(f, v);
    fputs("</b><span class=\"of\">", f);
    put_name(f, r);
    fputs("</span></li>\n", f);
}

static void tiles(FILE *f, const Report *r)
{
    if (!count(r, RUN_ARA, true) && !count(r, RUN_ATTACK, true)) return;
    fputs("<ul class=\"tiles\">\n", f);
    for (int i = 0; i < r->n; i++) {
        const Run *run = &r->run[i];
        if (!run->json) continue;
        if (run->kind == RUN_ARA) tile(f, run, "ARA", run_number(run, "results", "ara"), false);
        if (run->kind == RUN_ATTACK)
            tile(f, run, "robust accuracy", run_number(run, "results", "robust_accuracy"), true);
    }
    fputs("</ul>\n", f);
}

static void ara_row(FILE *f, const Run *r)
{
    fputs("<tr><th scope=\"row\">", f);
    put_swatch(f, r->colour, r->colour);
    put_text(f, run_network(r));
    fputs("</th>", f);
    put_cell(f, "attack", *run_attack(r) ? run_attack(r) : "–");
    put_number_cell(f, "images", (double)r->n, false);
    put_number_cell(f, "clean accuracy", run_number(r, "results", "clean_accuracy"), true);
    put_number_cell(f, "median RMSE", r->size[(r->n - 1) / 2], false);
    put_number_cell(f, "ARA", run_number(r, "results", "ara"), false);
    put_number_cell(f, "ARA, exact", run_number(r, "results", "ara_exact"), false);
    put_number_cell(f, "late", run_number(r, "results", "late"), false);
    fputs("</tr>\n", f);
}

static void curves(FILE *f, const Report *r)
{
    if (!count(r, RUN_ARA, false)) return;
    fputs("<section>\n<h2>Accuracy under perturbation</h2>\n"
          "<p>The share of images that withstand every perturbation up to a size. The ARA is the "
          "area between a curve and chance.</p>\n<figure>\n",
          f);
    plot_curves(f, r);
    fputs("</figure>\n<table>\n<thead><tr><th scope=\"col\">network</th><th "
          "scope=\"col\">attack</th><th class=\"n\" scope=\"col\">images</th><th class=\"n\" "
          "scope=\"col\">clean accuracy</th><th class=\"n\" scope=\"col\">median RMSE</th><th "
          "class=\"n\" scope=\"col\">ARA</th><th class=\"n\" scope=\"col\">ARA, exact</th><th "
          "class=\"n\" scope=\"col\">late</th></tr></thead>\n<tbody>\n",
          f);
    for (int i = 0; i < r->n; i++)
        if (r->run[i].kind == RUN_ARA) ara_row(f, &r->run[i]);
    fputs("</tbody>\n</table>\n</section>\n", f);
}

static double median_of(const Run *r, const char *norm)
{
    const json_t *d = json_object_get(json_object_get(r->json, "results"), "distances");
    const json_t *v = json_object_get(json_object_get(d, norm), "median");
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static void attack_row(FILE *f, const Run *r)
{
    fputs("<tr><th scope=\"row\">", f);
    put_text(f, run_network(r));
    fputs("</th>", f);
    put_cell(f, "attack", run_attack(r));
    put_number_cell(f, "eps", run_number(r, "settings", "eps"), false);
    put_number_cell(f, "steps", run_number(r, "settings", "steps"), false);
    put_number_cell(f, "images", run_number(r, "results", "n"), false);
    put_number_cell(f, "clean accuracy", run_number(r, "results", "clean_accuracy"), true);
    put_number_cell(f, "robust accuracy", run_number(r, "results", "robust_accuracy"), true);
    put_number_cell(f, "median Linf", median_of(r, "linf"), false);
    put_number_cell(f, "median L2", median_of(r, "l2"), false);
    fputs("</tr>\n", f);
}

static void attacks(FILE *f, const Report *r)
{
    if (!count(r, RUN_ATTACK, true)) return;
    fputs("<section>\n<h2>Attacks</h2>\n<p>Robust accuracy counts the images that are classified "
          "right before and after the attack.</p>\n<table>\n<thead><tr><th "
          "scope=\"col\">network</th><th scope=\"col\">attack</th><th class=\"n\" "
          "scope=\"col\">eps</th><th class=\"n\" scope=\"col\">steps</th><th class=\"n\" "
          "scope=\"col\">images</th><th class=\"n\" scope=\"col\">clean accuracy</th><th "
          "class=\"n\" scope=\"col\">robust accuracy</th><th class=\"n\" scope=\"col\">median "
          "Linf</th><th class=\"n\" scope=\"col\">median L2</th></tr></thead>\n<tbody>\n",
          f);
    for (int i = 0; i < r->n; i++)
        if (r->run[i].kind == RUN_ATTACK && r->run[i].json) attack_row(f, &r->run[i]);
    fputs("</tbody>\n</table>\n</section>\n", f);
}

static void histogram(FILE *f, const Run *r)
{
    fputs("<figure>\n", f);
    plot_histogram(f, r);
    fputs("<figcaption>", f);
    put_name(f, r);
    fputs("<br>median ", f);
    put_number(f, r->size[(r->n - 1) / 2]);
    fputs(", quartiles ", f);
    put_number(f, r->size[(r->n - 1) / 4]);
    fputs(" and ", f);
    put_number(f, r->size[(r->n - 1) * 3 / 4]);
    fprintf(f, "; %lld images</figcaption>\n</figure>\n", (long long)r->n);
}

static void histograms(FILE *f, const Report *r)
{
    int n = 0;
    for (int i = 0; i < r->n; i++) n += r->run[i].n > 0;
    if (!n) return;
    fputs("<section>\n<h2>Sizes of perturbations</h2>\n<p>How many images have a perturbation of "
          "which RMSE. The line is the median.</p>\n<div class=\"pair\">\n",
          f);
    for (int i = 0; i < r->n; i++)
        if (r->run[i].n) histogram(f, &r->run[i]);
    fputs("</div>\n</section>\n", f);
}

/* ---- explanations ---- */

/* "image 0 is class 9 (p 0.998): adversarial towards 5 (p 0.91), ..." */
static void put_image_words(FILE *f, const json_t *image)
{
    const char *name = json_string_value(json_object_get(image, "image"));
    const json_t *list = json_object_get(image, "explained");
    put_text(f, name ? name : "an image");
    fprintf(f, " is class %lld (p %.3f): ",
            (long long)json_integer_value(json_object_get(image, "predicted")),
            json_number_value(json_object_get(image, "probability")));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *method = json_string_value(json_object_get(one, "method"));
        fputs(i ? ", " : "", f);
        put_text(f, method ? method : "explained");
        fprintf(f, " for %lld (p %.3f)",
                (long long)json_integer_value(json_object_get(one, "class")),
                json_number_value(json_object_get(one, "probability")));
    }
    fputs(". ", f);
}

static void put_methods(FILE *f, const Run *r)
{
    const json_t *list = json_object_get(json_object_get(r->json, "settings"), "methods");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        fputs(i ? ", " : " · ", f);
        put_text(f, name ? name : "?");
    }
}

static void sheet(FILE *f, const Run *r)
{
    const json_t *images = json_object_get(json_object_get(r->json, "results"), "images");
    fprintf(f,
            "<figure class=\"sheet\">\n<div tabindex=\"0\"><img width=\"%u\" height=\"%u\" alt=\"",
            r->width, r->height);
    fputs("Explanations of ", f);
    put_text(f, run_network(r));
    fputs(json_array_size(images) ? ". " : ".", f);
    for (size_t i = 0; i < json_array_size(images); i++)
        put_image_words(f, json_array_get(images, i));
    fputs("\" src=\"data:image/png;base64,", f);
    put_base64(f, r->png, r->png_bytes);
    fputs("\"></div>\n<figcaption>", f);
    put_text(f, run_network(r));
    put_methods(f, r);
    fputs("</figcaption>\n</figure>\n", f);
}

static void sheets(FILE *f, const Report *r)
{
    if (!count(r, RUN_EXPLAIN, false)) return;
    fputs("<section>\n<h2>Explanations</h2>\n<p>What the networks see: red raises a class's score, "
          "blue lowers it; changed images have more of the class.</p>\n",
          f);
    for (int i = 0; i < r->n; i++)
        if (r->run[i].kind == RUN_EXPLAIN) sheet(f, &r->run[i]);
    fputs("</section>\n", f);
}

/* ---- settings ---- */

static void put_value(FILE *f, const json_t *v)
{
    char *text = json_is_string(v) ? NULL : json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(8));
    put_text(f, json_is_string(v) ? json_string_value(v) : text ? text : "?");
    free(text);
}

static void put_pairs(FILE *f, json_t *group)
{
    const char *key;
    json_t *v;
    json_object_foreach(group, key, v)
    {
        if (json_is_null(v)) continue;
        fputs("<div><dt>", f);
        for (const char *p = key; *p; p++) put_text(f, *p == '_' ? " " : (char[]){*p, 0});
        fputs("</dt><dd>", f);
        put_value(f, v);
        fputs("</dd></div>\n", f);
    }
}

static void settings(FILE *f, const Report *r)
{
    int n = 0;
    for (int i = 0; i < r->n; i++) n += r->run[i].json != NULL;
    if (!n) return;
    fputs("<section>\n<h2>Settings</h2>\n", f);
    for (int i = 0; i < r->n; i++) {
        const Run *run = &r->run[i];
        if (!run->json) continue;
        fputs("<details><summary>", f);
        put_name(f, run);
        if (run->kind == RUN_EXPLAIN) put_methods(f, run);
        fputs("</summary>\n<dl>\n", f);
        put_pairs(f, json_object_get(run->json, "settings"));
        put_pairs(f, json_object_get(run->json, "timings"));
        fputs("</dl></details>\n", f);
    }
    fputs("</section>\n", f);
}

/* ---- the template ---- */

static const struct {
    const char *place;
    void (*fill)(FILE *, const Report *);
} places[] = {{"title", title},
              {"summary", summary},
              {"tiles", tiles},
              {"curves", curves},
              {"trainings", put_trainings},
              {"attacks", attacks},
              {"histograms", histograms},
              {"certificates", put_certificates},
              {"measures", put_measures},
              {"explanations", sheets},
              {"settings", settings}};

static void fill(FILE *f, const Report *r, const char *place, size_t n)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (strlen(places[i].place) == n && !strncmp(places[i].place, place, n))
            places[i].fill(f, r);
}

int report_write(const char *path, const Report *r)
{
    NewFile file;
    DataError e;
    if (!file_create(path, &file, &e)) return fail_input("%s", e.msg);
    const char *at = report_template;
    for (const char *open; (open = strstr(at, "{{")); at = strstr(open, "}}") + 2) {
        fwrite(at, 1, (size_t)(open - at), file.f);
        fill(file.f, r, open + 2, (size_t)(strstr(open, "}}") - open) - 2);
    }
    fputs(at, file.f);
    return file_commit(&file, true, &e) ? 0 : fail_input("%s", e.msg);
}

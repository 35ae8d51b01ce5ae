/* SPDX-License-Identifier: Apache-2.0 */
/* Trainings: train.csv into a run, and their accuracies over epochs as one plot. A training has the
 * name of its folder, which is what tells one from another. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report/report.h"
#include "tools/say.h"

static const char *const head = "epoch,lr,loss,penalty,psi,gradient_norm,accuracy,test_accuracy";

bool training_head(const char *line)
{
    return !strcmp(line, head);
}

/* ---- reading ---- */

/* "3,0.1,1.2,0,0,0.4,0.61,0.6": the last column may be empty. */
static bool take_epoch(char *line, int64_t number, TrainingRow *row)
{
    double lr, penalty, psi, slope;
    int used = 0;
    long long epoch;
    *row = (TrainingRow){.test = NAN};
    if (sscanf(line, "%lld,%lf,%lf,%lf,%lf,%lf,%lf,%n", &epoch, &lr, &row->loss, &penalty, &psi,
               &slope, &row->accuracy, &used) != 7 ||
        !used || epoch != number)
        return false;
    char *end = line + used;
    if (*end) row->test = strtod(end, &end);
    return !*end && row->accuracy >= 0 && row->accuracy <= 1 && !(row->test < 0 || row->test > 1);
}

int run_read_training(Run *r, const char *path, FILE *f)
{
    char *line = NULL;
    size_t room = 0;
    int e = 0;
    while (!e && getline(&line, &room, f) >= 0) {
        TrainingRow *grown = realloc(r->epoch, sizeof *grown * (size_t)(r->epochs + 1));
        line[strcspn(line, "\r\n")] = 0;
        if (grown) r->epoch = grown;
        if (!grown)
            e = fail_input("%s: no memory", path);
        else if (!take_epoch(line, r->epochs, &r->epoch[r->epochs]))
            e = fail_input("%s: is damaged: line %lld", path, (long long)r->epochs + 2);
        else
            r->epochs++;
    }
    free(line);
    r->kind = RUN_TRAIN;
    return e || r->epochs ? e : fail_input("%s: has no epochs", path);
}

/* ---- the section ---- */

/* Of the folder: "robust" of out/robust/train.csv. */
static void put_training_name(FILE *f, const Run *r)
{
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", r->csv_path);
    char *slash = strrchr(copy, '/');
    if (slash) *slash = 0;
    char *before = slash ? strrchr(copy, '/') : NULL;
    put_text(f, before ? before + 1 : copy);
}

static void put_line(FILE *f, const Frame *p, const Run *r, bool test, const char *style)
{
    bool drawn = false;
    for (int64_t i = 0; i < r->epochs; i++) {
        double v = test ? r->epoch[i].test : r->epoch[i].accuracy;
        if (isnan(v)) continue;
        if (!drawn) fprintf(f, "<path class=\"curve k%d %s\" d=\"", r->colour % 8, style);
        fprintf(f, "%c%.1f %.1f", drawn ? 'L' : 'M', plot_x(p, (double)i + 1), plot_y(p, v));
        drawn = true;
    }
    if (!drawn) return;
    fputs("\"><title>", f);
    put_training_name(f, r);
    fputs(test ? ", test</title></path>\n" : "</title></path>\n", f);
}

static void put_plot(FILE *f, const Report *r)
{
    Frame p = {88, 700, 14, 332, 1};
    for (int i = 0; i < r->n; i++)
        if (r->run[i].kind == RUN_TRAIN) p.most = fmax(p.most, (double)r->run[i].epochs);
    fputs("<svg viewBox=\"0 0 720 404\" role=\"img\" aria-label=\"Accuracy after each epoch of "
          "training, for each of:",
          f);
    for (int i = 0, k = 0; i < r->n; i++) {
        if (r->run[i].kind != RUN_TRAIN) continue;
        fputs(k++ ? ", " : " ", f);
        put_training_name(f, &r->run[i]);
    }
    fputs("\">\n", f);
    plot_axes(f, &p, 6);
    for (int i = 0; i < r->n; i++) {
        if (r->run[i].kind != RUN_TRAIN) continue;
        put_line(f, &p, &r->run[i], false, "d1");
        put_line(f, &p, &r->run[i], true, "d0");
    }
    fprintf(f, "<text x=\"%.1f\" y=\"396\" text-anchor=\"middle\">epochs</text>\n</svg>\n",
            (p.left + p.right) / 2);
}

static void put_row(FILE *f, const Run *r)
{
    const TrainingRow *last = &r->epoch[r->epochs - 1];
    char epochs[24];
    snprintf(epochs, sizeof epochs, "%lld", (long long)r->epochs);
    fputs("<tr><th scope=\"row\">", f);
    put_swatch(f, r->colour, 0);
    put_training_name(f, r);
    fputs("</th>", f);
    put_cell(f, "epochs", epochs);
    put_number_cell(f, "loss", last->loss, false);
    put_number_cell(f, "accuracy", last->accuracy, true);
    put_number_cell(f, "test accuracy", last->test, true);
    fputs("</tr>\n", f);
}

void put_trainings(FILE *f, const Report *r)
{
    int n = 0;
    for (int i = 0; i < r->n; i++) n += r->run[i].kind == RUN_TRAIN;
    if (!n) return;
    fputs("<section>\n<h2>Training</h2>\n<p>Accuracy after each epoch: dashed on the batches as "
          "they were trained on, attacked and moved; whole on the test set, where one was "
          "given.</p>\n<figure>\n",
          f);
    put_plot(f, r);
    fputs("</figure>\n<table>\n<thead><tr><th scope=\"col\">training</th><th "
          "scope=\"col\">epochs</th><th class=\"n\" scope=\"col\">loss</th><th class=\"n\" "
          "scope=\"col\">accuracy</th><th class=\"n\" scope=\"col\">test "
          "accuracy</th></tr></thead>\n<tbody>\n",
          f);
    for (int i = 0; i < r->n; i++)
        if (r->run[i].kind == RUN_TRAIN) put_row(f, &r->run[i]);
    fputs("</tbody>\n</table>\n</section>\n", f);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures with captions, and what the captions say as JSON. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/data/format.h"
#include "tools/explain.h"
#include "tools/say.h"
#include "tools/json_file.h"

enum { NEVER = 1000000000 };

/* Where picture number `picture` of class k of an image stands. */
static SheetCell *cell_of(const Explain *e, int64_t image, int picture, int64_t k, uint8_t **rgb)
{
    bool one = e->n == 1;
    int row = (int)image * (one ? 1 : e->pictures) + (one ? 0 : picture);
    int column = 1 + (one ? picture : (int)k);
    *rgb = sheet_picture(&e->sheet, row, column);
    return sheet_cell(&e->sheet, row, column);
}

static double probability(const Explain *e, int64_t sample, int64_t class)
{
    double p = NAN, *all = calloc((size_t)e->classes, sizeof *all);
    if (all) {
        explain_probabilities(e, sample, all);
        p = all[class];
    }
    free(all);
    return p;
}

/* ---- the image ---- */

/* The file's name, where that tells images apart. */
static void image_name(const Explain *e, const Images *s, int64_t at, char *out, size_t size)
{
    const char *slash = strrchr(s->path, '/');
    if (e->plan->nset > 1 && data_count(s->data) == 1)
        snprintf(out, size, "%s", slash ? slash + 1 : s->path);
    else
        snprintf(out, size, "image %" PRId64, s->first + at);
}

int explain_show_image(Explain *e, int64_t image, const Images *s, int64_t at)
{
    int row = (int)image * (e->n == 1 ? 1 : e->pictures);
    SheetCell *cell = sheet_cell(&e->sheet, row, 0);
    uint8_t *rgb = sheet_picture(&e->sheet, row, 0);
    char name[256];
    int64_t label = -1;
    double p = probability(e, 0, e->predicted);
    if (!rgb) return STATUS_INPUT;
    draw_image(e->x, e->channels, e->pixels, rgb);
    image_name(e, s, at, name, sizeof name);
    if (images_have_labels(s) && !data_labels(s->data, s->first + at, 1, &label, NULL)) label = -1;
    snprintf(cell->caption[0], sizeof cell->caption[0], "%.39s", name);
    snprintf(cell->caption[1], sizeof cell->caption[1], "class %" PRId64 ": p %.4f", e->predicted,
             p);
    if (label >= 0) snprintf(cell->caption[2], sizeof cell->caption[2], "label %" PRId64, label);
    json_t *j = json_pack("{s:s, s:I, s:f, s:[]}", "image", name, "predicted",
                          (json_int_t)e->predicted, "probability", p, "explained");
    if (j && label >= 0) json_object_set_new(j, "label", json_integer(label));
    json_array_append_new(e->rows, j ? j : json_object());
    return 0;
}

/* ---- its explanations ---- */

static void take(const Buffers *b, const char *name, int64_t i, int64_t n, double *out)
{
    const AdjTensor *t = buffers_tensor(b, name);
    for (int64_t k = 0; k < n; k++) out[k] = tensor_value(t, buffers_data(b, name), i * n + k);
}

static void note_row(Explain *e, int64_t image, json_t *row)
{
    json_t *list = json_object_get(json_array_get(e->rows, (size_t)image), "explained");
    if (!list || json_array_append_new(list, row)) json_decref(row);
}

static int show_change(Explain *e, int64_t image, int m, int picture, int64_t i)
{
    const Buffers *b = &e->of[m];
    const int32_t *first = buffers_data(b, "first_ok");
    uint8_t *rgb, *difference;
    SheetCell *cell = cell_of(e, image, picture, i, &rgb);
    SheetCell *beside = cell_of(e, image, picture + 1, i, &difference);
    double rmse, p = probability(e, i, e->class[i]);
    if (!rgb || !difference) return STATUS_INPUT;
    take(b, "adv", i, e->channels * e->pixels, e->v);
    take(b, "rmse", i, 1, &rmse);
    draw_image(e->v, e->channels, e->pixels, rgb);
    double by = draw_difference(e->x, e->v, e->channels, e->pixels, difference);
    snprintf(cell->caption[0], sizeof cell->caption[0], "to %" PRId64 ": p %.4f", e->class[i], p);
    snprintf(cell->caption[1], sizeof cell->caption[1], "RMSE %.4f%s", rmse,
             first[i] == NEVER ? ", short" : "");
    snprintf(beside->caption[0], sizeof beside->caption[0], "difference x %.3g", by);
    note_row(e, image,
             json_pack("{s:s, s:I, s:f, s:f, s:b}", "method", e->plan->method[m]->name, "class",
                       (json_int_t)e->class[i], "probability", p, "rmse", rmse, "short",
                       first[i] == NEVER));
    return 0;
}

/* Over channels: the sum, or the largest size. */
static void flatten(Explain *e, const double *map, bool size)
{
    for (int64_t p = 0; p < e->pixels; p++) {
        double sum = 0, most = 0;
        for (int64_t c = 0; c < e->channels; c++) {
            double v = map[c * e->pixels + p];
            sum += v;
            most = fmax(most, fabs(v));
        }
        e->v[p] = size ? most : sum;
    }
}

static void draw_one(Explain *e, ExplainShow show, const AdjTensor *map, uint8_t *rgb)
{
    if (show == SHOW_PLACES) {
        draw_image(e->x, e->channels, e->pixels, rgb);
        draw_places(e->map, map->dim[0], map->dim[1], e->height, e->width, rgb);
        return;
    }
    flatten(e, e->map, show == SHOW_SIZE);
    draw_map(e->v, e->pixels, rgb);
}

static int show_map(Explain *e, int64_t image, int m, int picture, int64_t i)
{
    const ExplainMethod *method = e->plan->method[m];
    const AdjTensor *map = buffers_tensor(&e->of[m], "map");
    uint8_t *rgb;
    SheetCell *cell = cell_of(e, image, picture, i, &rgb);
    if (!rgb) return STATUS_INPUT;
    take(&e->of[m], "map", i, tensor_elements(map), e->map);
    draw_one(e, method->show, map, rgb);
    double p = probability(e, 0, e->class[i]);
    snprintf(cell->caption[0], sizeof cell->caption[0], "%s", method->name);
    snprintf(cell->caption[1], sizeof cell->caption[1], "for %" PRId64 ": p %.4f", e->class[i], p);
    note_row(e, image,
             json_pack("{s:s, s:I, s:f}", "method", method->name, "class", (json_int_t)e->class[i],
                       "probability", p));
    return 0;
}

/* Captions of a changed image are of its own probabilities, of a map of the image's. */
int explain_show(Explain *e, int64_t image, int m, int picture)
{
    bool change = e->plan->method[m]->show == SHOW_CHANGE;
    int status = change ? explain_classify(e, buffers_data(&e->of[m], "adv"), e->n) : 0;
    for (int64_t i = 0; i < e->n && !status; i++)
        status = change ? show_change(e, image, m, picture, i) : show_map(e, image, m, picture, i);
    return status || !change ? status : explain_classify(e, buffers_data(&e->of[m], "x"), 1);
}

/* ---- JSON ---- */

static json_t *settings_json(const Explain *e)
{
    const ExplainPlan *p = e->plan;
    char hash[20];
    snprintf(hash, sizeof hash, "%016" PRIx64, e->h.model->hash);
    json_t *methods = json_array(), *sets = json_array();
    for (int m = 0; m < p->nmethod; m++)
        json_array_append_new(methods, json_string(p->method[m]->name));
    for (int i = 0; i < p->nset; i++) json_array_append_new(sets, json_string(p->set[i]));
    return json_pack("{s:o, s:s?, s:f, s:i, s:I, s:f, s:I, s:s, s:s, s:o, s:I, s:s, s:s, s:s}",
                     "methods", methods, "layer", p->layer, "rmse", p->rmse, "steps", (int)p->steps,
                     "samples", (json_int_t)p->samples, "sigma", p->sigma, "seed",
                     (json_int_t)p->run.seed, "model", p->model, "hash", hash, "images", sets,
                     "first", (json_int_t)p->range.first, "precision", e->h.precision, "target",
                     e->h.model->target, "cpu", e->h.model->cpu);
}

int explain_write_json(const Explain *e)
{
    const char *path = e->plan->json;
    json_t *j = json_pack("{s:o, s:{s:s, s:O}, s:s}", "settings", settings_json(e), "results",
                          "sheet", e->plan->out, "images", e->rows, "units",
                          "rmse, sigma: pixels in [0,1]; probability: softmax of the logits");
    return json_write(path, j);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* An image at a time: its classes to explain, one sample each, in one call of each entry. */
#include "tools/explain.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/load.h"
#include "tools/chunk.h"
#include "tools/progress.h"
#include "tools/say.h"
#include "tools/score.h"
#include "tools/sheet.h"

enum { NEVER = 1000000000 };

typedef struct Explain {
    const ExplainPlan *plan;
    Harness h;
    Images s;
    Buffers clean, b, noise; /* forward; the method's entry; noise-gaussian */
    Sheet sheet;
    int64_t classes, channels, pixels;
    int64_t n, *class; /* of the image: to be explained */
    double *x, *v;     /* of one image: as it is, as changed */
    double *sum, *map; /* a gradient each, of n; a map */
} Explain;

const char *explain_entries(ExplainMethod m)
{
    return m == EXPLAIN_ADVERSARIAL ? "forward,g-explain"
           : m == EXPLAIN_SMOOTH    ? "forward,logit-gradient,noise-gaussian"
                                    : "forward,logit-gradient";
}

/* ---- numbers ---- */

static void to_doubles(const Buffers *b, const char *name, int64_t i, int64_t n, double *out)
{
    const AdjTensor *t = buffers_tensor(b, name);
    const void *data = buffers_data(b, name);
    for (int64_t k = 0; k < n; k++) out[k] = tensor_value(t, data, i * n + k);
}

/* Every sample's pixels: by * the image. */
static void fill_x(Explain *e, Buffers *b, double by)
{
    const AdjTensor *t = buffers_tensor(b, "x");
    int64_t each = e->channels * e->pixels;
    for (int64_t i = 0; i < e->n * each; i++)
        element_store(t->dtype, buffers_data(b, "x"), i, by * e->x[i % each]);
}

static double probability(const Explain *e, int64_t i, int64_t class)
{
    const AdjTensor *t = buffers_tensor(&e->clean, "logits");
    const void *z = buffers_data(&e->clean, "logits");
    double own = tensor_value(t, z, i * e->classes + class), sum = 0;
    for (int64_t k = 0; k < e->classes; k++)
        sum += exp(tensor_value(t, z, i * e->classes + k) - own);
    return 1 / sum;
}

/* ---- calls ---- */

static int classify(Explain *e, void *x, int64_t n)
{
    int status = buffers_lend(&e->clean, "x", x);
    AdjCall call = {.n = n, .io = e->clean.io};
    return status ? status : harness_call(&e->h, e->clean.entry, &call, NULL);
}

/* Calls an entry with one hyperparameter of its own. */
static int call_with(Explain *e, Buffers *b, AdjCall *call, const char *name, double value)
{
    Hypers hypers = {0};
    hypers_set(&hypers, b->entry, adj_hyper(b->entry, name), value);
    call->n = e->n;
    call->io = b->io;
    call->hyper = hypers.at;
    return harness_call(&e->h, b->entry, call, NULL);
}

/* Adds the gradients of the class logits at the samples in b to the sums. */
static int add_gradients(Explain *e)
{
    AdjCall call = {.n = e->n, .io = e->b.io};
    const AdjTensor *t = buffers_tensor(&e->b, "grad");
    int status = harness_call(&e->h, e->b.entry, &call, NULL);
    for (int64_t i = 0; !status && i < e->n * e->channels * e->pixels; i++)
        e->sum[i] += tensor_value(t, buffers_data(&e->b, "grad"), i);
    return status;
}

/* Noisy images number k; the same noise for every class of an image, other noise for each image. */
static int add_noise(Explain *e, int64_t image, int64_t k)
{
    uint64_t id = (uint64_t)(image * e->plan->samples + k), *ids;
    if (!(ids = calloc((size_t)e->n, sizeof *ids))) return fail_input("no memory for noise");
    for (int64_t i = 0; i < e->n; i++) ids[i] = id;
    fill_x(e, &e->noise, 1);
    AdjCall call = {.ids = ids, .seed = e->plan->run.seed, .steps = 1};
    int status = call_with(e, &e->noise, &call, "eps", e->plan->sigma);
    free(ids);
    return status;
}

static int gradients(Explain *e, int64_t image)
{
    const ExplainPlan *p = e->plan;
    bool many = p->method == EXPLAIN_INTEGRATED || p->method == EXPLAIN_SMOOTH;
    int64_t samples = many ? p->samples : 1, all = e->n * e->channels * e->pixels;
    memset(e->sum, 0, sizeof *e->sum * (size_t)all);
    for (int64_t k = 0; k < samples; k++) {
        double by = p->method == EXPLAIN_INTEGRATED ? ((double)k + 0.5) / (double)samples : 1;
        int status = p->method == EXPLAIN_SMOOTH ? add_noise(e, image, k) : 0;
        if (p->method != EXPLAIN_SMOOTH) fill_x(e, &e->b, by);
        if (status || (status = add_gradients(e))) return status;
    }
    for (int64_t i = 0; i < all; i++) e->sum[i] /= (double)samples;
    return 0;
}

/* ---- pictures ---- */

static void make_map(Explain *e, const double *g)
{
    bool times = e->plan->method == EXPLAIN_INPUT || e->plan->method == EXPLAIN_INTEGRATED;
    for (int64_t p = 0; p < e->pixels; p++) {
        e->map[p] = 0;
        for (int64_t c = 0; c < e->channels; c++) {
            int64_t i = c * e->pixels + p;
            e->map[p] = times ? e->map[p] + g[i] * e->x[i] : fmax(e->map[p], fabs(g[i]));
        }
    }
}

static int show_maps(Explain *e, int row)
{
    for (int64_t i = 0; i < e->n; i++) {
        uint8_t *rgb = sheet_picture(&e->sheet, row, (int)i + 1);
        SheetCell *cell = sheet_cell(&e->sheet, row, (int)i + 1);
        if (!rgb) return STATUS_INPUT;
        make_map(e, e->sum + i * e->channels * e->pixels);
        draw_map(e->map, e->pixels, rgb);
        snprintf(cell->caption[0], sizeof cell->caption[0], "for class %" PRId64, e->class[i]);
        snprintf(cell->caption[1], sizeof cell->caption[1], "p %.4f",
                 probability(e, 0, e->class[i]));
    }
    return 0;
}

static int show_adversarial(Explain *e, int row, int64_t i)
{
    SheetCell *cell = sheet_cell(&e->sheet, row, (int)i + 1);
    SheetCell *below = sheet_cell(&e->sheet, row + 1, (int)i + 1);
    uint8_t *rgb = sheet_picture(&e->sheet, row, (int)i + 1);
    uint8_t *difference = sheet_picture(&e->sheet, row + 1, (int)i + 1);
    const int32_t *first = buffers_data(&e->b, "first_ok");
    double rmse;
    if (!rgb || !difference) return STATUS_INPUT;
    to_doubles(&e->b, "adv", i, e->channels * e->pixels, e->v);
    to_doubles(&e->b, "rmse", i, 1, &rmse);
    draw_image(e->v, e->channels, e->pixels, rgb);
    double by = draw_difference(e->x, e->v, e->channels, e->pixels, difference);
    snprintf(cell->caption[0], sizeof cell->caption[0], "to %" PRId64 ": p %.4f", e->class[i],
             probability(e, i, e->class[i]));
    snprintf(cell->caption[1], sizeof cell->caption[1], "RMSE %.4f%s", rmse,
             first[i] == NEVER ? ", short" : "");
    snprintf(below->caption[0], sizeof below->caption[0], "difference x %.3g", by);
    return 0;
}

static int show_image(Explain *e, int64_t image, int row)
{
    SheetCell *cell = sheet_cell(&e->sheet, row, 0);
    uint8_t *rgb = sheet_picture(&e->sheet, row, 0);
    char label[28] = "";
    if (!rgb) return STATUS_INPUT;
    draw_image(e->x, e->channels, e->pixels, rgb);
    int64_t top =
        score_class(buffers_tensor(&e->clean, "logits"), buffers_data(&e->clean, "logits"), 0);
    snprintf(cell->caption[0], sizeof cell->caption[0], "image %" PRId64 "%s", e->s.first + image,
             label);
    if (top >= 0)
        snprintf(cell->caption[1], sizeof cell->caption[1], "class %" PRId64 ": p %.4f", top,
                 probability(e, 0, top));
    return 0;
}

/* ---- an image ---- */

/* The class of the largest logit but one. */
static int64_t second_class(const Explain *e, int64_t top)
{
    const AdjTensor *t = buffers_tensor(&e->clean, "logits");
    const void *z = buffers_data(&e->clean, "logits");
    int64_t best = top ? 0 : 1;
    for (int64_t k = 0; k < e->classes; k++)
        if (k != top && tensor_value(t, z, k) > tensor_value(t, z, best)) best = k;
    return best;
}

static int choose_classes(Explain *e)
{
    int64_t top =
        score_class(buffers_tensor(&e->clean, "logits"), buffers_data(&e->clean, "logits"), 0);
    int64_t to = e->plan->to, *y = buffers_data(&e->b, "y");
    if (top < 0) return fail_input("%s: its logits are not numbers", e->h.path);
    for (int64_t i = 0; i < e->n; i++)
        e->class[i] = to == TO_ALL      ? i
                      : to == TO_FIRST  ? top
                      : to == TO_SECOND ? second_class(e, top)
                                        : to;
    memcpy(y, e->class, sizeof *y * (size_t)e->n);
    return 0;
}

static int adversarial(Explain *e, int row)
{
    AdjCall call = {.steps = e->plan->steps};
    fill_x(e, &e->b, 1);
    int status = call_with(e, &e->b, &call, "eps", e->plan->rmse);
    if (!status) status = classify(e, buffers_data(&e->b, "adv"), e->n);
    for (int64_t i = 0; i < e->n && !status; i++) status = show_adversarial(e, row, i);
    return status;
}

static int explain_image(Explain *e, int64_t image)
{
    int status, rows = e->plan->method == EXPLAIN_ADVERSARIAL ? 2 : 1, row = (int)image * rows;
    void *x = buffers_data(&e->b, "x");
    if ((status = images_read(&e->s, image, 1, x)) ||
        (status = images_check_pixels(&e->s, image, 1, x)) || (status = classify(e, x, 1)))
        return status;
    to_doubles(&e->b, "x", 0, e->channels * e->pixels, e->x);
    if ((status = choose_classes(e)) || (status = show_image(e, image, row))) return status;
    if (rows == 2) return adversarial(e, row);
    if ((status = gradients(e, e->s.first + image))) return status;
    return show_maps(e, row);
}

/* ---- all of them ---- */

static int add_buffers(Explain *e)
{
    static const char *const walk[] = {"x", "y", "adv", "rmse", "first_ok", NULL};
    static const char *const plain[] = {"x", "y", "grad", NULL};
    bool adversarial = e->plan->method == EXPLAIN_ADVERSARIAL;
    int status = buffers_add(&e->clean, "logits");
    for (const char *const *name = adversarial ? walk : plain; *name && !status; name++)
        status = buffers_add(&e->b, *name);
    if (status || e->plan->method != EXPLAIN_SMOOTH) return status;
    e->noise.entry = harness_entry(&e->h, "noise-gaussian");
    e->noise.samples = e->n;
    if ((status = buffers_add(&e->noise, "x")) || (status = buffers_add(&e->noise, "y")) ||
        (status = buffers_add(&e->noise, "success")))
        return status;
    return buffers_lend(&e->noise, "adv", buffers_data(&e->b, "x"));
}

static int measure(Explain *e)
{
    const AdjTensor *x = &e->b.entry->io[0];
    e->classes = tensor_elements(buffers_tensor(&e->clean, "logits"));
    if (x->rank != 3 || (x->dim[0] != 1 && x->dim[0] != 3))
        return fail_input("%s: its input is no grey or RGB image", e->h.path);
    if (e->classes < 2 || e->plan->to >= e->classes)
        return fail_usage("--to: the model has the classes 0 to %" PRId64, e->classes - 1);
    e->channels = x->dim[0];
    e->pixels = x->dim[1] * x->dim[2];
    e->n = e->plan->to == TO_ALL ? e->classes : 1;
    return images_bind(&e->s, &e->h, x);
}

static int add_memory(Explain *e)
{
    size_t each = (size_t)(e->channels * e->pixels), n = (size_t)e->n;
    e->class = calloc(n, sizeof *e->class);
    e->x = calloc(each, sizeof *e->x);
    e->v = calloc(each, sizeof *e->v);
    e->sum = calloc(n * each, sizeof *e->sum);
    e->map = calloc((size_t)e->pixels, sizeof *e->map);
    return e->class && e->x && e->v && e->sum && e->map ? 0 : fail_input("no memory for pictures");
}

static int prepare(Explain *e)
{
    const ExplainPlan *p = e->plan;
    bool adversarial = p->method == EXPLAIN_ADVERSARIAL;
    int status;
    e->clean.entry = harness_entry(&e->h, "forward");
    e->b.entry = harness_entry(&e->h, adversarial ? "g-explain" : "logit-gradient");
    if ((status = measure(e)) || (status = add_memory(e))) return status;
    e->clean.samples = e->b.samples = e->n;
    if ((status = add_buffers(e))) return status;
    const AdjTensor *x = &e->b.entry->io[0];
    status = sheet_new(&e->sheet, x->dim[1], x->dim[2], (int)e->s.n * (adversarial ? 2 : 1),
                       (int)e->n + 1);
    const char *slash = strrchr(p->model, '/');
    snprintf(e->sheet.title, sizeof e->sheet.title, "%s, %s", slash ? slash + 1 : p->model,
             p->name);
    return status;
}

static int run_all(Explain *e)
{
    int status = 0;
    Progress p = progress_start("explain", e->s.n);
    for (int64_t i = 0; i < e->s.n && !status; i++) {
        status = explain_image(e, i);
        if (!status) progress_show(&p, i + 1);
    }
    progress_clear(&p);
    return status ? status : sheet_write(e->plan->out, &e->sheet);
}

int explain_run(const ExplainPlan *p, const AdjOptions *o)
{
    Explain e = {.plan = p};
    int status = images_open(&e.s, p->images, &p->range);
    if (!status) status = harness_open(&e.h, o, p->run.threads);
    if (!status) status = prepare(&e);
    if (!status) status = run_all(&e);
    buffers_free(&e.noise);
    buffers_free(&e.clean);
    buffers_free(&e.b);
    sheet_free(&e.sheet);
    images_close(&e.s);
    harness_close(&e.h);
    free(e.class);
    free(e.x);
    free(e.v);
    free(e.sum);
    free(e.map);
    return status;
}

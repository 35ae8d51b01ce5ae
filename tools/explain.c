/* SPDX-License-Identifier: Apache-2.0 */
/* An image at a time: its classes to explain, one sample each, in one call of each method's
 * entry. */
#include "tools/explain.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/load.h"
#include "tools/progress.h"
#include "tools/say.h"
#include "tools/score.h"

const ExplainMethod explain_methods[] = {
#define EXPLAIN(name, entry, show, knob, help) {name, entry, show, knob, help},
#include "tools/explain.def"
#undef EXPLAIN
};
const int explain_nmethods = sizeof explain_methods / sizeof *explain_methods;

void explain_entries(const ExplainPlan *p, char *out, size_t size)
{
    int n = snprintf(out, size, "forward");
    for (int m = 0; m < p->nmethod; m++)
        n += snprintf(out + n, size - (size_t)n, ",%s", p->method[m]->entry);
}

/* ---- calls ---- */

int explain_classify(Explain *e, void *x, int64_t n)
{
    int status = buffers_lend(&e->clean, "x", x);
    AdjCall call = {.n = n, .io = e->clean.io};
    return status ? status : harness_call(&e->h, e->clean.entry, &call, NULL);
}

void explain_probabilities(const Explain *e, int64_t sample, double *p)
{
    const AdjTensor *t = buffers_tensor(&e->clean, "logits");
    const void *z = buffers_data(&e->clean, "logits");
    double most = -INFINITY, sum = 0;
    for (int64_t k = 0; k < e->classes; k++) {
        p[k] = tensor_value(t, z, sample * e->classes + k);
        most = fmax(most, p[k]);
    }
    for (int64_t k = 0; k < e->classes; k++) sum += p[k] = exp(p[k] - most);
    for (int64_t k = 0; k < e->classes; k++) p[k] /= sum;
}

/* The same pixels and the same noise for every class of an image, other noise for each image. */
static int call_method(Explain *e, int m, int64_t image)
{
    const ExplainMethod *method = e->plan->method[m];
    Buffers *b = &e->of[m];
    Hypers hypers = {0};
    uint64_t *ids = calloc((size_t)e->n, sizeof *ids);
    bool change = method->show == SHOW_CHANGE;
    double value = change ? e->plan->rmse : e->plan->sigma;
    int64_t each = e->channels * e->pixels;
    if (!ids) return fail_input("no memory for %" PRId64 " classes", e->n);
    for (int64_t i = 0; i < e->n; i++) ids[i] = (uint64_t)image;
    for (int64_t i = 0; i < e->n * each; i++)
        element_store(buffers_tensor(b, "x")->dtype, buffers_data(b, "x"), i, e->x[i % each]);
    memcpy(buffers_data(b, "y"), e->class, sizeof *e->class * (size_t)e->n);
    if (method->knob) hypers_set(&hypers, b->entry, adj_hyper(b->entry, method->knob), value);
    AdjCall call = {.n = e->n,
                    .io = b->io,
                    .ids = ids,
                    .seed = e->plan->run.seed,
                    .hyper = hypers.at,
                    .steps = change ? e->plan->steps : (int32_t)e->plan->samples};
    int status = harness_call(&e->h, b->entry, &call, NULL);
    free(ids);
    return status;
}

/* ---- an image ---- */

/* The class of the largest logit but one. */
static int64_t second_class(const Explain *e)
{
    const AdjTensor *t = buffers_tensor(&e->clean, "logits");
    const void *z = buffers_data(&e->clean, "logits");
    int64_t top = e->predicted, best = top ? 0 : 1;
    for (int64_t k = 0; k < e->classes; k++)
        if (k != top && tensor_value(t, z, k) > tensor_value(t, z, best)) best = k;
    return best;
}

static int choose_classes(Explain *e)
{
    int64_t to = e->plan->to;
    e->predicted =
        score_class(buffers_tensor(&e->clean, "logits"), buffers_data(&e->clean, "logits"), 0);
    if (e->predicted < 0) return fail_input("%s: its logits are not numbers", e->h.path);
    for (int64_t i = 0; i < e->n; i++)
        e->class[i] = to == TO_ALL      ? i
                      : to == TO_FIRST  ? e->predicted
                      : to == TO_SECOND ? second_class(e)
                                        : to;
    return 0;
}

static int read_image(Explain *e, Images *s, int64_t at)
{
    void *x = buffers_data(&e->of[0], "x");
    int status = images_read(s, at, 1, x);
    if (!status) status = images_check_pixels(s, at, 1, x);
    if (!status) status = explain_classify(e, x, 1);
    for (int64_t i = 0; i < e->channels * e->pixels && !status; i++)
        e->x[i] = tensor_value(buffers_tensor(&e->of[0], "x"), x, i);
    return status;
}

static int explain_image(Explain *e, int64_t image, Images *s, int64_t at)
{
    int picture = 0, status = read_image(e, s, at);
    if (!status) status = choose_classes(e);
    if (!status) status = explain_show_image(e, image, s, at);
    for (int m = 0; m < e->plan->nmethod && !status; m++) {
        status = call_method(e, m, s->first + at);
        if (!status) status = explain_show(e, image, m, picture);
        picture += 1 + (e->plan->method[m]->show == SHOW_CHANGE);
    }
    return status;
}

/* ---- all of them ---- */

static int add_tensors(Buffers *b, ExplainShow show)
{
    static const char *const change[] = {"x", "y", "adv", "rmse", "first_ok", NULL};
    static const char *const plain[] = {"x", "y", "map", NULL};
    int status = 0;
    for (const char *const *name = show == SHOW_CHANGE ? change : plain; *name && !status; name++)
        status = buffers_add(b, *name);
    return status;
}

static int add_buffers(Explain *e)
{
    e->clean.samples = e->n;
    int status = buffers_add(&e->clean, "logits");
    for (int m = 0; m < e->plan->nmethod && !status; m++) {
        e->of[m].entry = harness_entry(&e->h, e->plan->method[m]->entry);
        e->of[m].samples = e->n;
        e->pictures += 1 + (e->plan->method[m]->show == SHOW_CHANGE);
        status = add_tensors(&e->of[m], e->plan->method[m]->show);
    }
    return status;
}

static int measure(Explain *e)
{
    const AdjTensor *x = &e->clean.entry->io[0];
    int status = 0;
    e->classes = tensor_elements(buffers_tensor(&e->clean, "logits"));
    if (x->rank != 3 || (x->dim[0] != 1 && x->dim[0] != 3))
        return fail_input("%s: its input is no grey or RGB image", e->h.path);
    if (e->classes < 2 || e->plan->to >= e->classes)
        return fail_usage("--to: the model has the classes 0 to %" PRId64, e->classes - 1);
    e->channels = x->dim[0];
    e->height = x->dim[1];
    e->width = x->dim[2];
    e->pixels = e->height * e->width;
    e->n = e->plan->to == TO_ALL ? e->classes : 1;
    for (int i = 0; i < e->plan->nset && !status; i++) status = images_bind(&e->set[i], &e->h, x);
    return status;
}

static int add_memory(Explain *e)
{
    size_t each = (size_t)(e->channels * e->pixels);
    e->class = calloc((size_t)e->n, sizeof *e->class);
    e->x = calloc(each, sizeof *e->x);
    e->v = calloc(each, sizeof *e->v);
    e->rows = json_array();
    size_t most = (size_t)e->pixels;
    for (int m = 0; m < e->plan->nmethod; m++) {
        int map = adj_io(e->of[m].entry, "map");
        if (map < 0) continue;
        size_t n = (size_t)tensor_elements(&e->of[m].entry->io[map]);
        if (n > most) most = n;
    }
    e->map = calloc(most, sizeof *e->map);
    return e->class && e->x && e->v && e->map && e->rows ? 0 : fail_input("no memory for pictures");
}

/* One class: a row an image, pictures side by side. Several: a column a class. */
static int prepare(Explain *e)
{
    const ExplainPlan *p = e->plan;
    const char *slash = strrchr(p->model, '/');
    int status;
    e->clean.entry = harness_entry(&e->h, "forward");
    if ((status = measure(e)) || (status = add_buffers(e)) || (status = add_memory(e)))
        return status;
    bool one = e->n == 1;
    status = sheet_new(&e->sheet, e->height, e->width, (int)e->images * (one ? 1 : e->pictures),
                       1 + (one ? e->pictures : (int)e->n));
    int n = snprintf(e->sheet.title, sizeof e->sheet.title, "%s", slash ? slash + 1 : p->model);
    for (int m = 0; m < p->nmethod && n < (int)sizeof e->sheet.title; m++)
        n += snprintf(e->sheet.title + n, sizeof e->sheet.title - (size_t)n, ", %s",
                      p->method[m]->name);
    return status;
}

static int run_all(Explain *e)
{
    int status = 0;
    int64_t image = 0;
    Progress p = progress_start("explain", e->images);
    for (int i = 0; i < e->plan->nset && !status; i++)
        for (int64_t at = 0; at < e->set[i].n && !status; at++) {
            status = explain_image(e, image++, &e->set[i], at);
            if (!status) progress_show(&p, image);
        }
    progress_clear(&p);
    if (!status) status = sheet_write(e->plan->out, &e->sheet);
    return status || !e->plan->json ? status : explain_write_json(e);
}

static int open_sets(Explain *e)
{
    int status = 0;
    for (int i = 0; i < e->plan->nset && !status; i++) {
        status = images_open(&e->set[i], e->plan->set[i], &e->plan->range);
        e->images += e->set[i].n;
    }
    if (status || e->images <= MOST_IMAGES) return status;
    return fail_usage("--limit: a sheet holds at most %d images", MOST_IMAGES);
}

int explain_run(const ExplainPlan *p, const AdjOptions *o)
{
    Explain e = {.plan = p};
    int status = open_sets(&e);
    if (!status) status = harness_open(&e.h, o, p->run.threads);
    if (!status) status = prepare(&e);
    if (!status) status = run_all(&e);
    buffers_free(&e.clean);
    for (int m = 0; m < p->nmethod; m++) buffers_free(&e.of[m]);
    for (int i = 0; i < p->nset; i++) images_close(&e.set[i]);
    sheet_free(&e.sheet);
    harness_close(&e.h);
    json_decref(e.rows);
    free(e.class);
    free(e.x);
    free(e.v);
    free(e.map);
    return status;
}

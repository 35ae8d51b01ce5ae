/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint explain: the options of a sheet of explanations. */
#include <stdio.h>
#include <string.h>

#include "tools/commands.h"
#include "tools/explain.h"
#include "tools/numbers.h"
#include "tools/say.h"

static struct {
    char *method, *to, *layer, *rmse, *steps, *samples, *sigma, *out, *json;
} given;

static struct poptOption table[] = {
    {"method", 0, POPT_ARG_STRING, &given.method, 0,
     "one or several with commas: adversarial (default), saliency, input-gradient, "
     "integrated-gradients, smoothgrad, grad-cam, guided-backprop",
     "NAMES"},
    {"to", 0, POPT_ARG_STRING, &given.to, 0,
     "the class to explain: a number; first: the predicted one; second: the next (default); all",
     "CLASS"},
    {"layer", 0, POPT_ARG_STRING, &given.layer, 0,
     "grad-cam: the ONNX node to look at (default: the last convolution over places)", "NODE"},
    {"rmse", 0, POPT_ARG_STRING, &given.rmse, 0,
     "adversarial: size of the change, pixels in [0,1] (default 0.1)", "RMSE"},
    {"steps", 0, POPT_ARG_STRING, &given.steps, 0, "adversarial: number of steps (default 35)",
     "N"},
    {"samples", 0, POPT_ARG_STRING, &given.samples, 0,
     "integrated-gradients: points of the line; smoothgrad: noisy images (default 50)", "N"},
    {"sigma", 0, POPT_ARG_STRING, &given.sigma, 0,
     "smoothgrad: standard deviation of the noise, pixels in [0,1] (default 0.15)", "SIGMA"},
    {NULL, 'o', POPT_ARG_STRING, &given.out, 0, "write the sheet (needed)", "SHEET.png"},
    {"json", 0, POPT_ARG_STRING, &given.json, 0,
     "write classes, probabilities and settings as JSON, for adjoint report too", "FILE"},
    SEED_OPTION,
    DATA_OPTIONS,
    RUN_OPTIONS,
    MODEL_OPTIONS,
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint explain",
    "model.onnx images...",
    2,
    1 + MOST_IMAGES,
    "A sheet with a row for each image: the image, then what the network would see more of the\n"
    "class in (adversarial, and the difference magnified), or which pixels the class's logit\n"
    "depends on (red raises it, blue lowers it; saliency and smoothgrad have no sign). With\n"
    "--to all, a column for each class. Labels are not needed. The first 4 images of each set,\n"
    "unless --limit says otherwise. docs/explain.md says more.\n\n"
    "Examples:\n"
    "  adjoint explain model.onnx cat.png dog.png --to first --method grad-cam,saliency \\\n"
    "      -o sheet.png --json sheet.json\n"
    "  adjoint explain model.onnx test_batch.bin --limit 8 --to all -o sheet.png\n",
    table};

/* ---- methods ---- */

static const ExplainMethod *find_method(const char *name, size_t n)
{
    for (int i = 0; i < explain_nmethods; i++)
        if (strlen(explain_methods[i].name) == n && !strncmp(explain_methods[i].name, name, n))
            return &explain_methods[i];
    return NULL;
}

static int no_method(const char *name, size_t n)
{
    char all[256] = "";
    for (int i = 0; i < explain_nmethods; i++) {
        strcat(all, i ? ", " : "");
        strcat(all, explain_methods[i].name);
    }
    return fail_usage("--method: '%.*s' is none of: %s", (int)n, name, all);
}

static int take_methods(ExplainPlan *p)
{
    const char *list = given.method ? given.method : "adversarial";
    for (const char *at = list; at; at = at[strcspn(at, ",")] ? strchr(at, ',') + 1 : NULL) {
        size_t n = strcspn(at, ",");
        const ExplainMethod *m = find_method(at, n);
        if (!m) return no_method(at, n);
        for (int i = 0; i < p->nmethod; i++)
            if (p->method[i] == m) return fail_usage("--method: '%s' twice", m->name);
        p->method[p->nmethod++] = m;
    }
    p->layer = given.layer;
    if (!given.layer || strstr(list, "grad-cam")) return 0;
    return fail_usage("--layer: is for --method grad-cam");
}

static int take_class(ExplainPlan *p)
{
    static const char *const words[] = {"second", "first", "all", NULL};
    static const int64_t values[] = {TO_SECOND, TO_FIRST, TO_ALL};
    int which = 0;
    if (given.to && integer_parse(given.to, &p->to)) {
        if (p->to >= 0) return 0;
        return fail_usage("--to: %s is no class", given.to);
    }
    int e = option_word("--to", given.to, words, &which);
    p->to = values[which];
    return e;
}

static int take_numbers(ExplainPlan *p)
{
    int64_t steps = 35;
    int e;
    p->rmse = 0.1;
    p->samples = 50;
    p->sigma = 0.15;
    if ((e = option_number("--rmse", given.rmse, 0, 1e6, &p->rmse)) ||
        (e = option_integer("--steps", given.steps, 1, INT32_MAX, &steps)) ||
        (e = option_integer("--samples", given.samples, 1, 100000, &p->samples)) ||
        (e = option_number("--sigma", given.sigma, 0, 1, &p->sigma)))
        return e;
    p->steps = (int32_t)steps;
    return 0;
}

static int take_plan(ExplainPlan *p)
{
    int e;
    if (!given.out) return fail_usage("explain: -o is needed: where to write the sheet");
    if ((e = take_methods(p)) || (e = take_class(p)) || (e = take_numbers(p)) ||
        (e = options_data(&p->range)) || (e = options_run(&p->run)))
        return e;
    p->out = given.out;
    p->json = given.json;
    if (p->range.labels && p->nset > 1)
        return fail_usage("--labels: are of one set of images, and %d are given", p->nset);
    if (p->range.limit == INT64_MAX) p->range.limit = 4;
    if (p->range.limit > MOST_IMAGES)
        return fail_usage("--limit: a sheet holds at most %d images", MOST_IMAGES);
    e = output_check(p->out);
    return e ? e : output_check(p->json);
}

int cmd_explain(int argc, const char **argv)
{
    const char *argument[1 + MOST_IMAGES];
    char entries[512];
    AdjOptions o;
    ExplainPlan p = {0};
    int e;
    if ((e = options_parse(&syntax, argc, argv, argument)) || (e = options_model(argument[0], &o)))
        return e;
    while (p.nset < MOST_IMAGES && argument[1 + p.nset]) {
        p.set[p.nset] = argument[1 + p.nset];
        p.nset++;
    }
    if ((e = take_plan(&p))) return e;
    p.model = argument[0];
    explain_entries(&p, entries, sizeof entries);
    o.entries = entries;
    o.layer = p.layer;
    return explain_run(&p, &o);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint explain: the options of a sheet of explanations. */
#include <stdio.h>
#include <string.h>

#include "tools/commands.h"
#include "tools/explain.h"
#include "tools/numbers.h"
#include "tools/say.h"

enum { MOST_IMAGES = 64 };

static struct {
    char *method, *to, *rmse, *steps, *samples, *sigma, *out;
} given;

static struct poptOption table[] = {
    {"method", 0, POPT_ARG_STRING, &given.method, 0,
     "adversarial (default), saliency, gradient-x-input, integrated-gradients, smoothgrad", "NAME"},
    {"to", 0, POPT_ARG_STRING, &given.to, 0,
     "the class to explain: a number; first: the predicted one; second: the next (default); all",
     "CLASS"},
    {"rmse", 0, POPT_ARG_STRING, &given.rmse, 0,
     "adversarial: size of the change, pixels in [0,1] (default 0.1)", "RMSE"},
    {"steps", 0, POPT_ARG_STRING, &given.steps, 0, "adversarial: number of steps (default 35)",
     "N"},
    {"samples", 0, POPT_ARG_STRING, &given.samples, 0,
     "integrated-gradients: points of the line; smoothgrad: noisy images (default 50)", "N"},
    {"sigma", 0, POPT_ARG_STRING, &given.sigma, 0,
     "smoothgrad: standard deviation of the noise, pixels in [0,1] (default 0.15)", "SIGMA"},
    {NULL, 'o', POPT_ARG_STRING, &given.out, 0, "write the sheet (needed)", "SHEET.png"},
    SEED_OPTION,
    DATA_OPTIONS,
    RUN_OPTIONS,
    MODEL_OPTIONS,
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint explain",
    "model.onnx images",
    2,
    2,
    "A sheet with a band for each image: the image, then what the network would see more of the\n"
    "class in (adversarial, with the difference magnified below), or which pixels the class's "
    "logit\n"
    "depends on (red raises it, blue lowers it; saliency and smoothgrad have no sign). Labels are\n"
    "not needed. The first 4 images, unless --limit says otherwise. docs/explain.md says more.\n\n"
    "Examples:\n"
    "  adjoint explain model.onnx cat.png --to all -o sheet.png\n"
    "  adjoint explain model.onnx test_batch.bin --limit 8 --method integrated-gradients \\\n"
    "      --to first -o sheet.png\n",
    table};

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
    static const char *const methods[] = {"adversarial",          "saliency",   "gradient-x-input",
                                          "integrated-gradients", "smoothgrad", NULL};
    int e, method = 0;
    if (!given.out) return fail_usage("explain: -o is needed: where to write the sheet");
    if ((e = option_word("--method", given.method, methods, &method)) || (e = take_class(p)) ||
        (e = take_numbers(p)) || (e = options_data(&p->range)) || (e = options_run(&p->run)))
        return e;
    p->method = (ExplainMethod)method;
    p->name = methods[method];
    p->out = given.out;
    if (p->range.limit == INT64_MAX) p->range.limit = 4;
    if (p->range.limit > MOST_IMAGES)
        return fail_usage("--limit: a sheet holds at most %d images", MOST_IMAGES);
    return output_check(p->out);
}

int cmd_explain(int argc, const char **argv)
{
    const char *argument[2];
    AdjOptions o;
    ExplainPlan p = {0};
    int e;
    if ((e = options_parse(&syntax, argc, argv, argument)) ||
        (e = options_model(argument[0], &o)) || (e = take_plan(&p)))
        return e;
    p.model = argument[0];
    p.images = argument[1];
    o.entries = explain_entries(p.method);
    return explain_run(&p, &o);
}

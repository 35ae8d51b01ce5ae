/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint lipschitz: the options of local measures. */
#include <math.h>
#include <stdio.h>

#include "tools/commands.h"
#include "tools/lipschitz.h"
#include "tools/numbers.h"
#include "tools/say.h"

enum { MOST_DRAWS = 1 << 24 }; /* that the generator tells apart */

static struct {
    char *measure, *norm, *radius, *step, *steps, *batches, *points, *target, *csv, *json;
} given;

static struct poptOption table[] = {
    {"measure", 0, POPT_ARG_STRING, &given.measure, 0,
     "gradient (default): L1, L2, Linf norms of the gradient of cross-entropy; ascent: the largest "
     "quotient of differences in a ball, by gradient ascent; clever: the CLEVER score",
     "NAME"},
    {"norm", 0, POPT_ARG_STRING, &given.norm, 0,
     "of the ball: l2 (default), linf, l1 (clever alone)", "NORM"},
    {"radius", 0, POPT_ARG_STRING, &given.radius, 0,
     "of the ball, pixels in [0,1] (default: ascent 0.5, linf 8/255; clever 2, linf 0.3, l1 40)",
     "R"},
    {"step", 0, POPT_ARG_STRING, &given.step, 0, "of the ascent (default 0.125; linf 2/255)",
     "STEP"},
    {"steps", 0, POPT_ARG_STRING, &given.steps, 0, "of the ascent (default 10)", "N"},
    {"batches", 0, POPT_ARG_STRING, &given.batches, 0,
     "clever: batches, of which the largest gradient norms are taken (default 100)", "N"},
    {"points", 0, POPT_ARG_STRING, &given.points, 0, "clever: points of a batch (default 128)",
     "N"},
    {"target", 0, POPT_ARG_STRING, &given.target, 0,
     "clever: the distance to this class (default: the least of all)", "CLASS"},
    {NULL, 'o', POPT_ARG_STRING, &given.csv, 0, "write a line for each image", "FILE.csv"},
    {"json", 0, POPT_ARG_STRING, &given.json, 0, "write the report as JSON", "FILE"},
    SEED_OPTION,
    DATA_OPTIONS,
    RUN_OPTIONS,
    MODEL_OPTIONS,
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint lipschitz",
    "model.onnx images",
    2,
    2,
    "How steep the model is around images, pixels in [0,1]; docs/certify.md has the formulas.\n"
    "gradient takes labels, or what the model predicts. ascent gives a lower bound of the local\n"
    "Lipschitz constant. clever estimates the distance to the nearest border, at most the radius;\n"
    "it is an estimate and certifies nothing. Results do not depend on threads, batch or "
    "--first.\n\n"
    "Examples:\n"
    "  adjoint lipschitz model.onnx test_batch.bin --limit 1000 -o norms.csv\n"
    "  adjoint lipschitz model.onnx x.npy --measure ascent --norm linf --radius 8/255 --steps 20\n"
    "  adjoint lipschitz model.onnx x.npy --measure clever --batches 500 --points 1024 --limit "
    "10\n",
    table};

static int take_numbers(LipschitzPlan *p)
{
    int64_t steps = 10;
    double unused;
    int e;
    if ((e = option_number("--radius", given.radius, 0, INFINITY, &unused)) ||
        (e = option_number("--step", given.step, 0, INFINITY, &unused)) ||
        (e = option_integer("--steps", given.steps, 1, INT32_MAX - 1, &steps)) ||
        (e = option_integer("--batches", given.batches, 1, MOST_DRAWS, &p->batches)) ||
        (e = option_integer("--points", given.points, 1, MOST_DRAWS, &p->points)) ||
        (e = option_integer("--target", given.target, 0, INT32_MAX, &p->target)))
        return e;
    p->steps = (int32_t)steps;
    if (p->batches * p->points <= MOST_DRAWS) return 0;
    return fail_usage("--batches: more than %d points of an image", MOST_DRAWS);
}

/* An option that another measure has. */
static int check_measure(const LipschitzPlan *p)
{
    const struct {
        const char *option, *text;
        int measure;
    } only[] = {{"--step", given.step, MEASURE_ASCENT},
                {"--steps", given.steps, MEASURE_ASCENT},
                {"--batches", given.batches, MEASURE_CLEVER},
                {"--points", given.points, MEASURE_CLEVER},
                {"--target", given.target, MEASURE_CLEVER}};
    for (size_t i = 0; i < sizeof only / sizeof only[0]; i++)
        if (only[i].text && only[i].measure != p->measure)
            return fail_usage("%s: belongs to --measure %s", only[i].option,
                              lipschitz_measures[only[i].measure].name);
    if (p->measure == MEASURE_GRADIENT && (given.norm || given.radius))
        return fail_usage("%s: the measure gradient has none", given.norm ? "--norm" : "--radius");
    return 0;
}

static int take_plan(LipschitzPlan *p)
{
    static const char *const norms[] = {"l2", "linf", "l1", NULL};
    const char *measures[MEASURES + 1] = {NULL};
    char entry[32];
    int e, norm = 0;
    *p = (LipschitzPlan){.batches = 100, .points = 128, .target = -1};
    for (int i = 0; i < MEASURES; i++) measures[i] = lipschitz_measures[i].name;
    if ((e = option_word("--measure", given.measure, measures, &p->measure)) ||
        (e = option_word("--norm", given.norm, norms, &norm)) || (e = take_numbers(p)) ||
        (e = check_measure(p)))
        return e;
    p->norm = norms[norm];
    p->radius = given.radius;
    p->step = given.step;
    p->csv = given.csv;
    p->json = given.json;
    if (!lipschitz_entry(p->measure, p->norm, entry, sizeof entry))
        return fail_usage("--norm: the measure %s has no %s", measures[p->measure], p->norm);
    if ((e = options_data(&p->range)) || (e = options_run(&p->run)) || (e = output_check(p->csv)))
        return e;
    return output_check(p->json);
}

int cmd_lipschitz(int argc, const char **argv)
{
    const char *argument[2];
    char entry[32], entries[48];
    AdjOptions o;
    LipschitzPlan p;
    LipschitzResult r;
    int e;
    if ((e = options_parse(&syntax, argc, argv, argument)) ||
        (e = options_model(argument[0], &o)) || (e = take_plan(&p)))
        return e;
    p.model = argument[0];
    p.images = argument[1];
    lipschitz_entry(p.measure, p.norm, entry, sizeof entry);
    snprintf(entries, sizeof entries, "forward,%s", entry);
    o.entries = entries;
    e = lipschitz_run(&p, &o, &r);
    if (!e) e = lipschitz_print(&p, &r);
    lipschitz_free(&r);
    return e;
}

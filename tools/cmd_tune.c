/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint tune: finds schedules that are faster than the heuristic's, and writes them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/commands.h"
#include "tools/data/format.h"
#include "tools/numbers.h"
#include "tools/options.h"
#include "tools/say.h"
#include "tools/tune.h"

static struct {
    char *out, *seconds, *entry, *bits;
} given;

static struct poptOption table[] = {
    {NULL, 'o', POPT_ARG_STRING, &given.out, 0, "the file of schedules to write", "M.sched"},
    {"seconds", 0, POPT_ARG_STRING, &given.seconds, 0, "how long to search (default 60)", "S"},
    {"entry", 0, POPT_ARG_STRING, &given.entry, 0,
     "programs whose convolutions are tuned, with commas (default forward)", "NAMES"},
    {"bits", 0, POPT_ARG_STRING, &given.bits, 0,
     "keep (default): plans that compute the same bits; any: others too, such as Winograd instead "
     "of a direct sum",
     "WHICH"},
    SEED_OPTION,
    MODEL_OPTIONS,
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint tune",
    "model.onnx -o M.sched",
    1,
    1,
    "Each round compiles the model with another plan for every layer and measures them in turn "
    "with\n"
    "the plans that it began with: those of --sched, else measured ones, else the heuristic's.\n"
    "Time is the CPU time of one thread, and between calls the machine's own rate of "
    "multiply-adds\n"
    "is measured; a layer's lower quartile and median must both be better. --seed sets the order "
    "in which\n"
    "plans are tried. Interrupted, it writes the best so far. What it writes is for this model's\n"
    "shapes, one --batch and one --cpu; `adjoint compile --sched M.sched` reads it.\n\n"
    "Examples:\n"
    "  adjoint tune model.onnx --seconds 60 -o m.sched\n"
    "  adjoint tune model.onnx --entry gradient --batch 1 --sched none --bits any -o m1.sched\n",
    table};

static int take_plan(Tune *t, AdjOptions *o, const char *model)
{
    static const char *const words[] = {"keep", "any", NULL};
    RunChoice run;
    int e, bits = 0;
    *t = (Tune){.options = o, .seconds = 60};
    if ((e = options_model(model, o)) || (e = options_entries(given.entry)) ||
        (e = option_number("--seconds", given.seconds, 0, 1e6, &t->seconds)) ||
        (e = option_word("--bits", given.bits, words, &bits)) || (e = options_run(&run)))
        return e;
    if (!given.out) return fail_usage("-o: say what to write, as in -o m.sched");
    o->entries = given.entry;
    t->bits = bits == 1;
    t->seed = run.seed;
    return output_check(given.out);
}

/* ---- the report ---- */

static void print_layer(const TuneLayer *l, const Tune *t)
{
    bool changed = l->best != l->base;
    printf("%6.2f%% %6.1f%% %6.1f%% %7.3f  %-40s %s%s%s\n", 100 * l->cost[0] / t->whole[0],
           200 * l->macs / l->cost[0], 200 * l->macs / l->cost[1], l->cost[0] / l->cost[1], l->name,
           l->base, changed ? " -> " : "", changed ? l->best : "");
}

static void print_tuned(const Tune *t)
{
    printf("%7s %7s %7s %7s  %-40s %s\n", "time", "of peak", "tuned", "gain", "convolution",
           "plan");
    for (int i = 0; i < t->nlayer; i++) print_layer(&t->layer[i], t);
    printf("whole: %.3f times as fast, after %d rounds; peak %.1f GFLOP/s\n",
           t->whole[0] / t->whole[1], t->rounds, 1e-9 * t->peak);
}

static int write_schedule(const Tune *t)
{
    NewFile file;
    DataError e;
    Str text = {0};
    tune_text(t, 1, &text);
    bool ok = file_create(given.out, &file, &e);
    if (ok) ok = file_commit(&file, fputs(text.s, file.f) >= 0, &e);
    str_free(&text);
    return ok ? 0 : fail_input("%s", e.msg);
}

int cmd_tune(int argc, const char **argv)
{
    const char *model;
    AdjOptions o;
    Tune t;
    int e;
    if ((e = options_parse(&syntax, argc, argv, &model)) || (e = take_plan(&t, &o, model)))
        return e;
    e = tune_open(&t);
    if (!e) e = tune_search(&t);
    if (!e && t.stopped)
        note("interrupted after %d rounds; %s has the best so far", t.rounds, given.out);
    else if (!e)
        print_tuned(&t);
    if (!e) e = write_schedule(&t);
    tune_close(&t);
    return e;
}

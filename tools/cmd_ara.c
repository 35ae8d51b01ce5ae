/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint ara: the options of an accuracy-robustness area. */
#include <stdio.h>
#include <string.h>

#include "tools/ara.h"
#include "tools/commands.h"
#include "tools/numbers.h"
#include "tools/ranks.h"
#include "tools/say.h"

static struct {
    char *attack, *indices, *eps, *mu, *steps, *guard, *out, *json, *checkpoint;
    int resume, box, mpi;
} given;

static struct poptOption table[] = {
    {"attack", 0, POPT_ARG_STRING, &given.attack, 0,
     "l2min (default): least RMSE that changes the class; btr: least that makes the label no more "
     "probable than chance",
     "NAME"},
    {"indices", 0, POPT_ARG_STRING, &given.indices, 0,
     "the images to use, and their order: .npy, or text with one index a line, from 0; --first and "
     "--limit then count its entries",
     "FILE"},
    {"eps", 0, POPT_ARG_STRING, &given.eps, 0, "length of all steps together, RMSE (default 20)",
     "EPS"},
    {"steps", 0, POPT_ARG_STRING, &given.steps, 0, "number of steps (default 450)", "N"},
    {"mu", 0, POPT_ARG_STRING, &given.mu, 0, "momentum (default 0.9)", "MU"},
    {"box", 0, POPT_ARG_NONE, &given.box, 0, "stay in [0,1], which the paper's attack does not",
     NULL},
    {"guard", 0, POPT_ARG_STRING, &given.guard, 0,
     "an image first fooled later than half the steps: error (default) or warn; one that never is "
     "counts as size 0",
     "HOW"},
    {NULL, 'o', POPT_ARG_STRING, &given.out, 0, "write a row for each image", "ARA.csv"},
    {"json", 0, POPT_ARG_STRING, &given.json, 0, "write area, curve and settings as JSON", "FILE"},
    {"checkpoint", 0, POPT_ARG_STRING, &given.checkpoint, 0,
     "keep what is done there until all is (default: ARA.csv.part)", "FILE"},
    {"resume", 0, POPT_ARG_NONE, &given.resume, 0,
     "go on from the checkpoint; from the beginning if there is none", NULL},
    {"mpi", 0, POPT_ARG_NONE, &given.mpi, 0,
     "share the images among the ranks of mpirun; by itself where mpirun started several", NULL},
    DATA_OPTIONS,
    RUN_OPTIONS,
    MODEL_OPTIONS,
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint ara",
    "model.onnx images",
    2,
    2,
    "The accuracy-robustness area: for each image the least perturbation that an attack finds, "
    "the\n"
    "curve of accuracy over the size allowed, and its area above chance. Sizes are root mean\n"
    "squares over C*H*W of pixels in [0,1] (L2 = RMSE * sqrt(C*H*W)). Labels are needed.\n"
    "SIGINT stops after the images in work, with exit status 130; the same command with --resume\n"
    "goes on and writes the same bytes. docs/ara.md says more.\n\n"
    "Examples:\n"
    "  adjoint ara model.onnx test_batch.bin --limit 1000 -o ara.csv\n"
    "  adjoint ara model.onnx test_batch.bin --indices order.txt --limit 1000 --attack btr \\\n"
    "      -o btr.csv --json btr.json --resume\n"
    "  mpirun -n 8 adjoint ara model.onnx test_batch.bin --threads 1 -o ara.csv --resume\n",
    table};

static int take_words(AraPlan *p)
{
    static const char *const attacks[] = {"l2min", "l2-min", "btr", NULL};
    static const char *const guards[] = {"error", "warn", NULL};
    int attack = 0, guard = 0, e;
    if ((e = option_word("--attack", given.attack, attacks, &attack)) ||
        (e = option_word("--guard", given.guard, guards, &guard)))
        return e;
    p->attack = attack == 2 ? "btr" : "l2-min";
    p->lenient = guard == 1;
    return 0;
}

static int take_numbers(AraPlan *p)
{
    int64_t steps = 450;
    int e;
    p->eps = 20;
    p->mu = 0.9;
    if ((e = option_number("--eps", given.eps, 0, 1e6, &p->eps)) ||
        (e = option_number("--mu", given.mu, 0, 1, &p->mu)) ||
        (e = option_integer("--steps", given.steps, 1, ARA_NEVER - 1, &steps)))
        return e;
    p->steps = (int32_t)steps;
    return 0;
}

/* The checkpoint stands beside the CSV, unless it has a name of its own. */
static int take_files(AraPlan *p)
{
    static char beside[4096];
    int e;
    p->out = given.out;
    p->json = given.json;
    p->checkpoint = given.checkpoint;
    if (given.out && !given.checkpoint) {
        int n = snprintf(beside, sizeof beside, "%s.part", given.out);
        if (n >= (int)sizeof beside) return fail_input("%s: name too long", given.out);
        p->checkpoint = beside;
    }
    if (p->resume && !p->checkpoint)
        return fail_usage("--resume: there is no checkpoint without -o or --checkpoint");
    if ((e = output_check(p->out)) || (e = output_check(p->json))) return e;
    return output_check(p->checkpoint);
}

static int take_all(AraPlan *p, AdjOptions *o, int argc, const char **argv)
{
    static char entries[32];
    const char *argument[2];
    int e;
    if ((e = options_parse(&syntax, argc, argv, argument)) || (e = ranks_join(given.mpi))) return e;
    p->resume = given.resume;
    p->box = given.box;
    p->indices = given.indices;
    p->model = argument[0];
    p->images = argument[1];
    if ((e = options_model(argument[0], o)) || (e = take_words(p)) || (e = take_numbers(p)) ||
        (e = options_data(&p->range)) || (e = options_run(&p->run)) || (e = take_files(p)))
        return e;
    snprintf(entries, sizeof entries, "forward,%s", p->attack);
    o->entries = entries;
    return 0;
}

int cmd_ara(int argc, const char **argv)
{
    AdjOptions o;
    AraPlan p = {0};
    AraResult r;
    int e = ranks_join(0);
    if (e || (e = ranks_agree(take_all(&p, &o, argc, argv)))) return e;
    e = ara_run(&p, &o, &r);
    if (!e) ara_print(&p, &r);
    ara_release(&r);
    return e;
}

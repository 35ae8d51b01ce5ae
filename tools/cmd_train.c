/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint train: the options of a training. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/commands.h"
#include "tools/numbers.h"
#include "tools/ranks.h"
#include "tools/say.h"
#include "tools/train.h"

static struct {
    char *data, *recipe, *folder, *test, *test_labels, *every, **set;
    char *init, *activation;
    int resume, help_recipe, mpi;
} given;

static struct poptOption table[] = {
    {"data", 0, POPT_ARG_STRING, &given.data, 0, "images and labels to train on", "DATA"},
    {"recipe", 0, POPT_ARG_STRING, &given.recipe, 0,
     "standard (default), adversarial, robust, all, madry, trades, mart, or a file of key = value "
     "lines",
     "NAME"},
    {"set", 0, POPT_ARG_ARGV, &given.set, 0, "change the recipe; may be repeated", "KEY=VALUE"},
    {"help-recipe", 0, POPT_ARG_NONE, &given.help_recipe, 0, "list the keys of recipes", NULL},
    {NULL, 'o', POPT_ARG_STRING, &given.folder, 0,
     "folder for net.onnx, train.csv and checkpoint (and start.onnx, see --init); it is made if it "
     "is not there",
     "OUT"},
    {"test", 0, POPT_ARG_STRING, &given.test, 0, "measure the accuracy on these after each epoch",
     "DATA"},
    {"test-labels", 0, POPT_ARG_STRING, &given.test_labels, 0, "as --labels, of --test", "FILE"},
    {"every", 0, POPT_ARG_STRING, &given.every, 0,
     "write a checkpoint after so many steps too, not after epochs only", "STEPS"},
    {"init", 0, POPT_ARG_STRING, &given.init, 0,
     "start from fresh weights: kaiming (He et al. 2015), or kaiming-zero: the last convolution of "
     "each residual block 0",
     "HOW"},
    {"activation", 0, POPT_ARG_STRING, &given.activation, 0,
     "hhrelu: half-Huber ReLU in place of ReLU (Woods et al. 2019)", "NAME"},
    {"resume", 0, POPT_ARG_NONE, &given.resume, 0,
     "go on from the checkpoint; from the beginning if there is none", NULL},
    {"mpi", 0, POPT_ARG_NONE, &given.mpi, 0,
     "each rank of mpirun takes a batch; by itself where mpirun started several", NULL},
    RUN_OPTIONS,
    SEED_OPTION,
    DATA_OPTIONS,
    MODEL_OPTIONS,
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint train",
    "model.onnx --data DATA -o OUT",
    0,
    1,
    "Trains a network from the values in its file by a recipe, see --help-recipe. Images are "
    "moved,\n"
    "mirrored and shuffled by --seed. The last images of an epoch that make no whole batch are "
    "left\n"
    "out.\n"
    "Under mpirun each of R ranks takes a batch of its own, and the step follows the mean "
    "gradient;\n"
    "with --set statistics=synchronised the R batches are one.\n"
    "SIGINT stops after a step, with exit status 130; the same command with --resume goes on and\n"
    "writes the same bytes. docs/train.md says more.\n\n"
    "Examples:\n"
    "  adjoint new resnet --preact --activation hhrelu -o net.onnx\n"
    "  adjoint train net.onnx --data cifar-10-batches-bin -o out --set epochs=30\n"
    "  adjoint train net.onnx --data train.npy --labels train.txt --recipe robust -o robust\n"
    "  adjoint train net.onnx --data train.npy --labels train.txt --recipe trades --set "
    "average=ema "
    "-o t\n"
    "  mpirun -n 2 adjoint train net.onnx --data train.npy --labels train.txt -o two\n"
    "  adjoint train resnet50.onnx --data D --init kaiming-zero --activation hhrelu -o anew\n"
    "  adjoint train net.onnx --data train.npy --labels train.txt --recipe robust -o robust "
    "--resume\n",
    table};

static int take_recipe(TrainPlan *p, const AdjOptions *o)
{
    int e = recipe_take(&p->recipe, given.recipe ? given.recipe : "standard");
    for (char **s = given.set; s && *s && !e; s++) e = recipe_set(&p->recipe, "--set", *s);
    if (o->batch < 0) return fail_usage("--batch: training needs a number");
    if (o->batch) p->recipe.batch = (double)o->batch;
    return e;
}

static int name_file(char *out, size_t size, const char *folder, const char *name)
{
    if (snprintf(out, size, "%s/%s", folder, name) < (int)size) return 0;
    return fail_input("%s: name too long", folder);
}

static int take_files(TrainPlan *p)
{
    struct stat st;
    int e;
    p->folder = given.folder;
    if ((e = name_file(p->net, sizeof p->net, p->folder, "net.onnx")) ||
        (e = name_file(p->csv, sizeof p->csv, p->folder, "train.csv")) ||
        (e = name_file(p->checkpoint, sizeof p->checkpoint, p->folder, "checkpoint")))
        return e;
    if (mkdir(p->folder, 0777) && (stat(p->folder, &st) || !S_ISDIR(st.st_mode)))
        return fail_input("%s: cannot be made: %s", p->folder, strerror(errno));
    if ((e = output_check(p->net)) || (e = output_check(p->csv))) return e;
    if (!p->resume && !stat(p->checkpoint, &st))
        return fail_input("%s: is there; --resume goes on from it, or remove it", p->checkpoint);
    return output_check(p->checkpoint);
}

/* What the options change of the model becomes a file of its own, which is trained. */
static int take_start(TrainPlan *p, AdjOptions *o)
{
    static const char *const inits[] = {"file", "kaiming", "kaiming-zero", NULL};
    static const char *const activations[] = {"file", "hhrelu", NULL};
    static char start[4096];
    int init = 0, activation = 0, e;
    AdjError error;
    if ((e = option_word("--init", given.init, inits, &init)) ||
        (e = option_word("--activation", given.activation, activations, &activation)) ||
        (!init && !activation))
        return e;
    AdjRestart how = {activation == 1, init > 0, init == 2, p->run.seed};
    if ((e = name_file(start, sizeof start, p->folder, "start.onnx"))) return e;
    if (!adj_restart(p->model, &how, start, &error)) return fail_input("%s", error.msg);
    p->model = o->model = start;
    return 0;
}

static int take_all(TrainPlan *p, AdjOptions *o, const char *model)
{
    int e;
    if (!model)
        return fail_usage("train: missing argument, see adjoint train --help: %s",
                          syntax.arguments);
    if (!given.data) return fail_usage("--data: say what to train on");
    if (!given.folder) return fail_usage("-o: say where to write, as in -o out");
    p->model = model;
    p->data = given.data;
    p->test = given.test;
    p->test_labels = given.test_labels;
    p->resume = given.resume;
    if ((e = options_model(model, o)) || (e = options_data(&p->range)) ||
        (e = options_run(&p->run)) || (e = take_recipe(p, o)) ||
        (e = option_integer("--every", given.every, 1, INT64_MAX, &p->every)) ||
        (e = take_files(p)))
        return e;
    return take_start(p, o);
}

int cmd_train(int argc, const char **argv)
{
    const char *model;
    AdjOptions o;
    static TrainPlan p;
    int e;
    if ((e = ranks_join(0)) || (e = options_parse(&syntax, argc, argv, &model)) ||
        (e = ranks_join(given.mpi)))
        return e;
    if (given.help_recipe) {
        recipe_help();
        return 0;
    }
    if ((e = ranks_agree(take_all(&p, &o, model)))) return e;
    return train_run(&p, &o);
}

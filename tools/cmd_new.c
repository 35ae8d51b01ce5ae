/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint new: the options of a new network. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/commands.h"
#include "tools/harness.h"
#include "tools/numbers.h"
#include "tools/options.h"
#include "tools/say.h"

static struct {
    char *out, *depth, *widths, *activation, *classes, *input, *mean, *std;
    int preact, zero_last;
} given;

static struct poptOption table[] = {
    {NULL, 'o', POPT_ARG_STRING, &given.out, 0, "the file to write", "NET.onnx"},
    {"depth", 0, POPT_ARG_STRING, &given.depth, 0,
     "layers: 2 and a multiple of twice the number of stages (default 20)", "N"},
    {"widths", 0, POPT_ARG_STRING, &given.widths, 0,
     "channels of each stage; from the second on a stage halves the image (default 16,32,64)",
     "C,C,C"},
    {"preact", 0, POPT_ARG_NONE, &given.preact, 0,
     "normalisation and activation before the convolutions (He et al. 2016b), as in Woods et al. "
     "2019",
     NULL},
    {"activation", 0, POPT_ARG_STRING, &given.activation, 0,
     "relu (default), or hhrelu: the half-Huber ReLU, whose derivative is continuous", "NAME"},
    {"zero-last", 0, POPT_ARG_NONE, &given.zero_last, 0,
     "the last convolution of each block starts at 0, so that blocks start as what their shortcut "
     "is (Goyal et al. 2017)",
     NULL},
    {"classes", 0, POPT_ARG_STRING, &given.classes, 0, "logits (default 10)", "N"},
    {"input", 0, POPT_ARG_STRING, &given.input, 0, "the image (default 3x32x32)", "CxHxW"},
    {"mean", 0, POPT_ARG_STRING, &given.mean, 0,
     "the network begins with (pixel - mean) / std; one a channel, or one", "M,M,M"},
    {"std", 0, POPT_ARG_STRING, &given.std, 0, "see --mean", "S,S,S"},
    SEED_OPTION,
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint new",
    "resnet -o NET.onnx",
    1,
    1,
    "Writes an untrained residual network as an ONNX file: random weights (He et al. 2015), batch\n"
    "normalisations as they begin. docs/train.md says how it is trained. The same options write\n"
    "the same bytes.\n\n"
    "Examples:\n"
    "  adjoint new resnet --depth 20 --preact --activation hhrelu -o net.onnx\n"
    "  adjoint new resnet --depth 14 --widths 8,16 --input 1x28x28 --seed 7 -o small.onnx\n",
    table};

/* "3x32x32" */
static int take_input(AdjResnet *r)
{
    int end = 0;
    long long c = 3, h = 32, w = 32;
    const char *text = given.input;
    if (text && (sscanf(text, "%lldx%lldx%lld%n", &c, &h, &w, &end) != 3 || text[end]))
        return fail_usage("--input: '%s' is not CxHxW, as in 3x32x32", text);
    if (c < 1 || h < 1 || w < 1 || c > 4096 || h > 4096 || w > 4096)
        return fail_usage("--input: extents must be between 1 and 4096");
    r->channels = c;
    r->height = h;
    r->width = w;
    return 0;
}

static int take_widths(AdjResnet *r)
{
    double v[8] = {16, 32, 64};
    r->nstage = 3;
    int e = option_numbers("--widths", given.widths, 8, v, &r->nstage);
    if (e) return e;
    for (int i = 0; i < r->nstage; i++) {
        r->widths[i] = (int64_t)v[i];
        if (v[i] < 1 || v[i] > 8192 || v[i] != (double)r->widths[i])
            return fail_usage("--widths: channels are integers from 1 to 8192");
    }
    return 0;
}

static int take_standard(AdjResnet *r)
{
    int e = option_numbers("--mean", given.mean, 4, r->mean, &r->nmean);
    if (!e) e = option_numbers("--std", given.std, 4, r->std, &r->nstd);
    for (int i = 0; i < r->nstd && !e; i++)
        if (!(r->std[i] > 0)) return fail_usage("--std: %s is not above 0", given.std);
    int least = r->channels < 4 ? (int)r->channels : 4;
    if (!e && ((r->nmean > 1 && r->nmean != least) || (r->nstd > 1 && r->nstd != least) ||
               (r->channels > 4 && (r->nmean > 1 || r->nstd > 1))))
        return fail_usage("--mean, --std: one number, or one for each of %lld channels",
                          (long long)r->channels);
    return e;
}

static int take_numbers(AdjResnet *r)
{
    static const char *const activations[] = {"relu", "hhrelu", NULL};
    int64_t depth = 20, classes = 10;
    int activation = 0, e;
    RunChoice run;
    if ((e = option_integer("--depth", given.depth, 4, 4096, &depth)) ||
        (e = option_integer("--classes", given.classes, 2, 1 << 20, &classes)) ||
        (e = option_word("--activation", given.activation, activations, &activation)) ||
        (e = options_run(&run)))
        return e;
    r->depth = (int)depth;
    r->classes = classes;
    r->seed = run.seed;
    r->half_huber = activation == 1;
    r->preact = given.preact;
    r->zero_last = given.zero_last;
    return 0;
}

int cmd_new(int argc, const char **argv)
{
    const char *what;
    AdjResnet r = {0};
    AdjError error;
    int e;
    if ((e = options_parse(&syntax, argc, argv, &what))) return e;
    if (strcmp(what, "resnet")) return fail_usage("new: '%s' is not known; there is: resnet", what);
    if (!given.out) return fail_usage("-o: say what to write, as in -o net.onnx");
    if ((e = take_numbers(&r)) || (e = take_widths(&r)) || (e = take_input(&r)) ||
        (e = take_standard(&r)) || (e = output_check(given.out)))
        return e;
    if ((r.depth - 2) % (2 * r.nstage))
        return fail_usage("--depth: with %d stages it is 2 and a multiple of %d, not %d", r.nstage,
                          2 * r.nstage, r.depth);
    if (!adj_new_resnet(&r, given.out, &error)) return fail_input("%s", error.msg);
    return 0;
}

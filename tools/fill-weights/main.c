/* SPDX-License-Identifier: Apache-2.0 */
/* fill-weights: a copy of an ONNX file with weights drawn from a seed. */
#include "tools/fill-weights/fill.h"

#include <popt.h>
#include <stdio.h>
#include <stdlib.h>

#include "compiler/onnx_model.h"
#include "compiler/onnx_write.h"
#include "tools/numbers.h"
#include "tools/say.h"

static struct {
    const char *in;
    char *out, *seed;
    int64_t number; /* what `seed` says */
} given;

static int wants_help;

static struct poptOption table[] = {
    {NULL, 'o', POPT_ARG_STRING, &given.out, 0, "the file to write", "OUT.onnx"},
    {"seed", 0, POPT_ARG_STRING, &given.seed, 0, "of the weights (default 0)", "N"},
    {"help", 'h', POPT_ARG_NONE, &wants_help, 0, "show this help", NULL},
    POPT_TABLEEND};

static const char notes[] =
    "\nWrites a copy of a graph whose weights are random: He-initialised convolutions and "
    "matrices,\n"
    "small biases, normalisations with scales near 1, nonzero means and positive variances. Every\n"
    "tensor gets values of its own. For exported graphs whose weights were left out.\n\n"
    "Examples:\n"
    "  fill-weights resnet50-light.onnx -o resnet50.onnx\n"
    "  fill-weights resnet50-light.onnx -o another.onnx --seed 1\n";

static void fill(void *model, Arena *scratch)
{
    Onnx__ModelProto **m = model;
    Arena *a = scratch;
    *m = onnx_load(a, given.in);
    FillCount c = fill_weights(a, (*m)->graph, (uint64_t)given.number);
    onnx_write(a, *m, given.out);
    printf("%s: %d tensors, %lld values\n", given.out, c.tensors, (long long)c.values);
}

static void run(void *unused)
{
    (void)unused;
    Onnx__ModelProto *m;
    onnx_within(given.in, fill, &m);
}

static void print_help(poptContext c)
{
    poptPrintHelp(c, stdout, 0);
    fputs(notes, stdout);
    exit(fflush(stdout) ? STATUS_INPUT : 0);
}

static int parse(int argc, const char **argv)
{
    poptContext c = poptGetContext("fill-weights", argc, argv, table, 0);
    poptSetOtherOptionHelp(c, "in.onnx -o OUT.onnx");
    int e = poptGetNextOpt(c);
    if (e < -1) return fail_usage("%s: %s", poptBadOption(c, 0), poptStrerror(e));
    if (wants_help) print_help(c);
    given.in = poptGetArg(c);
    if (!given.in) return fail_usage("missing model, see fill-weights --help");
    if (poptPeekArg(c)) return fail_usage("one argument too many: '%s'", poptPeekArg(c));
    if (!given.out) return fail_usage("missing -o, see fill-weights --help");
    return option_integer("--seed", given.seed, 0, INT64_MAX, &given.number);
}

int main(int argc, const char **argv)
{
    char message[1024];
    int e = parse(argc, argv);
    if (e) return e;
    if (!err_guard(run, NULL, message, sizeof message)) return fail_input("%s", message);
    return fflush(stdout) ? fail_input("standard output cannot be written") : 0;
}

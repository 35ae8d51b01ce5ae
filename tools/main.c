/* SPDX-License-Identifier: Apache-2.0 */
/* The `adjoint` command: finds the subcommand. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tools/bench_measure.h"
#include "tools/commands.h"
#include "tools/say.h"

static const struct {
    const char *name;
    CommandFn *run;
    const char *help;
} commands[] = {
    {"compile", cmd_compile, "write an object, its header and its manifest"},
    {"pack", cmd_pack, "weights of another file for a compiled model"},
    {"run", cmd_run, "classify images"},
    {"attack", cmd_attack, "attack images, and say how robust the model is"},
    {"ara", cmd_ara, "the curve of accuracy over perturbation size, and its area"},
    {"certify", cmd_certify, "certified radii by randomized smoothing"},
    {"lipschitz", cmd_lipschitz, "how steep the model is around images: gradients, CLEVER"},
    {"explain", cmd_explain, "draw what the network sees in images"},
    {"report", cmd_report, "one page of HTML from what attack, ara and explain wrote"},
    {"gradient", cmd_gradient, "gradients of a loss in the pixels"},
    {"new", cmd_new, "write an untrained residual network"},
    {"train", cmd_train, "train a network"},
    {"verify", cmd_verify, "compare compiled code with the reference evaluator"},
    {"inspect", cmd_inspect, "say what is in a model, and what it compiles to"},
    {"tune", cmd_tune, "find faster schedules for this machine"},
    {"bench", cmd_bench, "measure speed, next to what the machine can do"},
};
enum { NCOMMANDS = sizeof commands / sizeof *commands };

static int help(void)
{
    puts("adjoint compiles ONNX image classifiers, their gradients and attacks on them.\n\n"
         "Usage: adjoint COMMAND ARGUMENT... [OPTION...]\n");
    for (int i = 0; i < NCOMMANDS; i++) printf("  %-10s %s\n", commands[i].name, commands[i].help);
    puts(
        "\n`adjoint COMMAND --help` says more. Exit status: 0 fine, 1 something is wrong with the\n"
        "model, the data or a file, 2 with the command line.\n\n"
        "Examples:\n"
        "  adjoint compile model.onnx -o out/m --entry forward,gradient,pgd-linf\n"
        "  adjoint attack model.onnx images.npy --labels labels.npy --eps 8/255 --steps 10");
    return 0;
}

/* What was printed must have arrived: a full disk behind standard output is an error. */
static int finish(int status)
{
    bool lost = fflush(stdout) || ferror(stdout);
    if (lost && !status) return fail_input("standard output: cannot write: %s", strerror(errno));
    return status;
}

int main(int argc, const char **argv)
{
    if (argc < 2) return fail_usage("missing command, see adjoint --help");
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
        return finish(help());
    for (int i = 0; i < NCOMMANDS; i++)
        if (!strcmp(argv[1], commands[i].name)) return finish(commands[i].run(argc - 1, argv + 1));
    return fail_usage("%s: no such command, see adjoint --help", argv[1]);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint compile: an artefact on disk. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/commands.h"
#include "tools/harness.h"
#include "tools/numbers.h"
#include "tools/options.h"
#include "tools/say.h"
#include "tools/sched_file.h"

static struct {
    char *out, *emit;
    int verbose;
} given;

static struct poptOption table[] = {
    {NULL, 'o', POPT_ARG_STRING, &given.out, 0, "files to write, without their endings", "OUT"},
    {"emit", 0, POPT_ARG_STRING, &given.emit, 0,
     "obj (default), lib, so, asm, llvm, ir, kernels or ptx", "KIND"},
    {"verbose", 'v', POPT_ARG_NONE, &given.verbose, 0,
     "say how convolutions are run, and where the time and the bytes of the weights went", NULL},
    EOT_OPTION,
    ARTEFACT_OPTIONS,
    MODEL_OPTIONS,
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint compile",
    "model.onnx -o OUT",
    1,
    1,
    "Writes OUT.o (.a .so .s .ll .ir .kernels .ptx by --emit); obj, lib and so come with the\n"
    "header OUT.h, the manifest OUT.json and, with --weights file, OUT.weights. Makes no folders.\n"
    "Sizes are bytes.\n\n"
    "Examples:\n"
    "  adjoint compile model.onnx -o out/m --entry forward,gradient,pgd-linf --batch 8\n"
    "  adjoint compile noisy.onnx -o out/noisy --entry apgd-ce --eot 20\n"
    "  adjoint compile model.onnx -o m --target aarch64-linux-gnu --weights file --emit lib\n",
    table};

/* In the order of AdjEmit. */
static const char *const kinds[] = {"obj", "lib",     "so",  "asm", "llvm",
                                    "ir",  "kernels", "ptx", NULL};
static const char *const endings[] = {".o", ".a", ".so", ".s", ".ll", ".ir", ".kernels", ".ptx"};
static const char *const companions[] = {".h", ".json", ".weights"};

/* Files that a run replaces get another inode or another time. */
typedef struct Seen {
    struct stat st;
    bool there;
} Seen;

static Seen look(const char *out, const char *ending)
{
    Seen s;
    char path[4096];
    snprintf(path, sizeof path, "%s%s", out, ending);
    s.there = stat(path, &s.st) == 0;
    return s;
}

static void report(const char *ending, const Seen *before)
{
    Seen now = look(given.out, ending);
    if (!now.there) return;
    if (before->there && before->st.st_ino == now.st.st_ino &&
        !memcmp(&before->st.st_mtim, &now.st.st_mtim, sizeof now.st.st_mtim))
        return;
    printf("%s%s %lld bytes\n", given.out, ending, (long long)now.st.st_size);
}

static int write_files(AdjCompiled *c, int emit)
{
    AdjError e;
    const char *ending[] = {endings[emit], companions[0], companions[1], companions[2]};
    Seen before[4];
    for (int i = 0; i < 4; i++) before[i] = look(given.out, ending[i]);
    if (!adj_write(c, given.out, (AdjEmit)emit, &e)) return fail_input("%s", e.msg);
    for (int i = 0; i < 4; i++) report(ending[i], &before[i]);
    return 0;
}

static void print_times(const AdjCompiled *c)
{
    AdjTimes t = adj_times(c);
    printf("import %.3f s, passes %.3f s, lowering %.3f s, code %.3f s\n", t.import, t.passes,
           t.lower, t.emit);
}

static void print_packed(AdjCompiled *c)
{
    AdjPacked row[ADJ_PACKED_ROWS];
    int n = adj_packed(c, row, NULL);
    for (int i = 0; i < n; i++)
        printf("packed %s%s%s %lld bytes\n", row[i].face, *row[i].by ? " by " : "", row[i].by,
               (long long)row[i].bytes);
}

static void print_schedule(AdjCompiled *c)
{
    char *lines = adj_schedule(c, NULL);
    fputs(lines ? lines : "", stdout);
    free(lines);
}

static int compile(const AdjOptions *o, int emit)
{
    AdjError e;
    AdjCompiled *c = adj_compile(o, &e);
    if (!c) return fail_input("%s", e.msg);
    sched_warn_unused(c);
    int status = write_files(c, emit);
    if (!status && given.verbose) {
        print_schedule(c);
        print_packed(c);
        print_times(c);
    }
    adj_compiled_free(c);
    return status;
}

int cmd_compile(int argc, const char **argv)
{
    const char *model;
    AdjOptions o;
    int e, emit = ADJ_EMIT_OBJ;
    if ((e = options_parse(&syntax, argc, argv, &model)) || (e = options_model(model, &o)) ||
        (e = option_word("--emit", given.emit, kinds, &emit)))
        return e;
    if (!given.out) return fail_usage("-o: say what to write, as in -o out/m");
    if ((e = output_check(given.out))) return e;
    return compile(&o, emit);
}

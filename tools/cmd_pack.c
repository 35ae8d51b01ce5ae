/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint pack: weights of another file for a compiled model. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/commands.h"
#include "tools/options.h"
#include "tools/say.h"

static struct {
    char *out, *manifest;
} given;

static struct poptOption table[] = {
    {NULL, 'o', POPT_ARG_STRING, &given.out, 0, "the file of weights to write", "OUT.weights"},
    {"manifest", 0, POPT_ARG_STRING, &given.manifest, 0,
     "what the model was compiled to (default: OUT.json)", "M.json"},
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint pack",
    "other.onnx -o OUT.weights",
    1,
    1,
    "Writes the weights of other.onnx in the layout of a model that was compiled with --weights\n"
    "file: the compiled object then computes what other.onnx says, without a new compilation.\n"
    "Both files must have the same structure; names and values of weights may differ.\n\n"
    "Examples:\n"
    "  adjoint compile epoch1.onnx -o out/m --weights file && adjoint pack epoch2.onnx -o "
    "out/m.weights\n"
    "  adjoint pack epoch3.onnx -o epoch3.weights --manifest out/m.json\n",
    table};

/* "out/m.weights" -> "out/m.json"; false if it does not fit. */
static bool manifest_beside(const char *out, char *path, size_t size)
{
    const char *ending = strrchr(out, '.'), *slash = strrchr(out, '/');
    size_t stem = ending && (!slash || ending > slash) ? (size_t)(ending - out) : strlen(out);
    return snprintf(path, size, "%.*s.json", (int)stem, out) < (int)size;
}

static int report(void)
{
    struct stat st;
    if (!stat(given.out, &st)) printf("%s %lld bytes\n", given.out, (long long)st.st_size);
    return fflush(stdout) ? fail_input("standard output: cannot be written") : 0;
}

int cmd_pack(int argc, const char **argv)
{
    const char *model;
    char beside[4096];
    AdjError error;
    int e;
    if ((e = options_parse(&syntax, argc, argv, &model))) return e;
    if (!given.out) return fail_usage("-o: say what to write, as in -o out/m.weights");
    if (!given.manifest && !manifest_beside(given.out, beside, sizeof beside))
        return fail_usage("-o: too long a name");
    const char *manifest = given.manifest ? given.manifest : beside;
    if (!adj_pack(manifest, model, given.out, &error)) return fail_input("%s", error.msg);
    return report();
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The ONNX importer: a model, a lone tensor, and what inspect asks for. */
#include "compiler/onnx.h"
#include "harness.h"

const char fuzz_name[] = "fuzz_onnx";

typedef struct Job {
    Arena *a;
    const char *path;
} Job;

static void import(void *arg)
{
    static const OnnxOptions opts = {.ndims = 2, .dims = {{"H", 8}, {"W", 8}}};
    Job *j = arg;
    graph_verify(onnx_import(j->a, j->path, &opts), "import");
}

static void facts(void *arg)
{
    Job *j = arg;
    onnx_facts(j->a, j->path);
}

static void tensor(void *arg)
{
    Job *j = arg;
    const char *name;
    onnx_read_tensor(j->a, j->path, &name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const jobs[])(void *) = {import, facts, tensor};
    char msg[1024];
    Job j = {.path = scratch_file(data, size)};
    for (int i = 0; i < COUNT(jobs); i++) {
        j.a = arena_new();
        if (!err_guard(jobs[i], &j, msg, sizeof msg)) check_line(msg, j.path);
        arena_free(j.a);
    }
    return 0;
}

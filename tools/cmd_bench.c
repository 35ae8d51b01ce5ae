/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint bench: how fast entries are, next to what the machine can do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench_measure.h"
#include "tools/data/format.h"
#include "tools/numbers.h"
#include "tools/options.h"
#include "tools/say.h"

static struct {
    char *entry, *threads, *batch, *n, *steps, *repeats, *json, *vs, *python;
    int profile, serve;
} given;

enum { MODEL_ROWS = 32 };
static struct poptOption model_rows[MODEL_ROWS]; /* model_table without --batch */

static struct poptOption table[] = {
    {"entry", 0, POPT_ARG_STRING, &given.entry, 0,
     "programs to measure, with commas (default forward,gradient,pgd-linf)", "NAMES"},
    {"threads", 0, POPT_ARG_STRING, &given.threads, 0, "thread counts, with commas (default 1)",
     "LIST"},
    {"batch", 0, POPT_ARG_STRING, &given.batch, 0,
     "samples that a worker holds at once, with commas; each is compiled (default 8)", "LIST"},
    {"n", 'n', POPT_ARG_STRING, &given.n, 0, "images a call (default 128)", "N"},
    {"steps", 0, POPT_ARG_STRING, &given.steps, 0, "steps of an attack (default 10)", "N"},
    {"repeats", 0, POPT_ARG_STRING, &given.repeats, 0,
     "measured calls, after one to warm up (default 7)", "N"},
    {"profile", 0, POPT_ARG_NONE, &given.profile, 0,
     "time, rates and ONNX nodes of each kernel, on one thread", NULL},
    {"vs", 0, POPT_ARG_STRING, &given.vs, 0,
     "also measure, call by call in turn, what Python has installed of onnxruntime, openvino, "
     "torch, torch.compile, jax",
     "NAMES"},
    {"python", 0, POPT_ARG_STRING, &given.python, 0,
     "the interpreter that has them (default python3)", "FILE"},
    {"json", 0, POPT_ARG_STRING, &given.json, 0, "write every figure as JSON", "FILE"},
    {"serve", 0, POPT_ARG_NONE, &given.serve, 0,
     "for scripts: after one warm call print `ready`, then for each line of standard input make "
     "one call and print its seconds; one entry, thread count and batch",
     NULL},
    {NULL, 0, POPT_ARG_INCLUDE_TABLE, model_rows, 0, "The model:", NULL},
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint bench",
    "model.onnx",
    1,
    1,
    "Images are random. Figures are medians; quartiles show the spread. Of an attack images/s are\n"
    "images times steps, and last iterates are not judged. Between calls the machine's own rate "
    "of\n"
    "multiply-adds and of reading memory is measured: shares are of those. GFLOP/s count two for\n"
    "a multiply-add of a convolution or matrix product; GB/s count what kernels read and write,\n"
    "most of which stays in caches, so a share of the memory's bandwidth may pass 100%; Winograd\n"
    "convolutions do fewer multiply-adds than are counted and may pass 100% of the peak.\n\n"
    "Examples:\n"
    "  adjoint bench model.onnx --threads 1,2 --batch 1,8\n"
    "  adjoint bench model.onnx --entry gradient --profile --json profile.json\n"
    "  adjoint bench model.onnx --entry forward --vs onnxruntime,torch --python venv/bin/python\n",
    table};

static void take_model_rows(void)
{
    int n = 0;
    for (const struct poptOption *o = model_table; o->longName || o->shortName || o->arg; o++)
        if (n < MODEL_ROWS - 1 && strcmp(o->longName, "batch")) model_rows[n++] = *o;
}

/* ---- the plan ---- */

static int take_list(const char *option, const char *text, int64_t hi, int64_t *out, int *count)
{
    double v[BENCH_LIST];
    int e = option_numbers(option, text, BENCH_LIST, v, count);
    for (int i = 0; text && i < *count && !e; i++) {
        out[i] = v[i] >= 1 && v[i] <= (double)hi ? (int64_t)v[i] : 0;
        if (!out[i] || (double)out[i] != v[i])
            e = fail_usage("%s: '%s' is not a list of integers from 1 to %lld", option, text,
                           (long long)hi);
    }
    return e;
}

static int take_plan(BenchPlan *p, const char *model)
{
    int64_t threads[BENCH_LIST] = {1}, steps = 10;
    int e;
    *p = (BenchPlan){.model = model,
                     .nthreads = 1,
                     .nbatch = 1,
                     .batch = {8},
                     .n = 128,
                     .repeats = 7,
                     .profile = given.profile,
                     .vs = given.vs,
                     .python = given.python ? given.python : "python3"};
    p->entries = given.entry ? given.entry : "forward,gradient,pgd-linf";
    if ((e = take_list("--threads", given.threads, 1024, threads, &p->nthreads)) ||
        (e = take_list("--batch", given.batch, 4096, p->batch, &p->nbatch)) ||
        (e = option_integer("--n", given.n, 1, 1 << 24, &p->n)) ||
        (e = option_integer("--steps", given.steps, 1, 1 << 20, &steps)) ||
        (e = option_integer("--repeats", given.repeats, 1, 10000, &p->repeats)) ||
        (e = bench_vs_check(given.vs)) || (e = output_check(given.json)))
        return e;
    for (int i = 0; i < p->nthreads; i++) p->threads[i] = (int)threads[i];
    p->steps = (int32_t)steps;
    return options_entries(p->entries);
}

static int most_threads(const BenchPlan *p)
{
    int most = 1;
    for (int i = 0; i < p->nthreads; i++)
        if (p->threads[i] > most) most = p->threads[i];
    return most;
}

/* ---- measuring ---- */

static json_t *manifest_of(const Harness *h)
{
    AdjError e;
    char *text = adj_inspect_json(h->compiled, &e);
    if (!text) {
        fail_input("%s", e.msg);
        return NULL;
    }
    json_t *j = json_loads(text, 0, NULL);
    free(text);
    return j;
}

static int bench_one(Harness *h, const json_t *manifest, const PeakMeter *m, const AdjEntry *entry,
                     const BenchPlan *p, json_t *results)
{
    BenchEntry b;
    BenchResult r;
    int e = bench_entry_open(&b, h, manifest, entry, p);
    if (!e) e = bench_measure(&b, m, p, &r);
    if (!e) {
        json_t *row = bench_result_json(&r), *peers = json_array();
        bench_print(&r);
        fflush(stdout);
        json_array_append_new(results, row);
        if (p->vs) json_object_set(row, "vs", peers);
        if (p->vs) e = bench_vs(&b, p, peers);
        json_decref(peers);
    }
    bench_entry_close(&b);
    return e;
}

static int bench_threads(Harness *h, const json_t *manifest, int threads, bool f64,
                         const BenchPlan *p, json_t *results)
{
    PeakMeter m = {0};
    AdjPool *pool = adj_pool_new(threads);
    if (!pool) return fail_input("cannot start %d threads", threads);
    bench_use_pool(h, pool);
    int e = bench_peak_open(&m, h, pool, f64);
    for (uint32_t i = 0; i < h->model->nentry && !e; i++)
        e = bench_one(h, manifest, &m, &h->model->entry[i], p, results);
    peak_close(&m);
    bench_use_pool(h, h->pool);
    adj_pool_free(pool);
    return e;
}

static const char *model_name(const BenchPlan *p)
{
    const char *slash = strrchr(p->model, '/');
    return slash ? slash + 1 : p->model;
}

static void print_title(const BenchPlan *p)
{
    bench_print_machine();
    printf("%s, %lld images a call, medians of %lld\n", model_name(p), (long long)p->n,
           (long long)p->repeats);
}

static int bench_batch(const BenchPlan *p, AdjOptions *o, json_t *report)
{
    Harness h;
    int e = harness_open(&h, o, most_threads(p));
    if (e) return e;
    if (!json_array_size(json_object_get(report, "artefacts"))) print_title(p);
    json_t *manifest = manifest_of(&h);
    if (!manifest) e = STATUS_INPUT;
    if (!e) {
        bench_print_compiled(&h, manifest, o->batch);
        bench_print_head();
        json_array_append_new(json_object_get(report, "artefacts"),
                              bench_compiled_json(&h, manifest, o->batch));
    }
    for (int i = 0; i < p->nthreads && !e; i++)
        e = bench_threads(&h, manifest, p->threads[i], o->f64, p,
                          json_object_get(report, "results"));
    json_decref(manifest);
    harness_close(&h);
    if (!e && p->profile) e = bench_profile(p, o, json_object_get(report, "profiles"));
    return e;
}

static int write_report(const char *path, const json_t *report)
{
    NewFile file;
    DataError e;
    bool ok = file_create(path, &file, &e);
    if (ok) {
        bool good = !json_dumpf(report, file.f, JSON_INDENT(2));
        fputc('\n', file.f);
        ok = file_commit(&file, good, &e);
    }
    return ok ? 0 : fail_input("%s", e.msg);
}

static int bench(const BenchPlan *p, AdjOptions *o)
{
    json_t *report = json_pack("{s:s, s:o, s:i, s:I, s:[], s:[], s:[]}", "model", model_name(p),
                               "machine", bench_machine_json(), "steps", (int)p->steps, "repeats",
                               (json_int_t)p->repeats, "artefacts", "results", "profiles");
    int e = 0;
    for (int i = 0; i < p->nbatch && !e; i++) {
        o->batch = p->batch[i];
        e = bench_batch(p, o, report);
    }
    if (!e && given.json) e = write_report(given.json, report);
    json_decref(report);
    return e;
}

/* ---- one call a line ---- */

static int serve_calls(BenchEntry *b)
{
    char line[64];
    double seconds, units;
    int e = bench_call(b, &seconds, &units);
    if (e) return e;
    puts("ready");
    fflush(stdout);
    while (!e && fgets(line, sizeof line, stdin)) {
        e = bench_call(b, &seconds, &units);
        printf("%.9f\n", seconds);
        fflush(stdout);
    }
    return e;
}

static int serve(const BenchPlan *p, AdjOptions *o)
{
    Harness h;
    BenchEntry b = {0};
    o->batch = p->batch[0];
    if (strchr(p->entries, ',') || p->nthreads > 1 || p->nbatch > 1)
        return fail_usage("--serve: one entry, thread count and batch");
    int e = harness_open(&h, o, p->threads[0]);
    if (e) return e;
    json_t *manifest = manifest_of(&h);
    e = manifest ? bench_entry_open(&b, &h, manifest, &h.model->entry[0], p) : STATUS_INPUT;
    if (!e) e = serve_calls(&b);
    bench_entry_close(&b);
    json_decref(manifest);
    harness_close(&h);
    return e;
}

int cmd_bench(int argc, const char **argv)
{
    const char *model;
    AdjOptions o;
    BenchPlan p;
    int e;
    take_model_rows();
    if ((e = options_parse(&syntax, argc, argv, &model)) || (e = take_plan(&p, model)) ||
        (e = options_model(model, &o)))
        return e;
    o.entries = p.entries;
    if (p.vs && (o.nmean || o.nstd || o.scale != 0 || o.nhwc || o.f64 || o.nconsts || o.dims))
        return fail_usage("--vs: peers read the file as it is, in f32; leave out the options that "
                          "change the model");
    return given.serve ? serve(&p, &o) : bench(&p, &o);
}

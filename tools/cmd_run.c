/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint run: logits of images, and the accuracy if their labels are known. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/chunk.h"
#include "tools/commands.h"
#include "tools/progress.h"
#include "tools/say.h"
#include "tools/score.h"

static char *out_path;

static struct poptOption table[] = {
    {NULL, 'o', POPT_ARG_STRING, &out_path, 0, "write the logits, one row an image", "LOGITS.npy"},
    DATA_OPTIONS,
    RUN_OPTIONS,
    MODEL_OPTIONS,
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint run",
    "model.onnx images",
    2,
    2,
    "images: .npy, CIFAR-10 binaries, IDX (these also .gz or .xz), PNG or JPEG: a file or folder.\n"
    "Bytes are divided by 255, so that pixels are in [0,1]. No accuracy without labels.\n\n"
    "Examples:\n"
    "  adjoint run model.onnx t10k-images-idx3-ubyte.gz --labels t10k-labels-idx1-ubyte.gz\n"
    "  adjoint run model.onnx test_batch.bin --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 \\\n"
    "      --limit 1000 -o logits.npy\n",
    table};

typedef struct Run {
    Harness h;
    Images s;
    Buffers b;            /* of one chunk; logits lie in `logits` */
    const AdjTensor *out; /* logits */
    char *logits;         /* of all samples */
    int64_t *labels;      /* of one chunk, or NULL */
    int64_t correct;
    double seconds; /* in the compiled code */
} Run;

static int prepare(Run *r)
{
    int e;
    r->b.entry = harness_entry(&r->h, "forward");
    r->b.samples = chunk_samples(&r->h, r->b.entry, r->s.n);
    if ((e = images_bind(&r->s, &r->h, &r->b.entry->io[0])) || (e = buffers_add(&r->b, "x")))
        return e;
    r->out = buffers_tensor(&r->b, "logits");
    r->logits = r->out ? tensor_new(r->out, r->s.n) : NULL;
    if (!r->logits) return STATUS_INPUT;
    if (!images_have_labels(&r->s)) return 0;
    r->labels = calloc((size_t)r->b.samples, sizeof *r->labels);
    return r->labels ? 0 : fail_input("no memory for labels");
}

static int count_correct(Run *r, int64_t at, int64_t n)
{
    int e = images_labels(&r->s, at, n, tensor_elements(r->out), r->labels);
    if (e) return e;
    for (int64_t i = 0; i < n; i++)
        r->correct += score_class(r->out, r->logits, at + i) == r->labels[i];
    return 0;
}

static int run_chunk(Run *r, int64_t at, int64_t n)
{
    int e = images_read(&r->s, at, n, r->b.io[0]);
    if (e) return e;
    e = buffers_lend(&r->b, "logits", r->logits + (size_t)at * tensor_bytes(r->out));
    if (e) return e;
    AdjCall call = {.n = n, .io = r->b.io};
    double start = seconds_now();
    e = harness_call(&r->h, r->b.entry, &call, NULL);
    r->seconds += seconds_now() - start;
    return e || !r->labels ? e : count_correct(r, at, n);
}

static int run_all(Run *r)
{
    int e = 0;
    Progress p = progress_start("run", r->s.n);
    for (int64_t at = 0, n; at < r->s.n && !e; at += n) {
        n = r->s.n - at < r->b.samples ? r->s.n - at : r->b.samples;
        e = run_chunk(r, at, n);
        if (!e) progress_show(&p, at + n);
    }
    progress_clear(&p);
    return e;
}

static void report(const Run *r)
{
    int64_t n = r->s.n;
    if (r->labels)
        printf("accuracy %.4f (%lld of %lld)\n", (double)r->correct / (double)n,
               (long long)r->correct, (long long)n);
    printf("%.0f images/s (%lld images in %.3f s, %d threads; compiled in %.2f s)\n",
           (double)n / r->seconds, (long long)n, r->seconds, r->h.env.workers,
           r->h.compile_seconds);
}

static int run(Run *r, const AdjOptions *o, int threads)
{
    int e;
    if ((e = harness_open(&r->h, o, threads)) || (e = prepare(r)) || (e = run_all(r))) return e;
    if (out_path && (e = tensor_save(out_path, r->out, r->s.n, r->logits))) return e;
    report(r);
    return 0;
}

int cmd_run(int argc, const char **argv)
{
    const char *argument[2];
    AdjOptions o;
    DataRange range;
    RunChoice choice;
    Run r = {0};
    int e;
    if ((e = options_parse(&syntax, argc, argv, argument)) ||
        (e = options_model(argument[0], &o)) || (e = options_data(&range)) ||
        (e = options_run(&choice)) || (e = output_check(out_path)) ||
        (e = images_open(&r.s, argument[1], &range)))
        return e;
    e = run(&r, &o, choice.threads);
    buffers_free(&r.b);
    free(r.logits);
    free(r.labels);
    images_close(&r.s);
    harness_close(&r.h);
    return e;
}

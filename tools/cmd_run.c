/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint run: every output of a model for images or arrays, and the accuracy if the images' labels
 * are known. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/chunk.h"
#include "tools/commands.h"
#include "tools/feed.h"
#include "tools/progress.h"
#include "tools/results.h"
#include "tools/say.h"
#include "tools/score.h"

static char **out_files;

static struct poptOption table[] = {
    {NULL, 'o', POPT_ARG_ARGV, &out_files, 0,
     "write outputs: FILE.npy for a model of one, FILE.npz for all, NAME=FILE.npy for one of them, "
     "which may be repeated",
     "FILE"},
    INPUT_OPTIONS,
    SEED_OPTION,
    DATA_OPTIONS,
    RUN_OPTIONS,
    MODEL_OPTIONS,
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint run",
    "model.onnx [images]",
    1,
    2,
    "images: .npy, CIFAR-10 binaries, IDX (these also .gz or .xz), PNG or JPEG: a file or folder.\n"
    "Bytes are divided by 255, so that pixels are in [0,1]. No accuracy without labels. Inputs "
    "that\n"
    "are no images come from --input, as they are in the file.\n\n"
    "Examples:\n"
    "  adjoint run model.onnx t10k-images-idx3-ubyte.gz --labels t10k-labels-idx1-ubyte.gz\n"
    "  adjoint run model.onnx photos/ --preset imagenet -o logits.npy\n"
    "  adjoint run model.onnx test_batch.bin --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 \\\n"
    "      --limit 1000 -o logits.npy\n"
    "  adjoint run two.onnx --input left=l.npy --input right=input_1.pb -o all.npz\n"
    "  adjoint run two.onnx photos/ --input right=data.npz -o scores=s.npy -o box=b.npy\n",
    table};

typedef struct Run {
    Harness h;
    Feed f;
    Results out;
    Buffers b;            /* inputs of one chunk */
    int first;            /* the first output: logits of a classifier */
    const AdjTensor *top; /* that tensor */
    int64_t *labels;      /* of one chunk, or NULL */
    int64_t correct;
    double seconds; /* in the compiled code */
    uint64_t seed;
} Run;

/* Only what is read from images needs memory here. */
static int prepare_inputs(Run *r)
{
    int e = feed_bind(&r->f, &r->h, r->b.entry, false);
    if (e) return e;
    r->b.samples = chunk_samples(&r->h, r->b.entry, r->f.n);
    return r->f.data[0] ? 0 : buffers_add(&r->b, r->f.tensor[0].name);
}

static int prepare(Run *r)
{
    r->b.entry = harness_entry(&r->h, "forward");
    r->first = results_first(r->b.entry);
    r->top = &r->b.entry->io[r->first];
    int e = prepare_inputs(r);
    if (!e) e = results_bind(&r->out, &r->h, r->b.entry, out_files, r->f.n);
    if (e || !r->f.has_images || !images_have_labels(&r->f.images)) return e;
    r->labels = calloc((size_t)r->b.samples, sizeof *r->labels);
    return r->labels ? 0 : fail_input("no memory for labels");
}

static int count_correct(Run *r, int64_t at, int64_t n)
{
    int e = images_labels(&r->f.images, at, n, tensor_elements(r->top), r->labels);
    if (e) return e;
    for (int64_t i = 0; i < n; i++)
        r->correct += score_class(r->top, r->out.data[r->first], at + i) == r->labels[i];
    return 0;
}

static int run_chunk(Run *r, int64_t at, int64_t n)
{
    void *io[RESULTS] = {0};
    int e = 0;
    for (int i = 0; i < r->f.nin && !e; i++) {
        int k = r->f.io[i];
        e = feed_samples(&r->f, i, at, n, r->b.io[k], &io[k]);
    }
    if (e) return e;
    for (int k = 0; k < r->b.entry->nio; k++)
        if (r->out.data[k])
            io[k] = (char *)r->out.data[k] + (size_t)at * tensor_bytes(&r->b.entry->io[k]);
    AdjCall call = {
        .n = n, .seed = r->seed, .first_id = (uint64_t)(r->f.range.first + at), .io = io};
    double start = seconds_now();
    e = harness_call(&r->h, r->b.entry, &call, NULL);
    r->seconds += seconds_now() - start;
    return e || !r->labels ? e : count_correct(r, at, n);
}

static int run_all(Run *r)
{
    int e = 0;
    Progress p = progress_start("run", r->f.n);
    for (int64_t at = 0, n; at < r->f.n && !e; at += n) {
        n = r->f.n - at < r->b.samples ? r->f.n - at : r->b.samples;
        e = run_chunk(r, at, n);
        if (!e) progress_show(&p, at + n);
    }
    progress_clear(&p);
    return e;
}

static void report(const Run *r)
{
    int64_t n = r->f.n;
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
    if ((e = harness_open(&r->h, o, threads)) || (e = prepare(r)) || (e = run_all(r)) ||
        (e = results_save(&r->out, r->f.n)))
        return e;
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
        (e = options_run(&choice)) || (e = results_check(out_files)))
        return e;
    if (!argument[1] && !options_inputs())
        return fail_usage("run: missing argument, see adjoint run --help: images, or --input");
    if ((e = feed_open(&r.f, argument[1], &range))) return e;
    r.seed = choice.seed;
    e = run(&r, &o, choice.threads);
    buffers_free(&r.b);
    results_free(&r.out);
    free(r.labels);
    feed_close(&r.f);
    harness_close(&r.h);
    return e;
}

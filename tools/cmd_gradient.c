/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint gradient: the gradient of a loss in the pixels, an image at a time. */
#include <stdio.h>

#include "tools/chunk.h"
#include "tools/commands.h"
#include "tools/numbers.h"
#include "tools/progress.h"
#include "tools/say.h"

static struct {
    char *out, *logits, *of;
} given;

static struct poptOption table[] = {
    {NULL, 'o', POPT_ARG_STRING, &given.out, 0, "write the gradients", "GRAD.npy"},
    {"of", 0, POPT_ARG_STRING, &given.of, 0,
     "ce (default): the cross-entropy; logit: the label's logit; margin: the best other logit "
     "minus "
     "the label's; dlr: the difference of logits ratio",
     "LOSS"},
    {"logits", 0, POPT_ARG_STRING, &given.logits, 0, "write the logits too", "LOGITS.npy"},
    DATA_OPTIONS,
    RUN_OPTIONS,
    MODEL_OPTIONS,
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint gradient",
    "model.onnx images",
    2,
    2,
    "Gradients are in units of the loss a unit of pixel in [0,1], [N,C,H,W]. Labels are needed.\n\n"
    "Examples:\n"
    "  adjoint gradient model.onnx x.npy --labels labels.npy -o grad.npy\n"
    "  adjoint gradient model.onnx x.npy --labels labels.npy --of logit --precision f64 \\\n"
    "      -o grad.npy --logits logits.npy\n",
    table};

typedef struct Gradient {
    Harness h;
    Images s;
    Buffers b; /* of all samples */
    double seconds;
} Gradient;

/* All inputs and outputs for all samples: who wants gradients on disk has the memory. */
static int prepare(Gradient *g, const char *entry)
{
    static const char *const names[] = {"x", "y", "logits", "grad"};
    int e;
    g->b.entry = harness_entry(&g->h, entry);
    g->b.samples = g->s.n;
    if ((e = images_bind(&g->s, &g->h, &g->b.entry->io[0]))) return e;
    for (int i = 0; i < 4; i++)
        if ((e = buffers_add(&g->b, names[i]))) return e;
    int64_t classes = tensor_elements(buffers_tensor(&g->b, "logits"));
    if ((e = images_labels(&g->s, 0, g->s.n, classes, buffers_data(&g->b, "y")))) return e;
    return images_read(&g->s, 0, g->s.n, buffers_data(&g->b, "x"));
}

static int run_chunk(Gradient *g, int64_t at, int64_t n)
{
    void *io[ENTRY_TENSORS] = {0};
    for (int k = 0; k < g->b.entry->nio; k++)
        if (g->b.io[k]) io[k] = (char *)g->b.io[k] + (size_t)at * tensor_bytes(&g->b.entry->io[k]);
    AdjCall call = {.n = n, .first_id = (uint64_t)(g->s.first + at), .io = io};
    double start = seconds_now();
    int e = harness_call(&g->h, g->b.entry, &call, NULL);
    g->seconds += seconds_now() - start;
    return e;
}

static int run_all(Gradient *g)
{
    int e = 0;
    int64_t most = chunk_samples(&g->h, g->b.entry, g->s.n);
    Progress p = progress_start("gradient", g->s.n);
    for (int64_t at = 0, n; at < g->s.n && !e; at += n) {
        n = g->s.n - at < most ? g->s.n - at : most;
        e = run_chunk(g, at, n);
        if (!e) progress_show(&p, at + n);
    }
    progress_clear(&p);
    return e;
}

static int save(const Gradient *g, const char *path, const char *name)
{
    if (!path) return 0;
    return tensor_save(path, buffers_tensor(&g->b, name), g->s.n, buffers_data(&g->b, name));
}

static int run(Gradient *g, const AdjOptions *o, int threads)
{
    int e;
    if ((e = harness_open(&g->h, o, threads)) || (e = prepare(g, o->entries)) || (e = run_all(g)) ||
        (e = save(g, given.out, "grad")) || (e = save(g, given.logits, "logits")))
        return e;
    printf("%.0f gradients/s (%lld images in %.3f s, %d threads; compiled in %.2f s)\n",
           (double)g->s.n / g->seconds, (long long)g->s.n, g->seconds, g->h.env.workers,
           g->h.compile_seconds);
    return 0;
}

int cmd_gradient(int argc, const char **argv)
{
    static const char *const losses[] = {"ce", "logit", "margin", "dlr", NULL};
    static const char *const entries[] = {"gradient", "logit-gradient", "margin-gradient",
                                          "dlr-gradient"};
    const char *argument[2];
    AdjOptions o;
    DataRange range;
    RunChoice choice;
    Gradient g = {0};
    int e, loss = 0;
    if ((e = options_parse(&syntax, argc, argv, argument)) ||
        (e = options_model(argument[0], &o)) || (e = options_data(&range)) ||
        (e = options_run(&choice)) || (e = option_word("--of", given.of, losses, &loss)) ||
        (e = output_check(given.out)) || (e = output_check(given.logits)) ||
        (e = images_open(&g.s, argument[1], &range)))
        return e;
    o.entries = entries[loss];
    e = run(&g, &o, choice.threads);
    buffers_free(&g.b);
    images_close(&g.s);
    harness_close(&g.h);
    return e;
}

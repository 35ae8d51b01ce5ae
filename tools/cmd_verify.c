/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint verify: compiled code against the reference evaluator on a few images. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/commands.h"
#include "tools/feed.h"
#include "tools/say.h"
#include "tools/score.h"

static struct {
    char *entry;
    int each;
} given;

static struct poptOption table[] = {
    {"entry", 0, POPT_ARG_STRING, &given.entry, 0,
     "programs to check, with commas (default forward,gradient)", "NAMES"},
    {"each", 0, POPT_ARG_NONE, &given.each, 0, "compare after every kernel", NULL},
    SEED_OPTION,
    TRAIN_OPTION,
    INPUT_OPTIONS,
    DATA_OPTIONS,
    MODEL_OPTIONS,
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint verify",
    "model.onnx [images]",
    1,
    2,
    "Without images and --input: two samples of random numbers, by --seed. With them: the first "
    "two, or\n"
    "--limit. A difference is |compiled - evaluator| / max(1, largest |evaluator|) of a tensor.\n"
    "The exit status is 1 if one is above the tolerance.\n\n"
    "Examples:\n"
    "  adjoint verify model.onnx --entry forward,gradient,pgd-linf\n"
    "  adjoint verify model.onnx images.npy --each --precision f64 --limit 1\n"
    "  adjoint verify two.onnx --entry forward --input left=l.npy --input right=r.pb\n",
    table};

/* ---- inputs ---- */

typedef struct Inputs {
    Feed f;
    int64_t *y; /* labels, or NULL */
    int n;
    AdjSamples s[FEED_INPUTS + 1];
} Inputs;

/* SplitMix64 (Steele, Lea, Flood 2014): 53 bits of its output as a number in [0,1). */
static double uniform(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* Integers are 0 or 1: nothing says what they mean. */
static void fill(const AdjTensor *t, void *data, int64_t n, uint64_t *state)
{
    for (int64_t i = 0; i < n; i++) {
        double u = uniform(state);
        if (t->dtype == ADJ_F64)
            ((double *)data)[i] = u;
        else
            ((int64_t *)data)[i] = u < 0.5;
    }
}

static int random_inputs(Feed *f, uint64_t seed)
{
    f->n = f->range.limit;
    for (int i = 0; i < f->nin; i++) {
        const AdjTensor *t = &f->tensor[i];
        f->data[i] = tensor_new(t, f->n);
        if (!f->data[i]) return STATUS_INPUT;
        fill(t, f->data[i], f->n * tensor_elements(t), &seed);
    }
    return 0;
}

static int read_images(Inputs *in)
{
    Feed *f = &in->f;
    int e = 0;
    for (int i = 0; i < f->nin && !e; i++) {
        if (f->data[i]) continue;
        f->data[i] = tensor_new(&f->tensor[i], f->n);
        e = f->data[i] ? images_read(&f->images, 0, f->n, f->data[i]) : STATUS_INPUT;
    }
    if (e || !f->has_images || !images_have_labels(&f->images)) return e;
    in->y = calloc((size_t)f->n, sizeof *in->y);
    return in->y ? images_labels(&f->images, 0, f->n, INT64_MAX, in->y) : fail_input("no memory");
}

/* Two samples, or one if the model takes no more. */
static int open_inputs(Inputs *in, const char *path, int64_t batch)
{
    DataRange range;
    int e = options_data(&range);
    if (e) return e;
    if (range.limit == INT64_MAX) range.limit = batch == 1 ? 1 : 2;
    return feed_open(&in->f, path, &range);
}

static int take_inputs(Inputs *in, const Harness *h)
{
    RunChoice choice;
    Feed *f = &in->f;
    int e = options_run(&choice);
    if (!e) e = feed_bind(f, h, &h->model->entry[0], true);
    if (!e) e = feed_empty(f) ? random_inputs(f, choice.seed) : read_images(in);
    for (int i = 0; i < f->nin && !e; i++)
        in->s[in->n++] = (AdjSamples){f->tensor[i].name, f->data[i]};
    if (in->y) in->s[in->n++] = (AdjSamples){"y", in->y};
    return e;
}

/* ---- the comparison ---- */

static void print_row(void *user, const char *program, int kernel, const char *name,
                      const char *nodes, double difference)
{
    (void)user;
    printf("%-16s %5d %10.3g  %-24s %s\n", program, kernel, difference, name, nodes);
}

static int compare(Harness *h, const Inputs *in)
{
    AdjVerify v;
    AdjError e;
    if (given.each) printf("%-16s %5s %10s  %-24s nodes\n", "program", "#", "difference", "kernel");
    if (!adj_verify(h->compiled, in->s, in->n, in->f.n, given.each, print_row, NULL, &v, &e))
        return fail_input("%s", e.msg);
    printf("%lld kernels, %lld values on %lld images; worst difference %.3g, tolerance %.3g",
           (long long)v.kernels, (long long)v.values, (long long)in->f.n, v.worst, v.tolerance);
    printf(*v.where ? " (%s: %s)\n" : "\n", v.program, v.where);
    if (!v.failed) return 0;
    return fail_input("%s: %s differs from the evaluator by %.3g, tolerance %.3g: %s", h->path,
                      v.program, v.worst, v.tolerance, v.where);
}

int cmd_verify(int argc, const char **argv)
{
    const char *argument[2];
    AdjOptions o;
    Harness h = {0};
    Inputs in = {0};
    int e;
    if ((e = options_parse(&syntax, argc, argv, argument)) ||
        (e = options_model(argument[0], &o)) || (e = options_entries(given.entry)))
        return e;
    o.entries = given.entry ? given.entry : "forward,gradient";
    o.trace = o.no_depth = given.each; /* it compares all slots of a kernel */
    if ((e = open_inputs(&in, argument[1], o.batch))) return e;
    e = harness_open(&h, &o, 1);
    if (!e) e = take_inputs(&in, &h);
    if (!e) e = compare(&h, &in);
    free(in.y);
    feed_close(&in.f);
    harness_close(&h);
    return e;
}

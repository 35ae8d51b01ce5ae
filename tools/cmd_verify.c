/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint verify: compiled code against the reference evaluator on a few images. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/commands.h"
#include "tools/images.h"
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
    DATA_OPTIONS,
    MODEL_OPTIONS,
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint verify",
    "model.onnx [images]",
    1,
    2,
    "Without images: two images of random pixels, by --seed. With images: the first two, or\n"
    "--limit. A difference is |compiled - evaluator| / max(1, largest |evaluator|) of a tensor.\n"
    "The exit status is 1 if one is above the tolerance.\n\n"
    "Examples:\n"
    "  adjoint verify model.onnx --entry forward,gradient,pgd-linf\n"
    "  adjoint verify model.onnx images.npy --each --precision f64 --limit 1\n",
    table};

/* ---- inputs ---- */

typedef struct Inputs {
    int64_t n;
    double *x;  /* NCHW */
    int64_t *y; /* labels, or NULL */
} Inputs;

/* SplitMix64 (Steele, Lea, Flood 2014): 53 bits of its output as a number in [0,1). */
static double uniform(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static int allocate(Inputs *in, const AdjTensor *x, int64_t n)
{
    AdjTensor wide = *x;
    wide.dtype = ADJ_F64;
    in->n = n;
    in->x = tensor_new(&wide, n);
    return in->x ? 0 : STATUS_INPUT;
}

static int random_inputs(Inputs *in, const AdjTensor *x, int64_t n, uint64_t seed)
{
    int e = allocate(in, x, n);
    if (e) return e;
    for (int64_t i = 0; i < n * tensor_elements(x); i++) in->x[i] = uniform(&seed);
    return 0;
}

static int read_images(Inputs *in, Images *s, const Harness *h, const AdjTensor *x)
{
    AdjTensor wide = *x;
    int e;
    wide.dtype = ADJ_F64;
    if ((e = allocate(in, x, s->n)) || (e = images_bind(s, h, &wide)) ||
        (e = images_read(s, 0, s->n, in->x)) || !images_have_labels(s))
        return e;
    in->y = calloc((size_t)s->n, sizeof *in->y);
    return in->y ? images_labels(s, 0, s->n, INT64_MAX, in->y) : fail_input("no memory");
}

static int take_inputs(Inputs *in, const char *path, const Harness *h)
{
    const AdjTensor *x = &h->model->entry[0].io[0];
    DataRange range;
    RunChoice choice;
    Images s;
    int e;
    if ((e = options_data(&range)) || (e = options_run(&choice))) return e;
    if (range.limit == INT64_MAX) range.limit = 2;
    if (!path) return random_inputs(in, x, range.limit, choice.seed);
    if ((e = images_open(&s, path, &range))) return e;
    e = read_images(in, &s, h, x);
    images_close(&s);
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
    if (!adj_verify(h->compiled, in->x, in->y, in->n, given.each, print_row, NULL, &v, &e))
        return fail_input("%s", e.msg);
    printf("%lld kernels, %lld values on %lld images; worst difference %.3g, tolerance %.3g",
           (long long)v.kernels, (long long)v.values, (long long)in->n, v.worst, v.tolerance);
    printf(*v.where ? " (%s: %s)\n" : "\n", v.program, v.where);
    if (!v.failed) return 0;
    return fail_input("%s: %s differs from the evaluator by %.3g, tolerance %.3g: %s", h->path,
                      v.program, v.worst, v.tolerance, v.where);
}

int cmd_verify(int argc, const char **argv)
{
    const char *argument[2];
    AdjOptions o;
    Harness h;
    Inputs in = {0};
    int e;
    if ((e = options_parse(&syntax, argc, argv, argument)) ||
        (e = options_model(argument[0], &o)) || (e = options_entries(given.entry)))
        return e;
    o.entries = given.entry ? given.entry : "forward,gradient";
    o.trace = given.each;
    if ((e = harness_open(&h, &o, 1))) return e;
    e = take_inputs(&in, argument[1], &h);
    if (!e) e = compare(&h, &in);
    free(in.x);
    free(in.y);
    harness_close(&h);
    return e;
}

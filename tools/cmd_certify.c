/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint certify: the options of randomized smoothing. */
#include "tools/certify.h"
#include "tools/commands.h"
#include "tools/numbers.h"
#include "tools/say.h"

enum { MOST_DRAWS = 1 << 24 }; /* that the generator tells apart */

static struct {
    char *sigma, *n0, *n, *alpha, *every, *csv, *json;
    int predict;
} given;

static struct poptOption table[] = {
    {"sigma", 0, POPT_ARG_STRING, &given.sigma, 0,
     "standard deviation of the noise of a pixel in [0,1] (default 0.25)", "SIGMA"},
    {"n0", 0, POPT_ARG_STRING, &given.n0, 0, "noisy images that choose the class (default 100)",
     "N"},
    {"n", 0, POPT_ARG_STRING, &given.n, 0,
     "noisy images that bound its probability (default 100000); with --predict, that vote", "N"},
    {"alpha", 0, POPT_ARG_STRING, &given.alpha, 0,
     "probability that what is said of an image is wrong (default 0.001)", "ALPHA"},
    {"every", 0, POPT_ARG_STRING, &given.every, 0,
     "take every K-th image only, from --first on (default 1); --limit counts those taken", "K"},
    {"predict", 0, POPT_ARG_NONE, &given.predict, 0, "the class alone, no radius", NULL},
    {NULL, 'o', POPT_ARG_STRING, &given.csv, 0,
     "write a line for each image: class (-1: abstained), votes, bound, radius", "FILE.csv"},
    {"json", 0, POPT_ARG_STRING, &given.json, 0, "write the report as JSON", "FILE"},
    SEED_OPTION,
    DATA_OPTIONS,
    RUN_OPTIONS,
    MODEL_OPTIONS,
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint certify",
    "model.onnx images",
    2,
    2,
    "Randomized smoothing (Cohen, Rosenfeld, Kolter 2019): the class that the model names most "
    "often\n"
    "under Gaussian noise, and an L2 radius (pixels in [0,1]) within which it stays so, by the "
    "lower\n"
    "bound of Clopper and Pearson. Where the votes do not decide, it abstains. Results do not "
    "depend\n"
    "on threads, batch or --first. Labels are optional. A model that was not trained with noise\n"
    "certifies little.\n\n"
    "Examples:\n"
    "  adjoint certify model.onnx test_batch.bin --sigma 0.25 --limit 100 -o certified.csv\n"
    "  adjoint certify model.onnx test_batch.bin --sigma 0.25 --every 20 --json certified.json\n"
    "  adjoint certify model.onnx x.npy --labels y.npy --sigma 0.5 --n0 100 --n 10000 --alpha "
    "0.01\n"
    "  adjoint certify model.onnx photos/ --preset imagenet --predict --n 1000\n",
    table};

static int take_plan(CertifyPlan *p)
{
    int e;
    *p = (CertifyPlan){.sigma = 0.25, .alpha = 0.001, .n0 = 100, .n = 100000, .every = 1};
    p->predict = given.predict;
    p->csv = given.csv;
    p->json = given.json;
    if ((e = option_number("--sigma", given.sigma, 0, 1e4, &p->sigma)) ||
        (e = option_number("--alpha", given.alpha, 0, 0.5, &p->alpha)) ||
        (e = option_integer("--n0", given.n0, 1, MOST_DRAWS / 2, &p->n0)) ||
        (e = option_integer("--every", given.every, 1, INT64_MAX, &p->every)) ||
        (e = option_integer("--n", given.n, 1, MOST_DRAWS / 2, &p->n)))
        return e;
    if (!(p->sigma > 0)) return fail_usage("--sigma: without noise nothing is smoothed");
    if (!(p->alpha > 0)) return fail_usage("--alpha: no number of draws is certain");
    if (given.n0 && given.predict) return fail_usage("--n0: not together with --predict");
    if ((e = options_data(&p->range)) || (e = options_run(&p->run)) || (e = output_check(p->csv)))
        return e;
    return output_check(p->json);
}

int cmd_certify(int argc, const char **argv)
{
    const char *argument[2];
    AdjOptions o;
    CertifyPlan p;
    CertifyResult r;
    int e;
    if ((e = options_parse(&syntax, argc, argv, argument)) ||
        (e = options_model(argument[0], &o)) || (e = take_plan(&p)))
        return e;
    p.model = argument[0];
    p.images = argument[1];
    o.entries = "smooth";
    e = certify_run(&p, &o, &r);
    if (!e) certify_print(&p, &r);
    certify_free(&r);
    return e;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Votes under noise, CLEVER's norms and local Lipschitz constants on the example network: in f64
 * against independent transcriptions, stored in measures.golden by measure_reference.py; in f32 the
 * same bits whatever the batch, threads and the way in which draws are shared out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e2e.h"
#include "runtime/load.h"

enum { IMAGES = 6, SIDE = 28, PIXELS = SIDE * SIDE, CLASSES = 10 };

static double x[IMAGES * PIXELS];
static float x32[IMAGES * PIXELS];
static int64_t y[IMAGES], target[IMAGES]; /* class 0 */

/* The same whole grey levels as the script's. */
static void fill(void)
{
    for (int i = 0; i < IMAGES * PIXELS; i++) {
        int image = i / PIXELS, p = i % PIXELS;
        double u = (p % SIDE - 14) / 9.0, v = (p / SIDE - 14) / (5.0 + image % 7);
        x[i] = floor(230 * exp(-u * u * (1 + image % 3) - v * v) + 0.5) / 255;
        x32[i] = (float)x[i];
    }
}

static void classify(const Net *net)
{
    double z[IMAGES * CLASSES];
    Run r = {.n = IMAGES};
    run_bind(net, "forward", &r, "x", x);
    run_bind(net, "forward", &r, "logits", z);
    net_run(net, "forward", &r);
    for (int i = 0; i < IMAGES * CLASSES; i++)
        if (z[i] > z[i / CLASSES * CLASSES + y[i / CLASSES]]) y[i / CLASSES] = i % CLASSES;
}

static void bind(const Net *net, const char *entry, Run *r, const char *output, void *out)
{
    const AdjEntry *e = adj_entry(net->model, entry);
    run_bind(net, entry, r, "x", net->f64 ? (void *)x : (void *)x32);
    if (adj_io(e, "y") >= 0) run_bind(net, entry, r, "y", y);
    if (adj_io(e, "target") >= 0) run_bind(net, entry, r, "target", target);
    run_bind(net, entry, r, output, out);
}

/* ---- against the transcriptions ---- */

/* "smooth counts 300 sigma=0.5 ..." */
static void run_case(const Net *net, char *text, char *output, void *out)
{
    char *save, *entry = strtok_r(text, " \n", &save);
    strcpy(output, strtok_r(NULL, " \n", &save));
    Run r = {.n = IMAGES, .workers = 2, .steps = atoi(strtok_r(NULL, " \n", &save)), .seed = 7};
    bind(net, entry, &r, output, out);
    for (char *word; (word = strtok_r(NULL, " \n", &save));) {
        char *eq = strchr(word, '=');
        *eq = 0;
        run_set(net, entry, &r, word, strtod(eq + 1, NULL));
    }
    net_run(net, entry, &r);
}

static void check_case(Count *c, const Net *net, char *text, FILE *golden)
{
    double out[IMAGES * CLASSES], worst = 0;
    char output[16], line[512];
    run_case(net, text, output, out);
    bool counts = !strcmp(output, "counts");
    for (int i = 0; i < IMAGES && fgets(line, sizeof line, golden); i++) {
        char *at = line;
        for (int k = 0; k < (counts ? CLASSES : 1); k++) {
            double want = strtod(at, &at);
            double got = counts ? ((int32_t *)out)[i * CLASSES + k] : out[i];
            worst = fmax(worst, fabs(got - want) / fmax(fabs(want), 1));
        }
    }
    count_check(c, worst <= (counts ? 0 : 1e-9), "%s %s: off by %.1e", text, output, worst);
}

/* ---- bits ---- */

static const struct {
    const char *entry, *output;
    size_t bytes; /* of a sample's result */
} rows[] = {
    {"smooth", "counts", 4 * CLASSES}, {"clever-l1", "most", 4},      {"clever-l2", "most", 4},
    {"clever-linf", "most", 4},        {"lipschitz-linf", "most", 4}, {"lipschitz-l2", "most", 4},
    {"gradient-norms", "l2", 4},
};
enum { ROWS = sizeof rows / sizeof rows[0], STEPS = 7 };

static void measure(const Net *net, int k, int n, int workers, int first, int steps, void *out)
{
    Run r = {.n = n, .workers = workers, .steps = steps, .seed = 3};
    bind(net, rows[k].entry, &r, rows[k].output, out);
    if (first) run_set(net, rows[k].entry, &r, "first", first);
    net_run(net, rows[k].entry, &r);
}

static void check_bits(Count *c, const Net *net, int batch, char first[ROWS][240])
{
    char now[240];
    for (int k = 0; k < ROWS; k++) {
        int differ = 0;
        if (batch == 8) measure(net, k, IMAGES, 1, 0, STEPS, first[k]);
        for (int n = 1; n <= IMAGES; n++)
            for (int w = 1; w < 4; w++) {
                measure(net, k, n, w, 0, STEPS, now);
                differ += memcmp(now, first[k], rows[k].bytes * (size_t)n) != 0;
            }
        count_check(c, !differ, "batch %d %s: %d runs differ", batch, rows[k].entry, differ);
    }
}

/* Draws shared out among calls add up: votes by their sum, norms by their maximum. */
static void check_parts(Count *c, const Net *net)
{
    int32_t whole[60], a[60], b[60];
    float most[IMAGES], ma[IMAGES], mb[IMAGES];
    int wrong = 0;
    measure(net, 0, IMAGES, 2, 0, 9, whole);
    measure(net, 0, IMAGES, 2, 0, 4, a);
    measure(net, 0, IMAGES, 2, 4, 5, b);
    for (int i = 0; i < 60; i++) wrong += whole[i] != a[i] + b[i];
    count_check(c, !wrong, "votes of 9 draws are those of 4 and 5");
    measure(net, 2, IMAGES, 2, 0, 9, most);
    measure(net, 2, IMAGES, 2, 0, 4, ma);
    measure(net, 2, IMAGES, 2, 4, 5, mb);
    for (int i = 0; i < IMAGES; i++) wrong += most[i] != fmaxf(ma[i], mb[i]);
    count_check(c, !wrong, "the largest norm of 9 draws is that of 4 and 5");
}

#define ENTRIES                                                                                    \
    "forward,smooth,clever-l1,clever-l2,clever-linf,lipschitz-linf,lipschitz-l2,gradient-norms"

static void check_batches(Count *c, AdjOptions o)
{
    static const int batches[] = {8, 1, 3};
    static char first[ROWS][240];
    o.f64 = false;
    for (int b = 0; b < 3; b++) {
        o.batch = batches[b];
        Net net = net_open(&o);
        check_bits(c, &net, batches[b], first);
        if (!b) check_parts(c, &net);
        net_close(&net);
    }
}

int main(int argc, char **argv)
{
    Count c = {.name = "measures"};
    char line[512];
    FILE *golden = argc == 3 ? fopen(argv[2], "r") : NULL;
    if (!golden) return 2;
    AdjOptions o = {.model = argv[1], .batch = 4, .f64 = true, .entries = ENTRIES};
    Net net = net_open(&o);
    fill();
    classify(&net);
    while (fgets(line, sizeof line, golden))
        if (!strncmp(line, "case ", 5)) check_case(&c, &net, line + 5, golden);
    net_close(&net);
    fclose(golden);
    check_batches(&c, o);
    return count_close(&c);
}

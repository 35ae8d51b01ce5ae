/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks on the example network in f64 against iterates of independent transcriptions, stored in
 * attacks.golden and random.golden by attack_reference.py: for each case the entry, its steps and settings, then for
 * each image whether it fools and a few weighted sums of its pixels. A third argument picks cases. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e2e.h"
#include "runtime/load.h"

enum { IMAGES = 6, SIDE = 28, PIXELS = SIDE * SIDE, CLASSES = 10, PROBES = 4 };

static double x[IMAGES * PIXELS];
static int64_t y[IMAGES];

/* The same whole grey levels as the script's. */
static void fill(void)
{
    for (int i = 0; i < IMAGES; i++)
        for (int p = 0; p < PIXELS; p++) {
            double u = (p % SIDE - 14) / 9.0, v = (p / SIDE - 14) / (5.0 + i % 7);
            x[i * PIXELS + p] = floor(230 * exp(-u * u * (1 + i % 3) - v * v) + 0.5) / 255;
        }
}

static void classify(const Net *net)
{
    double z[IMAGES * CLASSES];
    Run r = {.n = IMAGES, .seed = 7};
    run_bind(net, "forward", &r, "x", x);
    run_bind(net, "forward", &r, "logits", z);
    net_run(net, "forward", &r);
    for (int i = 0; i < IMAGES; i++)
        for (int k = 0; k < CLASSES; k++)
            if (z[i * CLASSES + k] > z[i * CLASSES + y[i]]) y[i] = k;
}

static double probe(const double *image, int n, int k)
{
    double sum = 0;
    for (int p = 0; p < n; p++) sum += image[p] * cos((k + 1) * 0.37 * p + k);
    return sum;
}

/* "entry steps name=value ..."; returns the elements of a result. */
static int run_case(const Net *net, char *text, char *entry, double *adv, int32_t *success)
{
    char *save, *word = strtok_r(text, " \n", &save);
    strcpy(entry, word);
    Run r = {.n = IMAGES, .workers = 2, .steps = atoi(strtok_r(NULL, " \n", &save)), .seed = 7};
    run_bind(net, entry, &r, "x", x);
    run_bind(net, entry, &r, "y", y);
    const AdjEntry *e = adj_entry(net->model, entry);
    int map = adj_io(e, "map");
    bool maps = map >= 0;
    memset(success, 0, sizeof *success * IMAGES);
    run_bind(net, entry, &r, maps ? "map" : "adv", adv);
    if (!maps) run_bind(net, entry, &r, "success", success);
    while ((word = strtok_r(NULL, " \n", &save))) {
        char *eq = strchr(word, '=');
        *eq = 0;
        run_set(net, entry, &r, word, strtod(eq + 1, NULL));
    }
    net_run(net, entry, &r);
    return maps ? (int)(adj_tensor_bytes(&e->io[map]) / sizeof *adv) : PIXELS;
}

static void check_case(Count *c, const AdjOptions *o, char *text, FILE *golden)
{
    static double adv[IMAGES * PIXELS];
    int32_t success[IMAGES];
    char entry[64], entries[96], line[512];
    double worst = 0;
    int wrong = 0;
    snprintf(entries, sizeof entries, "forward,%.*s", (int)strcspn(text, " "), text);
    AdjOptions own = *o;
    const char *eot = strstr(text, " eot=");
    own.entries = entries;
    own.eot = eot ? atoi(eot + 5) : 0;
    Net net = net_open(&own);
    int n = run_case(&net, text, entry, adv, success);
    for (int i = 0; i < IMAGES && fgets(line, sizeof line, golden); i++) {
        char *at = line;
        wrong += success[i] != strtol(at, &at, 10);
        for (int k = 0; k < PROBES; k++)
            worst = fmax(worst, fabs(probe(adv + i * n, n, k) - strtod(at, &at)));
    }
    count_check(c, worst <= 1e-8 && !wrong, "%s: sums off by %.1e, %d judged differently", entry,
                worst, wrong);
    net_close(&net);
}

static void label(const AdjOptions *o)
{
    AdjOptions plain = *o;
    plain.entries = "forward";
    Net net = net_open(&plain);
    fill();
    classify(&net);
    net_close(&net);
}

int main(int argc, char **argv)
{
    Count c = {.name = "attack iterates"};
    char line[512];
    FILE *golden = argc >= 3 ? fopen(argv[2], "r") : NULL;
    if (!golden) return 2;
    AdjOptions o = {.model = argv[1], .batch = 4, .f64 = true};
    label(&o);
    while (fgets(line, sizeof line, golden))
        if (!strncmp(line, "case ", 5) && (argc == 3 || strstr(line, argv[3])))
            check_case(&c, &o, line + 5, golden);
    fclose(golden);
    return count_close(&c);
}

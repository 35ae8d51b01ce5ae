/* SPDX-License-Identifier: Apache-2.0 */
/* EOT: the mean of several gradients a step. On a model that draws nothing the mean of one or of two
 * equal gradients is that gradient, bit for bit, whatever the attack; passes are counted; and on a
 * model that draws, results depend on the seed and the samples' ids alone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "e2e.h"
#include "runtime/load.h"

enum { N = 11, PIXELS = 28 * 28, CLASSES = 10, STEPS = 5 };

static const struct {
    const char *name;
    bool whole; /* takes all its steps, and one pass to judge */
} attacks[] = {
    {"fgsm", false},     {"pgd-linf", true},     {"pgd-l2", true},
    {"pgd-l1", true},    {"mi-fgsm", true},      {"apgd-ce", true},
    {"apgd-dlr", true},  {"apgd-t", false},      {"apgd-ce-l2", true},
    {"l2-min", true},    {"btr", true},          {"g-explain", true},
    {"ddn", false},      {"deepfool-l2", false}, {"deepfool-linf", false},
    {"cw-l2", false},    {"fmn-l1", false},      {"fmn-l2", false},
    {"fmn-linf", false},
};
enum { ATTACKS = sizeof attacks / sizeof attacks[0] };

static float x[N * PIXELS], logits[N * CLASSES];
static int64_t y[N];

typedef struct Result {
    float adv[N * PIXELS];
    int32_t success[N];
    AdjStatus status;
} Result;

static void fill(const Net *net)
{
    for (int i = 0; i < N; i++)
        for (int p = 0; p < PIXELS; p++) {
            double u = (p % 28 - 14) / 9.0, v = (p / 28.0 - 14) / (5.0 + i % 7);
            x[i * PIXELS + p] = (float)(0.9 * exp(-u * u * (1 + i % 3) - v * v));
        }
    Run r = {.n = N};
    memcpy(r.io, (void *[]){x, logits}, 2 * sizeof(void *));
    net_run(net, "forward", &r);
    for (int i = 0; i < N; i++)
        for (int k = 1; k < CLASSES; k++)
            if (logits[i * CLASSES + k] > logits[i * CLASSES + y[i]]) y[i] = k;
}

static Net open_net(const char *path, const char *entries, int batch, int eot)
{
    AdjOptions o = {.model = path, .batch = batch, .entries = entries, .eot = eot};
    return net_open(&o);
}

/* eot 0: the entry has no such parameter. */
static void attack(const Net *net, const char *entry, int eot, int n, int workers, uint64_t seed,
                   Result *out)
{
    Run r = {.n = n, .workers = workers, .steps = STEPS, .seed = seed};
    memset(out, 0, sizeof *out);
    run_bind(net, entry, &r, "x", x);
    run_bind(net, entry, &r, "y", y);
    run_bind(net, entry, &r, "adv", out->adv);
    run_bind(net, entry, &r, "success", out->success);
    if (eot) run_set(net, entry, &r, "eot", eot);
    net_run(net, entry, &r);
    out->status = r.status;
}

static bool same(const Result *a, const Result *b)
{
    return !memcmp(a->adv, b->adv, sizeof a->adv) &&
           !memcmp(a->success, b->success, sizeof a->success);
}

/* ---- a model that draws nothing ---- */

static double apart(const Result *a, const Result *b)
{
    double most = 0;
    for (int i = 0; i < N * PIXELS; i++) most = fmax(most, fabs((double)a->adv[i] - b->adv[i]));
    return most;
}

static void check_plain(Count *c, const Net *plain, const Net *eot, int k, Result r[4])
{
    const char *name = attacks[k].name;
    attack(plain, name, 0, N, 2, 7, &r[0]);
    for (int m = 1; m < 4; m++) attack(eot, name, m, N, 2, 7, &r[m]);
    count_check(c, same(&r[0], &r[1]), "%s: eot 1 is the attack itself", name);
    count_check(c, same(&r[0], &r[2]), "%s: eot 2 is the attack itself", name);
    uint64_t judged = r[0].status.forwards - r[0].status.backwards;
    for (int m = 1; m < 3; m++) {
        const AdjStatus *s = &r[m].status;
        uint64_t b = (uint64_t)m * r[0].status.backwards;
        bool ok = s->backwards == b && s->forwards == b + judged;
        count_check(c, ok, "%s: eot %d: %d forwards, %d backwards", name, m, (int)s->forwards,
                    (int)s->backwards);
    }
    if (!attacks[k].whole) return;
    count_check(c, r[3].status.backwards == 3 * r[0].status.backwards, "%s: eot 3: %d backwards",
                name, (int)r[3].status.backwards);
    if (!strcmp(name, "pgd-l2"))
        count_check(c, apart(&r[0], &r[3]) < 1e-4, "%s: eot 3 is the attack within %.1e", name,
                    apart(&r[0], &r[3]));
}

/* ---- one that draws ---- */

static void check_bits(Count *c, const char *path, const char *entry, Result *first, Result *r)
{
    static const int batches[] = {1, 3, 8}, ns[] = {1, 7, N};
    int differ = 0, runs = 0;
    for (int b = 0; b < 3; b++) {
        Net net = open_net(path, entry, batches[b], 3);
        for (int n = 0; n < 3; n++)
            for (int w = 1; w < 4; w++, runs++) {
                attack(&net, entry, 0, ns[n], w, 7, r);
                size_t each = (size_t)ns[n];
                if (!runs) attack(&net, entry, 0, N, 1, 7, first);
                differ += memcmp(r->adv, first->adv, 4 * PIXELS * each) != 0;
                differ += memcmp(r->success, first->success, 4 * each) != 0;
            }
        net_close(&net);
    }
    count_check(c, !differ, "%s, random: %d runs, %d of them differ", entry, runs, differ);
}

static void check_draws(Count *c, const char *path, Result r[4])
{
    Net net = open_net(path, "pgd-l2", 8, 4);
    attack(&net, "pgd-l2", 1, N, 2, 7, &r[0]);
    attack(&net, "pgd-l2", 2, N, 2, 7, &r[1]);
    attack(&net, "pgd-l2", 2, N, 2, 8, &r[2]);
    attack(&net, "pgd-l2", 0, N, 2, 7, &r[3]);
    count_check(c, !same(&r[0], &r[1]), "random: each pass of a step draws anew");
    count_check(c, !same(&r[1], &r[2]), "random: another seed, other draws");
    count_check(c, r[3].status.backwards == 4 * N * STEPS, "the parameter's default is --eot's");
    net_close(&net);
}

int main(int argc, char **argv)
{
    Count c = {.name = "expectation"};
    Result *r = calloc(4, sizeof *r);
    char all[512] = "forward";
    if (argc < 3) return 2;
    for (int k = 0; k < ATTACKS; k++) strcat(strcat(all, ","), attacks[k].name);
    Net plain = open_net(argv[1], all, 8, 0), eot = open_net(argv[1], all, 8, 1);
    fill(&plain);
    for (int k = 0; k < ATTACKS; k++) check_plain(&c, &plain, &eot, k, r);
    net_close(&plain);
    net_close(&eot);
    check_bits(&c, argv[2], "pgd-linf", &r[0], &r[1]);
    check_bits(&c, argv[2], "apgd-ce", &r[0], &r[1]);
    check_draws(&c, argv[2], r);
    free(r);
    return count_close(&c);
}

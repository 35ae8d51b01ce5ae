/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for every attack without a reference: the same bits whatever the batch, the count and
 * the threads; radii are kept; success means that the model says so; counts of passes; no steps.
 * And how attacks and their choices relate to each other. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e2e.h"
#include "runtime/load.h"

enum { N = 19, PIXELS = 28 * 28, CLASSES = 10, STEPS = 6 };

typedef struct Attack {
    const char *name;
    double linf, l2;                 /* radius at the default eps; 0: none, or in the other norm */
    bool boxed;                      /* adv stays in [0,1] */
    int forwards, backwards, judges; /* a step; of a sample at its end */
    int most;                        /* steps that it takes of STEPS; 0: leaves when it fools */
    bool moves;                      /* adv without a step is x itself */
} Attack;

static const Attack attacks[] = {
    {"fgsm", 8.0 / 255, 0, true, 1, 1, 1, 1, false},
    {"fgm-l2", 0, 0.5, true, 1, 1, 1, 1, false},
    {"bim", 8.0 / 255, 0, true, 1, 1, 1, STEPS, false},
    {"pgd-linf", 8.0 / 255, 0, true, 1, 1, 1, STEPS, true},
    {"pgd-l2", 0, 0.5, true, 1, 1, 1, STEPS, true},
    {"pgd-l1", 0, 0, true, 1, 1, 1, STEPS, true},
    {"mi-fgsm", 8.0 / 255, 0, true, 1, 1, 1, STEPS, false},
    {"apgd-ce", 8.0 / 255, 0, true, 1, 1, 1, STEPS, true},
    {"apgd-dlr", 8.0 / 255, 0, true, 1, 1, 1, STEPS, true},
    {"apgd-t", 8.0 / 255, 0, true, 1, 1, 1, STEPS + 1, false},
    {"apgd-ce-l2", 0, 0.5, true, 1, 1, 1, STEPS, true},
    {"apgd-dlr-l2", 0, 0.5, true, 1, 1, 1, STEPS, true},
    {"apgd-t-l2", 0, 0.5, true, 1, 1, 1, STEPS + 1, false},
    {"l2-min", 0, 0, false, 1, 1, 1, STEPS, false},
    {"btr", 0, 0, false, 1, 1, 1, STEPS, false},
    {"g-explain", 0, 0, false, 1, 1, 1, STEPS, false},
    {"ddn", 0, 0, true, 1, 1, 0, STEPS, false},
    {"deepfool-l2", 0, 0, true, 1, 1, 0, 0, false},
    {"deepfool-linf", 0, 0, true, 1, 1, 0, 0, false},
    {"cw-l2", 0, 0, true, 1, 1, 0, 0, false},
    {"fmn-l1", 0, 0, true, 1, 1, 0, STEPS, false},
    {"fmn-l2", 0, 0, true, 1, 1, 0, STEPS, false},
    {"fmn-linf", 0, 0, true, 1, 1, 0, STEPS, false},
    {"fab", 0.3, 0, true, 1, 1, 1, 0, false},
    {"fab-t", 0.3, 0, true, 1, 1, 1, 0, false},
    {"fab-l2", 0, 1, true, 1, 1, 1, 0, false},
    {"fab-t-l2", 0, 1, true, 1, 1, 1, 0, false},
    {"square-linf", 8.0 / 255, 0, true, 1, 0, 0, 0, false},
    {"square-l2", 0, 0.5, true, 1, 0, 0, 0, false},
    {"noise-uniform", 8.0 / 255, 0, true, 1, 0, 0, 0, false},
    {"noise-gaussian", 0, 0, true, 1, 0, 0, 0, false},
};
enum { ATTACKS = sizeof attacks / sizeof attacks[0] };

static char entries[1024] = "forward";

static float x[N * PIXELS], logits[N * CLASSES];
static int64_t y[N];

typedef struct Result {
    float adv[N * PIXELS];
    int32_t success[N];
    int64_t said[N]; /* what the model says of adv */
} Result;

/* Smooth blobs, so that the model has something to say. */
static void fill(void)
{
    for (int i = 0; i < N; i++)
        for (int p = 0; p < PIXELS; p++) {
            double u = (p % 28 - 14) / 9.0, v = (p / 28.0 - 14) / (5.0 + i % 7);
            x[i * PIXELS + p] = (float)(0.9 * exp(-u * u * (1 + i % 3) - v * v));
        }
}

static void classify(const Net *net, float *images, int64_t *to)
{
    Run r = {.n = N};
    memcpy(r.io, (void *[]){images, logits}, 2 * sizeof(void *));
    net_run(net, "forward", &r);
    for (int i = 0; i < N; i++) {
        to[i] = 0;
        for (int k = 1; k < CLASSES; k++)
            if (logits[i * CLASSES + k] > logits[i * CLASSES + to[i]]) to[i] = k;
    }
}

static Run start(const Net *net, const char *entry, int n, int workers, int steps, Result *out)
{
    Run r = {.n = n, .workers = workers, .steps = steps, .seed = 7};
    run_bind(net, entry, &r, "x", x);
    run_bind(net, entry, &r, "y", y);
    run_bind(net, entry, &r, "adv", out->adv);
    run_bind(net, entry, &r, "success", out->success);
    return r;
}

/* ---- every attack ---- */

static void check_bits(Count *c, const Net *net, int batch, const Attack *a, Result *first)
{
    static const int ns[] = {1, 7, 8, N}, threads[] = {1, 2, 3};
    Result *r = malloc(sizeof *r);
    int differ = 0, runs = 0;
    for (size_t i = 0; i < sizeof ns / sizeof ns[0]; i++)
        for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++, runs++) {
            Run run = start(net, a->name, ns[i], threads[t], STEPS, r);
            net_run(net, a->name, &run);
            size_t n = (size_t)ns[i];
            differ += memcmp(r->adv, first->adv, 4 * PIXELS * n) != 0;
            differ += memcmp(r->success, first->success, 4 * n) != 0;
        }
    count_check(c, !differ, "batch %d %s: %d runs, %d of them differ", batch, a->name, runs,
                differ);
    free(r);
}

static void check_sizes(Count *c, const Attack *a, const Result *r)
{
    double linf = 0, l2 = 0, outside = 0;
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int p = i * PIXELS; p < (i + 1) * PIXELS; p++) {
            double d = (double)r->adv[p] - x[p];
            linf = fmax(linf, fabs(d));
            sum += d * d;
            outside = fmax(outside, fmax(-(double)r->adv[p], (double)r->adv[p] - 1));
        }
        l2 = fmax(l2, sqrt(sum));
    }
    count_check(c, !a->linf || linf <= a->linf + 1e-7, "%s: Linf %.9g", a->name, linf);
    count_check(c, !a->l2 || l2 <= a->l2 * (1 + 1e-6), "%s: L2 %.9g", a->name, l2);
    count_check(c, !a->boxed || outside <= 0, "%s: %.2g outside of [0,1]", a->name, outside);
}

/* For btr and g-explain success is not another class than y. */
static void check_success(Count *c, const Net *net, const Attack *a, Result *r)
{
    int wrong = 0, fooled = 0;
    bool goal = !strcmp(a->name, "btr"), aimed = !strcmp(a->name, "g-explain");
    classify(net, r->adv, r->said);
    for (int i = 0; i < N; i++) {
        bool other = r->said[i] != y[i];
        fooled += r->success[i];
        wrong += !goal && r->success[i] != (aimed ? !other : other);
    }
    count_check(c, !wrong, "%s: %d of %d succeed, %d judged wrongly", a->name, fooled, N, wrong);
}

static void check_counts(Count *c, const Attack *a, const AdjStatus *s)
{
    if (!a->most) return;
    uint64_t f = (uint64_t)N * (uint64_t)(a->most * a->forwards + a->judges);
    uint64_t b = (uint64_t)N * (uint64_t)(a->most * a->backwards);
    count_check(c, s->forwards == f && s->backwards == b, "%s: %d forwards, %d backwards", a->name,
                (int)s->forwards, (int)s->backwards);
}

static void check_no_steps(Count *c, const Net *net, const Attack *a)
{
    Result *r = malloc(sizeof *r);
    Run run = start(net, a->name, N, 2, 0, r);
    net_run(net, a->name, &run);
    bool same = a->moves || !memcmp(r->adv, x, sizeof x);
    count_check(c, same && run.status.backwards == 0, "%s: no steps, no change", a->name);
    free(r);
}

static void check_attack(Count *c, const Net *net, const Attack *a, Result *first)
{
    Run run = start(net, a->name, N, 1, STEPS, first);
    net_run(net, a->name, &run);
    check_sizes(c, a, first);
    check_success(c, net, a, first);
    check_counts(c, a, &run.status);
    check_no_steps(c, net, a);
}

/* ---- how they relate ---- */

static void attack_with(const Net *net, const char *entry, int steps, int n,
                        const char *const *names, const double *values, Result *out)
{
    Run r = start(net, entry, N, 2, steps, out);
    for (int i = 0; i < n; i++) run_set(net, entry, &r, names[i], values[i]);
    net_run(net, entry, &r);
}

static void check_one_step(Count *c, const Net *net, Result *a, Result *b)
{
    static const char *const names[] = {"random", "eps", "step"};
    const double linf[] = {0, 0.05, 0.05}, l2[] = {0, 0.7, 0.7}, once[] = {0, 0.05},
                 l2_once[] = {0, 0.7};
    attack_with(net, "pgd-linf", 1, 3, names, linf, a);
    attack_with(net, "fgsm", 9, 1, names + 1, once + 1, b);
    count_check(c, !memcmp(a, b, sizeof a->adv), "fgsm is one step of pgd-linf");
    attack_with(net, "pgd-l2", 1, 3, names, l2, a);
    attack_with(net, "fgm-l2", 9, 1, names + 1, l2_once + 1, b);
    count_check(c, !memcmp(a, b, sizeof a->adv), "fgm-l2 is one step of pgd-l2");
    attack_with(net, "pgd-linf", STEPS, 1, names, linf, a);
    attack_with(net, "bim", STEPS, 0, names, linf, b);
    count_check(c, !memcmp(a, b, sizeof a->adv), "bim is pgd-linf without random start");
    attack_with(net, "mi-fgsm", STEPS, 1, (const char *const[]){"mu"}, (double[]){0}, a);
    count_check(c, !memcmp(a, b, sizeof a->adv), "mi-fgsm with mu 0 is bim");
}

/* CE of adv in double. */
static double ce_of(const Net *net, Result *r, int i)
{
    double sum = 0;
    classify(net, r->adv, r->said);
    const float *z = logits + i * CLASSES;
    for (int k = 0; k < CLASSES; k++) sum += exp((double)z[k] - z[y[i]]);
    return log(sum);
}

/* With steps so long that iterates jump about. */
static void check_keep(Count *c, const Net *net, const char *entry, double step, Result *a,
                       Result *b)
{
    static const char *const names[] = {"keep", "step", "stop"};
    int worse = 0, lost = 0, better = 0, other = 0;
    attack_with(net, entry, STEPS, 2, names, (double[]){0, step}, a);
    attack_with(net, entry, STEPS, 2, names, (double[]){1, step}, b);
    for (int i = 0; i < N; i++) {
        double last = ce_of(net, a, i), best = ce_of(net, b, i);
        worse += best < last * (1 - 1e-5) - 1e-6;
        better += best > last;
    }
    count_check(c, !worse, "%s keep 1: %d losses below the last iterate's, %d above", entry, worse,
                better);
    attack_with(net, entry, STEPS, 2, names, (double[]){2, step}, b);
    for (int i = 0; i < N; i++) lost += a->success[i] > b->success[i];
    count_check(c, !lost, "%s keep 2: %d successes of the last iterate lost", entry, lost);
    attack_with(net, entry, STEPS, 3, names, (double[]){0, step, 1}, a);
    other =
        memcmp(a, b, sizeof a->adv) != 0 || memcmp(a->success, b->success, sizeof a->success) != 0;
    count_check(c, !other, "%s keep 2 gives what stopping at success gives", entry);
}

/* Each loss makes y lose, and each differs from the others. */
static void check_losses(Count *c, const Net *net, const char *entry, Result *a, Result *b)
{
    static const char *const names[] = {"loss", "eps"};
    attack_with(net, entry, STEPS, 0, names, NULL, b);
    for (int loss = 1; loss < 3; loss++) {
        int fooled = 0, same = 0;
        attack_with(net, entry, STEPS, 1, names, (double[]){loss}, a);
        for (int i = 0; i < N; i++) {
            fooled += a->success[i] - b->success[i];
            same += !memcmp(a->adv + i * PIXELS, b->adv + i * PIXELS, 4 * PIXELS);
        }
        count_check(c, abs(fooled) <= N / 3 && same < N,
                    "%s loss %d: %+d successes, %d images alike", entry, loss, fooled, same);
    }
}

/* The runner-up as the target: the image must leave its class. Targeted DLR needs both classes, and
 * does not ask that no third one wins. */
static void runners_up(const Net *net, int64_t *aim, int64_t *said)
{
    classify(net, x, said);
    for (int i = 0; i < N; i++) {
        aim[i] = y[i] == 0;
        for (int k = 0; k < CLASSES; k++)
            if (k != y[i] && logits[i * CLASSES + k] > logits[i * CLASSES + aim[i]]) aim[i] = k;
    }
}

static void check_targets(Count *c, const Net *net, const char *entry, Result *a)
{
    int64_t aim[N];
    int left[2] = {0, 0}, reached[2] = {0, 0};
    runners_up(net, aim, a->said);
    for (int dlr = 0; dlr < 2; dlr++) {
        Run r = start(net, entry, N, 2, STEPS, a);
        run_bind(net, entry, &r, "y", aim);
        run_bind(net, entry, &r, "label", y);
        run_set(net, entry, &r, "targeted", 1);
        run_set(net, entry, &r, "loss", dlr * 3);
        net_run(net, entry, &r);
        classify(net, a->adv, a->said);
        for (int i = 0; i < N; i++) {
            left[dlr] += a->said[i] != y[i];
            reached[dlr] += a->success[i];
        }
    }
    count_check(c, left[1] + 2 >= left[0] && reached[1],
                "%s targeted: %d leave their class by CE, %d by targeted DLR; %d and %d arrive",
                entry, left[0], left[1], reached[0], reached[1]);
}

static void check_relations(Count *c, const Net *net)
{
    static const char *const walks[] = {"pgd-linf", "pgd-l2", "mi-fgsm"};
    static const double steps[] = {0.06, 1, 0.06};
    Result *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    check_one_step(c, net, a, b);
    for (int i = 0; i < 3; i++) {
        check_keep(c, net, walks[i], steps[i], a, b);
        check_losses(c, net, walks[i], a, b);
        check_targets(c, net, walks[i], a);
    }
    free(a);
    free(b);
}

int main(int argc, char **argv)
{
    static const int batches[] = {8, 1, 3};
    Count c = {.name = "attack rules"};
    Result *first = calloc(ATTACKS, sizeof *first);
    const char *path = argc > 1 ? argv[1] : "tests/e2e/fashion.onnx";
    fill();
    for (int k = 0; k < ATTACKS; k++) strcat(strcat(entries, ","), attacks[k].name);
    for (int b = 0; b < 3; b++) {
        AdjOptions o = {.model = path, .batch = batches[b], .entries = entries};
        Net net = net_open(&o);
        if (b == 0) classify(&net, x, y);
        for (int k = 0; k < ATTACKS; k++) {
            if (b == 0) check_attack(&c, &net, &attacks[k], &first[k]);
            check_bits(&c, &net, batches[b], &attacks[k], &first[k]);
        }
        if (b == 0) check_relations(&c, &net);
        net_close(&net);
    }
    free(first);
    return count_close(&c);
}

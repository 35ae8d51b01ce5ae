/* SPDX-License-Identifier: Apache-2.0 */
/* The search: for each layer plans near its best one, least estimated cost first. A plan that is
 * measured to be better becomes the best, and what is near to it is tried next. At the end the best
 * plans are measured against the first once more, and those that were luck are dropped. */
#include "tools/tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "targets/targets.h"
#include "tools/progress.h"
#include "tools/say.h"
#include "tools/sched_file.h"
#include "tools/signals.h"

enum { LEAST_REPEATS = 4, MOST_REPEATS = 25, NEAR = 24 };
static const double better = 0.985, kept = 0.995; /* of the base's cost, to be taken and to stay */
static const double far_off = 1.5;                /* estimated cost over the best's: not tried */
static const double round_seconds = 0.5;          /* of measuring, where it suffices */

/* ---- layers ---- */

static void line_text(Str *s, const char *cpu, const TuneLayer *l, const char *plan)
{
    str_fmt(s, "%s %s: %s\n", cpu, l->name, plan);
}

void tune_text(const Tune *t, int which, Str *s)
{
    str_put(s, "");
    for (int i = 0; i < t->nlayer; i++) {
        const TuneLayer *l = &t->layer[i];
        line_text(s, t->target->cpu, l, which == 0 ? l->base : which == 1 ? l->best : l->trial);
    }
}

static void add_layer(Tune *t, const ScheduleLine *line)
{
    Str name = {0};
    contract_text(&name, &line->contract);
    t->layer[t->nlayer++] = (TuneLayer){.name = arena_strdup(t->arena, name.s),
                                        .contract = line->contract,
                                        .base = line->plan,
                                        .best = line->plan,
                                        .trial = line->plan,
                                        .gain = 1};
    str_free(&name);
}

static void read_layers(void *tune)
{
    Tune *t = tune;
    Schedule s = {0};
    char error[1024];
    AdjError e;
    AdjCompiled *c = adj_compile(t->options, &e);
    if (!c) err(NULL, "%s", e.msg);
    sched_warn_unused(c);
    char *text = adj_schedule(c, &e);
    snprintf(error, sizeof error, "%s", e.msg);
    adj_compiled_free(c);
    if (!text) err(NULL, "%s", error);
    const char *mine = arena_strdup(t->arena, text);
    free(text);
    schedule_read(t->arena, &s, "schedule", mine);
    t->target = target_find(t->arena, t->options->target, t->options->cpu);
    t->layer = NEW_N(t->arena, TuneLayer, s.n + 1);
    for (uint32_t i = 0; i < s.n; i++) add_layer(t, &s.line[i]);
    if (!t->nlayer) err(t->options->model, "has no convolution that a claim runs");
    if (!target_runs_here(t->target)) err("--cpu", "%s code cannot run here", t->target->cpu);
}

int tune_open(Tune *t)
{
    char message[1024];
    t->arena = arena_new();
    if (t->options->cpu && strchr(t->options->cpu, ','))
        return fail_usage("--cpu: one at a time is tuned");
    return err_guard(read_layers, t, message, sizeof message) ? 0 : fail_input("%s", message);
}

void tune_close(Tune *t)
{
    if (t->arena) arena_free(t->arena);
    *t = (Tune){0};
}

/* ---- what to try ---- */

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next_bits(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int by_cost(const void *a, const void *b)
{
    const TargetPlan *x = a, *y = b;
    if (x->cost != y->cost) return x->cost < y->cost ? -1 : 1;
    return strcmp(x->text, y->text);
}

/* The least costs by estimate, each blurred by the seed, so that no form is always last. */
static void look_around(Tune *t, TuneLayer *l)
{
    const TargetPlan *all;
    uint64_t state = t->seed ^ hash_bytes(l->name, strlen(l->name), 1);
    int n = target_plans_near(t->arena, t->target, &l->contract, l->best, t->bits, &all);
    TargetPlan *near = NEW_N(t->arena, TargetPlan, n + 1);
    double least = n ? all[0].cost : 0;
    l->nnear = l->at = 0;
    for (int i = 0; i < n; i++)
        if (all[i].cost <= far_off * least) near[l->nnear++] = all[i];
    for (int i = 0; i < l->nnear; i++)
        near[i].cost *= 1 + 0.1 * (double)(next_bits(&state) >> 11) * 0x1p-53;
    if (l->nnear) qsort(near, (size_t)l->nnear, sizeof *near, by_cost);
    if (l->nnear > NEAR) l->nnear = NEAR;
    l->near = near;
}

static bool was_tried(const TuneLayer *l, const char *plan)
{
    for (int i = 0; i < l->ntried; i++)
        if (!strcmp(l->tried[i], plan)) return true;
    return !strcmp(plan, l->base);
}

/* Sets the layer's next trial; false: nothing is left, and it runs with the best. */
static bool next_trial(Tune *t, TuneLayer *l)
{
    if (!l->near) look_around(t, l);
    l->trial = l->best;
    while (l->at < l->nnear && l->ntried < COUNT(l->tried)) {
        const char *plan = l->near[l->at++].text;
        if (was_tried(l, plan)) continue;
        l->tried[l->ntried++] = l->trial = plan;
        return true;
    }
    return false;
}

typedef struct Next {
    Tune *t;
    int n;
} Next;

static void next_trials(void *next)
{
    Next *x = next;
    for (int i = 0; i < x->t->nlayer; i++) x->n += next_trial(x->t, &x->t->layer[i]);
}

/* ---- measuring ---- */

typedef struct Figures { /* of a layer */
    double base, other, gain;
} Figures;

typedef struct Measure {
    Trial *base;
    PeakMeter peak;
    int repeats;
    double *room;    /* [base, other][layer, then all][repeat] */
    Figures *figure; /* [layer, then all] */
} Measure;

static double *cell(const Measure *m, const Tune *t, int which, int layer)
{
    return m->room + ((size_t)which * (size_t)(t->nlayer + 1) + (size_t)layer) * MOST_REPEATS;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Lower quartiles, since what disturbs only adds; and the gain by them or by medians, whichever is
 * nearer to none. Sorts both. */
static void summarise(double *base, double *other, int n, Figures *f)
{
    qsort(base, (size_t)n, sizeof *base, by_value);
    qsort(other, (size_t)n, sizeof *other, by_value);
    f->base = base[(n - 1) / 4];
    f->other = other[(n - 1) / 4];
    double low = f->base / f->other, median = base[n / 2] / other[n / 2];
    f->gain = f->other <= 0 ? 1 : low < median ? low : median;
}

static int run_pair(Tune *t, Measure *m, Trial *other, int i)
{
    Trial *pair[] = {m->base, other};
    double *cost = cell(m, t, 2, 0);
    int e = 0;
    for (int k = 0; k < 2 && !e; k++) {
        e = trial_run(pair[(k + i) % 2], &m->peak, cost);
        for (int l = 0; l <= t->nlayer && !e; l++) cell(m, t, (k + i) % 2, l)[i] = cost[l];
    }
    return e;
}

/* Both in turn; figures by layer, the whole last. */
static int compare(Tune *t, Measure *m, Trial *other, int repeats)
{
    double *warm = cell(m, t, 2, 0);
    int e = trial_run(other, &m->peak, warm);
    for (int i = 0; i < repeats && !e; i++) e = run_pair(t, m, other, i);
    for (int l = 0; l <= t->nlayer && !e; l++)
        summarise(cell(m, t, 0, l), cell(m, t, 1, l), repeats, &m->figure[l]);
    return e;
}

static int measure_open(Tune *t, Measure *m)
{
    Str text = {0};
    tune_text(t, 0, &text);
    m->base = trial_open(t, text.s);
    str_free(&text);
    if (!m->base) return STATUS_INPUT;
    m->room = calloc(3 * (size_t)(t->nlayer + 1) * MOST_REPEATS, sizeof *m->room);
    m->figure = calloc((size_t)t->nlayer + 1, sizeof *m->figure);
    if (!m->room || !m->figure) return fail_input("no memory");
    Harness *h = trial_harness(m->base);
    int e = bench_peak_open(&m->peak, h, h->pool, t->options->f64);
    double start = seconds_now();
    if (!e) e = trial_run(m->base, &m->peak, m->room);
    double each = seconds_now() - start;
    double many = round_seconds / (2 * each);
    m->repeats = many < LEAST_REPEATS  ? LEAST_REPEATS
                 : many > MOST_REPEATS ? MOST_REPEATS
                                       : (int)many;
    for (int i = 0; i < t->nlayer; i++) t->layer[i].macs = trial_macs(m->base, i);
    return e;
}

static void measure_close(Measure *m)
{
    peak_close(&m->peak);
    trial_close(m->base);
    free(m->room);
    free(m->figure);
}

/* ---- rounds ---- */

static int measure_text(Tune *t, Measure *m, int which, int repeats)
{
    Str text = {0};
    tune_text(t, which, &text);
    Trial *other = trial_open(t, text.s);
    str_free(&text);
    int e = other ? compare(t, m, other, repeats) : STATUS_INPUT;
    trial_close(other);
    return e;
}

static void judge(TuneLayer *l, double gain)
{
    if (l->trial == l->best || gain <= l->gain / better) return;
    l->gain = gain;
    l->best = l->trial;
    l->near = NULL; /* look around the new one */
}

static void show(const Tune *t, double spent)
{
    int improved = 0;
    if (!isatty(STDERR_FILENO)) return;
    for (int i = 0; i < t->nlayer; i++) improved += t->layer[i].best != t->layer[i].base;
    fprintf(stderr, "\r\033[Kround %d, %.0f of %.0f s: %d of %d layers have better plans",
            t->rounds, spent, t->seconds, improved, t->nlayer);
    fflush(stderr);
}

/* False with status 0: nothing is left to try. */
static bool one_round(Tune *t, Measure *m, int *status)
{
    Next next = {t, 0};
    char message[512];
    if (!err_guard(next_trials, &next, message, sizeof message)) {
        *status = fail_input("%s", message);
        return false;
    }
    if (!next.n) return false;
    *status = measure_text(t, m, 2, m->repeats);
    for (int i = 0; i < t->nlayer && !*status; i++) judge(&t->layer[i], m->figure[i].gain);
    t->rounds++;
    return !*status;
}

/* The best plans all at once; those that do not stand are dropped. */
static int finish(Tune *t, Measure *m)
{
    int repeats = 2 * m->repeats < MOST_REPEATS ? 2 * m->repeats : MOST_REPEATS;
    int e = measure_text(t, m, 1, repeats);
    double rest = m->figure[t->nlayer].base; /* what is no layer */
    for (int i = 0; i < t->nlayer && !e; i++) {
        TuneLayer *l = &t->layer[i];
        const Figures *f = &m->figure[i];
        if (f->gain * kept < 1) l->best = l->base;
        l->cost[0] = f->base;
        l->cost[1] = l->best == l->base ? f->base : f->base / f->gain;
        rest -= f->base;
        t->whole[1] += l->cost[1];
    }
    t->whole[0] = m->figure[t->nlayer].base;
    t->whole[1] += rest;
    t->peak = e ? 0 : trial_rate(&m->peak);
    return e;
}

static int search(Tune *t, Measure *m, double start)
{
    double each = 0;
    int e = 0;
    while (!signals_seen() && seconds_now() - start + 3 * each < t->seconds) {
        double began = seconds_now();
        if (!one_round(t, m, &e)) break;
        each = seconds_now() - began;
        show(t, seconds_now() - start);
    }
    t->stopped = signals_seen();
    if (!e && !t->stopped) e = finish(t, m);
    if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
    return e;
}

int tune_search(Tune *t)
{
    Measure m = {0};
    double start = seconds_now();
    signals_heed(true);
    int e = measure_open(t, &m);
    if (!e) e = search(t, &m, start);
    measure_close(&m);
    return e;
}

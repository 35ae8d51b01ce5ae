/* SPDX-License-Identifier: Apache-2.0 */
/* A model compiled with one schedule, and what its layers cost. Time is the thread's own: other
 * processes on the machine cost it nothing but what they take from the caches. */
#include <stdlib.h>
#include <string.h>

#include "tools/progress.h"
#include "tools/say.h"
#include "tools/signals.h"
#include "tools/tune.h"

enum { PHASES = 4, MOST_ENTRIES = 16, RATES = 4 };

typedef struct TrialEntry {
    BenchEntry b;
    int first[PHASES]; /* call of the manifest that opens a phase */
    int *layer_of;     /* by call of the manifest; -1: of no layer */
} TrialEntry;

struct Trial {
    const Tune *tune;
    Harness h;
    json_t *manifest;
    int nentry;
    TrialEntry entry[MOST_ENTRIES];
    const TrialEntry *running;
    double *seconds, *macs; /* by layer; seconds of a run, with those of all behind */
    double last;
};

/* ---- time ---- */

/* The best of a few: what disturbs can only take from it, and a rate too low would flatter. */
double trial_rate(const PeakMeter *m)
{
    double best = 0;
    for (int i = 0; i < RATES; i++) {
        double start = thread_seconds();
        m->k->multiply_add(m->rounds);
        double rate = m->k->flops * (double)m->rounds / (thread_seconds() - start);
        if (rate > best) best = rate;
    }
    return best;
}

static void on_trace(void *user, int phase, int index, void *arena, int64_t lo, int64_t hi)
{
    Trial *t = user;
    const TrialEntry *e = t->running;
    double now = thread_seconds();
    int layer = e->layer_of[e->first[phase] + index];
    (void)arena, (void)lo, (void)hi;
    if (layer >= 0) t->seconds[layer] += now - t->last;
    t->last = thread_seconds(); /* without the time spent here */
}

/* ---- which call is whose ---- */

static int layer_named(const Tune *tune, const char *name)
{
    for (int i = 0; name && i < tune->nlayer; i++)
        if (!strcmp(tune->layer[i].name, name)) return i;
    return -1;
}

static void take_call(Trial *t, TrialEntry *e, int i, const json_t *call)
{
    static const char *const phases[] = {"init", "step", "judge", "finish"};
    const char *phase = json_string_value(json_object_get(call, "phase"));
    for (int f = PHASES - 1; f >= 0 && strcmp(phase, phases[f]); f--) e->first[f] = i + 1;
    int layer = layer_named(t->tune, json_string_value(json_object_get(call, "convolution")));
    e->layer_of[i] = layer;
    if (layer < 0) return;
    t->macs[layer] += json_number_value(json_object_get(call, "macs")) * (double)e->b.n;
}

static int entry_open(Trial *t, TrialEntry *e, const AdjEntry *entry)
{
    BenchPlan p = {.n = entry->slots, .steps = 1};
    int status = bench_entry_open(&e->b, &t->h, t->manifest, entry, &p);
    if (status) return status;
    const json_t *calls = json_object_get(e->b.facts, "kernels");
    size_t n = json_array_size(calls);
    e->layer_of = calloc(n + 1, sizeof *e->layer_of);
    if (!e->layer_of) return fail_input("no memory");
    for (size_t i = 0; i < n; i++) take_call(t, e, (int)i, json_array_get(calls, i));
    return 0;
}

/* ---- opening ---- */

static int read_manifest(Trial *t)
{
    AdjError error;
    char *text = adj_inspect_json(t->h.compiled, &error);
    if (!text) return fail_input("%s", error.msg);
    t->manifest = json_loads(text, 0, NULL);
    free(text);
    return t->manifest ? 0 : fail_input("no memory");
}

static int open_all(Trial *t, const AdjOptions *o)
{
    int e = harness_open(&t->h, o, 1);
    if (!e) e = read_manifest(t);
    if (!e && t->h.model->nentry > MOST_ENTRIES)
        e = fail_usage("--entry: more than %d to tune", MOST_ENTRIES);
    for (uint32_t i = 0; !e && i < t->h.model->nentry; i++)
        e = entry_open(t, &t->entry[t->nentry++], &t->h.model->entry[i]);
    return e;
}

Trial *trial_open(const Tune *tune, const char *schedule)
{
    AdjOptions o = *tune->options;
    Trial *t = calloc(1, sizeof *t);
    double *room = calloc(2 * (size_t)tune->nlayer + 2, sizeof *room);
    if (!t || !room) {
        free(t);
        free(room);
        fail_input("no memory");
        return NULL;
    }
    *t = (Trial){.tune = tune, .seconds = room, .macs = room + tune->nlayer + 1};
    o.trace = true;
    o.no_measured = true;
    o.schedule = schedule;
    o.schedule_name = "a plan that was tried";
    if (!open_all(t, &o)) return t;
    trial_close(t);
    return NULL;
}

void trial_close(Trial *t)
{
    if (!t) return;
    for (int i = 0; i < t->nentry; i++) {
        bench_entry_close(&t->entry[i].b);
        free(t->entry[i].layer_of);
    }
    json_decref(t->manifest);
    harness_close(&t->h);
    free(t->seconds);
    free(t);
}

Harness *trial_harness(Trial *t)
{
    return &t->h;
}

double trial_macs(const Trial *t, int layer)
{
    return t->macs[layer];
}

/* ---- running ---- */

static int run_entry(Trial *t, TrialEntry *e)
{
    double seconds, units, start;
    AdjEnv plain = t->h.env;
    t->running = e;
    t->h.env = (AdjEnv){.size = sizeof(AdjEnv), .workers = 1, .user = t, .trace = on_trace};
    start = t->last = thread_seconds();
    int status = bench_call(&e->b, &seconds, &units);
    t->seconds[t->tune->nlayer] += thread_seconds() - start;
    t->h.env = plain;
    return status;
}

int trial_run(Trial *t, const PeakMeter *m, double *cost)
{
    int n = t->tune->nlayer, e = 0;
    memset(t->seconds, 0, ((size_t)n + 1) * sizeof *t->seconds);
    double before = trial_rate(m);
    for (int i = 0; i < t->nentry && !e; i++) e = run_entry(t, &t->entry[i]);
    double after = trial_rate(m), rate = before > after ? before : after;
    for (int i = 0; i <= n; i++) cost[i] = t->seconds[i] * rate;
    return e;
}

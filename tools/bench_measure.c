/* SPDX-License-Identifier: Apache-2.0 */
/* Calling an entry again and again. */
#include "tools/bench_measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/arena.h"
#include "targets/targets.h"
#include "tools/progress.h"
#include "tools/say.h"

/* ---- figures ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between neighbours, as NumPy's default does. */
static double quantile(const double *v, int64_t n, double q)
{
    double at = q * (double)(n - 1), below = floor(at);
    int64_t i = (int64_t)below, j = i + 1 < n ? i + 1 : i;
    return v[i] + (at - below) * (v[j] - v[i]);
}

Spread spread_of(double *v, int64_t n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return (Spread){quantile(v, n, 0.25), quantile(v, n, 0.5), quantile(v, n, 0.75)};
}

/* ---- inputs ---- */

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next_bits(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void fill_one(const AdjTensor *t, void *data, int64_t i, uint64_t bits, int64_t classes)
{
    double u = (double)(bits >> 11) * 0x1p-53;
    int64_t k = (int64_t)(bits >> 1) % classes;
    switch (t->dtype) {
    case ADJ_F64: ((double *)data)[i] = u; break;
    case ADJ_F32: ((float *)data)[i] = (float)u; break;
    case ADJ_I64: ((int64_t *)data)[i] = k; break;
    case ADJ_I32: ((int32_t *)data)[i] = (int32_t)k; break;
    default: break; /* zeros */
    }
}

static void fill(const AdjTensor *t, void *data, int64_t n, int64_t classes)
{
    uint64_t state = 1;
    for (int64_t i = 0; i < n * tensor_elements(t); i++)
        fill_one(t, data, i, next_bits(&state), classes);
}

/* The last extent of the model's first output. */
static int64_t class_count(const json_t *manifest)
{
    const json_t *outputs = json_object_get(json_object_get(manifest, "graph"), "outputs");
    const json_t *shape = json_object_get(json_array_get(outputs, 0), "shape");
    size_t rank = json_array_size(shape);
    json_int_t k = rank ? json_integer_value(json_array_get(shape, rank - 1)) : 1;
    return k > 0 ? k : 1;
}

static const json_t *facts_of(const json_t *manifest, const char *name)
{
    const json_t *all = json_object_get(manifest, "entries");
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *e = json_array_get(all, i);
        if (!strcmp(json_string_value(json_object_get(e, "name")), name)) return e;
    }
    return NULL;
}

static double step_bytes(const json_t *facts)
{
    const json_t *kernels = json_object_get(facts, "kernels");
    double sum = 0;
    for (size_t i = 0; i < json_array_size(kernels); i++) {
        const json_t *k = json_array_get(kernels, i);
        if (!strcmp(json_string_value(json_object_get(k, "phase")), "step"))
            sum += json_number_value(json_object_get(k, "bytes"));
    }
    return sum;
}

int bench_entry_open(BenchEntry *b, Harness *h, const json_t *manifest, const AdjEntry *entry,
                     const BenchPlan *p)
{
    *b = (BenchEntry){.h = h,
                      .entry = entry,
                      .facts = facts_of(manifest, entry->name),
                      .n = p->n,
                      .steps = p->steps};
    b->macs = json_number_value(json_object_get(b->facts, "macs_step"));
    b->bytes = step_bytes(b->facts);
    int64_t classes = class_count(manifest);
    for (int k = 0; k < entry->nio; k++) {
        const AdjTensor *t = &entry->io[k];
        if (!t->output && t->optional) continue;
        b->io[k] = tensor_new(t, p->n);
        if (!b->io[k]) return STATUS_INPUT;
        if (!t->output) fill(t, b->io[k], p->n, classes);
    }
    return 0;
}

void bench_entry_close(BenchEntry *b)
{
    for (int k = 0; k < ENTRY_TENSORS; k++) free(b->io[k]);
    *b = (BenchEntry){0};
}

/* ---- calls ---- */

int bench_call(BenchEntry *b, double *seconds, double *units)
{
    AdjCall call = {.flags = ADJ_NO_JUDGE, .n = b->n, .steps = b->steps, .seed = 1, .io = b->io};
    AdjStatus status;
    double start = seconds_now();
    int e = harness_call(b->h, b->entry, &call, &status);
    *seconds = seconds_now() - start;
    *units = b->entry->steps ? (double)status.forwards : (double)b->n;
    return e;
}

void bench_use_pool(Harness *h, AdjPool *pool)
{
    adj_pool_env(pool, &h->env);
}

typedef struct RowQuery {
    const Harness *h;
    int vec_bytes;
    bool fma;
} RowQuery;

static void ask_row(void *query)
{
    RowQuery *q = query;
    Arena *a = arena_new();
    const Target *t = target_find(a, q->h->model->target, q->h->model->cpu);
    q->vec_bytes = t->vec_bytes;
    q->fma = t->fma;
    arena_free(a);
}

int bench_peak_open(PeakMeter *p, const Harness *h, AdjPool *pool, bool f64)
{
    RowQuery q = {.h = h};
    char message[512];
    if (!err_guard(ask_row, &q, message, sizeof message)) return fail_input("%s", message);
    if (peak_open(p, pool, q.vec_bytes, q.fma, f64)) return 0;
    return fail_input("no memory to measure this machine's bandwidth");
}

/* ---- repeats ---- */

typedef struct Samples { /* one array a figure */
    double *seconds, *rate, *flops, *read, *flops_share, *read_share;
} Samples;

enum { FIGURES = sizeof(Samples) / sizeof(double *) };

static int repeat_calls(BenchEntry *b, const PeakMeter *p, int64_t repeats, const Samples *s)
{
    double units, warm;
    int e = bench_call(b, &warm, &units);
    double flops = peak_flops(p), read = peak_read(p);
    for (int64_t i = 0; i < repeats && !e; i++) {
        e = bench_call(b, &s->seconds[i], &units);
        double flops_after = peak_flops(p), read_after = peak_read(p);
        s->rate[i] = units / s->seconds[i];
        s->flops[i] = (flops + flops_after) / 2;
        s->read[i] = (read + read_after) / 2;
        s->flops_share[i] = 2 * b->macs * s->rate[i] / s->flops[i];
        s->read_share[i] = b->bytes * s->rate[i] / s->read[i];
        flops = flops_after;
        read = read_after;
    }
    return e;
}

static void summarise(const BenchEntry *b, const PeakMeter *p, int64_t repeats, Samples *s,
                      BenchResult *r)
{
    *r = (BenchResult){.entry = b->entry->name,
                       .peak_name = p->k->name,
                       .steps = b->entry->steps,
                       .threads = b->h->env.workers,
                       .batch = b->entry->slots,
                       .n = b->n,
                       .arena_bytes = adj_arena_bytes(b->entry, b->h->env.workers)};
    r->seconds = spread_of(s->seconds, repeats);
    r->rate = spread_of(s->rate, repeats);
    r->flops_share = spread_of(s->flops_share, repeats);
    r->read_share = spread_of(s->read_share, repeats);
    Spread peak = spread_of(s->flops, repeats);
    r->peak_gflops = 1e-9 * peak.median;
    r->unrest = (peak.high - peak.low) / peak.median;
    r->read_gbytes = 1e-9 * spread_of(s->read, repeats).median;
    r->gflops = 2e-9 * b->macs * r->rate.median;
    r->gbytes = 1e-9 * b->bytes * r->rate.median;
}

int bench_measure(BenchEntry *b, const PeakMeter *p, const BenchPlan *plan, BenchResult *r)
{
    size_t n = (size_t)plan->repeats;
    double *block = calloc(FIGURES * n, sizeof *block);
    if (!block) return fail_input("no memory");
    Samples s = {block, block + n, block + 2 * n, block + 3 * n, block + 4 * n, block + 5 * n};
    int e = repeat_calls(b, p, plan->repeats, &s);
    if (!e) summarise(b, p, plan->repeats, &s, r);
    free(block);
    return e;
}

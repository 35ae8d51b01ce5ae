/* SPDX-License-Identifier: Apache-2.0 */
/* Where the time goes: a model compiled with tracing says when each kernel ends. The time since
 * the end before it is the kernel's; what lies between steps is the loop's. One worker, in its own
 * CPU time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench_measure.h"
#include "tools/progress.h"
#include "tools/say.h"

enum { PHASES = 4, NODES_SHOWN = 56 };

typedef struct Row { /* a kernel, all its calls */
    const char *kernel;
    bool claimed;
    int calls;
    char *nodes;
    double seconds, macs, bytes; /* of the whole run */
} Row;

typedef struct Profile {
    int ncall, nrow;
    int first[PHASES];    /* call of the manifest that opens a phase */
    int *row_of;          /* by call of the manifest */
    double *macs, *bytes; /* by call, of one sample */
    Row *row;
    double last, loop, total;
} Profile;

/* ---- collecting ---- */

static void on_trace(void *user, int phase, int index, void *arena, int64_t lo, int64_t hi)
{
    Profile *p = user;
    double now = thread_seconds();
    int call = p->first[phase] + index;
    Row *r = &p->row[p->row_of[call]];
    (void)arena;
    r->seconds += now - p->last;
    r->macs += p->macs[call] * (double)(hi - lo);
    r->bytes += p->bytes[call] * (double)(hi - lo);
    p->last = thread_seconds(); /* without the time spent here */
}

static int on_tick(void *user)
{
    Profile *p = user;
    double now = thread_seconds();
    p->loop += now - p->last;
    p->last = now;
    return 0;
}

/* ---- the manifest ---- */

static int find_row(const Profile *p, const char *kernel)
{
    for (int i = 0; i < p->nrow; i++)
        if (!strcmp(p->row[i].kernel, kernel)) return i;
    return p->nrow;
}

static bool add_nodes(Row *r, const char *nodes)
{
    size_t had = r->nodes ? strlen(r->nodes) : 0;
    char *longer = realloc(r->nodes, had + strlen(nodes) + 3);
    if (!longer) return false;
    sprintf(longer + had, "%s%s", had && *nodes ? "; " : "", nodes);
    r->nodes = longer;
    return true;
}

static bool add_call(Profile *p, int i, const json_t *k)
{
    static const char *const phases[] = {"init", "step", "judge", "finish"};
    const char *phase = json_string_value(json_object_get(k, "phase"));
    const char *kernel = json_string_value(json_object_get(k, "kernel"));
    for (int f = PHASES - 1; f >= 0 && strcmp(phase, phases[f]); f--) p->first[f] = i + 1;
    int at = p->row_of[i] = find_row(p, kernel);
    Row *r = &p->row[at];
    p->nrow += at == p->nrow;
    r->kernel = kernel;
    r->claimed = json_is_true(json_object_get(k, "claimed"));
    r->calls++;
    p->macs[i] = json_number_value(json_object_get(k, "macs"));
    p->bytes[i] = json_number_value(json_object_get(k, "bytes"));
    return add_nodes(r, json_string_value(json_object_get(k, "nodes")));
}

static void profile_close(Profile *p)
{
    for (int i = 0; i < p->nrow; i++) free(p->row[i].nodes);
    free(p->row_of);
    free(p->macs);
    free(p->bytes);
    free(p->row);
}

static int profile_open(Profile *p, const json_t *facts)
{
    const json_t *calls = json_object_get(facts, "kernels");
    size_t n = json_array_size(calls);
    *p = (Profile){.ncall = (int)n};
    p->row_of = calloc(n + 1, sizeof *p->row_of);
    p->macs = calloc(n + 1, sizeof *p->macs);
    p->bytes = calloc(n + 1, sizeof *p->bytes);
    p->row = calloc(n + 1, sizeof *p->row);
    if (!p->row_of || !p->macs || !p->bytes || !p->row) return fail_input("no memory");
    for (size_t i = 0; i < n; i++)
        if (!add_call(p, (int)i, json_array_get(calls, i))) return fail_input("no memory");
    return 0;
}

/* ---- the report ---- */

static int by_time(const void *a, const void *b)
{
    double x = ((const Row *)a)->seconds, y = ((const Row *)b)->seconds;
    return (x < y) - (x > y);
}

/* "k12_conv_dx_select" -> "conv_dx". */
static void kind_of(char *out, size_t size, const Row *r)
{
    static const char *const two[] = {"conv_dx", "conv_dw", "scatter_add"};
    const char *p = strchr(r->kernel, '_');
    p = p ? p + 1 : r->kernel;
    size_t n = strcspn(p, "_");
    for (int i = 0; i < 3; i++)
        if (!strncmp(p, two[i], strlen(two[i]))) n = strlen(two[i]);
    snprintf(out, size, "%.*s%s", (int)n, p, r->claimed ? ", claimed" : "");
}

typedef struct Limits {
    double flops, read, total;
} Limits;

static void print_row(const Row *r, const Limits *l, const char *name, const char *nodes)
{
    bool more = strlen(nodes) > NODES_SHOWN;
    printf("%6.2f%% %9.1f %7.1f%% %8.1f %7.0f%% %5d  %-26s %.*s%s\n", 100 * r->seconds / l->total,
           2e-9 * r->macs / r->seconds, 200 * r->macs / r->seconds / l->flops,
           1e-9 * r->bytes / r->seconds, 100 * r->bytes / r->seconds / l->read, r->calls, name,
           NODES_SHOWN, nodes, more ? ".." : "");
}

static void print_kinds(const Profile *p, const Limits *l)
{
    char kind[64], other[64];
    Row *sum = calloc((size_t)p->nrow + 1, sizeof *sum);
    int n = 0;
    for (int i = 0; sum && i < p->nrow; i++) {
        int at = 0;
        kind_of(kind, sizeof kind, &p->row[i]);
        for (; at < n; at++) {
            kind_of(other, sizeof other, &sum[at]);
            if (!strcmp(kind, other)) break;
        }
        n += at == n;
        sum[at].kernel = p->row[i].kernel;
        sum[at].claimed = p->row[i].claimed;
        sum[at].calls += p->row[i].calls;
        sum[at].seconds += p->row[i].seconds;
        sum[at].macs += p->row[i].macs;
        sum[at].bytes += p->row[i].bytes;
    }
    if (sum) qsort(sum, (size_t)n, sizeof *sum, by_time);
    printf("by kind:\n");
    for (int i = 0; i < n; i++) {
        kind_of(kind, sizeof kind, &sum[i]);
        print_row(&sum[i], l, kind, "");
    }
    free(sum);
}

static void print_profile(const Profile *p, const BenchEntry *b, const Limits *l)
{
    printf(
        "\nprofile of %s, batch %d, one thread: %.2f ms of CPU for %lld images; peak %.1f GFLOP/s, "
        "reading memory %.1f GB/s\n",
        b->entry->name, b->entry->slots, 1e3 * l->total, (long long)b->n, 1e-9 * l->flops,
        1e-9 * l->read);
    printf("%7s %9s %8s %8s %8s %5s  %-26s %s\n", "time", "GFLOP/s", "of peak", "GB/s", "of read",
           "calls", "kernel", "nodes");
    for (int i = 0; i < p->nrow; i++)
        if (p->row[i].seconds > 0) print_row(&p->row[i], l, p->row[i].kernel, p->row[i].nodes);
    printf("%6.2f%% the loop around them\n", 100 * p->loop / l->total);
    print_kinds(p, l);
}

static json_t *profile_json(const Profile *p, const BenchEntry *b, const Limits *l)
{
    json_t *rows = json_array();
    for (int i = 0; i < p->nrow; i++) {
        const Row *r = &p->row[i];
        if (!(r->seconds > 0)) continue;
        json_array_append_new(rows, json_pack("{s:s, s:s, s:b, s:i, s:f, s:f, s:f}", "kernel",
                                              r->kernel, "nodes", r->nodes, "claimed", r->claimed,
                                              "calls", r->calls, "share", r->seconds / l->total,
                                              "gflops", 2e-9 * r->macs / r->seconds, "gbytes",
                                              1e-9 * r->bytes / r->seconds));
    }
    return json_pack("{s:s, s:i, s:I, s:f, s:f, s:f, s:f, s:o}", "entry", b->entry->name, "batch",
                     b->entry->slots, "n", (json_int_t)b->n, "seconds", l->total, "loop_share",
                     p->loop / l->total, "peak_gflops", 1e-9 * l->flops, "read_gbytes",
                     1e-9 * l->read, "kernels", rows);
}

/* ---- running ---- */

static int run_traced(Profile *p, BenchEntry *b, const PeakMeter *m, int64_t repeats, Limits *l)
{
    double seconds, units;
    AdjEnv plain = b->h->env;
    b->h->env = (AdjEnv){.size = sizeof(AdjEnv), .workers = 1};
    int e = bench_call(b, &seconds, &units);
    b->h->env.user = p;
    b->h->env.trace = on_trace;
    b->h->env.tick = on_tick;
    for (int64_t i = 0; i < repeats && !e; i++) {
        l->flops += peak_flops(m) / (double)repeats;
        l->read += peak_read(m) / (double)repeats;
        p->last = thread_seconds();
        e = bench_call(b, &seconds, &units);
        p->loop += thread_seconds() - p->last;
    }
    for (int i = 0; i < p->nrow; i++) l->total += p->row[i].seconds;
    l->total += p->loop;
    b->h->env = plain;
    return e;
}

static void per_call(Profile *p, Limits *l, int64_t repeats)
{
    for (int i = 0; i < p->nrow; i++) {
        p->row[i].seconds /= (double)repeats;
        p->row[i].macs /= (double)repeats;
        p->row[i].bytes /= (double)repeats;
    }
    p->loop /= (double)repeats;
    l->total /= (double)repeats;
    qsort(p->row, (size_t)p->nrow, sizeof *p->row, by_time);
}

static int profile_entry(Harness *h, const json_t *manifest, const PeakMeter *m,
                         const AdjEntry *entry, const BenchPlan *plan, json_t *out)
{
    BenchEntry b;
    Profile p = {0};
    Limits l = {0};
    int e = bench_entry_open(&b, h, manifest, entry, plan);
    if (!e) e = profile_open(&p, b.facts);
    if (!e) e = run_traced(&p, &b, m, plan->repeats, &l);
    if (!e) {
        per_call(&p, &l, plan->repeats);
        print_profile(&p, &b, &l);
        json_array_append_new(out, profile_json(&p, &b, &l));
    }
    profile_close(&p);
    bench_entry_close(&b);
    return e;
}

static int profile_all(Harness *h, const BenchPlan *plan, bool f64, json_t *out)
{
    AdjError error;
    PeakMeter m = {0};
    char *text = adj_inspect_json(h->compiled, &error);
    if (!text) return fail_input("%s", error.msg);
    json_t *manifest = json_loads(text, 0, NULL);
    free(text);
    int e = bench_peak_open(&m, h, h->pool, f64);
    m.clock = thread_seconds;
    for (uint32_t i = 0; i < h->model->nentry && !e; i++)
        e = profile_entry(h, manifest, &m, &h->model->entry[i], plan, out);
    peak_close(&m);
    json_decref(manifest);
    return e;
}

int bench_profile(const BenchPlan *plan, const AdjOptions *options, json_t *out)
{
    Harness h;
    AdjOptions o = *options;
    o.trace = true;
    int e = harness_open(&h, &o, 1);
    if (e) return e;
    e = profile_all(&h, plan, o.f64, out);
    harness_close(&h);
    return e;
}

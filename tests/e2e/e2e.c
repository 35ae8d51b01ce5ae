/* SPDX-License-Identifier: Apache-2.0 */
#include "e2e.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/arena.h"
#include "runtime/load.h"
#include "runtime/pool.h"

void count_check(Count *c, bool ok, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf(ok ? "ok    " : "FAIL  ");
    vprintf(fmt, ap);
    printf("\n");
    fflush(stdout);
    va_end(ap);
    if (ok)
        c->passed++;
    else
        c->failed++;
}

void count_skip(Count *c, const char *why)
{
    printf("skip  %s\n", why);
    c->skipped++;
}

int count_close(const Count *c)
{
    printf("%s: %d passed, %d failed, %d skipped\n", c->name, c->passed, c->failed, c->skipped);
    return c->failed > 0;
}

static const char *shared(void)
{
    const char *s = getenv("ADJ_SHARED");
    return s && *s ? s : NULL;
}

bool shared_present(void)
{
    return shared() != NULL;
}

const char *shared_path(const char *fmt, ...)
{
    static char ring[8][512];
    static int next;
    char *to = ring[next++ % 8];
    int n = snprintf(to, sizeof ring[0], "%s/", shared() ? shared() : ".");
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(to + n, sizeof ring[0] - (size_t)n, fmt, ap);
    va_end(ap);
    return to;
}

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

Net net_open(const AdjOptions *o)
{
    AdjError e;
    Net n = {.f64 = o->f64};
    n.c = adj_compile(o, &e);
    if (!n.c) give_up(o->model, e.msg);
    n.model = adj_load_here(n.c, &e);
    if (!n.model) give_up(o->model, e.msg);
    return n;
}

void net_close(Net *n)
{
    adj_compiled_free(n->c);
}

void net_run(const Net *net, const char *name, Run *r)
{
    const AdjEntry *entry = adj_entry(net->model, name);
    if (!entry) give_up(name, "no such entry");
    int workers = r->workers ? r->workers : 1;
    size_t bytes = adj_arena_bytes(entry, workers);
    void *arena = adj_arena_new(bytes);
    AdjPool *pool = adj_pool_new(workers);
    AdjEnv env = {.size = sizeof env};
    adj_pool_env(pool, &env);
    r->status = (AdjStatus){.size = sizeof r->status};
    AdjCall call = {.size = sizeof call,
                    .n = r->n,
                    .seed = r->seed,
                    .first_id = r->first_id,
                    .steps = r->steps,
                    .flags = r->flags,
                    .io = r->io,
                    .hyper = r->hyper,
                    .hyper_each = r->hyper_each,
                    .arena = arena,
                    .arena_bytes = bytes,
                    .status = &r->status};
    memset(arena, 0xff, bytes);
    int rc = entry->run(&env, &call);
    adj_pool_free(pool);
    adj_arena_free(arena);
    if (rc) give_up(name, "returned an error");
}

static const AdjEntry *need_entry(const Net *net, const char *name)
{
    const AdjEntry *entry = adj_entry(net->model, name);
    if (!entry) give_up(name, "no such entry");
    return entry;
}

void run_bind(const Net *net, const char *entry, Run *r, const char *name, void *data)
{
    int k = adj_io(need_entry(net, entry), name);
    if (k < 0 || k >= (int)(sizeof r->io / sizeof *r->io)) give_up(name, "no such tensor");
    r->io[k] = data;
}

void run_set(const Net *net, const char *entry, Run *r, const char *name, double value)
{
    const AdjEntry *e = need_entry(net, entry);
    int k = adj_hyper(e, name);
    if (k < 0 || k >= (int)(sizeof r->hyper / sizeof *r->hyper)) give_up(name, "no such hyperparameter");
    void *to = &r->number[k];
    if (e->hyper[k].dtype == ADJ_F64)
        *(double *)to = value;
    else if (e->hyper[k].dtype == ADJ_F32)
        *(float *)to = (float)value;
    else
        *(int32_t *)to = (int32_t)value;
    r->hyper[k] = to;
}

NpyArray npy_need(const char *path)
{
    NpyArray a;
    DataError e;
    if (!npy_read(path, &a, &e)) give_up(path, e.msg);
    return a;
}

double *npy_doubles(const NpyArray *a)
{
    double *d = malloc(sizeof(double) * (size_t)a->elements);
    for (int64_t i = 0; i < a->elements; i++)
        d[i] = a->type == NPY_F64 ? ((double *)a->data)[i] : ((float *)a->data)[i];
    return d;
}

void *to_precision(const double *from, int64_t n, bool f64)
{
    double *d = malloc(sizeof(double) * (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        if (f64)
            d[i] = from[i];
        else
            ((float *)d)[i] = (float)from[i];
    }
    return d;
}

double get(const void *p, int64_t i, bool f64)
{
    return f64 ? ((const double *)p)[i] : ((const float *)p)[i];
}

double relative(const void *a, const double *b, int64_t at, int64_t n, bool f64)
{
    double diff = 0, norm = 0;
    for (int64_t i = at; i < at + n; i++) {
        double d = get(a, i, f64) - b[i];
        diff += d * d;
        norm += b[i] * b[i];
    }
    return sqrt(diff) / (norm > 0 ? sqrt(norm) : 1);
}

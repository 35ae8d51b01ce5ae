/* SPDX-License-Identifier: Apache-2.0 */
/* Local measures: norms of gradients and the ascent by chunks of images; CLEVER an image at a time,
 * its batches shared out among all slots, the same points for every target. Random numbers are the
 * sample's own, so results depend on neither threads nor batch. */
#include "tools/lipschitz.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/load.h"
#include "tools/chunk.h"
#include "tools/numbers.h"
#include "tools/progress.h"
#include "tools/say.h"
#include "tools/score.h"
#include "tools/signals.h"
#include "tools/weibull.h"

const LipschitzMeasure lipschitz_measures[] = {
    {"gradient", "gradient-norms", "class,", {"l1", "l2", "linf", NULL}},
    {"ascent", "lipschitz-", "", {"lipschitz", NULL}},
    {"clever", "clever-", "class,target,", {"margin", "lipschitz", "score", NULL}},
};

typedef struct Lipschitz {
    const LipschitzPlan *plan;
    LipschitzResult *r;
    Harness h;
    Images s;
    Buffers clean, b; /* of forward, one chunk; of the measure */
    uint64_t *ids;    /* CLEVER: of the samples in b */
    int32_t *first;   /* their first draws */
    double *most;     /* largest norms, one a batch */
    int64_t classes;
    Hypers hypers;
} Lipschitz;

const char *lipschitz_entry(int measure, const char *norm, char *out, size_t size)
{
    const char *entry = lipschitz_measures[measure].entry;
    bool any = entry[strlen(entry) - 1] == '-';
    snprintf(out, size, "%s%s", entry, any ? norm : "");
    return program_exists(out) ? out : NULL;
}

/* ---- calls ---- */

static int call(Lipschitz *l, AdjCall *call)
{
    AdjStatus status;
    call->seed = l->plan->run.seed;
    call->io = l->b.io;
    call->hyper = l->hypers.at;
    double start = seconds_now();
    int e = harness_call(&l->h, l->b.entry, call, &status);
    l->r->seconds += seconds_now() - start;
    l->r->forwards += status.forwards;
    l->r->backwards += status.backwards;
    return e;
}

static double output(const Lipschitz *l, const char *name, int64_t i)
{
    return tensor_value(buffers_tensor(&l->b, name), buffers_data(&l->b, name), i);
}

static double logit(const Lipschitz *l, int64_t i, int64_t class)
{
    const AdjTensor *t = buffers_tensor(&l->clean, "logits");
    return tensor_value(t, buffers_data(&l->clean, "logits"), i * l->classes + class);
}

/* Classes of n images: labels where the measure wants the label and there is one, else what the
 * model says. */
static int find_classes(Lipschitz *l, int64_t at, int64_t n, int64_t *y)
{
    const AdjTensor *t = buffers_tensor(&l->clean, "logits");
    AdjCall call = {.n = n,
                    .seed = l->plan->run.seed,
                    .first_id = (uint64_t)(l->s.first + at),
                    .io = l->clean.io};
    int e = buffers_lend(&l->clean, "x", buffers_data(&l->b, "x"));
    if (!e) e = harness_call(&l->h, l->clean.entry, &call, NULL);
    for (int64_t i = 0; i < n && !e; i++) {
        y[i] = score_class(t, buffers_data(&l->clean, "logits"), i);
        if (y[i] < 0)
            return fail_input("%s: image %" PRId64 ": its logits are no numbers", l->h.path,
                              l->s.first + at + i);
    }
    bool labels = l->plan->measure == MEASURE_GRADIENT && images_have_labels(&l->s);
    return e || !labels ? e : images_labels(&l->s, at, n, l->classes, y);
}

/* ---- norms of gradients, ascent ---- */

static int run_chunk(Lipschitz *l, int64_t at, int64_t n)
{
    const LipschitzMeasure *m = &lipschitz_measures[l->plan->measure];
    bool gradient = l->plan->measure == MEASURE_GRADIENT;
    int64_t *y = gradient ? buffers_data(&l->b, "y") : NULL;
    AdjCall c = {.n = n, .first_id = (uint64_t)(l->s.first + at), .steps = l->plan->steps};
    int e = gradient ? find_classes(l, at, n, y) : 0;
    if (e || (e = call(l, &c))) return e;
    for (int64_t i = 0; i < n; i++) {
        LipschitzRow *row = &l->r->row[at + i];
        *row = (LipschitzRow){.class = gradient ? y[i] : -1, .target = -1};
        for (int k = 0; m->value[k]; k++)
            row->value[k] = output(l, gradient ? m->value[k] : "most", i);
    }
    return 0;
}

/* ---- CLEVER ---- */

/* Largest norms of all batches, for one target. */
static int find_norms(Lipschitz *l, int64_t target)
{
    const LipschitzPlan *p = l->plan;
    int64_t *aim = buffers_data(&l->b, "target");
    int first = adj_hyper(l->b.entry, "first");
    for (int64_t i = 0; i < l->b.samples; i++) aim[i] = target;
    for (int64_t at = 0, n; at < p->batches && !signals_seen(); at += n) {
        n = p->batches - at < l->b.samples ? p->batches - at : l->b.samples;
        for (int64_t i = 0; i < n; i++) l->first[i] = (int32_t)((at + i) * p->points);
        l->hypers.at[first] = l->first;
        AdjCall c = {.n = n, .ids = l->ids, .steps = (int32_t)p->points, .hyper_each = 1u << first};
        int e = call(l, &c);
        if (e) return e;
        for (int64_t i = 0; i < n; i++) l->most[at + i] = output(l, "most", i);
    }
    return 0;
}

/* The target's score, if it is the least so far. */
static int score(Lipschitz *l, LipschitzRow *row, int64_t target)
{
    int e = find_norms(l, target);
    if (e || signals_seen()) return e;
    double margin = logit(l, 0, row->class) - logit(l, 0, target);
    double steep = weibull_fit(l->most, l->plan->batches).loc;
    double least = steep > 0 ? fmin(margin / steep, l->r->radius) : l->r->radius;
    if (row->target >= 0 && !(least < row->value[2])) return 0;
    row->target = target;
    row->value[0] = margin;
    row->value[1] = steep;
    row->value[2] = least;
    return 0;
}

/* All samples are the image, each for another batch. */
static int clever(Lipschitz *l, int64_t at)
{
    LipschitzRow *row = &l->r->row[at];
    char *x = buffers_data(&l->b, "x");
    int64_t *y = buffers_data(&l->b, "y"), target = l->plan->target;
    size_t bytes = tensor_bytes(&l->b.entry->io[0]);
    int e = find_classes(l, at, 1, y);
    *row = (LipschitzRow){y[0], -1, {NAN, NAN, NAN}};
    for (int64_t i = 0; i < l->b.samples; i++) {
        if (i) memcpy(x + (size_t)i * bytes, x, bytes);
        y[i] = row->class;
        l->ids[i] = (uint64_t)(l->s.first + at);
    }
    if (target >= 0 && target != row->class) return e ? e : score(l, row, target);
    for (int64_t k = 0; k < l->classes && !e && target < 0 && !signals_seen(); k++)
        if (k != row->class) e = score(l, row, k);
    return e;
}

/* ---- all of them ---- */

static int run_all(Lipschitz *l)
{
    int64_t most = l->plan->measure == MEASURE_CLEVER ? 1 : l->b.samples;
    void *x = buffers_data(&l->b, "x");
    int e = 0;
    Progress p = progress_start("lipschitz", l->s.n);
    for (int64_t at = 0, n; at < l->s.n && !e && !signals_seen(); at += n) {
        n = l->s.n - at < most ? l->s.n - at : most;
        if ((e = images_read(&l->s, at, n, x)) || (e = images_check_pixels(&l->s, at, n, x))) break;
        e = l->plan->measure == MEASURE_CLEVER ? clever(l, at) : run_chunk(l, at, n);
        if (most > 1 || !signals_seen()) l->r->n = at + n;
        progress_show(&p, at + n);
    }
    progress_clear(&p);
    return e;
}

/* ---- preparing ---- */

/* A number as given, or the entry's default; *used is what it comes to. */
static int set_given(Lipschitz *l, const char *option, const char *name, const char *text,
                     double *used)
{
    int k = adj_hyper(l->b.entry, name);
    *used = k < 0 ? NAN : l->b.entry->hyper[k].value;
    if (!text) return 0;
    if (k < 0) return fail_usage("%s: %s has none", option, l->b.entry->name);
    const AdjHyper *h = &l->b.entry->hyper[k];
    int e = option_number(option, text, h->lo, h->hi, used);
    if (!e) hypers_set(&l->hypers, l->b.entry, k, *used);
    return e;
}

static int set_all(Lipschitz *l)
{
    const LipschitzPlan *p = l->plan;
    const char *radius = p->measure == MEASURE_CLEVER ? "radius" : "eps";
    int e = set_given(l, "--radius", radius, p->radius, &l->r->radius);
    return e ? e : set_given(l, "--step", "step", p->step, &l->r->step);
}

static int add_buffers(Lipschitz *l)
{
    static const char *const names[MEASURES][6] = {
        {"x", "y", "l1", "l2", "linf"}, {"x", "most"}, {"x", "y", "target", "most"}};
    int e = buffers_add(&l->clean, "logits");
    for (const char *const *name = names[l->plan->measure]; *name && !e; name++)
        e = buffers_add(&l->b, *name);
    return e;
}

static int add_memory(Lipschitz *l)
{
    l->classes = tensor_elements(buffers_tensor(&l->clean, "logits"));
    if (l->plan->target >= l->classes)
        return fail_usage("--target: the model has the classes 0 to %" PRId64, l->classes - 1);
    l->ids = calloc((size_t)l->b.samples, sizeof *l->ids);
    l->first = calloc((size_t)l->b.samples, sizeof *l->first);
    l->most = calloc((size_t)l->plan->batches, sizeof *l->most);
    l->r->row = calloc((size_t)l->s.n, sizeof *l->r->row);
    return l->ids && l->first && l->most && l->r->row ? 0 : fail_input("no memory for results");
}

static int prepare(Lipschitz *l)
{
    bool clever = l->plan->measure == MEASURE_CLEVER;
    int e;
    l->clean.entry = harness_entry(&l->h, "forward");
    l->b.entry = harness_entry(&l->h, l->r->entry);
    l->b.samples = clever ? (int64_t)l->h.env.workers * l->b.entry->slots
                          : chunk_samples(&l->h, l->b.entry, l->s.n);
    l->clean.samples = l->b.samples;
    if ((e = set_all(l)) || (e = images_bind(&l->s, &l->h, &l->b.entry->io[0])) ||
        (e = add_buffers(l)))
        return e;
    return add_memory(l);
}

static void describe(Lipschitz *l)
{
    LipschitzResult *r = l->r;
    r->compile_seconds = l->h.compile_seconds;
    snprintf(r->target, sizeof r->target, "%s", l->h.model->target);
    snprintf(r->cpu, sizeof r->cpu, "%s", l->h.model->cpu);
    r->hash = l->h.model->hash;
    r->f64 = l->b.entry->io[0].dtype == ADJ_F64;
    r->precision = l->h.precision;
}

static int write_files(const Lipschitz *l)
{
    const LipschitzPlan *p = l->plan;
    int64_t n = l->r->n;
    int e = p->csv ? lipschitz_write_csv(p->csv, p, l->r) : 0;
    if (e || n == l->s.n) return e || !p->json ? e : lipschitz_write_json(p->json, p, l->r);
    fail_input("stopped after %" PRId64 " of %" PRId64 " images%s; --first %" PRId64
               " goes on with the others",
               n, l->s.n, p->csv ? ", which are written" : "", l->s.first + n);
    return 128 + signals_seen();
}

int lipschitz_run(const LipschitzPlan *plan, const AdjOptions *o, LipschitzResult *r)
{
    Lipschitz l = {.plan = plan, .r = r};
    *r = (LipschitzResult){0};
    lipschitz_entry(plan->measure, plan->norm, r->entry, sizeof r->entry);
    signals_heed(true);
    int e = images_open(&l.s, plan->images, &plan->range);
    if (!e) e = harness_open(&l.h, o, plan->run.threads);
    if (!e) e = prepare(&l);
    if (!e) e = run_all(&l);
    if (!e) describe(&l);
    if (!e) e = write_files(&l);
    buffers_free(&l.clean);
    buffers_free(&l.b);
    images_close(&l.s);
    harness_close(&l.h);
    free(l.ids);
    free(l.first);
    free(l.most);
    return e;
}

void lipschitz_free(LipschitzResult *r)
{
    free(r->row);
    *r = (LipschitzResult){0};
}

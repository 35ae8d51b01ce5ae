/* SPDX-License-Identifier: Apache-2.0 */
/* An image at a time: its draws are shared out among all slots of all workers, a few steps a call.
 * Draw d of image i is the same noise whoever evaluates it, and votes are whole numbers, so results
 * depend on neither threads nor batch. */
#include "tools/certify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/load.h"
#include "tools/binomial.h"
#include "tools/chunk.h"
#include "tools/progress.h"
#include "tools/say.h"
#include "tools/signals.h"

enum { STEPS = 64 }; /* of a call, at most: between two of them signals are heeded */

typedef struct Certify {
    const CertifyPlan *plan;
    CertifyResult *r;
    Harness h;
    Images s;
    Buffers b;      /* as many samples as there are slots */
    uint64_t *ids;  /* of these */
    int32_t *first; /* their first draws */
    int64_t images; /* to be done */
    int64_t classes, *votes;
    Hypers hypers;
    Progress progress;
} Certify;

/* ---- votes ---- */

/* One call: `pieces` slots take `steps` draws each, from draw `at` on. */
static int call(Certify *c, int64_t at, int64_t pieces, int32_t steps)
{
    int k = adj_hyper(c->b.entry, "first");
    const int32_t *counts = buffers_data(&c->b, "counts");
    for (int64_t i = 0; i < pieces; i++) c->first[i] = (int32_t)(at + i * steps);
    c->hypers.at[k] = c->first;
    AdjCall call = {.n = pieces,
                    .seed = c->plan->run.seed,
                    .ids = c->ids,
                    .steps = steps,
                    .io = c->b.io,
                    .hyper = c->hypers.at,
                    .hyper_each = 1u << k};
    double start = seconds_now();
    int e = harness_call(&c->h, c->b.entry, &call, NULL);
    c->r->seconds += seconds_now() - start;
    for (int64_t i = 0; i < pieces * c->classes && !e; i++) c->votes[i % c->classes] += counts[i];
    return e;
}

/* The votes of draws [at, at + n), if no signal comes between. */
static int count_votes(Certify *c, int64_t at, int64_t n)
{
    memset(c->votes, 0, sizeof *c->votes * (size_t)c->classes);
    for (int64_t end = at + n; at < end && !signals_seen();) {
        int64_t left = end - at, pieces = c->b.samples, steps = left / pieces;
        if (steps > STEPS) steps = STEPS;
        if (!steps) steps = 1, pieces = left;
        int e = call(c, at, pieces, (int32_t)steps);
        if (e) return e;
        at += pieces * steps;
        c->r->draws += (uint64_t)(pieces * steps);
        progress_show(&c->progress, (int64_t)c->r->draws);
    }
    return 0;
}

static int64_t most_voted(const Certify *c, int64_t but)
{
    int64_t best = but == 0;
    for (int64_t k = 0; k < c->classes; k++)
        if (k != but && c->votes[k] > c->votes[best]) best = k;
    return best;
}

/* ---- an image ---- */

static int certify(Certify *c, CertifySample *s)
{
    const CertifyPlan *p = c->plan;
    int e = count_votes(c, 0, p->n0);
    int64_t top = most_voted(c, -1);
    if (e || (e = count_votes(c, p->n0, p->n)) || signals_seen()) return e;
    s->votes = c->votes[top];
    s->bound = binomial_lower(s->votes, p->n, p->alpha);
    if (s->bound < 0.5) return 0;
    s->predicted = top;
    s->radius = p->sigma * normal_quantile(s->bound);
    return 0;
}

static int predict(Certify *c, CertifySample *s)
{
    int e = count_votes(c, 0, c->plan->n);
    if (e || signals_seen()) return e;
    int64_t top = most_voted(c, -1), next = most_voted(c, top);
    s->votes = c->votes[top];
    s->bound = binomial_even(s->votes, s->votes + c->votes[next]);
    if (s->bound <= c->plan->alpha) s->predicted = top;
    return 0;
}

/* Every slot gets the image, and its identity. */
static int take_image(Certify *c, int64_t number, CertifySample *s)
{
    int64_t i = number * c->plan->every;
    char *x = buffers_data(&c->b, "x");
    size_t bytes = tensor_bytes(&c->b.entry->io[0]);
    int e;
    *s = (CertifySample){.label = -1, .predicted = -1};
    if ((e = images_read(&c->s, i, 1, x)) || (e = images_check_pixels(&c->s, i, 1, x))) return e;
    for (int64_t k = 0; k < c->b.samples; k++) {
        if (k) memcpy(x + (size_t)k * bytes, x, bytes);
        c->ids[k] = (uint64_t)(c->s.first + i);
    }
    return c->r->labels ? images_labels(&c->s, i, 1, c->classes, &s->label) : 0;
}

/* ---- all of them ---- */

static int prepare(Certify *c)
{
    const CertifyPlan *p = c->plan;
    size_t slots;
    int e;
    c->b.entry = harness_entry(&c->h, "smooth");
    c->b.samples = (int64_t)c->h.env.workers * c->b.entry->slots;
    c->r->labels = images_have_labels(&c->s);
    if ((e = images_bind(&c->s, &c->h, &c->b.entry->io[0])) || (e = buffers_add(&c->b, "x")) ||
        (e = buffers_add(&c->b, "counts")))
        return e;
    slots = (size_t)c->b.samples;
    c->classes = tensor_elements(buffers_tensor(&c->b, "counts"));
    hypers_set(&c->hypers, c->b.entry, adj_hyper(c->b.entry, "sigma"), p->sigma);
    c->ids = calloc(slots, sizeof *c->ids);
    c->first = calloc(slots, sizeof *c->first);
    c->votes = calloc((size_t)c->classes, sizeof *c->votes);
    c->r->sample = calloc((size_t)c->images, sizeof *c->r->sample);
    return c->ids && c->first && c->votes && c->r->sample ? 0 : fail_input("no memory for votes");
}

static int say_stopped(const Certify *c)
{
    int64_t n = c->r->n;
    fail_input("stopped after %" PRId64 " of %" PRId64 " images%s; --first %" PRId64
               " goes on with the others",
               n, c->images, c->plan->csv ? ", which are written" : "",
               c->s.first + n * c->plan->every);
    return 128 + signals_seen();
}

static int run_all(Certify *c)
{
    const CertifyPlan *p = c->plan;
    int e = 0;
    c->progress = progress_start("certify", c->images * (p->predict ? p->n : p->n0 + p->n));
    for (int64_t i = 0; i < c->images && !e && !signals_seen(); i++) {
        CertifySample *s = &c->r->sample[i];
        if ((e = take_image(c, i, s))) break;
        e = p->predict ? predict(c, s) : certify(c, s);
        if (!e && !signals_seen()) c->r->n = i + 1;
    }
    progress_clear(&c->progress);
    return e;
}

static void describe(Certify *c)
{
    CertifyResult *r = c->r;
    r->compile_seconds = c->h.compile_seconds;
    snprintf(r->target, sizeof r->target, "%s", c->h.model->target);
    snprintf(r->cpu, sizeof r->cpu, "%s", c->h.model->cpu);
    r->hash = c->h.model->hash;
    r->f64 = c->b.entry->io[0].dtype == ADJ_F64;
    r->precision = c->h.precision;
}

static int write_files(const Certify *c)
{
    const CertifyPlan *p = c->plan;
    int e = p->csv ? certify_write_csv(p->csv, p, c->r) : 0;
    if (e || c->r->n < c->images) return e ? e : say_stopped(c);
    return p->json ? certify_write_json(p->json, p, c->r) : 0;
}

/* The range reaches as far as the images taken lie apart. */
static int open_images(Certify *c)
{
    const CertifyPlan *p = c->plan;
    DataRange range = p->range;
    if (range.limit <= INT64_MAX / p->every)
        range.limit *= p->every;
    else
        range.limit = INT64_MAX;
    int e = images_open(&c->s, p->images, &range);
    c->images = (c->s.n + p->every - 1) / p->every;
    return e;
}

int certify_run(const CertifyPlan *plan, const AdjOptions *o, CertifyResult *r)
{
    Certify c = {.plan = plan, .r = r};
    *r = (CertifyResult){0};
    signals_heed(true);
    int e = open_images(&c);
    if (!e) e = harness_open(&c.h, o, plan->run.threads);
    if (!e) e = prepare(&c);
    if (!e) e = run_all(&c);
    if (!e) describe(&c);
    if (!e) e = write_files(&c);
    buffers_free(&c.b);
    images_close(&c.s);
    harness_close(&c.h);
    free(c.ids);
    free(c.first);
    free(c.votes);
    return e;
}

void certify_free(CertifyResult *r)
{
    free(r->sample);
    *r = (CertifyResult){0};
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The run of a sequence: pass by pass, chunk by chunk, over the images that are left. */
#define _POSIX_C_SOURCE 200809L
#include "tools/sequence.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "runtime/load.h"
#include "tools/chunk.h"
#include "tools/progress.h"
#include "tools/say.h"
#include "tools/signals.h"

typedef struct Run {
    const SequencePlan *plan;
    SequenceResult *r;
    Harness h;
    Images s;
    Buffers clean, b; /* of forward and of the stage at work, one chunk */
    int64_t samples;  /* of a chunk */
    int64_t *at;      /* of a chunk: rows */
    uint64_t *ids;    /* and identities */
    char *saved;      /* adversarial images of all rows, if wanted */
} Run;

/* ---- the table ---- */

static const Stage stages[] = {
#define STAGE(sequence, norm, name, entry, steps, restarts, targets, gradients)                    \
    {sequence, norm, name, entry, steps, restarts, targets, gradients},
#include "tools/sequence.def"
#undef STAGE
};

bool sequence_exists(const char *name)
{
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        if (!strcmp(stages[i].sequence, name)) return true;
    return false;
}

int sequence_stages(const char *name, const char *norm, Stage *out)
{
    int n = 0;
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        if (!strcmp(stages[i].sequence, name) && !strcmp(stages[i].norm, norm) && n < MAX_STAGES)
            out[n++] = stages[i];
    return n;
}

int stage_passes(const Stage *s)
{
    return s->restarts * (s->targets ? s->targets : 1);
}

int sequence_stage_of(const SequenceResult *r, int pass)
{
    int k = 0;
    while (k < r->nstages && pass >= stage_passes(&r->stage[k]))
        pass -= stage_passes(&r->stage[k++]);
    return k;
}

/* ---- memory ---- */

static void *row_image(const Run *a, int64_t row)
{
    return a->saved + (size_t)row * tensor_bytes(a->s.x);
}

static int prepare(Run *a)
{
    SequenceResult *r = a->r;
    int e;
    a->clean.entry = harness_entry(&a->h, "forward");
    int64_t full = (int64_t)a->h.env.workers * a->clean.entry->slots * 2;
    a->samples = a->clean.samples = full < a->s.n ? full : a->s.n;
    if ((e = images_bind(&a->s, &a->h, &a->clean.entry->io[0])) ||
        (e = buffers_add(&a->clean, "x")) || (e = buffers_add(&a->clean, "logits")))
        return e;
    r->n = a->s.n;
    r->first = a->s.first;
    r->row = calloc((size_t)r->n, sizeof *r->row);
    a->at = calloc((size_t)a->samples, sizeof *a->at);
    a->ids = calloc((size_t)a->samples, sizeof *a->ids);
    if (!r->row || !a->at || !a->ids) return fail_input("no memory for %" PRId64 " rows", r->n);
    if (a->plan->out && !(a->saved = tensor_new(a->s.x, r->n))) return STATUS_INPUT;
    snprintf(r->target, sizeof r->target, "%s", a->h.model->target);
    snprintf(r->cpu, sizeof r->cpu, "%s", a->h.model->cpu);
    r->compile_seconds = a->h.compile_seconds;
    r->hash = a->h.model->hash;
    r->f64 = a->s.x->dtype == ADJ_F64;
    r->precision = a->h.precision;
    r->slots = (int)a->clean.entry->slots;
    return 0;
}

/* Tensors and parameters of a stage. */
static int bind_stage(Run *a, const Stage *s)
{
    static const char *const names[] = {"x", "y", "adv", "success"};
    int e;
    buffers_free(&a->b);
    a->b.entry = harness_entry(&a->h, s->entry);
    a->b.samples = a->samples;
    for (int i = 0; i < 4; i++)
        if ((e = buffers_add(&a->b, names[i]))) return e;
    return 0;
}

/* ---- before the attacks ---- */

static int64_t classes_of(const Run *a)
{
    return tensor_elements(buffers_tensor(&a->clean, "logits"));
}

static int classify(Run *a, const void *x, int64_t n)
{
    memcpy(buffers_data(&a->clean, "x"), x, tensor_bytes(a->s.x) * (size_t)n);
    for (int64_t i = 0; i < n; i++) a->ids[i] = (uint64_t)(a->r->first + a->at[i]);
    AdjCall call = {.n = n, .seed = a->plan->run.seed, .ids = a->ids, .io = a->clean.io};
    return harness_call(&a->h, a->clean.entry, &call, NULL);
}

static int64_t class_of(const Run *a, int64_t i)
{
    const AdjTensor *t = buffers_tensor(&a->clean, "logits");
    return score_class(t, buffers_data(&a->clean, "logits"), i);
}

/* The images of rows at[0 .. n); their labels, where y is not NULL. */
static int read_rows(Run *a, int64_t n, char *x, int64_t *y)
{
    int e = 0;
    for (int64_t i = 0; i < n && !e; i++, x += tensor_bytes(a->s.x)) {
        e = images_read(&a->s, a->at[i], 1, x);
        if (!e) e = images_check_pixels(&a->s, a->at[i], 1, x);
        if (!e) e = images_labels(&a->s, a->at[i], 1, classes_of(a), &y[i]);
    }
    return e;
}

static uint32_t image_crc(const Run *a, const char *x, int64_t label)
{
    uLong crc = crc32(0, (const Bytef *)x, (uInt)tensor_bytes(a->s.x));
    return (uint32_t)crc32(crc, (const Bytef *)&label, sizeof label);
}

static void note_clean(Run *a, int64_t n, const char *x, const int64_t *y)
{
    size_t bytes = tensor_bytes(a->s.x);
    for (int64_t i = 0; i < n; i++, x += bytes) {
        SequenceRow *w = &a->r->row[a->at[i]];
        int64_t said = class_of(a, i);
        *w = (SequenceRow){.label = y[i], .before = said, .after = said, .broken = UNBROKEN};
        w->crc = image_crc(a, x, y[i]);
        if (said != y[i]) w->broken = WRONG_BEFORE;
        a->r->correct += said == y[i];
        if (a->saved) memcpy(row_image(a, a->at[i]), x, bytes);
    }
}

static int clean_chunk(Run *a, int64_t from, int64_t n, char *x, int64_t *y)
{
    int e;
    for (int64_t i = 0; i < n; i++) a->at[i] = from + i;
    if ((e = read_rows(a, n, x, y)) || (e = classify(a, x, n))) return e;
    note_clean(a, n, x, y);
    return from ? 0 : sequence_check_model(&a->h, a->r, x, y, n, a->plan->run.seed);
}

static int clean(Run *a)
{
    char *x = tensor_new(a->s.x, a->samples);
    int64_t *y = calloc((size_t)a->samples, sizeof *y);
    int e = x && y ? 0 : STATUS_INPUT;
    for (int64_t at = 0, n; at < a->r->n && !e; at += n) {
        n = a->r->n - at < a->samples ? a->r->n - at : a->samples;
        e = clean_chunk(a, at, n, x, y);
    }
    free(x);
    free(y);
    return e;
}

/* ---- a pass ---- */

static int set_number(Hypers *h, const AdjEntry *entry, const char *name, double v)
{
    int k = adj_hyper(entry, name);
    if (k < 0) return 0;
    if (!(v >= entry->hyper[k].lo && v <= entry->hyper[k].hi))
        return fail_usage("--%s: %g is not between %g and %g", name, v, entry->hyper[k].lo,
                          entry->hyper[k].hi);
    hypers_set(h, entry, k, v);
    return 0;
}

/* Pass `part` of a stage: targets in turn, the restarts of each. `stop`: at success, which it
 * does not change unless chance has a part in it. Restarts and targets have seeds of their own. */
static int set_pass(Run *a, const Stage *s, int part, Hypers *h, AdjCall *call)
{
    int e;
    *h = (Hypers){0};
    *call = (AdjCall){.seed = a->plan->run.seed + (uint64_t)part,
                      .ids = a->ids,
                      .steps = s->steps,
                      .io = a->b.io,
                      .hyper = h->at};
    if ((e = set_number(h, a->b.entry, "eps", a->plan->eps)) ||
        (e = set_number(h, a->b.entry, "stop", !a->r->random)))
        return e;
    if (part % s->restarts > 0 && (e = set_number(h, a->b.entry, "random", 1))) return e;
    return s->targets ? set_number(h, a->b.entry, "rank", 2 + part / s->restarts) : 0;
}

static int attack(Run *a, StageCost *cost, AdjCall *call)
{
    AdjStatus status;
    int32_t *success = buffers_data(&a->b, "success");
    double start = seconds_now();
    for (int64_t i = 0; i < call->n; i++) {
        a->ids[i] = (uint64_t)(a->r->first + a->at[i]);
        success[i] = -1; /* until it is done */
    }
    int e = harness_call(&a->h, a->b.entry, call, &status);
    cost->seconds += seconds_now() - start;
    cost->forwards += status.forwards;
    cost->backwards += status.backwards;
    return e;
}

/* What the model says of the results; of a call that was stopped, of those that are done. */
static void note_chunk(Run *a, int pass, int64_t n)
{
    const char *from = buffers_data(&a->b, "x"), *to = buffers_data(&a->b, "adv");
    const int32_t *success = buffers_data(&a->b, "success");
    size_t bytes = tensor_bytes(a->s.x);
    for (int64_t i = 0; i < n; i++) {
        SequenceRow *w = &a->r->row[a->at[i]];
        if (success[i] < 0) continue;
        w->passes = pass + 1;
        int64_t said = class_of(a, i);
        if (said == w->label) continue;
        w->after = said;
        w->broken = pass;
        w->distance = score_distance(a->s.x, from, to, i);
        if (a->saved) memcpy(row_image(a, a->at[i]), to + bytes * (size_t)i, bytes);
    }
}

static int run_chunk(Run *a, int pass, StageCost *cost, AdjCall *call)
{
    int64_t n = call->n;
    int e;
    if ((e = read_rows(a, n, buffers_data(&a->b, "x"), buffers_data(&a->b, "y"))) ||
        (e = attack(a, cost, call)) || (e = classify(a, buffers_data(&a->b, "adv"), n)))
        return e;
    note_chunk(a, pass, n);
    return a->plan->checkpoint ? sequence_save(a->plan, a->r) : 0;
}

/* The next rows that the pass has to do, from *row on, into at; how many. */
static int64_t choose(Run *a, int pass, int64_t *row)
{
    int64_t n = 0;
    for (; *row < a->r->n && n < a->samples; ++*row) {
        const SequenceRow *w = &a->r->row[*row];
        if (w->broken == UNBROKEN && w->passes == pass) a->at[n++] = *row;
    }
    return n;
}

static int run_pass(Run *a, int k, int part, int pass, int64_t left)
{
    const Stage *s = &a->r->stage[k];
    Hypers h;
    AdjCall call;
    char name[64];
    int64_t done = 0, row = 0;
    int e = set_pass(a, s, part, &h, &call);
    snprintf(name, sizeof name, stage_passes(s) > 1 ? "%s %d of %d" : "%s", s->name, part + 1,
             stage_passes(s));
    Progress p = progress_start(name, left);
    while (!e && !signals_seen() && (call.n = choose(a, pass, &row)) > 0) {
        e = run_chunk(a, pass, &a->r->cost[k], &call);
        progress_show(&p, done += call.n);
    }
    progress_clear(&p);
    return e;
}

static int64_t count_left(const SequenceResult *r, int pass)
{
    int64_t n = 0;
    for (int64_t i = 0; i < r->n; i++)
        n += r->row[i].broken == UNBROKEN && r->row[i].passes <= pass;
    return n;
}

/* ---- all of it ---- */

static int say_stopped(const Run *a)
{
    fail_input("stopped; %s", a->plan->checkpoint
                                  ? "the same command with --resume goes on from the checkpoint"
                                  : "nothing is kept without --checkpoint");
    return 128 + signals_seen();
}

static int run_all(Run *a)
{
    SequenceResult *r = a->r;
    int e = 0, pass = 0;
    signals_heed(true);
    a->h.env.tick = signals_tick;
    for (int k = 0; k < r->nstages && !e; k++) {
        if ((e = bind_stage(a, &r->stage[k]))) break;
        for (int part = 0; part < stage_passes(&r->stage[k]) && !e; part++, pass++) {
            int64_t left = count_left(r, pass);
            if (left) e = run_pass(a, k, part, pass, left);
            if (!e && signals_seen()) e = say_stopped(a);
        }
    }
    a->h.env.tick = NULL;
    return e;
}

static void count_robust(SequenceResult *r)
{
    for (int64_t i = 0; i < r->n; i++) {
        const SequenceRow *w = &r->row[i];
        int broken = w->broken == UNBROKEN ? r->nstages : sequence_stage_of(r, w->broken);
        for (int k = 0; k < r->nstages && w->broken != WRONG_BEFORE; k++)
            r->robust[k] += k < broken;
    }
}

static int finish(Run *a)
{
    const SequencePlan *p = a->plan;
    int e;
    count_robust(a->r);
    sequence_check_search(a->r);
    if ((p->out && (e = tensor_save(p->out, a->s.x, a->r->n, a->saved))) ||
        (p->csv && (e = sequence_write_csv(p->csv, p, a->r))) ||
        (p->json && (e = sequence_write_json(p->json, p, a->r))))
        return e;
    if (p->checkpoint) remove(p->checkpoint);
    return 0;
}

/* Every stage's entry once, and what the checks need. */
static void list_entries(const SequenceResult *r, char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size, "forward,gradient");
    for (int k = 0; k < r->nstages && n < size; k++)
        n += (size_t)snprintf(out + n, size - n, ",%s", r->stage[k].entry);
}

int sequence_run(const SequencePlan *plan, const AdjOptions *given, SequenceResult *r)
{
    Run a = {.plan = plan, .r = r};
    AdjOptions o = *given;
    char entries[256];
    int e;
    *r = (SequenceResult){0};
    r->nstages = sequence_stages(plan->sequence, plan->norm, r->stage);
    list_entries(r, entries, sizeof entries);
    o.entries = entries;
    if (!o.eot) o.eot = r->stage[0].gradients;
    if (!(e = images_open(&a.s, plan->images, &plan->range)) &&
        !(e = harness_open(&a.h, &o, plan->run.threads)) && !(e = prepare(&a))) {
        sequence_check_classes(r, classes_of(&a));
        if (!(e = clean(&a)) && !(e = sequence_load(plan, r)) && !(e = run_all(&a))) e = finish(&a);
    }
    buffers_free(&a.b);
    buffers_free(&a.clean);
    images_close(&a.s);
    harness_close(&a.h);
    free(a.at);
    free(a.ids);
    free(a.saved);
    return e;
}

void sequence_release(SequenceResult *r)
{
    free(r->row);
    r->row = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Clean predictions, the attack, predictions of what it made, chunk by chunk. The identity of a
 * sample is its index in the data set, so no result depends on chunks, threads or --first. */
#include "tools/attack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/load.h"
#include "tools/chunk.h"
#include "tools/numbers.h"
#include "tools/progress.h"
#include "tools/say.h"

typedef struct Attack {
    const AttackPlan *plan;
    AttackResult *r;
    Harness h;
    Images s, start, targets; /* the last two only where files were named */
    Buffers clean, b;         /* of the forward and the attack entry, one chunk */
    int64_t *labels, *before; /* of one chunk: true classes, predicted classes */
    char *saved;              /* adversarial images of all samples, if wanted */
    void *rounded;            /* those of one chunk in 8 bits, if wanted */
    Hypers hypers;
    bool warned;
} Attack;

/* ---- parameters ---- */

static int set_hyper(Attack *a, const char *option, const char *name, double v)
{
    int k = adj_hyper(a->b.entry, name);
    if (k < 0) return fail_usage("%s: %s has no parameter %s", option, a->b.entry->name, name);
    const AdjHyper *h = &a->b.entry->hyper[k];
    if (!(v >= h->lo && v <= h->hi))
        return fail_usage("%s: %g is not between %g and %g", option, v, h->lo, h->hi);
    hypers_set(&a->hypers, a->b.entry, k, v);
    return 0;
}

/* A number as given, or the attack's default; *used is what it comes to. */
static int set_given(Attack *a, const char *option, const char *name, const char *text,
                     double *used)
{
    int k = adj_hyper(a->b.entry, name);
    *used = k < 0 ? NAN : a->b.entry->hyper[k].value;
    if (!text) return 0;
    int e = option_number(option, text, 0, INFINITY, used);
    return e ? e : set_hyper(a, option, name, *used);
}

/* A start that was given, or the image, stands in for a random one where the attack has it. */
static int set_start(Attack *a)
{
    const AttackPlan *p = a->plan;
    int k = adj_hyper(a->b.entry, "random");
    bool random = k >= 0 && p->random && a->b.entry->hyper[k].value != 0;
    a->r->start = random ? "random" : p->start ? "given" : "image";
    if (p->start && adj_io(a->b.entry, "start") < 0)
        return fail_usage("--start: %s always starts at the image", a->b.entry->name);
    return k < 0 || p->random ? 0 : set_hyper(a, "--start", "random", 0);
}

/* A step that was given as a part of eps. */
static int set_share(Attack *a)
{
    const AttackPlan *p = a->plan;
    if (p->step || !p->share || isnan(a->r->step)) return 0;
    a->r->step = p->share * a->r->eps;
    return set_hyper(a, "--compat", "step", a->r->step);
}

static int set_all(Attack *a)
{
    const AttackPlan *p = a->plan;
    int e;
    if ((e = set_given(a, "--eps", "eps", p->eps, &a->r->eps)) ||
        (e = set_given(a, "--step", "step", p->step, &a->r->step)) || (e = set_share(a)) ||
        (e = set_start(a)))
        return e;
    for (int i = 0; i < p->nsetting; i++) {
        const Setting *s = &p->setting[i];
        if ((e = set_hyper(a, s->option, s->name, s->value))) return e;
    }
    if (p->targeted && (e = set_hyper(a, "--targeted", "targeted", 1))) return e;
    return p->stop ? set_hyper(a, "--stop", "stop", p->stop) : 0;
}

/* ---- memory ---- */

static int add_buffers(Attack *a)
{
    static const char *const names[] = {"x", "y", "success"};
    int e;
    for (int i = 0; i < 3; i++)
        if ((e = buffers_add(&a->b, names[i]))) return e;
    if (a->plan->start && (e = buffers_add(&a->b, "start"))) return e;
    if (a->plan->out) {
        a->saved = tensor_new(buffers_tensor(&a->b, "adv"), a->s.n);
        if (!a->saved) return STATUS_INPUT;
    } else if ((e = buffers_add(&a->b, "adv"))) {
        return e;
    }
    return buffers_add(&a->clean, "logits");
}

static int add_labels(Attack *a)
{
    a->labels = calloc((size_t)a->b.samples, sizeof *a->labels);
    a->before = calloc((size_t)a->b.samples, sizeof *a->before);
    if (!a->labels || !a->before) return fail_input("no memory for labels");
    a->r->sample = calloc((size_t)a->s.n, sizeof *a->r->sample);
    if (!a->r->sample) return fail_input("no memory for %lld samples", (long long)a->s.n);
    return adj_io(a->b.entry, "label") < 0 ? 0 : buffers_lend(&a->b, "label", a->labels);
}

static int add_png(Attack *a)
{
    const AdjTensor *x = &a->b.entry->io[0];
    if (!a->plan->png) return 0;
    a->rounded = tensor_new(x, a->b.samples);
    return a->rounded ? attack_png_check(a->plan->png, x) : STATUS_INPUT;
}

static int open_files(Attack *a)
{
    const AttackPlan *p = a->plan;
    const AdjTensor *x = &a->b.entry->io[0];
    DataRange plain = {.first = p->range.first, .limit = p->range.limit}, targets = plain;
    targets.labels = p->targets;
    int e = images_bind(&a->s, &a->h, x);
    if (!e && p->targets) e = images_open(&a->targets, p->images, &targets);
    if (!e && p->targets) e = images_bind(&a->targets, &a->h, x);
    if (!e && p->start) e = images_open(&a->start, p->start, &plain);
    if (!e && p->start) e = images_bind(&a->start, &a->h, x);
    if (e || !p->start || a->start.n == a->s.n) return e;
    return fail_input("%s: has %lld images, %s has %lld", p->start, (long long)a->start.n,
                      p->images, (long long)a->s.n);
}

static int prepare(Attack *a)
{
    int e;
    a->b.entry = harness_entry(&a->h, a->plan->attack);
    a->clean.entry = harness_entry(&a->h, "forward");
    if (adj_io(a->b.entry, "adv") < 0)
        return fail_usage("--attack: %s is not an attack", a->plan->attack);
    a->b.samples = a->clean.samples = chunk_samples(&a->h, a->b.entry, a->s.n);
    if ((e = set_all(a)) || (e = open_files(a)) || (e = add_buffers(a)) || (e = add_png(a)))
        return e;
    return add_labels(a);
}

/* ---- a chunk ---- */

static int64_t classes_of(const Attack *a)
{
    return tensor_elements(buffers_tensor(&a->clean, "logits"));
}

static int read_targets(Attack *a, int64_t at, int64_t n, int64_t *y)
{
    if (a->plan->targets) return images_labels(&a->targets, at, n, classes_of(a), y);
    if (a->plan->target >= classes_of(a))
        return fail_usage("--targeted: the model has the classes 0 to %lld",
                          (long long)classes_of(a) - 1);
    for (int64_t i = 0; i < n; i++) y[i] = a->plan->target;
    return 0;
}

static int read_chunk(Attack *a, int64_t at, int64_t n)
{
    void *x = buffers_data(&a->b, "x");
    int64_t *y = buffers_data(&a->b, "y");
    int e;
    if ((e = images_read(&a->s, at, n, x)) || (e = images_check_pixels(&a->s, at, n, x)) ||
        (e = images_labels(&a->s, at, n, classes_of(a), a->labels)))
        return e;
    if (a->plan->start && (e = images_read(&a->start, at, n, buffers_data(&a->b, "start"))))
        return e;
    if (a->plan->targeted) return read_targets(a, at, n, y);
    for (int64_t i = 0; i < n; i++) y[i] = a->labels[i];
    return 0;
}

/* Logits of n images into the forward entry's buffer. */
static int classify(Attack *a, void *x, int64_t at, int64_t n)
{
    int e = buffers_lend(&a->clean, "x", x);
    AdjCall call = {.n = n,
                    .seed = a->plan->run.seed,
                    .first_id = (uint64_t)(a->s.first + at),
                    .io = a->clean.io};
    return e ? e : harness_call(&a->h, a->clean.entry, &call, NULL);
}

static void note_clean(Attack *a, int64_t n)
{
    const AdjTensor *t = buffers_tensor(&a->clean, "logits");
    const void *logits = buffers_data(&a->clean, "logits");
    if (!a->warned && score_probabilities(t, logits, n))
        warn("%s: its outputs look like probabilities; attacks want logits", a->h.path);
    a->warned = true;
    for (int64_t i = 0; i < n; i++) a->before[i] = score_class(t, logits, i);
}

static int attack_chunk(Attack *a, int64_t at, int64_t n)
{
    AdjStatus status;
    AdjCall call = {.n = n,
                    .seed = a->plan->run.seed,
                    .first_id = (uint64_t)(a->s.first + at),
                    .steps = a->plan->steps,
                    .io = a->b.io,
                    .hyper = a->hypers.at};
    double start = seconds_now();
    int e = harness_call(&a->h, a->b.entry, &call, &status);
    a->r->seconds += seconds_now() - start;
    a->r->forwards += status.forwards;
    a->r->backwards += status.backwards;
    return e;
}

static void note_samples(Attack *a, int64_t at, int64_t n)
{
    const AdjTensor *t = buffers_tensor(&a->clean, "logits"), *x = buffers_tensor(&a->b, "x");
    const void *logits = buffers_data(&a->clean, "logits"), *from = buffers_data(&a->b, "x"),
               *to = buffers_data(&a->b, "adv");
    const int32_t *success = buffers_data(&a->b, "success");
    for (int64_t i = 0; i < n; i++)
        a->r->sample[at + i] = (AttackSample){.label = a->labels[i],
                                              .before = a->before[i],
                                              .after = score_class(t, logits, i),
                                              .success = success[i] != 0,
                                              .distance = score_distance(x, from, to, i)};
    a->r->n += n;
}

/* As files of 8 bits; and whether they still fool. */
static int export(Attack *a, int64_t at, int64_t n)
{
    const AdjTensor *t = buffers_tensor(&a->clean, "logits"), *x = buffers_tensor(&a->b, "x");
    void *copy = a->rounded;
    memcpy(copy, buffers_data(&a->b, "adv"), tensor_bytes(x) * (size_t)n);
    int e = attack_write_png(a->plan->png, x, copy, n, a->s.first + at);
    if (e || (e = classify(a, copy, at, n))) return e;
    for (int64_t i = 0; i < n; i++)
        a->r->sample[at + i].after8 = score_class(t, buffers_data(&a->clean, "logits"), i);
    return 0;
}

static int run_chunk(Attack *a, int64_t at, int64_t n)
{
    int e;
    if (a->saved) {
        size_t bytes = tensor_bytes(buffers_tensor(&a->b, "adv"));
        if ((e = buffers_lend(&a->b, "adv", a->saved + (size_t)at * bytes))) return e;
    }
    if ((e = read_chunk(a, at, n)) || (e = classify(a, buffers_data(&a->b, "x"), at, n))) return e;
    note_clean(a, n);
    if ((e = attack_chunk(a, at, n)) || (e = classify(a, buffers_data(&a->b, "adv"), at, n)))
        return e;
    note_samples(a, at, n);
    return a->plan->png ? export(a, at, n) : 0;
}

/* ---- all of it ---- */

static int run_all(Attack *a)
{
    int e = 0;
    Progress p = progress_start(a->plan->attack, a->s.n);
    for (int64_t at = 0, n; at < a->s.n && !e; at += n) {
        n = a->s.n - at < a->b.samples ? a->s.n - at : a->b.samples;
        e = run_chunk(a, at, n);
        if (!e) progress_show(&p, at + n);
    }
    progress_clear(&p);
    return e;
}

static int finish(Attack *a)
{
    AttackResult *r = a->r;
    double *scratch = malloc((size_t)r->n * sizeof *scratch + 1);
    if (!scratch) return fail_input("no memory for statistics");
    attack_stats(r, scratch);
    free(scratch);
    r->compile_seconds = a->h.compile_seconds;
    snprintf(r->target, sizeof r->target, "%s", a->h.model->target);
    snprintf(r->cpu, sizeof r->cpu, "%s", a->h.model->cpu);
    r->hash = a->h.model->hash;
    r->f64 = a->b.entry->io[0].dtype == ADJ_F64;
    r->precision = a->h.precision;
    r->slots = a->b.entry->slots;
    return 0;
}

static int attack(Attack *a, const AdjOptions *o)
{
    const AttackPlan *p = a->plan;
    int e;
    if ((e = images_open(&a->s, p->images, &p->range)) ||
        (e = harness_open(&a->h, o, p->run.threads)) || (e = prepare(a)) || (e = run_all(a)))
        return e;
    if (p->out && (e = tensor_save(p->out, buffers_tensor(&a->b, "adv"), a->s.n, a->saved)))
        return e;
    return finish(a);
}

int attack_run(const AttackPlan *plan, const AdjOptions *o, AttackResult *r)
{
    Attack a = {.plan = plan, .r = r};
    *r = (AttackResult){0};
    int e = attack(&a, o);
    buffers_free(&a.b);
    buffers_free(&a.clean);
    images_close(&a.s);
    images_close(&a.start);
    images_close(&a.targets);
    free(a.labels);
    free(a.before);
    free(a.rounded);
    free(a.saved);
    harness_close(&a.h);
    return e;
}

void attack_free(AttackResult *r)
{
    free(r->sample);
    r->sample = NULL;
}

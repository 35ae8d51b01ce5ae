/* SPDX-License-Identifier: Apache-2.0 */
/* The run: epochs of steps from the state, which is saved after each epoch, now and then, and when
 * a signal comes. All that a step reads is in the state, in the recipe or drawn by the counter
 * generator, so a run that goes on from a checkpoint writes the same bytes. */
#define _POSIX_C_SOURCE 200809L
#include "tools/train.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "runtime/load.h"
#include "tools/data/format.h"
#include "tools/progress.h"
#include "tools/say.h"
#include "tools/signals.h"

enum { MAX_TENSORS = 16 };
enum { NUM_LOSS, NUM_PENALTY, NUM_PSI, NUM_CONTROL, NUM_NEW_CONTROL, NUMS };

static const char *const vec_names[VECS] = {"params", "velocity", "stats"};
static const char *const new_names[VECS] = {"new_params", "new_velocity", "new_stats"};
static const char *const num_names[NUMS] = {"loss", "penalty", "psi_used", "control",
                                            "new_control"};

typedef struct Train {
    TrainPlan *p;
    Harness h;
    const AdjEntry *step, *logits;
    AdjTrain list;
    AdjTensor image; /* one image of the batch */
    Images data, test;
    int64_t b, steps, classes; /* images a step, steps an epoch */
    int64_t *labels, *order;   /* of the whole set */
    int64_t *y, *pick;         /* of the batch */
    char *pixels, *raw;        /* of the batch; one image as it is read */
    void *scores, *grad;
    void *next[VECS];
    double num[NUMS]; /* room for one element each */
    void *io[MAX_TENSORS], *eval_io[MAX_TENSORS];
    TrainState st;
    Progress progress;
    char what[128]; /* for the progress */
} Train;

/* ---- memory ---- */

static size_t element_bytes(const Train *t)
{
    return t->image.dtype == ADJ_F64 ? 8 : 4;
}

static double number(const Train *t, const void *v, int64_t i)
{
    return tensor_value(&t->image, v, i);
}

static void lend(const AdjEntry *e, void **io, const char *name, void *memory)
{
    int k = adj_io(e, name);
    if (k >= 0 && k < MAX_TENSORS) io[k] = memory;
}

static void bind_vectors(Train *t)
{
    for (int i = 0; i < VECS; i++) {
        lend(t->step, t->io, vec_names[i], t->st.vec[i]);
        lend(t->step, t->io, new_names[i], t->next[i]);
        lend(t->logits, t->eval_io, vec_names[i], t->st.vec[i]);
    }
}

static void *room(size_t n)
{
    return calloc(n ? n : 1, 1);
}

static bool allocate(Train *t)
{
    size_t e = element_bytes(t), params = (size_t)t->list.params, stats = (size_t)t->list.stats;
    size_t all[VECS] = {params * e, params * e, stats * e};
    bool ok = (t->raw = room(tensor_bytes(&t->image))) != NULL;
    for (int i = 0; i < VECS; i++) {
        t->st.bytes[i] = all[i];
        ok = (t->st.vec[i] = room(all[i])) && (t->next[i] = room(all[i])) && ok;
    }
    return (t->pixels = room((size_t)t->b * tensor_bytes(&t->image))) &&
           (t->y = room((size_t)t->b * sizeof *t->y)) &&
           (t->pick = room((size_t)t->b * sizeof *t->pick)) &&
           (t->scores = room((size_t)(t->b * t->classes) * e)) && (t->grad = room(params * e)) &&
           (t->labels = room((size_t)t->data.n * sizeof *t->labels)) &&
           (t->order = room((size_t)t->data.n * sizeof *t->order)) && (t->st.csv = strdup("")) &&
           ok;
}

static void release(Train *t)
{
    for (int i = 0; i < VECS; i++) {
        free(t->st.vec[i]);
        free(t->next[i]);
    }
    void *all[] = {t->pixels, t->raw,    t->y,     t->pick,  t->scores,
                   t->grad,   t->labels, t->order, t->st.csv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    images_close(&t->data);
    images_close(&t->test);
    harness_close(&t->h);
}

static void bind_all(Train *t)
{
    lend(t->step, t->io, "x", t->pixels);
    lend(t->step, t->io, "y", t->y);
    lend(t->step, t->io, "pick", t->pick);
    lend(t->step, t->io, "grad", t->grad);
    lend(t->step, t->io, "logits", t->scores);
    lend(t->logits, t->eval_io, "x", t->pixels);
    lend(t->logits, t->eval_io, "logits", t->scores);
    for (int i = 0; i < NUMS; i++) lend(t->step, t->io, num_names[i], &t->num[i]);
    bind_vectors(t);
}

/* ---- opening ---- */

static int open_model(Train *t, AdjOptions *o)
{
    static char entries[64];
    const char *name = t->p->recipe.penalty > 0 ? "train-lipschitz-step" : "train-step";
    AdjError error;
    t->b = o->batch = (int64_t)t->p->recipe.batch;
    snprintf(entries, sizeof entries, "%s,train-logits", name);
    o->entries = entries;
    int e = harness_open(&t->h, o, 1);
    if (e) return e;
    t->step = harness_entry(&t->h, name);
    t->logits = harness_entry(&t->h, "train-logits");
    t->image = t->step->io[adj_io(t->step, "x")];
    memmove(t->image.dim, t->image.dim + 1, sizeof t->image.dim - sizeof *t->image.dim);
    t->image.rank--;
    t->classes = t->step->io[adj_io(t->step, "logits")].dim[1];
    if (t->image.rank != 3) return fail_input("%s: its input is no image", t->p->model);
    return adj_train(t->h.compiled, &t->list, &error) ? 0 : fail_input("%s", error.msg);
}

static int open_data(Train *t)
{
    DataRange test = {t->p->test_labels, 0, INT64_MAX, t->p->range.resize};
    int e = images_open(&t->data, t->p->data, &t->p->range);
    if (!e) e = images_bind(&t->data, &t->h, &t->image);
    if (!e && t->p->test) e = images_open(&t->test, t->p->test, &test);
    if (!e && t->p->test) e = images_bind(&t->test, &t->h, &t->image);
    if (e) return e;
    const Images *bare = !images_have_labels(&t->data)                 ? &t->data
                         : t->p->test && !images_have_labels(&t->test) ? &t->test
                                                                       : NULL;
    if (bare) return fail_input("%s: has no labels; give them by --labels", bare->path);
    t->steps = t->data.n / t->b;
    if (t->steps) return 0;
    return fail_input("%s: %" PRId64 " images are less than one batch of %" PRId64, t->data.path,
                      t->data.n, t->b);
}

static uint32_t crc_of(uint32_t crc, const void *p, size_t n)
{
    return (uint32_t)crc32(crc, p, (uInt)n);
}

/* What must be the same for a checkpoint to be of this run. */
static void make_key(Train *t)
{
    char recipe[1600];
    uint32_t start = crc_of(0, t->st.vec[VEC_PARAMS], t->st.bytes[VEC_PARAMS]);
    start = crc_of(start, t->st.vec[VEC_STATS], t->st.bytes[VEC_STATS]);
    uint32_t labels = crc_of(0, t->labels, (size_t)t->data.n * sizeof *t->labels);
    recipe_text(&t->p->recipe, recipe, sizeof recipe);
    snprintf(t->st.key, sizeof t->st.key,
             "model %016" PRIx64 " start %08x, %" PRId64 " images from %" PRId64
             " labels %08x test %d, seed %" PRIu64 ", %s",
             t->h.model->hash, start, t->data.n, t->data.first, labels, t->p->test != NULL,
             t->p->run.seed, recipe);
}

static int resume(Train *t)
{
    bool found = false;
    int e = t->p->resume ? state_load(t->p->checkpoint, &t->st, &found) : 0;
    if (e) return e;
    if (t->st.epoch < 0 || t->st.step < 0 || t->st.step > t->steps)
        return fail_input("%s: damaged checkpoint (its place is not of this run)",
                          t->p->checkpoint);
    if (found) note("goes on from epoch %" PRId64 ", step %" PRId64, t->st.epoch, t->st.step);
    return 0;
}

static int open_train(Train *t, AdjOptions *o)
{
    AdjError error;
    int e = open_model(t, o);
    if (!e) e = open_data(t);
    if (!e && !allocate(t)) e = fail_input("%s: no memory to train it", t->p->model);
    if (!e) e = images_labels(&t->data, 0, t->data.n, t->classes, t->labels);
    if (e) return e;
    if (!adj_train_start(t->h.compiled, t->st.vec[VEC_PARAMS], t->st.vec[VEC_STATS], &error))
        return fail_input("%s", error.msg);
    make_key(t);
    e = resume(t);
    bind_all(t);
    return e;
}

/* ---- a step ---- */

static int fill_batch(Train *t)
{
    size_t bytes = tensor_bytes(&t->image);
    const Recipe *r = &t->p->recipe;
    for (int64_t k = 0; k < t->b; k++) {
        int64_t at = t->order[t->st.step * t->b + k], id = t->data.first + at;
        Augment a = {t->p->run.seed, t->st.epoch, id, (int)r->crop, r->flip > 0};
        int e = images_read(&t->data, at, 1, t->raw);
        if (!e) e = images_check_pixels(&t->data, at, 1, t->raw);
        if (e) return e;
        batch_augment(&a, &t->image, t->raw, t->pixels + (size_t)k * bytes);
        t->y[k] = t->labels[at];
        t->pick[k] = batch_pick(t->p->run.seed, t->st.epoch, id, t->classes, r->tandem);
    }
    return 0;
}

static void set_hypers(Train *t, Hypers *h)
{
    const Recipe *r = &t->p->recipe;
    double passed = (double)t->st.step / (double)t->steps;
    const struct {
        const char *name;
        double value;
    } set[] = {{"lr", recipe_lr(r, t->st.epoch, passed)},
               {"momentum", r->momentum},
               {"nesterov", r->nesterov},
               {"decay", r->decay},
               {"vector_decay", r->vector_decay},
               {"smoothing", r->smoothing},
               {"psi", r->psi},
               {"psi_loss", r->psi_loss},
               {"psi_rate", r->psi_rate}};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) {
        int k = adj_hyper(t->step, set[i].name);
        if (k >= 0) hypers_set(h, t->step, k, set[i].value);
    }
}

static int64_t count_correct(const Train *t, const int64_t *label, int64_t n)
{
    int64_t hits = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t best = 0;
        for (int64_t k = 1; k < t->classes; k++)
            if (number(t, t->scores, i * t->classes + k) >
                number(t, t->scores, i * t->classes + best))
                best = k;
        hits += best == label[i];
    }
    return hits;
}

static double norm_of(const Train *t, const void *v, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += number(t, v, i) * number(t, v, i);
    return sqrt(s);
}

static void exchange(Train *t)
{
    for (int i = 0; i < VECS; i++) {
        void *old = t->st.vec[i];
        t->st.vec[i] = t->next[i];
        t->next[i] = old;
    }
    t->st.control = number(t, &t->num[NUM_NEW_CONTROL], 0);
    bind_vectors(t);
}

static int tally(Train *t)
{
    double loss = number(t, &t->num[NUM_LOSS], 0), slope = norm_of(t, t->grad, t->list.params);
    if (!isfinite(loss) || !isfinite(slope))
        return fail_input("%s: epoch %" PRId64 ", step %" PRId64
                          ": the %s is not finite; a lower lr "
                          "may help. What is in %s is from before",
                          t->p->model, t->st.epoch, t->st.step,
                          isfinite(loss) ? "gradient" : "loss", t->p->folder);
    t->st.loss += loss;
    t->st.slope += slope;
    t->st.penalty += number(t, &t->num[NUM_PENALTY], 0);
    t->st.psi = number(t, &t->num[NUM_PSI], 0);
    t->st.correct += count_correct(t, t->y, t->b);
    return 0;
}

static int take_step(Train *t)
{
    Hypers h = {0};
    AdjCall call = {.n = 1, .io = t->io, .hyper = h.at};
    int e = fill_batch(t);
    if (e) return e;
    set_hypers(t, &h);
    element_store(t->image.dtype, &t->num[NUM_CONTROL], 0, t->st.control);
    e = harness_call(&t->h, t->step, &call, NULL);
    if (!e) e = tally(t);
    if (e) return e;
    exchange(t);
    t->st.step++;
    return 0;
}

/* ---- the test set ---- */

static int test_batch(Train *t, int64_t at, int64_t *hits)
{
    size_t bytes = tensor_bytes(&t->image);
    int64_t n = t->test.n - at < t->b ? t->test.n - at : t->b;
    AdjCall call = {.n = 1, .io = t->eval_io};
    int e = images_read(&t->test, at, n, t->pixels);
    if (!e) e = images_labels(&t->test, at, n, t->classes, t->y);
    memset(t->pixels + (size_t)n * bytes, 0, (size_t)(t->b - n) * bytes);
    if (!e) e = harness_call(&t->h, t->logits, &call, NULL);
    if (!e) *hits += count_correct(t, t->y, n);
    return e;
}

static int test_accuracy(Train *t, double *out)
{
    int64_t hits = 0;
    int e = 0;
    *out = NAN;
    for (int64_t at = 0; at < t->test.n && !e; at += t->b) e = test_batch(t, at, &hits);
    if (t->test.n && !e) *out = (double)hits / (double)t->test.n;
    return e;
}

/* ---- an epoch ---- */

static int write_csv(const Train *t)
{
    NewFile file;
    DataError e;
    if (!file_create(t->p->csv, &file, &e)) return fail_input("%s", e.msg);
    fputs("epoch,lr,loss,penalty,psi,gradient_norm,accuracy,test_accuracy\n", file.f);
    fputs(t->st.csv, file.f);
    return file_commit(&file, true, &e) ? 0 : fail_input("%s", e.msg);
}

static int add_row(Train *t, double test)
{
    const TrainState *s = &t->st;
    double n = (double)t->steps, images = n * (double)t->b;
    char tail[32] = "", *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return fail_input("no memory for a row of %s", t->p->csv);
    if (!isnan(test)) snprintf(tail, sizeof tail, "%.6g", test);
    fprintf(f, "%s%" PRId64 ",%.9g,%.9g,%.9g,%.9g,%.9g,%.6g,%s\n", s->csv, s->epoch,
            recipe_lr(&t->p->recipe, s->epoch, 0), s->loss / n, s->penalty / n, s->psi,
            s->slope / n, (double)s->correct / images, tail);
    if (fclose(f)) return fail_input("no memory for a row of %s", t->p->csv);
    free(t->st.csv);
    t->st.csv = text;
    return 0;
}

static int end_epoch(Train *t)
{
    double test;
    TrainState *s = &t->st;
    int e = test_accuracy(t, &test);
    if (!e) e = add_row(t, test);
    if (e) return e;
    s->epoch++;
    s->step = s->correct = 0;
    s->loss = s->penalty = s->slope = 0;
    e = write_csv(t);
    return e ? e : state_save(t->p->checkpoint, s);
}

static void show(Train *t)
{
    const TrainState *s = &t->st;
    double n = s->step ? (double)s->step : 1;
    snprintf(t->what, sizeof t->what, "epoch %" PRId64 "  loss %.4f  accuracy %.4f  images",
             s->epoch, s->loss / n, (double)s->correct / n / (double)t->b);
    progress_show(&t->progress, (s->epoch * t->steps + s->step) * t->b);
}

static int run_epoch(Train *t)
{
    TrainPlan *p = t->p;
    int e = 0;
    batch_order(p->run.seed, t->st.epoch, t->data.n, t->order);
    while (t->st.step < t->steps && !e && !signals_seen()) {
        e = take_step(t);
        if (!e) show(t);
        if (!e && p->every && t->st.step % p->every == 0) e = state_save(p->checkpoint, &t->st);
    }
    return e || signals_seen() ? e : end_epoch(t);
}

static int stopped(Train *t)
{
    int e = state_save(t->p->checkpoint, &t->st);
    if (e) return e;
    fail_input("stopped in epoch %" PRId64 " after %" PRId64
               " steps; the same command with --resume "
               "goes on from there",
               t->st.epoch, t->st.step);
    return 128 + (int)signals_seen();
}

static int finish(Train *t)
{
    AdjError e;
    if (!adj_train_save(t->h.compiled, t->st.vec[VEC_PARAMS], t->st.vec[VEC_STATS], t->p->net, &e))
        return fail_input("%s", e.msg);
    const char *row = t->st.csv;
    for (const char *at = row; (at = strchr(at, '\n')) && at[1];) row = ++at;
    printf("epoch,lr,loss,penalty,psi,gradient_norm,accuracy,test_accuracy\n%s%s\n", row,
           t->p->net);
    return 0;
}

int train_run(TrainPlan *p, AdjOptions *o)
{
    Train t = {.p = p};
    int e = open_train(&t, o);
    int64_t epochs = (int64_t)p->recipe.epochs;
    if (!e) e = write_csv(&t);
    if (!e) {
        signals_heed(true);
        t.progress = progress_resume(t.what, epochs * t.steps * t.b,
                                     (t.st.epoch * t.steps + t.st.step) * t.b);
        while (t.st.epoch < epochs && !e && !signals_seen()) e = run_epoch(&t);
        progress_clear(&t.progress);
        if (!e) e = t.st.epoch < epochs ? stopped(&t) : finish(&t);
    }
    release(&t);
    return e;
}

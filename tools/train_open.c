/* SPDX-License-Identifier: Apache-2.0 */
/* From a plan to a training that can take steps: the model compiled with its parts, the data,
 * memory for what the entry remembers, and the checkpoint to go on from. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "runtime/load.h"
#include "tools/ranks.h"
#include "tools/say.h"
#include "tools/train_run.h"

static const char *const num_names[NUMS] = {"loss", "penalty", "psi_used"};

/* ---- memory ---- */

double train_number(const Train *t, const void *v, int64_t i)
{
    return tensor_value(&t->image, v, i);
}

static size_t element_bytes(const Train *t)
{
    return t->image.dtype == ADJ_F64 ? 8 : 4;
}

static void lend(const AdjEntry *e, void **io, const char *name, void *memory)
{
    int k = e ? adj_io(e, name) : -1;
    if (k >= 0) io[k] = memory;
}

static int fresh_of(const AdjEntry *e, const char *name)
{
    char fresh[64];
    snprintf(fresh, sizeof fresh, "new_%s", name);
    return adj_io(e, fresh);
}

TrainVector *train_result(Train *t, const char *name)
{
    bool params = !strcmp(name, "params");
    TrainVector *average = state_vector(&t->st, params ? "average" : "average_stats");
    return average ? average : state_vector(&t->st, name);
}

void train_bind(Train *t)
{
    for (int i = 0; i < t->st.nvec; i++) {
        TrainVector *v = &t->st.vec[i];
        char fresh[64];
        snprintf(fresh, sizeof fresh, "new_%s", v->name);
        lend(t->step, t->io, v->name, v->now);
        lend(t->step, t->io, fresh, v->next);
        lend(t->update, t->update_io, v->name, v->now);
        lend(t->update, t->update_io, fresh, v->next);
    }
    TrainVector *params = train_result(t, "params"), *stats = train_result(t, "stats");
    lend(t->logits, t->eval_io, "params", params->now);
    if (stats) lend(t->logits, t->eval_io, "stats", stats->now);
}

static void *room(size_t n)
{
    return calloc(n ? n : 1, 1);
}

static bool allocate_vectors(Train *t, const AdjEntry *entry, bool late)
{
    bool ok = true;
    for (int i = 0; entry && i < entry->nio && ok; i++) {
        const AdjTensor *io = &entry->io[i];
        if (fresh_of(entry, io->name) < 0) continue;
        if (t->st.nvec == MAX_STATES) return false;
        TrainVector v = {.name = io->name, .n = tensor_elements(io), .late = late};
        v.bytes = tensor_bytes(io);
        ok = (v.now = room(v.bytes)) && (v.next = room(v.bytes));
        t->st.vec[t->st.nvec++] = v;
    }
    return ok;
}

static bool allocate(Train *t)
{
    size_t e = element_bytes(t), params = (size_t)t->list.params, b = (size_t)t->b;
    return allocate_vectors(t, t->step, false) && allocate_vectors(t, t->update, true) &&
           (t->raw = room(tensor_bytes(&t->image))) &&
           (t->pixels = room(b * tensor_bytes(&t->image))) && (t->y = room(b * sizeof *t->y)) &&
           (t->pick = room(b * sizeof *t->pick)) && (t->ids = room(b * sizeof *t->ids)) &&
           (t->attacked = room(b * sizeof *t->attacked)) &&
           (t->scores = room((size_t)(t->b * t->classes) * e)) && (t->grad = room(params * e)) &&
           (t->labels = room((size_t)t->data.n * sizeof *t->labels)) &&
           (t->order = room((size_t)t->data.n * sizeof *t->order)) && (t->st.csv = strdup(""));
}

void train_close(Train *t)
{
    for (int i = 0; i < t->st.nvec; i++) {
        free(t->st.vec[i].now);
        free(t->st.vec[i].next);
    }
    void *all[] = {t->pixels, t->raw,  t->y,      t->pick,  t->attacked, t->ids,
                   t->scores, t->grad, t->labels, t->order, t->st.csv};
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
    lend(t->step, t->io, "attacked", t->attacked);
    lend(t->step, t->io, "ids", t->ids);
    lend(t->step, t->io, "grad", t->grad);
    lend(t->update, t->update_io, "grad", t->grad);
    lend(t->step, t->io, "logits", t->scores);
    lend(t->logits, t->eval_io, "x", t->pixels);
    lend(t->logits, t->eval_io, "logits", t->scores);
    for (int i = 0; i < NUMS; i++) lend(t->step, t->io, num_names[i], &t->num[i]);
    train_bind(t);
}

/* ---- opening ---- */

/* Whichever thread comes to a sum over ranks asks for it. */
static int open_sums(Train *t)
{
    t->h.env.allreduce = train_allreduce;
    if (t->h.env.workers == 1 || ranks_any_thread()) return 0;
    return fail_input("statistics = synchronised: this MPI serves one thread; give --threads 1");
}

static int open_model(Train *t, AdjOptions *o)
{
    static char parts[256];
    AdjError error;
    recipe_parts(&t->p->recipe, parts, sizeof parts);
    t->b = o->batch = (int64_t)t->p->recipe.batch;
    o->train = parts;
    t->ranks = ranks_count();
    bool together = recipe_has(&t->p->recipe, "statistics"), halves = t->ranks > 1 && !together;
    o->entries = halves ? "train-gradient,train-update,train-logits" : "train-step,train-logits";
    int e = harness_open(&t->h, o, t->p->run.threads);
    if (!e && t->ranks > 1 && together) e = open_sums(t);
    if (e) return e;
    t->step = harness_entry(&t->h, halves ? "train-gradient" : "train-step");
    t->update = harness_entry(&t->h, "train-update");
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
    t->steps = t->data.n / (t->b * t->ranks);
    if (t->steps) return 0;
    return fail_input("%s: %" PRId64 " images are less than one batch of %" PRId64, t->data.path,
                      t->data.n, t->b * t->ranks);
}

static uint32_t crc_of(uint32_t crc, const void *p, size_t n)
{
    return (uint32_t)crc32(crc, p, (uInt)n);
}

/* What must be the same for a checkpoint to be of this run. */
static void make_key(Train *t)
{
    static char recipe[3000];
    uint32_t start = 0;
    for (int i = 0; i < t->st.nvec; i++)
        start = crc_of(start, t->st.vec[i].now, t->st.vec[i].bytes);
    uint32_t labels = crc_of(0, t->labels, (size_t)t->data.n * sizeof *t->labels);
    recipe_text(&t->p->recipe, recipe, sizeof recipe);
    snprintf(t->st.key, sizeof t->st.key,
             "model %016" PRIx64 " start %08x, %" PRId64 " images from %" PRId64
             " labels %08x test %d, seed %" PRIu64 ", ranks %" PRId64 ", %s",
             t->h.model->hash, start, t->data.n, t->data.first, labels, t->p->test != NULL,
             t->p->run.seed, t->ranks, recipe);
}

static int resume(Train *t)
{
    bool found = false;
    int e = 0;
    if (t->p->resume && !ranks_index()) e = state_load(t->p->checkpoint, &t->st, &found);
    if ((e = train_spread(t, e))) return e;
    if (t->st.epoch < 0 || t->st.step < 0 || t->st.step > t->steps)
        return fail_input("%s: damaged checkpoint (its place is not of this run)",
                          t->p->checkpoint);
    if (found) note("goes on from epoch %" PRId64 ", step %" PRId64, t->st.epoch, t->st.step);
    return 0;
}

int train_open(Train *t, AdjOptions *o)
{
    AdjError error;
    int e = open_model(t, o);
    if (!e) e = open_data(t);
    if (!e && !allocate(t)) e = fail_input("%s: no memory to train it", t->p->model);
    if (!e) e = images_labels(&t->data, 0, t->data.n, t->classes, t->labels);
    if ((e = ranks_agree(e))) return e;
    TrainVector *stats = state_vector(&t->st, "stats");
    void *params = state_vector(&t->st, "params")->now;
    if (!adj_train_start(t->h.compiled, params, stats ? stats->now : NULL, &error))
        return fail_input("%s", error.msg);
    make_key(t);
    e = resume(t);
    bind_all(t);
    return e;
}

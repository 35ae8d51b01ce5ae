/* SPDX-License-Identifier: Apache-2.0 */
/* A step: the batch, its numbers, the call; and the accuracy on the test set. All that a step reads
 * is in the state, in the recipe or drawn by the counter generator. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/load.h"
#include "tools/ranks.h"
#include "tools/say.h"
#include "tools/train_run.h"

static int fill_batch(Train *t)
{
    size_t bytes = tensor_bytes(&t->image);
    const Recipe *r = &t->p->recipe;
    uint64_t seed = t->p->run.seed;
    for (int64_t k = 0; k < t->b; k++) {
        int64_t share = t->st.step * t->ranks + ranks_index();
        int64_t at = t->order[share * t->b + k], id = t->data.first + at;
        Augment a = {seed, t->st.epoch, id, (int)r->crop, r->flip > 0};
        int e = images_read(&t->data, at, 1, t->raw);
        if (!e) e = images_check_pixels(&t->data, at, 1, t->raw);
        if (e) return e;
        batch_augment(&a, &t->image, t->raw, t->pixels + (size_t)k * bytes);
        t->y[k] = t->labels[at];
        t->pick[k] = batch_pick(seed, t->st.epoch, id, t->classes, r->tandem);
        t->attacked[k] = batch_attacked(seed, t->st.epoch, id, r->attacked);
        t->ids[k] = id;
    }
    return 0;
}

typedef struct Setting {
    const AdjEntry *entry;
    Hypers *h;
} Setting;

/* Keys that are no parameters of the entry are for somebody else. */
static void set_hyper(void *user, const char *name, double value)
{
    Setting *s = user;
    int k = adj_hyper(s->entry, name);
    if (k >= 0) hypers_set(s->h, s->entry, k, value);
}

static void set_hypers(Train *t, const AdjEntry *entry, Hypers *h)
{
    Place at = {t->st.epoch, t->st.step, t->steps};
    Pace pace = recipe_pace(&t->p->recipe, &at);
    Setting s = {entry, h};
    recipe_each(&t->p->recipe, set_hyper, &s);
    set_hyper(&s, "lr", pace.lr);
    set_hyper(&s, "momentum", pace.momentum);
    set_hyper(&s, "beta1", pace.beta1);
    set_hyper(&s, "draw", (double)(t->st.epoch & 0xffffff));
}

static int64_t count_correct(const Train *t, const int64_t *label, int64_t n)
{
    int64_t hits = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t best = 0;
        for (int64_t k = 1; k < t->classes; k++)
            if (train_number(t, t->scores, i * t->classes + k) >
                train_number(t, t->scores, i * t->classes + best))
                best = k;
        hits += best == label[i];
    }
    return hits;
}

static double norm_of(const Train *t, const void *v, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += train_number(t, v, i) * train_number(t, v, i);
    return sqrt(s);
}

static void exchange(Train *t, bool late)
{
    for (int i = 0; i < t->st.nvec; i++) {
        if (t->st.vec[i].late != late) continue;
        void *old = t->st.vec[i].now;
        t->st.vec[i].now = t->st.vec[i].next;
        t->st.vec[i].next = old;
    }
    train_bind(t);
}

/* The step, the node whose value first was not finite, and where to go on from. */
static int fail_step(Train *t, const char *what)
{
    char node[200] = "", from[4200] = "there is no checkpoint yet";
    AdjTrainPoint at = {t->pixels, state_vector(&t->st, "params")->now, t->y};
    AdjError error;
    bool found = adj_train_blame(t->h.compiled, &at, node, sizeof node, &error) && *node;
    bool any = ranks_most(found) > 0;
    if (any && !found) return 0; /* a rank that has found one says so for all */
    if (!access(t->p->checkpoint, F_OK))
        snprintf(from, sizeof from, "the last good checkpoint is %s", t->p->checkpoint);
    return fail_input("%s: epoch %" PRId64 ", step %" PRId64
                      ": the %s is not finite, first in %s; a lower lr may help; %s",
                      t->p->model, t->st.epoch, t->st.step, what,
                      found ? node : "no value of the images themselves", from);
}

static int tally(Train *t)
{
    double loss = train_number(t, &t->num[NUM_LOSS], 0),
           slope = norm_of(t, t->grad, t->list.params);
    if (!isfinite(loss) || !isfinite(slope))
        return fail_step(t, isfinite(loss) ? "gradient" : "loss");
    t->st.loss += loss;
    t->st.slope += slope;
    t->st.penalty += train_number(t, &t->num[NUM_PENALTY], 0);
    t->st.psi = train_number(t, &t->num[NUM_PSI], 0);
    t->st.correct += ranks_sum(count_correct(t, t->y, t->b));
    return 0;
}

static int call_step(Train *t)
{
    Hypers h = {0};
    AdjCall call = {.n = 1,
                    .io = t->io,
                    .hyper = h.at,
                    .steps = (int32_t)t->p->recipe.attack_steps,
                    .seed = t->p->run.seed};
    int e = fill_batch(t);
    if (e) return e;
    set_hypers(t, t->step, &h);
    return harness_call(&t->h, t->step, &call, NULL);
}

static int call_update(Train *t)
{
    Hypers h = {0};
    AdjCall call = {.n = 1, .io = t->update_io, .hyper = h.at};
    if (!t->update) return 0;
    set_hypers(t, t->update, &h);
    int e = ranks_agree(harness_call(&t->h, t->update, &call, NULL));
    if (!e) exchange(t, true);
    return e;
}

int train_step(Train *t)
{
    int e = ranks_agree(call_step(t));
    if (!e) e = train_bring_together(t);
    if (!e) e = ranks_agree(tally(t));
    if (e) return e;
    exchange(t, false);
    if ((e = call_update(t))) return e;
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

int train_test(Train *t, double *out)
{
    int64_t hits = 0;
    int e = 0;
    *out = NAN;
    int64_t at = t->b * ranks_index();
    for (; at < t->test.n && !e; at += t->b * t->ranks) e = test_batch(t, at, &hits);
    if ((e = ranks_agree(e))) return e;
    hits = ranks_sum(hits);
    if (t->test.n && !e) *out = (double)hits / (double)t->test.n;
    return e;
}

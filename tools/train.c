/* SPDX-License-Identifier: Apache-2.0 */
/* The run: epochs of steps from the state, which is saved after each epoch, now and then, and when
 * a signal comes. A run that goes on from a checkpoint writes the same bytes. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/data/format.h"
#include "tools/ranks.h"
#include "tools/say.h"
#include "tools/signals.h"
#include "tools/train_run.h"

static int put_csv(const Train *t)
{
    NewFile file;
    DataError e;
    if (!file_create(t->p->csv, &file, &e)) return fail_input("%s", e.msg);
    fputs("epoch,lr,loss,penalty,psi,gradient_norm,accuracy,test_accuracy\n", file.f);
    fputs(t->st.csv, file.f);
    return file_commit(&file, true, &e) ? 0 : fail_input("%s", e.msg);
}

static int write_csv(const Train *t)
{
    return ranks_agree(ranks_index() ? 0 : put_csv(t));
}

static int add_row(Train *t, double test)
{
    const TrainState *s = &t->st;
    double n = (double)t->steps, images = n * (double)(t->b * t->ranks);
    char tail[32] = "", *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return fail_input("no memory for a row of %s", t->p->csv);
    if (!isnan(test)) snprintf(tail, sizeof tail, "%.6g", test);
    fprintf(f, "%s%" PRId64 ",%.9g,%.9g,%.9g,%.9g,%.9g,%.6g,%s\n", s->csv, s->epoch,
            recipe_pace(&t->p->recipe, &(Place){s->epoch, 0, t->steps}).lr, s->loss / n,
            s->penalty / n, s->psi, s->slope / n, (double)s->correct / images, tail);
    if (fclose(f)) return fail_input("no memory for a row of %s", t->p->csv);
    free(t->st.csv);
    t->st.csv = text;
    return 0;
}

static int end_epoch(Train *t)
{
    double test;
    TrainState *s = &t->st;
    int e = train_test(t, &test);
    if (!e) e = add_row(t, test);
    if (e) return e;
    s->epoch++;
    s->step = s->correct = 0;
    s->loss = s->penalty = s->slope = 0;
    e = write_csv(t);
    return e ? e : train_save(t);
}

static void show(Train *t)
{
    const TrainState *s = &t->st;
    double n = s->step ? (double)s->step : 1;
    snprintf(t->what, sizeof t->what, "epoch %" PRId64 "  loss %.4f  accuracy %.4f  images",
             s->epoch, s->loss / n, (double)s->correct / n / (double)(t->b * t->ranks));
    progress_show(&t->progress, (s->epoch * t->steps + s->step) * t->b * t->ranks);
}

static int run_epoch(Train *t)
{
    TrainPlan *p = t->p;
    int e = 0;
    batch_order(p->run.seed, t->st.epoch, t->data.n, t->order);
    while (t->st.step < t->steps && !e && !(t->signal = (int)ranks_most(signals_seen()))) {
        e = train_step(t);
        if (!e) show(t);
        if (!e && p->every && t->st.step % p->every == 0) e = train_save(t);
    }
    return e || t->signal ? e : end_epoch(t);
}

static int stopped(Train *t)
{
    int e = train_save(t);
    if (e) return e;
    fail_input("stopped in epoch %" PRId64 " after %" PRId64
               " steps; the same command with --resume "
               "goes on from there",
               t->st.epoch, t->st.step);
    return 128 + t->signal;
}

static int finish(Train *t)
{
    AdjError e;
    const TrainVector *params = train_result(t, "params"), *stats = train_result(t, "stats");
    if (!adj_train_save(t->h.compiled, params->now, stats ? stats->now : NULL, t->p->net, &e))
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
    int e = train_open(&t, o);
    int64_t epochs = (int64_t)p->recipe.epochs;
    if (!e) e = write_csv(&t);
    if (!e) {
        signals_heed(ranks_index() == 0);
        t.progress = progress_resume(t.what, epochs * t.steps * t.b * t.ranks,
                                     (t.st.epoch * t.steps + t.st.step) * t.b * t.ranks);
        while (t.st.epoch < epochs && !e && !t.signal) e = run_epoch(&t);
        progress_clear(&t.progress);
        if (!e) e = t.st.epoch < epochs ? stopped(&t) : ranks_agree(ranks_index() ? 0 : finish(&t));
    }
    train_close(&t);
    return e;
}

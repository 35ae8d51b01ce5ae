/* SPDX-License-Identifier: Apache-2.0 */
/* The run of an ARA: rounds, in each of which a rank attacks as many images as its workers hold at
 * once. A signal is heeded between rounds; a second one ends the process at once, and the
 * checkpoint is whole then too. */
#define _POSIX_C_SOURCE 200809L
#include "tools/ara.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "runtime/load.h"
#include "tools/chunk.h"
#include "tools/data/format.h"
#include "tools/progress.h"
#include "tools/ranks.h"
#include "tools/say.h"
#include "tools/signals.h"

typedef struct Ara {
    const AraPlan *plan;
    AraResult *r;
    Harness h;
    Images s;
    Buffers clean, b; /* of forward and of the attack, one chunk */
    uint64_t *ids;    /* of a chunk: indices in the data set */
    int64_t round;    /* images of all ranks at once */
    char key[512];
    bool warned;
} Ara;

/* ---- stopping ---- */

static int say_stopped(const Ara *a, int number)
{
    const AraResult *r = a->r;
    const char *how = a->plan->checkpoint ? "the same command with --resume goes on from there"
                                          : "nothing is kept without -o or --checkpoint";
    fail_input("stopped after %" PRId64 " of %" PRId64 " images; %s", r->done, r->total, how);
    return 128 + number;
}

/* ---- the list of images ---- */

static int read_indices(Ara *a, int64_t **list, int64_t *n)
{
    DataError e;
    const char *path = a->plan->indices;
    int64_t count = data_count(a->s.data);
    if (!integers_load(path, list, n, &e)) return fail_input("%s", e.msg);
    for (int64_t i = 0; i < *n; i++)
        if ((*list)[i] < 0 || (*list)[i] >= count)
            return fail_input("%s: entry %" PRId64 " is %" PRId64
                              ", %s has the images 0 to %" PRId64,
                              path, i + 1, (*list)[i], a->s.path, count - 1);
    if (a->plan->range.first < *n) return 0;
    return fail_usage("--first: %" PRId64 " is beyond the %" PRId64 " entries of %s",
                      a->plan->range.first, *n, path);
}

static int make_rows(Ara *a, const int64_t *list, int64_t first, int64_t n)
{
    AraResult *r = a->r;
    r->row = calloc((size_t)n, sizeof *r->row);
    if (!r->row) return fail_input("no memory for %" PRId64 " images", n);
    r->total = n;
    for (int64_t i = 0; i < n; i++) r->row[i].index = list ? list[first + i] : first + i;
    return 0;
}

static int open_images(Ara *a)
{
    const DataRange *range = &a->plan->range;
    DataRange all = *range;
    int64_t *list = NULL, n = 0;
    if (a->plan->indices) {
        all.first = 0;
        all.limit = INT64_MAX;
    }
    int e = images_open(&a->s, a->plan->images, &all);
    if (e) return e;
    if (!a->plan->indices) {
        e = make_rows(a, NULL, a->s.first, a->s.n);
        a->s.first = 0; /* rows name images by their index in the set */
        return e;
    }
    if (!(e = read_indices(a, &list, &n))) {
        n -= range->first;
        e = make_rows(a, list, range->first, n < range->limit ? n : range->limit);
    }
    free(list);
    return e;
}

/* ---- memory ---- */

static int prepare(Ara *a)
{
    static const char *const names[] = {"x", "y", "rmse", "first_ok"};
    int e;
    a->b.entry = harness_entry(&a->h, a->plan->attack);
    a->clean.entry = harness_entry(&a->h, "forward");
    int64_t full = (int64_t)a->h.env.workers * a->b.entry->slots;
    a->b.samples = a->clean.samples = full < a->r->total ? full : a->r->total;
    if ((e = images_bind(&a->s, &a->h, &a->b.entry->io[0]))) return e;
    for (int i = 0; i < 4; i++)
        if ((e = buffers_add(&a->b, names[i]))) return e;
    if ((e = buffers_add(&a->clean, "logits")) ||
        (e = buffers_lend(&a->clean, "x", buffers_data(&a->b, "x"))))
        return e;
    a->ids = calloc((size_t)a->b.samples, sizeof *a->ids);
    a->r->classes = tensor_elements(buffers_tensor(&a->clean, "logits"));
    a->r->hash = a->h.model->hash;
    a->r->f64 = a->b.entry->io[0].dtype == ADJ_F64;
    a->r->precision = a->h.precision;
    return a->ids ? 0 : fail_input("no memory for a chunk of images");
}

/* ---- a chunk ---- */

static uint32_t image_crc(const Ara *a, const void *pixels, int64_t label)
{
    uLong crc = crc32(0, pixels, (uInt)tensor_bytes(a->s.x));
    return (uint32_t)crc32(crc, (const Bytef *)&label, sizeof label);
}

static int read_image(Ara *a, AraRow *row, void *x, int64_t *y)
{
    int e;
    if ((e = images_read(&a->s, row->index, 1, x)) ||
        (e = images_check_pixels(&a->s, row->index, 1, x)) ||
        (e = images_labels(&a->s, row->index, 1, a->r->classes, y)))
        return e;
    row->label = *y;
    return 0;
}

static int read_chunk(Ara *a, AraRow *row, int64_t n)
{
    char *x = buffers_data(&a->b, "x");
    int64_t *y = buffers_data(&a->b, "y");
    size_t bytes = tensor_bytes(a->s.x);
    for (int64_t i = 0; i < n; i++, x += bytes) {
        int e = read_image(a, &row[i], x, &y[i]);
        if (e) return e;
        row[i].crc = image_crc(a, x, y[i]);
        a->ids[i] = (uint64_t)row[i].index;
    }
    return 0;
}

static int classify(Ara *a, AraRow *row, int64_t n)
{
    const AdjTensor *t = buffers_tensor(&a->clean, "logits");
    const void *logits = buffers_data(&a->clean, "logits");
    AdjCall call = {.n = n, .io = a->clean.io};
    int e = harness_call(&a->h, a->clean.entry, &call, NULL);
    if (e) return e;
    if (!a->warned && score_probabilities(t, logits, n))
        warn("%s: its outputs look like probabilities; attacks want logits", a->h.path);
    a->warned = true;
    for (int64_t i = 0; i < n; i++) row[i].predicted = score_class(t, logits, i);
    return 0;
}

static void set_hypers(const Ara *a, Hypers *h)
{
    const AraPlan *p = a->plan;
    const AdjEntry *e = a->b.entry;
    hypers_set(h, e, adj_hyper(e, "eps"), p->eps);
    hypers_set(h, e, adj_hyper(e, "mu"), p->mu);
    hypers_set(h, e, adj_hyper(e, "box"), p->box);
}

static int attack(Ara *a, int64_t n)
{
    Hypers hypers = {0};
    AdjStatus status;
    set_hypers(a, &hypers);
    AdjCall call = {
        .n = n, .ids = a->ids, .steps = a->plan->steps, .io = a->b.io, .hyper = hypers.at};
    double start = seconds_now();
    int e = harness_call(&a->h, a->b.entry, &call, &status);
    a->r->seconds += seconds_now() - start;
    a->r->forwards += status.forwards;
    a->r->backwards += status.backwards;
    return e;
}

static int record(Ara *a, AraRow *row, int64_t n)
{
    const AdjTensor *t = buffers_tensor(&a->b, "rmse");
    const int32_t *first = buffers_data(&a->b, "first_ok");
    for (int64_t i = 0; i < n; i++) {
        row[i].rmse = tensor_value(t, buffers_data(&a->b, "rmse"), i);
        row[i].first = first[i];
        if (!isfinite(row[i].rmse))
            return fail_input("%s: image %" PRId64 ": the size of its perturbation is no number",
                              a->h.path, row[i].index);
    }
    return 0;
}

static int run_chunk(Ara *a, AraRow *row, int64_t n)
{
    int e;
    if ((e = read_chunk(a, row, n)) || (e = classify(a, row, n)) || (e = attack(a, n))) return e;
    return record(a, row, n);
}

/* ---- the guard ---- */

static void late_text(const AraRow *w, char *out, size_t size)
{
    if (w->first == ARA_NEVER)
        snprintf(out, size, "never fooled");
    else
        snprintf(out, size, "first fooled at step %d", w->first);
}

/* Stops at the first of n rows whose attack had no time to minimise, unless that is allowed. */
static int guard(const Ara *a, const AraRow *row, int64_t n)
{
    const AraPlan *p = a->plan;
    char text[64];
    for (int64_t i = 0; i < n && !p->lenient; i++) {
        if (!ara_late(&row[i], p->steps)) continue;
        late_text(&row[i], text, sizeof text);
        return fail_input("%s: image %" PRId64 " was %s, later than half of %d steps: its size is "
                          "not minimal; try a larger --eps or --steps, or --guard warn",
                          p->images, row[i].index, text, p->steps);
    }
    return 0;
}

static void warn_late(const Ara *a)
{
    const AraResult *r = a->r;
    if (!r->late) return;
    warn("%" PRId64 " of %" PRId64 " images were fooled later than half of %d steps, %" PRId64
         " of them never: those count as size 0, and the area is no more than a lower bound",
         r->late, r->total, a->plan->steps, r->never);
}

/* ---- all of it ---- */

/* The images of a checkpoint must be those of this set. */
static int check_images(Ara *a)
{
    void *x = buffers_data(&a->b, "x");
    for (int64_t i = 0; i < a->r->done; i++) {
        AraRow row = a->r->row[i];
        int64_t y;
        int e = read_image(a, &row, x, &y);
        if (e) return e;
        if (image_crc(a, x, y) != row.crc)
            return fail_input("%s: image %" PRId64 " or its label is not that of %s",
                              a->plan->checkpoint, row.index, a->plan->images);
    }
    return 0;
}

static int load(Ara *a)
{
    const AraPlan *p = a->plan;
    int e;
    if (!p->checkpoint) return 0;
    if (!p->resume && access(p->checkpoint, F_OK) == 0)
        return fail_input(
            "%s: is there from an earlier run; --resume goes on from it, or remove it",
            p->checkpoint);
    e = ara_load(p->checkpoint, a->key, a->r);
    return e ? e : check_images(a);
}

/* Ranks that were compiled for different CPUs would not give the same bits. */
static int check_ranks(const Ara *a)
{
    uint64_t first = a->r->hash;
    ranks_spread(&first, sizeof first);
    if (first == a->r->hash) return 0;
    return fail_input("%s: compiled for %s here, to other code than on rank 0; give --cpu",
                      a->h.path, a->h.model->cpu);
}

/* All ranks go on from where rank 0 finds the checkpoint. */
static int resume(Ara *a)
{
    AraResult *r = a->r;
    int e = ranks_agree(check_ranks(a));
    if (e) return e;
    ara_key(a->plan, r, a->key, sizeof a->key);
    if ((e = ranks_agree(ranks_index() ? 0 : load(a)))) return e;
    ranks_spread(&r->done, sizeof r->done);
    ranks_spread(r->row, (size_t)r->done * sizeof *r->row);
    r->resumed = r->done;
    return guard(a, r->row, r->done);
}

/* This rank's share of the next n images, then everybody's. */
static int run_round(Ara *a, AraRow *row, int64_t n)
{
    int64_t share = a->b.samples, at = share * ranks_index(), mine = n - at;
    int e = mine > 0 ? run_chunk(a, row + at, mine < share ? mine : share) : 0;
    if ((e = ranks_agree(e))) return e;
    ranks_gather(row, (size_t)share * sizeof *row, (size_t)n * sizeof *row);
    return 0;
}

static int keep(const Ara *a)
{
    const char *path = a->plan->checkpoint;
    return ranks_agree(path && !ranks_index() ? ara_save(path, a->key, a->r) : 0);
}

static int run_all(Ara *a)
{
    AraResult *r = a->r;
    int e = 0, number = 0;
    Progress progress = progress_resume(a->plan->attack, r->total, r->done);
    signals_heed(ranks_index() == 0);
    while (r->done < r->total && !e && !(number = (int)ranks_most(signals_seen()))) {
        AraRow *row = &r->row[r->done];
        int64_t left = r->total - r->done, n = left < a->round ? left : a->round;
        if ((e = run_round(a, row, n))) break;
        r->done += n;
        if ((e = keep(a))) break;
        progress_show(&progress, r->done);
        e = guard(a, row, n);
    }
    progress_clear(&progress);
    return !e && r->done < r->total ? say_stopped(a, number) : e;
}

static int write_files(const AraPlan *p, const AraResult *r)
{
    int e;
    if (p->out && (e = ara_write_csv(p->out, p, r))) return e;
    if (p->json && (e = ara_write_json(p->json, p, r))) return e;
    if (p->checkpoint) remove(p->checkpoint);
    return 0;
}

static int finish(Ara *a)
{
    const AraPlan *p = a->plan;
    AraResult *r = a->r;
    int e;
    r->seconds = ranks_slowest(r->seconds);
    r->forwards = (uint64_t)ranks_sum((int64_t)r->forwards);
    r->backwards = (uint64_t)ranks_sum((int64_t)r->backwards);
    r->compile_seconds = a->h.compile_seconds;
    snprintf(r->target, sizeof r->target, "%s", a->h.model->target);
    snprintf(r->cpu, sizeof r->cpu, "%s", a->h.model->cpu);
    if ((e = ara_summarise(p, r))) return e;
    warn_late(a);
    return ranks_agree(ranks_index() ? 0 : write_files(p, r));
}

int ara_run(const AraPlan *plan, const AdjOptions *o, AraResult *r)
{
    Ara a = {.plan = plan, .r = r};
    int e;
    *r = (AraResult){0};
    if (!(e = open_images(&a)) && !(e = harness_open(&a.h, o, plan->run.threads))) e = prepare(&a);
    e = ranks_agree(e);
    if (!e) {
        a.b.samples = a.clean.samples = ranks_least(a.b.samples);
        a.round = a.b.samples * ranks_count();
    }
    if (!e && !(e = resume(&a)) && !(e = run_all(&a))) e = finish(&a);
    buffers_free(&a.b);
    buffers_free(&a.clean);
    images_close(&a.s);
    harness_close(&a.h);
    free(a.ids);
    return e;
}

void ara_release(AraResult *r)
{
    free(r->row);
    free(r->size);
    *r = (AraResult){0};
}

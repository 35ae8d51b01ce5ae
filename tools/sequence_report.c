/* SPDX-License-Identifier: Apache-2.0 */
/* What a sequence's result says, to people, as CSV and as JSON. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "tools/data/format.h"
#include "tools/say.h"
#include "tools/sequence.h"
#include "tools/json_file.h"

static double share(const SequenceResult *r, int64_t part)
{
    return r->n ? (double)part / (double)r->n : 0;
}

static int64_t before(const SequenceResult *r, int k)
{
    return k ? r->robust[k - 1] : r->correct;
}

/* The largest distance of the images that were broken. */
static Distance farthest(const SequenceResult *r)
{
    Distance d = {0};
    for (int64_t i = 0; i < r->n; i++) {
        d.linf = fmax(d.linf, r->row[i].distance.linf);
        d.l2 = fmax(d.l2, r->row[i].distance.l2);
        d.rmse = fmax(d.rmse, r->row[i].distance.rmse);
    }
    return d;
}

static StageCost whole_cost(const SequenceResult *r)
{
    StageCost all = {0};
    for (int k = 0; k < r->nstages; k++) {
        all.seconds += r->cost[k].seconds;
        all.forwards += r->cost[k].forwards;
        all.backwards += r->cost[k].backwards;
    }
    return all;
}

/* ---- for people ---- */

void sequence_print(const SequencePlan *p, const SequenceResult *r)
{
    Distance d = farthest(r);
    StageCost all = whole_cost(r);
    double n = (double)r->n;
    printf("%-16s %s, %s, eps %.6g, seed %" PRIu64 "\n", "attack", p->sequence, p->norm, p->eps,
           p->run.seed);
    printf("%-16s %.4f (%" PRId64 " of %" PRId64 ")\n", "clean accuracy", share(r, r->correct),
           r->correct, r->n);
    for (int k = 0; k < r->nstages; k++)
        printf("after %-10s %.4f (%" PRId64 " of %" PRId64 "; it broke %" PRId64 " in %.1f s)\n",
               r->stage[k].name, share(r, r->robust[k]), r->robust[k], r->n,
               before(r, k) - r->robust[k], r->cost[k].seconds);
    printf("%-16s %.4f (%" PRId64 " of %" PRId64 ")\n", "robust accuracy",
           share(r, before(r, r->nstages)), before(r, r->nstages), r->n);
    printf("%-16s Linf %.6g, L2 %.6g at most (pixels in [0,1])\n", "perturbations", d.linf, d.l2);
    printf("%-16s %.3f forwards, %.3f backwards a sample\n", "cost", (double)all.forwards / n,
           (double)all.backwards / n);
    printf("%-16s %.3f s, %d threads; compiled in %.2f s\n", "time", all.seconds, p->run.threads,
           r->compile_seconds);
}

/* ---- CSV ---- */

static const char *broken_by(const SequenceResult *r, const SequenceRow *w)
{
    if (w->broken == WRONG_BEFORE) return "clean";
    return w->broken == UNBROKEN ? "" : r->stage[sequence_stage_of(r, w->broken)].name;
}

int sequence_write_csv(const char *path, const SequencePlan *p, const SequenceResult *r)
{
    NewFile file;
    DataError error;
    (void)p;
    if (!file_create(path, &file, &error)) return fail_input("%s", error.msg);
    fprintf(file.f, "index,label,clean_prediction,adversarial_prediction,broken_by,linf,l2,rmse\n");
    for (int64_t i = 0; i < r->n; i++) {
        const SequenceRow *w = &r->row[i];
        fprintf(file.f, "%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%s,%.9g,%.9g,%.9g\n",
                r->first + i, w->label, w->before, w->after, broken_by(r, w), w->distance.linf,
                w->distance.l2, w->distance.rmse);
    }
    return file_commit(&file, true, &error) ? 0 : fail_input("%s", error.msg);
}

/* ---- JSON ---- */

static json_t *setting_json(const SequencePlan *p, const SequenceResult *r)
{
    char hash[20];
    snprintf(hash, sizeof hash, "%016" PRIx64, r->hash);
    return json_pack("{s:s, s:s, s:f, s:I, s:s, s:s, s:s, s:s, s:s, s:i}", "attack", p->sequence,
                     "norm", p->norm, "eps", p->eps, "seed", (json_int_t)p->run.seed, "model",
                     p->model, "hash", hash, "precision", r->precision, "target", r->target, "cpu",
                     r->cpu, "batch", r->slots);
}

static json_t *stages_json(const SequenceResult *r)
{
    json_t *list = json_array();
    for (int k = 0; k < r->nstages; k++) {
        const Stage *s = &r->stage[k];
        json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i, s:i, s:I, s:I, s:f}", "stage",
                                              s->name, "entry", s->entry, "steps", s->steps,
                                              "restarts", s->restarts, "targets", s->targets,
                                              "broken", (json_int_t)(before(r, k) - r->robust[k]),
                                              "robust", (json_int_t)r->robust[k], "robust_accuracy",
                                              share(r, r->robust[k])));
    }
    return list;
}

static json_t *result_json(const SequencePlan *p, const SequenceResult *r)
{
    Distance d = farthest(r);
    return json_pack("{s:s, s:I, s:I, s:f, s:f, s:o, s:{s:f, s:f, s:f}}", "images", p->images,
                     "first", (json_int_t)r->first, "n", (json_int_t)r->n, "clean_accuracy",
                     share(r, r->correct), "robust_accuracy", share(r, before(r, r->nstages)),
                     "stages", stages_json(r), "largest_distances", "linf", d.linf, "l2", d.l2,
                     "rmse", d.rmse);
}

static json_t *timing_json(const SequencePlan *p, const SequenceResult *r)
{
    json_t *list = json_array();
    for (int k = 0; k < r->nstages; k++)
        json_array_append_new(list, json_pack("{s:s, s:f, s:I, s:I}", "stage", r->stage[k].name,
                                              "seconds", r->cost[k].seconds, "forwards",
                                              (json_int_t)r->cost[k].forwards, "backwards",
                                              (json_int_t)r->cost[k].backwards));
    return json_pack("{s:o, s:f, s:f, s:i}", "stages", list, "attack_seconds",
                     whole_cost(r).seconds, "compile_seconds", r->compile_seconds, "threads",
                     p->run.threads);
}

int sequence_write_json(const char *path, const SequencePlan *p, const SequenceResult *r)
{
    json_t *j = json_pack("{s:o, s:o, s:o, s:s}", "settings", setting_json(p, r), "results",
                          result_json(p, r), "timings", timing_json(p, r), "units",
                          "pixels in [0,1]; eps: in the norm of the attack; accuracies: shares");
    return json_write(path, j);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The checkpoint of a sequence: what each stage has cost so far, then a row an image. Numbers are
 * hexadecimal floats: no digit is lost. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/checkpoint.h"
#include "tools/say.h"
#include "tools/sequence.h"

/* What must agree for rows to be of the same run. */
static void key_of(const SequencePlan *p, const SequenceResult *r, char *out, size_t size)
{
    snprintf(out, size,
             "%s, %s, eps %.17g, seed %" PRIu64 ", %" PRId64 " images from %" PRId64
             ", model %016" PRIx64,
             p->sequence, p->norm, p->eps, p->run.seed, r->n, r->first, r->hash);
}

static void print(FILE *f, const SequencePlan *p, const SequenceResult *r)
{
    char key[256];
    key_of(p, r, key, sizeof key);
    fprintf(f, "adjoint attack checkpoint 1\n%s\n", key);
    for (int k = 0; k < r->nstages; k++)
        fprintf(f, "%a %" PRIu64 " %" PRIu64 "\n", r->cost[k].seconds, r->cost[k].forwards,
                r->cost[k].backwards);
    for (int64_t i = 0; i < r->n; i++) {
        const SequenceRow *w = &r->row[i];
        fprintf(f, "%d %d %" PRId64 " %a %a %a %08x\n", w->passes, w->broken, w->after,
                w->distance.linf, w->distance.l2, w->distance.rmse, w->crc);
    }
}

int sequence_save(const SequencePlan *p, const SequenceResult *r)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (f) print(f, p, r);
    if (!f || fclose(f)) return fail_input("%s: no memory to write it", p->checkpoint);
    int e = checkpoint_save(p->checkpoint, text, n);
    free(text);
    return e;
}

static int load_costs(char **at, SequenceResult *r)
{
    for (int k = 0; k < r->nstages; k++) {
        const char *line = checkpoint_line(at);
        StageCost *c = &r->cost[k];
        if (!line ||
            sscanf(line, "%la %" SCNu64 " %" SCNu64, &c->seconds, &c->forwards, &c->backwards) != 3)
            return STATUS_INPUT;
    }
    return 0;
}

static int passes_of(const SequenceResult *r)
{
    int n = 0;
    for (int k = 0; k < r->nstages; k++) n += stage_passes(&r->stage[k]);
    return n;
}

static bool parse_row(const char *line, SequenceRow *w, int passes)
{
    Distance *d = &w->distance;
    int n = sscanf(line, "%d %d %" SCNd64 " %la %la %la %8x", &w->passes, &w->broken, &w->after,
                   &d->linf, &d->l2, &d->rmse, &w->crc);
    return n == 7 && w->passes >= 0 && w->passes <= passes && w->broken < w->passes &&
           w->broken >= WRONG_BEFORE;
}

/* Images themselves are not kept: where they are wanted, a broken one goes through the pass again
 * that broke it. */
static int load_rows(const SequencePlan *p, char *at, SequenceResult *r)
{
    int passes = passes_of(r);
    for (int64_t i = 0; i < r->n; i++) {
        SequenceRow w = r->row[i];
        const char *line = checkpoint_line(&at);
        if (!line || !parse_row(line, &w, passes))
            return fail_input("%s: damaged checkpoint (its rows are not of this run)",
                              p->checkpoint);
        if (w.crc != r->row[i].crc)
            return fail_input("%s: image %" PRId64 " or its label is not that of %s", p->checkpoint,
                              r->first + i, p->images);
        if (p->out && w.broken >= 0) {
            w.passes = w.broken;
            w.broken = UNBROKEN;
            w.after = w.label;
        }
        r->row[i] = w;
    }
    return 0;
}

int sequence_load(const SequencePlan *p, SequenceResult *r)
{
    char key[256], *text, *at;
    int e;
    if (!p->checkpoint) return 0;
    if (!p->resume) return checkpoint_refuse(p->checkpoint);
    key_of(p, r, key, sizeof key);
    if ((e = checkpoint_load(p->checkpoint, "attack", key, &text, &at)) || !text) return e;
    e = load_costs(&at, r) ? fail_input("%s: damaged checkpoint", p->checkpoint)
                           : load_rows(p, at, r);
    free(text);
    return e;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What slots and early exits save, in steps that were really taken (a step evaluates the network
 * once for one image): with exits against without, and with slots that take the next image at once
 * against batches that end with their slowest image. Results are the same: bit for bit with an exit
 * at cycles, in what is fooled with one at success. test_exits EXAMPLE.onnx [MODEL.onnx IMAGES]:
 * with the second form images of a data set, as for the table of docs/attacks.md. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e2e.h"
#include "tools/data/data.h"

enum { N = 64, SLOTS = 8 };
typedef enum Exit { NEVER, SUCCESS, CYCLE } Exit;

typedef struct Row {
    const char *entry;
    Exit exit;
    int steps, each; /* of the call; of the network in one of them */
    bool own;        /* it ends by itself: no option, and no run without */
} Row;
static const Row rows[] = {
    {"pgd-linf", NEVER, 100, 1, false},  {"pgd-linf", SUCCESS, 100, 1, false},
    {"pgd-linf", CYCLE, 100, 1, false},  {"apgd-ce", SUCCESS, 100, 1, false},
    {"deepfool-l2", NEVER, 30, 9, true}, {"square-linf", NEVER, 200, 1, true},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

typedef struct Set {
    Net net;
    size_t pixels;
    float *x, *adv[2];
    int64_t y[N];
    int32_t success[2][N];
} Set;

/* ---- images ---- */

/* Smooth blobs, and what the model says of them as labels. */
static void draw(Set *s)
{
    float logits[N * 10];
    Run r = {.n = N, .workers = 2};
    for (size_t i = 0; i < N * s->pixels; i++) {
        double n = (double)(i / s->pixels), p = (double)(i % s->pixels);
        double u = (fmod(p, 28) - 14) / 9, v = (floor(p / 28) - 14) / (5 + fmod(n, 7));
        s->x[i] = (float)(0.9 * exp(-u * u * (1 + fmod(n, 3)) - v * v));
    }
    run_bind(&s->net, "forward", &r, "x", s->x);
    run_bind(&s->net, "forward", &r, "logits", logits);
    net_run(&s->net, "forward", &r);
    for (int i = 0; i < N; i++)
        for (int k = 1; k < 10; k++)
            if (logits[10 * i + k] > logits[10 * i + s->y[i]]) s->y[i] = k;
}

static bool load(Set *s, const char *path)
{
    DataError e;
    Data *d = data_open(path, NULL, &e);
    bool ok = d && data_read_f32(d, 0, N, s->x, &e) && data_labels(d, 0, N, s->y, &e);
    if (!ok) fprintf(stderr, "%s\n", e.msg);
    data_close(d);
    return ok;
}

static bool open_set(Set *s, const char *model, const char *images)
{
    static const AdjOptions o = {.entries = "forward,pgd-linf,apgd-ce,deepfool-l2,square-linf",
                                 .batch = SLOTS};
    AdjOptions mine = o;
    mine.model = model;
    *s = (Set){.net = net_open(&mine), .pixels = 1};
    const AdjTensor *x = &s->net.model->entry[0].io[0];
    for (int i = 0; i < x->rank; i++) s->pixels *= (size_t)x->dim[i];
    s->x = calloc(N * s->pixels, sizeof(float));
    for (int i = 0; i < 2; i++) s->adv[i] = calloc(N * s->pixels, sizeof(float));
    if (images) return load(s, images);
    draw(s);
    return true;
}

/* ---- runs ---- */

/* Steps that images [first, first + n) take. */
static uint64_t run(Set *s, const Row *row, Exit exit, int first, int n, int into)
{
    Run r = {.n = n, .workers = n > 1 ? 2 : 1, .steps = row->steps, .first_id = (uint64_t)first};
    run_bind(&s->net, row->entry, &r, "x", s->x + s->pixels * (size_t)first);
    run_bind(&s->net, row->entry, &r, "y", s->y + first);
    run_bind(&s->net, row->entry, &r, "adv", s->adv[into] + s->pixels * (size_t)first);
    run_bind(&s->net, row->entry, &r, "success", s->success[into] + first);
    if (!row->own) run_set(&s->net, row->entry, &r, "stop", exit);
    net_run(&s->net, row->entry, &r);
    return r.status.backwards ? r.status.backwards : r.status.forwards;
}

/* Batches that end with their slowest image: what each takes alone, without slots. */
static uint64_t lockstep(const uint64_t *each)
{
    uint64_t sum = 0, most;
    for (int i = 0; i < N; i += SLOTS) {
        most = 0;
        for (int k = i; k < i + SLOTS; k++) most = each[k] > most ? each[k] : most;
        sum += most * SLOTS;
    }
    return sum;
}

static void check_results(Count *k, const Set *s, const Row *row)
{
    int lost = 0;
    for (int i = 0; i < N; i++) lost += s->success[1][i] && !s->success[0][i];
    count_check(k, !lost, "%s: %d images that are fooled without the exit are not with it",
                row->entry, lost);
    if (row->exit == CYCLE)
        count_check(k, !memcmp(s->adv[0], s->adv[1], N * s->pixels * sizeof(float)),
                    "%s: the same bits with the exit at cycles", row->entry);
}

static void check_row(Count *k, Set *s, const Row *row)
{
    static const char *const names[] = {"", ", exit at success", ", exit at cycles"};
    uint64_t each[N], sum = 0, all = (uint64_t)row->steps * (uint64_t)row->each * N;
    for (int i = 0; i < N; i++) sum += each[i] = run(s, row, row->exit, i, 1, 0);
    uint64_t taken = run(s, row, row->exit, 0, N, 0), slow = lockstep(each);
    count_check(k, taken == sum && taken <= slow, "%s%s: slots take no step that no image needs",
                row->entry, names[row->exit]);
    if (!row->own && row->exit != NEVER) {
        all = run(s, row, NEVER, 0, N, 1);
        bool fewer = taken < all || (row->exit == CYCLE && taken == all);
        count_check(k, fewer, "%s%s: fewer steps than without", row->entry, names[row->exit]);
        check_results(k, s, row);
    }
    printf("| `%s`%s | %llu | %llu | %llu |\n", row->entry, names[row->exit],
           (unsigned long long)all, (unsigned long long)slow, (unsigned long long)taken);
}

int main(int argc, char **argv)
{
    Count k = {.name = "exits"};
    Set s;
    if (argc != 2 && argc != 4) return 2;
    if (!open_set(&s, argv[argc == 4 ? 2 : 1], argc == 4 ? argv[3] : NULL)) return 1;
    printf("| entry | all steps | batches of %d | slots |\n", SLOTS);
    for (int i = 0; i < ROWS; i++) check_row(&k, &s, &rows[i]);
    net_close(&s.net);
    free(s.x);
    free(s.adv[0]);
    free(s.adv[1]);
    return count_close(&k);
}

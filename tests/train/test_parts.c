/* SPDX-License-Identifier: Apache-2.0 */
/* Every part of a step of training against PyTorch in f64: the lines of parts.txt, ten steps each in
 * f64, and where a line says so the gradient of one in f32 (parts_reference.py wrote parts.npz).
 * States are what the entry has as NAME and new_NAME. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/load.h"
#include "tests/e2e/e2e.h"

enum { STEPS = 10, BATCH = 4, PIXELS = 5 * 5, CLASSES = 4, SEED = 7, MAX_STATES = 12 };
static const char entry[] = "train-step", model[] = "parts.onnx";

typedef struct State {
    const char *name;
    char fresh[64]; /* new_NAME */
    void *now, *next;
} State;

typedef struct Train {
    char name[32], net[96], parts[128], numbers[128], more[8]; /* a line */
    int attack_steps;
    bool f64;
    Net compiled;
    const AdjEntry *e;
    Run run;
    int nstate;
    State state[MAX_STATES];
    double loss[STEPS], penalty[STEPS];
    double x[BATCH * PIXELS], loss_now, penalty_now; /* room for either precision */
    void *grad;
    int64_t y[BATCH], pick[BATCH], attacked[BATCH], ids[BATCH];
} Train;

static void need(bool ok, const AdjError *e)
{
    if (ok) return;
    fprintf(stderr, "%s\n", e->msg);
    exit(1);
}

/* ---- a line ---- */

static void take(char *to, size_t size, char **line)
{
    char *field = strsep(line, "|");
    size_t n = field ? strlen(field) : 0;
    while (n && strchr(" \n", field[n - 1])) n--;
    while (n && *field == ' ') field++, n--;
    snprintf(to, size, "%.*s", (int)n, field ? field : "");
}

static bool read_line(Train *t, FILE *f)
{
    static char line[512];
    char steps[16];
    do
        if (!fgets(line, sizeof line, f)) return false;
    while (*line == '#' || *line == '\n');
    char *rest = line;
    memset(t, 0, sizeof *t);
    take(t->name, sizeof t->name, &rest);
    take(t->net, sizeof t->net, &rest);
    take(t->parts, sizeof t->parts, &rest);
    take(steps, sizeof steps, &rest);
    take(t->numbers, sizeof t->numbers, &rest);
    take(t->more, sizeof t->more, &rest);
    t->attack_steps = atoi(steps);
    t->f64 = true;
    return true;
}

/* ---- the entry ---- */

static void bind(Train *t, const char *name, void *data)
{
    if (adj_io(t->e, name) >= 0) run_bind(&t->compiled, entry, &t->run, name, data);
}

static void bind_states(Train *t)
{
    for (int i = 0; i < t->nstate; i++) {
        bind(t, t->state[i].name, t->state[i].now);
        bind(t, t->state[i].fresh, t->state[i].next);
    }
}

static void find_states(Train *t)
{
    for (uint32_t i = 0; i < t->e->nio; i++) {
        State *s = &t->state[t->nstate];
        const AdjTensor *io = &t->e->io[i];
        snprintf(s->fresh, sizeof s->fresh, "new_%s", io->name);
        if (adj_io(t->e, s->fresh) < 0) continue;
        s->name = io->name;
        s->now = calloc((size_t)io->dim[0], 8);
        s->next = calloc((size_t)io->dim[0], 8);
        t->nstate++;
    }
}

static State *state(Train *t, const char *name)
{
    for (int i = 0; i < t->nstate; i++)
        if (!strcmp(t->state[i].name, name)) return &t->state[i];
    fprintf(stderr, "%s: no state %s\n", t->name, name);
    exit(1);
}

static void set_numbers(Train *t)
{
    char line[sizeof t->numbers], *rest = strcpy(line, t->numbers);
    for (char *one; (one = strsep(&rest, " "));) {
        char *eq = strchr(one, '=');
        if (!eq) continue;
        *eq = 0;
        run_set(&t->compiled, entry, &t->run, one, strtod(eq + 1, NULL));
    }
}

static void new_net(const Train *t)
{
    AdjError e;
    bool half = strstr(t->net, "hhrelu") != NULL;
    AdjResnet net = {.depth = 6,
                     .nstage = 2,
                     .widths = {2, 2},
                     .classes = CLASSES,
                     .channels = 1,
                     .height = 5,
                     .width = 5,
                     .seed = 3,
                     .preact = half,
                     .half_huber = half,
                     .nmean = 1,
                     .mean = {.4},
                     .nstd = 1,
                     .std = {.3}};
    need(adj_new_resnet(&net, model, &e), &e);
}

static void train_open(Train *t)
{
    AdjError e;
    AdjOptions o = {
        .model = model, .entries = entry, .train = t->parts, .batch = BATCH, .f64 = t->f64};
    AdjTrain list;
    new_net(t);
    t->compiled = net_open(&o);
    t->e = adj_entry(t->compiled.model, entry);
    t->run = (Run){.n = 1, .steps = t->attack_steps, .seed = SEED};
    need(adj_train(t->compiled.c, &list, &e), &e);
    find_states(t);
    bind_states(t);
    bind(t, "x", t->x);
    bind(t, "y", t->y);
    bind(t, "pick", t->pick);
    bind(t, "attacked", t->attacked);
    bind(t, "ids", t->ids);
    bind(t, "loss", &t->loss_now);
    bind(t, "penalty", &t->penalty_now);
    bind(t, "grad", t->grad = calloc((size_t)list.params, 8));
    need(adj_train_start(t->compiled.c, state(t, "params")->now, state(t, "stats")->now, &e), &e);
    set_numbers(t);
}

static void train_close(Train *t)
{
    for (int i = 0; i < t->nstate; i++) {
        free(t->state[i].now);
        free(t->state[i].next);
    }
    free(t->grad);
    net_close(&t->compiled);
}

static void put(Train *t, int i, double v)
{
    if (t->f64)
        t->x[i] = v;
    else
        ((float *)t->x)[i] = (float)v;
}

static void put_batch(Train *t, int step)
{
    for (int i = 0; i < BATCH * PIXELS; i++)
        put(t, i, (i * i * 31 + i * 17 + step * 101) % 256 / 255.);
    for (int k = 0; k < BATCH; k++) {
        t->y[k] = (k * 3 + step) % CLASSES;
        t->pick[k] = (k * 5 + step) % (CLASSES + 1) - 1;
        t->attacked[k] = (k + step) % 3 > 0;
        t->ids[k] = 100 + k;
    }
}

static void step(Train *t, int at)
{
    put_batch(t, at);
    if (adj_hyper(t->e, "draw") >= 0) run_set(&t->compiled, entry, &t->run, "draw", at);
    net_run(&t->compiled, entry, &t->run);
    t->loss[at] = t->loss_now;
    t->penalty[at] = t->penalty_now;
    for (int i = 0; i < t->nstate; i++) {
        void *old = t->state[i].now;
        t->state[i].now = t->state[i].next;
        t->state[i].next = old;
    }
    bind_states(t);
}

/* ---- comparing ---- */

static void compare(Count *k, Train *t, const char *file, const char *what, const void *got,
                    double allowed)
{
    char name[96];
    NpyArray a;
    DataError e;
    snprintf(name, sizeof name, "%s.%s", t->name, what);
    if (!npz_read(file, name, &a, &e)) {
        count_check(k, false, "%s", e.msg);
        return;
    }
    double off = relative(got, a.data, 0, a.elements, t->f64);
    count_check(k, off <= allowed, "%s%s: relative %.1e, allowed %.1e", name, t->f64 ? "" : " f32",
                off, allowed);
    npy_free(&a);
}

/* psi's control and the count of steps are seen in what they do. */
static void compare_states(Count *k, Train *t, const char *file, int steps, double allowed)
{
    for (int i = 0; i < t->nstate; i++) {
        State *s = &t->state[i];
        char what[80];
        bool early = !strcmp(s->name, "params") || !strcmp(s->name, "stats");
        if (!strcmp(s->name, "control") || !strcmp(s->name, "count")) continue;
        if (steps < STEPS && !early) continue;
        snprintf(what, sizeof what, "%s%d", s->name, steps);
        compare(k, t, file, what, s->now, allowed);
    }
}

static void ten_steps(Count *k, Train *t, const char *file)
{
    train_open(t);
    for (int s = 0; s < STEPS; s++) {
        step(t, s);
        if (s) continue;
        compare(k, t, file, "grad", t->grad, 1e-9);
        compare_states(k, t, file, 1, 1e-9);
    }
    compare_states(k, t, file, STEPS, 1e-8);
    compare(k, t, file, "loss", t->loss, 1e-8);
    if (adj_io(t->e, "penalty") >= 0) compare(k, t, file, "penalty", t->penalty, 1e-8);
    train_close(t);
}

static void single_step(Count *k, Train *t, const char *file)
{
    t->f64 = false;
    t->nstate = 0;
    train_open(t);
    step(t, 0);
    compare(k, t, file, "grad", t->grad, 1e-3);
    train_close(t);
}

int main(int argc, char **argv)
{
    Count k = {.name = "train_parts"};
    static Train t;
    if (argc < 3) return 2;
    FILE *f = fopen(argv[1], "r");
    while (f && read_line(&t, f)) {
        if (argc > 3 && strcmp(argv[3], t.name)) continue;
        ten_steps(&k, &t, argv[2]);
        if (*t.more) single_step(&k, &t, argv[2]);
    }
    if (!f || !k.passed) count_check(&k, false, "%s: cannot be read", argv[1]);
    if (f) fclose(f);
    remove(model);
    return count_close(&k);
}

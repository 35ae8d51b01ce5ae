/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks that go together (statistics=synchronised) against one rank with all of their images, in
 * f64: every output of a step, step after step. Ranks are threads here, whose env.allreduce adds up
 * what they have in the order of ranks. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/arena.h"
#include "runtime/load.h"
#include "runtime/pool.h"
#include "tests/e2e/e2e.h"

enum { IMAGES = 6, STEPS = 3, CLASSES = 4, MOST = 3, TENSORS = 40 };
static const char entry[] = "train-step", model[] = "together.onnx";

typedef struct Case {
    const char *name, *parts;
    struct {
        const char *name;
        double value;
    } set[6];
    int steps; /* of the attack */
    int ranks[MOST];
    int width, side, workers;
} Case;

/* ReLU nets where no gradient is penalised; kinks are where they are in one rank. */
static const Case cases[] = {
    {"sgd", "", {{"smoothing", .1}, {"decay", .01}}, 0, {2, 3}, 2, 5, 1},
    {"lipschitz",
     "penalty=lipschitz",
     {{"psi", 200}, {"psi_rate", .5}, {"psi_loss", 1.2}},
     0,
     {2, 3},
     2,
     5,
     1},
    {"trades, jacobian, and all that follows",
     "attack=kl-linf,attack_norm=batch,loss=trades,penalty=jacobian,depth=stochastic,"
     "optimiser=adamw,constraint=spectral,average=ema",
     {{"lr", .01}, {"penalty_weight", .2}, {"norm", .8}, {"ema", .7}, {"survival", .4}},
     2,
     {2},
     2,
     5,
     1},
    {"mart, gradient",
     "attack=l2-min,attack_norm=batch,loss=mart,penalty=gradient,constraint=parseval",
     {{"lr", .02}, {"penalty_weight", .3}, {"attack_eps", .4}, {"pull", .05}},
     3,
     {2},
     2,
     5,
     1},
    {"teams of threads", "", {{"lr", .01}}, 0, {2}, 16, 12, 3},
};

/* ---- ranks ---- */

typedef struct World {
    int count;
    pthread_barrier_t all;
    const double *part[MOST];
    double *total;
    int calls; /* of rank 0 */
    bool fail;
} World;

typedef struct Rank {
    World *world;
    const Case *of;
    const Net *net;
    const AdjEntry *e;
    int index, b, at; /* images of a step; step */
    void *io[TENSORS];
    AdjPool *pool;
    AdjEnv env;
    int code;
} Rank;

static int sum_up(void *user, void *data, size_t count, int dtype)
{
    Rank *r = adj_pool_user(user);
    World *w = r->world;
    size_t bytes = count * sizeof(double);
    if (dtype != ADJ_F64) return 1;
    if (!r->index) w->calls++;
    if (w->fail) return 1;
    w->part[r->index] = data;
    pthread_barrier_wait(&w->all);
    if (!r->index) {
        w->total = calloc(count, sizeof(double));
        for (int k = 0; k < w->count; k++)
            for (size_t i = 0; i < count; i++) w->total[i] += w->part[k][i];
    }
    pthread_barrier_wait(&w->all);
    memcpy(data, w->total, bytes);
    pthread_barrier_wait(&w->all);
    if (!r->index) free(w->total);
    return 0;
}

static int find(const Rank *r, const char *name)
{
    return adj_io(r->e, name);
}

static void *tensor(const Rank *r, const char *name)
{
    return find(r, name) < 0 ? NULL : r->io[find(r, name)];
}

static int new_of(const Rank *r, int k)
{
    char fresh[64];
    snprintf(fresh, sizeof fresh, "new_%s", r->e->io[k].name);
    return find(r, fresh);
}

static void rank_open(Rank *r, World *w, const Case *c, const Net *net, int index)
{
    AdjError e;
    *r = (Rank){.world = w, .of = c, .net = net, .index = index};
    r->e = adj_entry(net->model, entry);
    r->b = (int)r->e->io[find(r, "y")].dim[0];
    for (int k = 0; k < r->e->nio; k++) r->io[k] = calloc(1, adj_tensor_bytes(&r->e->io[k]));
    if (!adj_train_start(net->c, tensor(r, "params"), tensor(r, "stats"), &e)) exit(1);
    r->pool = adj_pool_new(c->workers);
    adj_pool_env(r->pool, &r->env);
    adj_pool_set_user(r->pool, r);
    if (w->count > 1 || w->fail) r->env.allreduce = sum_up;
}

static void rank_close(Rank *r)
{
    for (int k = 0; k < r->e->nio; k++) free(r->io[k]);
    adj_pool_free(r->pool);
}

/* ---- a step ---- */

/* Those of its images: image i of the step is the same whoever has it. */
static void fill(Rank *r)
{
    double *x = tensor(r, "x");
    int64_t *y = tensor(r, "y"), *pick = tensor(r, "pick"), *ids = tensor(r, "ids");
    int64_t *attacked = tensor(r, "attacked");
    int pixels = r->of->side * r->of->side;
    for (int k = 0; k < r->b; k++) {
        int i = r->index * r->b + k;
        for (int p = 0; p < pixels; p++)
            x[k * pixels + p] = ((i * pixels + p) * (p * 31 + 17) + r->at * 101) % 256 / 255.;
        y[k] = (i * 3 + r->at) % CLASSES;
        if (pick) pick[k] = (i * 5 + r->at) % (CLASSES + 1) - 1;
        if (attacked) attacked[k] = (i + r->at) % 3 > 0;
        if (ids) ids[k] = 100 + i;
    }
}

static void exchange(Rank *r)
{
    for (int k = 0; k < r->e->nio; k++) {
        int fresh = new_of(r, k);
        if (fresh < 0) continue;
        void *old = r->io[k];
        r->io[k] = r->io[fresh];
        r->io[fresh] = old;
    }
}

static void set_all(const Rank *r, Run *run)
{
    for (int i = 0; i < 6 && r->of->set[i].name; i++)
        run_set(r->net, entry, run, r->of->set[i].name, r->of->set[i].value);
    if (adj_hyper(r->e, "draw") >= 0) run_set(r->net, entry, run, "draw", r->at);
}

static void *step(void *arg)
{
    Rank *r = arg;
    Run run = {0};
    size_t bytes = adj_arena_bytes(r->e, r->of->workers);
    void *arena = adj_arena_new(bytes);
    if (r->at) exchange(r);
    fill(r);
    set_all(r, &run);
    AdjCall call = {.size = sizeof call,
                    .n = 1,
                    .seed = 7,
                    .steps = r->of->steps,
                    .io = r->io,
                    .hyper = run.hyper,
                    .arena = arena,
                    .arena_bytes = bytes};
    memset(arena, 0xff, bytes);
    r->code = r->e->run(&r->env, &call);
    r->at++;
    adj_arena_free(arena);
    return NULL;
}

static bool step_all(Rank *rank, int n)
{
    pthread_t thread[MOST];
    bool ok = true;
    for (int i = 0; i < n; i++)
        if (pthread_create(&thread[i], NULL, step, &rank[i])) exit(1);
    for (int i = 0; i < n; i++) {
        pthread_join(thread[i], NULL);
        ok &= rank[i].code == ADJ_OK;
    }
    return ok;
}

/* ---- comparing ---- */

static double farthest(const double *a, const double *b, int64_t n)
{
    double off = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs(a[i] - b[i]);
        off = d > off || isnan(d) ? d : off;
        size = fabs(b[i]) > size ? fabs(b[i]) : size;
    }
    return off > 0 ? off / size : 0;
}

static int64_t elements(const AdjTensor *t)
{
    int64_t n = 1;
    for (int d = 0; d < t->rank; d++) n *= t->dim[d];
    return n;
}

/* The worst of all outputs, relative to the largest number of each. */
static double worst_of(const Rank *r, const Rank *one, const char **name)
{
    double worst = 0;
    for (int k = 0; k < r->e->nio; k++) {
        const AdjTensor *t = &r->e->io[k];
        if (!t->output) continue;
        const double *all = tensor(one, t->name);
        int64_t n = elements(t);
        if (!strcmp(t->name, "logits")) all += r->index * n;
        double off = farthest(r->io[k], all, n);
        if (!(off <= worst)) worst = off, *name = t->name;
    }
    return worst;
}

static bool same_bits(const Rank *a, const Rank *b)
{
    for (int k = 0; k < a->e->nio; k++)
        if (a->e->io[k].output && strcmp(a->e->io[k].name, "logits") &&
            memcmp(a->io[k], b->io[k], adj_tensor_bytes(&a->e->io[k])))
            return false;
    return true;
}

/* ---- cases ---- */

static Net open_net(const char *parts, const char *more, int batch)
{
    char text[512];
    snprintf(text, sizeof text, "%s,%s", parts, more);
    return net_open(&(AdjOptions){
        .model = model, .entries = entry, .train = text, .batch = batch, .f64 = true});
}

/* One that fails ends the call, and is not asked again. */
static void failing(Count *k, const Case *c, const Net *net)
{
    World w = {.count = 1, .fail = true};
    Rank rank;
    rank_open(&rank, &w, c, net, 0);
    step_all(&rank, 1);
    count_check(k, rank.code == ADJ_FAILED && w.calls == 1, "%s: a sum that fails: code %d",
                c->name, rank.code);
    rank_close(&rank);
}

static void compare(Count *k, const Case *c, const Net *alone, const Net *net, int ranks)
{
    World mine = {.count = 1}, w = {.count = ranks};
    Rank one, rank[MOST];
    double worst = 0;
    bool ok = true, same = true;
    const char *name = "nothing";
    pthread_barrier_init(&w.all, NULL, (unsigned)ranks);
    rank_open(&one, &mine, c, alone, 0);
    for (int i = 0; i < ranks; i++) rank_open(&rank[i], &w, c, net, i);
    for (int s = 0; s < STEPS; s++) {
        ok &= step_all(&one, 1) && step_all(rank, ranks);
        for (int i = 0; i < ranks; i++) {
            double off = worst_of(&rank[i], &one, &name);
            worst = off <= worst ? worst : off;
            same &= same_bits(&rank[i], &rank[0]);
        }
    }
    count_check(k, ok && worst <= 1e-10, "%s: ranks, %d: %.1e off at most, in %s", c->name, ranks,
                worst, name);
    count_check(k, same, "%s: ranks, %d, have the same bits", c->name, ranks);
    for (int i = 0; i < ranks; i++) rank_close(&rank[i]);
    rank_close(&one);
    pthread_barrier_destroy(&w.all);
}

static void together(Count *k, const Case *c, const Net *alone, int ranks)
{
    Net net = open_net(c->parts, "statistics=synchronised", IMAGES / ranks);
    compare(k, c, alone, &net, ranks);
    if (ranks == 2) failing(k, c, &net);
    net_close(&net);
}

static void run_case(Count *k, const Case *c)
{
    AdjError e;
    bool half = strstr(c->parts, "penalty") != NULL;
    AdjResnet small = {.depth = 4,
                       .nstage = 1,
                       .widths = {c->width},
                       .classes = CLASSES,
                       .channels = 1,
                       .height = c->side,
                       .width = c->side,
                       .seed = 3,
                       .preact = half,
                       .half_huber = half};
    if (!adj_new_resnet(&small, model, &e)) exit(1);
    Net alone = open_net(c->parts, "statistics=local", IMAGES);
    for (int i = 0; i < MOST && c->ranks[i]; i++) together(k, c, &alone, c->ranks[i]);
    net_close(&alone);
}

int main(void)
{
    Count k = {.name = "train_together"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        alarm(600); /* ranks that do not meet would wait for ever */
        run_case(&k, &cases[i]);
    }
    remove(model);
    return count_close(&k);
}

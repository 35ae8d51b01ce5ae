/* SPDX-License-Identifier: Apache-2.0 */
/* Teams: workers that share the kernels of one machine (targets/llvm/entry_team.c), for a module whose
 * kernels are C functions of this file. Each kernel reads what all pieces of the one before wrote,
 * so work begun too early, done twice or left out shows in the results. Workers come late, come one
 * after another, or are more than there are processors. */
#define _DEFAULT_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "entry_fixture.h"

enum { CELLS = 48, SLOTS = 5, STEPS = 20, MOST_WORKERS = 9 };

static int passed, failed;

static void expect_at(int line, bool ok, const char *what)
{
    passed += ok;
    failed += !ok;
    if (!ok && failed < 50) printf("FAILED: line %d: %s\n", line, what);
}
#define expect(c) expect_at(__LINE__, (c), #c)

/* ---- the program: v = x; each step u = mix(v), sum = fold(u), v = mix(u) + sum; y = v ---- */

typedef uint64_t Row[CELLS];

static uint64_t mix(uint64_t a, uint64_t b)
{
    a = a * 6364136223846793005u + b + 1442695040888963407u;
    return a ^ a >> 29;
}

static atomic_int parts; /* of kernels, run by anybody: those that had a part of the pieces */

/* Now and then a worker loses its processor in the middle. */
static void begin(int64_t from, int64_t to)
{
    static atomic_uint turn;
    if (to - from < CELLS) parts++;
    if (turn++ % 61 == 0) usleep(200);
}

static void k_start(const int64_t *table, int64_t lo, int64_t hi, int64_t from, int64_t to,
                    const char *x, int64_t xs, Row *v)
{
    begin(from, to);
    for (int64_t s = lo; s < hi; s++)
        for (int64_t i = from; i < to; i++) v[s][i] = ((const uint64_t *)(x + table[s] * xs))[i];
}

static void k_mix(const int64_t *table, int64_t lo, int64_t hi, int64_t from, int64_t to,
                  const Row *v, Row *u)
{
    (void)table;
    begin(from, to);
    for (int64_t s = lo; s < hi; s++)
        for (int64_t i = from; i < to; i++) u[s][i] = mix(v[s][i], v[s][(i + 17) % CELLS]);
}

/* One piece. */
static void k_fold(const int64_t *table, int64_t lo, int64_t hi, const Row *u, uint64_t *sum)
{
    (void)table;
    for (int64_t s = lo; s < hi; s++) {
        sum[s] = 0;
        for (int i = 0; i < CELLS; i++) sum[s] = mix(sum[s], u[s][i]);
    }
}

static void k_move(const int64_t *table, int64_t lo, int64_t hi, int64_t from, int64_t to,
                   const Row *u, const uint64_t *sum, Row *v)
{
    (void)table;
    begin(from, to);
    for (int64_t s = lo; s < hi; s++)
        for (int64_t i = from; i < to; i++) v[s][i] = mix(u[s][(i + 5) % CELLS], sum[s]);
}

static void k_end(const int64_t *table, int64_t lo, int64_t hi, int64_t from, int64_t to,
                  const Row *v, char *y, int64_t ys)
{
    begin(from, to);
    for (int64_t s = lo; s < hi; s++)
        for (int64_t i = from; i < to; i++) ((uint64_t *)(y + table[s] * ys))[i] = v[s][i];
}

static void define(const Row x, Row y, int steps)
{
    Row u;
    memcpy(y, x, sizeof(Row));
    for (int t = 0; t < steps; t++) {
        uint64_t sum = 0;
        for (int i = 0; i < CELLS; i++) u[i] = mix(y[i], y[(i + 17) % CELLS]);
        for (int i = 0; i < CELLS; i++) sum = mix(sum, u[i]);
        for (int i = 0; i < CELLS; i++) y[i] = mix(u[(i + 5) % CELLS], sum);
    }
}

static void add_program(Fixture *f, const char *name, bool whole)
{
    Program *p = fixture_program(f, name, SLOTS);
    int x = fixture_input(p, "x", DT_I64, CELLS, -1), y = fixture_output(p, "y", DT_I64, CELLS);
    int v = fixture_memory(f, p, SLOTS * sizeof(Row)),
        u = fixture_memory(f, p, SLOTS * sizeof(Row));
    int sum = fixture_memory(f, p, 8 * SLOTS);
    int bx = fixture_buffer(f, p, BUF_IO, x), by = fixture_buffer(f, p, BUF_IO, y);
    p->loop = true;
    p->whole = whole;
    p->step_forwards = 1;
    fixture_call(f, &p->init, fixture_shared_kernel(f, k_start, "im", CELLS), (int[]){bx, v});
    fixture_call(f, &p->step, fixture_shared_kernel(f, k_mix, "mm", CELLS), (int[]){v, u});
    fixture_call(f, &p->step, fixture_kernel(f, k_fold, "mm"), (int[]){u, sum});
    fixture_call(f, &p->step, fixture_shared_kernel(f, k_move, "mmm", CELLS), (int[]){u, sum, v});
    fixture_call(f, &p->finish, fixture_shared_kernel(f, k_end, "mo", CELLS), (int[]){v, by});
    fixture_plan(f, p, 0);
}

/* ---- callers ---- */

typedef enum How { AT_ONCE, LATE, IN_TURN, LAST_FIRST, HOWS } How;

typedef struct Caller {
    AdjEnv env;
    How how;
    int asked, ticks, stop_at;
} Caller;

typedef struct Part {
    void (*fn)(void *, int);
    void *arg;
    int i;
    How how;
} Part;

static void *part_main(void *arg)
{
    Part *p = arg;
    if (p->how == LATE) usleep((unsigned)(p->i * 700));
    p->fn(p->arg, p->i);
    return NULL;
}

static int parallel(void *user, int n, void (*fn)(void *, int), void *arg)
{
    Caller *c = user;
    pthread_t t[MOST_WORKERS];
    Part part[MOST_WORKERS];
    c->asked = n;
    if (c->how == IN_TURN || c->how == LAST_FIRST) {
        for (int i = 0; i < n; i++) fn(arg, c->how == IN_TURN ? i : n - 1 - i);
        return 0;
    }
    for (int i = 0; i < n; i++) {
        part[i] = (Part){fn, arg, i, c->how};
        pthread_create(&t[i], NULL, part_main, &part[i]);
    }
    for (int i = 0; i < n; i++) pthread_join(t[i], NULL);
    return 0;
}

static void idle(void *user, int turn)
{
    (void)user;
    if (turn > 20) sched_yield();
}

static int tick(void *user)
{
    Caller *c = user;
    return ++c->ticks == c->stop_at;
}

static Caller caller(int workers, How how)
{
    return (Caller){.env = {.size = sizeof(AdjEnv),
                            .workers = workers,
                            .parallel = parallel,
                            .tick = tick,
                            .idle = idle},
                    .how = how};
}

static const AdjEntry *entry(const Fixture *f, const char *name)
{
    for (uint32_t i = 0; i < f->model->nentry; i++)
        if (!strcmp(f->model->entry[i].name, name)) return &f->model->entry[i];
    return NULL;
}

enum { MOST_N = 15, GUARD = 4096 };

/* Results of n samples; what comes back, or -100 where something is wrong. */
static int run(const AdjEntry *e, int n, int room, Caller *c, AdjStatus *status)
{
    static Row x[MOST_N], y[MOST_N], want;
    size_t bytes = e->shared_bytes + (size_t)room * e->worker_bytes;
    uint8_t *arena = aligned_alloc(64, bytes + GUARD);
    memset(arena, 0xa5, bytes + GUARD);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < CELLS; j++) x[i][j] = mix((uint64_t)i, (uint64_t)j);
    memset(y, 0x5a, sizeof y);
    *status = (AdjStatus){.size = sizeof *status};
    AdjCall call = {.size = sizeof call,
                    .n = n,
                    .steps = STEPS,
                    .io = (void *[]){x, y},
                    .arena = arena,
                    .arena_bytes = bytes,
                    .status = status};
    c->env.user = c;
    int code = e->run(&c->env, &call);
    bool right = true;
    for (int i = 0; i < n && !code; i++) {
        define(x[i], want, STEPS);
        right &= !memcmp(want, y[i], sizeof want);
    }
    for (int i = 0; i < GUARD; i++) right &= arena[bytes + (size_t)i] == 0xa5;
    free(arena);
    return right ? code : -100;
}

/* ---- the tests ---- */

static void test_results(const Fixture *f, const char *name, int n)
{
    for (How how = 0; how < HOWS; how++)
        for (int workers = 1; workers <= MOST_WORKERS; workers++) {
            Caller c = caller(workers, how);
            AdjStatus s;
            expect(run(entry(f, name), n, workers, &c, &s) == ADJ_OK);
            expect(s.samples == (uint64_t)n && s.forwards == (uint64_t)n * STEPS);
        }
}

/* A team where samples are fewer than workers, and for whole batches; as many as the arena holds.
 * Without idle there is none. want 0: parallel is not called. */
static void test_teams(const Fixture *f)
{
    static const struct {
        const char *name;
        int workers, room, n, want;
        bool waits, team;
    } row[] = {{"apart", 4, 4, 1, 4, true, true},   {"apart", 4, 4, 3, 4, true, true},
               {"apart", 4, 4, 4, 4, true, false},  {"apart", 4, 3, 3, 3, true, false},
               {"apart", 4, 2, 1, 2, true, true},   {"apart", 4, 1, 1, 0, true, false},
               {"apart", 4, 4, 1, 0, false, false}, {"apart", 4, 4, 3, 3, false, false},
               {"apart", 4, 4, 0, 0, true, false},  {"whole", 4, 4, 5, 4, true, true},
               {"whole", 4, 2, 10, 2, true, true},  {"whole", 4, 4, 5, 0, false, false},
               {"whole", 1, 1, 5, 0, true, false}};
    for (int i = 0; i < COUNT(row); i++) {
        Caller c = caller(row[i].workers, AT_ONCE);
        AdjStatus s;
        if (!row[i].waits) c.env.idle = NULL;
        parts = 0;
        expect(run(entry(f, row[i].name), row[i].n, row[i].room, &c, &s) == ADJ_OK);
        expect(c.asked == row[i].want && (parts > 0) == row[i].team);
    }
}

static void test_arena(const Fixture *f)
{
    const AdjEntry *apart = entry(f, "apart"), *whole = entry(f, "whole");
    expect(apart->shared_bytes == ARENA_HEAD && apart->worker_bytes > 2 * SLOTS * sizeof(Row));
    expect(whole->shared_bytes > 2 * SLOTS * sizeof(Row) && whole->worker_bytes == 64);
}

static void test_stop(const Fixture *f)
{
    for (int workers = 1; workers <= 4; workers++) {
        Caller c = caller(workers, AT_ONCE);
        AdjStatus s;
        c.stop_at = 3;
        expect(run(entry(f, "whole"), 2 * SLOTS, workers, &c, &s) == ADJ_STOPPED);
        expect(c.ticks == 3 && s.forwards == 3 * SLOTS && s.samples == 0);
    }
}

int main(void)
{
    Fixture *f = fixture_new("team");
    f->optimise = true;
    add_program(f, "apart", false);
    add_program(f, "whole", true);
    fixture_build(f);
    test_arena(f);
    test_teams(f);
    for (int n = 1; n <= 4; n++) test_results(f, "apart", n);
    test_results(f, "whole", SLOTS);
    test_results(f, "whole", 3 * SLOTS);
    test_stop(f);
    fixture_free(f);
    printf("team: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}

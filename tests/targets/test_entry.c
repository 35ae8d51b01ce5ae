/* SPDX-License-Identifier: Apache-2.0 */
/* Entry points: what the slot machine computes, counts, refuses and leaves alone, for modules whose
 * kernels are C functions of this file. Expected results come from the plain loops in expect_*. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "entry_fixture.h"

static int passed, failed;

static void expect_at(int line, bool ok, const char *what)
{
    passed += ok;
    failed += !ok;
    if (!ok && failed < 50) printf("FAILED: line %d: %s\n", line, what);
}
#define expect(c) expect_at(__LINE__, (c), #c)

/* ---- the plain program: y = x*scale + shift + gain*t + big + w, z = (id, seed) ---- */

static void k_plain(const int64_t *table, int64_t lo, int64_t hi, const char *x, int64_t xs,
                    const char *t, int64_t ts, const char *scale, int64_t scales, const char *shift,
                    int64_t shifts, const char *gain, int64_t gains, const char *big, int64_t bigs,
                    const float *w, char *y, int64_t ys)
{
    for (int64_t s = lo; s < hi; s++) {
        int64_t i = table[s];
        double a = *(const double *)(scale + i * scales),
               b = *(const int32_t *)(shift + i * shifts);
        double c = *(const float *)(gain + i * gains), d = *(const int64_t *)(big + i * bigs);
        for (int j = 0; j < 2; j++) {
            float v = ((const float *)(x + i * xs))[j], u = ((const float *)(t + i * ts))[j];
            ((float *)(y + i * ys))[j] = (float)(v * a + b + c * u + d) + w[j];
        }
    }
}

static void k_ids(const int64_t *table, int64_t lo, int64_t hi, const uint64_t *id,
                  const uint64_t *seed, uint32_t *zeroed, char *z, int64_t zs)
{
    for (int64_t s = lo; s < hi; s++) {
        uint64_t *out = (uint64_t *)(z + table[s] * zs);
        out[0] = id[s];
        out[1] = *seed;
    }
    zeroed[0]++;
    zeroed[9]++;
}

enum { HALO_CELLS = 10, HALO_BYTES = 4 * HALO_CELLS, PLAIN_SLOTS = 4 };

static void add_plain(Fixture *f, const char *name, bool whole)
{
    Program *p = fixture_program(f, name, PLAIN_SLOTS);
    int x = fixture_input(p, "x", DT_F32, 2, -1), t = fixture_input(p, "t", DT_F32, 2, x);
    int y = fixture_output(p, "y", DT_F32, 2), z = fixture_output(p, "z", DT_I64, 2);
    int scale = fixture_hyper(p, "scale", DT_F64, 2), shift = fixture_hyper(p, "shift", DT_I32, 3);
    int gain = fixture_hyper(p, "gain", DT_F32, 0.5), big = fixture_hyper(p, "big", DT_I64, 5);
    p->buf_id = fixture_memory(f, p, 8 * PLAIN_SLOTS);
    p->step_forwards = 1;
    p->whole = whole;
    int k0 = fixture_kernel(f, k_plain, "iiiiiimo"), k1 = fixture_kernel(f, k_ids, "mmmo");
    int zeroed = fixture_memory(f, p, HALO_BYTES);
    p->buffer[zeroed].dtype = DT_I32;
    p->buffer[zeroed].dim[0] = HALO_CELLS - 2;
    p->buffer[zeroed].layout =
        (Layout){.rank = 1, .ndigit = 1, .digit = {{.div = 1, .extent = HALO_CELLS, .low = 1}}};
    fixture_call(
        f, &p->step, k0,
        (int[]){fixture_buffer(f, p, BUF_IO, x), fixture_buffer(f, p, BUF_IO, t),
                fixture_buffer(f, p, BUF_HYPER, scale), fixture_buffer(f, p, BUF_HYPER, shift),
                fixture_buffer(f, p, BUF_HYPER, gain), fixture_buffer(f, p, BUF_HYPER, big),
                fixture_buffer(f, p, BUF_CONST, 64), fixture_buffer(f, p, BUF_IO, y)});
    fixture_call(f, &p->step, k1,
                 (int[]){p->buf_id, fixture_buffer(f, p, BUF_SEED, 0), zeroed,
                         fixture_buffer(f, p, BUF_IO, z)});
    fixture_plan(f, p, HALO_BYTES);
}

/* ---- the loop: each sample's plan says when it is done ---- */

typedef struct Plan {     /* io "plan", i64[3] */
    int64_t cut;          /* init lowers the limit to this */
    int64_t stop, finish; /* done = 1 (2) from this step on; finish 0: init already says so */
} Plan;

typedef struct Result { /* io "out", i64[4] */
    int64_t steps, t, judged, id;
} Result;

enum { LOOP_SLOTS = 3, STEP_FORWARDS = 2, STEP_BACKWARDS = 1, JUDGE_FORWARDS = 3 };

/* Who ran what, in order, where one thread runs all: "i0-2 s0-1 " ... */
static char journal[1 << 16];
static size_t journal_used;
static bool journal_on;

static void note(char phase, int64_t lo, int64_t hi)
{
    if (!journal_on || journal_used + 32 > sizeof journal) return;
    journal_used += (size_t)sprintf(journal + journal_used, "%c%d-%d ", phase, (int)lo, (int)hi);
}

static void journal_open(void)
{
    journal_on = true;
    journal[journal_used = 0] = 0;
}

static void k_init(const int64_t *table, int64_t lo, int64_t hi, const char *plan, int64_t ps,
                   int64_t *steps, int64_t *judged, int32_t *limit, int32_t *done)
{
    note('i', lo, hi);
    for (int64_t s = lo; s < hi; s++) {
        const Plan *q = (const Plan *)(plan + table[s] * ps);
        steps[s] = judged[s] = 0;
        if (q->cut < limit[s]) limit[s] = (int32_t)q->cut;
        if (q->finish == 0) done[s] = 2;
    }
}

static void k_step(const int64_t *table, int64_t lo, int64_t hi, const char *plan, int64_t ps,
                   int64_t *steps, const int32_t *t, int32_t *done)
{
    note('s', lo, hi);
    for (int64_t s = lo; s < hi; s++) {
        const Plan *q = (const Plan *)(plan + table[s] * ps);
        steps[s] += t[s] == steps[s] ? 1 : 1000; /* t is the steps taken before this one */
        done[s] = steps[s] >= q->finish ? 2 : steps[s] >= q->stop;
    }
}

static void k_judge(const int64_t *table, int64_t lo, int64_t hi, int64_t *judged)
{
    (void)table;
    note('j', lo, hi);
    for (int64_t s = lo; s < hi; s++) judged[s]++;
}

static void k_finish(const int64_t *table, int64_t lo, int64_t hi, const int64_t *steps,
                     const int32_t *t, const int64_t *judged, const int64_t *id, char *out,
                     int64_t os)
{
    note('f', lo, hi);
    for (int64_t s = lo; s < hi; s++)
        *(Result *)(out + table[s] * os) = (Result){steps[s], t[s], judged[s], id[s]};
}

static void loop_tables(Fixture *f, Program *p)
{
    p->loop = true;
    p->buf_id = fixture_memory(f, p, 8 * LOOP_SLOTS);
    p->buf_t = fixture_memory(f, p, 4 * LOOP_SLOTS);
    p->buf_limit = fixture_memory(f, p, 4 * LOOP_SLOTS);
    p->buf_done = fixture_memory(f, p, 4 * LOOP_SLOTS);
    p->step_forwards = STEP_FORWARDS;
    p->step_backwards = STEP_BACKWARDS;
    p->judge_forwards = JUDGE_FORWARDS;
}

static void add_loop(Fixture *f, const char *name, bool judge)
{
    Program *p = fixture_program(f, name, LOOP_SLOTS);
    loop_tables(f, p);
    int plan = fixture_buffer(f, p, BUF_IO, fixture_input(p, "plan", DT_I64, 3, -1));
    int out = fixture_buffer(f, p, BUF_IO, fixture_output(p, "out", DT_I64, 4));
    int steps = fixture_memory(f, p, 8 * LOOP_SLOTS), judged = fixture_memory(f, p, 8 * LOOP_SLOTS);
    int init = fixture_kernel(f, k_init, "immmm"), step = fixture_kernel(f, k_step, "immm");
    int k_j = fixture_kernel(f, k_judge, "m"), finish = fixture_kernel(f, k_finish, "mmmmo");
    fixture_call(f, &p->init, init, (int[]){plan, steps, judged, p->buf_limit, p->buf_done});
    fixture_call(f, &p->step, step, (int[]){plan, steps, p->buf_t, p->buf_done});
    if (judge) fixture_call(f, &p->judge, k_j, (int[]){judged});
    fixture_call(f, &p->finish, finish, (int[]){steps, p->buf_t, judged, p->buf_id, out});
    fixture_plan(f, p, 0);
}

/* ---- the bare loop: no phase but step, no table but the samples ---- */

static void k_count(const int64_t *table, int64_t lo, int64_t hi, char *y, int64_t ys)
{
    for (int64_t s = lo; s < hi; s++) ++*(int64_t *)(y + table[s] * ys);
}

static void add_bare(Fixture *f)
{
    Program *p = fixture_program(f, "bare", LOOP_SLOTS);
    p->loop = true;
    p->step_backwards = 1;
    int y = fixture_buffer(f, p, BUF_IO, fixture_output(p, "y", DT_I64, 1));
    fixture_call(f, &p->step, fixture_kernel(f, k_count, "o"), (int[]){y});
    fixture_plan(f, p, 0);
}

static _Alignas(64) uint8_t blob[128];

static Fixture *build(bool optimise, bool embed, bool trace, const char *needs)
{
    Fixture *f = fixture_new("m");
    ((float *)blob)[16] = 0.25f;
    ((float *)blob)[17] = 0.75f;
    f->m->consts = blob;
    f->m->const_bytes = sizeof blob;
    f->m->embed = embed;
    f->m->trace = trace;
    f->optimise = optimise;
    f->needs = needs;
    add_plain(f, "forward", false);
    add_loop(f, "walk-it", true);
    add_loop(f, "unjudged", false);
    add_bare(f);
    add_plain(f, "whole", true);
    fixture_build(f);
    return f;
}

/* ---- calling ---- */

enum { MOST = 40, GUARD = 4096 };

typedef struct Caller { /* an environment that remembers what it was asked */
    AdjEnv env;
    bool threads;
    int asked, ticks, stop_at; /* stop_at: the tick that says stop; 0: none */
    int fail;
} Caller;

typedef struct Part {
    void (*fn)(void *, int);
    void *arg;
    int i;
} Part;

static void *part_main(void *arg)
{
    Part *p = arg;
    p->fn(p->arg, p->i);
    return NULL;
}

static int in_threads(int n, void (*fn)(void *, int), void *arg)
{
    pthread_t t[MOST];
    Part part[MOST];
    for (int i = 0; i < n; i++) {
        part[i] = (Part){fn, arg, i};
        pthread_create(&t[i], NULL, part_main, &part[i]);
    }
    for (int i = 0; i < n; i++) pthread_join(t[i], NULL);
    return 0;
}

static int parallel(void *user, int n, void (*fn)(void *, int), void *arg)
{
    Caller *c = user;
    c->asked = n;
    if (c->fail) return c->fail;
    if (c->threads) return in_threads(n, fn, arg);
    for (int i = n; i-- > 0;) fn(arg, i);
    return 0;
}

static int tick(void *user)
{
    Caller *c = user;
    note('|', 0, 0);
    return ++c->ticks == c->stop_at;
}

static Caller caller(int workers, bool threads)
{
    return (Caller){.env = {.size = sizeof(AdjEnv), .workers = workers, .parallel = parallel},
                    .threads = threads};
}

typedef struct Memory {
    uint8_t *block;
    size_t bytes;
} Memory;

static Memory memory_new(const AdjEntry *e, int workers)
{
    Memory m = {.bytes = e->shared_bytes + (size_t)workers * e->worker_bytes};
    m.block = aligned_alloc(64, (m.bytes + GUARD + 63) / 64 * 64);
    memset(m.block, 0xa5, m.bytes + GUARD);
    return m;
}

/* Nothing behind the arena was touched. */
static void memory_free(Memory m)
{
    bool clean = true;
    for (int i = 0; i < GUARD; i++) clean &= m.block[m.bytes + i] == 0xa5;
    expect(clean);
    free(m.block);
}

static const AdjEntry *entry(const Fixture *f, const char *name)
{
    for (uint32_t i = 0; i < f->model->nentry; i++)
        if (!strcmp(f->model->entry[i].name, name)) return &f->model->entry[i];
    return NULL;
}

static AdjCall call_of(int64_t n, void *const *io, Memory m, AdjStatus *status)
{
    *status = (AdjStatus){.size = sizeof *status};
    return (AdjCall){.size = sizeof(AdjCall),
                     .n = n,
                     .io = io,
                     .arena = m.block,
                     .arena_bytes = m.bytes,
                     .status = status,
                     .weights = blob};
}

static bool counts(const AdjStatus *s, int64_t forwards, int64_t backwards, int64_t samples)
{
    return s->size == sizeof *s && s->variant == 1 && s->forwards == (uint64_t)forwards &&
           s->backwards == (uint64_t)backwards && s->samples == (uint64_t)samples;
}

/* ---- plain entries ---- */

static float x_of(int i, int j)
{
    return (float)(i * 10 + j);
}

static bool plain_right(float (*y)[2], uint64_t (*z)[2], int n, const double *scale, int each)
{
    for (int i = 0; i < n; i++) {
        double a = scale ? scale[each ? i : 0] : 2;
        for (int j = 0; j < 2; j++) {
            float v = x_of(i, j), want = (float)(v * a + 3 + 0.5 * v + 5) + (j ? 0.75f : 0.25f);
            if (y && y[i][j] != want) return false;
        }
        if (z && (z[i][0] != 1000u + (uint64_t)i || z[i][1] != 7)) return false;
    }
    return true;
}

static void run_plain(const AdjEntry *e, int n, Caller *c, int room, int hyper, int outputs)
{
    float x[MOST][2], y[MOST][2] = {{0}};
    uint64_t z[MOST][2] = {{0}};
    double scale[MOST];
    for (int i = 0; i < MOST; i++) {
        scale[i] = 1 + i;
        for (int j = 0; j < 2; j++) x[i][j] = x_of(i, j);
    }
    Memory m = memory_new(e, room);
    AdjStatus status;
    void *io[] = {x, NULL, outputs & 1 ? y : NULL, outputs & 2 ? z : NULL};
    const void *hypers[] = {scale, NULL, NULL, NULL};
    AdjCall call = call_of(n, io, m, &status);
    call.seed = 7;
    call.first_id = 1000;
    call.hyper_each = hyper == 2 ? 15 : 0;
    if (hyper) call.hyper = hypers;
    if (c) c->env.user = c;
    expect(e->run(c ? &c->env : NULL, &call) == ADJ_OK);
    expect(counts(&status, n, 0, n));
    expect(plain_right(outputs & 1 ? y : NULL, outputs & 2 ? z : NULL, n, hyper ? scale : NULL,
                       hyper == 2));
    expect(n == MOST || (y[n][0] == 0 && z[n][0] == 0));
    memory_free(m);
}

static void test_plain(const Fixture *f)
{
    static const int sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 33, MOST};
    const AdjEntry *e = entry(f, "forward");
    for (int k = 0; k < COUNT(sizes); k++) {
        run_plain(e, sizes[k], NULL, 1, 0, 3);
        for (int w = 0; w <= 5; w++) {
            Caller c = caller(w, w % 2), d = caller(w, !(w % 2));
            run_plain(e, sizes[k], &c, w ? w : 1, w % 3, 3);
            run_plain(e, sizes[k], &d, w ? w : 1, 2, w % 4);
        }
    }
}

static void test_worker_count(const Fixture *f)
{
    static const struct {
        int workers, room, n, want; /* want 0: parallel is not called */
    } row[] = {{64, 2, 33, 2}, {3, 8, 33, 3}, {8, 8, 2, 2}, {8, 8, 1, 0}, {8, 8, 0, 0},
               {-5, 3, 9, 0},  {1, 3, 9, 0},  {0, 3, 9, 0}, {9, 1, 9, 0}};
    for (int i = 0; i < COUNT(row); i++) {
        Caller c = caller(row[i].workers, false);
        run_plain(entry(f, "forward"), row[i].n, &c, row[i].room, 0, 3);
        expect(c.asked == row[i].want);
    }
    Caller c = caller(4, false);
    c.env.parallel = NULL;
    run_plain(entry(f, "forward"), 9, &c, 4, 0, 3);
}

/* Samples that depend on each other: whole batches, one worker. */
static void test_whole(const Fixture *f)
{
    const AdjEntry *e = entry(f, "whole");
    float x[4 * PLAIN_SLOTS][2] = {{0}};
    Memory m = memory_new(e, 2);
    AdjStatus status;
    for (int n = 0; n <= 4 * PLAIN_SLOTS; n++) {
        AdjCall call = call_of(n, (void *[]){x, NULL, NULL, NULL}, m, &status);
        Caller c = caller(2, false);
        int code = e->run(&c.env, &call);
        expect(code == (n % PLAIN_SLOTS ? ADJ_BAD_CALL : ADJ_OK) && c.asked == 0);
    }
    memory_free(m);
}

static void test_ids(const Fixture *f)
{
    const AdjEntry *e = entry(f, "forward");
    float x[3][2] = {{0}};
    uint64_t z[3][2], ids[] = {5, UINT64_MAX, 6};
    Memory m = memory_new(e, 1);
    AdjStatus status;
    AdjCall call = call_of(3, (void *[]){x, x, NULL, z}, m, &status);
    call.ids = ids;
    call.first_id = 1000;
    call.status = NULL;
    expect(e->run(NULL, &call) == ADJ_OK && z[0][0] == 5 && z[1][0] == UINT64_MAX && z[2][0] == 6);
    memory_free(m);
}

/* Halos are zeroed once a call, for each worker, elements are not; the arena came full of rubbish. */
static void test_zeroed(const Fixture *f)
{
    const AdjEntry *e = entry(f, "forward");
    const Program *p = &f->m->program[0];
    float x[9][2] = {{0}};
    Memory m = memory_new(e, 1);
    AdjStatus status;
    AdjCall call = call_of(9, (void *[]){x, NULL, NULL, NULL}, m, &status);
    for (int again = 0; again < 2; again++) {
        expect(e->run(NULL, &call) == ADJ_OK);
        uint32_t *zeroed = (uint32_t *)(m.block + p->shared_bytes + p->zero_offset);
        expect(zeroed[0] == 3 && zeroed[9] == 3 && zeroed[1] == 0xa5a5a5a5 &&
               zeroed[8] == 0xa5a5a5a5);
    }
    memory_free(m);
}

/* ---- loops ---- */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static Result expect_loop(Plan q, int64_t steps, bool judge, int64_t id, int64_t sum[3])
{
    int64_t limit = least(q.cut, steps), n = 0;
    bool last = limit <= 0, end = q.finish == 0;
    while (!last && !end) {
        n++;
        end = n >= q.finish;
        last = n >= q.stop || n >= limit;
    }
    bool judged = judge && !end;
    sum[0] += n * STEP_FORWARDS + (judged ? JUDGE_FORWARDS : 0);
    sum[1] += n * STEP_BACKWARDS;
    sum[2]++;
    return (Result){n, n, judged, id};
}

static void make_plans(Plan *plan)
{
    static const int64_t stops[] = {99, 1, 3, 99, 5, 2}, finishes[] = {99, 99, 4, 0, 1, 2, 7};
    static const int64_t cuts[] = {99, 99, 0, 6, 99};
    for (int i = 0; i < MOST; i++) plan[i] = (Plan){cuts[i % 5], stops[i % 6], finishes[i % 7]};
}

static void run_loop(const AdjEntry *e, int n, int steps, Caller *c, uint32_t flags, bool judge)
{
    Plan plan[MOST];
    Result out[MOST] = {{0}};
    make_plans(plan);
    Memory m = memory_new(e, 5);
    AdjStatus status;
    AdjCall call = call_of(n, (void *[]){plan, out}, m, &status);
    call.steps = steps;
    call.flags = flags;
    call.first_id = 50;
    c->env.user = c;
    expect(e->run(&c->env, &call) == ADJ_OK);
    int64_t sum[3] = {0};
    bool right = true;
    for (int i = 0; i < n; i++) {
        Result want = expect_loop(plan[i], steps, judge && !(flags & ADJ_NO_JUDGE), 50 + i, sum);
        right &= !memcmp(&out[i], &want, sizeof want);
    }
    expect(right);
    expect(counts(&status, sum[0], sum[1], sum[2]));
    memory_free(m);
}

static void test_loop(const Fixture *f, const char *name, bool judge)
{
    static const int sizes[] = {0, 1, 2, 3, 4, 7, 33, MOST}, steps[] = {0, 1, 2, 5, 20};
    for (int k = 0; k < COUNT(sizes); k++)
        for (int s = 0; s < COUNT(steps); s++)
            for (int w = 1; w <= 5; w += 2) {
                Caller c = caller(w, w == 3), d = caller(w, w == 5);
                run_loop(entry(f, name), sizes[k], steps[s], &c, 0, judge);
                run_loop(entry(f, name), sizes[k], steps[s], &d, ADJ_NO_JUDGE | 0x80, judge);
            }
}

static void test_bare(const Fixture *f)
{
    const AdjEntry *e = entry(f, "bare");
    for (int steps = 0; steps < 4; steps++) {
        int64_t y[8] = {0};
        Memory m = memory_new(e, 2);
        AdjStatus status;
        Caller c = caller(2, true);
        c.env.user = &c;
        AdjCall call = call_of(7, (void *[]){y}, m, &status);
        call.steps = steps;
        expect(e->run(&c.env, &call) == ADJ_OK && counts(&status, 0, 7 * steps, 7));
        for (int i = 0; i < 8; i++) expect(y[i] == (i < 7 ? steps : 0));
        memory_free(m);
    }
}

/* The exact order of phases: slot 1 finishes early, takes the next sample, and splits nobody's
 * run. */
static void test_journal(const Fixture *f)
{
    const AdjEntry *e = entry(f, "walk-it");
    Plan plan[] = {{99, 99, 99}, {99, 99, 1}, {99, 99, 99}, {99, 1, 99}, {99, 99, 0}};
    Result out[5];
    Memory m = memory_new(e, 1);
    AdjStatus status;
    Caller c = caller(1, false);
    c.env.user = &c;
    c.env.tick = tick;
    AdjCall call = call_of(5, (void *[]){plan, out}, m, &status);
    call.steps = 3;
    journal_open();
    expect(e->run(&c.env, &call) == ADJ_OK);
    journal_on = false;
    expect(!strcmp(journal, "i0-3 s0-3 f1-2 |0-0 i1-2 s0-3 j1-2 f1-2 |0-0 "
                            "i1-2 s0-1 s2-3 j0-1 j2-3 f0-3 |0-0 "));
    memory_free(m);
}

/* Three samples are two and one for two workers: a worker with room for three holds two. */
static void test_share(const Fixture *f)
{
    const AdjEntry *e = entry(f, "walk-it");
    Plan plan[3] = {{9, 9, 1}, {9, 9, 1}, {9, 9, 1}};
    Result out[3];
    Memory m = memory_new(e, 2);
    AdjStatus status;
    Caller c = caller(2, false);
    c.env.user = &c;
    AdjCall call = call_of(3, (void *[]){plan, out}, m, &status);
    call.steps = 3;
    journal_open();
    expect(e->run(&c.env, &call) == ADJ_OK);
    journal_on = false;
    expect(!strcmp(journal, "i0-2 s0-2 f0-2 i0-1 s0-1 f0-1 "));
    memory_free(m);
}

static void test_stop(const Fixture *f)
{
    const AdjEntry *e = entry(f, "walk-it");
    for (int at = 1; at <= 4; at++) {
        Plan plan[MOST];
        Result out[MOST];
        for (int i = 0; i < MOST; i++) plan[i] = (Plan){99, 99, 2};
        Memory m = memory_new(e, 1);
        AdjStatus status;
        Caller c = caller(1, false);
        c.env.user = &c;
        c.env.tick = tick;
        c.stop_at = at;
        AdjCall call = call_of(MOST, (void *[]){plan, out}, m, &status);
        call.steps = 9;
        expect(e->run(&c.env, &call) == ADJ_STOPPED && c.ticks == at);
        expect(counts(&status, at * 3 * STEP_FORWARDS, at * 3, at / 2 * 3));
        memory_free(m);
    }
}

static void test_stop_all(const Fixture *f)
{
    const AdjEntry *e = entry(f, "walk-it");
    Plan plan[MOST];
    Result out[MOST];
    make_plans(plan);
    Memory m = memory_new(e, 3);
    AdjStatus status;
    Caller c = caller(3, false);
    c.env.user = &c;
    c.env.tick = tick;
    c.stop_at = 1;
    AdjCall call = call_of(MOST, (void *[]){plan, out}, m, &status);
    call.steps = 9;
    expect(e->run(&c.env, &call) == ADJ_STOPPED && c.asked == 3 && c.ticks == 1);
    memory_free(m);
}

/* ---- calls that are refused ---- */

static int refused(const AdjEntry *e, const AdjEnv *env, AdjCall call)
{
    uint8_t before[64];
    AdjStatus status = call.status ? *call.status : (AdjStatus){0};
    memcpy(before, (uint8_t *)((uintptr_t)call.arena & ~(uintptr_t)63), 64);
    int code = e->run(env, &call);
    expect(!memcmp(before, (uint8_t *)((uintptr_t)call.arena & ~(uintptr_t)63), 64));
    expect(!call.status || !memcmp(&status, call.status, sizeof status));
    return code;
}

static void test_bad_calls(const Fixture *f)
{
    const AdjEntry *e = entry(f, "forward"), *loop = entry(f, "walk-it");
    float x[2][2] = {{0}};
    Memory m = memory_new(e, 4);
    AdjStatus status;
    AdjEnv env = {.size = sizeof env - 1};
    void *io[] = {x, NULL, NULL, NULL}, *no_x[] = {NULL, x, x, x};
    AdjCall good = call_of(2, io, m, &status), bad = good;
    expect(e->run(NULL, NULL) == ADJ_BAD_CALL);
    expect(refused(e, &env, good) == ADJ_BAD_CALL);
    bad.size--;
    expect(refused(e, NULL, bad) == ADJ_BAD_CALL);
    bad = good, bad.n = -1;
    expect(refused(e, NULL, bad) == ADJ_BAD_CALL);
    bad = good, bad.io = NULL;
    expect(refused(e, NULL, bad) == ADJ_BAD_CALL);
    bad = good, bad.io = no_x;
    expect(refused(e, NULL, bad) == ADJ_BAD_CALL);
    bad = good, bad.steps = -1;
    expect(refused(loop, NULL, bad) == ADJ_BAD_CALL);
    status.size--;
    expect(refused(e, NULL, good) == ADJ_BAD_CALL);
    status.size++;
    good.steps = -1; /* ignored by a plain entry */
    good.size++;     /* a later, longer struct */
    expect(e->run(NULL, &good) == ADJ_OK);
    memory_free(m);
}

static void test_bad_arena(const Fixture *f)
{
    const AdjEntry *e = entry(f, "forward");
    float x[2][2] = {{0}};
    Memory m = memory_new(e, 1);
    AdjStatus status;
    AdjCall good = call_of(2, (void *[]){x, NULL, NULL, NULL}, m, &status), bad = good;
    bad.arena_bytes--;
    expect(refused(e, NULL, bad) == ADJ_BAD_ARENA);
    bad = good, bad.arena_bytes = 0;
    expect(refused(e, NULL, bad) == ADJ_BAD_ARENA);
    bad = good, bad.arena = m.block + 32, bad.arena_bytes += 64;
    expect(refused(e, NULL, bad) == ADJ_BAD_ARENA);
    bad = good, bad.arena = NULL;
    expect(e->run(NULL, &bad) == ADJ_BAD_ARENA);
    memory_free(m);
}

static void test_failed(const Fixture *f)
{
    const AdjEntry *e = entry(f, "forward");
    float x[4][2] = {{0}};
    Memory m = memory_new(e, 2);
    AdjStatus status;
    Caller c = caller(2, false);
    c.env.user = &c;
    c.fail = -9;
    AdjCall call = call_of(4, (void *[]){x, NULL, NULL, NULL}, m, &status);
    expect(e->run(&c.env, &call) == ADJ_FAILED && counts(&status, 0, 0, 0));
    memory_free(m);
}

static void test_weights(const Fixture *f)
{
    const AdjEntry *e = entry(f, "forward");
    _Alignas(64) uint8_t own[192];
    float x[1][2] = {{0}}, y[1][2];
    memset(own, 0, sizeof own);
    ((float *)own)[16] = 100;
    Memory m = memory_new(e, 1);
    AdjStatus status;
    AdjCall call = call_of(1, (void *[]){x, NULL, y, NULL}, m, &status);
    expect(f->model->weights_bytes == sizeof blob);
    call.weights = NULL;
    expect(refused(e, NULL, call) == ADJ_BAD_WEIGHTS);
    call.weights = own + 4;
    expect(refused(e, NULL, call) == ADJ_BAD_WEIGHTS);
    call.weights = own;
    expect(e->run(NULL, &call) == ADJ_OK && y[0][0] == 108 && y[0][1] == 8);
    memory_free(m);
}

/* ---- tracing ---- */

static void on_trace(void *user, int phase, int index, void *arena, int64_t lo, int64_t hi)
{
    Caller *c = user;
    c->asked += arena != NULL;
    note((char)('A' + 4 * phase + index), lo, hi);
}

static void test_trace(const Fixture *f)
{
    const AdjEntry *e = entry(f, "walk-it");
    Plan plan[] = {{99, 1, 99}, {99, 99, 2}};
    Result out[2];
    Memory m = memory_new(e, 1);
    AdjStatus status;
    Caller c = caller(1, false);
    c.env.user = &c;
    c.env.trace = on_trace;
    AdjCall call = call_of(2, (void *[]){plan, out}, m, &status);
    call.steps = 9;
    journal_open();
    expect(e->run(&c.env, &call) == ADJ_OK);
    journal_on = false;
    const char *want = "i0-2 A0-2 s0-2 E0-2 j0-1 I0-1 f0-1 M0-1 s1-2 E1-2 f1-2 M1-2 ";
    expect(!f->m->trace || !strcmp(journal, want));
    expect(c.asked == (f->m->trace ? 6 : 0));
    memory_free(m);
}

/* ---- what the model says of itself ---- */

static void test_model(const Fixture *f)
{
    const AdjModel *m = f->model;
    expect(m->abi == ADJ_ABI_VERSION && m->nentry == 5 && m->hash == 99);
    expect(!strcmp(m->name, "by-hand.onnx") && !strcmp(m->cpu, "by-hand") && m->target[0]);
    const AdjEntry *e = entry(f, "forward"), *loop = entry(f, "walk-it");
    expect(e && e->nio == 4 && e->nhyper == 4 && e->slots == PLAIN_SLOTS && e->steps == 0);
    expect(e->shared_bytes == 128 && e->worker_bytes == (uint64_t)f->m->program[0].worker_bytes);
    expect(!strcmp(e->io[1].name, "t") && e->io[1].optional && !e->io[1].output);
    expect(!e->io[0].optional && e->io[2].optional && e->io[2].output);
    expect(e->io[3].dtype == ADJ_I64 && e->io[3].rank == 1 && e->io[3].dim[0] == 2);
    expect(!strcmp(e->hyper[2].name, "gain") && e->hyper[2].dtype == ADJ_F32);
    expect(e->hyper[2].value == 0.5 && e->hyper[2].lo == 0 && e->hyper[2].hi == 10);
    expect(loop && loop->steps == 1 && loop->nhyper == 0 && !loop->hyper);
}

/* ---- the CPU: our cpuid against the kernel's /proc/cpuinfo ---- */

static bool cpu_has(const char *flags, const char *flag)
{
    size_t n = strlen(flag);
    for (const char *p = flags; (p = strstr(p, flag)); p += n)
        if (p[-1] == ' ' && (p[n] == ' ' || p[n] == '\n' || !p[n])) return true;
    return false;
}

static bool cpu_runs(const char *needs)
{
    Fixture *f = build(false, true, false, needs);
    const AdjEntry *e = entry(f, "forward");
    float x[1][2] = {{0}};
    Memory m = memory_new(e, 1);
    AdjStatus status;
    AdjCall call = call_of(1, (void *[]){x, NULL, NULL, NULL}, m, &status);
    int code = e->run(NULL, &call);
    expect(code == ADJ_OK || code == ADJ_BAD_CPU);
    expect(status.variant == (code == ADJ_OK));
    call.flags = ADJ_VARIANT(1); /* believed: these features are asked for, and not used */
    expect(e->run(NULL, &call) == ADJ_OK && status.variant == 1);
    call.flags = ADJ_VARIANT(2);
    expect(e->run(NULL, &call) == ADJ_BAD_CALL);
    memory_free(m);
    fixture_free(f);
    return code == ADJ_OK;
}

static void test_features(const char *flags)
{
    static const char *const name[][2] = {/* LLVM's, Linux's */
                                          {"sse3", "pni"},
                                          {"ssse3", "ssse3"},
                                          {"fma", "fma"},
                                          {"sse4.2", "sse4_2"},
                                          {"popcnt", "popcnt"},
                                          {"avx", "avx"},
                                          {"f16c", "f16c"},
                                          {"bmi", "bmi1"},
                                          {"avx2", "avx2"},
                                          {"bmi2", "bmi2"},
                                          {"avx512f", "avx512f"},
                                          {"avx512dq", "avx512dq"},
                                          {"gfni", "gfni"},
                                          {"avx512vl", "avx512vl"},
                                          {"avx512vbmi", "avx512vbmi"},
                                          {"avx512vnni", "avx512_vnni"},
                                          {"avx512fp16", "avx512_fp16"},
                                          {"avxvnni", "avx_vnni"},
                                          {"avx512bf16", "avx512_bf16"},
                                          {"lzcnt", "abm"},
                                          {"xop", "xop"}};
    for (int i = 0; i < COUNT(name); i++) {
        bool has = cpu_has(flags, name[i][1]);
        if (cpu_runs(name[i][0]) == has)
            passed++;
        else
            printf("FAILED: feature %s, cpuinfo says %d\n", name[i][0], has), failed++;
    }
    expect(cpu_runs("") && !cpu_runs("sse3,xop") && !cpu_runs("xop,sse3"));
}

static void test_cpu(void)
{
#ifdef __x86_64__
    char line[8192];
    FILE *in = fopen("/proc/cpuinfo", "r");
    bool found = false;
    while (in && !found && fgets(line, sizeof line, in)) found = !strncmp(line, "flags", 5);
    if (in) fclose(in);
    if (found)
        test_features(line);
    else
        printf("skipped: cpuid (no /proc/cpuinfo)\n");
#else
    printf("skipped: cpuid (not x86-64)\n");
#endif
}

static void test_module(bool optimise, bool embed, bool trace)
{
    Fixture *f = build(optimise, embed, trace, "");
    test_model(f);
    test_plain(f);
    test_worker_count(f);
    test_whole(f);
    test_ids(f);
    test_zeroed(f);
    test_loop(f, "walk-it", true);
    test_loop(f, "unjudged", false);
    test_bare(f);
    test_journal(f);
    test_share(f);
    test_stop(f);
    test_stop_all(f);
    test_bad_calls(f);
    test_bad_arena(f);
    test_failed(f);
    if (!embed) test_weights(f);
    test_trace(f);
    fixture_free(f);
}

static void load_it(void *object)
{
    void *address;
    object_load(object, "none", &address);
}

/* An error line, before LLVM, which would end the process, sees the object. On x86-64 no more
 * addresses than 2^57 can be had; elsewhere LLVM takes the memory. */
static void test_too_large(void)
{
    Bytes object = {.size = (size_t)1 << 60};
    char msg[256] = "";
    expect(!err_guard(load_it, &object, msg, sizeof msg));
    expect(strstr(msg, "out of memory") && !strchr(msg, '\n'));
}

int main(void)
{
    test_module(false, true, false);
    test_module(true, true, true);
    test_module(true, false, false);
    test_cpu();
#if defined(__x86_64__) && defined(__linux__)
    test_too_large();
#else
    (void)test_too_large;
#endif
    printf("entry: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}

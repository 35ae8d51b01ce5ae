/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime: every index of a job runs exactly once, whoever calls; sizes are checked; a
 * library that is no model is refused with a message. argv[1] is the library made of
 * fake_model.c. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/arena.h"
#include "runtime/load.h"
#include "runtime/pool.h"

static int passed, failed;

static void expect(int ok, const char *what)
{
    passed += ok != 0;
    failed += ok == 0;
    if (!ok) printf("FAILED: %s\n", what);
}

/* ---- pool ---- */

enum { MOST = 1000 };
typedef struct Marks {
    atomic_int ran[MOST];
    atomic_int at_once, most;
    AdjPool *nested;
} Marks;

static void mark(void *arg, int i)
{
    Marks *m = arg;
    int now = atomic_fetch_add(&m->at_once, 1) + 1, most = atomic_load(&m->most);
    while (now > most && !atomic_compare_exchange_weak(&m->most, &most, now)) {
    }
    atomic_fetch_add(&m->ran[i], 1);
    atomic_fetch_sub(&m->at_once, 1);
}

static int each_once(const Marks *m, int n, int times)
{
    for (int i = 0; i < MOST; i++)
        if (atomic_load(&m->ran[i]) != (i < n ? times : 0)) return 0;
    return 1;
}

static void test_jobs(void)
{
    static const int sizes[] = {-1, 0, 1, 2, 3, 7, 64, MOST};
    for (int workers = 1; workers <= 5; workers++) {
        AdjPool *p = adj_pool_new(workers);
        expect(p && adj_pool_workers(p) == workers, "a pool has the workers asked for");
        for (int k = 0; k < (int)(sizeof sizes / sizeof *sizes); k++) {
            Marks m = {0};
            int rc = adj_pool_parallel(p, sizes[k], mark, &m);
            expect(rc == 0 && each_once(&m, sizes[k], 1), "each index once");
            expect(atomic_load(&m.most) <= workers, "no more at once than workers");
        }
        adj_pool_free(p);
    }
}

static void meet(void *arg, int i)
{
    (void)i;
    pthread_barrier_wait(arg);
}

static void test_at_once(void)
{
    AdjPool *p = adj_pool_new(4);
    pthread_barrier_t all;
    pthread_barrier_init(&all, NULL, 4);
    for (int i = 0; i < 100; i++)
        adj_pool_parallel(p, 4, meet, &all); /* hangs if they take turns */
    pthread_barrier_destroy(&all);
    adj_pool_free(p);
}

static void test_many_jobs(void)
{
    AdjPool *p = adj_pool_new(4);
    Marks m = {0};
    for (int i = 0; i < 20000; i++) adj_pool_parallel(p, 3, mark, &m);
    expect(each_once(&m, 3, 20000), "no job is lost or run twice");
    adj_pool_free(p);
}

static void nest(void *arg, int i)
{
    Marks *m = arg;
    if (i < 2) adj_pool_parallel(m->nested, 10, mark, m);
}

static void test_nested(void)
{
    Marks m = {.nested = adj_pool_new(3)};
    adj_pool_parallel(m.nested, 4, nest, &m);
    expect(each_once(&m, 10, 2), "a job within a job runs on its own thread");
    adj_pool_free(m.nested);
}

static void *other_thread(void *arg)
{
    Marks *m = arg;
    for (int i = 0; i < 2000; i++) adj_pool_parallel(m->nested, 5, mark, m);
    return NULL;
}

static void test_two_callers(void)
{
    Marks m = {.nested = adj_pool_new(3)};
    pthread_t t;
    pthread_create(&t, NULL, other_thread, &m);
    other_thread(&m);
    pthread_join(t, NULL);
    expect(each_once(&m, 5, 4000), "two threads may call one pool");
    adj_pool_free(m.nested);
}

static void test_env(void)
{
    AdjPool *p = adj_pool_new(0);
    AdjEnv env;
    memset(&env, 0xff, sizeof env);
    adj_pool_env(p, &env);
    expect(env.size == sizeof env && env.workers == adj_pool_workers(p), "env: size, workers");
    expect(env.parallel == adj_pool_parallel && env.user == p && !env.tick && !env.trace, "env");
    int data;
    adj_pool_set_user(p, &data);
    expect(adj_pool_user(p) == &data, "user data");
    adj_pool_free(p);
    adj_pool_free(NULL);
}

/* ---- arena ---- */

static void test_arena(void)
{
    AdjEntry e = {.shared_bytes = 128, .worker_bytes = 1024};
    expect(adj_arena_bytes(&e, 3) == 128 + 3 * 1024, "arena of three workers");
    expect(adj_arena_bytes(&e, 0) == 128 + 1024, "at least one worker");
    e.worker_bytes = UINT64_MAX / 2;
    expect(adj_arena_bytes(&e, 3) == 0, "product overflows");
    e.shared_bytes = UINT64_MAX - 1;
    expect(adj_arena_bytes(&e, 1) == 0, "sum overflows");
    for (size_t n = 0; n < 300; n += 37) {
        void *p = adj_arena_new(n);
        expect(p && (uintptr_t)p % ADJ_ARENA_ALIGN == 0, "aligned");
        adj_arena_free(p);
    }
}

/* ---- load ---- */

static void test_refused(const char *path, const char *prefix, const char *says)
{
    char msg[200] = "";
    expect(!adj_load(path, prefix, msg, sizeof msg), "refused");
    expect(strstr(msg, says) != NULL, msg);
    expect(!adj_load(path, prefix, msg, 1) && !msg[0], "a message of one byte is empty");
}

static void test_lookups(const AdjModel *m)
{
    const AdjEntry *e = adj_entry(m, "pgd-linf");
    expect(m->hash == 42 && adj_entry(m, "forward") == m->entry, "the model");
    expect(e == m->entry + 1 && !adj_entry(m, "pgd"), "entries by name");
    expect(adj_io(e, "y") == 1 && adj_io(e, "z") == -1, "tensors by name");
    expect(adj_hyper(e, "eps") == 0 && adj_hyper(e, "alpha") == -1, "hyperparameters by name");
    expect(adj_tensor_bytes(&e->io[0]) == 4 * 3 * 32 * 32, "bytes of a tensor");
    expect(adj_tensor_bytes(&e->io[1]) == 8, "bytes of a scalar");
    expect(adj_arena_bytes(e, 3) == 0, "an arena too large for the address space");
    AdjCall call = {.size = sizeof call, .n = 7};
    expect(e->run(NULL, &call) == ADJ_OK, "an entry runs");
}

static void test_load(const char *path)
{
    char msg[200] = "";
    AdjLoaded *l = adj_load(path, "fake", msg, sizeof msg);
    expect(l != NULL, msg);
    if (l) test_lookups(adj_loaded_model(l));
    adj_unload(l);
    adj_unload(NULL);
    char prefix[400];
    memset(prefix, 'a', sizeof prefix - 1);
    prefix[sizeof prefix - 1] = 0;
    test_refused(path, "other", "no model other_model");
    test_refused(path, prefix, "no model aaa");
    test_refused(path, "later", "ABI version 2");
    test_refused("libm.so.6", "fake", "libm.so.6"); /* exists, but not here */
    test_refused("/dev/null", "fake", "/dev/null");
}

int main(int argc, char **argv)
{
    if (argc != 2) return fprintf(stderr, "usage: test_runtime LIBRARY\n"), 2;
    test_jobs();
    test_at_once();
    test_many_jobs();
    test_nested();
    test_two_callers();
    test_env();
    test_arena();
    test_load(argv[1]);
    printf("runtime: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}

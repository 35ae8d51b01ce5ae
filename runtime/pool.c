/* SPDX-License-Identifier: Apache-2.0 */
/* The pool: one mutex, one job at a time, indices dealt one by one under the mutex. A model
 * hands out a few long indices a call, so a lock an index costs nothing, and nobody spins. */
#define _POSIX_C_SOURCE 200809L
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct AdjPool {
    pthread_mutex_t lock;
    pthread_cond_t work; /* indices to deal, or the end */
    pthread_cond_t idle; /* the last index of the job is done */
    void (*fn)(void *, int);
    void *arg;
    int n, next, left; /* the job: indices, next to deal, not yet done */
    bool busy, quit;
    void *user;
    int nthread;
    pthread_t thread[];
};

/* Runs indices of the job until none is left to deal. The lock is held at entry and exit. */
static void deal(AdjPool *p)
{
    while (p->next < p->n) {
        int i = p->next++;
        pthread_mutex_unlock(&p->lock);
        p->fn(p->arg, i);
        pthread_mutex_lock(&p->lock);
        if (--p->left == 0) pthread_cond_signal(&p->idle);
    }
}

static void *thread_main(void *arg)
{
    AdjPool *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->quit) {
        deal(p);
        if (!p->quit) pthread_cond_wait(&p->work, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static int online(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

/* Signals are for the program's own threads: those of the pool block all. */
static bool start(AdjPool *p, int nthread)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (p->nthread < nthread) {
        if (pthread_create(&p->thread[p->nthread], NULL, thread_main, p)) break;
        p->nthread++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return p->nthread == nthread;
}

AdjPool *adj_pool_new(int workers)
{
    int nthread = (workers < 1 ? online() : workers) - 1;
    AdjPool *p = calloc(1, sizeof *p + sizeof(pthread_t) * (size_t)nthread);
    if (!p) return NULL;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->idle, NULL);
    if (start(p, nthread)) return p;
    adj_pool_free(p);
    return NULL;
}

void adj_pool_free(AdjPool *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->quit = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->nthread; i++) pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->idle);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

int adj_pool_workers(const AdjPool *p)
{
    return p->nthread + 1;
}

/* ---- waiting ---- */

enum { SPINS = 100, YIELDS = 1000, SLEEP_NS = 50000 }; /* about 5 and 500 microseconds; one nap */

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Most waits are for the last piece of a kernel, and end while this spins. A processor that others
 * want is given away; one that nobody wants is not kept busy for long. */
void adj_pool_idle(void *user, int turn)
{
    (void)user;
    if (turn < SPINS)
        relax();
    else if (turn < SPINS + YIELDS)
        sched_yield();
    else
        nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
}

/* ---- as an AdjEnv ---- */

static int run_alone(int n, void (*fn)(void *, int), void *arg)
{
    for (int i = 0; i < n; i++) fn(arg, i);
    return 0;
}

static void open_job(AdjPool *p, int n, void (*fn)(void *, int), void *arg)
{
    p->busy = true;
    p->fn = fn;
    p->arg = arg;
    p->next = 0;
    p->n = p->left = n;
    pthread_cond_broadcast(&p->work);
}

int adj_pool_parallel(void *user, int n, void (*fn)(void *, int), void *arg)
{
    AdjPool *p = user;
    if (n <= 0) return 0;
    pthread_mutex_lock(&p->lock);
    if (p->busy) {
        pthread_mutex_unlock(&p->lock);
        return run_alone(n, fn, arg);
    }
    open_job(p, n, fn, arg);
    deal(p);
    while (p->left) pthread_cond_wait(&p->idle, &p->lock);
    p->busy = false;
    pthread_mutex_unlock(&p->lock);
    return 0;
}

void adj_pool_env(AdjPool *p, AdjEnv *env)
{
    *env = (AdjEnv){.size = sizeof *env,
                    .workers = adj_pool_workers(p),
                    .user = p,
                    .parallel = adj_pool_parallel,
                    .idle = adj_pool_idle};
}

void adj_pool_set_user(AdjPool *p, void *user)
{
    p->user = user;
}

void *adj_pool_user(const AdjPool *p)
{
    return p->user;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* For who measures attacks: PGD, all its steps one C call, by threads of this program's own. Each
 * thread has its arena and its share of the images, and says which they are (first_id), so the
 * outcome is that of one call over all: the program runs that as well and compares every bit.
 *
 *   attack IMAGES LABELS [COUNT [THREADS]]    IDX files; default 256 images, 2 threads */
#define _POSIX_C_SOURCE 200809L
#include <adjoint/arena.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../idx.h"
#include "net.h"

enum { PIXELS = 28 * 28, STEPS = 10, MAX_THREADS = 64 };

typedef struct Images {
    float *x, *adversarial;
    int64_t *y;
    int32_t *success;
} Images;

typedef struct Share {
    const Images *all;
    int64_t from, n;
    void *arena;
    AdjStatus status;
    int code;
} Share;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The whole attack on one share of the images, without a thread pool. */
static void *attack(void *arg)
{
    Share *s = arg;
    const float eps = 8.0f / 255, step = 2.0f / 255;
    const void *hyper[] = {&eps, &step, NULL, NULL, NULL}; /* the others: defaults */
    void *io[] = {s->all->x + s->from * PIXELS, s->all->y + s->from, NULL,
                  s->all->adversarial + s->from * PIXELS, s->all->success + s->from};
    AdjCall call = {.size = sizeof call, .n = s->n, .first_id = (uint64_t)s->from, .steps = STEPS};
    s->status.size = sizeof s->status;
    call.io = io;
    call.hyper = hyper;
    call.arena = s->arena;
    call.arena_bytes = NET_PGD_LINF_ARENA(1);
    call.status = &s->status;
    s->code = net_pgd_linf(NULL, &call);
    return NULL;
}

static void start(pthread_t *thread, Share *s)
{
    if (pthread_create(thread, NULL, attack, s)) fail("no thread");
}

/* Seconds, without what is made before; counts go to *total. */
static double attack_all(const Images *all, int64_t n, int threads, AdjStatus *total)
{
    pthread_t thread[MAX_THREADS];
    Share share[MAX_THREADS];
    memset(total, 0, sizeof *total);
    for (int i = 0; i < threads; i++) {
        int64_t from = n * i / threads, to = n * (i + 1) / threads;
        share[i] = (Share){.all = all, .from = from, .n = to - from};
        share[i].arena = must(adj_arena_new(NET_PGD_LINF_ARENA(1)));
    }
    double begin = now();
    for (int i = 0; i < threads; i++) start(&thread[i], &share[i]);
    for (int i = 0; i < threads; i++) pthread_join(thread[i], NULL);
    double seconds = now() - begin;
    for (int i = 0; i < threads; i++) {
        if (share[i].code != ADJ_OK) fail("net_pgd_linf returned an error");
        total->forwards += share[i].status.forwards;
        total->backwards += share[i].status.backwards;
        adj_arena_free(share[i].arena);
    }
    return seconds;
}

static Images with_outputs(const Images *in, int64_t n)
{
    Images out = *in;
    out.adversarial = must(malloc((size_t)n * PIXELS * sizeof(float)));
    out.success = must(malloc((size_t)n * sizeof(int32_t)));
    return out;
}

static void report(const Images *in, int64_t n, int threads, double seconds, const AdjStatus *s)
{
    int64_t robust = 0;
    for (int64_t i = 0; i < n; i++) robust += !in->success[i];
    printf("robust %lld of %lld\n", (long long)robust, (long long)n);
    printf("%llu forwards, %llu backwards, %d threads, an arena of %zu bytes each\n",
           (unsigned long long)s->forwards, (unsigned long long)s->backwards, threads,
           (size_t)NET_PGD_LINF_ARENA(1));
    printf("%.0f image-steps/s\n", (double)n * STEPS / seconds);
}

int main(int argc, char **argv)
{
    if (argc < 3) fail("usage: attack IMAGES LABELS [COUNT [THREADS]]");
    int64_t n = argc > 3 ? atoll(argv[3]) : 256;
    int threads = argc > 4 ? atoi(argv[4]) : 2;
    AdjStatus status;
    if (threads < 1 || threads > MAX_THREADS) fail("THREADS: 1 to 64");
    Images in = {.x = read_images(argv[1], (size_t)n, PIXELS)};
    in.y = read_labels(argv[2], (size_t)n);
    Images many = with_outputs(&in, n), one = with_outputs(&in, n);
    double seconds = attack_all(&many, n, threads, &status);
    report(&many, n, threads, seconds, &status);
    attack_all(&one, n, 1, &status);
    if (memcmp(many.adversarial, one.adversarial, (size_t)n * PIXELS * sizeof(float)))
        fail("one thread gives other bits");
    puts("one thread gives the same bits");
    return 0;
}

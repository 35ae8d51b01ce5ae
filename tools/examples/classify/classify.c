/* SPDX-License-Identifier: Apache-2.0 */
/* For who deploys a model: classifies images with all processors and counts those that agree with
 * their labels.
 *
 *   classify IMAGES LABELS [COUNT]    IDX files; the first COUNT images (default 1000) */
#include <adjoint/arena.h>
#include <adjoint/pool.h>
#include <stdio.h>
#include <stdlib.h>

#include "../idx.h"
#include "net.h"

enum { PIXELS = 28 * 28, CLASSES = 10 };

static int best(const float *z)
{
    int k = 0;
    for (int c = 1; c < CLASSES; c++)
        if (z[c] > z[k]) k = c;
    return k;
}

/* Logits of n images. The pool and the arena could serve any number of calls. */
static void classify(float *x, float *logits, int64_t n)
{
    AdjPool *pool = must(adj_pool_new(0));
    AdjEnv env;
    adj_pool_env(pool, &env);
    void *io[] = {x, logits};
    AdjCall call = {.size = sizeof call, .n = n, .io = io};
    call.arena_bytes = NET_FORWARD_ARENA(env.workers);
    call.arena = must(adj_arena_new(call.arena_bytes));
    int code = net_forward(&env, &call);
    if (code != ADJ_OK) {
        fprintf(stderr, "net_forward returned %d\n", code);
        exit(1);
    }
    adj_arena_free(call.arena);
    adj_pool_free(pool);
}

int main(int argc, char **argv)
{
    if (argc < 3) fail("usage: classify IMAGES LABELS [COUNT]");
    int64_t n = argc > 3 ? atoll(argv[3]) : 1000, right = 0;
    float *x = read_images(argv[1], (size_t)n, PIXELS);
    int64_t *y = read_labels(argv[2], (size_t)n);
    float *logits = must(malloc((size_t)n * CLASSES * sizeof *logits));
    classify(x, logits, n);
    for (int64_t i = 0; i < n; i++) right += best(logits + i * CLASSES) == y[i];
    printf("right %lld of %lld\n", (long long)right, (long long)n);
    free(logits);
    free(y);
    free(x);
    return 0;
}

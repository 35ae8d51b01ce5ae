/* SPDX-License-Identifier: Apache-2.0 */
/* Two compiled models in one program, each on two threads with arenas of their own: results must be
 * those of a single thread, and nothing but the generated headers is needed. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "one.h"
#include "two.h"

enum { N = 20, PIXELS = 28 * 28, CLASSES = 10 };

static float x[N * PIXELS];

typedef struct Job {
    AdjFn fn;
    size_t arena_bytes;
    const void *weights;
    float z[N * CLASSES];
    int rc;
} Job;

static void *run(void *arg)
{
    Job *j = arg;
    void *io[2], *arena = NULL;
    AdjCall call;
    io[0] = x;
    io[1] = j->z;
    if (posix_memalign(&arena, 64, j->arena_bytes)) return NULL;
    memset(&call, 0, sizeof call);
    call.size = sizeof call;
    call.n = N;
    call.io = io;
    call.weights = j->weights;
    call.arena = arena;
    call.arena_bytes = j->arena_bytes;
    j->rc = j->fn(NULL, &call);
    free(arena);
    return NULL;
}

static void *read_weights(const char *path)
{
    FILE *f = fopen(path, "rb");
    void *p = NULL;
    if (!f || posix_memalign(&p, 64, TWO_WEIGHTS_BYTES) ||
        fread(p, 1, TWO_WEIGHTS_BYTES, f) != TWO_WEIGHTS_BYTES)
        p = NULL;
    if (f) fclose(f);
    return p;
}

int main(int argc, char **argv)
{
    static Job job[4];
    pthread_t thread[4];
    void *weights = argc > 1 ? read_weights(argv[1]) : NULL;
    int i, bad = 0;
    for (i = 0; i < N * PIXELS; i++) x[i] = (float)(i * 37 % 255) / 255.0f;
    for (i = 0; i < 4; i++) {
        job[i].fn = i < 2 ? one_forward : two_forward;
        job[i].arena_bytes = i < 2 ? ONE_FORWARD_ARENA(1) : TWO_FORWARD_ARENA(1);
        job[i].weights = i < 2 ? NULL : weights;
        pthread_create(&thread[i], NULL, run, &job[i]);
    }
    for (i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    for (i = 0; i < 4; i++)
        bad += job[i].rc != 0 || memcmp(job[i].z, job[i & 2].z, sizeof job[i].z) != 0;
    /* the same network, so the same answers, whether its weights are inside or beside */
    bad += memcmp(job[0].z, job[2].z, sizeof job[0].z) != 0;
    bad += one_model.abi != ADJ_ABI_VERSION || two_model.weights_bytes != TWO_WEIGHTS_BYTES;
    free(weights);
    return bad;
}

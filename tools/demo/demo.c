/* SPDX-License-Identifier: Apache-2.0 */
/* A C99 program that links two compiled models of one shape, trained with and without a penalty on
 * their gradients: each classifies the Fashion-MNIST test images, then its first 1,000 under
 * attack. demo.sh builds it, and says how. All it needs of Adjoint is standard.h and robust.h,
 * which the compiler wrote, and from the runtime the thread pool and aligned memory.
 *
 *   demo IMAGES LABELS    IDX files, not compressed */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "robust.h"
#include "runtime/arena.h"
#include "runtime/pool.h"
#include "standard.h"

enum { IMAGES = 10000, ATTACKED = 1000, PIXELS = 28 * 28, CLASSES = 10, STEPS = 10 };

/* What the command line had behind --entry, in its order. */
enum { FORWARD, ATTACK, ENTRIES };

static const AdjModel *const model[] = {&standard_model, &robust_model};
enum { MODELS = sizeof model / sizeof *model };

static float image[IMAGES][PIXELS], adversarial[ATTACKED][PIXELS], logits[IMAGES][CLASSES];
static int64_t label[IMAGES];
static int32_t success[ATTACKED];

static void fail(const char *what)
{
    fprintf(stderr, "demo: %s\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The bytes behind an IDX file's header. */
static unsigned char *read_idx(const char *path, size_t header, size_t bytes)
{
    unsigned char *p = malloc(header + bytes);
    FILE *f = fopen(path, "rb");
    if (!p || !f || fread(p, 1, header + bytes, f) != header + bytes) fail(path);
    fclose(f);
    return p;
}

static void read_images(const char *images, const char *labels)
{
    unsigned char *x = read_idx(images, 16, IMAGES * PIXELS), *y = read_idx(labels, 8, IMAGES);
    for (int i = 0; i < IMAGES; i++) {
        label[i] = y[8 + i];
        for (int k = 0; k < PIXELS; k++) image[i][k] = (float)x[16 + i * PIXELS + k] / 255.0f;
    }
    free(x);
    free(y);
}

static int is_right(const float *z, int64_t y)
{
    for (int c = 0; c < CLASSES; c++)
        if (z[c] > z[y] || (z[c] == z[y] && c < y)) return 0;
    return 1;
}

static double run(const AdjEntry *entry, const AdjEnv *env, const AdjCall *call)
{
    double start = now();
    if (entry->run(env, call) != ADJ_OK) fail("a compiled entry returned an error");
    return now() - start;
}

static void classify(const AdjModel *m, const AdjEnv *env, AdjCall *call)
{
    void *io[] = {image, logits};
    int right = 0;
    call->n = IMAGES;
    call->io = io;
    double seconds = run(&m->entry[FORWARD], env, call);
    for (int i = 0; i < IMAGES; i++) right += is_right(logits[i], label[i]);
    printf("%-13s accuracy        %.4f (%d of %d)", m->name, right / (double)IMAGES, right, IMAGES);
    printf(", %.0f images/s\n", IMAGES / seconds);
}

/* Inputs, outputs and parameters have the same places in both models. */
static void attack(const AdjModel *m, const AdjEnv *env, AdjCall *call)
{
    const float eps = 8.0f / 255, step = 2.0f / 255;
    void *io[STANDARD_PGD_LINF_NIO] = {[STANDARD_PGD_LINF_IO_X] = image,
                                       [STANDARD_PGD_LINF_IO_Y] = label,
                                       [STANDARD_PGD_LINF_IO_ADV] = adversarial,
                                       [STANDARD_PGD_LINF_IO_SUCCESS] = success};
    /* The others have good defaults. */
    const void *hyper[STANDARD_PGD_LINF_NHYPER] = {
        [STANDARD_PGD_LINF_HYPER_EPS] = &eps, [STANDARD_PGD_LINF_HYPER_STEP] = &step};
    int robust = 0;
    call->n = ATTACKED;
    call->io = io;
    call->hyper = hyper;
    call->steps = STEPS;
    double seconds = run(&m->entry[ATTACK], env, call);
    for (int i = 0; i < ATTACKED; i++) robust += !success[i] && is_right(logits[i], label[i]);
    printf("%-13s robust accuracy %.4f (%d of %d; PGD-Linf, eps 8/255, step 2/255, %d steps)",
           m->name, robust / (double)ATTACKED, robust, ATTACKED, STEPS);
    printf(", %.0f image-steps/s\n", ATTACKED * STEPS / seconds);
}

/* What the largest of all calls needs. */
static size_t arena_bytes(int workers)
{
    size_t most = 0;
    for (int m = 0; m < MODELS; m++)
        for (int e = 0; e < ENTRIES; e++) {
            const AdjEntry *entry = &model[m]->entry[e];
            size_t bytes = entry->shared_bytes + (size_t)workers * entry->worker_bytes;
            if (bytes > most) most = bytes;
        }
    return most;
}

int main(int argc, char **argv)
{
    AdjPool *pool = adj_pool_new(0);
    AdjEnv env;
    AdjCall call = {0};
    if (argc != 3 || !pool) fail("needs two IDX files, images and labels");
    read_images(argv[1], argv[2]);
    adj_pool_env(pool, &env);
    call.size = sizeof call;
    call.arena_bytes = arena_bytes(env.workers);
    call.arena = adj_arena_new(call.arena_bytes);
    if (!call.arena) fail("no memory");
    for (int m = 0; m < MODELS; m++) {
        classify(model[m], &env, &call);
        attack(model[m], &env, &call);
    }
    printf("%-13s %zu bytes for %d threads; the compiled code allocates nothing\n", "arena",
           call.arena_bytes, (int)env.workers);
    adj_arena_free(call.arena);
    adj_pool_free(pool);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The binary interface of a compiled model. The object that `adjoint compile` writes exports one
 * read-only `AdjModel <prefix>_model` and imports nothing but memcpy and memset. This header is all
 * a caller needs; it is C99 and C++.
 *
 * Tensors are row-major and dense: io[k] points to n samples of entry->io[k]. Images are NCHW,
 * pixels in [0,1]. Three regions belong to the caller: weights, io and the arena (64-byte aligned).
 */
#ifndef ADJOINT_ABI_H
#define ADJOINT_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ADJ_ABI_VERSION 1u

/* What an entry returns. */
enum {
    ADJ_OK = 0,
    ADJ_STOPPED = 1,      /* env->tick asked to stop; samples finished so far are complete */
    ADJ_BAD_CALL = -1,    /* wrong struct size, n < 0, steps < 0, a required pointer is NULL */
    ADJ_BAD_ARENA = -2,   /* arena too small for one worker, or not 64-byte aligned */
    ADJ_BAD_CPU = -3,     /* this machine lacks an instruction set the object was compiled for */
    ADJ_BAD_WEIGHTS = -4, /* weights are not embedded and call->weights is NULL */
    ADJ_FAILED = -5       /* env->parallel or env->allreduce failed */
};

enum { ADJ_F64, ADJ_F32, ADJ_F16, ADJ_BF16, ADJ_I64, ADJ_I32, ADJ_I8, ADJ_U8, ADJ_BOOL };

/* All members optional; a NULL env, or zeros, runs everything on the calling thread. */
typedef struct AdjEnv {
    uint32_t size;   /* sizeof(AdjEnv) */
    int32_t workers; /* most workers to use; 0 means 1 */
    void *user;
    /* Calls fn(arg, i) once for each i in [0, n), concurrently or not; returns 0 when all are done.
     */
    int (*parallel)(void *user, int n, void (*fn)(void *arg, int i), void *arg);
    /* GPU artefacts: enqueue a kernel. */
    int (*launch)(void *user, const char *kernel, const uint32_t grid[3], const uint32_t block[3],
                  void **args);
    void *stream;
    int (*tick)(void *user); /* between steps, on any worker; non-zero stops the call cleanly */
    /* After call `index` of phase `phase` (0 init, 1 step, 2 judge, 3 finish) on slots [lo, hi) of
     * the worker whose arena is given; only in objects compiled with tracing. */
    void (*trace)(void *user, int phase, int index, void *worker_arena, int64_t lo, int64_t hi);
    /* Puts the sum over ranks of these numbers in their place, the same bits on every rank; 0 if it
     * did. Ranks are calls, in other processes say, of the same entry. One worker calls it,
     * whichever comes to it; each rank does as often, in the same order. NULL: one rank. */
    int (*allreduce)(void *user, void *data, size_t count, int dtype);
    /* A worker waits for others, for the turn-th time in a row (0, 1, ...): let another thread have
     * the processor, or sleep for a moment. With NULL workers never wait, and never share a sample:
     * no more of them run than there are samples. */
    void (*idle)(void *user, int turn);
} AdjEnv;

typedef struct AdjStatus { /* exact counts of one call, in samples */
    uint32_t size;
    uint32_t variant; /* which of the object's CPUs the call ran for, from 1 on: see ADJ_VARIANT */
    uint64_t forwards, backwards, samples;
} AdjStatus;

enum { ADJ_NO_JUDGE = 1u }; /* flags: skip the forward pass that judges a last iterate */
/* flags: what status->variant said after an earlier call of the same object in the same process.
 * The CPU is not asked again then; cpuid takes a virtual machine tens of microseconds. 0: ask. */
#define ADJ_VARIANT(variant) ((uint32_t)(variant) << 8)

typedef struct AdjCall {
    uint32_t size; /* sizeof(AdjCall) */
    uint32_t flags;
    int64_t n;         /* samples */
    uint64_t seed;     /* of the generator */
    uint64_t first_id; /* sample i has identity ids ? ids[i] : first_id + i */
    const uint64_t *ids;
    int32_t steps;       /* of an attack; ignored by plain entries */
    uint32_t hyper_each; /* bit k: hyper[k] points to n values, one a sample; else to one value */
    const void *weights; /* the .weights file's bytes, 64-byte aligned, unless embedded */
    void *const *io;     /* entry->nio pointers; an output may be NULL if not wanted */
    const void *const *hyper; /* entry->nhyper pointers; NULL array or member: the default */
    void *arena;              /* shared_bytes + workers * worker_bytes, 64-byte aligned */
    size_t arena_bytes;
    AdjStatus *status; /* may be NULL */
} AdjCall;

typedef struct AdjTensor {
    const char *name;
    int32_t dtype, rank; /* of one sample */
    int64_t dim[6];
    int32_t output, optional;
} AdjTensor;

typedef struct AdjHyper {
    const char *name;
    int32_t dtype, reserved;
    double value, lo, hi; /* default and allowed range */
} AdjHyper;

typedef int (*AdjFn)(const AdjEnv *, const AdjCall *);

typedef struct AdjEntry {
    const char *name;
    AdjFn run;
    const AdjTensor *io;
    const AdjHyper *hyper;
    int32_t nio, nhyper;
    int32_t slots; /* samples a worker holds at once */
    int32_t steps; /* 1: takes call->steps */
    uint64_t shared_bytes, worker_bytes, stack_bytes;
} AdjEntry;

typedef struct AdjModel {
    uint32_t abi; /* ADJ_ABI_VERSION */
    uint32_t nentry;
    const char *name, *target, *cpu;
    const AdjEntry *entry;
    uint64_t weights_bytes; /* size of the .weights file; 0: embedded */
    uint64_t hash;          /* of the model and the options */
} AdjModel;

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A thread pool that implements AdjEnv.parallel. Threads are made once and sleep between calls;
 * the calling thread works too. Which thread runs which index is not fixed, and need not be:
 * results of a compiled model do not depend on it. */
#ifndef ADJ_RUNTIME_POOL_H
#define ADJ_RUNTIME_POOL_H

#include "adjoint_abi.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct AdjPool AdjPool;

/* workers: threads that work at once, the caller among them; below 1 means one for each
 * processor that is online. NULL if memory or threads run out. */
AdjPool *adj_pool_new(int workers);
/* Waits for the threads to end. No call may be running. NULL is allowed. */
void adj_pool_free(AdjPool *);
int adj_pool_workers(const AdjPool *);

/* Fills size, workers, user, parallel and idle of an AdjEnv and zeroes the rest: set tick or trace
 * after it. AdjEnv.user is then the pool; a tick or trace that has data of its own leaves it in
 * the pool. */
void adj_pool_env(AdjPool *, AdjEnv *);
void adj_pool_set_user(AdjPool *, void *user);
void *adj_pool_user(const AdjPool *);

/* AdjEnv.parallel: user is the pool. Always succeeds (0). A call made while another runs on the
 * same pool, from its own functions or from another thread, runs on its calling thread alone. */
int adj_pool_parallel(void *user, int n, void (*fn)(void *arg, int i), void *arg);

/* AdjEnv.idle: spins for some microseconds, then yields, then sleeps. user is not used. */
void adj_pool_idle(void *user, int turn);

#ifdef __cplusplus
}
#endif
#endif

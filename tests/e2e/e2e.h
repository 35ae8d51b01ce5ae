/* SPDX-License-Identifier: Apache-2.0 */
/* What the end-to-end tests share: compiling a model of the shared data, calling its entries, and the
 * closing count. */
#ifndef ADJ_TESTS_E2E_H
#define ADJ_TESTS_E2E_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/adjoint.h"
#include "tools/data/npy.h"

typedef struct Count {
    const char *name;
    int passed, failed, skipped;
} Count;
void count_check(Count *, bool ok, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void count_skip(Count *, const char *why);
int count_close(const Count *); /* prints "name: N passed, M failed, K skipped"; exit status */

/* $ADJ_SHARED/rest in a buffer that the next eight calls leave alone. */
const char *shared_path(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool shared_present(void);

typedef struct Net {
    AdjCompiled *c;
    const AdjModel *model;
    bool f64;
} Net;
/* Exits with a message if it cannot be compiled. */
Net net_open(const AdjOptions *);
void net_close(Net *);

/* One call with everything at its default but what is set. */
typedef struct Run {
    int64_t n;
    int workers;
    int steps;
    uint32_t flags;
    void *io[40];
    const void *hyper[32];
    uint32_t hyper_each;
    uint64_t seed, first_id;
    AdjStatus status;
    double number[32]; /* where run_set keeps values */
} Run;
void net_run(const Net *, const char *entry, Run *); /* exits on a non-zero code */

/* A tensor, or a hyperparameter of all samples, by its name; they exit if the entry has none. */
void run_bind(const Net *, const char *entry, Run *, const char *name, void *data);
void run_set(const Net *, const char *entry, Run *, const char *name, double value);

NpyArray npy_need(const char *path);
double *npy_doubles(const NpyArray *);                   /* heap */
void *to_precision(const double *, int64_t n, bool f64); /* heap: float or double */
double get(const void *, int64_t i, bool f64);
/* ||a - b|| / ||b|| over n elements from offset `at`. */
double relative(const void *a, const double *b, int64_t at, int64_t n, bool f64);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX's own node tests, for whoever computes them: the archive of $ADJ_SHARED or folders of tests
 * (model.onnx, test_data_set_0/), the list of skips, inputs, and the comparison of outputs to ONNX's
 * tolerances.
 *
 * A list of skips has a line "PATTERN reason" for each test that is known not to pass; a test that
 * matches one and passes is a failure too, so the list cannot go stale. With ADJ_VERBOSE set, every
 * failure's message is printed, skipped ones included. */
#ifndef ADJ_TESTS_NODE_TEST_H
#define ADJ_TESTS_NODE_TEST_H

#include "compiler/onnx.h"
#include "ir/eval.h"

enum { MAX_TEST_IO = 64 };

typedef struct Io {
    const char *name; /* "" if the file has none */
    const Const *value;
} Io;

typedef struct Test {
    Arena *a;
    const char *folder;
    int nin, nout;
    Io in[MAX_TEST_IO], out[MAX_TEST_IO];
    int fixed; /* 0: no input is a literal; 1: all but the first; 2: all */
} Test;

/* Computes the test's outputs from its inputs and compares each; err()s if it cannot. */
typedef void Compute(Test *, Graph *);

typedef struct Runner {
    const char *name;
    Compute *compute;
    bool forks; /* each test in a process of its own */
    /* For each test that passes, may be NULL. */
    void (*passed)(const char *model);
} Runner;

/* Elements of a constant, one after another. */
void *test_dense(Arena *, const Const *);
/* Calls bind(user, input, data) for each input of the graph. */
void test_inputs(Test *, const Graph *, void (*bind)(void *, Ref, const void *), void *user);
void test_compare(Test *, int output, const Tensor *got);

/* SKIPS [FOLDER...]: without a folder, the archive. Returns 0, or 77 if there is no archive. */
int node_tests(const Runner *, int argc, char **argv);
/* The results, printed; returns the exit status. */
int node_results(const Runner *);
/* One more result, of a test by name. */
void node_report(const char *test, bool ok, const char *msg);

#endif

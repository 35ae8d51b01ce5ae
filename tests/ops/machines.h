/* SPDX-License-Identifier: Apache-2.0 */
/* The targets of these tests: two made up, for the interpreter alone; of the rows of this
 * machine's family that it can run one for each width of vectors (all with ADJ_ALL_CPUS=1 in the
 * environment); one GPU, for its text. */
#ifndef ADJ_TESTS_OPS_MACHINES_H
#define ADJ_TESTS_OPS_MACHINES_H

#include "targets/targets.h"

enum { MAX_MACHINES = 16 };

typedef struct Machine {
    const char *name;
    const Target *target;
    bool runs; /* code for it can be called here */
} Machine;

int machines_find(Arena *, Machine *);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Attack settings that users know from other tools. */
#ifndef ADJ_TOOLS_COMPAT_H
#define ADJ_TOOLS_COMPAT_H

#include <stdbool.h>

typedef struct Compat {
    const char *tool, *attack;
    const char *eps, *step; /* or NULL */
    double share;           /* step / eps, or 0 */
    int steps;
    bool random;
    const char *settings; /* NAME=VALUE,..., or NULL */
} Compat;

/* The row; NULL after saying on the command line's account what is there. */
const Compat *compat_find(const char *tool, const char *attack);

#endif

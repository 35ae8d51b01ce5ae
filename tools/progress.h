/* SPDX-License-Identifier: Apache-2.0 */
/* Wall clock, and a progress line on standard error if that is a terminal. */
#ifndef ADJ_TOOLS_PROGRESS_H
#define ADJ_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

double seconds_now(void); /* monotonic */

typedef struct Progress {
    const char *what;
    int64_t total;
    double start;
    bool terminal;
} Progress;

Progress progress_start(const char *what, int64_t total);
void progress_show(const Progress *, int64_t done);
void progress_clear(const Progress *);

#endif

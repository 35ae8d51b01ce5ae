/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, and progress on standard error: a line drawn over itself on a terminal; in a log,
 * a plain line every half minute. */
#ifndef ADJ_TOOLS_PROGRESS_H
#define ADJ_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

double seconds_now(void); /* monotonic */
/* CPU time of this thread: other processes cost it nothing but what they take from the caches. */
double thread_seconds(void);

typedef struct Progress {
    const char *what;
    int64_t total;
    int64_t before; /* done by an earlier run: not counted in the speed */
    double start, said;
    bool terminal;
} Progress;

Progress progress_start(const char *what, int64_t total);
Progress progress_resume(const char *what, int64_t total, int64_t before);
void progress_show(Progress *, int64_t done);
void progress_clear(const Progress *);

#endif

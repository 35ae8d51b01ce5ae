/* SPDX-License-Identifier: Apache-2.0 */
/* The line is drawn over itself, and erased before anything else is said. */
#define _POSIX_C_SOURCE 200809L
#include "tools/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

Progress progress_start(const char *what, int64_t total)
{
    Progress p = {what, total, seconds_now(), isatty(STDERR_FILENO) == 1};
    progress_show(&p, 0);
    return p;
}

void progress_show(const Progress *p, int64_t done)
{
    if (!p->terminal) return;
    double spent = seconds_now() - p->start;
    fprintf(stderr, "\r\033[K%s %lld/%lld", p->what, (long long)done, (long long)p->total);
    if (done > 0 && spent > 0)
        fprintf(stderr, "  %.0f images/s  %.0f s left", (double)done / spent,
                spent / (double)done * (double)(p->total - done));
    fflush(stderr);
}

void progress_clear(const Progress *p)
{
    if (p->terminal) fputs("\r\033[K", stderr);
}

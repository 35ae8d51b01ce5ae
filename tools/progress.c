/* SPDX-License-Identifier: Apache-2.0 */
/* The line is drawn over itself, and erased before anything else is said. */
#define _POSIX_C_SOURCE 200809L
#include "tools/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tools/ranks.h"

enum { LOG_SECONDS = 30 };

static double read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double seconds_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

double thread_seconds(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

Progress progress_resume(const char *what, int64_t total, int64_t before)
{
    double now = seconds_now();
    Progress p = {what, total, before, now, now, isatty(STDERR_FILENO) == 1};
    if (p.terminal) progress_show(&p, before);
    return p;
}

Progress progress_start(const char *what, int64_t total)
{
    return progress_resume(what, total, 0);
}

void progress_show(Progress *p, int64_t done)
{
    double now = seconds_now(), spent = now - p->start, fresh = (double)(done - p->before);
    if (ranks_index() || (!p->terminal && now - p->said < LOG_SECONDS)) return;
    p->said = now;
    fprintf(stderr, "%s%s %lld/%lld", p->terminal ? "\r\033[K" : "adjoint: ", p->what,
            (long long)done, (long long)p->total);
    if (fresh > 0 && spent > 0)
        fprintf(stderr, "  %.3g images/s  %.0f s left", fresh / spent,
                spent / fresh * (double)(p->total - done));
    if (!p->terminal) fputc('\n', stderr);
    fflush(stderr);
}

void progress_clear(const Progress *p)
{
    if (p->terminal && !ranks_index()) fputs("\r\033[K", stderr);
}

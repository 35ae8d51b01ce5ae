/* SPDX-License-Identifier: Apache-2.0 */
/* Noting signals. */
#define _POSIX_C_SOURCE 200809L
#include "tools/signals.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static volatile sig_atomic_t seen, silent;

static void on_signal(int number)
{
    static const char text[] = "\nadjoint: stopping (again: at once)\n";
    seen = number;
    if (silent) return;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) return;
}

void signals_heed(bool say)
{
    silent = !say;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int signals_seen(void)
{
    return (int)seen;
}

int signals_tick(void *user)
{
    (void)user;
    return seen != 0;
}

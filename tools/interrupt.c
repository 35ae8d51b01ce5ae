/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "tools/interrupt.h"

#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t seen;

static void on_signal(int number)
{
    static const char text[] = "\nadjoint: stopping (again: at once)\n";
    seen = number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) return;
}

void interrupt_heed(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int interrupt_signal(void)
{
    return (int)seen;
}

int interrupt_tick(void *user)
{
    (void)user;
    return seen != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Checks run in a child process, so that a crash or a hang is a result too. */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { SECONDS = 60 };

typedef struct Case {
    const char *text;
    uint64_t seed;
} Case;

static void guarded(void *arg)
{
    Case *k = arg;
    Check c = {.a = arena_new(), .seed = k->seed, .rng = {k->seed}, .choice = {k->seed + 1}};
    check_all(&c, k->text);
}

void fuzz_check_start(void)
{
    static const char text[] = "graph fuzz {\n%x = input {name=\"x\"} : f64[1,2]\n"
                               "return y=%x\n}\n";
    char msg[FUZZ_MESSAGE];
    Case k = {text, 1};
    err_guard(guarded, &k, msg, sizeof msg); /* loads what LLVM loads once */
}

static _Noreturn void child(const char *text, uint64_t seed, int to)
{
    char msg[FUZZ_MESSAGE] = "";
    Case k = {text, seed};
    alarm(SECONDS);
    dup2(to, 2); /* what die() says is the message */
    bool fine = err_guard(guarded, &k, msg, sizeof msg);
    if (!fine && write(to, msg, strlen(msg)) < 0) _exit(3);
    _exit(fine ? 0 : 1);
}

static size_t read_all(int from, char *msg)
{
    size_t n = 0;
    char rest[256];
    for (ssize_t k;;) {
        bool full = n == FUZZ_MESSAGE - 1;
        k = full ? read(from, rest, sizeof rest) : read(from, msg + n, FUZZ_MESSAGE - 1 - n);
        if (k <= 0) break;
        n += full ? 0 : (size_t)k;
    }
    msg[n] = 0;
    msg[strcspn(msg, "\n")] = 0;
    return n;
}

static Verdict verdict(int status, char *msg, size_t said)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return FUZZ_PASS;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
        return strncmp(msg, "skip:", 5) ? FUZZ_FAIL : FUZZ_SKIP;
    if (!said)
        snprintf(msg, FUZZ_MESSAGE, "%s",
                 WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "hang" : "crash: no message");
    return FUZZ_FAIL;
}

Verdict fuzz_check(const char *text, uint64_t seed, char *msg)
{
    int pipes[2], status = 0;
    *msg = 0;
    fflush(NULL);
    if (pipe(pipes)) die("no pipe");
    pid_t pid = fork();
    if (pid < 0) die("no process");
    if (!pid) {
        close(pipes[0]);
        child(text, seed, pipes[1]);
    }
    close(pipes[1]);
    size_t said = read_all(pipes[0], msg);
    close(pipes[0]);
    waitpid(pid, &status, 0);
    return verdict(status, msg, said);
}
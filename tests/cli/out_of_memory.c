/* SPDX-License-Identifier: Apache-2.0 */
/* out_of_memory MODEL...: compiles and writes each model with one allocation failing, the first,
 * the second and so on until none does. Each time the outcome is one line that says so, and no file; or
 * success, where the allocation was of something that can be done without. */
#define _XOPEN_SOURCE 700
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/adjoint.h"
#include "ir/base.h"

/* Beyond so many the steps become longer: a later failure lies in the same loops. */
enum { EVERY = 300, GROWTH = 16 };

static int passed, failed;
static char folder[] = "/tmp/out-of-memory-XXXXXX";

static int files_left(void)
{
    DIR *d = opendir(folder);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') {
            char path[512];
            snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
            remove(path);
            n++;
        }
    if (d) closedir(d);
    return n;
}

static void verdict(const char *model, const char *what, long n, bool ok, const AdjError *e)
{
    int left = files_left();
    bool said = ok ? left == 3 : strstr(e->msg, "out of memory") && !strchr(e->msg, '\n') && !left;
    passed += said;
    failed += !said;
    if (!said) printf("%s: %s, allocation %ld: %d files, \"%s\"\n", model, what, n, left, e->msg);
}

static bool write_it(AdjCompiled *c, AdjError *e)
{
    char out[64];
    snprintf(out, sizeof out, "%s/m", folder);
    return adj_write(c, out, ADJ_EMIT_OBJ, e);
}

/* False once allocation n is not reached any more. */
static bool try_compile(const char *model, long n)
{
    AdjOptions o = {.model = model, .entries = "forward,gradient"};
    AdjError e = {""};
    arena_fail_after(n);
    AdjCompiled *c = adj_compile(&o, &e);
    arena_fail_after(-1);
    if (!c) verdict(model, "compile", n, false, &e);
    adj_compiled_free(c);
    return !c;
}

static bool try_write(const char *model, long n)
{
    AdjOptions o = {.model = model};
    AdjError e = {""};
    AdjCompiled *c = adj_compile(&o, &e);
    arena_fail_after(n);
    bool ok = c && write_it(c, &e);
    arena_fail_after(-1);
    verdict(model, "write", n, ok, &e);
    adj_compiled_free(c);
    return !ok;
}

static void all(const char *model, bool (*try)(const char *, long))
{
    for (long n = 0; try(model, n);) n += n < EVERY ? 1 : n / GROWTH;
}

int main(int argc, char **argv)
{
    if (!mkdtemp(folder)) return 1;
    for (int i = 1; i < argc; i++) {
        all(argv[i], try_compile);
        all(argv[i], try_write);
    }
    rmdir(folder);
    printf("out_of_memory: %d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}

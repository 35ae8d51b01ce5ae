/* SPDX-License-Identifier: Apache-2.0 */
/* adjfuzz [--seconds S] [--cases N] [--seed N] [--class NAME] [--out FOLDER] [FILE...]
 *
 * Makes random graphs and holds against each other: text and the graph read from it; values before
 * and after simplify, fold and batch; gradients and differences; evaluator, interpreted kernels
 * and compiled code, in f64 and f32, for a CPU row chosen at random. What fails is made small and
 * written to FOLDER/adjfuzz-SEED.adj. With FILEs it runs those instead. The same seed makes the
 * same cases. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <inttypes.h>
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuzz.h"

static struct {
    double seconds;
    long cases;
    long long seed;
    int only; /* a class, or -1 */
    char *out;
} option = {.seconds = 30, .cases = -1, .seed = 1, .only = -1, .out = "."};

static long passed, failed, skipped, of_class[FUZZ_CLASSES];

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- one case ---- */

static void report(const char *text, uint64_t seed, const char *msg)
{
    char path[1024], line[FUZZ_MESSAGE];
    printf("FAIL seed %llu: %s\n", (unsigned long long)seed, msg);
    char *small = fuzz_shrink(text, seed, msg);
    fuzz_check(small, seed, line);
    snprintf(path, sizeof path, "%s/adjfuzz-%llu.adj", option.out, (unsigned long long)seed);
    FILE *f = fopen(path, "w");
    if (f) {
        fprintf(f, "; seed %llu: %s\n%s", (unsigned long long)seed, line, small);
        fclose(f);
    }
    printf("reduced, in %s:\n%s\n", f ? path : "no file", small);
    fflush(stdout);
    free(small);
}

/* Values close to where something is decided may fall on either side of it. A fault shows with
 * other values too. */
static bool fails_again(const char *text, uint64_t seed, const char *msg)
{
    char other[FUZZ_MESSAGE];
    size_t kind = strcspn(msg, ":");
    for (uint64_t k = 1; k <= 4; k++)
        if (fuzz_check(text, seed ^ k << 48, other) == FUZZ_FAIL && !strncmp(msg, other, kind))
            return true;
    return false;
}

static void run_text(const char *text, uint64_t seed)
{
    char msg[FUZZ_MESSAGE];
    Verdict v = fuzz_check(text, seed, msg);
    bool bad = v == FUZZ_FAIL && fails_again(text, seed, msg);
    if (bad) report(text, seed, msg);
    if (v == FUZZ_FAIL && !bad) printf("seed %llu, once only: %s\n", (unsigned long long)seed, msg);
    failed += bad;
    skipped += v == FUZZ_SKIP || (v == FUZZ_FAIL && !bad);
    passed += v == FUZZ_PASS;
}

static void run_case(uint64_t seed)
{
    Rng r = {seed};
    Arena *a = arena_new();
    int class = option.only >= 0 ? option.only : rng_below(&r, FUZZ_CLASSES);
    Str s = {0};
    graph_print(&s, fuzz_graph(a, &r, (FuzzClass) class));
    arena_free(a);
    of_class[class]++;
    run_text(s.s, seed);
    str_free(&s);
}

/* A case in a file. Its first line may be "; seed N: ..."; other lines of comment may follow. */
static char *read_file(const char *path, uint64_t *seed)
{
    char *text = calloc(1, 1 << 20);
    FILE *f = fopen(path, "r");
    if (!text || !f) {
        fprintf(stderr, "adjfuzz: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    size_t n = fread(text, 1, (1 << 20) - 1, f);
    text[n] = 0;
    fclose(f);
    sscanf(text, "; seed %" SCNu64, seed);
    char *from = text;
    while (*from == ';' && strchr(from, '\n')) from = strchr(from, '\n') + 1;
    memmove(text, from, strlen(from) + 1);
    return text;
}

/* ---- options ---- */

static int class_of(const char *name)
{
    for (int i = 0; i < FUZZ_CLASSES; i++)
        if (!strcmp(name, fuzz_class_names[i])) return i;
    fprintf(stderr, "adjfuzz: --class: there is no %s\n", name);
    exit(2);
}

static char *class;
static struct poptOption table[] = {
    {"seconds", 0, POPT_ARG_DOUBLE, &option.seconds, 0, "make cases for so long (30)", "S"},
    {"cases", 0, POPT_ARG_LONG, &option.cases, 0, "make so many cases instead", "N"},
    {"seed", 0, POPT_ARG_LONGLONG, &option.seed, 0, "of the first case (1)", "N"},
    {"class", 0, POPT_ARG_STRING, &class, 0,
     "only graphs that are mostly elementwise, view, reduce, contract, index or state", "NAME"},
    {"out", 0, POPT_ARG_STRING, &option.out, 0, "folder for reduced failures (.)", "FOLDER"},
    POPT_AUTOHELP POPT_TABLEEND};

/* The context holds the files; the caller frees it. */
static poptContext take_options(int argc, const char **argv)
{
    poptContext c = poptGetContext("adjfuzz", argc, argv, table, 0);
    poptSetOtherOptionHelp(c, "[OPTION...] [FILE...]\n"
                              "  adjfuzz --seconds 600 --seed 7 --out found\n"
                              "  adjfuzz found/adjfuzz-7000012.adj");
    int code = poptGetNextOpt(c);
    if (code < -1) {
        fprintf(stderr, "adjfuzz: %s: %s\n", poptBadOption(c, 0), poptStrerror(code));
        exit(2);
    }
    if (class) option.only = class_of(class);
    return c;
}

static void run_random(void)
{
    double end = seconds_now() + option.seconds;
    for (long i = 0; option.cases < 0 ? seconds_now() < end : i < option.cases; i++)
        run_case((uint64_t)option.seed * 1000000 + (uint64_t)i);
    printf("adjfuzz: cases:");
    for (int i = 0; i < FUZZ_CLASSES; i++) printf(" %s %ld", fuzz_class_names[i], of_class[i]);
    printf("\n");
}

int main(int argc, char **argv)
{
    poptContext c = take_options(argc, (const char **)argv);
    bool files = poptPeekArg(c);
    fuzz_check_start();
    for (const char *path; (path = poptGetArg(c));) {
        uint64_t seed = (uint64_t)option.seed;
        char *text = read_file(path, &seed);
        run_text(text, seed);
        free(text);
    }
    poptFreeContext(c);
    if (!files) run_random();
    printf("adjfuzz: %ld passed, %ld failed, %ld skipped\n", passed, failed, skipped);
    return failed > 0 || passed == 0;
}

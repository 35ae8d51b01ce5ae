/* SPDX-License-Identifier: Apache-2.0 */
/* test_asm ALLOW FILE.s...: tile functions keep what they compute with in registers.
 *
 * A tile function is one whose name holds _tap, _dot, _chunk (gradients in weights), _amx (matrix
 * tiles, whose loops with vectors are epilogues) or _products,
 * the products of Winograd (its transforms have 36 values at once, more than there are registers). A loop is what lies between a
 * label and a jump back to it. An instruction in a loop that names a vector register and the stack
 * is a spill or its reload, and fails the function, unless ALLOW lists it:
 *
 *   FILE-SUFFIX NAME-SUFFIX MOST  # reason
 *
 * matches a file whose name ends in FILE-SUFFIX and a function whose name, without a number that
 * LLVM put behind it (".7"), ends in NAME-SUFFIX, and allows at most MOST such instructions. The
 * first line that matches counts. A line that no function needs fails too. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LINES = 1 << 20, MOST_ALLOWED = 64, NAME = 160 };

typedef struct Allowed {
    char file[NAME], name[NAME];
    int most;
    bool used;
} Allowed;

static Allowed allowed[MOST_ALLOWED];
static int nallowed, passed, failed;
static char *line[MOST_LINES];
static char *in_loop; /* by line of the file */

static char *read_whole(const char *path)
{
    FILE *f = fopen(path, "rb");
    long n = -1;
    if (f && !fseek(f, 0, SEEK_END)) n = ftell(f);
    char *text = n < 0 ? NULL : calloc(1, (size_t)n + 1);
    if (!text || fseek(f, 0, SEEK_SET) || fread(text, 1, (size_t)n, f) != (size_t)n) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    fclose(f);
    return text;
}

static int split(char *text)
{
    int n = 0;
    for (char *p = text; p && n < MOST_LINES;) {
        char *end = strchr(p, '\n');
        if (end) *end++ = 0;
        line[n++] = p;
        p = end;
    }
    return n;
}

static bool ends_in(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

static void read_allowed(const char *path)
{
    int n = split(read_whole(path));
    for (int i = 0; i < n; i++) {
        Allowed a = {{0}, {0}, 0, false};
        if (*line[i] == '#' || !*line[i]) continue;
        if (sscanf(line[i], "%159s %159s %d", a.file, a.name, &a.most) != 3 ||
            !strchr(line[i], '#') || nallowed == MOST_ALLOWED) {
            fprintf(stderr, "%s:%d: not FILE NAME MOST # reason\n", path, i + 1);
            exit(2);
        }
        allowed[nallowed++] = a;
    }
}

/* ---- one function: lines [from, to) ---- */

static bool is_label(const char *l, const char *name, size_t n)
{
    return !strncmp(l, name, n) && l[n] == ':';
}

/* The label that a jump names, or NULL. */
static const char *target(const char *l)
{
    while (*l == ' ' || *l == '\t') l++;
    if (*l != 'j') return NULL;
    return strstr(l, ".L");
}

static void mark_loops(int from, int to)
{
    for (int i = from; i < to; i++) {
        const char *label = target(line[i]);
        size_t n = label ? strcspn(label, " \t#,") : 0;
        for (int j = i - 1; label && j >= from; j--) {
            if (!is_label(line[j], label, n)) continue;
            memset(in_loop + j, 1, (size_t)(i - j + 1));
            break;
        }
    }
}

/* With a frame pointer the stack is (%rbp) too; else that is a register like others. */
static bool has_frame(int from, int to)
{
    for (int i = from; i < to; i++)
        if (strstr(line[i], "%rsp, %rbp")) return true;
    return false;
}

static bool touches(const char *l, bool frame)
{
    bool vector = strstr(l, "%xmm") || strstr(l, "%ymm") || strstr(l, "%zmm");
    return vector && (strstr(l, "(%rsp") || (frame && strstr(l, "(%rbp")));
}

static const Allowed *find_allowed(const char *file, const char *whole)
{
    char name[NAME];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(whole, "."), whole);
    for (int i = 0; i < nallowed; i++)
        if (ends_in(file, allowed[i].file) && ends_in(name, allowed[i].name)) {
            allowed[i].used = true;
            return &allowed[i];
        }
    return NULL;
}

static void check_function(const char *file, const char *name, int from, int to)
{
    int count = 0, first = 0;
    bool frame = has_frame(from, to);
    memset(in_loop + from, 0, (size_t)(to - from));
    mark_loops(from, to);
    for (int i = from; i < to; i++)
        if (in_loop[i] && touches(line[i], frame) && !count++) first = i;
    const Allowed *a = count ? find_allowed(file, name) : NULL;
    bool ok = count <= (a ? a->most : 0);
    passed += ok;
    failed += !ok;
    if (!ok)
        printf("%s:%d: FAIL %s: %d vector stack references in loops: %s\n", file, first + 1, name,
               count, line[first]);
}

static int function_end(int at, int n)
{
    while (at < n && strncmp(line[at], ".Lfunc_end", 10)) at++;
    return at;
}

static bool is_tile(const char *name)
{
    return strstr(name, "_tap") || strstr(name, "_dot") || strstr(name, "_chunk") ||
           strstr(name, "_products") || strstr(name, "_amx");
}

static void check_file(const char *path)
{
    char name[NAME];
    char *text = read_whole(path);
    int n = split(text), tiles = 0;
    in_loop = calloc((size_t)n + 1, 1);
    for (int i = 0; i < n; i++) {
        if (sscanf(line[i], " .type %159[^,],@function", name) != 1) continue;
        if (!is_tile(name)) continue;
        check_function(path, name, i, function_end(i, n));
        tiles++;
    }
    if (!tiles) printf("%s: FAIL no tile function\n", path);
    failed += !tiles;
    free(in_loop);
    free(text);
}

int main(int argc, char **argv)
{
    if (argc < 3) return fprintf(stderr, "usage: test_asm ALLOW FILE.s...\n"), 2;
    read_allowed(argv[1]);
    for (int i = 2; i < argc; i++) check_file(argv[i]);
    for (int i = 0; i < nallowed; i++) {
        bool seen = allowed[i].used;
        for (int k = 2; k < argc && !seen; k++) seen = ends_in(argv[k], allowed[i].file);
        if (seen && !allowed[i].used) { /* of a file that was given */
            printf("FAIL %s %s is allowed, and nothing needs it\n", allowed[i].file,
                   allowed[i].name);
            failed++;
        }
    }
    printf("asm: %d passed, %d failed\n", passed, failed);
    return failed > 0;
}

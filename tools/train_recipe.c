/* SPDX-License-Identifier: Apache-2.0 */
/* Recipes: what is built in, files, the key that somebody may have meant. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/data/format.h"
#include "tools/numbers.h"
#include "tools/say.h"
#include "tools/train.h"

static const struct {
    const char *name;
    size_t at;
    double value, lo, hi;
    const char *help;
} keys[] = {
#define KEY(name, value, lo, hi, help) {#name, offsetof(Recipe, name), value, lo, hi, help},
#include "tools/train_recipe.def"
#undef KEY
};
enum { NKEYS = sizeof keys / sizeof *keys, LINE = 256 };

static const struct {
    const char *name, *lines, *help;
} recipes[] = {
    {"standard", "", "cross-entropy"},
    {"robust", "penalty = 1", "and the penalty on the input gradient, its weight by the loss"},
};
enum { NRECIPES = sizeof recipes / sizeof *recipes };

static double *value_of(Recipe *r, int key)
{
    return (double *)((char *)r + keys[key].at);
}

/* ---- the key that was meant ---- */

/* Edits from a to b (Levenshtein 1966), of words shorter than 32. */
static int distance(const char *a, const char *b)
{
    int row[33];
    size_t n = strlen(b);
    for (size_t j = 0; j <= n; j++) row[j] = (int)j;
    for (size_t i = 1; a[i - 1]; i++) {
        int corner = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= n; j++) {
            int swap = corner + (a[i - 1] != b[j - 1]), left = row[j - 1] + 1;
            corner = row[j];
            row[j] = row[j] + 1 < left ? row[j] + 1 : left;
            row[j] = swap < row[j] ? swap : row[j];
        }
    }
    return row[n];
}

static const char *nearest(const char *name)
{
    int best = 0;
    for (int i = 1; i < NKEYS; i++)
        if (distance(name, keys[i].name) < distance(name, keys[best].name)) best = i;
    return keys[best].name;
}

/* ---- lines ---- */

static void trim(char *s)
{
    char *from = s, *end = s + strlen(s);
    while (isspace((unsigned char)*from)) from++;
    while (end > from && isspace((unsigned char)end[-1])) end--;
    *end = 0;
    memmove(s, from, (size_t)(end - from) + 1);
}

static int set_key(Recipe *r, const char *where, const char *name, const char *text)
{
    double v;
    int k = 0;
    while (k < NKEYS && strcmp(keys[k].name, name)) k++;
    if (k == NKEYS)
        return fail_input("%s: unknown key '%.31s'; did you mean %s?", where, name, nearest(name));
    if (!number_parse(text, &v))
        return fail_input("%s: %s: '%.60s' is not a number", where, name, text);
    if (v < keys[k].lo || v > keys[k].hi)
        return fail_input("%s: %s: %s is not between %g and %g", where, name, text, keys[k].lo,
                          keys[k].hi);
    bool whole = keys[k].at == offsetof(Recipe, batch) || keys[k].at == offsetof(Recipe, epochs) ||
                 keys[k].at == offsetof(Recipe, crop) || keys[k].at == offsetof(Recipe, schedule);
    if (whole && v != floor(v)) return fail_input("%s: %s: %s is not whole", where, name, text);
    *value_of(r, k) = v;
    return 0;
}

int recipe_set(Recipe *r, const char *where, const char *line)
{
    char copy[LINE], *eq;
    if (strlen(line) >= sizeof copy) return fail_input("%s: too long a line", where);
    strcpy(copy, line);
    copy[strcspn(copy, "#")] = 0;
    trim(copy);
    if (!*copy) return 0;
    eq = strchr(copy, '=');
    if (!eq) return fail_input("%s: '%.60s' is not key = value", where, copy);
    *eq++ = 0;
    trim(copy);
    trim(eq);
    return set_key(r, where, copy, eq);
}

static int set_lines(Recipe *r, const char *path, const char *text, size_t n)
{
    const char *at = text, *end = text + n;
    char line[LINE], where[4200];
    for (int number = 1; at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((stop ? stop : end) - at);
        snprintf(where, sizeof where, "%s: line %d", path, number);
        if (size >= sizeof line || memchr(at, 0, size))
            return fail_input("%s: is no line of text of a recipe", where);
        snprintf(line, sizeof line, "%.*s", (int)size, at);
        int e = recipe_set(r, where, line);
        if (e) return e;
        at += size + 1;
    }
    return 0;
}

static int take_file(Recipe *r, const char *path)
{
    Bytes b;
    DataError error;
    if (!file_load(path, &b, &error))
        return fail_input("--recipe: %s; recipes built in: standard, robust", error.msg);
    int e = set_lines(r, path, (const char *)b.p, b.n);
    file_unload(&b);
    return e;
}

int recipe_take(Recipe *r, const char *name)
{
    for (int k = 0; k < NKEYS; k++) *value_of(r, k) = keys[k].value;
    for (int i = 0; i < NRECIPES; i++)
        if (!strcmp(recipes[i].name, name)) return recipe_set(r, name, recipes[i].lines);
    return take_file(r, name);
}

/* ---- text ---- */

void recipe_help(void)
{
    puts("A recipe is the name of one of these, or a file of lines `key = value`; # begins a "
         "comment.\nWhat a file does not say is as in `standard`.\n");
    for (int i = 0; i < NRECIPES; i++) printf("  %-14s %s\n", recipes[i].name, recipes[i].help);
    printf("\n  %-14s %9s\n", "key", "standard");
    for (int i = 0; i < NKEYS; i++)
        printf("  %-14s %9g  %s\n", keys[i].name, keys[i].value, keys[i].help);
}

void recipe_text(const Recipe *r, char *out, size_t size)
{
    size_t n = 0;
    for (int k = 0; k < NKEYS && n < size; k++)
        n += (size_t)snprintf(out + n, size - n, "%s%s=%.17g", k ? " " : "", keys[k].name,
                              *value_of((Recipe *)r, k));
}

static double dropped(const Recipe *r, double at, int64_t epoch)
{
    return at > 0 && (double)epoch >= at ? r->drop : 1;
}

double recipe_lr(const Recipe *r, int64_t epoch, double passed)
{
    const double pi = 3.14159265358979323846;
    if (r->schedule == 1)
        return r->lr * dropped(r, r->drop_at_1, epoch) * dropped(r, r->drop_at_2, epoch);
    if (r->schedule == 2) return r->lr * .5 * (1 + cos(pi * ((double)epoch + passed) / r->epochs));
    return r->lr;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Recipes: what is built in, files, the key that somebody may have meant. A key is a number
 * (train_recipe.def) or a word: of the schedules, or of the parts that the compiler offers. */
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
    bool whole;
    const char *help;
} keys[] = {
#define KEY(name, value, lo, hi, help) {#name, offsetof(Recipe, name), value, lo, hi, false, help},
#define WHOLE(name, value, lo, hi, help) {#name, offsetof(Recipe, name), value, lo, hi, true, help},
#include "tools/train_recipe.def"
#undef KEY
#undef WHOLE
};
enum { NKEYS = sizeof keys / sizeof *keys, LINE = 256 };

static const struct {
    const char *name, *lines, *help;
} recipes[] = {
    {"standard", "", "cross-entropy"},
    {"adversarial", "attack = walk\nattack_norm = batch\nattack_eps = 0.01",
     "images attacked by a walk to an RMSE of 0.01 (Woods et al. 2019)"},
    {"robust", "penalty = lipschitz", "penalty on the input gradient, its weight by the loss"},
    {"all",
     "penalty = lipschitz\nattack = l2-min\nattack_norm = batch\nattack_eps = 0.1\nattacked = 0.5",
     "the penalty, and half of the images attacked by l2-min"},
    {"madry", "attack = pgd-linf\nattack_eps = 8/255\nattack_step = 2/255",
     "all images attacked by PGD in the Linf ball of 8/255 (Madry et al. 2018)"},
    {"trades",
     "attack = kl-linf\nloss = trades\nattack_steps = 10\nattack_eps = 0.031\nattack_step = 0.007\n"
     "decay = 2e-4\nvector_decay = 2e-4\nepochs = 76\ndrop_at_1 = 75\ndrop_at_2 = 0",
     "TRADES, as the authors' script for CIFAR-10 (Zhang et al. 2019)"},
    {"mart",
     "attack = pgd-linf\nloss = mart\nattack_steps = 10\nattack_eps = 0.031\nattack_step = 0.007\n"
     "attack_random = 2\nbeta = 5\nlr = 0.01\ndecay = 3.5e-3\nvector_decay = 3.5e-3\n"
     "epochs = 120\ndrop_at_1 = 75\ndrop_at_2 = 90",
     "MART, as the authors' script for ResNet-18 but its last drop (Wang et al. 2020)"},
};
enum { NRECIPES = sizeof recipes / sizeof *recipes };

/* ---- words ---- */

typedef struct WordKey {
    const char *name, *help;
    int n, standard;
    const char *word[12], *word_help[12];
} WordKey;

static void add_word(WordKey *k, const char *word, const char *help)
{
    if (k->n == sizeof k->word / sizeof *k->word) return;
    k->word[k->n] = word;
    k->word_help[k->n++] = help;
}

static const WordKey *word_keys(int *n)
{
    static WordKey all[MAX_WORDS];
    static int count;
    const AdjTrainPart *part;
    int parts = adj_train_parts(&part);
    *n = count;
    if (count) return all;
    all[count++] = (WordKey){.name = "schedule", .help = "of the learning rate", .standard = 1};
    for (int i = 0; schedules[i].name; i++) add_word(all, schedules[i].name, schedules[i].help);
    for (int i = 0; i < parts; i++) {
        if (part[i].name)
            add_word(&all[count - 1], part[i].name, part[i].help);
        else if (count < MAX_WORDS)
            all[count++] = (WordKey){.name = part[i].kind, .help = part[i].help};
    }
    *n = count;
    return all;
}

void recipe_parts(const Recipe *r, char *out, size_t size)
{
    int count;
    const WordKey *words = word_keys(&count);
    size_t n = 0;
    *out = 0;
    for (int k = WORD_SCHEDULE + 1; k < count && n < size; k++)
        n += (size_t)snprintf(out + n, size - n, "%s%s=%s", n ? "," : "", words[k].name,
                              words[k].word[r->word[k]]);
}

bool recipe_has(const Recipe *r, const char *kind)
{
    int count;
    const WordKey *words = word_keys(&count);
    for (int k = 0; k < count; k++)
        if (!strcmp(words[k].name, kind)) return r->word[k] != words[k].standard;
    return false;
}

static double *value_of(Recipe *r, int key)
{
    return (double *)((char *)r + keys[key].at);
}

void recipe_each(const Recipe *r, void (*take)(void *, const char *, double), void *user)
{
    for (int k = 0; k < NKEYS; k++)
        if (!isnan(*value_of((Recipe *)r, k))) take(user, keys[k].name, *value_of((Recipe *)r, k));
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

static const char *nearer(const char *name, const char *a, const char *b)
{
    return distance(name, a) < distance(name, b) ? a : b;
}

static const char *nearest(const char *name)
{
    int count;
    const WordKey *words = word_keys(&count);
    const char *best = keys[0].name;
    for (int i = 1; i < NKEYS; i++) best = nearer(name, keys[i].name, best);
    for (int i = 0; i < count; i++) best = nearer(name, words[i].name, best);
    return best;
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

static int set_number(Recipe *r, const char *where, int k, const char *text)
{
    double v;
    const char *name = keys[k].name;
    if (!number_parse(text, &v))
        return fail_input("%s: %s: '%.60s' is not a number", where, name, text);
    if (v < keys[k].lo || v > keys[k].hi)
        return fail_input("%s: %s: %s is not between %g and %g", where, name, text, keys[k].lo,
                          keys[k].hi);
    if (keys[k].whole && v != floor(v))
        return fail_input("%s: %s: %s is not whole", where, name, text);
    *value_of(r, k) = v;
    return 0;
}

static int set_word(Recipe *r, const char *where, int k, const char *text)
{
    int count;
    const WordKey *key = &word_keys(&count)[k];
    char list[256] = "";
    for (int i = 0; i < key->n; i++) {
        size_t n = strlen(list);
        if (!strcmp(key->word[i], text)) {
            r->word[k] = i;
            return 0;
        }
        snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", key->word[i]);
    }
    return fail_input("%s: %s: '%.60s' is none of: %s", where, key->name, text, list);
}

static int set_key(Recipe *r, const char *where, const char *name, const char *text)
{
    int count;
    const WordKey *words = word_keys(&count);
    for (int k = 0; k < NKEYS; k++)
        if (!strcmp(keys[k].name, name)) return set_number(r, where, k, text);
    for (int k = 0; k < count; k++)
        if (!strcmp(words[k].name, name)) return set_word(r, where, k, text);
    return fail_input("%s: unknown key '%.31s'; did you mean %s?", where, name, nearest(name));
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
    char list[128] = "";
    for (int i = 0; i < NRECIPES; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "",
                 recipes[i].name);
    if (!file_load(path, &b, &error))
        return fail_input("--recipe: %s; recipes built in: %s", error.msg, list);
    int e = set_lines(r, path, (const char *)b.p, b.n);
    file_unload(&b);
    return e;
}

int recipe_take(Recipe *r, const char *name)
{
    int count;
    const WordKey *words = word_keys(&count);
    for (int k = 0; k < NKEYS; k++) *value_of(r, k) = keys[k].value;
    for (int k = 0; k < count; k++) r->word[k] = words[k].standard;
    for (int i = 0; i < NRECIPES; i++)
        if (!strcmp(recipes[i].name, name))
            return set_lines(r, name, recipes[i].lines, strlen(recipes[i].lines));
    return take_file(r, name);
}

/* ---- text ---- */

static void help_words(void)
{
    int count;
    const WordKey *words = word_keys(&count);
    for (int k = 0; k < count; k++) {
        printf("\n  %s: %s\n", words[k].name, words[k].help);
        for (int i = 0; i < words[k].n; i++)
            printf("  %c %-14s %s\n", i == words[k].standard ? '*' : ' ', words[k].word[i],
                   words[k].word_help[i]);
    }
}

void recipe_help(void)
{
    puts("A recipe is the name of one of these, or a file of lines `key = value`; # begins a "
         "comment.\nWhat a file does not say is as in `standard`.\n");
    for (int i = 0; i < NRECIPES; i++) printf("  %-14s %s\n", recipes[i].name, recipes[i].help);
    puts("\nKeys that are words; * is what `standard` has.");
    help_words();
    printf("\nKeys that are numbers; -: as the part has it.\n\n  %-14s %9s\n", "key", "standard");
    for (int i = 0; i < NKEYS; i++) {
        char value[24] = "-";
        if (!isnan(keys[i].value)) snprintf(value, sizeof value, "%g", keys[i].value);
        printf("  %-14s %9s  %s\n", keys[i].name, value, keys[i].help);
    }
}

void recipe_text(const Recipe *r, char *out, size_t size)
{
    int count;
    const WordKey *words = word_keys(&count);
    size_t n = 0;
    for (int k = 0; k < NKEYS && n < size; k++)
        n += (size_t)snprintf(out + n, size - n, "%s%s=%.17g", k ? " " : "", keys[k].name,
                              *value_of((Recipe *)r, k));
    for (int k = 0; k < count && n < size; k++)
        n +=
            (size_t)snprintf(out + n, size - n, " %s=%s", words[k].name, words[k].word[r->word[k]]);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and words as values of options. */
#include "tools/numbers.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/say.h"

/* A number at p that ends at *end; strtod would also skip spaces before it. */
static bool decimal(const char *p, const char **end, double *out)
{
    char *stop;
    if (*p == ' ' || *p == '\t' || *p == '\n') return false;
    *out = strtod(p, &stop);
    *end = stop;
    return stop > p && isfinite(*out);
}

bool number_parse(const char *text, double *out)
{
    double above, below = 1;
    const char *p;
    if (!decimal(text, &p, &above)) return false;
    if (*p == '/' && !decimal(p + 1, &p, &below)) return false;
    *out = above / below;
    return *p == 0 && isfinite(*out);
}

bool integer_parse(const char *text, int64_t *out)
{
    char *stop;
    if (*text == ' ' || *text == '\t' || *text == '\n') return false;
    errno = 0;
    long long v = strtoll(text, &stop, 10);
    *out = v;
    return stop > text && *stop == 0 && errno == 0;
}

int option_number(const char *option, const char *text, double lo, double hi, double *out)
{
    double v;
    if (!text) return 0;
    if (!number_parse(text, &v))
        return fail_usage("%s: '%s' is not a finite number such as 0.031 or 8/255", option, text);
    if (v < lo) return fail_usage("%s: %s is below %g", option, text, lo);
    if (v > hi) return fail_usage("%s: %s is above %g", option, text, hi);
    *out = v;
    return 0;
}

int option_integer(const char *option, const char *text, int64_t lo, int64_t hi, int64_t *out)
{
    int64_t v;
    if (!text) return 0;
    if (!integer_parse(text, &v)) return fail_usage("%s: '%s' is not an integer", option, text);
    if (v < lo) return fail_usage("%s: %s is below %lld", option, text, (long long)lo);
    if (v > hi) return fail_usage("%s: %s is above %lld", option, text, (long long)hi);
    *out = v;
    return 0;
}

int option_numbers(const char *option, const char *text, int most, double *out, int *count)
{
    if (!text) return 0;
    const char *p = text;
    for (int n = 0;; n++) {
        char item[64];
        size_t size = strcspn(p, ",");
        if (n == most) return fail_usage("%s: more than %d numbers", option, most);
        snprintf(item, sizeof item, "%.*s", (int)(size < 63 ? size : 63), p);
        if (!number_parse(item, &out[n]))
            return fail_usage("%s: '%s' is not a list of finite numbers", option, text);
        p += size;
        *count = n + 1;
        if (!*p++) return 0;
    }
}

static int fail_word(const char *option, const char *text, const char *const *words)
{
    char known[256] = "";
    for (size_t n = 0; *words && n < sizeof known; words++)
        n += (size_t)snprintf(known + n, sizeof known - n, " %s", *words);
    return fail_usage("%s: '%s' is none of:%s", option, text, known);
}

int option_word(const char *option, const char *text, const char *const *words, int *out)
{
    if (!text) return 0;
    for (int i = 0; words[i]; i++)
        if (!strcmp(text, words[i])) {
            *out = i;
            return 0;
        }
    return fail_word(option, text, words);
}

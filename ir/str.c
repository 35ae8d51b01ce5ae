/* SPDX-License-Identifier: Apache-2.0 */
/* Growing strings. They live on the heap, not in an arena: a long text is built once and freed. */
#include "base.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reserve(Str *s, size_t more)
{
    size_t want = s->n + more + 1;
    if (want <= s->cap) return;
    size_t cap = s->cap ? s->cap : 64;
    while (cap < want) cap *= 2;
    char *p = realloc(s->s, cap);
    if (!p) err(NULL, "out of memory (a text of %zu bytes)", cap);
    s->s = p;
    s->cap = cap;
}

void str_put(Str *s, const char *text)
{
    size_t n = strlen(text);
    reserve(s, n);
    memcpy(s->s + s->n, text, n + 1);
    s->n += n;
}

void str_fmt(Str *s, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) die("bad format: %s", fmt);
    reserve(s, (size_t)n);
    vsnprintf(s->s + s->n, (size_t)n + 1, fmt, again);
    va_end(again);
    s->n += (size_t)n;
}

void str_free(Str *s)
{
    free(s->s);
    *s = (Str){0};
}

void str_double(Str *s, double v)
{
    if (isnan(v)) {
        str_put(s, "nan");
        return;
    }
    char buf[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, v);
        if (strtod(buf, NULL) == v) break;
    }
    str_put(s, buf);
}

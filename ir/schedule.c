/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and printing of schedules. One table says which letter stands for which facts. */
#include "schedule.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_WORDS = 24, MOST_NUMBER = 1 << 20 };

/* A word of a contraction: a letter and 1, 2 or 4 numbers, which stand in these facts. */
typedef struct Fact {
    char letter; /* 0: channels and extents, which begin with a digit */
    int n;       /* numbers at most; fewer stand for the same on every axis and side */
    size_t at[4];
    int64_t absent; /* what nothing said means; -1: must be said */
    const char *what;
} Fact;

#define F(field) offsetof(Contract, field)
static const Fact facts[] = {
    {0, 2, {F(ic), F(oc)}, -1, "channels, as 64x64"},
    {'k', 2, {F(kh), F(kw)}, -1, "kernel, as k3"},
    {'s', 2, {F(sh), F(sw)}, 1, "stride"},
    {'p', 4, {F(ph), F(pw), F(ph2), F(pw2)}, 0, "padding"},
    {'d', 2, {F(dh), F(dw)}, 1, "dilation"},
    {'g', 1, {F(groups)}, 1, "groups"},
    {0, 2, {F(ih), F(iw)}, -1, "input, as 56x56"},
    {'b', 1, {F(batch)}, -1, "batch, as b8"},
};
#undef F

static const char varies[] = "varies";

static int64_t *fact_at(Contract *c, const Fact *f, int i)
{
    return (int64_t *)(void *)((char *)c + f->at[i]);
}

static int64_t fact_of(const Contract *c, const Fact *f, int i)
{
    return *fact_at((Contract *)(uintptr_t)c, f, i);
}

/* ---- out ---- */

static bool is_absent(const Contract *c, const Fact *f)
{
    for (int i = 0; i < f->n; i++)
        if (fact_of(c, f, i) != f->absent) return false;
    return true;
}

static void fact_text(Str *s, const Contract *c, const Fact *f)
{
    int64_t v[4] = {0};
    for (int i = 0; i < f->n; i++) v[i] = fact_of(c, f, i);
    bool one =
        f->letter && f->n > 1 && v[0] == v[1] && (f->n == 2 || (v[0] == v[2] && v[0] == v[3]));
    bool two = f->n == 4 && v[0] == v[2] && v[1] == v[3];
    int n = one ? 1 : two ? 2 : f->n;
    str_put(s, " ");
    if (f->letter) str_fmt(s, "%c", f->letter);
    for (int i = 0; i < n; i++) str_fmt(s, "%s%lld", i ? "x" : "", (long long)v[i]);
}

void contract_text(Str *s, const Contract *c)
{
    str_put(s, op_info[c->op].name);
    for (int i = 0; i < COUNT(facts); i++)
        if (!is_absent(c, &facts[i])) fact_text(s, c, &facts[i]);
    DType said = c->bf16 ? DT_BF16 : c->dtype;
    if (said != DT_F32) str_fmt(s, " %s", dtype_name(said));
    if (c->varies) str_fmt(s, " %s", varies);
}

/* ---- in ---- */

typedef struct Reader {
    Arena *arena;
    const char *where;
} Reader;

/* Cuts a text at blanks, in place. */
static int words_of(const Reader *r, char *text, char *word[MOST_WORDS])
{
    int n = 0;
    for (char *w; (w = strsep(&text, " \t\r"));) {
        if (!*w) continue;
        if (n == MOST_WORDS) err(r->where, "more than %d words", MOST_WORDS);
        word[n++] = w;
    }
    return n;
}

/* "3", "3x1" or "1x0x1x0"; the count, 0 if it is something else. */
static int numbers_of(const char *text, int most, int64_t v[4])
{
    int n = 0;
    for (char *end; n < most; text = end + 1) {
        if (*text < '0' || *text > '9') return 0;
        v[n++] = strtoll(text, &end, 10);
        if (v[n - 1] > MOST_NUMBER) return 0;
        if (!*end) return n;
        if (*end != 'x') return 0;
    }
    return 0;
}

static bool put_fact(Contract *c, const Fact *f, const char *word)
{
    int64_t v[4];
    int n = numbers_of(word + (f->letter != 0), f->n, v);
    if (n == 0 || n == 3 || (!f->letter && n != f->n)) return false;
    for (int i = 0; i < f->n; i++) *fact_at(c, f, i) = v[i % n];
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The fact that a word is; of those without a letter the first that is not there. */
static int fact_index(const bool *seen, const char *word)
{
    for (int i = 0; i < COUNT(facts); i++)
        if (facts[i].letter ? facts[i].letter == *word : is_digit(*word) && !seen[i]) return i;
    return -1;
}

static Op face_of(const Reader *r, const char *word)
{
    static const Op face[] = {OP_conv, OP_conv_dx, OP_conv_dw};
    for (int i = 0; i < COUNT(face); i++)
        if (!strcmp(word, op_info[face[i]].name)) return face[i];
    err(r->where, "'%s' is no face of a convolution: conv, conv_dx or conv_dw", word);
}

static int64_t results(const Reader *r, int64_t in, int64_t k, int64_t s, int64_t d, int64_t pads)
{
    int64_t room = in + pads - ((k - 1) * d + 1);
    if (in < 1 || k < 1 || s < 1 || d < 1 || room < 0)
        err(r->where, "such a convolution has no results");
    return room / s + 1;
}

static void complete(const Reader *r, Contract *c, const bool *seen)
{
    for (int i = 0; i < COUNT(facts); i++) {
        const Fact *f = &facts[i];
        if (!seen[i] && f->absent < 0) err(r->where, "says nothing of the %s", f->what);
        for (int k = 0; k < f->n && !seen[i]; k++) *fact_at(c, f, k) = f->absent;
    }
    c->oh = results(r, c->ih, c->kh, c->sh, c->dh, c->ph + c->ph2);
    c->ow = results(r, c->iw, c->kw, c->sw, c->dw, c->pw + c->pw2);
    if (c->ic < 1 || c->oc < 1 || c->groups < 1 || c->batch < 1)
        err(r->where, "channels, groups and batch are at least 1");
}

/* bf16 is of the operands: sums and results are f32 then. */
static bool put_type(Contract *c, const char *word)
{
    DType d;
    if (!dtype_by_name(word, &d) || (d != DT_F32 && d != DT_F64 && d != DT_BF16)) return false;
    c->bf16 = d == DT_BF16;
    c->dtype = c->bf16 ? DT_F32 : d;
    return true;
}

static Contract read_contract(const Reader *r, int n, char *const *word)
{
    Contract c = {.op = face_of(r, word[0]), .dtype = DT_F32};
    bool seen[COUNT(facts)] = {false};
    for (int i = 1; i < n; i++) {
        if (put_type(&c, word[i])) continue;
        if (!strcmp(word[i], varies)) {
            c.varies = true;
            continue;
        }
        int f = fact_index(seen, word[i]);
        if (f < 0) err(r->where, "'%s' says nothing of a convolution", word[i]);
        if (seen[f]) err(r->where, "'%s': said before", word[i]);
        if (!put_fact(&c, &facts[f], word[i]))
            err(r->where, "'%s' is no %s", word[i], facts[f].what);
        seen[f] = true;
    }
    complete(r, &c, seen);
    return c;
}

static const char *joined(Arena *a, int n, char *const *word)
{
    const char *s = word[0];
    for (int i = 1; i < n; i++) s = arena_printf(a, "%s %s", s, word[i]);
    return s;
}

static ScheduleLine read_line(const Reader *r, char *text)
{
    char *word[MOST_WORDS], *plan = strchr(text, ':');
    if (!plan) err(r->where, "no ':' between what the line is for and the plan");
    *plan++ = 0;
    int n = words_of(r, text, word);
    if (n < 2) err(r->where, "a line begins with a CPU and a convolution");
    ScheduleLine line = {.where = r->where, .cpu = word[0]};
    line.contract = read_contract(r, n - 1, word + 1);
    n = words_of(r, plan, word);
    if (!n) err(r->where, "no plan behind the ':'");
    line.plan = joined(r->arena, n, word);
    return line;
}

static bool is_blank(const char *s)
{
    return !s[strspn(s, " \t\r")];
}

void schedule_read(Arena *a, Schedule *s, const char *name, const char *text)
{
    char *copy = arena_strdup(a, text), *rest = copy;
    Schedule own = {0};
    int number = 0;
    for (char *one; (one = strsep(&rest, "\n"));) {
        Reader r = {a, name ? arena_printf(a, "%s:%d", name, ++number) : NULL};
        one[strcspn(one, "#")] = 0;
        if (is_blank(one)) continue;
        ScheduleLine line = read_line(&r, one);
        const ScheduleLine *before = schedule_find(&own, line.cpu, &line.contract);
        if (before)
            err(r.where, "the same as %s is for", before->where ? before->where : "another");
        GROW(a, own.line, own.n, own.cap);
        own.line[own.n++] = line;
        GROW(a, s->line, s->n, s->cap);
        s->line[s->n++] = line;
    }
}

/* ---- finding ---- */

bool contract_eq(const Contract *a, const Contract *b)
{
    if (a->op != b->op || a->dtype != b->dtype || a->bf16 != b->bf16 || a->varies != b->varies ||
        a->oh != b->oh || a->ow != b->ow)
        return false;
    for (int i = 0; i < COUNT(facts); i++)
        for (int k = 0; k < facts[i].n; k++)
            if (fact_of(a, &facts[i], k) != fact_of(b, &facts[i], k)) return false;
    return true;
}

ScheduleLine *schedule_find(const Schedule *s, const char *cpu, const Contract *c)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (!strcmp(s->line[i].cpu, cpu) && contract_eq(&s->line[i].contract, c))
            return &s->line[i];
    return NULL;
}

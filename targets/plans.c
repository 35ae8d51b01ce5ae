/* SPDX-License-Identifier: Apache-2.0 */
/* Plans as text: which claim runs a contraction and with which numbers. The claims' own tables say
 * what the numbers are called; this file knows none of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "targets/llvm/emit.h"

static const char generic_name[] = "generic";

/* ---- out ---- */

static void field_text(Str *s, const PlanField *f, const int64_t *number)
{
    str_fmt(s, " %s=", f->name);
    for (int i = 0; i < f->n; i++) {
        int64_t v = number[f->first + i];
        if (f->words)
            str_fmt(s, "%c", f->words[v]);
        else
            str_fmt(s, "%s%lld", i ? "x" : "", (long long)v);
    }
}

void target_plan_text(Str *s, const Offer *o)
{
    str_put(s, target_claim_name(o->claim));
    if (o->claim < 0) return;
    for (const PlanField *f = cpu_claims[o->claim].field; f->name; f++) field_text(s, f, o->number);
}

/* ---- in ---- */

static bool is_called(int claim, const char *word, size_t n)
{
    return n == strlen(cpu_claims[claim].name) && !strncmp(word, cpu_claims[claim].name, n);
}

static bool known_claims(char *why, const char *word, size_t n)
{
    int at = snprintf(why, PLAN_WHY, "no claim is called '%.*s'; there are %s", (int)n, word,
                      generic_name);
    for (int i = 0; i < cpu_nclaims; i++)
        if (i == 0 ||
            strcmp(cpu_claims[i].name, cpu_claims[i - 1].name)) /* those alike are together */
            at += snprintf(why + at, at < PLAN_WHY ? (size_t)(PLAN_WHY - at) : 0, ", %s",
                           cpu_claims[i].name);
    return false;
}

/* The row for the face, or one that says why not. */
static bool read_claim(const char *word, size_t n, Op face, int *claim, char *why)
{
    *claim = -1;
    if (n == strlen(generic_name) && !strncmp(word, generic_name, n)) return true;
    for (int i = 0; i < cpu_nclaims; i++)
        if (is_called(i, word, n) && (*claim < 0 || cpu_claims[i].dw == (face == OP_conv_dw)))
            *claim = i;
    return *claim >= 0 || known_claims(why, word, n);
}

/* The numbers of a field, from behind its '=' up to a blank. */
static bool read_numbers(const PlanField *f, const char *text, int64_t *number)
{
    for (int i = 0; i < f->n; i++) {
        char *end;
        if (i && *text++ != 'x') return false;
        if (*text < '0' || *text > '9') return false;
        number[f->first + i] = strtoll(text, &end, 10);
        text = end;
    }
    return !*text || *text == ' ';
}

static bool read_letter(const PlanField *f, const char *text, int64_t *number)
{
    const char *at = *text && *text != ' ' ? strchr(f->words, *text) : NULL;
    if (!at || (text[1] && text[1] != ' ')) return false;
    number[f->first] = at - f->words;
    return true;
}

static bool read_field(const ClaimRow *c, const char *word, int64_t *number, char *why)
{
    size_t name = strcspn(word, "= "), whole = strcspn(word, " ");
    for (const PlanField *f = c->field; f->name; f++) {
        if (strlen(f->name) != name || strncmp(f->name, word, name) || word[name] != '=') continue;
        const char *text = word + name + 1;
        if (number[f->first] >= 0)
            snprintf(why, PLAN_WHY, "'%.*s': %s is said before", (int)whole, word, f->name);
        else if (f->words ? read_letter(f, text, number) : read_numbers(f, text, number))
            return true;
        else
            snprintf(why, PLAN_WHY, "'%.*s': %s is %s", (int)whole, word, f->name,
                     f->words    ? f->words
                     : f->n == 1 ? "a number"
                     : f->n == 2 ? "AxB"
                                 : "AxBxC");
        return false;
    }
    snprintf(why, PLAN_WHY, "%s has no '%.*s'", c->name, (int)whole, word);
    return false;
}

static bool plan_read(const char *plan, Op face, Offer *o, char why[PLAN_WHY])
{
    size_t n = strcspn(plan, " ");
    *o = (Offer){.claim = -1};
    for (int i = 0; i < OFFER_NUMBERS; i++) o->number[i] = -1;
    if (!read_claim(plan, n, face, &o->claim, why)) return false;
    for (plan += n; *plan; plan += strcspn(plan, " ")) {
        plan++;
        if (o->claim < 0) {
            snprintf(why, PLAN_WHY, "%s has no '%s'", generic_name, plan);
            return false;
        }
        if (!read_field(&cpu_claims[o->claim], plan, o->number, why)) return false;
    }
    return true;
}

static void clear_unsaid(Offer *o)
{
    for (int i = 0; i < OFFER_NUMBERS; i++)
        if (o->number[i] < 0) o->number[i] = 0;
}

bool plan_offer(const Target *t, const Contract *c, const char *plan, Offer *o, char why[PLAN_WHY])
{
    if (!plan_read(plan, c->op, o, why)) return false;
    bool ok = o->claim < 0 || cpu_claims[o->claim].fit(t, c, o, why);
    clear_unsaid(o);
    return ok;
}

void target_check_line(const Target *t, const ScheduleLine *line)
{
    char why[PLAN_WHY];
    Offer o;
    if (t->gpu) err(line->where, "schedules are for CPUs, not for %s", t->cpu);
    if (!plan_offer(t, &line->contract, line->plan, &o, why)) err(line->where, "%s", why);
}

/* ---- what else there is ---- */

typedef struct Near {
    Arena *arena;
    const Target *t;
    const Contract *c;
    const char *plan; /* that they are near to */
    TargetPlan *found;
    uint32_t n, cap;
} Near;

static void add_plan(Near *s, const Offer *o)
{
    Str text = {0};
    target_plan_text(&text, o);
    char *plan = arena_strdup(s->arena, text.s);
    str_free(&text);
    if (!strcmp(plan, s->plan)) return;
    GROW(s->arena, s->found, s->n, s->cap);
    s->found[s->n++] = (TargetPlan){plan, o->cost};
}

/* Whatever follows from a tile may be chosen anew for another one. */
static void forget_others(int claim, const PlanField *f, int64_t *number)
{
    for (const PlanField *g = cpu_claims[claim].field; g->name; g++)
        for (int i = 0; i < g->n && g != f && !g->bits; i++) number[g->first + i] = -1;
}

/* Numbers of the field as given, others as in the plan that is varied, or, where they do not go
 * together, as the claim would choose. */
static void try_numbers(Near *s, int claim, const PlanField *f, const int64_t *number)
{
    char why[PLAN_WHY];
    Offer o = {.claim = claim};
    memcpy(o.number, number, sizeof o.number);
    bool ok = cpu_claims[claim].fit(s->t, s->c, &o, why);
    if (!ok && (f->n > 1 || f->bits)) {
        forget_others(claim, f, o.number);
        ok = cpu_claims[claim].fit(s->t, s->c, &o, why);
    }
    if (ok) add_plan(s, &o);
}

/* All values of number i of the field and those behind it. */
static void vary(Near *s, int claim, const PlanField *f, int i, int64_t *number)
{
    if (i == f->n) {
        try_numbers(s, claim, f, number);
        return;
    }
    for (int64_t v = f->words ? 0 : 1; v <= f->most; v++) {
        number[f->first + i] = v;
        vary(s, claim, f, i + 1, number);
    }
}

static void vary_fields(Near *s, const Offer *base, bool bits)
{
    int64_t number[OFFER_NUMBERS];
    for (const PlanField *f = cpu_claims[base->claim].field; f->name; f++) {
        if (f->bits && !bits) continue;
        memcpy(number, base->number, sizeof number);
        vary(s, base->claim, f, 0, number);
    }
}

static void other_claims(Near *s, int claim)
{
    char why[PLAN_WHY];
    for (int i = 0; i < cpu_nclaims; i++) {
        Offer o;
        if (plan_offer(s->t, s->c, cpu_claims[i].name, &o, why) && o.claim == i && i != claim)
            add_plan(s, &o);
    }
}

static int by_cost(const void *a, const void *b)
{
    const TargetPlan *x = a, *y = b;
    if (x->cost != y->cost) return x->cost < y->cost ? -1 : 1;
    return strcmp(x->text, y->text);
}

int target_plans_near(Arena *a, const Target *t, const Contract *c, const char *plan, bool bits,
                      const TargetPlan **out)
{
    char why[PLAN_WHY];
    Near s = {.arena = a, .t = t, .c = c, .plan = plan};
    Offer base;
    *out = NULL;
    if (!plan_offer(t, c, plan, &base, why) || base.claim < 0) return 0;
    vary_fields(&s, &base, bits);
    if (bits) other_claims(&s, base.claim);
    if (s.n) qsort(s.found, s.n, sizeof *s.found, by_cost);
    *out = s.found;
    return (int)s.n;
}

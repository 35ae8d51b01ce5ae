/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of schedules: the heuristic's read back, plans near one differ from it, fit, and read back,
 * in the same order every time; and of the lines that come with the compiler none changes bits. */
#include <stdio.h>
#include <string.h>

#include "ir/schedule.h"
#include "targets/llvm/emit.h"

static int passed, failed;

static void verdict(bool ok, const char *what, const char *cpu, const char *line)
{
    ok ? passed++ : failed++;
    if (!ok) printf("FAIL %s: %s %s\n", what, cpu, line);
}

static char *text_of(Arena *a, const Offer *o)
{
    Str s = {0};
    target_plan_text(&s, o);
    char *text = arena_strdup(a, s.s);
    str_free(&s);
    return text;
}

/* The plan as an offer, and that it prints as it was read. */
static bool reads_back(Arena *a, const Target *t, const Contract *c, const char *plan, Offer *o)
{
    char why[PLAN_WHY];
    return plan_offer(t, c, plan, o, why) && !strcmp(text_of(a, o), plan);
}

static bool same_numbers(const Offer *x, const Offer *y)
{
    return x->claim == y->claim && x->cost == y->cost && x->packed_bytes == y->packed_bytes &&
           !memcmp(x->number, y->number, sizeof x->number) && layout_eq(&x->w, &y->w) &&
           layout_eq(&x->in, &y->in);
}

static int fields_changed(const Offer *x, const Offer *y)
{
    int n = 0;
    for (const PlanField *f = cpu_claims[x->claim].field; f->name; f++)
        n +=
            memcmp(x->number + f->first, y->number + f->first, sizeof(int64_t) * (size_t)f->n) != 0;
    return n;
}

static bool keeps_bits(const Offer *x, const Offer *y)
{
    if (x->claim != y->claim) return false;
    for (const PlanField *f = cpu_claims[x->claim].field; f->name; f++)
        if (f->bits && x->number[f->first] != y->number[f->first]) return false;
    return true;
}

static void check_near(Arena *a, const Target *t, const ScheduleLine *l, const Offer *base)
{
    const TargetPlan *near, *again;
    const char *plan = text_of(a, base);
    bool reads = true, keeps = true, sorted = true, fresh = true, any = false;
    int n = target_plans_near(a, t, &l->contract, plan, false, &near);
    int m = target_plans_near(a, t, &l->contract, plan, false, &again);
    for (int i = 0; i < n; i++) {
        Offer o;
        reads &= reads_back(a, t, &l->contract, near[i].text, &o);
        keeps &= keeps_bits(base, &o);
        fresh &= fields_changed(base, &o) > 0;
        any |= fields_changed(base, &o) == 1;
        sorted &= i == 0 || near[i].cost >= near[i - 1].cost;
        sorted &= i < m && !strcmp(near[i].text, again[i].text);
    }
    verdict(reads, "near plans read back", t->cpu, plan);
    verdict(keeps, "near plans keep bits", t->cpu, plan);
    verdict(fresh && any, "near plans differ in a field", t->cpu, plan);
    verdict(sorted && n == m, "near plans are in order", t->cpu, plan);
    m = target_plans_near(a, t, &l->contract, plan, true, &again);
    bool other = !strcmp(target_claim_name(base->claim), "winograd"); /* a direct one can too */
    verdict(m >= n + other, "with other bits there are more", t->cpu, plan);
}

static void check_shape(Arena *a, const Target *t, const ScheduleLine *l)
{
    Offer own = {.claim = -1}, read;
    if (!t->offer(t, &l->contract, &own)) return;
    const char *plan = text_of(a, &own);
    bool same = reads_back(a, t, &l->contract, plan, &read) && same_numbers(&own, &read);
    verdict(same, "the heuristic's plan reads back", t->cpu, plan);
    char why[PLAN_WHY];
    bool alone = plan_offer(t, &l->contract, l->plan, &read, why);
    if (alone && read.claim == own.claim)
        verdict(same_numbers(&own, &read), "a bare claim is the heuristic's plan", t->cpu, plan);
    if (!strcmp(target_claim_name(own.claim), "dxplanar")) return; /* has no numbers */
    check_near(a, t, l, &own);
}

/* Behind the colon: the claim to be tried alone. */
static const char shapes[] = "c conv 64x64 k3 p1 56x56 b8: winograd\n"
                             "c conv 512x512 k3 p1 7x7 b1: winograd\n"
                             "c conv 16x16 k3 p1 32x32 b8: winograd\n"
                             "c conv 64x256 k1 56x56 b8: tapconv\n"
                             "c conv 3x64 k7 s2 p3 224x224 b1: tapconv\n"
                             "c conv_dx 128x128 k3 s2 p1 56x56 b8: tapconv\n"
                             "c conv_dx 3x64 k7 s2 p3 224x224 b1: dxplanar\n"
                             "c conv_dw 64x64 k3 p1 8x8 b16: winograd\n"
                             "c conv_dw 16x16 k3 p1 32x32 b8: winograd\n"
                             "c conv_dw 512x512 k3 p1 7x7 b1: winograd\n"
                             "c conv_dw 64x128 k3 s2 p1 16x16 b8: dwconv\n"
                             "c conv 32x48 k3x1 p1x0 9x14 b3 f64: tapconv\n";

static void check_shapes(Arena *a)
{
    static const char *const cpu[] = {"x86-64", "haswell", "znver4"};
    Schedule s = {0};
    schedule_read(a, &s, "shapes", shapes);
    for (int i = 0; i < COUNT(cpu); i++)
        for (uint32_t k = 0; k < s.n; k++)
            check_shape(a, target_find(a, "x86_64-unknown-linux-gnu", cpu[i]), &s.line[k]);
}

/* A layer's claim and form are the heuristic's, whatever the batch. */
static void check_measured(Arena *a)
{
    Schedule s = {0};
    schedule_read(a, &s, "measured.sched", target_schedules);
    for (uint32_t i = 0; i < s.n; i++) {
        const ScheduleLine *l = &s.line[i];
        const Target *t = target_find(a, "x86_64-unknown-linux-gnu", l->cpu);
        Offer own = {.claim = -1}, o;
        bool ok = reads_back(a, t, &l->contract, l->plan, &o);
        verdict(ok && t->offer(t, &l->contract, &own) && keeps_bits(&own, &o),
                "measured lines keep bits", l->where, l->plan);
    }
}

static void all(void *a)
{
    check_shapes(a);
    check_measured(a);
}

int main(void)
{
    Arena *a = arena_new();
    char why[512];
    if (!err_guard(all, a, why, sizeof why)) {
        printf("FAIL %s\n", why);
        failed++;
    }
    arena_free(a);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}

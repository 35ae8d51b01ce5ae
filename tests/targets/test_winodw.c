/* SPDX-License-Identifier: Apache-2.0 */
/* Winograd's claim on gradients in weights against the definition in double: maps that tiles cut
 * and that they do not, pads, halos, more channels than a slab holds, blocks of tiles with rests,
 * on every CPU row that this machine runs. Results may be off by what the form's row admits. */
#include "dwrun.h"

#include "targets/cpu/wino.h"

#include <stdio.h>
#include <string.h>

#define SAME(n)                                                                                    \
    {                                                                                              \
        n, n, n, n                                                                                 \
    }
static const Case cases[] = {
    {.n = 3, .ic = 16, .oc = 16, .ih = 32, .iw = 32, .pad = SAME(1)},
    {.n = 9, .ic = 32, .oc = 64, .ih = 8, .iw = 8, .pad = SAME(1)},
    {.n = 7, .ic = 64, .oc = 32, .ih = 14, .iw = 10, .pad = SAME(1)},
    {.n = 5, .ic = 96, .oc = 48, .ih = 7, .iw = 7, .pad = SAME(1)},
    {.n = 3, .ic = 16, .oc = 32, .ih = 9, .iw = 13, .pad = SAME(0)},
    {.n = 2, .ic = 32, .oc = 16, .ih = 11, .iw = 8, .pad = SAME(2)},
    {.n = 2, .ic = 32, .oc = 32, .ih = 10, .iw = 10, .pad = {2, 0, 0, 1}},
    {.n = 1, .ic = 16, .oc = 16, .ih = 1, .iw = 1, .pad = SAME(1)},
};

/* The heuristic's own choices, where it makes one. */
static const Case large[] = {
    {.n = 48, .ic = 16, .oc = 16, .ih = 32, .iw = 32, .pad = SAME(1)},
    {.n = 64, .ic = 64, .oc = 64, .ih = 8, .iw = 8, .pad = SAME(1)},
    {.n = 4, .ic = 128, .oc = 128, .ih = 14, .iw = 14, .pad = SAME(1)},
};

static Case whole(Case c)
{
    c.op = OP_conv_dw;
    c.dtype = DT_F32;
    c.kh = c.kw = 3;
    c.stride = 1;
    return c;
}

/* All cases in a form, and their own blocks of tiles or short ones, all planes at once or parts. */
static void in_form(const Target *t, int form, bool halos, DwCount *n)
{
    static const char *const plan[WINO_DENSE][3] = {
        {"winograd form=4", "winograd form=4 block=5", "winograd form=4 block=3 parts=3"},
        {"winograd form=2", "winograd form=2 block=7", "winograd form=2 block=7 parts=2"}};
    for (int j = 0; j < 3 * COUNT(cases); j++) {
        const Case *c = &cases[j / 3];
        if (j % 3 && c->ih * c->iw < 16) continue; /* not so many tiles */
        Dw d = {
            .c = whole(*c), .t = t, .plan = plan[form][j % 3], .allowed = wino_forms[form].error};
        dw_one(d, n);
        d.c.halo = 2;
        d.bare = true; /* its results are stored at once */
        if (halos) dw_one(d, n);
    }
}

static int on_cpu(const Target *t, bool halos)
{
    DwCount own = {0};
    int wrong = 0;
    for (int form = 0; form < WINO_DENSE; form++) {
        DwCount n = {0};
        in_form(t, form, halos, &n);
        printf("%s: %s: %d, error at most %.2g\n", t->cpu, wino_forms[form].name, n.claims,
               n.worst);
        wrong += n.wrong;
    }
    for (int j = 0; j < COUNT(large); j++)
        dw_one(
            (Dw){.c = whole(large[j]), .t = t, .claim = "winograd", .allowed = wino_forms[0].error},
            &own);
    printf("%s: chosen: %d, error at most %.2g\n", t->cpu, own.claims, own.worst);
    return wrong + own.wrong + (own.claims == 0);
}

int main(void)
{
    static const char *const row[] = {NULL, "haswell", "x86-64"};
    Arena *a = arena_new();
    int bad = 0;
    for (int i = 0; i < COUNT(row); i++)
        if (run_possible(row[i])) bad += on_cpu(target_find(a, NULL, row[i]), i == 0);
    printf("winodw: %d wrong\n", bad);
    arena_free(a);
    return bad > 0;
}

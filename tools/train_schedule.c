/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules of the learning rate: one row each. */
#include <math.h>
#include <string.h>

#include "tools/train.h"

static Pace constant(const Recipe *r, const Place *at)
{
    (void)at;
    return (Pace){r->lr, r->momentum, r->beta1};
}

static double dropped(const Recipe *r, double epoch, const Place *at)
{
    return epoch > 0 && (double)at->epoch >= epoch ? r->drop : 1;
}

static Pace steps(const Recipe *r, const Place *at)
{
    Pace p = constant(r, at);
    p.lr *= dropped(r, r->drop_at_1, at) * dropped(r, r->drop_at_2, at);
    return p;
}

/* From a at q = 0 to b at q = 1, half a cosine. */
static double bend(double a, double b, double q)
{
    return b + (a - b) / 2 * (1 + cos(3.14159265358979323846 * q));
}

static Pace cosine(const Recipe *r, const Place *at)
{
    Pace p = constant(r, at);
    double passed = (double)at->step / (double)at->steps;
    p.lr = bend(p.lr, 0, ((double)at->epoch + passed) / r->epochs);
    return p;
}

/* Smith, Topin 2017, "Super-convergence", as torch.optim.lr_scheduler.OneCycleLR has it. */
static Pace one_cycle(const Recipe *r, const Place *at)
{
    double all = r->epochs * (double)at->steps;
    double k = (double)at->epoch * (double)at->steps + (double)at->step;
    double top = r->rise * all - 1, low = r->momentum_low, high = r->momentum_high;
    double from = r->lr / r->rise_from, q = top > 0 ? k / top : 1;
    Pace p = {bend(from, r->lr, q), bend(high, low, q), 0};
    if (k > top) {
        q = (k - top) / (all - 1 - top);
        p = (Pace){bend(r->lr, from / r->fall_to, q), bend(low, high, q), 0};
    }
    p.beta1 = p.momentum;
    return p;
}

const Schedule schedules[] = {
    {"constant", constant, "lr stays as it is"},
    {"step", steps, "lr times `drop` at each of the `drop_at`"},
    {"cosine", cosine, "half a cosine from lr to 0"},
    {"one-cycle", one_cycle, "lr rises and falls, momentum falls and rises (Smith, Topin 2017)"},
    {NULL, NULL, NULL},
};

Pace recipe_pace(const Recipe *r, const Place *at)
{
    return schedules[r->word[WORD_SCHEDULE]].pace(r, at);
}

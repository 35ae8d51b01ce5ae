/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules against PyTorch's: OneCycleLR and CosineAnnealingLR over 12 steps with lr 0.4. */
#include <math.h>
#include <stdio.h>

#include "tools/train.h"

enum { EPOCHS = 3, STEPS = 4 };

typedef struct Want {
    double lr, momentum;
} Want;

static const Want one_cycle[] = {
    {0.016000000000000014, 0.95},
    {0.1399158616878332, 0.9177302443521267},
    {0.3517140636488515, 0.8625744625914449},
    {0.39776617418036475, 0.8505584586887436},
    {0.3732051879365647, 0.856698729810778},
    {0.3246982615799052, 0.8688255099070633},
    {0.25895159907804133, 0.8852622412794547},
    {0.18505484106679002, 0.9037365046793212},
    {0.11322439928347969, 0.9216941869558779},
    {0.05339101207553224, 0.9366525935914912},
    {0.01382679497015809, 0.9465436874322102},
    {1.6e-06, 0.95},
};

static const Want cosine[] = {
    {0.4, 0.9},
    {0.39318516525781366, 0.9},
    {0.3732050807568878, 0.9},
    {0.3414213562373095, 0.9},
    {0.30000000000000004, 0.9},
    {0.2517638090205042, 0.9},
    {0.20000000000000004, 0.9},
    {0.1482361909794959, 0.9},
    {0.10000000000000006, 0.9},
    {0.05857864376269052, 0.9},
    {0.026794919243112263, 0.9},
    {0.0068148347421863615, 0.9},
};

/* MultiStepLR with milestones at epochs 1 and 2, gamma 0.1. */
static const Want steps[] = {
    {.4, .9},  {.4, .9},  {.4, .9},   {.4, .9},   {.04, .9},  {.04, .9},
    {.04, .9}, {.04, .9}, {.004, .9}, {.004, .9}, {.004, .9}, {.004, .9},
};

static const struct {
    const char *line;
    const Want *want;
} rows[] = {
    {"schedule = one-cycle", one_cycle},
    {"schedule = cosine", cosine},
    {"schedule = step", steps},
};

static double off(double a, double b)
{
    return fabs(a - b) / fabs(b);
}

static int compare(const char *line, const Want *want)
{
    Recipe r;
    double worst = 0;
    if (recipe_take(&r, "standard") || recipe_set(&r, "test", "lr = 0.4") ||
        recipe_set(&r, "test", "epochs = 3") || recipe_set(&r, "test", "drop_at_1 = 1") ||
        recipe_set(&r, "test", "drop_at_2 = 2") || recipe_set(&r, "test", line))
        return 1;
    for (int i = 0; i < EPOCHS * STEPS; i++) {
        Pace p = recipe_pace(&r, &(Place){i / STEPS, i % STEPS, STEPS});
        double d = off(p.lr, want[i].lr) + off(p.momentum, want[i].momentum);
        if (!(d <= worst)) worst = d;
    }
    printf("%s  %s: relative %.1e\n", worst <= 1e-9 ? "ok  " : "FAIL", line, worst);
    return !(worst <= 1e-9);
}

int main(void)
{
    int failed = 0, n = sizeof rows / sizeof *rows;
    for (int i = 0; i < n; i++) failed += compare(rows[i].line, rows[i].want);
    printf("train_schedule: %d passed, %d failed\n", n - failed, failed);
    return failed > 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* An attack on a data set: what was asked for, what came out. Distances are of pixels in [0,1]. */
#ifndef ADJ_TOOLS_ATTACK_H
#define ADJ_TOOLS_ATTACK_H

#include "tools/images.h"
#include "tools/score.h"

enum { MAX_SETTINGS = 16 };

typedef struct Setting { /* a hyperparameter that was given */
    const char *option;  /* "--mu", for messages */
    char name[32];
    double value;
} Setting;

typedef struct AttackPlan {
    const char *attack; /* an entry that takes x, y and gives adv, success */
    const char *model, *images;
    const char *eps, *step; /* as given, or NULL: the attack's default */
    double share;           /* step / eps where no step was given; 0: the attack's default */
    const char *compat;     /* the tool whose defaults these are, or NULL */
    int32_t steps;
    bool random;       /* random start */
    const char *start; /* file with first iterates, or NULL */
    bool targeted;
    int64_t target;      /* of all samples, unless there is a file */
    const char *targets; /* file with one a sample, or NULL */
    int stop;            /* 0 never, 1 at success, 2 at an exact cycle */
    int nsetting;
    Setting setting[MAX_SETTINGS];
    const char *out; /* file for the adversarial images, or NULL */
    const char *png; /* folder for them as 8-bit PNG, or NULL */
    DataRange range;
    RunChoice run;
} AttackPlan;

typedef struct AttackSample {
    int64_t label, before, after; /* classes: true, predicted before and after the attack */
    int64_t after8;               /* after, of the image rounded to 8 bits, with --png */
    bool success;                 /* what the attack says of itself */
    Distance distance;
} AttackSample;

typedef struct Spread { /* over all samples */
    double mean, q1, median, q3, max;
} Spread;

typedef struct AttackResult {
    int64_t n;
    AttackSample *sample; /* n of them; attack_free */
    int64_t correct;      /* right before the attack */
    int64_t robust;       /* right before and after it */
    int64_t robust8;      /* the same of images rounded to 8 bits, with --png */
    int64_t reached;      /* targeted: are of their target class after it */
    Spread linf, l2, rmse;
    uint64_t forwards, backwards; /* of the attack, exact; judging its results apart */
    double eps, step;             /* as used; NaN: the attack has no such parameter */
    const char *start;            /* "random", "given" or "image" */
    double seconds;               /* in the attack's compiled code */
    double compile_seconds;
    char target[64], cpu[64]; /* what the model was compiled for */
    uint64_t hash;
    bool f64;
    const char *precision; /* "f32", "f64", "bf16" */
    int slots;
} AttackResult;

/* Both return an exit status, 0 if fine. */
int attack_run(const AttackPlan *, const AdjOptions *, AttackResult *);

void attack_free(AttackResult *);

/* Fills what is counted over r->sample; scratch holds n numbers. */
void attack_stats(AttackResult *, double *scratch);

void attack_print(const AttackPlan *, const AttackResult *);
int attack_write_json(const char *path, const AttackPlan *, const AttackResult *);
int attack_write_csv(const char *path, const AttackPlan *, const AttackResult *);

/* The folder is made if it is not there. */
int attack_png_check(const char *folder, const AdjTensor *x);
/* n images as 000123.png by their index, the first one's being `first`; they are rounded to 8 bits
 * in place. */
int attack_write_png(const char *folder, const AdjTensor *x, void *images, int64_t n,
                     int64_t first);

#endif

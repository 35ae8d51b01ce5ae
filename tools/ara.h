/* SPDX-License-Identifier: Apache-2.0 */
/* The accuracy-robustness area (ARA) of Woods, Chen, Teuscher 2019, section III.A: for each image
 * the least perturbation that an attack finds, as root mean square over C*H*W of pixels in [0,1];
 * the curve of accuracy over the size allowed; the area between it and chance.
 *
 * A long run: images are attacked chunk by chunk, what is done is kept in a checkpoint, and neither
 * interruptions nor chunks nor threads change a result. */
#ifndef ADJ_TOOLS_ARA_H
#define ADJ_TOOLS_ARA_H

#include "tools/images.h"
#include "tools/score.h"

enum { ARA_NEVER = 1000000000 }; /* first, of an image that was never fooled */

typedef struct AraRow { /* an image that was attacked */
    int64_t index;      /* in the data set, from 0 */
    int64_t label, predicted;
    double rmse;   /* 0 if never fooled, as in the paper's code: area and curve are lower bounds */
    int32_t first; /* step that first fooled it, or ARA_NEVER */
    uint32_t crc;  /* of its pixels and label: resuming on other images is an error */
} AraRow;

typedef struct AraPlan {
    const char *attack;                   /* l2-min or btr */
    const char *model, *images, *indices; /* the last NULL: in the order of the set */
    double eps, mu;
    int32_t steps;
    bool box;
    bool lenient; /* the guard warns, instead of stopping the run */
    bool resume;
    const char *out, *json, *checkpoint; /* files or NULL */
    DataRange range;                     /* over the indices, where they are given */
    RunChoice run;
} AraPlan;

typedef struct AraArea {
    double published; /* by a histogram of 1000 bins, as in the paper's code */
    double exact;     /* of the step function itself */
} AraArea;

typedef struct AraResult {
    AraRow *row; /* total of them, in the order of the list; owned */
    int64_t total, done, resumed;
    int64_t classes;
    AraArea area;
    int64_t correct, late, never;
    double *size;                 /* total sizes, ascending; owned */
    uint64_t forwards, backwards; /* of this run */
    double seconds, compile_seconds;
    char target[64], cpu[64];
    uint64_t hash;
    bool f64;
    const char *precision; /* "f32", "f64", "bf16" */
} AraResult;

/* ---- ara.c ---- */

/* An exit status, 0 if fine; 128 + signal if it was stopped. Release it in any case. */
int ara_run(const AraPlan *, const AdjOptions *, AraResult *);
void ara_release(AraResult *);

/* ---- ara_curve.c ---- */

/* Of n sizes in ascending order, against chance. */
AraArea ara_area(const double *size, int64_t n, double chance);
/* The share of images that withstand every perturbation up to that size. */
double ara_accuracy(const double *size, int64_t n, double rmse);
/* The paper's guard: an attack that found its first success later than half its steps has not
 * minimised it. */
bool ara_late(const AraRow *, int32_t steps);
/* Sizes, area and counts from the rows. */
int ara_summarise(const AraPlan *, AraResult *);

/* ---- ara_state.c: the checkpoint ---- */

/* What must agree for rows to be of the same run, as a line of words. */
void ara_key(const AraPlan *, const AraResult *, char *out, size_t size);
/* Reads r->done rows; fine if there is no such file. A damaged file, or one with another key, is an
 * error. */
int ara_load(const char *path, const char *key, AraResult *r);
int ara_save(const char *path, const char *key, const AraResult *);

/* ---- ara_report.c ---- */

int ara_write_csv(const char *path, const AraPlan *, const AraResult *);
void ara_print(const AraPlan *, const AraResult *);
int ara_write_json(const char *path, const AraPlan *, const AraResult *);

#endif

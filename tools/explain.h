/* SPDX-License-Identifier: Apache-2.0 */
/* Explanations of what a network sees in images, on one sheet (sheet.h). */
#ifndef ADJ_TOOLS_EXPLAIN_H
#define ADJ_TOOLS_EXPLAIN_H

#include "tools/images.h"

typedef enum ExplainMethod {
    EXPLAIN_ADVERSARIAL, /* g-explain: an image of a given RMSE that is more of the class */
    EXPLAIN_SALIENCY,    /* largest |gradient| over channels (Simonyan et al. 2014) */
    EXPLAIN_INPUT,       /* gradient times pixel, summed over channels */
    EXPLAIN_INTEGRATED,  /* the same along the line from black (Sundararajan et al. 2017) */
    EXPLAIN_SMOOTH       /* saliency of the mean gradient over noisy images (Smilkov et al. 2017) */
} ExplainMethod;

enum { TO_FIRST = -1, TO_SECOND = -2, TO_ALL = -3 }; /* else a class */

typedef struct ExplainPlan {
    ExplainMethod method;
    const char *name; /* of the method */
    const char *model, *images, *out;
    int64_t to;
    double rmse;     /* adversarial: to reach */
    int32_t steps;   /* adversarial */
    int64_t samples; /* points of the line, noisy images */
    double sigma;    /* standard deviation of the noise */
    DataRange range;
    RunChoice run;
} ExplainPlan;

/* The entries that a method needs. */
const char *explain_entries(ExplainMethod);

/* An exit status, 0 if fine. */
int explain_run(const ExplainPlan *, const AdjOptions *);

/* ---- explain_draw.c: numbers to RGB; images are [channels][pixels], 1 channel or 3 ---- */

void draw_image(const double *x, int64_t channels, int64_t pixels, uint8_t *rgb);
/* Grey is no change; returns the factor that differences were multiplied by. */
double draw_difference(const double *x, const double *v, int64_t channels, int64_t pixels,
                       uint8_t *rgb);
/* White is 0; red above, blue below. */
void draw_map(const double *map, int64_t pixels, uint8_t *rgb);

#endif

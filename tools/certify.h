/* SPDX-License-Identifier: Apache-2.0 */
/* Randomized smoothing of a data set (Cohen, Rosenfeld, Kolter 2019): what was asked for, what came
 * out. Radii are L2, of pixels in [0,1]. */
#ifndef ADJ_TOOLS_CERTIFY_H
#define ADJ_TOOLS_CERTIFY_H

#include "tools/images.h"

typedef struct CertifyPlan {
    const char *model, *images;
    double sigma, alpha; /* noise of a pixel; probability that a statement is wrong */
    int64_t n0, n;       /* noisy images to choose the class by, to bound its probability by */
    bool predict;        /* only the class, by n of them */
    int64_t every;       /* of the range, image 0, every, 2 every .. */
    const char *csv, *json;
    DataRange range; /* its limit: of the images taken */
    RunChoice run;
} CertifyPlan;

typedef struct CertifySample {
    int64_t label;     /* -1: the set has none */
    int64_t predicted; /* class, -1: abstained */
    int64_t votes;     /* of the n for the class that was chosen */
    double bound;      /* of that class's probability, from below; predict: the test's p value */
    double radius;     /* certified; 0 where it abstained or predicts only */
} CertifySample;

typedef struct CertifyResult {
    int64_t n; /* images done; number i is image first + i * every */
    CertifySample *sample;
    bool labels;
    uint64_t draws; /* noisy images evaluated */
    double seconds, compile_seconds;
    char target[64], cpu[64];
    uint64_t hash;
    bool f64;
    const char *precision; /* "f32", "f64", "bf16" */
} CertifyResult;

/* An exit status. After a signal the images done are in the result and in its files. */
int certify_run(const CertifyPlan *, const AdjOptions *, CertifyResult *);
void certify_free(CertifyResult *);

bool certify_right(const CertifySample *); /* predicted its label */
void certify_print(const CertifyPlan *, const CertifyResult *);
int certify_write_csv(const char *path, const CertifyPlan *, const CertifyResult *);
int certify_write_json(const char *path, const CertifyPlan *, const CertifyResult *);

#endif

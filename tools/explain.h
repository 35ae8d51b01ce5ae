/* SPDX-License-Identifier: Apache-2.0 */
/* Explanations of what a network sees in images, on one sheet (sheet.h). */
#ifndef ADJ_TOOLS_EXPLAIN_H
#define ADJ_TOOLS_EXPLAIN_H

#include <jansson.h>

#include "tools/chunk.h"
#include "tools/sheet.h"

typedef enum ExplainShow {
    SHOW_CHANGE, /* a changed image, and its difference from the image: two pictures */
    SHOW_SIZE,   /* the largest size over channels */
    SHOW_SUM,    /* the sum over channels, with its sign */
    SHOW_PLACES  /* a coarse map over the image */
} ExplainShow;

/* A way to explain: an entry, what is drawn of it, and what it takes. Adding one: a row in
 * explain.def. */
typedef struct ExplainMethod {
    const char *name, *entry;
    ExplainShow show;
    const char *knob; /* the entry's hyperparameter that an option sets, or NULL */
    const char *help;
} ExplainMethod;
extern const ExplainMethod explain_methods[];
extern const int explain_nmethods;

enum { TO_FIRST = -1, TO_SECOND = -2, TO_ALL = -3 }; /* else a class */
enum { MOST_METHODS = 16, MOST_IMAGES = 64 };

typedef struct ExplainPlan {
    int nmethod, nset;
    const ExplainMethod *method[MOST_METHODS];
    const char *set[MOST_IMAGES]; /* image files, folders, data sets */
    const char *model, *layer, *out, *json;
    int64_t to;
    double rmse;     /* adversarial: to reach */
    int32_t steps;   /* adversarial */
    int64_t samples; /* points of the line, noisy images */
    double sigma;    /* standard deviation of the noise */
    DataRange range; /* of each set */
    RunChoice run;
} ExplainPlan;

typedef struct Explain {
    const ExplainPlan *plan;
    Harness h;
    Images set[MOST_IMAGES];
    int64_t images;                  /* of all sets */
    Buffers clean, of[MOST_METHODS]; /* forward; the methods' entries */
    Sheet sheet;
    int pictures; /* of all methods, for one class */
    int64_t classes, channels, height, width, pixels;
    int64_t n, *class, predicted; /* of the image: n classes to explain */
    double *x, *v, *map;          /* of one image: as it is, as changed; a map */
    json_t *rows;                 /* what captions say, an object an image */
} Explain;

/* The entries that a plan needs, with commas. */
void explain_entries(const ExplainPlan *, char *out, size_t size);
/* An exit status, 0 if fine. */
int explain_run(const ExplainPlan *, const AdjOptions *);
void explain_probabilities(const Explain *, int64_t sample, double *p); /* [classes] */
int explain_classify(Explain *, void *x, int64_t n);

/* ---- explain_show.c: pictures with captions, and the same as JSON ---- */

/* `image` counts from the first one of the sheet, `at` within its set. */
int explain_show_image(Explain *, int64_t image, const Images *, int64_t at);
/* Of method m, whose first picture is number `picture` of a class. */
int explain_show(Explain *, int64_t image, int m, int picture);
int explain_write_json(const Explain *);

/* ---- explain_draw.c: numbers to RGB; images are [channels][pixels], 1 channel or 3 ---- */

void draw_image(const double *x, int64_t channels, int64_t pixels, uint8_t *rgb);
/* Grey is no change; returns the factor that differences were multiplied by. */
double draw_difference(const double *x, const double *v, int64_t channels, int64_t pixels,
                       uint8_t *rgb);
/* White is 0; red above, blue below. */
void draw_map(const double *map, int64_t pixels, uint8_t *rgb);
/* A map of [h][w] over the faded image: white is 0, red the largest value. Between the middles of
 * its cells it is linear. */
void draw_places(const double *map, int64_t h, int64_t w, int64_t height, int64_t width,
                 uint8_t *rgb);

#endif

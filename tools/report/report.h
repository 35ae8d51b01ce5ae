/* SPDX-License-Identifier: Apache-2.0 */
/* One page of HTML from what `attack`, `ara`, `explain`, `train`, `certify` and `lipschitz` write.
 * A run is the files of one stem: ara.json and ara.csv, sheet.json and sheet.png. */
#ifndef ADJ_TOOLS_REPORT_REPORT_H
#define ADJ_TOOLS_REPORT_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef enum RunKind {
    RUN_ARA,
    RUN_ATTACK,
    RUN_EXPLAIN,
    RUN_TRAIN,
    RUN_CERTIFY,
    RUN_LIPSCHITZ,
    RUN_KINDS
} RunKind;

typedef struct TrainingRow {     /* of train.csv */
    double loss, accuracy, test; /* test: NaN if there was no test set */
} TrainingRow;

typedef struct Run {
    RunKind kind;
    char *json_path, *csv_path, *png_path; /* NULL: there is none */
    json_t *json;
    int64_t n; /* of sizes: RMSE of an image's perturbation, ascending; none: 0 */
    double *size;
    int64_t epochs;
    TrainingRow *epoch;
    uint8_t *png;
    size_t png_bytes;
    uint32_t width, height; /* of the PNG */
    int colour;             /* number of its curve; -1: it has none */
} Run;

typedef struct Report {
    const char *title;
    int n, cap;
    Run *run;
} Report;

/* ---- find.c: files and folders become runs. Exit statuses, 0 if fine ---- */

int report_add(Report *, const char *path);
/* After the last one: pictures of runs, colours of curves; finding nothing is an error. */
int report_settle(Report *);
void report_free(Report *);

/* ---- read.c: one file into a run; an exit status, 0 if fine ---- */

/* A file that is none of ours is passed over, if it was found in a folder: *ours becomes false. */
int run_read_json(Run *, const char *path, bool found, bool *ours);
int run_read_csv(Run *, const char *path, bool found, bool *ours);
int run_read_png(Run *, const char *path);

/* ---- training.c ---- */
bool training_head(const char *line); /* of a train.csv, without its end */
int run_read_training(Run *, const char *path, FILE *behind_the_head);
void put_trainings(FILE *, const Report *);

/* ---- values of a run's JSON; absent: NaN, NULL ---- */
double run_number(const Run *, const char *group, const char *name);
const char *run_text(const Run *, const char *group, const char *name);
/* The network: its model's file, or the run's own. */
const char *run_network(const Run *);
const char *run_attack(const Run *); /* or the measure; "" if unknown */

/* ---- html.c ---- */
void put_text(FILE *, const char *text); /* escaped; for text and attributes */
void put_number(FILE *, double v);       /* a few digits; a dash if it is none */
void put_percent(FILE *, double share);
void put_base64(FILE *, const uint8_t *, size_t n);
void put_cell(FILE *, const char *label, const char *text); /* of a table; its column's label */
void put_number_cell(FILE *, const char *label, double v, bool percent);

/* ---- plot.c ---- */
typedef struct Frame { /* of a plot; x runs over [0, most] */
    double left, right, top, bottom, most;
} Frame;
double plot_x(const Frame *, double v);
double plot_y(const Frame *, double share);
void plot_axes(FILE *, const Frame *, int ticks); /* shares in per cent */
void plot_curves(FILE *, const Report *);
void plot_histogram(FILE *, const Run *);

/* ---- measures.c: sections of the page ---- */
void put_certificates(FILE *, const Report *);
void put_measures(FILE *, const Report *);

/* ---- page.c ---- */
void put_swatch(FILE *, int colour, int dash); /* a piece of a curve; -1: nothing */
int report_write(const char *path, const Report *);
extern const char report_template[]; /* page.html */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Options: tables that subcommands share, and the reading of a command line.
 *
 * popt stores the text of an option through a pointer in its table, so the tables and what they
 * fill are static; values are converted, and checked, by the functions below. */
#ifndef ADJ_TOOLS_OPTIONS_H
#define ADJ_TOOLS_OPTIONS_H

#include <popt.h>
#include <stdbool.h>
#include <stdint.h>

#include "compiler/adjoint.h"
#include "tools/data/data.h"

/* Tables to include: of the model, of the artefact, of the data, of the run. */
extern struct poptOption input_table[], model_table[], artefact_table[], data_table[], run_table[],
    seed_table[], eot_table[], train_table[];

#define MODEL_OPTIONS                                                                              \
    {                                                                                              \
        NULL, 0, POPT_ARG_INCLUDE_TABLE, model_table, 0, "The model:", NULL                        \
    }
#define ARTEFACT_OPTIONS                                                                           \
    {                                                                                              \
        NULL, 0, POPT_ARG_INCLUDE_TABLE, artefact_table, 0, "The artefact:", NULL                  \
    }
#define DATA_OPTIONS                                                                               \
    {                                                                                              \
        NULL, 0, POPT_ARG_INCLUDE_TABLE, data_table, 0, "The images:", NULL                        \
    }
#define INPUT_OPTIONS                                                                              \
    {                                                                                              \
        NULL, 0, POPT_ARG_INCLUDE_TABLE, input_table, 0, NULL, NULL                                \
    }
#define RUN_OPTIONS                                                                                \
    {                                                                                              \
        NULL, 0, POPT_ARG_INCLUDE_TABLE, run_table, 0, "The run:", NULL                            \
    }
#define SEED_OPTION                                                                                \
    {                                                                                              \
        NULL, 0, POPT_ARG_INCLUDE_TABLE, seed_table, 0, NULL, NULL                                 \
    }

/* --train: parts of a step of training; among the artefact's as well. */
#define TRAIN_OPTION                                                                               \
    {                                                                                              \
        NULL, 0, POPT_ARG_INCLUDE_TABLE, train_table, 0, NULL, NULL                                \
    }

typedef struct Syntax {
    const char *name;      /* "adjoint run" */
    const char *arguments; /* "model.onnx images" */
    int least, most;       /* how many of them */
    const char *notes;     /* what --help prints after the options: units, two examples */
    struct poptOption *table;
} Syntax;

/* Parses argv[1..]; argument[most] gets what is no option, NULL where there is none. --help prints
 * and exits with 0. Returns 0 or STATUS_USAGE. */
int options_parse(const Syntax *, int argc, const char **argv, const char **argument);

/* --eot: gradients whose mean a step takes; 0 where it was not given. */
#define EOT_OPTION                                                                                 \
    {                                                                                              \
        NULL, 0, POPT_ARG_INCLUDE_TABLE, eot_table, 0, NULL, NULL                                  \
    }

/* Every name of the list is a program; NULL is fine. */
int options_entries(const char *list);

/* The values of the model's and the artefact's options; `model` is the file. */
int options_model(const char *model, AdjOptions *out);

typedef struct DataRange {
    const char *labels; /* file or NULL */
    int64_t first, limit;
    DataResize resize; /* of image files, by --preset */
} DataRange;
int options_data(DataRange *out);

/* --input NAME=FILE, NULL at the end; NULL if there are none. */
char *const *options_inputs(void);

typedef struct RunChoice {
    int threads;
    uint64_t seed;
} RunChoice;
int options_run(RunChoice *out);

/* True if the program of that name exists, according to programs.def. */
bool program_exists(const char *name);

#endif

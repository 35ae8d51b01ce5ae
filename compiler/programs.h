/* SPDX-License-Identifier: Apache-2.0 */
/* Programs: what gets compiled from a model. A program builds small graphs over explicit state; see
 * passes/lower.h for the names that bind them to the slot machine. One file and one row in
 * programs.def each; nothing below this folder knows a program's name. */
#ifndef ADJ_COMPILER_PROGRAMS_H
#define ADJ_COMPILER_PROGRAMS_H

#include "ir/build.h"
#include "passes/lower.h"

typedef struct Model { /* an imported, retyped, simplified network with batch extent b */
    const Graph *g;
    int64_t b;
    DType dtype; /* of pixels and logits */
    Ref x;       /* its image input: [b, C, H, W] */
    Ref logits;  /* its first output */
    bool random; /* it draws random numbers: each evaluation is another */
    int eot;     /* gradients that an attack averages, its default; 0: it takes each as it is */
    const Graph *file; /* as the file has it, for one sample: no node merged with its neighbours */
    const char *layer; /* --layer: an ONNX node, or NULL */
    const char *train; /* --train: parts of a step of training, or NULL */
    Arena *arena;
    struct AdjCompiled *owner;
} Model;

typedef struct ProgramRow {
    const char *name;
    void (*build)(const Model *, ProgramSpec *);
    const char *help;
} ProgramRow;
extern const ProgramRow program_rows[];
extern const int nprogram_rows;
const ProgramRow *program_find(const char *name); /* or NULL */

/* ---- helpers for builders ---- */
/* The model's values as a function of x, in g, by their refs in the model. Its random numbers are
 * those of that draw: i32 [b]. */
Ref *model_copy(Graph *g, const Model *, Ref x, Ref draw);
/* The same; draws are the steps. What `seen` (or NULL) returns for a value takes its place. */
typedef Ref ModelSeen(void *user, Graph *g, Ref value);
const Ref *model_values(Graph *g, const Model *, Ref x, ModelSeen *, void *user);
/* The same; returns the logits. */
Ref model_apply(Graph *g, const Model *, Ref x);
/* The model needs [b, classes] logits; err()s otherwise. Returns classes. */
int64_t model_classes(const Model *);
/* d <out, cot> / d wrt, cot NOREF for ones; err()s with the ONNX node where there is none. */
Ref model_gradient(Graph *, Ref out, Ref cot, Ref wrt);
void spec_input(ProgramSpec *, const char *name, Type with_batch, int alias, const char *help);
/* The model's inputs besides its image, by their names; after everything else is declared. */
void spec_other_inputs(ProgramSpec *, const Model *);
void spec_output(ProgramSpec *, const char *name, Type with_batch, const char *help);
void spec_hyper(ProgramSpec *, const char *name, DType, double value, double lo, double hi,
                const char *help);
const ProgHyper *spec_hyper_find(const ProgramSpec *, const char *name); /* or NULL */
/* After a builder: what it left to a wrapper (EOT, expect.c). */
void program_settle(const Model *, ProgramSpec *);
enum { MOST_EOT = 1 << 16 };
Ref sample_input(Graph *, const char *name, DType, int64_t b); /* [b] */
/* [b] -> [b,1,..] broadcast to type t */
Ref per_sample(Graph *, Ref v, Type t);
Ref to_vector(Graph *, Ref v); /* [b,1,..] -> [b] */

/* Losses, one value a sample: [b,1]. Stable forms, see losses.c. */
Ref loss_cross_entropy(Graph *, Ref logits, Ref label);
Ref loss_label_logit(Graph *, Ref logits, Ref label);
Ref loss_margin(Graph *, Ref logits, Ref label); /* best other logit minus the label's */
Ref loss_dlr(Graph *, Ref logits, Ref label);    /* 3 classes or more */
Ref loss_dlr_targeted(Graph *, Ref logits, Ref label, Ref target); /* 4 or more */
/* i64 [b]: the class with the rank-th largest logit (i32 [b], from 1; ties: lower class first). */
Ref class_of_rank(Graph *, Ref logits, Ref rank);
Ref predicted(Graph *, Ref logits); /* argmax: i64 [b] */
/* i64[b] == argmax(logits): bool [b] */
Ref predicts(Graph *, Ref logits, Ref label);

/* Norms of each sample and what is done with them (norms.c). Numbers a sample are [b]. */
Ref norm_l1(Graph *, Ref v);
Ref norm_l2(Graph *, Ref v);
Ref norm_linf(Graph *, Ref v);
Ref mean_square(Graph *, Ref v);
Ref scaled(Graph *, Ref v, Ref factor); /* v times a number a sample */
Ref ball_l2(Graph *, Ref v, Ref eps);   /* v, shortened to eps where it is longer */
Ref ball_linf(Graph *, Ref v, Ref eps); /* v, each element clipped to [-eps, eps] */
Ref ball_l1(Graph *, Ref v, Ref eps);   /* the nearest point of the L1 ball */
Ref to_pixels(Graph *, Ref v);          /* clipped to [0,1] */
Ref farthest_pixels(Graph *, Ref x);    /* max(x, 1 - x): to the farther wall of the box */

/* Random numbers keyed by the inputs seed and id, and draw (i32[b], below 2^24) (noise.c). Streams
 * below RNG_MODEL: the others are the model's own. */
Ref uniform_image(Graph *, Type image, Ref draw, int stream);   /* in [0, 1) */
Ref uniform_number(Graph *, Type column, Ref draw, int stream); /* the same, one a sample */
Ref noise_uniform(Graph *, Type image, Ref draw, int stream);   /* in [-1, 1) */
Ref noise_gaussian(Graph *, Type image, Ref draw, int stream);  /* mean 0, variance 1 */

#endif

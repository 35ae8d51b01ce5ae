/* SPDX-License-Identifier: Apache-2.0 */
/* What builders of attacks share: the tensors that they all have, their hyperparameters, and when
 * an image counts as fooled. */
#ifndef ADJ_COMPILER_PROGRAMS_ATTACK_H
#define ADJ_COMPILER_PROGRAMS_ATTACK_H

#include "compiler/programs.h"

typedef struct Attack { /* one phase of an attack being built */
    const Model *m;
    const ProgramSpec *s;
    Graph *g;
    Type image, column; /* [b, C, H, W]; [b] of the model's dtype */
} Attack;

/* x, y, and what every attack gives: adv and success. */
void attack_tensors(const Model *, ProgramSpec *, bool start, const char *adv);
/* A step evaluates the model and its gradient once; judging at the end takes so many passes. */
void attack_passes(const Model *, ProgramSpec *, int judge_forwards);
/* A number a sample beside these. */
void attack_number(const Model *, ProgramSpec *, const char *name, DType, const char *help);

/* The graph of a phase ("init", "step", "judge", "finish"), named <program>.<phase>. */
Attack attack_phase(const Model *, ProgramSpec *, Graph **slot, const char *phase);

/* A hyperparameter, [b]; one that this attack does not declare is `otherwise` for all. */
Ref knob(Attack *, const char *name, double otherwise);
bool has_knob(const Attack *, const char *name);
Ref knob_is(Attack *, const char *name, int value); /* bool [b]; undeclared: 0 */

Ref image_in(Attack *, const char *name);   /* x, state.NAME */
Ref column_in(Attack *, const char *name);  /* [b] of the model's dtype */
Ref int_in(Attack *, const char *name);     /* i32 [b]; t and limit count the attack's own steps */
Ref ints(Attack *, int value);              /* i32 [b], all of that value */
Ref number(Attack *, double value);         /* [b] of the model's dtype */
Ref wide_bool(Attack *, Ref flag);          /* bool [b] -> bool [b, C, H, W] */
Ref is_value(Graph *, Ref v, double value); /* v == value */
Ref pick(Attack *, Ref flag, Ref a, Ref b); /* images or numbers, by a flag a sample */

/* bool [b]: the logits name another class than y, or y where `targeted` is 1. */
Ref fooled(Attack *, Ref logits, Ref y);
/* 1, or -1 for what is to be made small: [b] of the model's dtype, by `targeted` and `loss`. */
Ref ascent(Attack *);
/* The gradient in `at` of a loss [b, 1]; under EOT (expect.c) the mean of several. */
Ref attack_gradient(Attack *, Ref loss, Ref at);
/* Declares and evaluates `loss`: 0 cross-entropy, 1 margin, 2 DLR, 3 targeted DLR. */
void spec_loss(const Model *, ProgramSpec *);
Ref chosen_loss(Attack *, Ref logits, Ref y); /* [b, 1] */

/* The nearest image that fools, for attacks that look for it: state.best, and state.size, its
 * distance in the attack's own norm (infinity before there is one). They give adv (the image itself
 * if nothing fools), success and size. */
void nearest_tensors(const Model *, ProgramSpec *, const char *norm);
void nearest_begin(Attack *, Ref x);
/* Takes v if it is ok and nearer; returns the distance of what is kept then. */
Ref nearest_note(Attack *, Ref ok, Ref v, Ref size);
void nearest_finish(Attack *);

/* ---- expectation over transformation (expect.c) ---- */
#define EOT "eot" /* the hyperparameter: gradients a step */
void expect_declare(const Model *, ProgramSpec *);
bool expects(const Attack *);
Ref expect_count(Attack *, Ref passes);  /* steps in so many passes, i32 [b] */
Ref expect_mean(Attack *, Ref gradient); /* of those of this step so far */

/* (1 + cos(pi t / limit)) / 2: from 1 down to 0, [b] of the model's dtype. */
Ref cosine_ramp(Attack *);

#endif

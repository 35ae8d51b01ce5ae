/* SPDX-License-Identifier: Apache-2.0 */
/* A step of training is put together of parts, one of each kind: train_parts.def lists them. What
 * one sample is to the slot machine is one batch here, so tensors carry an axis of extent 1 in
 * front, which batch_in and out add and take off.
 *
 * Without an attack the step is the machine's step. With one, the machine's init and steps are the
 * attack's and its finish is the step of training, so the number of the attack's steps is a number
 * of the call. */
#ifndef ADJ_COMPILER_PROGRAMS_TRAIN_H
#define ADJ_COMPILER_PROGRAMS_TRAIN_H

#include "compiler/programs.h"
#include "compiler/trainable.h"

typedef enum TrainKind {
#define KIND(name, help) KIND_##name,
#define PART(kind, name, builder, help)
#include "compiler/programs/train_parts.def"
#undef KIND
#undef PART
    KINDS
} TrainKind;

typedef struct TrainStep TrainStep;

typedef struct TrainPart {
    TrainKind kind;
    const char *name;
    void (*build)(TrainStep *); /* NULL: there is nothing to build */
    const char *help;
} TrainPart;

struct TrainStep {
    const Model *m;
    const Trainable *t;
    ProgramSpec *s;
    const TrainPart *part[KINDS];
    bool together, attack_by_batch, drops; /* what statistics, attack_norm and depth say */
    /* Of the graph being built: */
    Graph *g;
    Ref clean, x, y;   /* images as given; as attacked; labels, [B] */
    Ref params, stats; /* stats move on with each evaluation by the batch */
    TrainNet net;      /* the evaluation that is penalised and whose logits are told */
    /* What is made small, [1]: this rank's part of it, the sum of which over ranks is the batch's.
     * NOREF: there is no penalty */
    Ref loss, penalty;
    Ref grad, next; /* of loss + penalty in the parameters; parameters after the step; [params] */
    Ref count;      /* steps before this one, [1]; NOREF: nobody has asked */
    int forwards, backwards; /* evaluations and gradients of the batch in this phase */
};

/* "attack=pgd-linf,loss=trades"; NULL: the first of each kind. err()s with --train. */
void train_parts_choose(TrainStep *, const char *text);

/* ---- graphs ---- */

/* A graph that becomes a phase of the machine; x, y, params and stats are read anew. */
void train_phase(TrainStep *, Graph **slot, const char *phase);
/* Logits of images. By the batch: normalisation is of the batch, and the running statistics move;
 * else it is by the running statistics as they are. */
TrainNet train_by_batch(TrainStep *, Ref x);
Ref train_by_running(TrainStep *, Ref x);
/* As an evaluation by the batch moves them; train_by_batch does it once. */
void train_move_statistics(TrainStep *, const TrainNet *);

/* Where ranks go together (statistics=synchronised) their batches are one. Its mean is the sum over
 * ranks of their parts; gradients are taken of parts, since that of a sum over ranks goes back to
 * each rank: d (all ranks' parts) / d what this one has. Elsewhere a part is all there is. */
Ref train_ranks(TrainStep *);           /* how many, [1]; NOREF: each goes by itself */
Ref train_part(TrainStep *, Ref mean);  /* of this rank's images -> its part */
Ref train_whole(TrainStep *, Ref part); /* the sum over ranks */

/* Logits while images are attacked, by what attack_norm says; the end of a step of an attack. */
Ref train_attack_logits(TrainStep *, Ref x);
void train_end_attack(TrainStep *);

/* ---- tensors of the entry ---- */

/* Inputs of a batch, without the axis that counts batches; declared when first asked for. */
Ref train_in(TrainStep *, const char *name, Type, const char *help);
Ref train_vector_in(TrainStep *, const char *name, int64_t n, const char *help);
void train_out(TrainStep *, const char *name, Ref, const char *help); /* in the last phase */
Ref train_knob(TrainStep *, const char *name, double value, double lo, double hi, const char *help);
Ref train_whole_knob(TrainStep *, const char *name, int value, int lo, int hi, const char *help);
/* States of the machine, which an attack's phases share. */
Ref train_state(TrainStep *, const char *name, Type);
void train_put_state(TrainStep *, const char *name, Ref);
/* i32, one number: "t", "limit" */
Ref train_clock(TrainStep *, const char *name);

/* ---- arithmetic ---- */
Ref t_binary(TrainStep *, Op, Ref, Ref);
Ref t_times(TrainStep *, Ref, double);
Ref t_plus(TrainStep *, Ref, double);
Ref t_spread(TrainStep *, Ref number, Type);      /* [1] -> a tensor of that shape, its own dtype */
Ref t_scaled(TrainStep *, Ref, Ref number);       /* times [1] */
Ref t_mix(TrainStep *, Ref a, Ref b, Ref share);  /* share a + (1 - share) b, share [1] */
Ref t_where(TrainStep *, Ref flag, Ref a, Ref b); /* flag: bool [1] */
Ref t_mean(TrainStep *, Ref);                     /* of all elements: [1], a part */
Ref t_sum(TrainStep *, Ref);                      /* of all elements: [1] */
Ref t_class_sum(TrainStep *, Ref scores);         /* [B, K] -> [B, 1] */
Ref t_log_softmax(TrainStep *, Ref logits);
Ref t_joined(TrainStep *, Ref *, int n); /* tensors one behind the other, as a vector */
Ref t_transposed(TrainStep *, Ref matrix);
Type t_image(const TrainStep *);  /* [B, C, H, W] */
Type t_params(const TrainStep *); /* [params] */
/* In [0, 1), by seed, the images' ids and the input `draw`: [B, ..]. */
Ref t_uniform(TrainStep *, Type, int stream);
enum { TRAIN_START, TRAIN_PROJECTION, TRAIN_DEPTH }; /* streams */

/* ---- what parts give each other ---- */
Ref train_grad(TrainStep *);     /* of loss and penalty, all ranks', [params]; also an output */
Ref train_count(TrainStep *);    /* steps before this one, [1] */
Ref train_decays(TrainStep *);   /* weight decay of each parameter, [params] */
Ref train_attacked(TrainStep *); /* bool [B]: the image is attacked */
Ref train_drop(void *step, Graph *, Ref branch, int block); /* stochastic depth */
/* Changes each parameter of rank 2 and up in `next`, as a matrix [rows, rest], rows its first
 * extent. */
typedef Ref MatrixChange(TrainStep *, Ref matrix, void *user);
void train_each_matrix(TrainStep *, MatrixChange *, void *user);

#endif

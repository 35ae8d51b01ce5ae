/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers of models and of programs. A model that draws has three inputs that no file
 * declares, under these names; a program puts the call's seed, the sample's id and a draw of its
 * own in their places (programs/common.c). */
#ifndef ADJ_COMPILER_RANDOM_H
#define ADJ_COMPILER_RANDOM_H

#include "ir/graph.h"

#define RNG_INPUT "rng."
#define RNG_SEED "rng.seed"   /* i64 [] */
#define RNG_ID "rng.id"       /* i64 [b] */
#define RNG_DRAW "rng.draw"   /* i32 [b] */
bool rng_input(const Node *); /* one of these (onnx_random.c) */

enum { RNG_MODEL = 128, RNG_STREAMS = 256 }; /* streams from RNG_MODEL on are the model's */

#endif

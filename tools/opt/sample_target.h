/* SPDX-License-Identifier: Apache-2.0 */
/* Made-up targets, to lower for without any code generator. */
#ifndef ADJ_TOOLS_OPT_SAMPLE_TARGET_H
#define ADJ_TOOLS_OPT_SAMPLE_TARGET_H

#include "ir/target.h"

/* Vectors of 32 bytes; bids for every convolution without groups whose channels come in blocks of
 * that, on blocked layouts with halos and packed weights. It computes with bf16. */
extern const Target sample_claiming;
extern const Target sample_vectors; /* the same without bids */
extern const Target sample_scalar;  /* a thread a point, as on GPUs */

#endif

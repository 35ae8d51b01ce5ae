/* SPDX-License-Identifier: Apache-2.0 */
/* conv and conv_dx of bf16 by matrix tiles: a row of claims.c. */
#ifndef ADJ_TARGETS_CPU_AMXCONV_H
#define ADJ_TARGETS_CPU_AMXCONV_H

#include "targets/llvm/walk.h"

bool amxconv_offer(const Target *, const Contract *, Offer *);
bool amxconv_fit(const Target *, const Contract *, Offer *, char *why);
extern const PlanField amxconv_fields[];
void amxconv_emit(Walk *);
void amxconv_pack(const Target *, const Contract *, const Offer *, const void *dense, void *packed);
int64_t amxconv_pieces(const Kernel *);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU's claims on convolutions (rows of claims.c). Each pair bids for a contract and emits the
 * kernel that accepted the bid; see walk.h. */
#ifndef ADJ_TARGETS_CPU_TAPCONV_H
#define ADJ_TARGETS_CPU_TAPCONV_H

#include "targets/llvm/walk.h"

/* conv and conv_dx whose result channels fill vectors; data blocked, or planar and few channels. */
bool tapconv_offer(const Target *, const Contract *, Offer *);
bool tapconv_fit(const Target *, const Contract *, Offer *, char *why);
extern const PlanField tapconv_fields[];
void tapconv_emit(Walk *);
int64_t tapconv_pieces(const Kernel *);

/* conv and conv_dx of one channel a group, whole vectors of them. */
bool depthwise_offer(const Target *, const Contract *, Offer *);
bool depthwise_fit(const Target *, const Contract *, Offer *, char *why);
extern const PlanField depthwise_fields[];
void depthwise_emit(Walk *);
int64_t depthwise_pieces(const Kernel *);

/* conv_dx with fewer result channels than a vector has lanes: the first layer's. */
bool dxplanar_offer(const Target *, const Contract *, Offer *);
bool dxplanar_fit(const Target *, const Contract *, Offer *, char *why);
extern const PlanField dxplanar_fields[];
void dxplanar_emit(Walk *);
int64_t dxplanar_pieces(const Kernel *);

#endif

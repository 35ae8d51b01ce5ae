/* SPDX-License-Identifier: Apache-2.0 */
/* Which emitters bid for contractions on a CPU. The first row that offers wins, so the order
 * matters only where two rows bid for the same contract; today none do. */
#include "tapconv.h"

#include "targets/llvm/emit.h"

const ClaimRow cpu_claims[] = {
    {"tapconv", tapconv_offer, tapconv_emit},
    {"dxplanar", dxplanar_offer, dxplanar_emit},
};
const int cpu_nclaims = COUNT(cpu_claims);

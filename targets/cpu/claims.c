/* SPDX-License-Identifier: Apache-2.0 */
/* Which emitters bid for contractions on a CPU. The first row that offers wins: matrix
 * tiles, which are several times as fast, then winograd, which leaves to the direct rows what they
 * do better. Rows of one name stand together. */
#include "amxconv.h"
#include "dwconv.h"
#include "tapconv.h"
#include "winodw.h"

#include "targets/llvm/emit.h"

const ClaimRow cpu_claims[] = {
    {"amxconv", amxconv_offer, amxconv_emit, amxconv_pack, NULL, amxconv_pieces, amxconv_fit,
     amxconv_fields, false, "amx-tile,amx-bf16", false},
    {"winograd", winograd_offer, winograd_emit, winograd_pack, winograd_transform, winograd_pieces,
     winograd_fit, winograd_fields, false, NULL, false},
    {"winograd", winodw_offer, winodw_emit, NULL, NULL, winodw_pieces, winodw_fit, winodw_fields,
     true, NULL, true},
    {"tapconv", tapconv_offer, tapconv_emit, NULL, NULL, tapconv_pieces, tapconv_fit,
     tapconv_fields, false, NULL, false},
    {"depthwise", depthwise_offer, depthwise_emit, NULL, NULL, depthwise_pieces, depthwise_fit,
     depthwise_fields, false, NULL, false},
    {"dxplanar", dxplanar_offer, dxplanar_emit, NULL, NULL, dxplanar_pieces, dxplanar_fit,
     dxplanar_fields, false, NULL, false},
    {"dwconv", dwconv_offer, dwconv_emit, NULL, NULL, dwconv_pieces, dwconv_fit, dwconv_fields,
     true, NULL, false},
};
const int cpu_nclaims = COUNT(cpu_claims);

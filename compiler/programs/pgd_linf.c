/* SPDX-License-Identifier: Apache-2.0 */
/* pgd-linf, bim: projected gradient descent in the Linf ball (Madry, Makelov, Schmidt, Tsipras,
 * Vladu 2018, section 2.1): steps along the sign of the gradient, from a uniform random start. BIM
 * (Kurakin, Goodfellow, Bengio 2017, section 2.2) is the same from the image itself. The recurrence
 * is bounded.c's. */
#include "compiler/programs/bounded.h"

void program_pgd_linf(const Model *m, ProgramSpec *s)
{
    static const Bounded how = {.eps = 8.0 / 255, .step = 2.0 / 255, .random = true};
    bounded_build(m, s, &how);
}

void program_bim(const Model *m, ProgramSpec *s)
{
    static const Bounded how = {.eps = 8.0 / 255, .step = 2.0 / 255};
    bounded_build(m, s, &how);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* pgd-l1: projected gradient descent in the L1 ball: steps along the gradient, of a given L1
 * length; the projection is the Euclidean one (Duchi et al. 2008), where foolbox and ART shorten
 * the perturbation instead. The random start is a Gaussian direction of L1 length eps. The
 * recurrence is bounded.c's. */
#include "compiler/programs/bounded.h"

void program_pgd_l1(const Model *m, ProgramSpec *s)
{
    static const Bounded how = {.ball = BALL_L1, .eps = 12, .step = 3, .random = true};
    bounded_build(m, s, &how);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* pgd-l2: projected gradient descent in the L2 ball (Madry et al. 2018, section 2.1 and appendix,
 * and the code of MadryLab/robustness): steps of a fixed L2 length; the perturbation is shortened
 * to the radius first, then clipped to the box. The random start is a Gaussian direction of length
 * eps, on the sphere, as there. The recurrence is bounded.c's. */
#include "compiler/programs/bounded.h"

void program_pgd_l2(const Model *m, ProgramSpec *s)
{
    static const Bounded how = {.ball = BALL_L2, .eps = 0.5, .step = 0.125, .random = true};
    bounded_build(m, s, &how);
}

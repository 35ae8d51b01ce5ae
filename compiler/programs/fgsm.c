/* SPDX-License-Identifier: Apache-2.0 */
/* fgsm: the fast gradient sign method (Goodfellow, Shlens, Szegedy 2015, section 4),
 *
 *   adv = clip(x + s * eps * sign(d L(f(x), y) / dx), 0, 1)
 *
 * fgm-l2: the same with g / (||g||_2 + 1e-10) for sign(g), eps being an L2 length. Both are one
 * step of bounded.c from the image; the call's number of steps counts only if it is 0. */
#include "compiler/programs/bounded.h"

void program_fgsm(const Model *m, ProgramSpec *s)
{
    static const Bounded how = {.once = true, .eps = 8.0 / 255};
    bounded_build(m, s, &how);
}

void program_fgm_l2(const Model *m, ProgramSpec *s)
{
    static const Bounded how = {.once = true, .ball = BALL_L2, .eps = 0.5};
    bounded_build(m, s, &how);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* mi-fgsm: the momentum iterative method (Dong, Liao, Pang, Su, Zhu, Hu, Li 2018, algorithm 1),
 *
 *   m_{k+1} = mu m_k + g_k / ||g_k||_1
 *   x_{k+1} = project(x_k + s * step * sign(m_{k+1}))
 *
 * from the image or a given start; a gradient of zero adds nothing. The rest is bounded.c's. */
#include "compiler/programs/bounded.h"

void program_mi_fgsm(const Model *m, ProgramSpec *s)
{
    static const Bounded how = {.momentum = true, .eps = 8.0 / 255, .step = 2.0 / 255};
    bounded_build(m, s, &how);
}

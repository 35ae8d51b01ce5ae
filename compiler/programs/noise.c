/* SPDX-License-Identifier: Apache-2.0 */
/* Random images. */
#include "compiler/programs.h"

Ref uniform_image(Graph *g, Type image, Ref draw, int stream)
{
    Ref seed = b_input(g, "seed", type_scalar(DT_I64));
    Ref id = sample_input(g, "id", DT_I64, image.dim[0]);
    return b_rng(g, seed, id, draw, image, stream);
}

Ref uniform_number(Graph *g, Type column, Ref draw, int stream)
{
    Type one = column;
    one.dim[one.rank++] = 1;
    return to_vector(g, uniform_image(g, one, draw, stream));
}

Ref noise_uniform(Graph *g, Type image, Ref draw, int stream)
{
    Ref u = uniform_image(g, image, draw, stream);
    Ref twice = b_binary(g, OP_add, u, u), one = b_like(g, u, 1);
    return b_binary(g, OP_sub, twice, one);
}

Ref noise_gaussian(Graph *g, Type image, Ref draw, int stream)
{
    return b_normal(g, uniform_image(g, image, draw, stream));
}

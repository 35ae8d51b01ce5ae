/* SPDX-License-Identifier: Apache-2.0 */
/* square-linf: query 0 is x plus vertical stripes of +eps or -eps, a sign for each channel and
 * column. A candidate adds +2 eps or -2 eps, a sign a channel, inside a window of side 1 or more;
 * it is clipped to the ball, then to [0,1]. Streams: 0 stripes, 1 corner, 2 signs. */
#include "compiler/programs/square.h"

static Ref within(Attack *a, Ref v)
{
    Graph *g = a->g;
    Ref x = image_in(a, "x"), wide = per_sample(g, knob(a, "eps", 0), a->image);
    Ref low = b_binary(g, OP_sub, x, wide), high = b_binary(g, OP_add, x, wide);
    return to_pixels(g, b_clip(g, v, low, high));
}

/* eps times `times` or its negative for each uniform, spread over the image */
static Ref signs(Attack *a, Ref u, double times)
{
    Graph *g = a->g;
    Ref sign = b_binary(g, OP_mul, square_sign(a, u), b_like(g, u, times));
    Ref wide = b_broadcast(g, sign, 4, a->image.dim);
    return scaled(g, wide, knob(a, "eps", 0));
}

static Ref stripes(Attack *a)
{
    int64_t line[] = {a->image.dim[1], 1, a->image.dim[3]};
    Ref u = square_draw(a, 3, line, ints(a, 0), 0);
    return within(a, b_binary(a->g, OP_add, image_in(a, "x"), signs(a, u, 1)));
}

static Ref candidate(Attack *a)
{
    Graph *g = a->g;
    Ref t = int_in(a, "t"), side = square_side(a, 1, false);
    Ref u = square_draw(a, 1, (int64_t[]){2}, t, 1);
    Ref row = to_vector(g, b_slice_axis(g, u, 1, 0, 1, 1));
    Ref col = to_vector(g, b_slice_axis(g, u, 1, 1, 1, 1));
    Ref down = square_past(a, 2, row, side), right = square_past(a, 3, col, side);
    Ref window = b_broadcast(g, square_inside(a, down, right, side), 4, a->image.dim);
    Ref change = signs(a, square_draw(a, 3, (int64_t[]){a->image.dim[1], 1, 1}, t, 2), 2);
    change = b_select(g, window, change, b_like(g, change, 0));
    return within(a, b_binary(g, OP_add, image_in(a, "state.x"), change));
}

void program_square_linf(const Model *m, ProgramSpec *s)
{
    square_build(m, s, &(Square){8.0 / 255, 1, stripes, candidate});
}

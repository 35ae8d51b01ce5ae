/* SPDX-License-Identifier: Apache-2.0 */
/* Each picture is scaled by its own largest value: only signs and places compare between them. */
#include <math.h>

#include "tools/explain.h"

static uint8_t byte(double v)
{
    return (uint8_t)lrint(255 * (v < 0 ? 0 : v > 1 ? 1 : v));
}

void draw_image(const double *x, int64_t channels, int64_t pixels, uint8_t *rgb)
{
    for (int64_t p = 0; p < pixels; p++)
        for (int c = 0; c < 3; c++) *rgb++ = byte(x[(channels == 3 ? c : 0) * pixels + p]);
}

double draw_difference(const double *x, const double *v, int64_t channels, int64_t pixels,
                       uint8_t *rgb)
{
    double most = 0;
    for (int64_t i = 0; i < channels * pixels; i++) most = fmax(most, fabs(v[i] - x[i]));
    double by = most > 0 ? 0.5 / most : 1;
    for (int64_t p = 0; p < pixels; p++)
        for (int c = 0; c < 3; c++) {
            int64_t i = (channels == 3 ? c : 0) * pixels + p;
            *rgb++ = byte(0.5 + by * (v[i] - x[i]));
        }
    return by;
}

void draw_map(const double *map, int64_t pixels, uint8_t *rgb)
{
    double most = 0;
    for (int64_t p = 0; p < pixels; p++) most = fmax(most, fabs(map[p]));
    for (int64_t p = 0; p < pixels; p++, rgb += 3) {
        double v = most > 0 ? map[p] / most : 0;
        rgb[0] = byte(v < 0 ? 1 + v : 1);
        rgb[1] = byte(1 - fabs(v));
        rgb[2] = byte(v > 0 ? 1 - v : 1);
    }
}

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

/* Linear between the middles of cells; beyond the outer ones, the outer cell. */
static double between(const double *map, int64_t h, int64_t w, double y, double x)
{
    y = fmin(fmax(y, 0), (double)(h - 1));
    x = fmin(fmax(x, 0), (double)(w - 1));
    int64_t r = (int64_t)y, c = (int64_t)x, r2 = r + 1 < h ? r + 1 : r, c2 = c + 1 < w ? c + 1 : c;
    double fy = y - (double)r, fx = x - (double)c;
    double top = map[r * w + c] + fx * (map[r * w + c2] - map[r * w + c]);
    double low = map[r2 * w + c] + fx * (map[r2 * w + c2] - map[r2 * w + c]);
    return top + fy * (low - top);
}

void draw_places(const double *map, int64_t h, int64_t w, int64_t height, int64_t width,
                 uint8_t *rgb)
{
    double most = 0;
    for (int64_t i = 0; i < h * w; i++) most = fmax(most, map[i]);
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++, rgb += 3) {
            double at_y = ((double)y + 0.5) * (double)h / (double)height - 0.5;
            double at_x = ((double)x + 0.5) * (double)w / (double)width - 0.5;
            double v = most > 0 ? between(map, h, w, at_y, at_x) / most : 0;
            double grey = (rgb[0] + rgb[1] + rgb[2]) / 765.0 * 0.4;
            rgb[0] = byte(grey + 0.6);
            rgb[1] = rgb[2] = byte(grey + 0.6 * (1 - v));
        }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Weights are integers of 22 bits after the point, so that sums are exact and equal everywhere. */
#include "resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { POINT = 22 };

/* What one output pixel reads along an axis: `n` pixels from `first`. */
typedef struct {
    int64_t first, n;
    const int32_t *weight;
} Tap;

typedef struct {
    int64_t n; /* output pixels */
    Tap *tap;
    int32_t *weights;
} Taps;

static void taps_free(Taps *t)
{
    free(t->tap);
    free(t->weights);
}

static double triangle(double x)
{
    return fabs(x) < 1 ? 1 - fabs(x) : 0;
}

/* The filter around the centre of output pixel i, normalised before it is rounded. */
static void fill_tap(Tap *t, int32_t *weight, double *w, int64_t i, int64_t in, double step)
{
    double reach = step > 1 ? step : 1, centre = ((double)i + 0.5) * step, sum = 0;
    int64_t lo = (int64_t)(centre - reach + 0.5), hi = (int64_t)(centre + reach + 0.5);
    if (centre - reach + 0.5 < 0) lo = 0;
    if (hi > in) hi = in;
    for (int64_t k = 0; k < hi - lo; k++) {
        w[k] = triangle(((double)(k + lo) - centre + 0.5) * (1 / reach));
        sum += w[k];
    }
    for (int64_t k = 0; k < hi - lo; k++)
        weight[k] = (int32_t)(0.5 + (sum != 0 ? w[k] / sum : w[k]) * (1 << POINT));
    *t = (Tap){lo, hi - lo, weight};
}

static bool taps_of(Taps *t, int64_t in, int64_t out)
{
    double step = (double)in / (double)out, reach = step > 1 ? step : 1;
    size_t most = (size_t)ceil(reach) * 2 + 1;
    double *w = calloc(most, sizeof *w);
    *t = (Taps){.n = out};
    t->tap = calloc((size_t)out, sizeof *t->tap);
    t->weights = calloc((size_t)out, most * sizeof *t->weights);
    bool ok = w && t->tap && t->weights;
    for (int64_t i = 0; i < out && ok; i++)
        fill_tap(&t->tap[i], t->weights + (size_t)i * most, w, i, in, step);
    free(w);
    return ok;
}

/* Along one axis: pixels of that axis lie `stride` bytes apart. */
static uint8_t weigh(const Tap *t, const uint8_t *in, size_t stride)
{
    int64_t sum = (int64_t)1 << (POINT - 1);
    for (int64_t k = 0; k < t->n; k++)
        sum += (int64_t)in[(size_t)(t->first + k) * stride] * t->weight[k];
    sum >>= POINT;
    return sum > 255 ? 255 : (uint8_t)sum;
}

static void along_rows(const Taps *t, const uint8_t *in, ImageSize from, uint8_t *out)
{
    size_t c = (size_t)from.channels, row = (size_t)from.width * c;
    for (int64_t y = 0; y < from.height; y++, in += row)
        for (int64_t x = 0; x < t->n; x++)
            for (size_t k = 0; k < c; k++) *out++ = weigh(&t->tap[x], in + k, c);
}

static void along_columns(const Taps *t, const uint8_t *in, size_t row, uint8_t *out)
{
    for (int64_t y = 0; y < t->n; y++)
        for (size_t x = 0; x < row; x++) *out++ = weigh(&t->tap[y], in + x, row);
}

bool resize_bilinear(const char *path, const uint8_t *in, ImageSize from, uint8_t *out,
                     ImageSize to, DataError *e)
{
    Taps x = {0}, y = {0};
    size_t row = (size_t)to.width * (size_t)from.channels;
    uint8_t *narrow = malloc((size_t)from.height * row);
    bool ok = narrow && taps_of(&x, from.width, to.width) && taps_of(&y, from.height, to.height);
    if (ok) {
        along_rows(&x, in, from, narrow);
        along_columns(&y, narrow, row, out);
    }
    taps_free(&x);
    taps_free(&y);
    free(narrow);
    return ok || data_fail(e, "%s: out of memory for resizing it", path);
}

ImageSize resize_shorter(ImageSize from, int64_t shorter)
{
    ImageSize to = {shorter, shorter, from.channels};
    if (from.height > from.width)
        to.height = (int64_t)((double)(shorter * from.height) / (double)from.width);
    else
        to.width = (int64_t)((double)(shorter * from.width) / (double)from.height);
    return to;
}

static int64_t margin(int64_t extent, int64_t crop)
{
    int64_t d = extent - crop, half = d / 2;
    return d % 2 ? half + half % 2 : half;
}

void crop_centre(const uint8_t *in, ImageSize from, int64_t crop, uint8_t *out)
{
    size_t c = (size_t)from.channels, row = (size_t)crop * c;
    int64_t top = margin(from.height, crop), left = margin(from.width, crop);
    for (int64_t y = 0; y < crop; y++, out += row)
        memcpy(out, in + (size_t)((top + y) * from.width + left) * c, row);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* test_explain CLASS SHEET.png...: maps of the linear network of make_bad, whose logit j has the
 * derivative (3 i + j) / 64 in pixel i of 4 x 4. On constant pixels each method gives a multiple of
 * it, so each sheet has the same map beside the image: red by (3 i + j) / (45 + j). Places are
 * those of tools/sheet.c: pictures of 128 x 128, 12 apart, 34 below the top. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/data/data.h"

enum { SIDE = 4, BY = 32, LEFT = 12 + 140, TOP = 34, WIDTH = 12 + 2 * 140 };

static int failures, passes;

static void verdict(bool good, const char *path, const char *what, int i)
{
    if (good)
        passes++;
    else
        printf("FAIL %s: %s %d\n", path, what, i), failures++;
}

static void check_map(const char *path, const float *sheet, int class)
{
    for (int i = 0; i < SIDE * SIDE; i++) {
        int y = TOP + i / SIDE * BY + BY / 2, x = LEFT + i % SIDE * BY + BY / 2;
        const float *rgb = sheet + ((size_t)y * WIDTH + (size_t)x) * 3;
        double pale = 1 - (3.0 * i + class) / (45.0 + class);
        bool good = rgb[0] == 1 && fabs(rgb[1] - pale) < 0.003 && fabs(rgb[2] - pale) < 0.003;
        verdict(good, path, "pixel", i);
    }
}

static void check_sheet(const char *path, int class)
{
    DataError e;
    int64_t shape[DATA_MAX_RANK];
    Data *d = data_open(path, NULL, &e);
    bool fits = d && data_shape(d, shape) == 3 && shape[0] >= TOP + SIDE * BY &&
                shape[1] == WIDTH && shape[2] == 3;
    verdict(fits, path, "is no such sheet, as of class", class);
    float *sheet = fits ? malloc(sizeof *sheet * (size_t)(shape[0] * shape[1] * 3)) : NULL;
    if (sheet && data_read_f32(d, 0, 1, sheet, &e)) check_map(path, sheet, class);
    free(sheet);
    data_close(d);
}

int main(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) check_sheet(argv[i], atoi(argv[1]));
    printf("explain: %d passed, %d failed\n", passes, failures);
    return failures || passes != (argc - 2) * 17;
}

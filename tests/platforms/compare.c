/* SPDX-License-Identifier: Apache-2.0 */
/* compare A B TOLERANCE: two files of floats, |a - b| <= tolerance * max(|a|) */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static float *read_all(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    float *v = malloc(64 << 20);
    if (!f || !v) exit(2);
    *n = fread(v, sizeof *v, (64 << 20) / sizeof *v, f);
    fclose(f);
    return v;
}

int main(int argc, char **argv)
{
    size_t na, nb, i, differ = 0;
    double most = 0, worst = 0;
    float *a, *b;
    if (argc != 4) return 2;
    a = read_all(argv[1], &na);
    b = read_all(argv[2], &nb);
    for (i = 0; i < na && i < nb; i++) {
        double d = fabs((double)a[i] - b[i]);
        if (fabs(a[i]) > most) most = fabs(a[i]);
        if (!(d <= worst)) worst = d;
        differ += d != 0;
    }
    printf("%zu values, %zu differ, most %.3g of %.3g\n", na, differ, worst, most);
    free(a);
    free(b);
    return na != nb || !na || !(worst <= atof(argv[3]) * most);
}

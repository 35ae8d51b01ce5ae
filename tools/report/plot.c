/* SPDX-License-Identifier: Apache-2.0 */
/* Plots as plain SVG. Colours and sizes of text are the style sheet's: it knows light, dark and
 * phones. Coordinates are in units of the view box. */
#include <math.h>
#include <stdlib.h>

#include "tools/report/report.h"

double plot_x(const Frame *p, double v)
{
    return p->left + (p->right - p->left) * (p->most > 0 ? v / p->most : 0);
}

double plot_y(const Frame *p, double share)
{
    return p->bottom - (p->bottom - p->top) * share;
}

/* 1, 2 or 5 times a power of ten, so that at most `ticks` of them reach `most`. */
static double tick_step(double most, int ticks)
{
    static const double steps[] = {1, 2, 5, 10};
    if (!(most > 0)) return 1;
    double base = pow(10, floor(log10(most / ticks)));
    for (int i = 0; i < 4; i++)
        if (most / (base * steps[i]) <= ticks) return base * steps[i];
    return base * 10;
}

static void put_x_axis(FILE *f, const Frame *p, int ticks)
{
    double step = tick_step(p->most, ticks);
    for (int i = 0; i * step <= p->most * 1.0001; i++) {
        double x = plot_x(p, i * step);
        fprintf(f, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>", x, p->top, p->bottom);
        fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" dy=\"1.35em\" text-anchor=\"middle\">%.4g</text>\n",
                x, p->bottom, i * step);
    }
}

static void put_y_axis(FILE *f, const Frame *p)
{
    for (int i = 0; i <= 4; i++) {
        double y = plot_y(p, i / 4.0);
        fprintf(f, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>", p->left, y, p->right);
        fprintf(f,
                "<text x=\"%.1f\" y=\"%.1f\" dx=\"-.5em\" dy=\".35em\" "
                "text-anchor=\"end\">%d%%</text>\n",
                p->left, y, 25 * i);
    }
}

void plot_axes(FILE *f, const Frame *p, int ticks)
{
    put_x_axis(f, p, ticks);
    put_y_axis(f, p);
}

/* ---- accuracy over size ---- */

/* The step function; steps narrower than can be seen are drawn together. */
static void put_curve(FILE *f, const Frame *p, const Run *r)
{
    double drawn = plot_x(p, 0);
    fprintf(f, "<path class=\"curve k%d d%d\" d=\"M%.1f %.1f", r->colour % 8, r->colour % 3, drawn,
            plot_y(p, 1));
    for (int64_t i = 0; i < r->n; i++) {
        double x = plot_x(p, r->size[i]);
        bool last = i + 1 == r->n, more = !last && plot_x(p, r->size[i + 1]) < drawn + 0.5;
        if (more || (!last && r->size[i + 1] == r->size[i])) continue;
        fprintf(f, "H%.1fV%.1f", x, plot_y(p, 1 - (double)(i + 1) / (double)r->n));
        drawn = x;
    }
    fputs("\"><title>", f);
    put_text(f, run_network(r));
    fputs("</title></path>\n", f);
}

/* The share that guessing gets right, where runs agree in it. */
static void put_chance(FILE *f, const Frame *p, const Report *r)
{
    double chance = NAN;
    for (int i = 0; i < r->n; i++) {
        double v = run_number(&r->run[i], "results", "chance");
        if (r->run[i].kind != RUN_ARA || isnan(v)) continue;
        if (!isnan(chance) && chance != v) return;
        chance = v;
    }
    if (isnan(chance)) return;
    double y = plot_y(p, chance);
    fprintf(f, "<path class=\"chance\" d=\"M%.1f %.1fH%.1f\"/>", p->left, y, p->right);
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" dx=\".5em\" dy=\"-.4em\">chance</text>\n", p->left, y);
}

void plot_curves(FILE *f, const Report *r)
{
    Frame p = {104, 700, 14, 332, 0};
    for (int i = 0; i < r->n; i++)
        if (r->run[i].kind == RUN_ARA && r->run[i].n)
            p.most = fmax(p.most, r->run[i].size[r->run[i].n - 1]);
    fputs("<svg viewBox=\"0 0 720 404\" role=\"img\" aria-label=\"Accuracy over the size of the "
          "perturbation allowed, a falling curve for each of:",
          f);
    for (int i = 0, k = 0; i < r->n; i++) {
        if (r->run[i].kind != RUN_ARA) continue;
        fputs(k++ ? ", " : " ", f);
        put_text(f, run_network(&r->run[i]));
    }
    fputs("\">\n", f);
    plot_axes(f, &p, 6);
    put_chance(f, &p, r);
    for (int i = 0; i < r->n; i++)
        if (r->run[i].kind == RUN_ARA) put_curve(f, &p, &r->run[i]);
    fprintf(f,
            "<text x=\"%.1f\" y=\"396\" text-anchor=\"middle\">RMSE of the perturbation</text>\n",
            (p.left + p.right) / 2);
    fputs("</svg>\n", f);
}

/* ---- histograms ---- */

enum { BINS = 24 };

static int64_t count_bins(const Run *r, double most, int64_t *bin)
{
    int64_t tallest = 1;
    for (int i = 0; i < BINS; i++) bin[i] = 0;
    for (int64_t i = 0; i < r->n; i++) {
        int at = most > 0 ? (int)(r->size[i] / most * BINS) : 0;
        bin[at < BINS ? at : BINS - 1]++;
    }
    for (int i = 0; i < BINS; i++)
        if (bin[i] > tallest) tallest = bin[i];
    return tallest;
}

static void put_bars(FILE *f, const Frame *p, const int64_t *bin, int64_t tallest)
{
    double wide = (p->right - p->left) / BINS;
    for (int i = 0; i < BINS; i++) {
        double high = (p->bottom - p->top) * (double)bin[i] / (double)tallest;
        if (!bin[i]) continue;
        fprintf(f,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%lld images, "
                "%.4g to %.4g</title></rect>\n",
                p->left + wide * i + 0.5, p->bottom - high, wide - 1, high, (long long)bin[i],
                p->most * i / BINS, p->most * (i + 1) / BINS);
    }
}

void plot_histogram(FILE *f, const Run *r)
{
    int64_t bin[BINS];
    Frame p = {8, 352, 8, 150, r->size[r->n - 1]};
    int64_t tallest = count_bins(r, p.most, bin);
    double median = plot_x(&p, r->size[(r->n - 1) / 2]);
    fputs("<svg viewBox=\"0 0 360 186\" role=\"img\" aria-label=\"Histogram of RMSE for ", f);
    put_text(f, run_network(r));
    fprintf(f, ": median %.4g, largest %.4g\">\n", r->size[(r->n - 1) / 2], p.most);
    fprintf(f, "<g class=\"bars k%d\">\n", r->colour % 8);
    put_bars(f, &p, bin, tallest);
    fputs("</g>\n", f);
    fprintf(f, "<path class=\"axis\" d=\"M%.1f %.1fH%.1f\"/>", p.left, p.bottom, p.right);
    fprintf(f, "<path class=\"median\" d=\"M%.1f %.1fV%.1f\"/>", median, p.top - 6, p.bottom);
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" dy=\"1.35em\">0</text>", p.left, p.bottom);
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" dy=\"1.35em\" text-anchor=\"end\">%.4g</text>\n",
            p.right, p.bottom, p.most);
    fputs("</svg>\n", f);
}

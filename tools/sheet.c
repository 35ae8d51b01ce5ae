/* SPDX-License-Identifier: Apache-2.0 */
/* Cairo draws, the writer of PNG files writes. Pictures are magnified by a whole factor, each pixel
 * a square: an explanation must not be smoothed by its display. */
#include "tools/sheet.h"

#include <cairo.h>
#include <stdlib.h>
#include <string.h>

#include "tools/data/png_write.h"
#include "tools/say.h"

enum { LEAST_SIDE = 128, GAP = 12, LINE = 15, TITLE = 34, FONT = 12, MOST = 16000 };

int sheet_new(Sheet *s, int64_t height, int64_t width, int rows, int columns)
{
    *s = (Sheet){.height = height, .width = width, .rows = rows, .columns = columns};
    s->cell = calloc((size_t)rows * (size_t)columns, sizeof *s->cell);
    return s->cell ? 0 : fail_input("no memory for a sheet");
}

void sheet_free(Sheet *s)
{
    for (int i = 0; s->cell && i < s->rows * s->columns; i++) free(s->cell[i].rgb);
    free(s->cell);
    *s = (Sheet){0};
}

SheetCell *sheet_cell(const Sheet *s, int row, int column)
{
    return &s->cell[row * s->columns + column];
}

uint8_t *sheet_picture(const Sheet *s, int row, int column)
{
    SheetCell *c = sheet_cell(s, row, column);
    c->rgb = malloc((size_t)(s->height * s->width) * 3);
    if (!c->rgb) fail_input("no memory for a picture");
    return c->rgb;
}

/* ---- measures ---- */

static int64_t factor(const Sheet *s)
{
    int64_t side = s->height > s->width ? s->height : s->width;
    return side >= LEAST_SIDE ? 1 : (LEAST_SIDE + side - 1) / side;
}

static int64_t cell_width(const Sheet *s)
{
    int64_t w = s->width * factor(s);
    return (w > LEAST_SIDE ? w : LEAST_SIDE) + GAP;
}

static int64_t cell_height(const Sheet *s)
{
    return s->height * factor(s) + 3 * LINE + GAP;
}

/* ---- drawing ---- */

static cairo_surface_t *picture_surface(const Sheet *s, const uint8_t *rgb)
{
    cairo_surface_t *to =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)s->width, (int)s->height);
    if (cairo_surface_status(to)) return to;
    unsigned char *data = cairo_image_surface_get_data(to);
    size_t stride = (size_t)cairo_image_surface_get_stride(to);
    for (int64_t y = 0; y < s->height; y++)
        for (int64_t x = 0; x < s->width; x++, rgb += 3) {
            uint32_t v = (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
            memcpy(data + (size_t)y * stride + (size_t)x * 4, &v, 4);
        }
    cairo_surface_mark_dirty(to);
    return to;
}

static void draw_text(cairo_t *c, double x, double y, const char *text)
{
    cairo_move_to(c, x, y);
    cairo_show_text(c, text);
}

static void draw_picture(cairo_t *c, const Sheet *s, double x, double y, const uint8_t *rgb)
{
    double by = (double)factor(s);
    cairo_surface_t *picture = picture_surface(s, rgb);
    cairo_save(c);
    cairo_translate(c, x, y);
    cairo_scale(c, by, by);
    cairo_set_source_surface(c, picture, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(c), CAIRO_FILTER_NEAREST);
    cairo_rectangle(c, 0, 0, (double)s->width, (double)s->height);
    cairo_fill(c);
    cairo_restore(c);
    cairo_surface_destroy(picture);
}

static void draw_cell(cairo_t *c, const Sheet *s, int row, int column)
{
    const SheetCell *cell = sheet_cell(s, row, column);
    double x = (double)(GAP + column * cell_width(s));
    double y = (double)(TITLE + row * cell_height(s));
    if (cell->rgb) draw_picture(c, s, x, y, cell->rgb);
    y += (double)(s->height * factor(s));
    for (int i = 0; i < 3; i++) draw_text(c, x, y + (i + 1) * LINE - 2, cell->caption[i]);
}

static void draw(cairo_t *c, const Sheet *s)
{
    cairo_set_source_rgb(c, 1, 1, 1);
    cairo_paint(c);
    cairo_set_source_rgb(c, 0, 0, 0);
    cairo_select_font_face(c, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c, FONT);
    draw_text(c, GAP, LINE + 4, s->title);
    for (int row = 0; row < s->rows; row++)
        for (int column = 0; column < s->columns; column++) draw_cell(c, s, row, column);
}

/* ---- writing ---- */

/* RGB bytes of a surface; NULL without memory. */
static uint8_t *surface_rgb(cairo_surface_t *from, int64_t height, int64_t width)
{
    const unsigned char *data = cairo_image_surface_get_data(from);
    size_t stride = (size_t)cairo_image_surface_get_stride(from);
    uint8_t *rgb = malloc((size_t)(height * width) * 3), *to = rgb;
    for (int64_t y = 0; rgb && y < height; y++)
        for (int64_t x = 0; x < width; x++, to += 3) {
            uint32_t v;
            memcpy(&v, data + (size_t)y * stride + (size_t)x * 4, 4);
            to[0] = (uint8_t)(v >> 16);
            to[1] = (uint8_t)(v >> 8);
            to[2] = (uint8_t)v;
        }
    return rgb;
}

static int write_surface(const char *path, cairo_surface_t *from, int64_t height, int64_t width)
{
    DataError e;
    cairo_surface_flush(from);
    uint8_t *rgb = surface_rgb(from, height, width);
    if (!rgb) return fail_input("%s: no memory for a sheet", path);
    bool ok = png_write(path, height, width, 3, rgb, &e);
    free(rgb);
    return ok ? 0 : fail_input("%s", e.msg);
}

int sheet_write(const char *path, const Sheet *s)
{
    int64_t width = GAP + s->columns * cell_width(s), height = TITLE + s->rows * cell_height(s);
    if (width > MOST || height > MOST)
        return fail_input("%s: would be %lld by %lld pixels, more than %d; try fewer images", path,
                          (long long)width, (long long)height, MOST);
    cairo_surface_t *surface =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width, (int)height);
    cairo_t *c = cairo_create(surface);
    draw(c, s);
    cairo_status_t status = cairo_status(c);
    int e = status ? fail_input("%s: cannot be drawn: %s", path, cairo_status_to_string(status))
                   : write_surface(path, surface, height, width);
    cairo_destroy(c);
    cairo_surface_destroy(surface);
    return e;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A sheet of captioned pictures in rows and columns, as one PNG. */
#ifndef ADJ_TOOLS_SHEET_H
#define ADJ_TOOLS_SHEET_H

#include <stdint.h>

typedef struct SheetCell {
    uint8_t *rgb; /* [height][width][3]; NULL: only the caption */
    char caption[3][40];
} SheetCell;

typedef struct Sheet {
    int64_t height, width; /* of every picture, in its own pixels; small ones are magnified */
    int rows, columns;
    SheetCell *cell; /* [rows][columns] */
    char title[256];
} Sheet;

/* Both return an exit status, 0 if fine. Cells are empty at first. */
int sheet_new(Sheet *, int64_t height, int64_t width, int rows, int columns);
int sheet_write(const char *path, const Sheet *);
void sheet_free(Sheet *);

SheetCell *sheet_cell(const Sheet *, int row, int column);
/* Memory for the cell's picture; NULL, after a message, if there is none. */
uint8_t *sheet_picture(const Sheet *, int row, int column);

#endif

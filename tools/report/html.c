/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of HTML. Text of a user's, a file's name above all, is escaped everywhere. */
#include <math.h>
#include <string.h>

#include "tools/report/report.h"

/* Bytes of the UTF-8 character at s; 0: none begins there. */
static size_t character(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t n = *p < 0x80 ? 1 : *p >> 5 == 6 ? 2 : *p >> 4 == 14 ? 3 : *p >> 3 == 30 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if (p[i] >> 6 != 2) return 0;
    return *p < 0x20 || *p == 0x7f || *p == 0xc0 || *p == 0xc1 ? 0 : n;
}

void put_text(FILE *f, const char *s)
{
    static const char marks[] = "&<>\"'";
    static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    while (*s) {
        const char *mark = strchr(marks, *s);
        size_t n = character(s);
        if (mark)
            fputs(names[mark - marks], f);
        else if (n)
            fwrite(s, 1, n, f);
        else
            fputc('?', f);
        s += n ? n : 1;
    }
}

void put_number(FILE *f, double v)
{
    if (!isfinite(v))
        fputs("–", f);
    else if (v == floor(v) && fabs(v) < 1e15)
        fprintf(f, "%.0f", v);
    else if (fabs(v) < 10 && fabs(v) >= 1e-4)
        fprintf(f, "%.*f", fabs(v) >= 0.1 ? 3 : fabs(v) >= 0.01 ? 4 : 5, v);
    else
        fprintf(f, "%.4g", v);
}

void put_percent(FILE *f, double share)
{
    if (isfinite(share))
        fprintf(f, "%.1f&nbsp;%%", 100 * share);
    else
        fputs("–", f);
}

void put_base64(FILE *f, const uint8_t *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
                     (i + 2 < n ? p[i + 2] : 0);
        char out[4] = {digits[v >> 18], digits[v >> 12 & 63], digits[v >> 6 & 63], digits[v & 63]};
        if (i + 2 >= n) out[3] = '=';
        if (i + 1 >= n) out[2] = '=';
        fwrite(out, 1, 4, f);
    }
}

void put_cell(FILE *f, const char *label, const char *text)
{
    fprintf(f, "<td data-l=\"%s\">", label);
    put_text(f, text);
    fputs("</td>", f);
}

void put_number_cell(FILE *f, const char *label, double v, bool percent)
{
    fprintf(f, "<td class=\"n\" data-l=\"%s\">", label);
    if (percent)
        put_percent(f, v);
    else
        put_number(f, v);
    fputs("</td>", f);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf written by hand, for models that no exporter would make. */
#ifndef ADJ_TESTS_PROTO_H
#define ADJ_TESTS_PROTO_H

#include <string.h>

typedef struct Proto {
    unsigned char p[4096];
    size_t n;
} Proto;

static inline void byte(Proto *b, unsigned v)
{
    b->p[b->n++] = (unsigned char)v;
}

static inline void number_field(Proto *b, unsigned field, unsigned v)
{
    byte(b, field << 3);
    byte(b, v); /* below 128 */
}

static inline void bytes_field(Proto *b, unsigned field, const void *p, size_t n)
{
    byte(b, field << 3 | 2);
    byte(b, (unsigned)(n & 127) | 128);
    byte(b, (unsigned)(n >> 7));
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static inline void text_field(Proto *b, unsigned field, const char *text)
{
    bytes_field(b, field, text, strlen(text));
}

static inline void nest(Proto *b, unsigned field, const Proto *inner)
{
    bytes_field(b, field, inner->p, inner->n);
}

/* float x[1,4] */
static inline Proto value_info(const char *name)
{
    Proto one = {.n = 0}, four = {.n = 0}, shape = {.n = 0}, tensor = {.n = 0}, type = {.n = 0};
    Proto info = {.n = 0};
    number_field(&one, 1, 1);
    number_field(&four, 1, 4);
    nest(&shape, 1, &one);
    nest(&shape, 1, &four);
    number_field(&tensor, 1, 1);
    nest(&tensor, 2, &shape);
    nest(&type, 1, &tensor);
    text_field(&info, 1, name);
    nest(&info, 2, &type);
    return info;
}

#endif

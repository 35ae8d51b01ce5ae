/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers on the command line: "0.031", "8/255", lists "0.485,0.456,0.406".
 *
 * `text` NULL means that the option was not given: *out stays as it is. Each function returns 0, or
 * STATUS_USAGE after a line that names the option. */
#ifndef ADJ_TOOLS_NUMBERS_H
#define ADJ_TOOLS_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

/* A decimal number or a fraction of two, with nothing around it; false if it is not, or not finite.
 * */
bool number_parse(const char *text, double *out);
bool integer_parse(const char *text, int64_t *out);

int option_number(const char *option, const char *text, double lo, double hi, double *out);
int option_integer(const char *option, const char *text, int64_t lo, int64_t hi, int64_t *out);
/* At most `most` numbers; *count of them were read. */
int option_numbers(const char *option, const char *text, int most, double *out, int *count);
/* The index of text in a list of words that ends in NULL. */
int option_word(const char *option, const char *text, const char *const *words, int *out);

#endif

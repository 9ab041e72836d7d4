/* SPDX-License-Identifier: Apache-2.0 */
/* words.h -- a table of words and how often each was seen, and its form as bytes. */
#ifndef WORDS_H
#define WORDS_H

#include <stddef.h>
#include <stdint.h>

struct words;
struct words *words_create(void);
void words_destroy(struct words *w);
void words_count_text(struct words *w, const char *text, size_t size);  /* a word: letters, digits, '_' */
/* The table as bytes, in no order. The result is the caller's to free. */
char *words_pack(const struct words *w, size_t *ret_size);
void words_add_packed(struct words *w, const char *packed, size_t size);
int words_equal(const struct words *a, const struct words *b);
size_t words_different(const struct words *w);
uint64_t words_total(const struct words *w);

#endif

/* Words as numbers: each word of a set gets a number of its own, from 1. */
#ifndef FLOTILLA_SERVER_STATE_ROLLOUTS_WORDS_H
#define FLOTILLA_SERVER_STATE_ROLLOUTS_WORDS_H

#include <flotilla/base.h>

struct flo_word_set {
    char **words;
    size_t count, room;
    uint32_t *table; /* numbers by hash; a power of two; 0: free */
    size_t table_size;
};
/* Zeros are an empty set. */
void flo_word_set_clear(struct flo_word_set *set);
/* The word's number, a new one for a new word; 0 without memory. */
uint32_t flo_word_number(struct flo_word_set *set, const char *word);

#endif

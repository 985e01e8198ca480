/* Words: maps strings to numbers; each string of a set gets its own number,
 * from 1. */
#ifndef FLOTILLA_SERVER_STATE_ROLLOUTS_WORDS_H
#define FLOTILLA_SERVER_STATE_ROLLOUTS_WORDS_H

#include <flotilla/base.h>

struct flo_word_set {
    char **words;
    size_t count, room;
    /* hash table of the words' numbers, 0 where free; its size is a power of
     * two */
    uint32_t *table;
    size_t table_size;
};
/* Empties the set; a zero-initialised set is empty. */
void flo_word_set_clear(struct flo_word_set *set);
/* Returns the word's number.  A word that is not in the set is added.  Returns
 * 0 without memory. */
uint32_t flo_word_number(struct flo_word_set *set, const char *word);

#endif

/* Words: maps strings to numbers by a hash table. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/rollouts/words.h"

void flo_word_set_clear(struct flo_word_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        free(set->words[i]);
    }
    free(set->words);
    free(set->table);
    *set = (struct flo_word_set){0};
}

/* FNV-1a. */
static size_t hash_of(const char *word)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (; *word != '\0'; word++) {
        hash = (hash ^ (unsigned char)*word) * UINT64_C(1099511628211);
    }
    return (size_t)(hash ^ hash >> 32);
}

/* Returns the entry of a word in the hash table, or the unused entry for it. */
static uint32_t *place_of(const struct flo_word_set *set, const char *word)
{
    size_t at = hash_of(word) & (set->table_size - 1);

    while (set->table[at] != 0 && strcmp(set->words[set->table[at] - 1], word) != 0) {
        at = (at + 1) & (set->table_size - 1);
    }
    return &set->table[at];
}

static bool grow(struct flo_word_set *set)
{
    size_t room = set->room == 0 ? 32 : 2 * set->room;
    char **words = realloc(set->words, room * sizeof(*words));
    uint32_t *table = calloc(2 * room, sizeof(*table));

    if (words != NULL) {
        set->words = words;
    }
    if (words == NULL || table == NULL) {
        free(table);
        return false;
    }
    free(set->table);
    set->table = table;
    set->table_size = 2 * room;
    set->room = room;
    for (size_t i = 0; i < set->count; i++) {
        *place_of(set, set->words[i]) = (uint32_t)i + 1;
    }
    return true;
}

uint32_t flo_word_number(struct flo_word_set *set, const char *word)
{
    if (set->count == set->room && !grow(set)) {
        return 0;
    }
    uint32_t *place = place_of(set, word);
    if (*place == 0) {
        char *copy = strdup(word);
        if (copy == NULL) {
            return 0;
        }
        set->words[set->count++] = copy;
        *place = (uint32_t)set->count;
    }
    return *place;
}

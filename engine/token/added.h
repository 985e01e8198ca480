/* Added: finds tokens that a text spells, as tokenizer.json files mean it: from
 * left to right, the longest of those that begin at a place. */
#ifndef FLOTILLA_ENGINE_ADDED_H
#define FLOTILLA_ENGINE_ADDED_H

#include <flotilla/base.h>

struct flo_vocab;
struct flo_vocab_token;

struct flo_added_item {
    const char *text; /* borrowed, or in `texts` */
    uint32_t bytes;
    int32_t id;
};
/* Tokens sorted by their text.  Zero-initialise. */
struct flo_added {
    struct flo_added_item *items;
    uint32_t count;
    uint32_t firsts[257]; /* where the tokens of each first byte begin */
    char *texts;          /* owned */
};
/* Sorts the items. */
void flo_added_sort(struct flo_added *added);
void flo_added_close(struct flo_added *added);

/* Where a cut asks and writes. */
struct flo_added_cut {
    const struct flo_vocab *vocab;
    void *context;
    /* Tells whether the token may be taken at this place of the text. */
    bool (*is_allowed)(void *context, const struct flo_vocab_token *token, size_t at, size_t bytes);
    /* Takes a token, or text between tokens (id -1), which may be empty. */
    void (*put)(void *context, size_t start, size_t end, int32_t id);
};
/* Cuts the range of a text at its tokens.  Blanks that a token swallows are
 * left out, and a token of single words is left where a word goes on. */
void flo_added_run(const struct flo_added *added, const struct flo_added_cut *cut, const char *text,
                   size_t start, size_t end);

#endif

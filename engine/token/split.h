/* Split: pre-tokenizers, which split a text into words that BPE merges do not
 * cross.
 *
 * Each is a published regular expression, as a list of alternatives in split.c.
 * Text is valid UTF-8. */
#ifndef FLOTILLA_ENGINE_SPLIT_H
#define FLOTILLA_ENGINE_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

struct flo_split_expression;

/* A pre-tokenizer: the expressions for some names of `tokenizer.ggml.pre`. */
struct flo_split_kind {
    /* Each expression splits the pieces that the ones before produced. */
    const struct flo_split_expression *expressions;
    size_t expression_count;
    bool prefers_whole;    /* a word that is a token itself is not merged from bytes */
    bool adds_bos;         /* default if the metadata does not say */
    const char *names[12]; /* names of the pre-tokenizer; NULL after the last */
};
/* Finds a pre-tokenizer by name; NULL: unknown.  *found is the name as a static
 * string. */
const struct flo_split_kind *flo_split_find(const char *name, size_t bytes, const char **found);

#define FLO_SPLIT_EXPRESSIONS_MAX 6

struct flo_split {
    const struct flo_split_kind *kind;
    const char *text;
    size_t bytes;
    size_t position;
    /* End of each expression's current piece, so that a text is read a fixed
     * number of times. */
    size_t ends[FLO_SPLIT_EXPRESSIONS_MAX];
};
void flo_split_init(struct flo_split *split, const struct flo_split_kind *kind, const char *text,
                    size_t bytes);
/* Gives the next word; false at the end. */
bool flo_split_next(struct flo_split *split, const char **word, size_t *word_bytes);

#endif

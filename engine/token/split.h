/* Pre-tokenizers: cut a text into words that BPE merges may not cross.
 *
 * Each is a published regular expression, as a list of alternatives in
 * split.c.  Text is valid UTF-8. */
#ifndef FLOTILLA_ENGINE_SPLIT_H
#define FLOTILLA_ENGINE_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

struct flo_split_expression;

/* Expressions that some names of `tokenizer.ggml.pre` stand for. */
struct flo_split_kind {
    /* Each cuts the pieces that those before it left. */
    const struct flo_split_expression *expressions;
    size_t expression_count;
    bool prefers_whole;    /* a word that is a token is not merged from bytes */
    bool adds_bos;         /* when the metadata does not say */
    const char *names[12]; /* NULL after the last */
};
/* NULL when there is none of that name, which *found gives for ever. */
const struct flo_split_kind *flo_split_find(const char *name, size_t bytes, const char **found);

#define FLO_SPLIT_EXPRESSIONS_MAX 6

struct flo_split {
    const struct flo_split_kind *kind;
    const char *text;
    size_t bytes;
    size_t position;
    /* The end of each expression's present piece, so that a text is read a
     * fixed number of times. */
    size_t ends[FLO_SPLIT_EXPRESSIONS_MAX];
};
void flo_split_init(struct flo_split *split, const struct flo_split_kind *kind, const char *text,
                    size_t bytes);
/* The next word; false at the end. */
bool flo_split_next(struct flo_split *split, const char **word, size_t *word_bytes);

#endif

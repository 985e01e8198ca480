/* Split: pre-tokenizers, which split a text into words that BPE merges do not
 * cross.
 *
 * Each is a published regular expression, whose alternatives are listed in
 * split.c.  Texts must be valid UTF-8. */
#ifndef FLOTILLA_ENGINE_SPLIT_H
#define FLOTILLA_ENGINE_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

struct flo_split_expression;

/* A pre-tokenizer: its expressions, and its names in `tokenizer.ggml.pre`. */
struct flo_split_kind {
    /* regular expressions; each splits the pieces that the one before made */
    const struct flo_split_expression *expressions;
    size_t expression_count;
    bool prefers_whole;    /* a word that is a token is not built by merging its bytes */
    bool adds_bos;         /* a text gets the begin token, unless the model's file decides */
    const char *names[12]; /* names of the pre-tokenizer; NULL after the last */
};
/* Returns the pre-tokenizer of this name, or NULL if it is unknown.  *found is
 * its name as a static string. */
const struct flo_split_kind *flo_split_find(const char *name, size_t bytes, const char **found);

#define FLO_SPLIT_EXPRESSIONS_MAX 6

struct flo_split {
    const struct flo_split_kind *kind;
    const char *text;
    size_t bytes;
    size_t position;
    /* End of the current piece of each expression, so that a text is read only
     * a fixed number of times. */
    size_t ends[FLO_SPLIT_EXPRESSIONS_MAX];
};
void flo_split_init(struct flo_split *split, const struct flo_split_kind *kind, const char *text,
                    size_t bytes);
/* Gives the next word of the text.  Returns false at the text's end. */
bool flo_split_next(struct flo_split *split, const char **word, size_t *word_bytes);

#endif

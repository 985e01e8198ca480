/* Split: pre-tokenizers, which split a text into words that BPE merges do not
 * cross.
 *
 * Each is a list of regular expressions; every one splits the pieces that the
 * one before made.  Matches are pieces, and so is the text between them.  Known
 * pre-tokenizers have names (split.def); a file may bring its own expressions.
 * Texts must be valid UTF-8. */
#ifndef FLOTILLA_ENGINE_SPLIT_H
#define FLOTILLA_ENGINE_SPLIT_H

#include "engine/token/expression/expression.h"

#define FLO_SPLIT_EXPRESSIONS_MAX 8

/* A pre-tokenizer that has a name in `tokenizer.ggml.pre`. */
struct flo_split_kind {
    /* regular expressions; NULL after the last */
    const char *expressions[FLO_SPLIT_EXPRESSIONS_MAX];
    bool prefers_whole;    /* a word that is a token is not built by merging its bytes */
    bool adds_bos;         /* a text gets the begin token, unless the model's file decides */
    bool adds_separator;   /* a second text comes after the separator, likewise */
    bool composes;         /* texts get normalization form C before they are split */
    bool is_raw;           /* tokens are text as it is, with U+2581 for blanks */
    const char *names[20]; /* names of the pre-tokenizer; NULL after the last */
};
/* Returns the pre-tokenizer of this name, or NULL if it is unknown.  *found is
 * its name as a static string. */
const struct flo_split_kind *flo_split_find(const char *name, size_t bytes, const char **found);

/* Expressions of a pre-tokenizer, ready to use.  Zero-initialise. */
struct flo_splitter {
    struct flo_expression *expressions[FLO_SPLIT_EXPRESSIONS_MAX];
    size_t count; /* 0: texts are not split */
};
/* Compiles one more expression.  FLO_E_GGUF_VOCAB for more than
 * FLO_SPLIT_EXPRESSIONS_MAX; else the errors of flo_expression_open(). */
FLO_MUST_USE int flo_splitter_add(struct flo_splitter *splitter, const char *text, size_t bytes,
                                  struct flo_err *err);
/* Compiles all expressions of a kind. */
FLO_MUST_USE int flo_splitter_open(struct flo_splitter *splitter, const struct flo_split_kind *kind,
                                   struct flo_err *err);
void flo_splitter_close(struct flo_splitter *splitter);

struct flo_split {
    const struct flo_splitter *splitter;
    const char *text;
    size_t bytes;
    size_t position;
    /* End of the current piece of each expression, so that a text is read only
     * a fixed number of times. */
    size_t ends[FLO_SPLIT_EXPRESSIONS_MAX];
    struct flo_expression_memo memos[FLO_SPLIT_EXPRESSIONS_MAX];
    bool failed; /* there was no memory */
};
/* The caller ends the split with flo_split_deinit(). */
void flo_split_init(struct flo_split *split, const struct flo_splitter *splitter, const char *text,
                    size_t bytes);
/* Gives the next word of the text.  Returns false at the text's end, and if
 * split->failed. */
bool flo_split_next(struct flo_split *split, const char **word, size_t *word_bytes);
void flo_split_deinit(struct flo_split *split);

#endif

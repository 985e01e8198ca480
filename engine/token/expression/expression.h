/* Expression: regular expressions that split texts, compiled to automatons.
 *
 * The syntax is the part of Oniguruma's that tokenizer.json files use: classes
 * with \p{...}, ranges, nesting and &&, groups, (?i:...), alternatives, greedy,
 * lazy and (where giving back changes nothing) possessive quantifiers,
 * lookahead at one character, and $ for a line's end.  The first
 * alternative that matches counts, as in backtracking engines.
 *
 * An automaton reads each character once for a match.  So matching takes linear
 * time, whatever the expression, and memory in a fixed ratio to the text.
 *
 * An expression that begins with (?#bytes) reads bytes as the printable
 * characters that represent them in byte-level BPE. */
#ifndef FLOTILLA_ENGINE_EXPRESSION_H
#define FLOTILLA_ENGINE_EXPRESSION_H

#include <flotilla/base.h>

#define FLO_EXPRESSION_TEXT_BYTES_MAX 4096u
/* Most bytes of memory of a compiled expression. */
#define FLO_EXPRESSION_BYTES_MAX (256u << 10)

struct flo_expression;

/* Compiles an expression, whose text may be freed afterwards.
 *
 * FLO_E_NOT_BUILT    a construct is not supported
 * FLO_E_GGUF_VOCAB   the text is no regular expression, or needs an automaton
 *                    that is too large
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_expression_open(const char *text, size_t bytes, struct flo_expression **out,
                                     struct flo_err *err);
void flo_expression_close(struct flo_expression *expression); /* NULL is fine */

/* Facts about one piece of text that later searches in it can use.
 * Zero-initialise; one for each expression and text. */
struct flo_expression_memo {
    size_t from, end;       /* the piece */
    uint8_t *failures;      /* bits of places and states from which no match ends */
    size_t bytes, capacity; /* size of `failures`; 0 bytes: none are known yet */
    /* the run of digits that was cut last, and how many they are */
    size_t run_from, run_end, run_count;
    bool failed; /* there was no memory */
};
void flo_expression_memo_deinit(struct flo_expression_memo *memo);

/* Finds the end of the piece that begins at `from` in the text's first `end`
 * bytes, which are valid UTF-8.  If a match begins there, the piece is the
 * match.  Otherwise the piece ends where the next match begins, or at `end`.
 * Returns `end` if memo->failed. */
size_t flo_expression_piece(const struct flo_expression *expression, const char *text, size_t from,
                            size_t end, struct flo_expression_memo *memo);
/* Does the same, and tells whether the piece is a match. */
size_t flo_expression_next(const struct flo_expression *expression, const char *text, size_t from,
                           size_t end, struct flo_expression_memo *memo, bool *is_match);
/* Tells whether the expression has matches, and does not only cut. */
bool flo_expression_matches(const struct flo_expression *expression);

#endif

/* Flotilla grammar: answers that keep a form.
 *
 * A grammar is a GBNF text, a JSON Schema or "any JSON object", compiled for
 * one engine's vocabulary.  It follows one answer.  It gives the tokens that
 * must come next; these need no sampling and are computed in one decode.  It
 * lets a sampler choose only among tokens that fit.
 *
 *     flo_grammar_forced()   after the prompt and after every sampled token
 *     flo_session_decode()   the sampled and the forced tokens together
 *     flo_grammar_sample()   the next token, unless flo_grammar_is_done()
 *
 * Threads: one grammar belongs to one thread at a time; any thread may open
 * one.  Errors as in <flotilla/engine.h>. */
#ifndef FLOTILLA_GRAMMAR_H
#define FLOTILLA_GRAMMAR_H

#include <flotilla/engine.h>

enum flo_grammar_kind {
    FLO_GRAMMAR_NONE,
    FLO_GRAMMAR_GBNF,   /* text: rules, `root` is the answer */
    FLO_GRAMMAR_SCHEMA, /* text: a JSON Schema (2020-12, a part of it) */
    FLO_GRAMMAR_JSON,   /* no text: any JSON object */
};

#define FLO_GRAMMAR_TEXT_BYTES_MAX (1u << 18)
#define FLO_GRAMMAR_FORCED_MAX 128 /* tokens of one flo_grammar_forced() */

struct flo_grammar;

/* Compile the text, which may go away afterwards.  The first grammar of an
 * engine sorts its vocabulary (10 ms for 49,000 tokens).  All memory that an
 * answer will need is taken here and is in the engine's plan.
 *
 * Objects of a schema are written as `{"a": 1, "b": [2, 3]}`, properties in
 * the schema's order; a property that is not required may be left out.  A
 * demand of a schema that cannot be promised is refused, with its JSON
 * pointer.  Annotations are passed over.
 *
 * FLO_E_INFER_SCHEMA   not a grammar, a schema that cannot be kept, left
 *                      recursion, more rules than there is room for
 * FLO_E_GGUF_VOCAB, ... the model's vocabulary is not readable
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_grammar_open(const struct flo_engine *engine, enum flo_grammar_kind kind,
                                  const char *text, size_t bytes, struct flo_grammar **grammar,
                                  struct flo_err *err);
/* A grammar of the calls that a model may answer with, in the form of its own
 * chat template (docs/internals/engine.md).  Text and thoughts may come before
 * them, which it lets pass; from the first byte of a call on it is the call's
 * name, and arguments by that tool's parameters.  Behind the last call the
 * answer ends.
 *
 * FLO_E_INFER_SCHEMA names the tool whose parameters cannot be kept,
 * FLO_E_INFER_PARAM a tool that is none. */
struct flo_tool_rules {
    const char *tools; /* a JSON list as in OpenAI's API */
    size_t tools_bytes;
    const char *name;  /* the one that is to be called; */
    size_t name_bytes; /* 0: any of them */
    bool is_required;  /* a call comes, with nothing but a thought before it */
    bool is_one;       /* at most one call */
    bool in_thought;   /* the prompt ends within a thought */
    /* A JSON Schema: text that is no call keeps it, in place of calls.  Then
     * nothing but a thought comes before either.  NULL: any text. */
    const char *answer;
    size_t answer_bytes;
};
FLO_MUST_USE int flo_grammar_open_tools(const struct flo_engine *engine,
                                        const struct flo_tool_rules *rules,
                                        struct flo_grammar **grammar, struct flo_err *err);
void flo_grammar_close(struct flo_grammar *grammar); /* NULL is fine */
/* Begin another answer. */
void flo_grammar_reset(struct flo_grammar *grammar);

/* Write the tokens that must come next, in the model's own tokenisation of
 * their text.  Returns their number: at most `tokens_max`, 0 when there is a
 * choice.  They count as accepted. */
size_t flo_grammar_forced(struct flo_grammar *grammar, int32_t *tokens, size_t tokens_max);

/* The answer may have so many tokens more.  It keeps as many as it needs to
 * come to an end: where the model would not leave them, the shortest end comes
 * (flo_grammar_is_cut).  Nothing is kept before the first call, nor where even
 * the shortest answer is longer.  FLO_E_MEMORY at the first call. */
FLO_MUST_USE int flo_grammar_limit(struct flo_grammar *grammar, size_t tokens_left,
                                   struct flo_err *err);
/* Is its end one for want of tokens? */
bool flo_grammar_is_cut(const struct flo_grammar *grammar);

/* Choose among the tokens that the grammar allows.  Grammar and sampler accept
 * the chosen token.  End tokens are allowed where the answer may end.
 *
 * FLO_E_INFER_SCHEMA  no token of this vocabulary fits, or the grammar has
 *                     more readings at this place than are followed */
FLO_MUST_USE int flo_grammar_sample(struct flo_grammar *grammar, struct flo_sampler *sampler,
                                    const float *logits, struct flo_sample *sample,
                                    struct flo_err *err);
/* Is the answer whole, so that nothing can follow? */
bool flo_grammar_is_done(const struct flo_grammar *grammar);

#endif

/* Flotilla grammar: restricts answers to a given form.
 *
 * A grammar is a GBNF text, a JSON Schema or "any JSON object", compiled for
 * one engine's vocabulary.  It tracks one answer.  It returns the tokens that
 * must come next; these need no sampling and are computed in one decode.
 * Otherwise it lets a sampler choose only among tokens that fit.
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
    FLO_GRAMMAR_GBNF,   /* the text has GBNF rules, of which `root` is the whole answer */
    FLO_GRAMMAR_SCHEMA, /* the text is a JSON Schema (a subset of 2020-12) */
    FLO_GRAMMAR_JSON,   /* the text is unused; the answer is any JSON object */
};

#define FLO_GRAMMAR_TEXT_BYTES_MAX (1u << 18)
/* largest number of tokens from one flo_grammar_forced() call */
#define FLO_GRAMMAR_FORCED_MAX 128

struct flo_grammar;

/* Compiles the text, which may be freed afterwards.  The first grammar of an
 * engine sorts its vocabulary (10 ms for 49,000 tokens).  All memory that an
 * answer will need is allocated here and is part of the engine's plan.
 *
 * Objects of a schema are written as `{"a": 1, "b": [2, 3]}`, with properties
 * in the schema's order.  A property that is not required may be left out.  A
 * constraint that cannot be enforced is refused, and the error has its JSON
 * pointer.  Annotations are ignored.
 *
 * FLO_E_INFER_SCHEMA     the text is no grammar, the schema is not supported, a
 *                        rule is left recursive, or there are too many rules
 * FLO_E_GGUF_VOCAB, ...  the model's vocabulary is not readable
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_grammar_open(const struct flo_engine *engine, enum flo_grammar_kind kind,
                                  const char *text, size_t bytes, struct flo_grammar **grammar,
                                  struct flo_err *err);
/* Settings of a grammar for tool calls.  The calls have the form of the model's
 * own chat template (docs/internals/engine.md).  Text and thoughts before a
 * call are not restricted.  From the first byte of a call on, the grammar
 * enforces a tool's name and arguments that match that tool's parameters.  The
 * answer ends after the last call.
 *
 * FLO_E_INFER_SCHEMA names the tool whose parameters are unsupported,
 * FLO_E_INFER_PARAM an invalid tool. */
struct flo_tool_rules {
    const char *tools; /* list of the tools as JSON, as in OpenAI's API */
    size_t tools_bytes;
    const char *name;  /* name of the tool that must be called */
    size_t name_bytes; /* 0: any tool */
    bool is_required;  /* a call is required; only a thought may precede it */
    bool is_one;       /* the answer may have at most one call */
    bool in_thought;   /* the prompt ends inside a thought */
    /* A JSON Schema that an answer without a call must match.  Only a thought
     * may then come before the answer or a call.  NULL: any text. */
    const char *answer;
    size_t answer_bytes;
};
FLO_MUST_USE int flo_grammar_open_tools(const struct flo_engine *engine,
                                        const struct flo_tool_rules *rules,
                                        struct flo_grammar **grammar, struct flo_err *err);
void flo_grammar_close(struct flo_grammar *grammar); /* NULL is fine */
/* Restarts the grammar for another answer. */
void flo_grammar_reset(struct flo_grammar *grammar);

/* Writes the tokens that must come next, in the model's own tokenisation of
 * their text, and accepts them.  Returns their number, at most `tokens_max`; 0
 * if more than one token may come next. */
size_t flo_grammar_forced(struct flo_grammar *grammar, int32_t *tokens, size_t tokens_max);

/* Tells the grammar how many tokens the answer may still have.  The grammar
 * reserves those needed to reach a valid end.  When the model would use them
 * up, the grammar takes the shortest end instead (flo_grammar_is_cut).  There
 * is no limit before the first call, and none if even the shortest answer is
 * longer than it.  Only the first call returns FLO_E_MEMORY. */
FLO_MUST_USE int flo_grammar_limit(struct flo_grammar *grammar, size_t tokens_left,
                                   struct flo_err *err);
/* Tells whether the grammar ended the answer early for lack of tokens. */
bool flo_grammar_is_cut(const struct flo_grammar *grammar);

/* Chooses among the tokens that the grammar allows.  Grammar and sampler accept
 * the chosen token.  End tokens are allowed if the answer may end.
 *
 * FLO_E_INFER_SCHEMA  no token of this vocabulary fits, or the grammar has more
 *                     readings at this place than its limit */
FLO_MUST_USE int flo_grammar_sample(struct flo_grammar *grammar, struct flo_sampler *sampler,
                                    const float *logits, struct flo_sample *sample,
                                    struct flo_err *err);
/* Tells whether the answer is complete, so that nothing can follow. */
bool flo_grammar_is_done(const struct flo_grammar *grammar);

#endif

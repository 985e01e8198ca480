/* Flotilla engine, backends: the runtimes that compute a model.  Tokens in,
 * logits out.
 *
 * A backend is one table of functions.  `native` is this engine.  Another
 * backend (a vendor's runtime, a wrapper of another library) fills the same
 * table; commands and tests need not know which one they use.  One opened
 * model is one timeline of tokens.  It belongs to its opener until close.
 *
 * Threads: distinct models are independent; one model is used by one thread
 * at a time.
 *
 * Errors: 0 or a negative FLO_E_...; `err` may be NULL.  After an error the
 * model holds the same tokens as before the call (its logits may be gone) and
 * can still be used. */
#ifndef FLOTILLA_BACKEND_H
#define FLOTILLA_BACKEND_H

#include <flotilla/engine.h>

struct flo_backend_model; /* opened; each backend has its own */

/* All zero is a good default.  A backend refuses an option that it does not
 * support with FLO_E_USAGE. */
struct flo_backend_options {
    struct flo_engine_options engine; /* sessions is 0 or 1 */
    const char *adapter;              /* a LoRA's file, or NULL */
    float adapter_scale;
};

struct flo_backend_stats {
    uint32_t position;          /* tokens that the model holds */
    struct flo_timings timings; /* sums since open */
};

struct flo_backend {
    const char *name;

    /* Load a model file; errors as flo_engine_open() and, for the adapter,
     * flo_adapter_open(). */
    int (*open)(const char *path, const struct flo_backend_options *options,
                struct flo_backend_model **model, struct flo_err *err);
    /* Facts of the model; borrowed until close.  n_vocab, context, threads and
     * kernel are always there; an unknown field is 0 or empty. */
    const struct flo_engine_info *(*info)(const struct flo_backend_model *model);
    /* Reads and writes the model's text; borrowed until close.  NULL: this
     * backend knows ids only. */
    struct flo_engine *(*text)(const struct flo_backend_model *model);

    /* Append `count` tokens together.  Without `row`, logits() gives those of
     * the last token.  With it, `row` gets the logits of each token in turn,
     * and logits() has none.
     *
     * FLO_E_INFER_TOO_LONG   the context has no room for them
     * FLO_E_INFER_PARAM      a token is outside the vocabulary, count is 0
     * other                  the result of `row`, when that was not 0 */
    int (*prefill)(struct flo_backend_model *model, const int32_t *tokens, size_t count,
                   flo_logits_fn *row, void *context, struct flo_err *err);
    /* Append one token; logits() gives its logits.  Errors as prefill. */
    int (*decode)(struct flo_backend_model *model, int32_t token, struct flo_err *err);
    /* n_vocab values after the last token, borrowed until the next call for
     * this model; NULL: there are none.  NaN stays NaN. */
    const float *(*logits)(const struct flo_backend_model *model);
    /* Forget the tokens from `position` on, and the logits.  A position beyond
     * the present one changes nothing. */
    void (*reset)(struct flo_backend_model *model, uint32_t position);
    void (*stats)(const struct flo_backend_model *model, struct flo_backend_stats *stats);
    /* NULL is fine. */
    void (*close)(struct flo_backend_model *model);
};

/* This engine: <flotilla/engine.h> with one session.  A prefill has the same
 * bits as its tokens one by one. */
extern const struct flo_backend flo_backend_native;
/* The session of a native model, for calls that only this engine has.  It
 * belongs to the model; do not close it. */
struct flo_session *flo_backend_native_session(const struct flo_backend_model *model);

/* Find a backend by its name; NULL: native.  FLO_E_USAGE names all backends. */
FLO_MUST_USE int flo_backend_find(const char *name, const struct flo_backend **backend,
                                  struct flo_err *err);

#endif

/* Flotilla engine, backends: the runtimes that compute a model.  Tokens in,
 * logits out.
 *
 * A backend is a table of functions.  `native` is this engine.  Another backend
 * (a vendor's runtime, a wrapper of another library) fills the same table;
 * commands and tests are the same for all.  An opened model holds one sequence
 * of tokens and belongs to its opener until close.
 *
 * Threads: distinct models are independent; one model is used by one thread at
 * a time.
 *
 * Errors: 0 or a negative FLO_E_...; `err` may be NULL.  After an error the
 * model holds the same tokens as before the call (its logits may be lost) and
 * can still be used. */
#ifndef FLOTILLA_BACKEND_H
#define FLOTILLA_BACKEND_H

#include <flotilla/engine.h>

struct flo_backend_model; /* an opened model; each backend defines its own */

/* All zero is a good default.  A backend refuses an option that it does not
 * support with FLO_E_USAGE. */
struct flo_backend_options {
    struct flo_engine_options engine; /* sessions must be 0 or 1 */
    const char *adapter;              /* file of a LoRA adapter, or NULL */
    float adapter_scale;
};

struct flo_backend_stats {
    uint32_t position;          /* number of tokens that the model holds */
    struct flo_timings timings; /* totals since open */
};

struct flo_backend {
    const char *name;

    /* Loads a model file; errors as of flo_engine_open() and, for the adapter,
     * flo_adapter_open(). */
    int (*open)(const char *path, const struct flo_backend_options *options,
                struct flo_backend_model **model, struct flo_err *err);
    /* Facts of the model; borrowed until close.  n_vocab, context, threads and
     * kernel are always set; an unknown field is 0 or empty. */
    const struct flo_engine_info *(*info)(const struct flo_backend_model *model);
    /* Returns an engine that tokenises for the model; borrowed until close.
     * NULL: this backend knows token ids only. */
    struct flo_engine *(*text)(const struct flo_backend_model *model);

    /* Appends `count` tokens in one pass.  With `row` NULL, logits() then gives
     * those of the last token.  Otherwise `row` gets the logits of each token
     * in order, and logits() gives NULL.
     *
     * FLO_E_INFER_TOO_LONG the tokens exceed the context
     *     FLO_E_INFER_PARAM     a token is outside the vocabulary, or count is 0
     *     other                 the nonzero result of `row` */
    int (*prefill)(struct flo_backend_model *model, const int32_t *tokens, size_t count,
                   flo_logits_fn *row, void *context, struct flo_err *err);
    /* Appends one token; logits() then gives its logits.  Errors as of
     * prefill. */
    int (*decode)(struct flo_backend_model *model, int32_t token, struct flo_err *err);
    /* Returns the n_vocab logits after the last token, borrowed until the next
     * call for this model; NULL: there are none.  NaN stays NaN. */
    const float *(*logits)(const struct flo_backend_model *model);
    /* Drops the tokens from `position` on, and the logits.  A position beyond
     * the present one changes nothing. */
    void (*reset)(struct flo_backend_model *model, uint32_t position);
    void (*stats)(const struct flo_backend_model *model, struct flo_backend_stats *stats);
    /* NULL is fine. */
    void (*close)(struct flo_backend_model *model);
};

/* <flotilla/engine.h> with one session; options.engine.compute says who computes.
 * With our own kernels a prefill gives the same bits as decoding its tokens one
 * by one. */
extern const struct flo_backend flo_backend_native;
/* Returns a native model's session, for calls that only this engine has.  The
 * session belongs to the model; do not close it. */
struct flo_session *flo_backend_native_session(const struct flo_backend_model *model);

#endif

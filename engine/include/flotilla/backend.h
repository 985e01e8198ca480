/* Flotilla engine, backends: the runtimes that compute a model.  They get
 * tokens and return logits.
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

struct flo_backend_model; /* An opened model.  Each backend defines its own struct. */

/* All zero is a good default.  A backend refuses an option that it does not
 * support with FLO_E_USAGE. */
struct flo_backend_options {
    struct flo_engine_options engine; /* `engine.sessions` must be 0 or 1 */
    const char *adapter;              /* file of a LoRA adapter, or NULL */
    float adapter_scale;
    int model_fd; /* descriptor of the model, used instead of its path; 0: none */
};

struct flo_backend_stats {
    uint32_t position;          /* number of tokens that the model holds */
    struct flo_timings timings; /* totals since open */
};

struct flo_backend {
    const char *name;

    /* Loads a model file.  Returns the errors of flo_engine_open() and, for the
     * adapter, those of flo_adapter_open(). */
    int (*open)(const char *path, const struct flo_backend_options *options,
                struct flo_backend_model **model, struct flo_err *err);
    /* Returns facts about the model; borrowed until close.  The backend always
     * sets n_vocab, context, threads and kernel.  A fact that it does not know
     * is 0 or empty. */
    const struct flo_engine_info *(*info)(const struct flo_backend_model *model);
    /* Returns an engine that tokenises for the model; borrowed until close.
     * Returns NULL if the backend has no tokenizer, only token ids. */
    struct flo_engine *(*text)(const struct flo_backend_model *model);

    /* Appends `count` tokens in one pass.  Without `row` (NULL), logits() then
     * gives the logits of the last token.  With `row`, the callback gets the
     * logits of each token in order, and logits() gives NULL.
     * FLO_E_INFER_TOO_LONG  the tokens exceed the context
     * FLO_E_INFER_PARAM     a token is outside the vocabulary, or count is 0
     * other                 the nonzero result of `row` */
    int (*prefill)(struct flo_backend_model *model, const int32_t *tokens, size_t count,
                   flo_logits_fn *row, void *context, struct flo_err *err);
    /* Appends one token; logits() then gives the logits after it.  Errors are
     * those of prefill(). */
    int (*decode)(struct flo_backend_model *model, int32_t token, struct flo_err *err);
    /* Returns the n_vocab logits after the last token, borrowed until the next
     * call for this model.  Returns NULL if there are none.  A NaN among them
     * is not replaced. */
    const float *(*logits)(const struct flo_backend_model *model);
    /* Drops the tokens from `position` on, and the logits.  Nothing changes if
     * the model holds fewer tokens. */
    void (*reset)(struct flo_backend_model *model, uint32_t position);
    void (*stats)(const struct flo_backend_model *model, struct flo_backend_stats *stats);
    /* NULL is fine. */
    void (*close)(struct flo_backend_model *model);
};

/* The backend made of <flotilla/engine.h> with one session.
 * options.engine.compute selects the library that computes.  With our own
 * kernels a prefill gives the same bits as decoding its tokens one by one. */
extern const struct flo_backend flo_backend_native;
/* Returns the session of a model that the native backend opened, for calls of
 * <flotilla/engine.h>.  The session belongs to the model; the caller does not
 * close it. */
struct flo_session *flo_backend_native_session(const struct flo_backend_model *model);

#endif

/* Flotilla engine, drafters: guess a model's next tokens from a draft file.
 *
 * A drafter belongs to one engine.  Its guesses are computed together with the
 * last token of an answer, and a guess is accepted only if the sampler chooses
 * the same token.  So a drafter changes the speed of an answer, never the
 * answer.  The file's first bytes tell its kind:
 *
 *   table   token sequences that were frequent in the model's own answers
 *           (`flotilla-model draft`); a guess costs less than a microsecond
 *   model   a GGUF of a smaller model with the same vocabulary; a guess costs a
 *           pass of that model
 *
 * Threads: one thread at a time.  Errors and ownership as in
 * <flotilla/engine.h>; descriptors stay the caller's and may be closed at
 * once. */
#ifndef FLOTILLA_DRAFTER_H
#define FLOTILLA_DRAFTER_H

#include <flotilla/engine.h>

struct flo_drafter;

enum flo_drafter_kind { FLO_DRAFTER_TABLE, FLO_DRAFTER_MODEL, FLO_DRAFTER_KINDS };
/* Names of the kinds: "table", "model". */
extern const char *const flo_drafter_names[FLO_DRAFTER_KINDS];

struct flo_drafter_options {
    uint32_t sequences; /* number of sequences of tokens, each with its own state; 0: 1 */
    /* Budget for all memory of the drafter; 0: none. */
    uint64_t memory_bytes_max;
    uint32_t threads;                  /* as in struct flo_engine_options, for a model */
    struct flo_pool *pool;             /* as in struct flo_engine_options, for a model */
    const struct flo_compute *compute; /* as in struct flo_engine_options, for a model */
};

struct flo_drafter_info {
    enum flo_drafter_kind kind;
    uint64_t bytes;    /* memory of the drafter: a table, or a model's plan */
    uint32_t contexts; /* number of contexts that a table knows; 0: a model */
};

/* Opens a draft file for the engine's model.
 *
 * FLO_E_DRAFT_UNFIT      the file is no draft, is damaged, or belongs to another
 *                        vocabulary; the sentence says which
 * FLO_E_MEMORY_BUDGET    the drafter needs more than memory_bytes_max
 * FLO_E_MEMORY, FLO_E_IO_READ
 * FLO_E_GGUF_..., FLO_E_MODEL_ARCH  as flo_engine_open(), for a model */
FLO_MUST_USE int flo_drafter_open_fd(int fd, const struct flo_engine *engine,
                                     const struct flo_drafter_options *options,
                                     struct flo_drafter **drafter, struct flo_err *err);
/* Writes to *bytes how much memory flo_drafter_open_fd() would need.  Reads
 * only the file's head.  `context` is that of the engine.  Errors as of
 * flo_drafter_open_fd(), but the vocabulary is not compared. */
FLO_MUST_USE int flo_drafter_plan_fd(int fd, uint32_t context,
                                     const struct flo_drafter_options *options, uint64_t *bytes,
                                     struct flo_err *err);
/* Closes the drafter; NULL is allowed. */
void flo_drafter_close(struct flo_drafter *drafter);
/* Returns the drafter's properties; borrowed until flo_drafter_close(). */
const struct flo_drafter_info *flo_drafter_info(const struct flo_drafter *drafter);

/* Most tokens that one guess computes before it guesses.  A sequence that lags
 * behind further catches up over several calls, which guess nothing, so that no
 * request waits long. */
#define FLO_DRAFT_CATCH_UP 64u

/* Guesses the tokens after the `count` tokens of a sequence.  Writes at most
 * `most` guesses to `out` and returns their number; 0: no guess.  `sequence` is
 * less than options.sequences.  A model keeps the state of the tokens that the
 * sequence shares with the call before, and computes the others. */
uint32_t flo_drafter_guess(struct flo_drafter *drafter, uint32_t sequence, const int32_t *tokens,
                           uint32_t count, int32_t *out, uint32_t most);
/* Drops what the sequence holds, so that the next client cannot tell from the
 * speed of guesses what it was. */
void flo_drafter_forget(struct flo_drafter *drafter, uint32_t sequence);
/* Returns how many of these tokens flo_drafter_guess() would compute before it
 * guesses; 0 for a table. */
uint32_t flo_drafter_lag(const struct flo_drafter *drafter, uint32_t sequence,
                         const int32_t *tokens, uint32_t count);

/* Returns a checksum of the engine's vocabulary: of the bytes of each token, in
 * order.  0: the engine has no vocabulary. */
uint64_t flo_vocabulary_checksum(const struct flo_engine *engine);

#endif

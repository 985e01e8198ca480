/* Common: functions that the commands share, for option values, opening a
 * model, tokens in and out, and results on stdout. */
#ifndef FLOTILLA_ENGINE_TOOLS_COMMON_H
#define FLOTILLA_ENGINE_TOOLS_COMMON_H

#include <limits.h>

#include <flotilla/backend.h>
#include <flotilla/grammar.h>

#include "base/args/args.h"

/* The parsed command line with the values of the shared flags.  The state of
 * each command begins with this struct.  Zero-initialise. */
struct flo_tool {
    struct flo_args args;
    const char *model;
    const char *packed;
    const char *kernel;
    const char *kv;
    const char *temperature;
    const char *tokens;           /* "1,2,3" */
    const char *grammar, *schema; /* files */
    const char *lora;             /* FILE[:SCALE] */
    const char *chat_template;    /* NAME or FILE */
    const char *backend;          /* NULL: native */
    uint64_t context;
    uint64_t threads;
    uint64_t batch;
    uint64_t memory_bytes_max;
    uint64_t seed;
    uint64_t count; /* tokens to generate */
    /* for a process in a sandbox, which opens no files: descriptors of the model
     * and of its packed weights, and threads that run; 0, NULL: as named above */
    int model_fd, packed_fd;
    struct flo_pool *pool;
    bool accepts_inexact;
    bool caches_packed; /* makes packed weights on first use, and keeps them for later runs */
};

/* Tables of flags that commands share, made in flags.c.  Each table includes
 * the ones above it. */
extern const struct flo_flag flo_flags_model[], flo_flags_adapter[], flo_flags_backend[],
    flo_flags_sampling[];
/* Flags for the model's file, and for opening it. */
#define FLO_FLAGS_MODEL flo_flags_model
#define FLO_FLAGS_ADAPTER FLO_FLAGS_MODEL, flo_flags_adapter /* --lora */
/* Flags of commands that need only tokens and logits, no text. */
#define FLO_FLAGS_BACKEND FLO_FLAGS_ADAPTER, flo_flags_backend
/* Flags with the options for choosing tokens. */
#define FLO_FLAGS_SAMPLING FLO_FLAGS_BACKEND, flo_flags_sampling
/* --accept-inexact alone, of commands that choose no back end. */
#define FLO_FLAGS_INEXACT (flo_flags_backend + 1)

/* The options of the command line, converted to open a model. */
struct flo_tool_setup {
    /* options for opening; may borrow texts of struct flo_tool */
    struct flo_backend_options options;
    char adapter[PATH_MAX]; /* path given with --lora, or "" */
    char packed[PATH_MAX];  /* path of packed weights; "": none */
};
/* Converts the options.  Returns FLO_E_USAGE if a value is out of range, or the
 * error of reading the adapter. */
FLO_MUST_USE int flo_tool_setup(const struct flo_tool *tool, struct flo_tool_setup *setup,
                                struct flo_err *err);
/* By enum flo_kv_type. */
extern const char *const flo_tool_kv_names[];
/* A model opened as the options say.  Zero-initialise. */
struct flo_tool_model {
    struct flo_tool_setup setup;
    const struct flo_backend *backend;
    struct flo_backend_model *state;
    const struct flo_engine_info *info;
    /* the engine as a tokenizer; NULL unless the vocabulary was asked for */
    struct flo_engine *text;
};
FLO_MUST_USE int flo_tool_open(const struct flo_tool *tool, enum flo_vocabulary vocabulary,
                               struct flo_tool_model *model, struct flo_err *err);
/* Opens the packed weights of tool->model in this user's cache for reading, and
 * makes them if they are missing.  Returns a descriptor, or -1 if there are
 * none, and then prints the reason.  cached.c */
int flo_tool_cached(const struct flo_tool *tool);
/* Removes the model's packed weights from the cache, after the engine refused
 * them. */
void flo_tool_uncache(const struct flo_tool *tool);
/* Appends tokens to the model's session.  The logits of the last one are then
 * available. */
FLO_MUST_USE int flo_tool_feed(const struct flo_tool_model *model, const int32_t *tokens,
                               size_t count, struct flo_err *err);
/* Parses tool->tokens as ids into an array, which the caller frees. */
FLO_MUST_USE int flo_tool_tokens(const struct flo_tool *tool, int32_t **tokens, size_t *count,
                                 struct flo_err *err);
/* A question to be put into the chat's form.  With `is_raw` it is plain text
 * instead, in which control tokens are recognised.  `system` may be NULL. */
struct flo_tool_prompt {
    const char *system, *prompt;
    bool is_raw;
};
FLO_MUST_USE int flo_tool_prompt(struct flo_engine *engine, const struct flo_tool_prompt *prompt,
                                 int32_t *tokens, size_t tokens_max, size_t *count,
                                 struct flo_err *err);
/* Returns the logarithm of the sum of the exponentials of a row of logits.
 * *best (or NULL) gets the index of the largest logit.  The result is not
 * finite if a logit is not. */
double flo_tool_log_sum(const float *logits, uint32_t count, uint32_t *best);
/* Returns the Kullback-Leibler divergence of q from p in nats.  p and q are
 * rows of logits; p_total and q_total are their flo_tool_log_sum(). */
double flo_tool_divergence(const float *p, double p_total, const float *q, double q_total,
                           uint32_t count);
/* Compares two doubles; used with qsort(). */
int flo_tool_by_value(const void *a, const void *b);
/* Opens a GGUF file and checks that all its floats and scales are finite.
 * Without a path (NULL) *gguf is unchanged. */
struct flo_gguf;
FLO_MUST_USE int flo_tool_gguf(const char *path, struct flo_gguf **gguf, struct flo_err *err);
/* Prints progress such as "what 12/60, 00:42 left" on stderr, after the first
 * second.  On a terminal it overwrites its line, and removes it at the end.
 * Elsewhere it prints a line each second. */
void flo_tool_progress(const char *what, uint64_t done, uint64_t total, uint64_t started_us);

/* A model that generates an answer with the shared options.
 * Zero-initialise. */
struct flo_tool_answer {
    struct flo_tool_model model;
    struct flo_sampler *sampler;
    /* grammar of --grammar or --json-schema; NULL: none */
    struct flo_grammar *grammar;
    int32_t tokens[FLO_GRAMMAR_FORCED_MAX + 1]; /* chosen last */
    /* number of `tokens`; 0: the answer has not begun or has ended */
    size_t count;
    /* all logits from which tokens[0] was chosen were finite */
    bool is_finite;
    float gap; /* logit of tokens[0] minus the second largest */
};
FLO_MUST_USE int flo_tool_answer_open(const struct flo_tool *tool, enum flo_vocabulary vocabulary,
                                      struct flo_tool_answer *answer, struct flo_err *err);
/* Closes an answer, even one that was not opened. */
void flo_tool_answer_close(struct flo_tool_answer *answer);
/* Computes the tokens chosen last, chooses the next one, and adds those that
 * the grammar forces.  `tokens` then has at most `most` of them. */
FLO_MUST_USE int flo_tool_answer_next(struct flo_tool_answer *answer, uint64_t most,
                                      struct flo_err *err);

/* Writes `before` unchanged, then `text` as a JSON string. */
void flo_tool_json(struct flo_buf *out, const char *before, const char *text);
/* Writes the numbers of tensors by type, such as " 11 F32 36 Q4_1", and a line
 * end.  `counts` is [FLO_QUANT_ID_COUNT]. */
void flo_tool_types(const size_t *counts, struct flo_buf *out);
/* Writes the whole text to stdout and flushes.  An error for lack of memory
 * calls the text `what`. */
FLO_MUST_USE int flo_tool_print(const struct flo_buf *text, const char *what, struct flo_err *err);

#endif

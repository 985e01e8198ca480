/* Common: shared by the commands: option values, opening a model, tokens in and
 * out, and writing results to stdout. */
#ifndef FLOTILLA_ENGINE_TOOLS_COMMON_H
#define FLOTILLA_ENGINE_TOOLS_COMMON_H

#include <limits.h>

#include <flotilla/backend.h>
#include <flotilla/grammar.h>

#include "base/args/args.h"

/* The parsed command line, and values of the shared flags.  Each command's
 * state begins with this struct.  Zero-initialise. */
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
    bool accepts_inexact;
    bool caches_packed; /* make packed weights on first use, and keep them */
};

/* Flags that commands share; each set includes the sets above it.  flags.c */
extern const struct flo_flag flo_flags_model[], flo_flags_adapter[], flo_flags_backend[],
    flo_flags_sampling[];
/* The model's file, and how to open it. */
#define FLO_FLAGS_MODEL flo_flags_model
#define FLO_FLAGS_ADAPTER FLO_FLAGS_MODEL, flo_flags_adapter /* --lora */
/* For commands that only need tokens in and logits out. */
#define FLO_FLAGS_BACKEND FLO_FLAGS_ADAPTER, flo_flags_backend
/* Options for choosing tokens. */
#define FLO_FLAGS_SAMPLING FLO_FLAGS_BACKEND, flo_flags_sampling

/* The options, converted for opening a model. */
struct flo_tool_setup {
    struct flo_backend_options options; /* may point to texts of the tool */
    char adapter[PATH_MAX];             /* path of --lora, or "" */
    char packed[PATH_MAX];              /* path of packed weights; "": none */
};
/* Converts the options.  FLO_E_USAGE: a value is out of range; errors of
 * reading the adapter. */
FLO_MUST_USE int flo_tool_setup(const struct flo_tool *tool, struct flo_tool_setup *setup,
                                struct flo_err *err);
/* By enum flo_kv_type. */
extern const char *const flo_tool_kv_names[];
/* The model of tool->model, opened by tool->backend.  Zero-initialise. */
struct flo_tool_model {
    struct flo_tool_setup setup;
    const struct flo_backend *backend;
    struct flo_backend_model *state;
    const struct flo_engine_info *info;
    struct flo_engine *text; /* NULL unless the vocabulary is needed */
};
FLO_MUST_USE int flo_tool_open(const struct flo_tool *tool, enum flo_vocabulary vocabulary,
                               struct flo_tool_model *model, struct flo_err *err);
/* Opens the packed weights of tool->model in this user's cache, and makes them
 * if they are missing; open for reading.  -1: none, and the reason is printed.
 * cached.c */
int flo_tool_cached(const struct flo_tool *tool);
/* Removes a cached file that turned out not to be the model's. */
void flo_tool_uncache(const struct flo_tool *tool);
/* Appends tokens; the last one's logits are then available. */
FLO_MUST_USE int flo_tool_feed(const struct flo_tool_model *model, const int32_t *tokens,
                               size_t count, struct flo_err *err);
/* Parses tool->tokens as ids into a malloc'ed array. */
FLO_MUST_USE int flo_tool_tokens(const struct flo_tool *tool, int32_t **tokens, size_t *count,
                                 struct flo_err *err);
/* A prompt: a question in the chat's form, or with `is_raw` plain text in which
 * control tokens are recognised.  `system` may be NULL. */
struct flo_tool_prompt {
    const char *system, *prompt;
    bool is_raw;
};
FLO_MUST_USE int flo_tool_prompt(struct flo_engine *engine, const struct flo_tool_prompt *prompt,
                                 int32_t *tokens, size_t tokens_max, size_t *count,
                                 struct flo_err *err);
/* Returns the logarithm of the sum of exponentials of a row of logits; *best
 * (may be NULL) is the index of the largest.  Not finite if a logit is not. */
double flo_tool_log_sum(const float *logits, uint32_t count, uint32_t *best);
/* Returns the Kullback-Leibler divergence of q from p in nats, from rows of
 * logits and their log sums. */
double flo_tool_divergence(const float *p, double p_total, const float *q, double q_total,
                           uint32_t count);
/* Compares doubles for qsort(). */
int flo_tool_by_value(const void *a, const void *b);
/* Opens a GGUF whose floats and scales are all finite; without a path *gguf is
 * unchanged. */
struct flo_gguf;
FLO_MUST_USE int flo_tool_gguf(const char *path, struct flo_gguf **gguf, struct flo_err *err);
/* Prints "what 12/60, 00:42 left" on stderr after the first second: on a
 * terminal it overwrites its line and is removed at the end, elsewhere it is a
 * line each second. */
void flo_tool_progress(const char *what, uint64_t done, uint64_t total, uint64_t started_us);

/* A model that generates with the shared options.  Zero-initialise. */
struct flo_tool_answer {
    struct flo_tool_model model;
    struct flo_sampler *sampler;
    struct flo_grammar *grammar;                /* from --grammar or --json-schema; NULL: none */
    int32_t tokens[FLO_GRAMMAR_FORCED_MAX + 1]; /* chosen last */
    size_t count;                               /* tokens; 0: not begun, or the answer has ended */
    bool is_finite;                             /* the first token's logits were finite */
    float gap;                                  /* the first token's gap to the second best */
};
FLO_MUST_USE int flo_tool_answer_open(const struct flo_tool *tool, enum flo_vocabulary vocabulary,
                                      struct flo_tool_answer *answer, struct flo_err *err);
/* Closes an answer; safe on one that was not opened. */
void flo_tool_answer_close(struct flo_tool_answer *answer);
/* Computes the last chosen tokens, chooses a token and adds those that the
 * grammar forces, at most `most` in all. */
FLO_MUST_USE int flo_tool_answer_next(struct flo_tool_answer *answer, uint64_t most,
                                      struct flo_err *err);

/* Writes `before` unchanged, then `text` as a JSON string. */
void flo_tool_json(struct flo_buf *out, const char *before, const char *text);
/* Writes " 11 F32 36 Q4_1" and a line end, from [FLO_QUANT_ID_COUNT] counts. */
void flo_tool_types(const size_t *counts, struct flo_buf *out);
/* Writes the whole text to stdout and flushes; `what` names it in an
 * out-of-memory error. */
FLO_MUST_USE int flo_tool_print(const struct flo_buf *text, const char *what, struct flo_err *err);

#endif

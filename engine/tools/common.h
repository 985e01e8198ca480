/* Shared by the commands: the values of options, opening a model, tokens in and
 * out, and putting results on stdout. */
#ifndef FLOTILLA_ENGINE_TOOLS_COMMON_H
#define FLOTILLA_ENGINE_TOOLS_COMMON_H

#include <limits.h>

#include <flotilla/backend.h>
#include <flotilla/grammar.h>

#include "base/args/args.h"

/* The line that was typed, and values of the shared flags.  The state of a
 * command begins with it.  Zero-initialise. */
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
    uint64_t count;     /* tokens to generate */
    bool caches_packed; /* make packed weights on first use, and keep them */
};

/* Flags that commands share; each set has those of the sets above as well.
 * flags.c */
extern const struct flo_flag flo_flags_model[], flo_flags_adapter[], flo_flags_backend[],
    flo_flags_sampling[];
/* The file, and how it is opened. */
#define FLO_FLAGS_MODEL flo_flags_model
#define FLO_FLAGS_ADAPTER FLO_FLAGS_MODEL, flo_flags_adapter /* --lora */
/* Tokens in and logits out only. */
#define FLO_FLAGS_BACKEND FLO_FLAGS_ADAPTER, flo_flags_backend
/* How an answer is chosen. */
#define FLO_FLAGS_SAMPLING FLO_FLAGS_BACKEND, flo_flags_sampling

/* The options in the form that opens a model. */
struct flo_tool_setup {
    struct flo_backend_options options; /* may point to the tool's texts */
    char adapter[PATH_MAX];             /* path of --lora, or "" */
    char packed[PATH_MAX];              /* where it may be; "": none */
};
/* FLO_E_USAGE: a value is out of range; errors of reading the adapter. */
FLO_MUST_USE int flo_tool_setup(const struct flo_tool *tool, struct flo_tool_setup *setup,
                                struct flo_err *err);
/* By enum flo_kv_type. */
extern const char *const flo_tool_kv_names[];
/* tool->model as tool->backend opened it.  Zero-initialise. */
struct flo_tool_model {
    struct flo_tool_setup setup;
    const struct flo_backend *backend;
    struct flo_backend_model *state;
    const struct flo_engine_info *info;
    struct flo_engine *text; /* not NULL if the vocabulary is needed */
};
FLO_MUST_USE int flo_tool_open(const struct flo_tool *tool, enum flo_vocabulary vocabulary,
                               struct flo_tool_model *model, struct flo_err *err);
/* The packed weights of tool->model in this user's cache, made when they are
 * not there, open for reading; -1: none, and why is said.  cached.c */
int flo_tool_cached(const struct flo_tool *tool);
/* They were not the model's own after all. */
void flo_tool_uncache(const struct flo_tool *tool);
/* Append tokens; the last one's logits follow. */
FLO_MUST_USE int flo_tool_feed(const struct flo_tool_model *model, const int32_t *tokens,
                               size_t count, struct flo_err *err);
/* tool->tokens as ids into a malloc'ed array. */
FLO_MUST_USE int flo_tool_tokens(const struct flo_tool *tool, int32_t **tokens, size_t *count,
                                 struct flo_err *err);
/* A prompt as tokens: of the chat, or `is_raw` as it stands, control tokens
 * read.  `system` may be NULL. */
struct flo_tool_prompt {
    const char *system, *prompt;
    bool is_raw;
};
FLO_MUST_USE int flo_tool_prompt(struct flo_engine *engine, const struct flo_tool_prompt *prompt,
                                 int32_t *tokens, size_t tokens_max, size_t *count,
                                 struct flo_err *err);
/* Log of the sum of exponentials of a row of logits; *best (may be NULL) is
 * the largest one's index.  Not finite if one of them is not. */
double flo_tool_log_sum(const float *logits, uint32_t count, uint32_t *best);
/* Kullback-Leibler divergence of q from p in nats, of rows of logits with the
 * logs of their sums. */
double flo_tool_divergence(const float *p, double p_total, const float *q, double q_total,
                           uint32_t count);
/* For qsort() of doubles. */
int flo_tool_by_value(const void *a, const void *b);
/* Open a GGUF whose floats and scales are all finite; without a path *gguf
 * stays as it is. */
struct flo_gguf;
FLO_MUST_USE int flo_tool_gguf(const char *path, struct flo_gguf **gguf, struct flo_err *err);
/* "what 12/60, 00:42 left" on stderr, from the second second on: on a terminal
 * over the line before, and gone when all is done; else a line each second. */
void flo_tool_progress(const char *what, uint64_t done, uint64_t total, uint64_t started_us);

/* A model that answers as the shared options say.  Zero-initialise. */
struct flo_tool_answer {
    struct flo_tool_model model;
    struct flo_sampler *sampler;
    struct flo_grammar *grammar;                /* from --grammar or --json-schema, or NULL */
    int32_t tokens[FLO_GRAMMAR_FORCED_MAX + 1]; /* chosen last */
    size_t count;                               /* tokens; 0: none yet, or the answer has ended */
    bool is_finite;                             /* were the first one's logits? */
    float gap;                                  /* gap of the first token to the second best */
};
FLO_MUST_USE int flo_tool_answer_open(const struct flo_tool *tool, enum flo_vocabulary vocabulary,
                                      struct flo_tool_answer *answer, struct flo_err *err);
/* Harmless on what was not opened. */
void flo_tool_answer_close(struct flo_tool_answer *answer);
/* Feed what was chosen last, choose a token and add what the grammar forces,
 * at most `most` in all. */
FLO_MUST_USE int flo_tool_answer_next(struct flo_tool_answer *answer, uint64_t most,
                                      struct flo_err *err);

/* `before` as it is, then `text` as a JSON string. */
void flo_tool_json(struct flo_buf *out, const char *before, const char *text);
/* " 11 F32 36 Q4_1" and a line's end, of [FLO_QUANT_ID_COUNT] counts. */
void flo_tool_types(const size_t *counts, struct flo_buf *out);
/* All of it to stdout, which is flushed; `what` names it when memory had no
 * room for it. */
FLO_MUST_USE int flo_tool_print(const struct flo_buf *text, const char *what, struct flo_err *err);

#endif

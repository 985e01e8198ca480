/* What the inference commands share: their options, opening the engine, and
 * ending with the right words and exit code. */
#ifndef FLOTILLA_ENGINE_TOOLS_COMMON_H
#define FLOTILLA_ENGINE_TOOLS_COMMON_H

#include <flotilla/backend.h>
#include <flotilla/grammar.h>

#include "engine/tools/options.h"

/* Zero-initialise; filled by flo_options_read() through FLO_TOOL_OPTIONS. */
struct flo_tool {
    const char *model;
    const char *packed;
    const char *kernel;
    const char *kv;
    const char *temperature;
    const char *tokens;           /* "1,2,3" */
    const char *grammar, *schema; /* files */
    const char *lora;             /* FILE[:SCALE] */
    const char *backend;          /* NULL: native */
    uint64_t context;
    uint64_t threads;
    uint64_t batch;
    uint64_t memory_bytes_max;
    uint64_t seed;
    uint64_t count; /* tokens to generate */
    bool is_json;
};

/* Rows of an option table for a `struct flo_tool tool`. */
#define FLO_TOOL_OPTIONS(tool)                                                 \
    {"model", FLO_OPTION_TEXT, &(tool).model, "FILE     the GGUF"},            \
        {"ctx", FLO_OPTION_U64, &(tool).context,                               \
         "N          tokens of context (default: the model's, at most 2048)"}, \
        {"threads", FLO_OPTION_U64, &(tool).threads,                           \
         "N      threads (default: CPUs, at most 8)"},                         \
        {"kernel", FLO_OPTION_TEXT, &(tool).kernel,                            \
         "NAME    avx2 or ref (default: FLOTILLA_KERNEL, or the best)"},       \
        {"packed", FLO_OPTION_TEXT, &(tool).packed,                            \
         "FILE    packed weights, or none (default: MODEL.packed if there)"},  \
        {"kv", FLO_OPTION_TEXT, &(tool).kv,                                    \
         "TYPE        cache: auto (f16, or q8_0 to fit --memory), f16, f32, "  \
         "q8_0, q4_0"},                                                        \
        {"batch", FLO_OPTION_U64, &(tool).batch,                               \
         "N        prompt tokens computed together (default 64)"},             \
    {                                                                          \
        "memory", FLO_OPTION_U64, &(tool).memory_bytes_max,                    \
            "BYTES   shrink cache and context to it, or refuse"                \
    }

#define FLO_LORA_OPTION(tool)                                                  \
    {                                                                          \
        "lora", FLO_OPTION_TEXT, &(tool).lora,                                 \
            "FILE[:SCALE]  an adapter of the model, and how much of it (1)"    \
    }

/* For commands that need tokens in and logits out only. */
#define FLO_BACKEND_OPTIONS(tool)                                              \
    FLO_LORA_OPTION(tool),                                                     \
    {                                                                          \
        "backend", FLO_OPTION_TEXT, &(tool).backend,                           \
            "NAME   who computes (default: native, this engine)"               \
    }

#define FLO_SAMPLING_OPTIONS(tool)                                             \
    {"n", FLO_OPTION_U64, &(tool).count, "N            tokens to generate"},   \
        {"temp", FLO_OPTION_TEXT, &(tool).temperature,                         \
         "T         temperature (default 0: the likeliest token)"},            \
        {"grammar", FLO_OPTION_TEXT, &(tool).grammar,                          \
         "FILE   the answer keeps this GBNF grammar"},                         \
        {"json-schema", FLO_OPTION_TEXT, &(tool).schema,                       \
         "FILE the answer is JSON of this schema"},                            \
    {                                                                          \
        "seed", FLO_OPTION_U64, &(tool).seed, "S         of the sampling"      \
    }

/* Numbers checked and put into the engine's form. FLO_E_USAGE. */
FLO_MUST_USE int flo_tool_engine_options(const struct flo_tool *tool,
                                         struct flo_engine_options *options,
                                         struct flo_err *err);
FLO_MUST_USE int flo_tool_sampling(const struct flo_tool *tool,
                                   struct flo_sampling *sampling,
                                   struct flo_err *err);
/* By enum flo_kv_type. */
extern const char *const flo_tool_kv_names[];
/* tool->model as tool->backend opened it.  Zero-initialise. */
struct flo_tool_model {
    const struct flo_backend *backend;
    struct flo_backend_model *state;
    const struct flo_engine_info *info;
    struct flo_engine *text; /* not NULL if the vocabulary is needed */
};
FLO_MUST_USE int flo_tool_open(const struct flo_tool *tool,
                               enum flo_vocabulary vocabulary,
                               struct flo_tool_model *model,
                               struct flo_err *err);
void flo_tool_close(struct flo_tool_model *model);
/* Append tokens; the last one's logits follow. */
FLO_MUST_USE int flo_tool_feed(const struct flo_tool_model *model,
                               const int32_t *tokens, size_t count,
                               struct flo_err *err);
/* tool->tokens as ids into a malloc'ed array. */
FLO_MUST_USE int flo_tool_tokens(const struct flo_tool *tool, int32_t **tokens,
                                 size_t *count, struct flo_err *err);
/* "what 12/60, 00:42 left" on a terminal's stderr, over the line before; the
 * line goes when all is done. */
void flo_tool_progress(const char *what, uint64_t done, uint64_t total,
                       uint64_t started_us);
/* The grammar of --grammar or --json-schema; *grammar is NULL without them. */
FLO_MUST_USE int flo_tool_grammar(const struct flo_tool *tool,
                                  struct flo_engine *engine,
                                  struct flo_grammar **grammar,
                                  struct flo_err *err);

/* The next tokens of an answer. */
struct flo_tool_next {
    int32_t tokens[FLO_GRAMMAR_FORCED_MAX + 1];
    size_t count; /* 0: the answer has ended */
};
/* Choose one and add what `grammar` (or NULL) forces, at most `most` in all. */
FLO_MUST_USE int flo_tool_next(struct flo_grammar *grammar,
                               struct flo_sampler *sampler,
                               const struct flo_tool_model *model,
                               uint64_t most, struct flo_tool_next *next,
                               struct flo_err *err);
/* The exit code; errors printed on stderr and, with --json, on stdout. */
int flo_tool_end(const struct flo_tool *tool, int rv,
                 const struct flo_err *err);

#endif

/* An answer as it is kept: what whole answers are made of, and what streams
 * must remember. */
#ifndef FLOTILLA_SERVE_KEPT_H
#define FLOTILLA_SERVE_KEPT_H

#include "agent/serve/params/params.h"

#define SERVE_CALLS_MAX 128 /* calls of one answer */
/* The bound of the text, of the thoughts, and of all arguments together. */
#define SERVE_KEPT_BYTES_MAX (16u << 20)
#define SERVE_VECTORS_BYTES_MAX (64u << 20)

/* A call of a tool. */
struct serve_tool_call {
    char id[30]; /* "call_" and 24 hex digits, made here */
    char name[FLO_TOOLS_NAME_BYTES_MAX + 1];
    struct flo_buf arguments; /* JSON, whole unless the answer's end is LENGTH;
                                 of a stream: empty, unless its front keeps */
};

struct serve_kept {
    struct flo_buf text; /* or vectors, as their front writes them */
    struct flo_buf thoughts;
    uint32_t thought_tokens; /* that brought more of them */
    uint32_t thought_at;     /* the last one, of the request's tokens */
    struct serve_tool_call *calls;
    uint32_t n_calls;
    size_t arguments_bytes;  /* bytes of all calls together */
    struct flo_buf logprobs; /* lists of tokens, as flo_kept_logprobs_next() */
};

/* Forget all of it. */
void flo_kept_deinit(struct serve_kept *kept);
/* All of it but the log-probabilities as an engine's one frame would have it.
 * A `failed` of `parts`: memory was gone. */
void flo_kept_take(struct serve_kept *kept, struct flo_buf *text, struct flo_buf *parts);
/* Something was too long to be kept, or memory was gone. */
bool flo_kept_has_failed(const struct serve_kept *kept);
/* The next call.  FLO_E_INFER_PARAM: more than SERVE_CALLS_MAX; FLO_E_MEMORY.
 * The name fits: it is one of the request's. */
FLO_MUST_USE int flo_kept_add_call(struct serve_kept *kept, struct flo_wire_text name,
                                   struct flo_err *err);

void flo_kept_add_logprobs(struct serve_kept *kept, const struct flo_wire_token *token);
/* Forget the tokens that begin after this many bytes of the answer. */
void flo_kept_cut_logprobs(struct serve_kept *kept, size_t bytes);
/* The next token's list, for flo_wire_logprob_next(); `lists` moves on.  false:
 * that was all. */
bool flo_kept_logprobs_next(struct flo_wire_text *lists, struct flo_wire_text *list);

#endif

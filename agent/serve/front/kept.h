/* Kept: the parts of an answer that are kept, for whole answers and for streams
 * that need them later. */
#ifndef FLOTILLA_SERVE_KEPT_H
#define FLOTILLA_SERVE_KEPT_H

#include "agent/serve/params/params.h"

#define SERVE_CALLS_MAX 128 /* largest number of calls in an answer */
/* Limit for the text, for the thoughts, and for all arguments together. */
#define SERVE_KEPT_BYTES_MAX (16u << 20)
#define SERVE_VECTORS_BYTES_MAX (64u << 20)

/* A tool call. */
struct serve_tool_call {
    char id[30]; /* id of the call: "call_" and 24 hex digits, made by serve */
    char name[FLO_TOOLS_NAME_BYTES_MAX + 1];
    struct flo_buf arguments; /* arguments as JSON, complete unless the answer ended with LENGTH;
                                 empty for a stream, unless its front keeps them */
};

struct serve_kept {
    struct flo_buf text; /* text of the answer, or vectors in the front's form */
    struct flo_buf thoughts;
    uint32_t thought_tokens; /* tokens with thoughts */
    uint32_t thought_at;     /* number of the last token with thoughts */
    struct serve_tool_call *calls;
    uint32_t n_calls;
    size_t arguments_bytes;  /* sum of the bytes of all calls' arguments */
    struct flo_buf logprobs; /* lists of likely tokens, for flo_kept_logprobs_next() */
};

/* Frees everything. */
void flo_kept_deinit(struct serve_kept *kept);
/* Moves everything except the log-probabilities into the form of a single frame
 * of an engine.  parts->failed: out of memory. */
void flo_kept_take(struct serve_kept *kept, struct flo_buf *text, struct flo_buf *parts);
/* Returns true if something was too long to keep, or memory ran out. */
bool flo_kept_has_failed(const struct serve_kept *kept);
/* Begins the next call.  FLO_E_INFER_PARAM: more than SERVE_CALLS_MAX;
 * FLO_E_MEMORY.  The name fits, as it is one of the request's. */
FLO_MUST_USE int flo_kept_add_call(struct serve_kept *kept, struct flo_wire_text name,
                                   struct flo_err *err);

void flo_kept_add_logprobs(struct serve_kept *kept, const struct flo_wire_token *token);
/* Drops the lists of tokens that begin after this many bytes of the answer. */
void flo_kept_cut_logprobs(struct serve_kept *kept, size_t bytes);
/* Gives the next token's list, for flo_wire_logprob_next(), and advances
 * `lists`.  false: no more. */
bool flo_kept_logprobs_next(struct flo_wire_text *lists, struct flo_wire_text *list);

#endif

/* Kept: the stored parts of an answer, for whole answers and for streams that
 * need them later. */
#ifndef FLOTILLA_SERVE_KEPT_H
#define FLOTILLA_SERVE_KEPT_H

#include "agent/serve/params/params.h"

#define SERVE_CALLS_MAX 128 /* largest number of tool calls in an answer */
/* Largest number of bytes: of the text, of the thoughts, and of all arguments
 * together. */
#define SERVE_KEPT_BYTES_MAX (16u << 20)
#define SERVE_VECTORS_BYTES_MAX (64u << 20)

/* A tool call. */
struct serve_tool_call {
    char id[30]; /* id of the call, made here: "call_" and 24 hex digits */
    char name[FLO_TOOLS_NAME_BYTES_MAX + 1];
    /* JSON of the arguments, complete unless the token limit cut off the
     * answer; empty for a stream whose front does not need them */
    struct flo_buf arguments;
};

struct serve_kept {
    struct flo_buf text; /* text of the answer, or its vectors in the form of the client's API */
    struct flo_buf thoughts;
    uint32_t thought_tokens; /* tokens with thoughts */
    uint32_t thought_at;     /* number of the last token that has thoughts */
    struct serve_tool_call *calls;
    uint32_t n_calls;
    size_t arguments_bytes;  /* number of bytes in the arguments of all calls */
    struct flo_buf logprobs; /* lists of likely tokens, which flo_kept_logprobs_next() reads */
};

/* Frees everything. */
void flo_kept_deinit(struct serve_kept *kept);
/* Moves all parts but the log-probabilities into `text` and `parts`, in the
 * form of a single frame of an engine.  parts->failed: memory was lacking. */
void flo_kept_take(struct serve_kept *kept, struct flo_buf *text, struct flo_buf *parts);
/* Tells whether a part was too long to be stored, or memory was lacking. */
bool flo_kept_has_failed(const struct serve_kept *kept);
/* Begins the next call.  Its name fits, because it is one of the request's
 * tools.
 * FLO_E_INFER_PARAM  there are more than SERVE_CALLS_MAX calls
 * FLO_E_MEMORY  no memory */
FLO_MUST_USE int flo_kept_add_call(struct serve_kept *kept, struct flo_wire_text name,
                                   struct flo_err *err);

void flo_kept_add_logprobs(struct serve_kept *kept, const struct flo_wire_token *token);
/* Drops the log-probabilities of the tokens that begin after `bytes` of the
 * answer. */
void flo_kept_cut_logprobs(struct serve_kept *kept, size_t bytes);
/* Gives the next token's list of likely tokens, for flo_wire_logprob_next(),
 * and advances `lists`.  Returns false when there are no more tokens. */
bool flo_kept_logprobs_next(struct flo_wire_text *lists, struct flo_wire_text *list);

#endif

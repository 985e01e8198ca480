/* A request of a client: read from OpenAI's shapes, answered in them. */
#ifndef FLOTILLA_SERVE_OPENAI_H
#define FLOTILLA_SERVE_OPENAI_H

#include "agent/serve/engines/engines.h"
#include "base/host/httpd.h"
#include "base/host/json.h"

enum request_kind {
    REQUEST_CHAT,
    REQUEST_TEXT,
    REQUEST_TOKENISE,
    REQUEST_DETOKENISE,
    REQUEST_EMBED,
    REQUEST_AUDIO,
    REQUEST_KINDS
};

/* The parameters that a client asked for, checked. */
struct serve_params {
    json_t *json;         /* while it is read */
    struct flo_buf parts; /* ids and a schema, while it is read; then the
                             message as a frame, which its texts stand in */
    struct flo_wire_message message;
    const char *form; /* the field that gave its grammar, or NULL */
    char model[3 * FLO_NAME_MAX + 3]; /* as named; empty: any */
    uint64_t user; /* hash of the person behind it; 0: nobody was named */
    bool is_stream;
    bool wants_usage;
    bool is_base64;      /* vectors */
    uint32_t dimensions; /* of a vector, the first ones; 0: all */
    bool is_plain;       /* the text of speech, without JSON */
    char param[64];      /* the field that was wrong */
};

struct serve_request {
    struct serve_request *next; /* of the held or the running list */
    struct flo_serve *serve;
    struct serve_place *place;      /* of the model that answers it */
    struct serve_place *meant;      /* that it names, where a split answers */
    struct flo_httpd_request *http; /* NULL: the client is gone */
    enum request_kind kind;
    struct serve_params params;
    struct serve_call call;
    const struct flo_serve_pipeline *pipeline; /* NULL: none is named */
    uint32_t stage;                            /* of it, from 0 */
    uint64_t client; /* whose it is: flo_httpd_peer_client() */
    int token;       /* its app, of serve->tokens; -1: it may use all */
    bool is_held;
    bool is_leaving;        /* its model was removed */
    uint64_t held_us;       /* since when; 0: not for a load on demand */
    uint32_t retry_after_s; /* of its refusal; 0: 1 */
    bool is_waiting; /* in the running list, until its client's turn comes */
    bool is_due;     /* it goes to the engine whatever else is there */
    bool was_retried;
    bool has_begun;     /* the HTTP answer has */
    struct event *hold; /* how long it may be held */
    uint64_t came_us, first_us, last_us;
    uint64_t queue_us, prompt_us;
    uint64_t answer_us; /* from first to last token, by the engine's clock:
                           frames that waited here come in one heap */
    uint64_t load_us;   /* of queue_us, for a load */
    uint32_t tokens_out;
    uint64_t created_s;
    char id[48];
    char model_name[2 * FLO_NAME_MAX + 2]; /* of the release that answers */
    struct flo_digest release;
    struct flo_buf text;       /* of an answer that is not streamed; failed: it
                                  got too long */
    uint32_t lacks_dimensions; /* the model's, which are fewer; 0: not so */
    struct flo_buf logprobs;   /* answer_logprobs.c */
    size_t text_offset;        /* characters that logprobs were told of */
};

/* Read a body.  FLO_E_REST_SCHEMA (no JSON object), FLO_E_INFER_PARAM with
 * params->param and a sentence that has the field and its range,
 * FLO_E_REST_TOO_LARGE (for a frame). */
FLO_MUST_USE int flo_params_read(enum request_kind kind, const char *body,
                                 size_t bytes, struct serve_params *params,
                                 struct flo_err *err);
/* The same of a form with a WAV file (REQUEST_AUDIO). */
FLO_MUST_USE int flo_params_read_audio(const char *content_type,
                                       const char *body, size_t bytes,
                                       struct serve_params *params,
                                       struct flo_err *err);
/* Only the message's frame stays; the message's texts stand in it then. */
FLO_MUST_USE int flo_params_keep(struct serve_params *params,
                                 struct flo_err *err);
void flo_params_deinit(struct serve_params *params);

/* As a JSON string. */
void flo_answer_add_text(struct flo_buf *out, struct flo_wire_text text);
/* In the form of the API that the path is of; unknown ones get OpenAI's. */
void flo_answer_error_body(const struct flo_httpd_request *request,
                           const struct flo_err *err, int status,
                           struct flo_buf *body);
/* Each finishes or goes on with the HTTP answer. */
void flo_answer_fail(struct serve_request *request, const struct flo_err *err);
/* false: the client is too slow, and was cut off. */
bool flo_answer_token(struct serve_request *request,
                      const struct flo_wire_token *token);
void flo_answer_done(struct serve_request *request,
                     const struct flo_wire_done *done);
void flo_answer_tokens(struct serve_request *request,
                       const struct flo_wire_tokens *tokens);
void flo_answer_text(struct serve_request *request, struct flo_wire_text text);
/* One vector of several; then all of them as one answer. */
void flo_answer_embedding(struct serve_request *request,
                          const struct flo_wire_embedding *embedding);
void flo_answer_embeddings_done(struct serve_request *request,
                                const struct flo_wire_done *done);
/* The whole text of speech. */
void flo_answer_speech(struct serve_request *request);
/* Keep a token's list (request->logprobs.failed: no memory).  Write the kept
 * lists, or null, as the value of "logprobs", and forget them. */
void flo_answer_logprobs_add(struct serve_request *request,
                             const struct flo_wire_token *token);
void flo_answer_logprobs_put(struct serve_request *request,
                             struct flo_buf *out);
/* Forget the tokens that begin after this many bytes of the answer. */
void flo_answer_logprobs_cut(struct serve_request *request, size_t bytes);

#endif

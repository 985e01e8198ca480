/* Request: its parameters, its state on the way to an engine, and its sink. */
#ifndef FLOTILLA_SERVE_REQUEST_H
#define FLOTILLA_SERVE_REQUEST_H

#include "agent/serve/engines/engines.h"
#include "agent/serve/front/kept.h"
#include "agent/serve/front/sink.h"
#include "agent/serve/params/params.h"

struct serve_choices;
struct serve_front;

struct serve_request {
    struct serve_request *next;    /* next in the list of held, running or asking requests */
    struct serve_choices *choices; /* set for several answers; NULL: a single one */
    struct serve_request *asker;   /* asker of this choice; NULL: not a choice */
    uint32_t index;                /* ... and its index */
    struct flo_serve *serve;
    struct serve_place *place; /* the model that answers */
    struct serve_place *meant; /* the model that was named, if a split answers for it */
    const struct serve_front *front;
    void *state; /* owned by the front: front->drop() frees it */
    struct serve_sink sink;
    enum request_kind kind; /* the front's kind */
    struct serve_params params;
    struct serve_call call;
    const struct flo_serve_pipeline *pipeline; /* NULL: not a pipeline */
    uint32_t stage;                            /* current stage of the pipeline, from 0 */
    /* Guards (guard/guard.h). */
    struct guarding *guarding;           /* the guards' check in progress; NULL: none */
    const struct serve_place *looked_at; /* the prompt was checked for this model, or for one that a
                                            split put in its place */
    bool is_guarded;                     /* the answer is collected, not sent */
    uint32_t tokens_in;                  /* set when the engine has reported the count */
    uint64_t client;                     /* owner: flo_httpd_peer_client() */
    /* Index of the app in serve->tokens; -1: unrestricted. */
    int token;
    bool is_held;
    bool is_leaving;        /* its model was removed */
    uint64_t held_us;       /* start of waiting; 0: not for a load on demand */
    uint32_t retry_after_s; /* delay for a refusal; 0: 1 */
    bool is_waiting;        /* in the running list, but not sent to an engine yet */
    bool is_due;            /* send it to the engine even if that is full */
    bool was_retried;
    bool has_begun;     /* output was sent to the client */
    struct event *hold; /* timer for the longest hold */
    uint64_t came_us, first_us, last_us;
    uint64_t queue_us, prompt_us;
    uint64_t answer_us; /* from first to last token, by the engine's clock: here frames may arrive
                           in bursts */
    uint64_t load_us;   /* the part of queue_us that waited for a load */
    uint32_t tokens_out;
    uint64_t created_s;
    char id[48]; /* front->id_prefix and 24 hex digits */
    /* Name of the release that answers, "tiny@2.1.0". */
    char model_name[2 * FLO_NAME_MAX + 2];
    struct flo_digest release;
    struct serve_kept kept;
    uint32_t lacks_dimensions; /* size of the model's vectors, if too small; else 0 */
    size_t text_offset;        /* characters of the text in log-probabilities so far */
};

#endif

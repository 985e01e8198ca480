/* A request: what was asked, on which way it is, and where its answer goes. */
#ifndef FLOTILLA_SERVE_REQUEST_H
#define FLOTILLA_SERVE_REQUEST_H

#include "agent/serve/engines/engines.h"
#include "agent/serve/front/kept.h"
#include "agent/serve/front/sink.h"
#include "agent/serve/params/params.h"

struct serve_choices;
struct serve_front;

struct serve_request {
    struct serve_request *next;    /* in the held, the running or the asking list */
    struct serve_choices *choices; /* several answers; NULL: this one alone */
    struct serve_request *asker;   /* whose choice it is; NULL: nobody's */
    uint32_t index;                /* ... and which */
    struct flo_serve *serve;
    struct serve_place *place; /* place of the model that answers */
    struct serve_place *meant; /* that it names, where a split answers */
    const struct serve_front *front;
    void *state; /* the front's own: front->drop() frees it */
    struct serve_sink sink;
    enum request_kind kind; /* the front's */
    struct serve_params params;
    struct serve_call call;
    const struct flo_serve_pipeline *pipeline; /* NULL: none is named */
    uint32_t stage;                            /* stage of the pipeline, from 0 */
    /* Guards (guard/guard.h). */
    struct guarding *guarding;           /* one looks at it just now; NULL: none does */
    const struct serve_place *looked_at; /* the prompt may go to this model, and
                                            to one that a split puts there */
    bool is_guarded;                     /* the answer is kept, and the client hears nothing */
    uint32_t tokens_in;                  /* when the engine has told */
    uint64_t client;                     /* whose it is: flo_httpd_peer_client() */
    /* Place of the app in serve->tokens; -1: all are allowed. */
    int token;
    bool is_held;
    bool is_leaving;        /* the model was removed */
    uint64_t held_us;       /* since when; 0: not for a load on demand */
    uint32_t retry_after_s; /* wait that a refusal tells; 0: 1 */
    bool is_waiting;        /* in the running list, until its client's turn comes */
    bool is_due;            /* the engine gets it whatever else is there */
    bool was_retried;
    bool has_begun;     /* the stream has begun */
    struct event *hold; /* how long it may be held */
    uint64_t came_us, first_us, last_us;
    uint64_t queue_us, prompt_us;
    uint64_t answer_us; /* from first to last token, by the engine's clock:
                           frames that waited here come in one heap */
    uint64_t load_us;   /* the part of queue_us that waited for a load */
    uint32_t tokens_out;
    uint64_t created_s;
    char id[48]; /* front->id_prefix and 24 hex digits */
    /* Name of the release that answers. */
    char model_name[2 * FLO_NAME_MAX + 2];
    struct flo_digest release;
    struct serve_kept kept;
    uint32_t lacks_dimensions; /* the model's, which are fewer; 0: not so */
    size_t text_offset;        /* characters that logprobs were told of */
};

#endif

/* Request: its parameters, its state on the way to an engine, and its sink. */
#ifndef FLOTILLA_SERVE_REQUEST_H
#define FLOTILLA_SERVE_REQUEST_H

#include "agent/serve/engines/engines.h"
#include "agent/serve/front/kept.h"
#include "agent/serve/front/sink.h"
#include "agent/serve/params/params.h"

struct fallback;
struct serve_child;
struct serve_choices;
struct serve_front;

/* State of a request whose name has a route (fallback/fallback.h). */
struct serve_detour {
    struct fallback *route; /* NULL: the name has no route */
    bool escalates;         /* the application asked for another target */
    bool is_from_site;      /* another device of the site sent the request */
    bool has_left;          /* another target than its own model has the request */
    bool is_sent;           /* the prompt was sent to an endpoint */
    uint32_t at;            /* index of that target in the route */
    uint32_t tried;         /* a bit for each target that had the request */
    enum flo_fallback_reason reason;
    uint32_t forms;         /* answers of its own model that did not have the form */
    struct flo_err own;     /* error of its own model, if that is the reason */
    uint32_t tokens_out;    /* tokens of the answer, as the target counted them; 0: not told */
    bool has_claim;         /* `claim` is part of the route's use of claim_day */
    uint64_t claim_day;
    struct flo_spend_amount claim;
    /* The message as the client sent it, and its texts if the redaction replaced
     * them; NULL: params.message is that. */
    struct flo_wire_message *message;
    struct flo_buf parts;
    struct serve_child *redaction; /* program that edits the prompt; NULL: none runs */
    struct event *patience;        /* timer after which the queue is a reason; NULL: none */
};

struct serve_request {
    struct serve_request *next; /* next in the list of held, running or asking requests */
    /* choices, if the body asks for several answers; NULL: a single one */
    struct serve_choices *choices;
    struct serve_request *asker; /* asker whose choice this request is; NULL: it is no choice */
    uint32_t index;              /* ... and its index among the choices */
    struct flo_serve *serve;
    struct serve_place *place; /* model that answers */
    struct serve_place *meant; /* model that the client named, if a split answers for it */
    const struct serve_front *front;
    void *state; /* state of the front: front->drop() frees it */
    struct serve_sink sink;
    enum request_kind kind; /* the front's kind */
    struct serve_params params;
    struct serve_call call;
    const struct flo_serve_pipeline *pipeline; /* pipeline of the request; NULL: it names none */
    uint32_t stage;                            /* current stage of the pipeline, from 0 */
    struct serve_detour detour;
    /* Guards (guard/guard.h). */
    struct guarding *guarding;           /* the guards' check in progress; NULL: none */
    const struct serve_place *looked_at; /* model for which the prompt was checked; it counts also
                                            if a split put another one in its place */
    bool is_guarded;                     /* the answer is collected, not sent */
    uint32_t tokens_in; /* tokens of the prompt; set when the engine has reported them */
    uint64_t client;    /* owner: flo_httpd_peer_client() */
    /* Index of the app in serve->tokens; -1: unrestricted. */
    int token;
    bool is_held;
    bool is_leaving; /* the request's model was removed */
    /* time when waiting for a load on demand began; 0: it does not wait for
     * one */
    uint64_t held_us;
    uint32_t retry_after_s; /* delay before a retry that a refusal tells; 0: 1 */
    bool is_waiting;        /* the request is in the running list, but not sent to an engine yet */
    bool is_due;            /* it is sent to the engine even if that is full */
    bool was_retried;
    bool has_begun;     /* output was sent to the client */
    struct event *hold; /* timer for the longest time of waiting */
    uint64_t came_us, first_us, last_us;
    uint64_t queue_us, prompt_us;
    uint64_t answer_us; /* from first to last token, by the engine's clock: here frames may arrive
                           in bursts */
    uint64_t load_us;   /* the part of queue_us that waited for a load */
    uint32_t tokens_out;
    uint64_t created_s;
    char id[48]; /* id of the answer: front->id_prefix and 24 hex digits */
    /* Name of the release that answers, "tiny@2.1.0". */
    char model_name[2 * FLO_NAME_MAX + 2];
    struct flo_digest release;
    struct serve_kept kept;
    uint32_t lacks_dimensions; /* size of the model's vectors if that is too small; else 0 */
    size_t text_offset;        /* characters of the answer's text that have had log-probabilities */
};

#endif

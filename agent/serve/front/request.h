/* Request: one request of a client, with its parameters, its state on the way
 * to an engine, and its sink. */
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
    /* route of the name that the client asked for; NULL: the name has none */
    struct fallback *route;
    bool escalates;    /* the application asked for another target */
    bool is_from_site; /* another device of the site sent the request */
    /* another target of the route has the request, and not its own model */
    bool has_left;
    bool is_sent;   /* the prompt was sent to an endpoint */
    uint32_t at;    /* index in the route of the target that has the request */
    uint32_t tried; /* a bit for each target that had the request */
    enum flo_fallback_reason reason;
    /* number of answers of the request's own model that did not have the
     * requested form */
    uint32_t forms;
    /* error of the request's own model, if the request left the model because
     * of it */
    struct flo_err own;
    uint32_t tokens_out; /* tokens of the answer that the target reported; 0: none yet */
    bool has_claim;      /* `claim` is counted in the route's use of the day claim_day */
    uint64_t claim_day;
    struct flo_spend_amount claim;
    /* The message as the client sent it, together with its texts, if the
     * redaction replaced them.  NULL: params.message is unchanged. */
    struct flo_wire_message *message;
    struct flo_buf parts;
    struct serve_child *redaction; /* program that edits the prompt; NULL: none runs */
    /* timer after which the wait in the queue is a reason to leave the model;
     * NULL: none */
    struct event *patience;
};

struct serve_request {
    /* next request in the list that this one is in: held requests, running
     * ones, or those with several choices */
    struct serve_request *next;
    /* choices, if the body asks for several answers; NULL: it asks for one */
    struct serve_choices *choices;
    /* request to whose body this one is one of several answers (a choice);
     * NULL: it is no choice */
    struct serve_request *asker;
    /* index of this request among the several answers (choices) to its body */
    uint32_t index;
    struct flo_serve *serve;
    struct serve_place *place; /* model that answers */
    /* model that the client named, when another one answers a share of that
     * model's requests (a split) */
    struct serve_place *meant;
    const struct serve_front *front;
    void *state; /* state of the front, which front->drop() frees */
    struct serve_sink sink;
    enum request_kind kind; /* the front's kind */
    struct serve_params params;
    struct serve_call call;
    const struct flo_serve_pipeline *pipeline; /* pipeline that the request names; NULL: none */
    /* index of the pipeline's stage that is in progress */
    uint32_t stage;
    struct serve_detour detour;
    /* Guards (guard/guard.h). */
    struct guarding *guarding; /* check by guards that is in progress; NULL: none */
    /* model for which guards checked the prompt, also when a split lets another
     * one answer */
    const struct serve_place *looked_at;
    bool is_guarded;        /* the answer is stored for a guard, and not sent yet */
    uint32_t tokens_in;     /* number of tokens of the prompt, once the engine has reported it */
    struct flo_party party; /* who asks */
    bool is_held;
    bool is_leaving; /* the model of the request has been removed */
    /* time since which the request waits for a load on demand; 0: it does not
     * wait */
    uint64_t held_us;
    uint32_t retry_after_s; /* seconds after which a refused client may retry; 0: 1 */
    bool is_waiting;        /* the request is in the running list, but no engine has got it yet */
    bool is_due;            /* an engine gets the request even if the engine has no room */
    bool was_retried;
    bool has_begun;     /* the client has got a part of the answer */
    struct event *hold; /* timer that ends the request when it has waited too long */
    uint64_t came_us, first_us, last_us;
    uint64_t queue_us, prompt_us;
    /* time from the first to the last token by the engine's clock, because
     * frames may arrive here in bursts */
    uint64_t answer_us;
    uint64_t load_us; /* part of queue_us in which the model was being loaded */
    uint32_t tokens_out;
    uint32_t guessed, guessed_right; /* tokens of the answer, as in DONE */
    uint64_t created_s;
    char id[48]; /* id of the answer: the front's id_prefix and 24 hex digits */
    /* Name of the release that answers, such as "tiny@2.1.0". */
    char model_name[2 * FLO_NAME_MAX + 2];
    struct flo_digest release;
    struct serve_kept kept;
    /* size of the model's vectors if it is too small for the client; else 0 */
    uint32_t lacks_dimensions;
    /* number of characters of the answer whose log-probabilities were
     * written */
    size_t text_offset;
};

#endif

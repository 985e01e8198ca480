/* REST: one call on its way through authentication, transaction and answer.
 *
 * Handlers are rows of routes.def: they read `in`, change the store and
 * set status and `out`; they never see sockets, tokens' secrets or
 * transactions. */
#ifndef FLOTILLA_SERVER_REST_H
#define FLOTILLA_SERVER_REST_H

#include "base/host/httpd.h"

#include "server-stub/core/access/grants.h"
#include "server-stub/core/access/tokens.h"
#include "server-stub/core/request/rate.h"
#include "server-stub/core/timers.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"

#define FLO_TAG_PEOPLE 0
#define FLO_TAG_DEVICES 1
#define FLO_REST_BODY_MAX (1u << 20)
#define FLO_CURSOR_TEXT 160
#define FLO_REST_DEVICE_BODY_MAX (1u << 16) /* from strangers too */

/* An answer that waits (held.c). */
struct flo_rest_held {
    struct flo_rest_held *next;
    struct flo_httpd_request *request; /* NULL: the client went away */
    uint64_t number;                   /* number of the commit */
    int status;
    size_t bytes;
    char body[];
};
struct flo_rest_held_list {
    struct flo_rest_held *first;
    struct flo_rest_held **last;
};

struct event_base;
struct flo_batches;
struct flo_broker;
struct flo_live;
struct flo_login_desk;
struct flo_observe_bases;
struct flo_orders_plan;

#define FLO_REST_CERTIFICATES 4
#define FLO_REST_USES_MAX 256
struct flo_rest_use {
    char token_id[FLO_TOKEN_ID_TEXT];
    bool is_news; /* not written yet */
    uint64_t at_ms;
};

/* The caller's; it sets these pointers, at the latest when calls come. */
struct flo_rest {
    struct flo_controller *controller;
    struct event_base *base;
    struct flo_httpd *httpd;
    struct flo_batches *batches;
    struct flo_broker *broker; /* NULL: external */
    struct flo_live *live;
    struct flo_login_desk *login; /* NULL: no identity provider */
    struct flo_rest_held_list held;
    /* Checks of the audit, under way (verify.c). */
    struct flo_rest_check *checks;
    struct flo_rest_plan *plans; /* under way (plans.c) */
    /* Turn of the first one; NULL: none came yet. */
    struct event *plan_turn;
    bool has_lane; /* telemetry was heard once */
    uint64_t requests;
    uint64_t renewals;            /* certificates given to devices that had one */
    uint64_t strangers_refused;   /* enrolments that the audit does not name */
    uint64_t strangers_log_at_ms; /* not before */
    struct flo_refusals refusals; /* refused enrolment tokens */
    struct flo_rates *rates;      /* rates of access tokens */
    struct flo_rest_use uses[FLO_REST_USES_MAX];
    uint64_t uses_write_at_ms; /* not before */
    struct {
        char device[37];
        uint64_t at_ms;
    } refused[16]; /* devices that asked for artifacts of others */
    size_t refused_next;
    uint64_t started_at_ms;      /* wall */
    uint64_t certificates_at_ms; /* looked at again, not before */
    uint64_t certificate_ends_ms[FLO_REST_CERTIFICATES];
};

struct flo_rest_call {
    struct flo_rest *rest;
    struct flo_controller *controller;
    struct flo_httpd_request *request;
    char who[96];  /* "<token id> <name>", for audit */
    char name[65]; /* name of the person or token: `by` of orders */
    struct flo_grants grants;
    bool is_scoped;                 /* the role is of groups, not of the whole fleet */
    char person[65];                /* whose token it is, or "" */
    char account[FLO_ACCOUNT_TEXT]; /* user:NAME, or token:ID of nobody's */
    char token_id[64];              /* scope of idempotency keys; "": a stranger */
    char told[192];                 /* body without its secret, for the audit */
    json_t *in;                     /* body, or NULL */
    int status;                     /* as answers.def has it unless the handler says */
    json_t *out;                    /* taken */
    char etag[24];                  /* "" none */
    bool is_dry;                    /* dry_run: a plan, of which nothing is kept */
    bool is_read;                   /* the answer promises nothing */
    bool is_later;                  /* the handler has the request: it answers later */
};
typedef int (*flo_rest_handler)(struct flo_rest_call *call, struct flo_err *err);

#define FLO_REST_STREAM(...)
#define FLO_REST_ROUTE(method, pattern, access, flags, handler, what, query, body)                 \
    int handler(struct flo_rest_call *call, struct flo_err *err);
#include "server-stub/rest/routes.def"
#undef FLO_REST_ROUTE
#undef FLO_REST_STREAM

/* Calls that stream: where they stand in routes.def. */
enum flo_rest_stream {
#define FLO_REST_ROUTE(...)
#define FLO_REST_STREAM(name, ...) FLO_STREAM_##name,
#include "server-stub/rest/routes.def"
#undef FLO_REST_ROUTE
#undef FLO_REST_STREAM
    FLO_STREAM_COUNT
};
FLO_MUST_USE int flo_rest_stream_open(struct flo_rest *rest, enum flo_rest_stream stream,
                                      flo_httpd_handler handler, struct flo_err *err);
FLO_MUST_USE int flo_rest_upload_open(struct flo_rest *rest, enum flo_rest_stream stream,
                                      const struct flo_httpd_upload *upload,
                                      flo_httpd_handler handler, struct flo_err *err);

/* All routes into rest->httpd. */
FLO_MUST_USE int flo_rest_open(struct flo_rest *rest, struct flo_err *err);
/* /metrics: the fleet's and the controller's numbers in Prometheus' text
 * form. */
FLO_MUST_USE int flo_metrics_open(struct flo_rest *rest, struct flo_err *err);
/* The actor whose bearer token came; FLO_E_REST_AUTH, FLO_E_REST_ROLE. */
FLO_MUST_USE int flo_rest_authenticate(struct flo_controller *controller,
                                       struct flo_httpd_request *request, enum flo_access needs,
                                       struct flo_rest_call *call, struct flo_err *err);
/* May the caller, an operator, change something of this group, of this device?
 * FLO_E_REST_ROLE. */
FLO_MUST_USE int flo_rest_may_group(const struct flo_rest_call *call, const char *group,
                                    struct flo_err *err);
FLO_MUST_USE int flo_rest_may_device(const struct flo_rest_call *call, const char *device,
                                     struct flo_err *err);
/* When each token was used last, for people (rest->uses); flush writes it once
 * a minute. */
void flo_rest_used(struct flo_rest *rest, const char *token_id);
uint64_t flo_rest_used_at_ms(const struct flo_rest *rest, const char *token_id);
void flo_rest_used_write(struct flo_rest *rest, uint64_t now_ms);
/* The local user whose token it is, or null: a session's account is none. */
json_t *flo_rest_view_user(const struct flo_fleet_token *token);
/* As the list of tokens shows it. */
json_t *flo_rest_view_token(const struct flo_rest *rest, const struct flo_fleet_token *token);
/* Blobs stream, so they are not in the table. */
FLO_MUST_USE int flo_blobs_open(struct flo_rest *rest, struct flo_err *err);
/* Devices by certificate on their listener, people by token on theirs. */
FLO_MUST_USE int flo_rest_may_read(struct flo_controller *controller,
                                   struct flo_httpd_request *request, struct flo_err *err);
/* Trust statements, which devices fetch too. */
FLO_MUST_USE int flo_rest_revoked_open(struct flo_rest *rest, struct flo_err *err);
FLO_MUST_USE int flo_rest_statements_open(struct flo_rest *rest, struct flo_err *err);
/* Reports of devices come streamed too. */
FLO_MUST_USE int flo_reports_open(struct flo_rest *rest, struct flo_err *err);
/* The dashboard's files. */
FLO_MUST_USE int flo_web_open(struct flo_rest *rest, struct flo_err *err);

/* FLO_E_REST_UNKNOWN for a parameter that the shape (request.h) does not
 * name, FLO_E_REST_SCHEMA for one that stands there twice. */
FLO_MUST_USE int flo_rest_query_check(struct flo_httpd_request *request, const char *shape,
                                      struct flo_err *err);
/* ?name=true or false; false when absent.  The listener has checked it. */
bool flo_rest_flag(const struct flo_rest_call *call, const char *name);
/* ?name= as a whole number within its row of types.def; standard when absent.
 */
uint64_t flo_rest_number(const struct flo_rest_call *call, const char *name, uint64_t standard);
/* Members of the body, as its shape allows them; standard when absent. */
const char *flo_rest_text_in(const struct flo_rest_call *call, const char *name,
                             const char *standard);
uint64_t flo_rest_number_in(const struct flo_rest_call *call, const char *name, uint64_t standard);
bool flo_rest_flag_in(const struct flo_rest_call *call, const char *name, bool standard);
/* Answer with JSON when what the store says now is durable, in the order of
 * calls.  A sync that fails is the answer of all that wait. */
void flo_rest_answer(struct flo_rest *rest, struct flo_httpd_request *request, int status,
                     const char *body, size_t bytes);
/* An error; one of the server is logged with the request's id. */
void flo_rest_answer_err(struct flo_httpd_request *request, const struct flo_err *err);
/* Tag of a record, from the text of what a change is about. */
void flo_rest_etag_of(struct flo_rest_call *call, const char *text);
/* FLO_E_REST_STALE: If-Match names another tag than call->etag.  `what`:
 * "rollout r-0001". */
FLO_MUST_USE int flo_rest_match(struct flo_rest_call *call, const char *what, struct flo_err *err);
FLO_MUST_USE int flo_rest_rate_open(struct flo_rest *rest, struct flo_err *err);
void flo_rest_rate_close(struct flo_rest *rest);
/* One request of the call's token; FLO_E_REST_LIMIT.  Tells the limits in
 * headers. */
FLO_MUST_USE int flo_rest_rate_take(struct flo_rest_call *call, enum flo_rate_kind kind,
                                    struct flo_err *err);
/* From flo_rest_open on; before the listeners and the controller end. */
void flo_rest_held_open(struct flo_rest *rest);
void flo_rest_held_close(struct flo_rest *rest);
/* FLO_E_REST_LIMIT: so many plans are under way, of this account or of all.
 * Plans of rollouts leave those of emergency orders their room. */
FLO_MUST_USE int flo_rest_plan_has_room(const struct flo_rest_call *call, bool is_urgent,
                                        struct flo_err *err);
/* A plan, and its parts.  on: its next slice until that time (flo_now_ms).
 * bases: the question to the lane about its devices, the lane's to free; NULL:
 * there is none.  end: what is answered, a new reference. */
struct flo_rest_planner {
    bool is_urgent; /* an emergency order: its slices come first */
    int (*on)(void *plan, uint64_t until_ms, bool *is_whole, struct flo_err *err);
    struct flo_observe_bases *(*bases)(void *plan);
    int (*end)(void *plan, const struct flo_observe_bases *bases_or_null, json_t **out,
               struct flo_err *err);
    void (*drop)(void *plan);
};
/* The call is answered later; takes `plan` in any case. */
FLO_MUST_USE int flo_rest_plan_begin(struct flo_rest_call *call,
                                     const struct flo_rest_planner *planner, void *plan,
                                     struct flo_err *err);
/* The plan of a rollout that is not started: takes the entry. */
FLO_MUST_USE int flo_rest_plan_rollout(struct flo_rest_call *call, struct flo_rollout_entry *entry,
                                       struct flo_err *err);
/* The plan of an order (emergency.h): takes it. */
FLO_MUST_USE int flo_rest_plan_order(struct flo_rest_call *call, struct flo_orders_plan *plan,
                                     struct flo_err *err);
/* After the listeners: checks of the audit, and plans, that nobody waits for
 * any more. */
void flo_rest_checks_close(struct flo_rest *rest);
void flo_rest_plans_close(struct flo_rest *rest);
/* {"items":[...],"next":...}; takes both. */
json_t *flo_rest_list(json_t *items, const char *next);

/* A page of a list: ask the store for one row more than `limit`. */
struct flo_rest_page {
    json_t *items;
    uint64_t limit;
    bool has_more;
    char last[FLO_CURSOR_TEXT]; /* key of the last element, the caller's */
};
/* false: the page is full, and there is more. */
bool flo_rest_page_takes(struct flo_rest_page *page);
/* The element that was just added is the last one: its key is wanted. */
static inline bool flo_rest_page_is_full(const struct flo_rest_page *page)
{
    return json_array_size(page->items) >= page->limit;
}
/* The answer; `next` is the last element's key. */
void flo_rest_page_end(struct flo_rest_call *call, struct flo_rest_page *page);
/* ?cursor= as "<text>@<number>" or "<number>.<text>", which has the mark.
 * Without one the number is 0 and the text "" (it has FLO_CURSOR_TEXT).
 * FLO_E_REST_MEANING: no list gave it. */
FLO_MUST_USE int flo_rest_cursor(const struct flo_rest_call *call, char mark, char *text,
                                 uint64_t *number, struct flo_err *err);
/* `Link: <the same path and query, with the next cursor>; rel="next"` (RFC
 * 8288) where the answer is a page with a next one. */
void flo_rest_link_next(struct flo_rest_call *call);

#endif

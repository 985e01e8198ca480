/* REST: one call on its way through authentication, transaction and answer.
 *
 * Handlers are named in routes.def.  A handler reads `in`, changes the store
 * and sets status and `out`.  It sees neither sockets nor secrets of tokens nor
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
/* limit of a body that any client may send, even an unknown one */
#define FLO_REST_DEVICE_BODY_MAX (1u << 16)

/* An answer that waits until its commit is durable (held.c). */
struct flo_rest_held {
    struct flo_rest_held *next;
    struct flo_httpd_request *request; /* the client's request; NULL: the client disconnected */
    uint64_t number;                   /* number of the commit for which the answer waits */
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

/* State of REST.  The caller sets its pointers before the first call
 * arrives. */
struct flo_rest {
    struct flo_controller *controller;
    struct event_base *base;
    struct flo_httpd *httpd;
    struct flo_batches *batches;
    struct flo_broker *broker; /* NULL: external */
    struct flo_live *live;
    struct flo_login_desk *login; /* login by an identity provider; NULL: none is configured */
    struct flo_rest_held_list held;
    /* Checks of the audit that are in progress (verify.c). */
    struct flo_rest_check *checks;
    struct flo_rest_plan *plans; /* plans that are in progress (plans.c) */
    struct flo_walks *walks;     /* lists that are paged (walks.h); NULL: none was yet */
    /* Event for the next slice of the first plan's work; NULL: there was no
     * plan yet. */
    struct event *plan_turn;
    bool has_lane; /* the telemetry thread was connected to the broker at least once */
    uint64_t requests;
    uint64_t renewals;            /* renewed certificates */
    uint64_t strangers_refused;   /* number of refused enrolments without an audit row */
    uint64_t strangers_log_at_ms; /* not before */
    struct flo_refusals refusals; /* refused enrolment tokens */
    struct flo_rates *rates;      /* limits of requests for each access token */
    struct flo_rest_use uses[FLO_REST_USES_MAX];
    uint64_t uses_write_at_ms; /* not before */
    struct {
        char device[37];
        uint64_t at_ms;
    } refused[16]; /* devices that were refused an artifact which is not offered to them */
    size_t refused_next;
    uint64_t started_at_ms;      /* wall clock */
    uint64_t certificates_at_ms; /* time of the next check of the certificate files */
    uint64_t certificate_ends_ms[FLO_REST_CERTIFICATES];
};

struct flo_rest_call {
    struct flo_rest *rest;
    struct flo_controller *controller;
    struct flo_httpd_request *request;
    char who[96];  /* "<token id> <name>" of the caller, for the audit */
    char name[65]; /* name of the person or token, which is `by` of the caller's orders */
    struct flo_grants grants;
    bool is_scoped;  /* the caller's role is for some groups, not for the whole fleet */
    char person[65]; /* name of the token's owner, or "" */
    /* account of the caller: user:NAME, or token:ID without an owner */
    char account[FLO_ACCOUNT_TEXT];
    char token_id[64]; /* id of the token, for which idempotency keys are valid; "": no token */
    char told[192];    /* body of the call without its secret, for the audit */
    json_t *in;        /* body, or NULL */
    int status;        /* status of the answer: from answers.def, unless the handler changes it */
    json_t *out;       /* the answer as JSON, which the listener takes over */
    char etag[24];     /* "" none */
    bool is_dry;       /* the call has dry_run: it makes only a plan, and stores nothing */
    bool is_read;      /* the call only reads, so its answer need not wait for a sync */
    bool is_later;     /* the handler kept the request and
                          answers later */
};
typedef int (*flo_rest_handler)(struct flo_rest_call *call, struct flo_err *err);

#define FLO_REST_STREAM(...)
#define FLO_REST_ROUTE(method, pattern, access, flags, handler, what, query, body)                 \
    int handler(struct flo_rest_call *call, struct flo_err *err);
#include "server-stub/rest/routes.def"

/* Calls that stream, numbered in the order of routes.def. */
enum flo_rest_stream {
#define FLO_REST_ROUTE(...)
#define FLO_REST_STREAM(name, ...) FLO_STREAM_##name,
#include "server-stub/rest/routes.def"
    FLO_STREAM_COUNT
};
FLO_MUST_USE int flo_rest_stream_open(struct flo_rest *rest, enum flo_rest_stream stream,
                                      flo_httpd_handler handler, struct flo_err *err);
FLO_MUST_USE int flo_rest_upload_open(struct flo_rest *rest, enum flo_rest_stream stream,
                                      const struct flo_httpd_upload *upload,
                                      flo_httpd_handler handler, struct flo_err *err);

/* Registers all routes of the API with rest->httpd. */
FLO_MUST_USE int flo_rest_open(struct flo_rest *rest, struct flo_err *err);
/* Registers /metrics, which shows metrics of the fleet and the controller as
 * Prometheus text. */
FLO_MUST_USE int flo_metrics_open(struct flo_rest *rest, struct flo_err *err);
/* Authenticates the caller by the bearer token, and fills in the caller's
 * fields.  FLO_E_REST_AUTH: no valid token.  FLO_E_REST_ROLE: the role is too
 * low. */
FLO_MUST_USE int flo_rest_authenticate(struct flo_controller *controller,
                                       struct flo_httpd_request *request, enum flo_access needs,
                                       struct flo_rest_call *call, struct flo_err *err);
/* Checks that the caller, an operator, may change this group or this device.
 * FLO_E_REST_ROLE: the caller's role does not include it. */
FLO_MUST_USE int flo_rest_may_group(const struct flo_rest_call *call, const char *group,
                                    struct flo_err *err);
FLO_MUST_USE int flo_rest_may_device(const struct flo_rest_call *call, const char *device,
                                     struct flo_err *err);
/* Notes the use of a token for people, in rest->uses.  The uses are written
 * once a minute. */
void flo_rest_used(struct flo_rest *rest, const char *token_id);
uint64_t flo_rest_used_at_ms(const struct flo_rest *rest, const char *token_id);
void flo_rest_used_write(struct flo_rest *rest, uint64_t now_ms);
/* Returns the name of the local user who owns the token.  Returns null for a
 * session, whose account is no local user. */
json_t *flo_rest_view_user(const struct flo_fleet_token *token);
/* Returns a token in the form of the list of tokens. */
json_t *flo_rest_view_token(const struct flo_rest *rest, const struct flo_fleet_token *token);
/* Registers the paths of artifacts, which stream and so have handlers of their
 * own. */
FLO_MUST_USE int flo_blobs_open(struct flo_rest *rest, struct flo_err *err);
/* Checks who may read artifacts: devices by certificate on their listener,
 * people by token on theirs. */
FLO_MUST_USE int flo_rest_may_read(struct flo_controller *controller,
                                   struct flo_httpd_request *request, struct flo_err *err);
/* Registers the lists of revoked certificates and the trust statements; devices
 * may fetch both. */
FLO_MUST_USE int flo_rest_revoked_open(struct flo_rest *rest, struct flo_err *err);
FLO_MUST_USE int flo_rest_statements_open(struct flo_rest *rest, struct flo_err *err);
/* Registers the paths of reports, which devices upload as streams. */
FLO_MUST_USE int flo_reports_open(struct flo_rest *rest, struct flo_err *err);
/* Registers the path of the OpenAPI document. */
FLO_MUST_USE int flo_web_open(struct flo_rest *rest, struct flo_err *err);
/* Registers the paths of the dashboard's files. */
FLO_MUST_USE int flo_dashboard_open(struct flo_rest *rest, struct flo_err *err);

/* Checks the query's parameters.  FLO_E_REST_UNKNOWN: the shape (request.h)
 * does not name a parameter.  FLO_E_REST_SCHEMA: a parameter is repeated. */
FLO_MUST_USE int flo_rest_query_check(struct flo_httpd_request *request, const char *shape,
                                      struct flo_err *err);
/* Returns the flag ?name=, which the listener checked to be true or false.  An
 * absent flag is false. */
bool flo_rest_flag(const struct flo_rest_call *call, const char *name);
/* Returns ?name= as a whole number within the limits of its row in types.def,
 * or `standard` when it is absent. */
uint64_t flo_rest_number(const struct flo_rest_call *call, const char *name, uint64_t standard);
/* Returns a text of the body that its shape allows, or `standard` when it is
 * absent. */
const char *flo_rest_text_in(const struct flo_rest_call *call, const char *name,
                             const char *standard);
uint64_t flo_rest_number_in(const struct flo_rest_call *call, const char *name, uint64_t standard);
bool flo_rest_flag_in(const struct flo_rest_call *call, const char *name, bool standard);
/* Answers with JSON once the present state of the store is durable.  Answers
 * are sent in the order of these calls.  If a sync fails, all waiting calls get
 * its error. */
void flo_rest_answer(struct flo_rest *rest, struct flo_httpd_request *request, int status,
                     const char *body, size_t bytes);
/* Answers a call with an error.  A server error is logged with the request's
 * id. */
void flo_rest_answer_err(struct flo_httpd_request *request, const struct flo_err *err);
/* Computes the call's ETag.  `text` has all facts that a change by people can
 * set. */
void flo_rest_etag_of(struct flo_rest_call *call, const char *text);
/* Checks If-Match.  FLO_E_REST_STALE: it names another tag than call->etag.
 * `what` names the object in the error, such as "rollout r-0001". */
FLO_MUST_USE int flo_rest_match(struct flo_rest_call *call, const char *what, struct flo_err *err);
FLO_MUST_USE int flo_rest_rate_open(struct flo_rest *rest, struct flo_err *err);
void flo_rest_rate_close(struct flo_rest *rest);
/* Counts one request of the call's token, and adds headers with the limits.
 * FLO_E_REST_LIMIT: the token has used up its limit. */
FLO_MUST_USE int flo_rest_rate_take(struct flo_rest_call *call, enum flo_rate_kind kind,
                                    struct flo_err *err);
/* Opens the list of answers that wait for a commit; flo_rest_open calls it.
 * flo_rest_held_close is called before the listeners and the controller are
 * closed. */
void flo_rest_held_open(struct flo_rest *rest);
void flo_rest_held_close(struct flo_rest *rest);
/* Checks that another plan may begin.  FLO_E_REST_LIMIT: too many plans are in
 * progress, of this account or in total.  Some places are reserved for plans of
 * emergency orders. */
FLO_MUST_USE int flo_rest_plan_has_room(const struct flo_rest_call *call, bool is_urgent,
                                        struct flo_err *err);
/* A kind of plan, as functions.  `on` runs slices of the plan's work until the
 * time until_ms (flo_now_ms).  `bases` returns a query to the telemetry thread
 * about the plan's devices, or NULL for none; that thread frees it.  `end`
 * makes the answer, a new reference. */
struct flo_rest_planner {
    bool is_urgent; /* plan of an emergency order, whose work runs before that of others */
    int (*on)(void *plan, uint64_t until_ms, bool *is_whole, struct flo_err *err);
    struct flo_observe_bases *(*bases)(void *plan);
    int (*end)(void *plan, const struct flo_observe_bases *bases_or_null, json_t **out,
               struct flo_err *err);
    void (*drop)(void *plan);
};
/* Begins a plan, whose call is answered later.  Takes ownership of `plan` in
 * any case. */
FLO_MUST_USE int flo_rest_plan_begin(struct flo_rest_call *call,
                                     const struct flo_rest_planner *planner, void *plan,
                                     struct flo_err *err);
/* Begins the plan of a rollout that is not started.  Takes ownership of the
 * entry. */
FLO_MUST_USE int flo_rest_plan_rollout(struct flo_rest_call *call, struct flo_rollout_entry *entry,
                                       struct flo_err *err);
/* Begins the plan of an emergency order.  Takes ownership of `plan`. */
FLO_MUST_USE int flo_rest_plan_order(struct flo_rest_call *call, struct flo_orders_plan *plan,
                                     struct flo_err *err);
/* Ends all checks of the audit in progress, for which no client waits any more.
 * Called after the listeners are closed; flo_rest_plans_close does it for
 * plans. */
void flo_rest_checks_close(struct flo_rest *rest);
void flo_rest_plans_close(struct flo_rest *rest);
/* Builds {"items":[...],"next":...}.  Takes ownership of `items`. */
json_t *flo_rest_list(json_t *items, const char *next);

/* Page of a list.  The handler queries the store for one row more than
 * `limit`. */
struct flo_rest_page {
    json_t *items;
    uint64_t limit;
    bool has_more;
    char last[FLO_CURSOR_TEXT]; /* key of the page's last element, which the handler sets */
};
/* Tells whether the page takes one more element.  Returns false when the page
 * is full, and notes then that there are more. */
bool flo_rest_page_takes(struct flo_rest_page *page);
/* Returns true when the added element is the last one of the page, so that its
 * key is needed. */
static inline bool flo_rest_page_is_full(const struct flo_rest_page *page)
{
    return json_array_size(page->items) >= page->limit;
}
/* Answers with the page.  `next` in the answer is the key of the last
 * element. */
void flo_rest_page_end(struct flo_rest_call *call, struct flo_rest_page *page);
/* Reads the parameter `cursor`: a text and a number, separated by the character
 * `mark`.  Its form is "<text>@<number>" or "<number>.<text>".  Without a
 * cursor the number is 0 and the text "".  `text` holds FLO_CURSOR_TEXT bytes.
 * FLO_E_REST_MEANING: no list gave this cursor. */
FLO_MUST_USE int flo_rest_cursor(const struct flo_rest_call *call, char mark, char *text,
                                 uint64_t *number, struct flo_err *err);
/* Refuses a cursor that no list gave. */
int flo_rest_cursor_fails(const char *cursor, struct flo_err *err);
/* Adds the header Link with rel="next" (RFC 8288) if the answer is a page with
 * a next one.  The link has the request's path and query, and the next
 * cursor. */
void flo_rest_link_next(struct flo_rest_call *call);

#endif

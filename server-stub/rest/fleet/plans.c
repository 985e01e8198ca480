/* REST: plans of rollouts and orders, in slices.
 *
 * A plan reads the report of each device on the thread that answers all
 * requests, so other requests are answered between two slices. */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "server-stub/rest/rest.h"
#include "server-stub/state/rollouts/rollouts.h"

#define PLANS_MAX 16
#define ACCOUNT_MAX 4

struct flo_rest_plan {
    struct flo_rest_plan *next;
    struct flo_rest *rest;
    struct flo_httpd_request *request; /* the client's request; NULL: the client disconnected */
    char account[FLO_ACCOUNT_TEXT];
    char etag[24]; /* "" none */
    const struct flo_rest_planner *planner;
    void *context; /* the planner's data, which the planner frees */
    bool is_asked; /* the telemetry thread is answering a request of this plan */
};

static void unlist(struct flo_rest_plan *plan)
{
    struct flo_rest_plan **at = &plan->rest->plans;

    while (*at != NULL && *at != plan) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = plan->next;
    }
}

/* Appends a plan to the list of plans in progress. */
static void list(struct flo_rest_plan *plan)
{
    struct flo_rest_plan **at = &plan->rest->plans;

    while (*at != NULL) {
        at = &(*at)->next;
    }
    plan->next = NULL;
    *at = plan;
}

static void plan_free(struct flo_rest_plan *plan)
{
    if (plan->rest != NULL) {
        unlist(plan);
    }
    plan->planner->drop(plan->context);
    free(plan);
}

static void on_closed(void *user)
{
    struct flo_rest_plan *plan = user;

    plan->request = NULL;
}

/* ---- its end ---- */

static void answer_err(struct flo_rest_plan *plan, int rv, struct flo_err *err)
{
    err->code = err->code == 0 ? rv : err->code;
    flo_rest_answer_err(plan->request, err);
}

static void answer(struct flo_rest_plan *plan, const struct flo_observe_bases *bases_or_null)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *out = NULL;
    struct flo_err err = {0};
    int rv = plan->planner->end(plan->context, bases_or_null, &out, &err);

    flo_httpd_set_user(plan->request, NULL, NULL);
    if (rv == 0) {
        flo_json_dump(out, &body);
        rv = body.failed ? flo_fail(&err, FLO_E_MEMORY, "answer") : 0;
    }
    if (rv < 0) {
        answer_err(plan, rv, &err);
        return;
    }
    if (plan->etag[0] != '\0') {
        flo_httpd_add_header(plan->request, "ETag", plan->etag);
    }
    flo_httpd_add_header(plan->request, "Cache-Control", "no-store");
    flo_httpd_answer(plan->request, 200, "application/json", body.data, body.bytes);
}

/* Context of a request to the telemetry thread.  `plan` is NULL until the
 * request is accepted, so a refused request does not free the plan. */
struct asked {
    struct flo_rest_plan *plan;
};

static void asked_free(void *context)
{
    struct asked *asked = context;

    if (asked->plan != NULL) {
        plan_free(asked->plan);
    }
    free(asked);
}

static void on_bases(void *context, const struct flo_lane_query *query, const char *text,
                     const struct flo_err *err)
{
    struct flo_rest_plan *plan = ((struct asked *)context)->plan;
    (void)text;

    if (plan->request != NULL) {
        answer(plan, err->code == 0 ? query->bases : NULL);
    }
}

/* Asks the telemetry thread for baselines of the plan's devices.  Returns false
 * when the plan is answered without them. */
static bool ask_for_bases(struct flo_rest_plan *plan)
{
    struct flo_lane *lane = plan->rest->controller->lane;
    struct flo_observe_bases *bases = plan->planner->bases(plan->context);
    struct flo_lane_query *query = calloc(1, sizeof(*query));
    struct asked *asked = calloc(1, sizeof(*asked));
    struct flo_err err = {0};

    if (bases == NULL || query == NULL || asked == NULL || lane == NULL ||
        !flo_lane_has_past(lane)) {
        flo_observe_bases_free(bases);
        free(query);
        free(asked);
        return false;
    }
    query->bases = bases;
    query->done = on_bases;
    snprintf(query->account, sizeof(query->account), "%s", plan->account);
    query->drop = asked_free;
    query->context = asked;
    if (flo_lane_ask(lane, query, &err) < 0) {
        return false; /* the telemetry thread has too many waiting requests, and
                         refused this one */
    }
    asked->plan = plan;
    plan->is_asked = true;
    return true;
}

/* ---- its slices ---- */

/* Runs a slice of a plan's work.  Returns true when the plan is complete, or
 * when no client waits for it. */
static bool slice(struct flo_rest_plan *plan)
{
    struct flo_err err = {0};
    bool is_whole = plan->request == NULL;
    int rv = is_whole
                 ? 0
                 : plan->planner->on(plan->context, flo_now_ms() + FLO_TURN_MS, &is_whole, &err);

    if (rv < 0) {
        flo_httpd_set_user(plan->request, NULL, NULL);
        answer_err(plan, rv, &err);
        plan->request = NULL;
        return true;
    }
    return is_whole;
}

static struct flo_rest_plan *next_of(struct flo_rest *rest)
{
    struct flo_rest_plan *first = NULL;

    for (struct flo_rest_plan *at = rest->plans; at != NULL; at = at->next) {
        if (!at->is_asked &&
            (first == NULL || (at->planner->is_urgent && !first->planner->is_urgent))) {
            first = at;
        }
    }
    return first;
}

/* Runs a slice of the first plan's work.  The next slice runs after other
 * waiting events. */
static void on_turn(evutil_socket_t fd, short what, void *context)
{
    static const struct timeval soon = {.tv_usec = 1};
    struct flo_rest *rest = context;
    struct flo_rest_plan *plan = next_of(rest);

    (void)fd, (void)what;
    if (plan != NULL && !slice(plan)) {
        unlist(plan);
        list(plan);
    } else if (plan != NULL && plan->request == NULL) {
        plan_free(plan);
    } else if (plan != NULL && !ask_for_bases(plan)) {
        answer(plan, NULL);
        plan_free(plan);
    }
    if (next_of(rest) != NULL) {
        event_add(rest->plan_turn, &soon);
    }
}

/* ---- its begin ---- */

int flo_rest_plan_has_room(const struct flo_rest_call *call, bool is_urgent, struct flo_err *err)
{
    size_t count = 0, own = 0;

    for (const struct flo_rest_plan *at = call->rest->plans; at != NULL; at = at->next) {
        if (at->planner->is_urgent == is_urgent) {
            own += strcmp(at->account, call->account) == 0;
            count++;
        }
    }
    if (count < PLANS_MAX && own < ACCOUNT_MAX) {
        return 0;
    }
    flo_fail(err, FLO_E_REST_LIMIT,
             "%zu plans of %s are made already, %zu of this account; %d "
             "and %d may be",
             count, is_urgent ? "orders" : "rollouts", own, PLANS_MAX, ACCOUNT_MAX);
    return flo_err_fix(err, "ask again when they are answered");
}

static int has_turn(struct flo_rest *rest, struct flo_err *err)
{
    if (rest->plan_turn == NULL) {
        rest->plan_turn = event_new(rest->base, -1, 0, on_turn, rest);
    }
    return rest->plan_turn != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "a plan");
}

int flo_rest_plan_begin(struct flo_rest_call *call, const struct flo_rest_planner *planner,
                        void *context, struct flo_err *err)
{
    struct flo_rest_plan *plan = calloc(1, sizeof(*plan));
    int rv = has_turn(call->rest, err);

    if (rv == 0 && plan == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "a plan");
    }
    if (rv < 0) {
        planner->drop(context);
        free(plan);
        return rv;
    }
    *plan = (struct flo_rest_plan){
        .rest = call->rest, .request = call->request, .planner = planner, .context = context};
    snprintf(plan->account, sizeof(plan->account), "%s", call->account);
    snprintf(plan->etag, sizeof(plan->etag), "%s", call->etag);
    list(plan);
    event_active(call->rest->plan_turn, EV_TIMEOUT, 0);
    flo_httpd_set_user(call->request, plan, on_closed);
    call->is_later = true;
    return 0;
}

/* Ends all plans in progress.  A plan of which the telemetry thread has a
 * request is freed with that request. */
void flo_rest_plans_close(struct flo_rest *rest)
{
    struct flo_rest_plan *plan;

    while ((plan = rest->plans) != NULL) {
        unlist(plan);
        plan->rest = NULL;
        if (!plan->is_asked) {
            plan_free(plan);
        }
    }
    if (rest->plan_turn != NULL) {
        event_free(rest->plan_turn);
        rest->plan_turn = NULL;
    }
}

/* REST: the check of the whole audit, in slices of work.
 *
 * After years an audit has 100,000 records, and the check runs on the thread
 * that answers all requests.  Other requests are answered between two slices.
 * An account has one check at a time. */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include <flotilla/errors/audit.h>

#include "server-stub/rest/rest.h"
#include "server-stub/state/audit/head.h"
#include "server-stub/state/rollouts/rollouts.h"

#define CHECKS_MAX 8

struct flo_rest_check {
    struct flo_rest_check *next;
    struct flo_rest *rest;
    struct flo_httpd_request *request; /* the client's request; NULL: the client disconnected */
    char account[FLO_ACCOUNT_TEXT];
    struct flo_audit_check check;
    struct event *event;
};

static void end(struct flo_rest_check *job)
{
    struct flo_rest_check **at = &job->rest->checks;

    while (*at != job) {
        at = &(*at)->next;
    }
    *at = job->next;
    if (job->event != NULL) {
        event_free(job->event);
    }
    free(job);
}

static void answer(struct flo_rest_check *job, int rv, const struct flo_err *broken)
{
    struct flo_controller *controller = job->rest->controller;
    struct flo_audit_checkpoint newest = flo_audit_head_newest(controller);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char head[FLO_DIGEST_TEXT];

    flo_httpd_set_user(job->request, NULL, NULL);
    if (rv < 0 && rv != FLO_E_AUDIT_CHAIN && rv != FLO_E_AUDIT_CUT) {
        flo_httpd_answer_err(job->request, broken);
        return;
    }
    flo_digest_text(&job->check.walk.head, head);
    json_t *out = json_pack("{s:b,s:I,s:s,s:s,s:s,s:I,s:I}", "ok", rv == 0, "records",
                            (json_int_t)job->check.walk.number, "head", head, "error", broken->what,
                            "code", rv < 0 ? flo_error_id(rv) : "", "signed",
                            (json_int_t)newest.number, "signed_at_ms", (json_int_t)newest.at_ms);
    flo_json_dump(out, &text);
    json_decref(out);
    flo_httpd_add_header(job->request, "Cache-Control", "no-store");
    flo_httpd_answer(job->request, 200, "application/json", text.data, text.bytes);
}

static void on_slice(evutil_socket_t fd, short what, void *context)
{
    static const struct timeval soon = {.tv_usec = 1};
    struct flo_rest_check *job = context;
    struct flo_err err = {0};

    (void)fd, (void)what;
    int rv =
        job->request == NULL ? 0 : flo_audit_check_on(job->rest->controller, &job->check, &err);
    if (job->request != NULL && rv == 0 && !job->check.is_over) {
        event_add(job->event, &soon); /* after waiting events */
        return;
    }
    if (job->request != NULL) {
        answer(job, rv, &err);
    }
    end(job);
}

static void on_closed(void *user)
{
    struct flo_rest_check *job = user;

    job->request = NULL;
}

/* Checks that another check may begin.  FLO_E_REST_LIMIT: too many are in
 * progress, of this account or in total. */
static int has_room(const struct flo_rest_call *call, struct flo_err *err)
{
    size_t count = 0;

    for (const struct flo_rest_check *at = call->rest->checks; at != NULL; at = at->next) {
        if (strcmp(at->account, call->account) == 0) {
            return flo_fail(err, FLO_E_REST_LIMIT, "a check of the audit is under way for %s",
                            call->account);
        }
        count++;
    }
    return count < CHECKS_MAX
               ? 0
               : flo_fail(err, FLO_E_REST_LIMIT, "%zu checks of the audit are under way", count);
}

int flo_rest_audit_verify(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_rest *rest = call->rest;

    FLO_TRY(has_room(call, err));
    struct flo_rest_check *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "check of the audit");
    }
    job->rest = rest;
    job->request = call->request;
    snprintf(job->account, sizeof(job->account), "%s", call->account);
    job->next = rest->checks;
    rest->checks = job;
    job->event = event_new(rest->base, -1, 0, on_slice, job);
    if (job->event == NULL) {
        end(job);
        return flo_fail(err, FLO_E_MEMORY, "check of the audit");
    }
    event_active(job->event, EV_TIMEOUT, 0);
    flo_httpd_set_user(call->request, job, on_closed);
    call->is_later = true;
    return 0;
}

void flo_rest_checks_close(struct flo_rest *rest)
{
    while (rest->checks != NULL) {
        end(rest->checks);
    }
}

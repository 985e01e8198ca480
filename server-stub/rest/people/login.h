/* Login of people by an identity provider: what REST and the asker share.
 *
 * REST keeps the logins under way and makes the session. The asker
 * (run/login) talks to the provider on a thread of its own. */
#ifndef FLOTILLA_SERVER_REST_LOGIN_H
#define FLOTILLA_SERVER_REST_LOGIN_H

#include "server-stub/core/oidc/logins.h"
#include "server-stub/core/oidc/oidc.h"
#include "server-stub/rest/rest.h"

#define FLO_LOGIN_CODE 2049

/* Settings of oidc.yaml; texts live as long as the asker. */
struct flo_login_settings {
    const char *issuer;
    const char *client_id;
    const char *scopes;
    const char *name; /* for the button of the page */
    const char *name_claim;
    struct flo_oidc_roles roles;
    uint64_t session_ms;
};

/* A question to the provider: where the browser is sent, or who has come back.
 */
struct flo_login_job {
    struct flo_login_job *next;
    struct flo_rest *rest;
    struct flo_httpd_request *request; /* NULL: the client went away */
    uint64_t asked_at_ms;
    char client[64]; /* address, for the log */
    bool has_come_back;
    struct flo_login login; /* without a state until the browser is sent */
    char code[FLO_LOGIN_CODE];
    /* the answer */
    struct flo_err err;
    struct flo_oidc_provider provider;
    char name[FLO_NAME_MAX + 1];
    char subject[FLO_OIDC_SUBJECT];
    char account[FLO_OIDC_ACCOUNT];
    char role[FLO_GRANTS_TEXT];
};

struct flo_login_desk {
    const struct flo_login_settings *settings;
    struct flo_logins logins;
    bool is_plain; /* people come by HTTP, maybe through a proxy */
    /* Takes the job; flo_rest_login_done comes later, on the same loop.
     * FLO_E_REST_LIMIT: too many wait; the job stays the caller's. */
    int (*ask)(void *context, struct flo_login_job *job, struct flo_err *err);
    void *context;
};

/* The job's answer is there; frees it. */
void flo_rest_login_done(struct flo_login_job *job);
#endif

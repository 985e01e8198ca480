/* Login of people by an identity provider: shared by REST and the asker.
 *
 * REST keeps the logins in progress and makes the session.  The asker
 * (run/login) talks to the provider on a thread of its own. */
#ifndef FLOTILLA_SERVER_REST_LOGIN_H
#define FLOTILLA_SERVER_REST_LOGIN_H

#include "server-stub/core/oidc/logins.h"
#include "server-stub/core/oidc/oidc.h"
#include "server-stub/rest/rest.h"

#define FLO_LOGIN_CODE 2049

/* Settings of oidc.yaml; the texts live as long as the asker. */
struct flo_login_settings {
    const char *issuer;
    const char *client_id;
    const char *scopes;
    const char *name; /* text of the page's button for the login */
    const char *name_claim;
    struct flo_oidc_roles roles;
    uint64_t session_ms;
};

/* A request to the provider.  It asks where to send the browser, or who has
 * returned from there. */
struct flo_login_job {
    struct flo_login_job *next;
    struct flo_rest *rest;
    struct flo_httpd_request *request; /* the client's request; NULL: the client disconnected */
    uint64_t asked_at_ms;
    char client[64]; /* address of the client, for the log */
    bool has_come_back;
    /* the login in progress; empty until the provider's address for the browser
     * is known */
    struct flo_login login;
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
    bool is_plain; /* people reach the controller by HTTP, perhaps through a proxy */
    /* Sends a job to the asker, which takes ownership. flo_rest_login_done
     * follows later on the same event loop.  FLO_E_REST_LIMIT: too many jobs
     * wait, and the caller keeps this one. */
    int (*ask)(void *context, struct flo_login_job *job, struct flo_err *err);
    void *context;
};

/* Answers the call of a finished job, and frees the job. */
void flo_rest_login_done(struct flo_login_job *job);
#endif

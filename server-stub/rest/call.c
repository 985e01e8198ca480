/* REST: helpers for handlers: the caller, the parameters and the lists of a
 * call. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/rest.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"

#include "server-stub/core/oidc/oidc.h"
#include "server-stub/core/request/request.h"
#include "server-stub/rest/rest.h"

/* ---- who ---- */

struct token {
    struct flo_digest secret;
    struct flo_grants grants;
    bool is_access;
    char name[65];
    char person[65];
    char role[FLO_GRANTS_TEXT];
    uint64_t expires_at_ms;
};

static int take_token(void *context, const struct flo_fleet_token *token)
{
    struct token *out = context;

    out->secret = token->secret;
    out->is_access =
        strcmp(token->kind, "access") == 0 && flo_grants_parse(token->role, &out->grants);
    out->expires_at_ms = token->expires_at_ms;
    snprintf(out->name, sizeof(out->name), "%s", token->name);
    snprintf(out->person, sizeof(out->person), "%s", token->person);
    snprintf(out->role, sizeof(out->role), "%s", token->role);
    return 0;
}

static int no_token(struct flo_err *err)
{
    return flo_fail(err, FLO_E_REST_AUTH, "a valid bearer token is needed");
}

int flo_rest_authenticate(struct flo_controller *controller, struct flo_httpd_request *request,
                          enum flo_access needs, struct flo_rest_call *call, struct flo_err *err)
{
    const char *bearer = flo_httpd_bearer(request);
    struct token token = {0};
    struct flo_digest digest;
    char id[FLO_TOKEN_ID_TEXT];

    if (needs == FLO_ACCESS_NONE) {
        snprintf(call->who, sizeof(call->who), "%s", flo_httpd_peer_address(request));
        return 0;
    }
    if (bearer == NULL || !flo_access_token_parse(bearer, id)) {
        return no_token(err);
    }
    int rv = flo_fleet_token_get(controller->store, id, NULL, take_token, &token, err);
    if (rv == FLO_E_ABSENT) {
        return no_token(err);
    }
    FLO_TRY(rv);
    flo_sha256(bearer, strlen(bearer), &digest);
    if (!flo_secret_equal(digest.bytes, token.secret.bytes, FLO_DIGEST_BYTES) || !token.is_access ||
        (token.expires_at_ms != 0 && token.expires_at_ms <= flo_wall_ms())) {
        return no_token(err);
    }
    bool is_session = flo_oidc_is_account(token.person);
    const char *name = token.person[0] != '\0' && !is_session ? token.person : token.name;
    snprintf(call->who, sizeof(call->who), "%s %s", id, name);
    snprintf(call->name, sizeof(call->name), "%s", name);
    snprintf(call->person, sizeof(call->person), "%s", token.person);
    snprintf(call->token_id, sizeof(call->token_id), "%s", id);
    bool is_person = token.person[0] != '\0';
    snprintf(call->account, sizeof(call->account), "%s:%s", is_person ? "user" : "token",
             is_person ? token.person : id);
    call->grants = token.grants;
    call->is_scoped = !flo_grants_hold(&token.grants, needs);
    if (!flo_grants_hold_somewhere(&token.grants, needs)) {
        return flo_fail(err, FLO_E_REST_ROLE, "this needs the role %s, the token %s has %s",
                        flo_access_word(needs), token.name, token.role);
    }
    return 0;
}

/* ---- for whom ---- */

int flo_rest_may_group(const struct flo_rest_call *call, const char *group, struct flo_err *err)
{
    if (!call->is_scoped || flo_grants_hold_group(&call->grants, FLO_ACCESS_OPERATOR, group)) {
        return 0;
    }
    flo_fail(err, FLO_E_REST_ROLE, "%s is an operator of some groups, and %s is none of them",
             call->name, group);
    return flo_err_fix(err, "name a group of yours, or ask an operator of the "
                            "whole fleet");
}

struct membership {
    const struct flo_rest_call *call;
    bool may;
};

static int look_at_groups(void *context, const struct flo_fleet_device *device)
{
    struct membership *membership = context;
    json_t *groups = NULL;
    json_t *group;
    size_t i;

    if (flo_json_parse(device->groups, strlen(device->groups), 65536, &groups, NULL) < 0) {
        return 0;
    }
    json_array_foreach(groups, i, group)
    {
        const char *name = json_string_value(group);
        membership->may =
            membership->may || (name != NULL && flo_grants_hold_group(&membership->call->grants,
                                                                      FLO_ACCESS_OPERATOR, name));
    }
    json_decref(groups);
    return 0;
}

int flo_rest_may_device(const struct flo_rest_call *call, const char *device, struct flo_err *err)
{
    struct membership membership = {.call = call};

    if (!call->is_scoped) {
        return 0;
    }
    FLO_TRY(
        flo_fleet_device_get(call->controller->store, device, look_at_groups, &membership, err));
    return membership.may ? 0 : flo_rest_may_group(call, device, err);
}

/* ---- parameters ---- */

int flo_rest_query_check(struct flo_httpd_request *request, const char *shape, struct flo_err *err)
{
    const char *name;
    int rv = 0;

    for (size_t i = 0; rv == 0 && (name = flo_httpd_query_name(request, i)) != NULL; i++) {
        rv = flo_request_check_query(shape, name, flo_httpd_query(request, name), err);
        for (size_t j = 0; j < i && rv == 0; j++) {
            if (strcmp(flo_httpd_query_name(request, j), name) == 0) {
                rv = flo_fail(err, FLO_E_REST_SCHEMA, "the query has `%.64s` twice", name);
            }
        }
    }
    return rv;
}

bool flo_rest_flag(const struct flo_rest_call *call, const char *name)
{
    const char *text = flo_httpd_query(call->request, name);

    return text != NULL && strcmp(text, "true") == 0;
}

uint64_t flo_rest_number(const struct flo_rest_call *call, const char *name, uint64_t standard)
{
    const char *text = flo_httpd_query(call->request, name);

    return text != NULL ? strtoull(text, NULL, 10) : standard;
}

const char *flo_rest_text_in(const struct flo_rest_call *call, const char *name,
                             const char *standard)
{
    const char *text = json_string_value(json_object_get(call->in, name));

    return text != NULL ? text : standard;
}

uint64_t flo_rest_number_in(const struct flo_rest_call *call, const char *name, uint64_t standard)
{
    const json_t *number = json_object_get(call->in, name);

    return number != NULL ? (uint64_t)json_number_value(number) : standard;
}

bool flo_rest_flag_in(const struct flo_rest_call *call, const char *name, bool standard)
{
    const json_t *flag = json_object_get(call->in, name);

    return flag != NULL ? json_is_true(flag) : standard;
}

json_t *flo_rest_list(json_t *items, const char *next)
{
    json_t *json = json_object();

    json_object_set_new(json, "items", items);
    json_object_set_new(json, "next", next != NULL ? json_string(next) : json_null());
    return json;
}

/* ---- calls that stream ---- */

static const struct {
    const char *method;
    const char *pattern;
} streams[] = {
#define FLO_REST_ROUTE(...)
#define FLO_REST_STREAM(name, method, pattern, ...) {method, pattern},
#include "server-stub/rest/routes.def"
};

int flo_rest_stream_open(struct flo_rest *rest, enum flo_rest_stream stream,
                         flo_httpd_handler handler, struct flo_err *err)
{
    return flo_httpd_route(rest->httpd, streams[stream].method, streams[stream].pattern, 0, handler,
                           rest, err);
}

int flo_rest_upload_open(struct flo_rest *rest, enum flo_rest_stream stream,
                         const struct flo_httpd_upload *upload, flo_httpd_handler handler,
                         struct flo_err *err)
{
    return flo_httpd_route_upload(rest->httpd, streams[stream].method, streams[stream].pattern,
                                  upload, handler, rest, err);
}

void flo_rest_answer_err(struct flo_httpd_request *request, const struct flo_err *err)
{
    char id[FLO_HTTPD_ID_TEXT];

    if (flo_httpd_status_of(err->code) == 500) {
        flo_httpd_request_id(request, id);
        flo_log(FLO_LOG_ERROR, "rest", "request %s: %s", id, err->what);
    }
    flo_httpd_answer_err(request, err);
}

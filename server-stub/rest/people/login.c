/* REST: people log in by an identity provider (authorization code, PKCE).
 *
 * The page or the command begins a login, sends the browser to the provider,
 * and passes on the parameters with which it returns.  Only the controller
 * talks to the provider.  It makes a session: a token with a short life. */
#include "server-stub/rest/people/login.h"
#include "server-stub/state/audit/audit.h"
#include "server-stub/state/pki/pki.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/login.h>

#include "base/host/crypto.h"

static int off(struct flo_err *err)
{
    return flo_fail(err, FLO_E_LOGIN_OFF, "people log in by an access token here");
}

int flo_rest_login(struct flo_rest_call *call, struct flo_err *err)
{
    const struct flo_login_desk *desk = call->rest->login;

    (void)err;
    call->out = desk == NULL ? json_pack("{s:n,s:n}", "name", "issuer")
                             : json_pack("{s:s,s:s}", "name", desk->settings->name, "issuer",
                                         desk->settings->issuer);
    return 0;
}

/* ---- asking ---- */

static void on_closed(void *user)
{
    struct flo_login_job *job = user;

    job->request = NULL;
}

/* Returns the network of an address as a number, because an IPv6 network counts
 * as one client.  Returns 0 for an invalid address. */
static uint64_t network_of(const char *address)
{
    struct in6_addr six;
    struct in_addr four;
    uint64_t number = 0;

    if (inet_pton(AF_INET, address, &four) == 1) {
        return UINT64_C(1) << 32 | ntohl(four.s_addr);
    }
    if (inet_pton(AF_INET6, address, &six) == 1) {
        memcpy(&number, &six, sizeof(number));
    }
    return number;
}

/* Gets the client's address: the peer's, or behind the proxy of --proxy the
 * last address in X-Forwarded-For. */
static void client_of(const struct flo_rest_call *call, char out[16])
{
    const struct flo_httpd_request *request = call->request;
    const char *proxy = call->controller->options.proxy;
    const char *list = flo_httpd_header(request, "X-Forwarded-For");
    uint64_t client = 0;

    if (proxy != NULL && list != NULL && strcmp(flo_httpd_peer_address(request), proxy) == 0) {
        const char *last = strrchr(list, ',');
        last = last != NULL ? last + 1 : list;
        client = network_of(last + strspn(last, " "));
    }
    if (client == 0) {
        client = flo_httpd_peer_client(request) >> 4;
    }
    snprintf(out, 16, "%015llx", (unsigned long long)(client & ((UINT64_C(1) << 60) - 1)));
}

/* Counts an attempt to log in by the client's address.  Each attempt costs a
 * request to the provider.  Clients of a proxy that is not configured share one
 * limit. */
static int take_try(struct flo_rest_call *call, struct flo_err *err)
{
    char client[16];

    if (call->rest->rates == NULL) {
        return 0;
    }
    client_of(call, client);
    struct flo_rate_answer answer =
        flo_rate_take(call->rest->rates, FLO_RATE_LOGIN, client, flo_now_ms());
    if (answer.may) {
        return 0;
    }
    flo_fail(err, FLO_E_REST_LIMIT, "too many logins from this address; one is possible in %llu ms",
             (unsigned long long)answer.wait_ms);
    return flo_err_fix(err, "behind a proxy: --proxy ADDRESS");
}

static int ask(struct flo_rest_call *call, struct flo_login_job *job, struct flo_err *err)
{
    struct flo_login_desk *desk = call->rest->login;

    job->rest = call->rest;
    job->request = call->request;
    job->asked_at_ms = flo_now_ms();
    snprintf(job->client, sizeof(job->client), "%s", flo_httpd_peer_address(call->request));
    int rv = desk->ask(desk->context, job, err);
    if (rv == 0) {
        flo_httpd_set_user(call->request, job, on_closed);
        call->is_later = true;
    } else {
        free(job);
    }
    return rv;
}

static int new_job(struct flo_login_job **out, struct flo_err *err)
{
    *out = calloc(1, sizeof(**out));
    return *out != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "login");
}

int flo_rest_login_start(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_login_desk *desk = call->rest->login;
    const char *redirect = flo_rest_text_in(call, "redirect", "");
    const char *host = flo_httpd_header(call->request, "Host");
    struct flo_login_job *job = NULL;

    if (desk == NULL) {
        return off(err);
    }
    if (!flo_login_may_return(redirect, host != NULL ? host : "", desk->is_plain)) {
        flo_fail(err, FLO_E_REST_MEANING, "`%.100s` is neither this page nor a port of 127.0.0.1",
                 redirect);
        flo_err_at(err, "/redirect");
        return FLO_E_REST_MEANING;
    }
    FLO_TRY(new_job(&job, err));
    snprintf(job->login.redirect, sizeof(job->login.redirect), "%s", redirect);
    return ask(call, job, err);
}

/* Reports the provider's word for a refusal.  Only letters and _ of the word
 * are shown. */
static int denied(const char *word, struct flo_err *err)
{
    size_t chars = strspn(word, "abcdefghijklmnopqrstuvwxyz_");

    return flo_fail(err, FLO_E_LOGIN_DENIED, "the provider answered `%.*s`",
                    chars > 64 ? 64 : (int)chars, word);
}

int flo_rest_login_finish(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_login_desk *desk = call->rest->login;
    const char *code = flo_rest_text_in(call, "code", NULL);
    const char *issuer = flo_rest_text_in(call, "iss", NULL);
    struct flo_login_job *job = NULL;
    struct flo_login login;

    if (desk == NULL) {
        return off(err);
    }
    int rv = take_try(call, err);
    if (rv == 0) {
        rv = flo_login_take(&desk->logins, flo_rest_text_in(call, "state", ""),
                            flo_rest_text_in(call, "secret", ""), flo_now_ms(), &login, err);
    }
    if (rv == 0 && issuer != NULL && strcmp(issuer, desk->settings->issuer) != 0) {
        rv = flo_fail(err, FLO_E_LOGIN_STATE,
                      "the answer comes from another provider"); /* RFC 9207 */
    }
    if (rv == 0 && code == NULL) {
        rv = denied(flo_rest_text_in(call, "error", "nothing"), err);
    }
    if (rv == 0) {
        rv = new_job(&job, err);
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_WARN, "login", err);
        return rv;
    }
    job->login = login;
    job->has_come_back = true;
    snprintf(job->code, sizeof(job->code), "%s", code);
    return ask(call, job, err);
}

/* ---- the browser's way ---- */

static void answer_start(struct flo_login_job *job)
{
    struct flo_login_desk *desk = job->rest->login;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) url = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) query = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char challenge[FLO_LOGIN_WORD];
    struct flo_login login;
    uint8_t random[24];

    flo_random(random, sizeof(random));
    flo_login_begin(&desk->logins, random, job->login.redirect, flo_now_ms(), &login);
    flo_login_challenge(login.verifier, challenge);
    flo_form_add(&query, "response_type", "code");
    flo_form_add(&query, "client_id", desk->settings->client_id);
    flo_form_add(&query, "redirect_uri", login.redirect);
    flo_form_add(&query, "scope", desk->settings->scopes);
    flo_form_add(&query, "state", login.state);
    flo_form_add(&query, "nonce", login.nonce);
    flo_form_add(&query, "code_challenge", challenge);
    flo_form_add(&query, "code_challenge_method", "S256");
    flo_buf_printf(&url, "%s%s%s", job->provider.authorize,
                   strchr(job->provider.authorize, '?') != NULL ? "&" : "?", query.data);
    json_t *out =
        json_pack("{s:s,s:s,s:s,s:I}", "url", url.data, "state", login.state, "secret",
                  login.secret, "expires_at_ms", (json_int_t)(flo_wall_ms() + FLO_LOGIN_MS));
    flo_json_dump(out, &text);
    json_decref(out);
    flo_httpd_add_header(job->request, "Cache-Control", "no-store");
    flo_httpd_answer(job->request, 200, "application/json", text.data, text.bytes);
}

/* ---- the session ---- */

static int audit(struct flo_login_job *job, const char *who, const char *result,
                 struct flo_err *err)
{
    const struct flo_login_settings *settings = job->rest->login->settings;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) detail = {0};
    json_t *json = json_pack("{s:s,s:s,s:s,s:s}", "issuer", settings->issuer, "subject",
                             job->subject, "account", job->account, "role", job->role);

    flo_json_dump(json, &detail);
    json_decref(json);
    return flo_controller_audit(job->rest->controller, who, "login", "/v1/login/finish", result,
                                detail.data, err);
}

static int make_session(struct flo_login_job *job, struct flo_buf *text, struct flo_err *err)
{
    struct flo_controller *controller = job->rest->controller;
    char id[FLO_TOKEN_ID_TEXT];
    char token[FLO_TOKEN_TEXT];
    char who[96];
    struct flo_fleet_token spec = {.name = job->name,
                                   .role = job->role,
                                   .person = job->account,
                                   .expires_at_ms =
                                       flo_wall_ms() + job->rest->login->settings->session_ms};
    int rv = flo_token_make(controller, &spec, id, token, err);

    snprintf(who, sizeof(who), "%s %s", id, job->name);
    if (rv == 0) {
        rv = audit(job, who, "ok", err);
    }
    json_t *out = json_pack("{s:s,s:s,s:s,s:s,s:I}", "id", id, "token", token, "name", job->name,
                            "role", job->role, "expires_at_ms", (json_int_t)spec.expires_at_ms);
    flo_json_dump(out, text);
    json_decref(out);
    flo_secret_wipe(token, sizeof(token));
    FLO_TRY(rv);
    return text->failed ? flo_fail(err, FLO_E_MEMORY, "answer") : 0;
}

/* Stores the session, or the refusal of a known person, in a transaction of its
 * own. */
static int write(struct flo_login_job *job, struct flo_buf *text, struct flo_err *err)
{
    struct flo_controller *controller = job->rest->controller;
    bool is_refused = job->err.code != 0;
    char who[FLO_NAME_MAX + 80];

    FLO_TRY(flo_controller_begin(controller, err));
    snprintf(who, sizeof(who), "%s %s", job->client, job->name);
    int rv = is_refused ? audit(job, who, flo_error_id(job->err.code), err)
                        : make_session(job, text, err);
    return flo_controller_end(controller, rv, err);
}

static void answer_finish(struct flo_login_job *job)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_err err = {0};

    if (write(job, &text, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "login", &err);
        job->err = err;
    }
    if (job->err.code != 0) {
        flo_httpd_answer_err(job->request, &job->err);
        return;
    }
    flo_httpd_add_header(job->request, "Cache-Control", "no-store");
    flo_rest_answer(job->rest, job->request, 200, text.data, text.bytes);
    flo_secret_wipe(text.data, text.bytes);
}

void flo_rest_login_done(struct flo_login_job *job)
{
    if (job->err.code != 0) {
        flo_log(FLO_LOG_WARN, "login", "from %s: %s", job->client, job->err.what);
    }
    if (job->request != NULL) {
        flo_httpd_set_user(job->request, NULL, NULL);
        /* A login of a stranger leaves no row; one of a person with a proven
         * identity does. */
        if (job->has_come_back && (job->err.code == 0 || job->err.code == FLO_E_LOGIN_ROLE)) {
            answer_finish(job);
        } else if (job->err.code != 0) {
            flo_httpd_answer_err(job->request, &job->err);
        } else {
            answer_start(job);
        }
    }
    flo_secret_wipe(job, sizeof(*job));
    free(job);
}

/* ---- the session's end ---- */

int flo_rest_logout(struct flo_rest_call *call, struct flo_err *err)
{
    if (!flo_oidc_is_account(call->person)) {
        flo_fail(err, FLO_E_STATE, "token %s is no session", call->token_id);
        return flo_err_fix(err, "flotilla token delete, by an admin");
    }
    call->out = json_pack("{s:s}", "id", call->token_id);
    return flo_fleet_token_delete(call->controller->store, call->token_id, err);
}

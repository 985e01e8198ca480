/* Asker: one thread that talks to the identity provider.
 *
 * A provider that hangs blocks this thread for ten seconds a request, and never
 * the controller.  Metadata and keys are cached for an hour.  A token with an
 * unknown key makes the asker read the keys again, at most every ten
 * seconds. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include <flotilla/errors/login.h>
#include <flotilla/errors/process.h>
#include <flotilla/plural.h>

#include "base/host/crypto.h"
#include "base/host/http_client.h"
#include "base/host/wake.h"

#include "server-stub/run/login/login.h"

#define JOBS_MAX 64
#define TIMEOUT_MS 10000
#define CONNECT_MS 5000
#define WAIT_MS 15000   /* longest time for which a request waits in the queue */
#define KEPT_MS 3600000 /* time for which metadata and keys are cached */
#define KEYS_MS 10000   /* shortest time between two reads of the keys because of an unknown key */
#define FAILED_MS 2000  /* time for which later requests get the error of a failed one */

struct flo_asker {
    const struct flo_oidc_file *file;
    struct flo_login_desk desk;
    /* Members that only the asker's thread uses. */
    struct flo_oidc_provider provider;
    uint64_t provider_until_ms; /* 0: none */
    struct flo_jwks keys;
    uint64_t keys_until_ms;
    uint64_t keys_not_before_ms;
    struct flo_err failed;
    uint64_t failed_until_ms;
    /* Members that both threads use. */
    pthread_t thread;
    bool has_thread;
    struct event *event;
    int wake_fd;
    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct flo_login_job *first, **last;
    struct flo_login_job *done;
    size_t count;
    bool ends;
};

/* ---- HTTPS ---- */

/* Puts the provider's name into a network error. */
static int unreachable(struct flo_err *err, const char *what)
{
    struct flo_err why = *err;

    *err = (struct flo_err){0};
    return flo_fail(err, FLO_E_LOGIN_PROVIDER, "the identity provider's %s: %s", what, why.what);
}

static int call(const struct flo_asker *asker, struct flo_http_request *request, const char *what,
                struct flo_http_answer *answer, struct flo_err *err)
{
    struct flo_http_options options = {.ca_file = flo_oidc_file_ca(asker->file),
                                       .connect_timeout_ms = CONNECT_MS,
                                       .timeout_ms = TIMEOUT_MS};
    struct flo_http *http = NULL;

    request->answer_bytes_max = FLO_OIDC_DOCUMENT_BYTES_MAX;
    int rv = flo_http_open(&options, &http, err);
    if (rv == 0) {
        rv = flo_http_call(http, request, answer, err);
    }
    flo_http_close(http);
    return rv < 0 ? unreachable(err, what) : 0;
}

static int get(const struct flo_asker *asker, const char *url, const char *what,
               struct flo_buf *out, struct flo_err *err)
{
    struct flo_http_request request = {.url = url};
    struct flo_http_answer answer = {0};
    int rv = call(asker, &request, what, &answer, err);

    if (rv == 0 && answer.status != 200) {
        rv = flo_fail(err, FLO_E_LOGIN_PROVIDER, "the identity provider's %s: it answered %d", what,
                      answer.status);
    }
    if (rv == 0) {
        *out = answer.body;
    } else {
        flo_buf_deinit(&answer.body);
    }
    return rv;
}

/* ---- description and keys ---- */

static int describe(struct flo_asker *asker, struct flo_err *err)
{
    static const char path[] = "/.well-known/openid-configuration";
    const char *issuer = asker->desk.settings->issuer;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char url[FLO_OIDC_URL + sizeof(path)];
    size_t chars = strlen(issuer);

    if (flo_now_ms() < asker->provider_until_ms) {
        return 0;
    }
    chars -= issuer[chars - 1] == '/';
    snprintf(url, sizeof(url), "%.*s%s", (int)chars, issuer, path);
    FLO_TRY(get(asker, url, "description", &text, err));
    FLO_TRY(flo_oidc_provider_parse(text.data != NULL ? text.data : "", text.bytes, issuer,
                                    &asker->provider, err));
    asker->provider_until_ms = flo_now_ms() + KEPT_MS;
    return 0;
}

static int read_keys(struct flo_asker *asker, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    int rv = get(asker, asker->provider.jwks, "keys", &text, err);

    if (rv == 0) {
        rv = flo_jwks_parse(text.data != NULL ? text.data : "", text.bytes, &asker->keys, err);
    }
    asker->keys_until_ms = rv == 0 ? flo_now_ms() + KEPT_MS : 0;
    return rv;
}

static int find_key(struct flo_asker *asker, const struct flo_jwt *jwt, const struct flo_jwk **out,
                    struct flo_err *err)
{
    int rv = 0;

    if (flo_now_ms() >= asker->keys_until_ms) {
        rv = read_keys(asker, err);
    }
    *out = rv == 0 ? flo_jwks_find(&asker->keys, jwt) : NULL;
    if (rv == 0 && *out == NULL && flo_now_ms() >= asker->keys_not_before_ms) {
        asker->keys_not_before_ms = flo_now_ms() + KEYS_MS;
        /* The key may be unknown because the provider changed its keys, so they
         * are read again. */
        rv = read_keys(asker, err);
        *out = rv == 0 ? flo_jwks_find(&asker->keys, jwt) : NULL;
    }
    if (rv == 0 && *out == NULL) {
        rv = flo_fail(err, FLO_E_LOGIN_TOKEN, "the ID token's key is none of the provider's");
    }
    return rv;
}

/* ---- the code becomes a person ---- */

/* Appends "Authorization: Basic …" with the client's id and secret, which are
 * both encoded first (RFC 6749 §2.3.1). */
static void basic(const struct flo_asker *asker, struct flo_buf *out)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) pair = {.bytes_max = 4096};
    char text[8192];

    flo_form_encode(&pair, asker->desk.settings->client_id);
    flo_buf_text(&pair, ":");
    flo_form_encode(&pair, flo_oidc_file_secret(asker->file));
    flo_base64_encode(pair.data, pair.bytes, text);
    flo_buf_printf(out, "Authorization: Basic %s", text);
    flo_secret_wipe(pair.data, pair.bytes);
    flo_secret_wipe(text, sizeof(text));
}

static int read_token(const struct flo_http_answer *answer, char *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    const char *text = answer->body.data != NULL ? answer->body.data : "";

    (void)!flo_json_parse(text, answer->body.bytes, FLO_OIDC_DOCUMENT_BYTES_MAX, &json, NULL);
    if (answer->status != 200) {
        const char *why = json_string_value(json_object_get(json, "error"));
        return flo_fail(err, answer->status >= 500 ? FLO_E_LOGIN_PROVIDER : FLO_E_LOGIN_DENIED,
                        "the provider answered %d to the code: %.64s", answer->status,
                        why != NULL ? why : "no reason");
    }
    const char *token = json_string_value(json_object_get(json, "id_token"));
    if (token == NULL || strlen(token) > FLO_JWT_BYTES_MAX) {
        return flo_fail(err, FLO_E_LOGIN_TOKEN, "the provider's answer has no ID token");
    }
    snprintf(out, FLO_JWT_BYTES_MAX + 1, "%s", token);
    return 0;
}

static int exchange(const struct flo_asker *asker, const struct flo_login_job *job, char *token,
                    struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) header = {0};
    const char *secret = flo_oidc_file_secret(asker->file);
    const char *headers[] = {"Accept: application/json", NULL, NULL};
    struct flo_http_answer answer = {0};

    flo_form_add(&body, "grant_type", "authorization_code");
    flo_form_add(&body, "code", job->code);
    flo_form_add(&body, "redirect_uri", job->login.redirect);
    flo_form_add(&body, "code_verifier", job->login.verifier);
    if (secret[0] == '\0' || asker->provider.takes_post) {
        flo_form_add(&body, "client_id", asker->desk.settings->client_id);
    }
    if (secret[0] != '\0' && asker->provider.takes_post) {
        flo_form_add(&body, "client_secret", secret);
    } else if (secret[0] != '\0') {
        basic(asker, &header);
        headers[1] = header.data;
    }
    struct flo_http_request request = {.method = "POST",
                                       .url = asker->provider.token,
                                       .headers = headers,
                                       .body = body.data,
                                       .body_bytes = body.bytes,
                                       .content_type = "application/x-www-form-urlencoded"};
    int rv = body.failed || header.failed
                 ? flo_fail(err, FLO_E_MEMORY, "login")
                 : call(asker, &request, "answer to the code", &answer, err);
    if (rv == 0) {
        rv = read_token(&answer, token, err);
    }
    flo_buf_deinit(&answer.body);
    flo_secret_wipe(body.data, body.bytes);
    if (header.data != NULL) {
        flo_secret_wipe(header.data, header.bytes);
    }
    return rv;
}

static int believe(struct flo_asker *asker, const struct flo_jwt *jwt, struct flo_login_job *job,
                   struct flo_err *err)
{
    const struct flo_login_settings *settings = asker->desk.settings;
    struct flo_oidc_expect expect = {.issuer = settings->issuer,
                                     .client_id = settings->client_id,
                                     .nonce = job->login.nonce,
                                     .now_ms = flo_wall_ms()};
    const struct flo_jwk *key = NULL;

    FLO_TRY(find_key(asker, jwt, &key, err));
    if (flo_jws_verify(&key->key, jwt->text, jwt->signed_bytes, jwt->signature,
                       jwt->signature_bytes, NULL) < 0) {
        return flo_fail(err, FLO_E_LOGIN_TOKEN, "the ID token is not signed by the provider's key");
    }
    FLO_TRY(flo_oidc_claims_check(jwt->claims, &expect, err));
    const char *subject = json_string_value(json_object_get(jwt->claims, "sub"));
    snprintf(job->subject, sizeof(job->subject), "%s", subject);
    flo_oidc_account(settings->issuer, subject, job->account);
    flo_oidc_name(jwt->claims, settings->name_claim, job->name);
    return flo_oidc_roles_of(&settings->roles, jwt->claims, job->role, err);
}

static int come_back(struct flo_asker *asker, struct flo_login_job *job, struct flo_err *err)
{
    char token[FLO_JWT_BYTES_MAX + 1];
    struct flo_jwt jwt = {.text = NULL};
    int rv = exchange(asker, job, token, err);

    if (rv == 0) {
        rv = flo_jwt_parse(token, strlen(token), &jwt, err);
    }
    if (rv == 0) {
        rv = believe(asker, &jwt, job, err);
    }
    flo_jwt_deinit(&jwt);
    flo_secret_wipe(token, sizeof(token));
    return rv;
}

static void answer(struct flo_asker *asker, struct flo_login_job *job)
{
    uint64_t now_ms = flo_now_ms();
    int rv = 0;

    if (now_ms - job->asked_at_ms > WAIT_MS) {
        flo_fail(&job->err, FLO_E_LOGIN_PROVIDER,
                 "the identity provider is slow: the login waited %d s", WAIT_MS / 1000);
        return;
    }
    if (now_ms < asker->failed_until_ms) {
        job->err = asker->failed;
        return;
    }
    rv = describe(asker, &job->err);
    if (rv == 0 && job->has_come_back) {
        rv = come_back(asker, job, &job->err);
    }
    job->provider = asker->provider;
    if (rv == FLO_E_LOGIN_PROVIDER) {
        asker->failed = job->err;
        asker->failed_until_ms = flo_now_ms() + FAILED_MS;
    }
}

/* ---- thread ---- */

static void *work(void *context)
{
    struct flo_asker *asker = context;

    pthread_mutex_lock(&asker->mutex);
    while (!asker->ends) {
        struct flo_login_job *job = asker->first;
        if (job == NULL) {
            pthread_cond_wait(&asker->work, &asker->mutex);
            continue;
        }
        asker->first = job->next;
        asker->last = asker->first == NULL ? &asker->first : asker->last;
        pthread_mutex_unlock(&asker->mutex);
        answer(asker, job);
        pthread_mutex_lock(&asker->mutex);
        job->next = asker->done;
        asker->done = job;
        flo_wake_poke(asker->wake_fd);
    }
    pthread_mutex_unlock(&asker->mutex);
    return NULL;
}

static void on_done(evutil_socket_t fd, short what, void *context)
{
    struct flo_asker *asker = context;

    (void)what;
    flo_wake_calm(fd);
    pthread_mutex_lock(&asker->mutex);
    struct flo_login_job *done = asker->done;
    asker->done = NULL;
    pthread_mutex_unlock(&asker->mutex);
    while (done != NULL) {
        struct flo_login_job *next = done->next;
        asker->count--;
        flo_rest_login_done(done);
        done = next;
    }
}

static int ask(void *context, struct flo_login_job *job, struct flo_err *err)
{
    struct flo_asker *asker = context;

    /* Anybody may begin a login, so half of the places are reserved for people
     * who return from the provider. */
    if (asker->count >= (job->has_come_back ? JOBS_MAX : JOBS_MAX / 2)) {
        return flo_fail(err, FLO_E_REST_LIMIT, "%zu login%s %s for the provider", asker->count,
                        flo_s(asker->count), flo_plural(asker->count, "waits", "wait"));
    }
    asker->count++;
    pthread_mutex_lock(&asker->mutex);
    job->next = NULL;
    *asker->last = job;
    asker->last = &job->next;
    pthread_cond_signal(&asker->work);
    pthread_mutex_unlock(&asker->mutex);
    return 0;
}

struct flo_login_desk *flo_asker_desk(struct flo_asker *asker)
{
    return &asker->desk;
}

int flo_asker_open(const struct flo_oidc_file *file, struct event_base *base, bool is_plain,
                   struct flo_asker **out, struct flo_err *err)
{
    struct flo_asker *asker = calloc(1, sizeof(*asker));

    if (asker == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "login");
    }
    asker->file = file;
    asker->desk.settings = flo_oidc_file_settings(file);
    asker->desk.is_plain = is_plain;
    asker->desk.ask = ask;
    asker->desk.context = asker;
    flo_random(asker->desk.logins.key, sizeof(asker->desk.logins.key));
    asker->last = &asker->first;
    pthread_mutex_init(&asker->mutex, NULL);
    pthread_cond_init(&asker->work, NULL);
    asker->wake_fd = flo_wake_open();
    *out = asker;
    asker->event = asker->wake_fd < 0
                       ? NULL
                       : event_new(base, asker->wake_fd, EV_READ | EV_PERSIST, on_done, asker);
    if (asker->event == NULL || event_add(asker->event, NULL) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "login");
    }
    asker->has_thread = pthread_create(&asker->thread, NULL, work, asker) == 0;
    return asker->has_thread ? 0 : flo_fail(err, FLO_E_PROCESS, "login's thread");
}

static void free_all(struct flo_login_job *job)
{
    while (job != NULL) {
        struct flo_login_job *next = job->next;
        if (job->request != NULL) {
            flo_httpd_set_user(job->request, NULL, NULL);
        }
        flo_secret_wipe(job, sizeof(*job));
        free(job);
        job = next;
    }
}

void flo_asker_close(struct flo_asker *asker)
{
    if (asker == NULL) {
        return;
    }
    pthread_mutex_lock(&asker->mutex);
    asker->ends = true;
    pthread_cond_broadcast(&asker->work);
    pthread_mutex_unlock(&asker->mutex);
    if (asker->has_thread) {
        pthread_join(asker->thread, NULL);
    }
    if (asker->event != NULL) {
        event_free(asker->event);
    }
    free_all(asker->first);
    free_all(asker->done);
    flo_fd_cleanup(&asker->wake_fd);
    pthread_cond_destroy(&asker->work);
    pthread_mutex_destroy(&asker->mutex);
    free(asker);
}

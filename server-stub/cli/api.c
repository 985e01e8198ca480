/* API: the calls of the command line to the controller. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/net.h>
#include <flotilla/errors/release.h>
#include <flotilla/proto.h>

#include "base/host/digest.h"
#include "server-stub/cli/cli.h"

#define ANSWER_BYTES_MAX (32u << 20)
/* Longest wait for the answer to an upload, because the controller stores the
 * whole artifact first. */
#define KEPT_MS (UINT64_C(3600) * 1000)

static int open_http(struct flo_cli *cli, struct flo_err *err)
{
    struct flo_http_options options = {.bearer = cli->token[0] != '\0' ? cli->token : NULL,
                                       .ca_file = cli->ca_file[0] != '\0' ? cli->ca_file : NULL,
                                       .ca_fingerprint =
                                           cli->fingerprint[0] != '\0' ? cli->fingerprint : NULL};

    return cli->http != NULL ? 0 : flo_http_open(&options, &cli->http, err);
}

/* Tells whether the command line has no option that names the controller. */
static bool options_are_bare(const struct flo_cli *cli)
{
    return cli->ca_file[0] == '\0' && cli->fingerprint[0] == '\0';
}

/* ---- -v and --debug-http ---- */

/* Prints a request. Only the id of its token is shown: "flt_pat_<12
 * digits>_". */
static void show_request(const struct flo_cli *cli, const struct flo_http_request *request)
{
    fprintf(stderr, "> %s %s\n", request->method != NULL ? request->method : "GET", request->url);
    if (cli->token[0] != '\0') {
        fprintf(stderr, "> Authorization: Bearer %.21s...\n", cli->token);
    }
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++) {
        fprintf(stderr, "> %s\n", request->headers[i]);
    }
    if (request->body_bytes > 0) {
        fprintf(stderr, "> (%zu bytes)\n", request->body_bytes);
    }
}

static void show_answer(const struct flo_http_answer *answer, uint64_t ms)
{
    const char *const rows[][2] = {{"Content-Type", answer->content_type},
                                   {"ETag", answer->etag},
                                   {"Content-Range", answer->content_range},
                                   {"Location", answer->location}};

    fprintf(stderr, "< %d in %llu ms\n", answer->status, (unsigned long long)ms);
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        if (rows[i][1][0] != '\0') {
            fprintf(stderr, "< %s: %s\n", rows[i][0], rows[i][1]);
        }
    }
    if (answer->body.bytes > 0) {
        fprintf(stderr, "< (%zu bytes)\n", answer->body.bytes);
    }
}

static int traced(struct flo_cli *cli, const struct flo_http_request *request, const char *path,
                  struct flo_http_answer *answer, struct flo_err *err)
{
    bool shows_all = flo_args_has(&cli->args, "debug-http");
    uint64_t began_ms = flo_now_ms();

    if (shows_all) {
        show_request(cli, request);
    }
    int rv = flo_http_call(cli->http, request, answer, err);
    uint64_t ms = flo_now_ms() - began_ms;
    if (shows_all) {
        show_answer(answer, ms);
    } else if (flo_args_has(&cli->args, "verbose")) {
        fprintf(stderr, "%s %s %d in %llu ms\n", request->method != NULL ? request->method : "GET",
                path, answer->status, (unsigned long long)ms);
    }
    return rv;
}

/* Adds dry_run to any request that may change something, whatever the verb. The
 * controller then stores nothing, and refuses calls that have no plan. */
static const char *dry_query(const struct flo_cli *cli, const struct flo_http_request *request,
                             const char *path)
{
    const char *method = request->method != NULL ? request->method : "GET";

    if (!flo_args_has(&cli->args, "dry-run") || strcmp(method, "GET") == 0 ||
        strcmp(method, "HEAD") == 0 || strstr(path, "dry_run=true") != NULL) {
        return "";
    }
    return strchr(path, '?') != NULL ? "&dry_run=true" : "?dry_run=true";
}

static int call(struct flo_cli *cli, struct flo_http_request *request, const char *path,
                struct flo_http_answer *answer, struct flo_err *err)
{
    char url[9216];

    FLO_TRY(open_http(cli, err));
    snprintf(url, sizeof(url), "%s%s%s", cli->controller, path, dry_query(cli, request, path));
    request->url = url;
    int rv = traced(cli, request, path, answer, err);
    if (rv == FLO_E_NET_TLS && options_are_bare(cli)) {
        flo_err_fix(err,
                    "its own authority: flotilla login %.120s --token-file "
                    "FILE --ca pki/ca.pem, or --fingerprint as it prints",
                    cli->controller);
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "controller %s", cli->controller);
    }
    return 0;
}

static void answer_deinit(struct flo_http_answer *answer)
{
    flo_buf_deinit(&answer->body);
}

static int answer_json(const struct flo_http_answer *answer, json_t **out, struct flo_err *err)
{
    if (out == NULL) {
        return 0;
    }
    if (answer->body.bytes == 0) {
        *out = json_object();
        return 0;
    }
    int rv = flo_json_parse(answer->body.data, answer->body.bytes, ANSWER_BYTES_MAX, out, err);
    return rv < 0 ? flo_wrap(err, rv, "answer of the controller") : 0;
}

static int send_bytes(struct flo_cli *cli, const char *method, const char *path,
                      const char *etag_or_null, const void *data, size_t bytes, json_t **answer,
                      struct flo_err *err)
{
    char id[37];
    char extra[64];
    const char *headers[] = {extra, NULL};
    FLO_CLEANUP(answer_deinit) struct flo_http_answer got = {0};
    struct flo_http_request request = {
        .method = method, .body = data, .body_bytes = bytes, .answer_bytes_max = ANSWER_BYTES_MAX};

    if (etag_or_null != NULL) {
        snprintf(extra, sizeof(extra), "If-Match: %.50s", etag_or_null);
        request.headers = headers;
    } else if (strcmp(method, "POST") == 0) {
        flo_uuid_make(id);
        snprintf(extra, sizeof(extra), "Idempotency-Key: %s", id);
        request.headers = headers;
    }
    FLO_TRY(call(cli, &request, path, &got, err));
    return got.status / 100 == 2 ? answer_json(&got, answer, err) : flo_http_fail(&got, "", err);
}

int flo_api_change(struct flo_cli *cli, const char *method, const char *path, const char *etag,
                   const json_t *body, json_t **answer, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    if (body != NULL) {
        flo_json_dump(body, &text);
    }
    return send_bytes(cli, method, path, etag, text.data, text.bytes, answer, err);
}

int flo_api_call(struct flo_cli *cli, const char *method, const char *path, const json_t *body,
                 json_t **answer, struct flo_err *err)
{
    return flo_api_change(cli, method, path, NULL, body, answer, err);
}

int flo_api_get(struct flo_cli *cli, const char *path, json_t **answer, struct flo_err *err)
{
    return send_bytes(cli, "GET", path, NULL, NULL, 0, answer, err);
}

int flo_api_read(struct flo_cli *cli, const char *path, json_t **answer, struct flo_err *err)
{
    FLO_CLEANUP(answer_deinit) struct flo_http_answer got = {0};
    struct flo_http_request request = {.answer_bytes_max = ANSWER_BYTES_MAX};

    FLO_TRY(call(cli, &request, path, &got, err));
    return answer_json(&got, answer, err);
}

int flo_api_stream(struct flo_cli *cli, const char *path, const char *last_id,
                   int (*on_data)(void *context, const void *data, size_t bytes),
                   int (*on_progress)(void *context, uint64_t done, uint64_t total), void *context,
                   struct flo_err *err)
{
    char last[96];
    const char *headers[] = {"Accept: text/event-stream", last_id != NULL ? last : NULL, NULL};
    FLO_CLEANUP(answer_deinit) struct flo_http_answer got = {0};
    struct flo_http_request request = {
        .headers = headers, .on_data = on_data, .on_progress = on_progress, .context = context};

    snprintf(last, sizeof(last), "Last-Event-ID: %.64s", last_id != NULL ? last_id : "");
    FLO_TRY(call(cli, &request, path, &got, err));
    return got.status != 200 ? flo_http_fail(&got, path, err) : 0;
}

void flo_api_query_add(struct flo_buf *path, const char *key, const char *value)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop"
                                "qrstuvwxyz0123456789-._~";

    if (value == NULL) {
        return;
    }
    flo_buf_printf(path, "%c%s=", path->data != NULL && strchr(path->data, '?') != NULL ? '&' : '?',
                   key);
    for (; *value != '\0'; value++) {
        if (strchr(plain, *value) != NULL) {
            flo_buf_add(path, value, 1);
        } else {
            flo_buf_printf(path, "%%%02X", (unsigned char)*value);
        }
    }
}

int flo_api_send(struct flo_cli *cli, const char *path, const void *data, size_t bytes,
                 json_t **answer, struct flo_err *err)
{
    return send_bytes(cli, "POST", path, NULL, data, bytes, answer, err);
}

/* Gets the pages of a list until there are `limit` elements, or no more. */
static int list_up_to(struct flo_cli *cli, const char *path, uint64_t limit, json_t **items,
                      struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) next = {0};
    json_t *all = json_array();

    flo_buf_text(&next, path);
    for (;;) {
        FLO_CLEANUP(flo_json_cleanup) json_t *page = NULL;
        int rv = next.failed ? flo_fail(err, FLO_E_MEMORY, "list")
                             : flo_api_get(cli, next.data, &page, err);
        if (rv < 0) {
            json_decref(all);
            return rv;
        }
        json_array_extend(all, json_object_get(page, "items"));
        const char *cursor = json_string_value(json_object_get(page, "next"));
        if (cursor == NULL || json_array_size(all) >= limit) {
            while (json_array_size(all) > limit) {
                json_array_remove(all, json_array_size(all) - 1);
            }
            *items = all;
            return 0;
        }
        next.bytes = 0;
        flo_buf_text(&next, path);
        flo_api_query_add(&next, "cursor", cursor);
    }
}

int flo_api_list(struct flo_cli *cli, const char *path, json_t **items, struct flo_err *err)
{
    return list_up_to(cli, path, UINT64_MAX, items, err);
}

int flo_api_check_model(struct flo_cli *cli, const json_t *items, struct flo_err *err)
{
    const char *model = flo_args_text(&cli->args, "model", NULL);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) path = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *page = NULL;

    if (model == NULL || json_array_size(items) > 0) {
        return 0;
    }
    flo_buf_text(&path, "/v1/releases?limit=1");
    flo_api_query_add(&path, "model", model);
    FLO_TRY(path.failed ? flo_fail(err, FLO_E_MEMORY, "list")
                        : flo_api_get(cli, path.data, &page, err));
    return json_array_size(json_object_get(page, "items")) > 0
               ? 0
               : flo_fail(err, FLO_E_RELEASE_ABSENT, "no release of model %.80s", model);
}

/* Gets a list, with --model of that model alone. */
static int list_of_model(struct flo_cli *cli, const char *path, uint64_t limit, json_t **items,
                         struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) whole = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *all = NULL;

    flo_buf_text(&whole, path);
    flo_api_query_add(&whole, "model", flo_args_text(&cli->args, "model", NULL));
    FLO_TRY(whole.failed ? flo_fail(err, FLO_E_MEMORY, "list")
                         : list_up_to(cli, whole.data, limit, &all, err));
    FLO_TRY(flo_api_check_model(cli, all, err));
    *items = json_incref(all);
    return 0;
}

int flo_api_list_model(struct flo_cli *cli, const char *path, json_t **items, struct flo_err *err)
{
    const char *model = flo_args_text(&cli->args, "model", NULL);

    if (model != NULL && !flo_name_is_valid(model)) {
        return flo_fail(err, FLO_E_USAGE, "--model `%.80s` is no name", model);
    }
    return list_of_model(cli, path, UINT64_MAX, items, err);
}

int flo_api_some(struct flo_cli *cli, const char *path, uint64_t standard, json_t **items,
                 struct flo_err *err)
{
    uint64_t limit;

    FLO_TRY(flo_args_u64(&cli->args, "limit", 1, 1000000, standard, &limit, err));
    return list_of_model(cli, path, flo_args_has(&cli->args, "all") ? UINT64_MAX : limit, items,
                         err);
}

static void blob_path(const struct flo_digest *digest, char *out, size_t bytes)
{
    char text[FLO_DIGEST_TEXT];
    flo_digest_text(digest, text);
    snprintf(out, bytes, "/v1/blobs/%s", text);
}

int flo_api_has_blob(struct flo_cli *cli, const struct flo_digest *digest, bool *out,
                     struct flo_err *err)
{
    char url[160];
    FLO_CLEANUP(answer_deinit) struct flo_http_answer got = {0};
    struct flo_http_request head = {.method = "HEAD"};

    blob_path(digest, url, sizeof(url));
    int rv = call(cli, &head, url, &got, err);
    *out = rv == 0 && got.status == 200;
    return rv;
}

int flo_api_put_blob(struct flo_cli *cli, const struct flo_digest *digest, const char *path,
                     struct flo_err *err)
{
    char url[160];
    FLO_CLEANUP(answer_deinit) struct flo_http_answer got = {0};
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    FLO_TRY(flo_file_open(path, &fd, err));
    blob_path(digest, url, sizeof(url));
    struct flo_http_request put = {.method = "PUT",
                                   .body_fd = fd,
                                   .low_speed_ms = KEPT_MS,
                                   .content_type = "application/octet-stream"};
    FLO_TRY(call(cli, &put, url, &got, err));
    return got.status / 100 != 2 ? flo_http_fail(&got, "upload", err) : 0;
}

int flo_api_get_envelope(struct flo_cli *cli, const struct flo_digest *release, struct flo_buf *out,
                         struct flo_err *err)
{
    char text[FLO_DIGEST_TEXT];
    char url[160];
    FLO_CLEANUP(answer_deinit) struct flo_http_answer got = {0};
    struct flo_http_request request = {.answer_bytes_max = FLO_ENVELOPE_BYTES_MAX};

    flo_digest_text(release, text);
    snprintf(url, sizeof(url), "/v1/envelopes/%s", text);
    FLO_TRY(call(cli, &request, url, &got, err));
    if (got.status != 200) {
        return flo_http_fail(&got, "release document", err);
    }
    *out = got.body;
    got.body = (struct flo_buf){0};
    return 0;
}

struct blob_sink {
    int fd;
    struct flo_sha256 sha;
};

static int take_blob(void *context, const void *data, size_t bytes)
{
    struct blob_sink *sink = context;

    flo_sha256_update(&sink->sha, data, bytes);
    return flo_fd_write_all(sink->fd, data, bytes, NULL);
}

int flo_api_get_blob(struct flo_cli *cli, const struct flo_digest *digest, const char *path,
                     struct flo_err *err)
{
    char url[160];
    struct blob_sink sink = {.fd = -1};
    FLO_CLEANUP(answer_deinit) struct flo_http_answer got = {0};
    struct flo_http_request request = {.on_data = take_blob, .context = &sink};
    struct flo_digest found;

    blob_path(digest, url, sizeof(url));
    sink.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (sink.fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    int rv = flo_sha256_init(&sink.sha, err);
    if (rv == 0) {
        rv = call(cli, &request, url, &got, err);
    }
    if (rv == 0 && got.status != 200) {
        rv = flo_http_fail(&got, "artifact", err);
    }
    if (rv == 0) {
        flo_sha256_final(&sink.sha, &found);
        if (!flo_digest_equal(&found, digest)) {
            rv = flo_fail(err, FLO_E_TARGET_HASH, "the controller sent other bytes than %s",
                          url + 10);
        }
    }
    flo_sha256_deinit(&sink.sha);
    close(sink.fd);
    if (rv < 0) {
        unlink(path);
    }
    return rv;
}

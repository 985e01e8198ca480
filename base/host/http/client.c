/* HTTP client on libcurl, blocking: see http_client.h. */
#include "base/host/http_client.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <flotilla/errors/net.h>
#include <flotilla/errors/rest.h>

#include "base/host/http/pace.h"
#include "base/host/http/setup.h"
#include "base/host/tls_time.h"

#define ANSWER_BYTES_DEFAULT (1u << 20)
#define LOW_SPEED_BYTES 1024
#define NAP_US 100000 /* longest sleep between checks for a cancel */

struct flo_http {
    CURL *curl;
    char curl_error[CURL_ERROR_SIZE];
    /* A copy of the options, which owns its strings. */
    struct flo_http_options options;
    struct flo_http_pace pace;
    bool was_refused; /* true: is_direct made the client refuse an address */
};

/* State of one call. */
struct call {
    struct flo_http *http;
    const struct flo_http_request *request;
    struct flo_http_answer *answer;
    uint64_t sent; /* bytes of body_fd that were sent so far */
    uint64_t range_from;
    uint64_t done, total; /* numbers in the last progress report */
    int code;             /* error code that a callback returned to stop the transfer */
};

int flo_http_open(const struct flo_http_options *options, struct flo_http **out,
                  struct flo_err *err)
{
    struct flo_http *http = calloc(1, sizeof *http);

    flo_http_start();
    if (http == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for an HTTP client");
    }
    int rv = flo_http_options_copy(options, &http->options, err);
    http->curl = curl_easy_init();
    if (rv == 0 && http->curl == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "no memory for an HTTP client");
    }
    if (rv < 0) {
        flo_http_close(http);
        return rv;
    }
    *out = http;
    return 0;
}

void flo_http_close(struct flo_http *http)
{
    if (http == NULL) {
        return;
    }
    curl_easy_cleanup(http->curl);
    flo_http_options_free(&http->options);
    free(http);
}

/* ---- what the other side says ---- */

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct call *call = context;

    flo_http_head_line(call->http->curl, line, size * count, call->answer);
    return size * count;
}

/* Tells whether a 206 answer has the range that was asked for.  Another range
 * would be written at the wrong offset, and only the final digest would show
 * it. */
static bool range_fits(const struct call *call)
{
    const char *range = call->answer->content_range;
    uint64_t from = 0;

    if (call->answer->status != 206 || call->range_from == 0) {
        return true; /* there is nothing to compare, even if the caller set its own Range header */
    }
    if (sscanf(range, "bytes %" SCNu64 "-", &from) != 1) {
        return false;
    }
    return from == call->range_from;
}

static int on_progress(void *context, curl_off_t total, curl_off_t done, curl_off_t send_total,
                       curl_off_t sent);

/* Delays the transfer to keep the rate, and reads no bytes during the delay.
 * libcurl's own limit does not apply to the first hundred pieces.  Returns
 * false when the call was cancelled. */
static bool keep_pace(struct call *call, size_t bytes)
{
    struct flo_http *http = call->http;
    uint64_t rate = http->options.rate_bytes_per_s;
    uint64_t wait_us;

    if (rate == 0) {
        return true;
    }
    while ((wait_us = flo_http_pace_wait_us(&http->pace, flo_now_us())) > 0) {
        uint64_t nap_us = wait_us < NAP_US ? wait_us : NAP_US;
        (void)nanosleep(&(struct timespec){.tv_nsec = (long)nap_us * 1000}, NULL);
        if (on_progress(call, (curl_off_t)call->total, (curl_off_t)call->done, 0, 0) != 0) {
            return false;
        }
    }
    flo_http_pace_take(&http->pace, flo_now_us(), bytes, rate);
    return true;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct call *call = context;
    struct flo_http_answer *answer = call->answer;
    size_t bytes = size * count;
    bool good = answer->status >= 200 && answer->status < 300;

    if (!keep_pace(call, bytes)) {
        return 0;
    }
    if (!range_fits(call)) {
        call->code = FLO_E_NET_CONTENT;
        return 0;
    }
    if (good && call->request->on_data != NULL) {
        call->code = call->request->on_data(call->request->context, data, bytes);
        return call->code == 0 ? bytes : 0;
    }
    answer->body.bytes_max = call->request->answer_bytes_max;
    if (answer->body.bytes_max == 0) {
        answer->body.bytes_max = ANSWER_BYTES_DEFAULT;
    }
    flo_buf_add(&answer->body, data, bytes);
    if (answer->body.failed) {
        call->code = FLO_E_REST_TOO_LARGE;
        return 0;
    }
    return bytes;
}

static size_t on_send(char *data, size_t size, size_t count, void *context)
{
    struct call *call = context;
    ssize_t bytes = pread(call->request->body_fd, data, size * count, (off_t)call->sent);

    if (bytes < 0) {
        call->code = FLO_E_IO_READ;
        return CURL_READFUNC_ABORT;
    }
    call->sent += (uint64_t)bytes;
    return (size_t)bytes;
}

/* Rewinds the body for libcurl, when a reused connection turns out to be
 * dead. */
static int on_seek(void *context, curl_off_t offset, int origin)
{
    struct call *call = context;

    if (origin != SEEK_SET || offset < 0) {
        return CURL_SEEKFUNC_CANTSEEK;
    }
    call->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static int on_progress(void *context, curl_off_t total, curl_off_t done, curl_off_t send_total,
                       curl_off_t sent)
{
    struct call *call = context;
    bool is_sending = call->request->body_fd > 0;

    call->done = (uint64_t)done;
    call->total = (uint64_t)total;
    if (call->request->on_progress == NULL) {
        return 0;
    }
    int code =
        call->request->on_progress(call->request->context, (uint64_t)(is_sending ? sent : done),
                                   (uint64_t)(is_sending ? send_total : total));
    if (code != 0) {
        call->code = code;
    }
    return code != 0;
}

/* ---- setting one call up ---- */

static int build_headers(const struct call *call, struct curl_slist **list, struct flo_err *err)
{
    const struct flo_http_request *request = call->request;
    const struct flo_http_options *options = &call->http->options;
    /* libcurl would include this header in the signature without sending it. */
    if (options->s3_region == NULL) {
        FLO_TRY(flo_http_header_add(list, err, "Expect:"));
    }
    if (request->body != NULL || request->body_fd > 0) {
        FLO_TRY(flo_http_header_add(list, err, "Content-Type: %s",
                                    request->content_type == NULL ? "application/json"
                                                                  : request->content_type));
    }
    if (options->bearer != NULL) {
        FLO_TRY(flo_http_header_add(list, err, "Authorization: Bearer %s", options->bearer));
    }
    if (request->range_from > 0) {
        FLO_TRY(flo_http_header_add(list, err, "Range: bytes=%" PRIu64 "-", request->range_from));
    }
    if (request->range_from > 0 && request->if_range != NULL) {
        FLO_TRY(flo_http_header_add(list, err, "If-Range: %s", request->if_range));
    }
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++) {
        FLO_TRY(flo_http_header_add(list, err, "%s", request->headers[i]));
    }
    return 0;
}

static curl_socket_t open_direct(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct flo_http *http = context;

    if (purpose != CURLSOCKTYPE_IPCXN ||
        !flo_http_may_connect(&address->addr, http->options.takes_private)) {
        http->was_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

bool flo_http_was_refused(const struct flo_http *http)
{
    return http->was_refused;
}

/* Limits the receive buffer, which bounds the bytes that a server may send
 * before they are read. */
static int narrow(void *context, curl_socket_t fd, curlsocktype purpose)
{
    const struct flo_http *http = context;
    int bytes = (int)flo_http_pace_window(http->options.rate_bytes_per_s);

    (void)purpose;
    if (bytes > 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    }
    return CURL_SOCKOPT_OK;
}

static void sign_for_s3(CURL *curl, const struct flo_http_options *options)
{
    char how[128];

    snprintf(how, sizeof how, "aws:amz:%.64s:s3", options->s3_region);
    curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, how);
    curl_easy_setopt(curl, CURLOPT_USERNAME, options->s3_access_key);
    curl_easy_setopt(curl, CURLOPT_PASSWORD, options->s3_secret_key);
}

static void set_options(CURL *curl, const struct flo_http_options *options)
{
    uint64_t slow_bytes =
        options->low_speed_bytes == 0 ? LOW_SPEED_BYTES : options->low_speed_bytes;
    uint64_t rate = options->rate_bytes_per_s;

    flo_http_setup(curl, options);
    if (rate > 0) {
        /* A call that the rate limit slows down must not count as too slow. */
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT,
                         (long)(slow_bytes > rate / 2 ? rate / 2 : slow_bytes));
        curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)flo_http_pace_piece(rate));
        curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, narrow);
    }
    if (options->is_direct) {
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
        curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_direct);
    }
    if (options->s3_region != NULL) {
        sign_for_s3(curl, options);
    }
    if (options->unix_socket != NULL) {
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, options->unix_socket);
    }
}

static int set_body(struct call *call, struct flo_err *err)
{
    const struct flo_http_request *request = call->request;
    CURL *curl = call->http->curl;
    const char *method = request->method == NULL ? "GET" : request->method;
    struct stat facts;

    if (request->body_fd > 0) {
        if (fstat(request->body_fd, &facts) != 0) {
            return flo_fail_errno(err, FLO_E_IO_READ, "file to send");
        }
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_send);
        curl_easy_setopt(curl, CURLOPT_READDATA, call);
        curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(curl, CURLOPT_SEEKDATA, call);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)facts.st_size);
    } else if (request->body != NULL || strcmp(method, "POST") == 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body == NULL ? "" : request->body);
    } else if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    return 0;
}

static void set_callbacks(struct call *call)
{
    CURL *curl = call->http->curl;

    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, call->http->curl_error);
    curl_easy_setopt(curl, CURLOPT_URL, call->request->url);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, call);
}

/* ---- what went wrong ---- */

static int call_fail(const struct call *call, CURLcode result, struct flo_err *err)
{
    const char *reason = call->http->curl_error;
    const char *url = call->request->url;

    if (call->code != 0) {
        if (call->code == FLO_E_REST_TOO_LARGE) {
            return flo_fail(err, call->code, "%s: the answer is larger than %zu bytes", url,
                            call->answer->body.bytes_max);
        }
        if (call->code == FLO_E_NET_CONTENT) {
            return flo_fail(err, call->code, "%s: asked for bytes from %" PRIu64 ", got \"%s\"",
                            url, call->range_from, call->answer->content_range);
        }
        if (err != NULL && err->code == call->code) {
            return call->code; /* the callback has set the error's message */
        }
        return flo_fail(err, call->code, "%s: the transfer was stopped", url);
    }
    return flo_http_fail_curl(call->http->curl, result, url, reason, err);
}

int flo_http_call(struct flo_http *http, const struct flo_http_request *request,
                  struct flo_http_answer *answer, struct flo_err *err)
{
    struct call call = {
        .http = http, .request = request, .answer = answer, .range_from = request->range_from};
    struct curl_slist *headers = NULL;

    memset(answer, 0, sizeof *answer);
    http->curl_error[0] = '\0';
    flo_tls_problem_clear();
    curl_easy_reset(http->curl); /* resets the options, but keeps open connections */
    set_options(http->curl, &http->options);
    curl_easy_setopt(http->curl, CURLOPT_OPENSOCKETDATA, http);
    curl_easy_setopt(http->curl, CURLOPT_SOCKOPTDATA, http);
    set_callbacks(&call);
    if (request->low_speed_ms != 0) {
        curl_easy_setopt(http->curl, CURLOPT_LOW_SPEED_TIME,
                         flo_http_seconds(request->low_speed_ms));
    }
    int rv = set_body(&call, err);
    if (rv == 0) {
        rv = build_headers(&call, &headers, err);
    }
    if (rv == 0) {
        curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, headers);
        CURLcode result = curl_easy_perform(http->curl);
        if (result != CURLE_OK) {
            rv = call_fail(&call, result, err);
        }
    }
    curl_slist_free_all(headers);
    if (rv < 0) {
        flo_buf_deinit(&answer->body);
    }
    return rv;
}

bool flo_http_is_passing(int code, const struct flo_http_answer *answer)
{
    if (code == 0) {
        int status = answer == NULL ? 0 : answer->status;
        return status >= 500 || status == 408 || status == 425 || status == 429;
    }
    return code == FLO_E_NET_UNREACHABLE || code == FLO_E_NET_TIMEOUT ||
           code == FLO_E_NET_STALLED || code == FLO_E_NET_CONTENT;
}

/* HTTP fetch: sends one GET, and classifies its failures. */
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <flotilla/errors/io.h>
#include <flotilla/errors/net.h>
#include <flotilla/errors/rest.h>

#include "updater/fetch/get.h"

/* longest time until the speed of a transfer is known */
#define SPEED_KNOWN_MS 10000

/* Private codes, outside the table of errors, which tell why on_data ended a
 * transfer. */
#define STOP_JUMP (-10000) /* the transfer ends, because the disk already has the next bytes */

struct transfer {
    struct flo_fetch *fetch;
    /* download that gets the bytes; NULL: curl collects a document in memory */
    struct flo_part *part;
    const struct flo_http_answer *answer;
    uint64_t offset; /* offset of the next body byte; set at the first byte */
    bool has_begun;
    uint64_t total;
    bool is_neighbours;
    const char *url;
    uint64_t begin, begin_ms; /* first byte that is asked for, and when */
    struct flo_err err;       /* error that a callback returned */
};

void flo_fetch_deinit(struct flo_fetch *fetch)
{
    flo_http_close(fetch->handle);
    flo_http_close(fetch->elsewhere);
    flo_http_close(fetch->neighbours.handle);
    fetch->handle = fetch->elsewhere = fetch->neighbours.handle = NULL;
}

bool flo_fetch_is_stopped(const struct flo_fetch *fetch)
{
    struct pollfd item = {.fd = fetch->control_fd, .events = POLLIN};
    char byte;

    if (fetch->control_fd < 0 || poll(&item, 1, 0) <= 0) {
        return false;
    }
    if ((item.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
        return true;
    }
    return recv(fetch->control_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static int fail_stopped(struct flo_err *err)
{
    return flo_fail(err, FLO_E_INTERRUPTED, "the agent went away; what was fetched is kept");
}

int flo_fetch_pause(const struct flo_fetch *fetch, uint64_t pause_ms, struct flo_err *err)
{
    uint64_t end = flo_now_ms() + pause_ms;

    for (;;) {
        uint64_t now = flo_now_ms();
        struct pollfd item = {.fd = fetch->control_fd, .events = POLLIN};
        if (flo_fetch_is_stopped(fetch)) {
            return fail_stopped(err);
        }
        if (now >= end) {
            return 0;
        }
        uint64_t slice = end - now < 1000 ? end - now : 1000;
        (void)poll(&item, item.fd < 0 ? 0 : 1, (int)slice);
    }
}

static int spend(struct transfer *transfer, size_t bytes, struct flo_err *err)
{
    struct flo_fetch *fetch = transfer->fetch;

    fetch->fetched_bytes += bytes;
    if (transfer->is_neighbours) {
        fetch->neighbours.bytes += bytes;
    }
    if (fetch->budget_bytes != 0 && fetch->fetched_bytes > fetch->budget_bytes) {
        return flo_fail(err, FLO_E_NET_BUDGET, "%llu bytes were fetched, the budget is %llu",
                        (unsigned long long)fetch->fetched_bytes,
                        (unsigned long long)fetch->budget_bytes);
    }
    return 0;
}

/* ---- what the answer's head must say ---- */

/* Checks the answer's head.  A captive portal answers every request with 200
 * and an HTML page. */
static int check_head(const struct transfer *transfer, struct flo_err *err)
{
    const struct flo_http_answer *answer = transfer->answer;
    uint64_t from = answer->status == 206 ? transfer->offset : 0;

    if (strncasecmp(answer->content_type, "text/html", 9) == 0) {
        return flo_fail(err, FLO_E_NET_CONTENT, "a web page came instead of the artifact");
    }
    if (answer->status != 200 && answer->status != 206) {
        return flo_fail(err, FLO_E_NET_CONTENT, "status %d carries no artifact", answer->status);
    }
    if (answer->content_bytes != 0 && answer->content_bytes != transfer->total - from) {
        return flo_fail(err, FLO_E_NET_CONTENT,
                        "%llu bytes are offered, %llu belong to the artifact",
                        (unsigned long long)answer->content_bytes,
                        (unsigned long long)(transfer->total - from));
    }
    return 0;
}

void flo_fetch_tell_kept(const struct flo_fetch *fetch, const struct flo_part *part)
{
    if (fetch->on_kept != NULL) {
        fetch->on_kept(fetch->kept_context, flo_part_kept(part));
    }
}

static int take(struct transfer *transfer, const char *data, size_t bytes, struct flo_err *err)
{
    uint64_t position = flo_part_position(transfer->part);

    /* A server without Range support sends all bytes from the beginning; those
     * that are here already are skipped. */
    if (transfer->offset < position) {
        uint64_t known = position - transfer->offset;
        size_t skip = known < bytes ? (size_t)known : bytes;
        transfer->offset += skip;
        data += skip;
        bytes -= skip;
    }
    if (bytes == 0) {
        return 0;
    }
    int rv = flo_part_write(transfer->part, data, bytes, err);

    flo_fetch_tell_kept(transfer->fetch, transfer->part);
    transfer->offset += bytes;
    if (rv == 0 && flo_part_position(transfer->part) > transfer->offset) {
        rv = STOP_JUMP;
    }
    return rv;
}

static int on_data(void *context, const void *data, size_t bytes)
{
    struct transfer *transfer = context;
    int rv = spend(transfer, bytes, &transfer->err);

    if (rv == 0 && !transfer->has_begun) {
        rv = check_head(transfer, &transfer->err);
        transfer->has_begun = true;
        if (transfer->answer->status != 206) {
            transfer->offset = 0;
        }
        if (rv == 0 && !transfer->is_neighbours && transfer->answer->etag[0] != '\0') {
            flo_part_set_etag(transfer->part, transfer->answer->etag);
        }
    }
    FLO_TRY(rv);
    return take(transfer, data, bytes, &transfer->err);
}

bool flo_fetch_is_too_slow(uint64_t bytes, uint64_t took_ms, uint64_t left_bytes, uint64_t left_ms)
{
    uint64_t known_ms = left_ms / 20 < SPEED_KNOWN_MS ? left_ms / 20 : SPEED_KNOWN_MS;

    return took_ms > known_ms &&
           (double)left_bytes * (double)took_ms > (double)left_ms * (double)bytes;
}

/* Tells of a download that cannot end before the job's deadline.  Each mirror
 * but the last is left for the next one; what came stays. */
static int look_at_speed(struct transfer *transfer)
{
    struct flo_fetch *fetch = transfer->fetch;
    uint64_t now_ms = flo_now_ms(), rate = fetch->http.rate_bytes_per_s;

    if (transfer->part == NULL || transfer->is_neighbours || fetch->deadline_ms <= now_ms ||
        fetch->slow_count == fetch->url_count) {
        return 0;
    }
    uint64_t took_ms = now_ms - transfer->begin_ms, left_ms = fetch->deadline_ms - now_ms;
    uint64_t position = flo_part_position(transfer->part), left = transfer->total - position;
    if ((rate != 0 && left / rate >= left_ms / 1000) || /* our own limit is to blame */
        !flo_fetch_is_too_slow(position - transfer->begin, took_ms, left, left_ms)) {
        return 0;
    }
    bool is_last = ++fetch->slow_count == fetch->url_count;
    int rv =
        flo_fail(&transfer->err, FLO_E_NET_STALLED,
                 "%llu bytes in %llu ms: the other %llu cannot come within %llu s, the rest of "
                 "the job's time%s",
                 (unsigned long long)(position - transfer->begin), (unsigned long long)took_ms,
                 (unsigned long long)left, (unsigned long long)left_ms / 1000,
                 is_last ? ", and no other mirror is left to try" : "");
    if (is_last) {
        flo_wrap(&transfer->err, rv, "%s", transfer->url);
        flo_log_err(FLO_LOG_WARN, "fetch", &transfer->err);
        transfer->err = (struct flo_err){0};
        rv = 0;
    }
    return rv;
}

static int on_progress(void *context, uint64_t done, uint64_t total)
{
    struct transfer *transfer = context;
    struct flo_fetch *fetch = transfer->fetch;

    (void)done, (void)total;
    if (flo_fetch_is_stopped(fetch)) {
        return fail_stopped(&transfer->err);
    }
    if (fetch->on_progress != NULL && transfer->part != NULL) {
        fetch->on_progress(fetch->context, flo_part_position(transfer->part), transfer->total);
    }
    return look_at_speed(transfer);
}

/* ---- one attempt ---- */

/* Follows a redirect to another store.  The store gets no certificate and no
 * token of ours, and its bytes are verified as those of any mirror. */
static int follow(struct flo_fetch *fetch, struct flo_http_request *request,
                  struct flo_http_answer *answer, struct flo_err *err)
{
    struct flo_http_options options = fetch->http;
    char url[sizeof(answer->location)];

    options.ca_file = options.cert_file = options.key_file = NULL;
    options.bearer = options.unix_socket = options.ca_fingerprint = NULL;
    FLO_TRY(fetch->elsewhere != NULL ? 0 : flo_http_open(&options, &fetch->elsewhere, err));
    snprintf(url, sizeof(url), "%s", answer->location);
    if (strncmp(url, "http://", 7) == 0 && !fetch->told_plain) {
        fetch->told_plain = true;
        flo_log(FLO_LOG_WARN, "fetch",
                "a mirror leads to %.200s, without TLS: bytes are checked by "
                "digest, and who listens can read them",
                url);
    }
    flo_buf_deinit(&answer->body);
    *answer = (struct flo_http_answer){.status = 0};
    request->url = url;
    return flo_http_call(fetch->elsewhere, request, answer, err);
}

/* Sends a request to a mirror, and follows one redirect (307 with an absolute
 * URL). */
static int call(struct flo_fetch *fetch, struct flo_http *http, struct flo_http_request *request,
                struct flo_http_answer *answer, struct flo_err *err)
{
    int rv = flo_http_call(http, request, answer, err);

    if (rv == 0 && http == fetch->handle && answer->status == 307 &&
        (strncmp(answer->location, "https://", 8) == 0 ||
         strncmp(answer->location, "http://", 7) == 0)) {
        rv = follow(fetch, request, answer, err);
    }
    return rv;
}

/* Classifies a failure.  Errors of a mirror concern that mirror only; errors of
 * this device end the job without asking another mirror. */
enum flo_get_outcome flo_get_judge(int rv, const struct flo_http_answer *answer)
{
    switch (rv) {
    case FLO_E_NET_UNREACHABLE:
    case FLO_E_NET_TIMEOUT:
    case FLO_E_NET_STALLED:
        return FLO_GET_PASSING;
    case 0:
        return flo_http_is_passing(0, answer) ? FLO_GET_PASSING : FLO_GET_PERMANENT;
    case FLO_E_DISK_FULL:
    case FLO_E_INTERRUPTED:
    case FLO_E_MEMORY:
    case FLO_E_DESCRIPTORS:
    case FLO_E_NET_BUDGET:
    case FLO_E_STATE:
        return FLO_GET_FATAL;
    default:
        return flo_error_exit(rv) == FLO_EXIT_OTHER ? FLO_GET_FATAL : FLO_GET_PERMANENT;
    }
}

/* Sets the error for a mirror's answer without success.  The answer's problem
 * document may name any of our errors, such as "disk.full"; only those about
 * the mirror itself are accepted. */
static void refused(const struct flo_http_answer *answer, const char *url, struct flo_err *err)
{
    int code = flo_http_fail(answer, url, err);

    if (code != FLO_E_BLOB_ABSENT && code != FLO_E_REST_AUTH && code != FLO_E_REST_ROLE &&
        code != FLO_E_REST_LIMIT && flo_error_exit(code) != FLO_EXIT_NETWORK) {
        flo_fail(err, answer->status == 404 ? FLO_E_BLOB_ABSENT : FLO_E_NET_STATUS,
                 "%s: the server answered %d", url, answer->status);
    }
}

enum flo_get_outcome flo_get_artifact(struct flo_fetch *fetch, struct flo_http *http,
                                      const char *url, struct flo_part *part, uint64_t total,
                                      uint64_t *retry_ms, struct flo_err *err)
{
    struct flo_http_answer answer = {.status = 0};
    struct transfer transfer = {
        .fetch = fetch,
        .part = part,
        .answer = &answer,
        .offset = flo_part_position(part),
        .total = total,
        .is_neighbours = http == fetch->neighbours.handle,
        .url = url,
        .begin = flo_part_position(part),
        .begin_ms = flo_now_ms(),
    };
    const char *etag = transfer.is_neighbours ? "" : flo_part_etag(part);
    struct flo_http_request request = {
        .url = url,
        .range_from = transfer.offset,
        .if_range = etag[0] != '\0' ? etag : NULL,
        .on_data = on_data,
        .on_progress = on_progress,
        .context = &transfer,
    };
    int rv = call(fetch, http, &request, &answer, err);
    enum flo_get_outcome outcome;

    *retry_ms = answer.retry_after_ms;
    if (rv == STOP_JUMP) {
        outcome = FLO_GET_GOOD;
    } else if (rv < 0) {
        if (transfer.err.code == rv && err != NULL) {
            *err = transfer.err;
            flo_wrap(err, rv, "%s", url);
        }
        outcome = flo_get_judge(rv, &answer);
    } else if (answer.status >= 200 && answer.status < 300) {
        /* All bytes have arrived, or a server that sent no Content-Length
         * closed the connection early. */
        outcome = FLO_GET_GOOD;
        if (flo_part_position(part) != total) {
            flo_fail(err, FLO_E_NET_UNREACHABLE, "%s: ended at %llu of %llu", url,
                     (unsigned long long)flo_part_position(part), (unsigned long long)total);
            outcome = FLO_GET_PASSING;
        }
    } else {
        refused(&answer, url, err);
        outcome = flo_get_judge(0, &answer);
    }
    flo_buf_deinit(&answer.body);
    return outcome;
}

/* ---- into memory ---- */

enum flo_get_outcome flo_get_document(struct flo_fetch *fetch, const char *url,
                                      const struct flo_get_wanted *wanted, struct flo_buf *out,
                                      uint64_t *retry_ms, struct flo_err *err)
{
    struct flo_http_answer answer = {.status = 0};
    struct transfer transfer = {.fetch = fetch, .answer = &answer};
    struct flo_http_request request = {
        .url = url,
        .answer_bytes_max = wanted->bytes_max,
        .on_progress = on_progress,
        .context = &transfer,
    };
    enum flo_get_outcome outcome = FLO_GET_GOOD;
    int rv = call(fetch, fetch->handle, &request, &answer, err);

    *retry_ms = answer.retry_after_ms;
    if (rv == FLO_E_REST_TOO_LARGE) {
        rv = flo_fail(err, FLO_E_META_TOO_LARGE, "%s: more than the %zu bytes that are allowed",
                      url, wanted->bytes_max);
    }
    if (rv < 0) {
        return flo_get_judge(rv, &answer);
    }
    if (answer.status != 200) {
        refused(&answer, url, err);
        outcome = flo_get_judge(0, &answer);
    } else {
        rv = wanted->check(wanted->context, answer.body.data != NULL ? answer.body.data : "",
                           answer.body.bytes, err);
        if (rv < 0) {
            flo_wrap(err, rv, "%s", url);
            outcome = flo_get_judge(rv, &answer);
        }
    }
    if (outcome != FLO_GET_GOOD) {
        flo_buf_deinit(&answer.body);
        return outcome;
    }
    fetch->fetched_bytes += answer.body.bytes;
    *out = answer.body;
    return FLO_GET_GOOD;
}

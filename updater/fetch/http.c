/* Fetching over HTTP: mirrors, resuming, pauses, and whose fault it is. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/host/digest.h"
#include "updater/fetch/fetch.h"

/* Not errors, and no code of the table: why on_data ended a transfer. */
#define STOP_JUMP (-10000) /* the next bytes are here already */

/* How one attempt ended. */
enum outcome {
    GOOD,
    PASSING,   /* try again, after a pause */
    PERMANENT, /* not from this mirror */
    FATAL,     /* our own trouble: disk, budget, stop */
};

struct transfer {
    struct flo_fetch *fetch;
    struct flo_part *part; /* NULL: a document, curl collects it */
    const struct flo_http_answer *answer;
    uint64_t offset; /* of the next body byte; set at the first */
    bool has_begun;
    uint64_t total;
    struct flo_err err; /* of a callback */
};

void flo_fetch_deinit(struct flo_fetch *fetch)
{
    flo_http_close(fetch->handle);
    flo_http_close(fetch->elsewhere);
    fetch->handle = fetch->elsewhere = NULL;
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
    return flo_fail(err, FLO_E_INTERRUPTED,
                    "the agent went away; what was fetched is kept");
}

static int spend(struct flo_fetch *fetch, size_t bytes, struct flo_err *err)
{
    fetch->fetched_bytes += bytes;
    if (fetch->budget_bytes != 0 &&
        fetch->fetched_bytes > fetch->budget_bytes) {
        return flo_fail(err, FLO_E_NET_BUDGET,
                        "%llu bytes were fetched, the budget is %llu",
                        (unsigned long long)fetch->fetched_bytes,
                        (unsigned long long)fetch->budget_bytes);
    }
    return 0;
}

/* ---- what the answer's head must say ---- */

/* A captive portal answers anything with 200 and a page. */
static int check_head(const struct transfer *transfer, struct flo_err *err)
{
    const struct flo_http_answer *answer = transfer->answer;
    uint64_t from = answer->status == 206 ? transfer->offset : 0;

    if (strncasecmp(answer->content_type, "text/html", 9) == 0) {
        return flo_fail(err, FLO_E_NET_CONTENT,
                        "a web page came instead of the artifact");
    }
    if (answer->status != 200 && answer->status != 206) {
        return flo_fail(err, FLO_E_NET_CONTENT, "status %d carries no artifact",
                        answer->status);
    }
    if (answer->content_bytes != 0 &&
        answer->content_bytes != transfer->total - from) {
        return flo_fail(err, FLO_E_NET_CONTENT,
                        "%llu bytes are offered, %llu belong to the artifact",
                        (unsigned long long)answer->content_bytes,
                        (unsigned long long)(transfer->total - from));
    }
    return 0;
}

static int take(struct transfer *transfer, const char *data, size_t bytes,
                struct flo_err *err)
{
    uint64_t position = flo_part_position(transfer->part);

    /* A server without Range sends all from the beginning. */
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

    transfer->offset += bytes;
    if (rv == 0 && flo_part_position(transfer->part) > transfer->offset) {
        rv = STOP_JUMP;
    }
    return rv;
}

static int on_data(void *context, const void *data, size_t bytes)
{
    struct transfer *transfer = context;
    int rv = spend(transfer->fetch, bytes, &transfer->err);

    if (rv == 0 && !transfer->has_begun) {
        rv = check_head(transfer, &transfer->err);
        transfer->has_begun = true;
        if (transfer->answer->status != 206) {
            transfer->offset = 0;
        }
        if (rv == 0 && transfer->answer->etag[0] != '\0') {
            flo_part_set_etag(transfer->part, transfer->answer->etag);
        }
    }
    return rv < 0 ? rv : take(transfer, data, bytes, &transfer->err);
}

static int on_progress(void *context, uint64_t done, uint64_t total)
{
    struct transfer *transfer = context;
    struct flo_fetch *fetch = transfer->fetch;

    (void)done;
    (void)total;
    if (flo_fetch_is_stopped(fetch)) {
        return fail_stopped(&transfer->err);
    }
    if (fetch->on_progress != NULL && transfer->part != NULL) {
        fetch->on_progress(fetch->context, flo_part_position(transfer->part),
                           transfer->total);
    }
    return 0;
}

/* ---- one attempt ---- */

static int open_handle(struct flo_fetch *fetch, struct flo_err *err)
{
    return fetch->handle != NULL
               ? 0
               : flo_http_open(&fetch->http, &fetch->handle, err);
}

/* A store to which a mirror leads gets no certificate and no token of ours.
 * Its bytes are checked as those of any mirror. */
static int follow(struct flo_fetch *fetch, struct flo_http_request *request,
                  struct flo_http_answer *answer, struct flo_err *err)
{
    struct flo_http_options options = fetch->http;
    char url[sizeof(answer->location)];

    options.ca_file = options.cert_file = options.key_file = NULL;
    options.bearer = options.unix_socket = options.ca_fingerprint = NULL;
    int rv = fetch->elsewhere != NULL
                 ? 0
                 : flo_http_open(&options, &fetch->elsewhere, err);
    if (rv < 0) {
        return rv;
    }
    snprintf(url, sizeof(url), "%s", answer->location);
    flo_buf_deinit(&answer->body);
    *answer = (struct flo_http_answer){.status = 0};
    request->url = url;
    return flo_http_call(fetch->elsewhere, request, answer, err);
}

/* It may lead elsewhere, once (307 with the whole address). */
static int call(struct flo_fetch *fetch, struct flo_http_request *request,
                struct flo_http_answer *answer, struct flo_err *err)
{
    int rv = flo_http_call(fetch->handle, request, answer, err);

    return rv == 0 && answer->status == 307 &&
                   (strncmp(answer->location, "https://", 8) == 0 ||
                    strncmp(answer->location, "http://", 7) == 0)
               ? follow(fetch, request, answer, err)
               : rv;
}

/* A mirror's answer or fault is its own failure.  Only trouble of this device
 * ends the job before the next mirror was asked. */
static enum outcome judge(int rv, const struct flo_http_answer *answer)
{
    switch (rv) {
    case FLO_E_NET_UNREACHABLE:
    case FLO_E_NET_TIMEOUT:
    case FLO_E_NET_STALLED:
        return PASSING;
    case 0:
        return flo_http_is_passing(0, answer) ? PASSING : PERMANENT;
    case FLO_E_DISK_FULL:
    case FLO_E_INTERRUPTED:
    case FLO_E_MEMORY:
    case FLO_E_NET_BUDGET:
    case FLO_E_STATE:
        return FATAL;
    default:
        return flo_error_exit(rv) == FLO_EXIT_OTHER ? FATAL : PERMANENT;
    }
}

/* A mirror's answer that is no success.  A problem document may name any error
 * of ours, as "disk.full": only those that speak of the mirror are taken. */
static void refused(const struct flo_http_answer *answer, const char *url,
                    struct flo_err *err)
{
    int code = flo_http_fail(answer, url, err);

    if (code != FLO_E_BLOB_ABSENT && code != FLO_E_REST_AUTH &&
        code != FLO_E_REST_ROLE && code != FLO_E_REST_LIMIT &&
        flo_error_exit(code) != FLO_EXIT_NETWORK) {
        flo_fail(err,
                 answer->status == 404 ? FLO_E_BLOB_ABSENT : FLO_E_NET_STATUS,
                 "%s: the server answered %d", url, answer->status);
    }
}

/* One GET of an artifact from one mirror; `retry_ms` is the pause that it asks
 * for. */
static enum outcome get_artifact(struct flo_fetch *fetch, const char *url,
                                 struct flo_part *part, uint64_t total,
                                 uint64_t *retry_ms, struct flo_err *err)
{
    struct flo_http_answer answer = {.status = 0};
    struct transfer transfer = {
        .fetch = fetch,
        .part = part,
        .answer = &answer,
        .offset = flo_part_position(part),
        .total = total,
    };
    const char *etag = flo_part_etag(part);
    struct flo_http_request request = {
        .url = url,
        .range_from = transfer.offset,
        .if_range = etag[0] != '\0' ? etag : NULL,
        .on_data = on_data,
        .on_progress = on_progress,
        .context = &transfer,
    };
    int rv = call(fetch, &request, &answer, err);
    enum outcome outcome;

    *retry_ms = answer.retry_after_ms;
    if (rv == STOP_JUMP) {
        outcome = GOOD;
    } else if (rv < 0) {
        if (transfer.err.code == rv && err != NULL) {
            *err = transfer.err;
            flo_wrap(err, rv, "%s", url);
        }
        outcome = judge(rv, &answer);
    } else if (answer.status >= 200 && answer.status < 300) {
        /* Complete, or the other side closed early without saying a length. */
        outcome = GOOD;
        if (flo_part_position(part) != total) {
            flo_fail(err, FLO_E_NET_UNREACHABLE, "%s: ended at %llu of %llu",
                     url, (unsigned long long)flo_part_position(part),
                     (unsigned long long)total);
            outcome = PASSING;
        }
    } else {
        refused(&answer, url, err);
        outcome = judge(0, &answer);
    }
    flo_buf_deinit(&answer.body);
    return outcome;
}

/* ---- mirrors and pauses ---- */

struct mirrors {
    struct flo_fetch *fetch;
    const char *path; /* of what is asked for, before the digest */
    char digest[FLO_DIGEST_TEXT];
    bool is_out[FLO_FETCH_MIRRORS_MAX];
    bool has_lied[FLO_FETCH_MIRRORS_MAX]; /* wrong bytes, once: may be a fault
                                             on the way */
    size_t next;
    uint32_t failures; /* in a row without a new byte */
    uint64_t position; /* of the artifact, after the last attempt */
};

/* The URL of the next mirror that is not out; false when all are. */
static bool next_url(struct mirrors *mirrors, char *url, size_t url_bytes)
{
    const struct flo_fetch *fetch = mirrors->fetch;

    for (size_t i = 0; i < fetch->url_count; i++) {
        size_t at = (mirrors->next + i) % fetch->url_count;
        if (!mirrors->is_out[at]) {
            const char *base = fetch->urls[at];
            size_t chars = strlen(base);
            while (chars > 0 && base[chars - 1] == '/') {
                chars--;
            }
            mirrors->next = at;
            snprintf(url, url_bytes, "%.*s%s%s", (int)chars, base,
                     mirrors->path, mirrors->digest);
            return true;
        }
    }
    return false;
}

/* Full jitter: anything up to a bound that doubles, but not less than the
 * server asked for.  FLO_E_INTERRUPTED when the agent goes away meanwhile. */
static int pause_for(struct mirrors *mirrors, uint64_t retry_ms,
                     struct flo_err *err)
{
    const struct flo_fetch *fetch = mirrors->fetch;
    uint64_t low = fetch->pause_ms_min != 0 ? fetch->pause_ms_min : 500;
    uint64_t high = fetch->pause_ms_max != 0 ? fetch->pause_ms_max : 30000;
    uint32_t shift = mirrors->failures < 16 ? mirrors->failures : 16;
    uint64_t bound = low << shift < high ? low << shift : high;
    uint64_t random = 0;

    flo_random(&random, sizeof(random));
    uint64_t wait_ms = random % (bound + 1);
    retry_ms = retry_ms < high ? retry_ms : high;
    uint64_t end = flo_now_ms() + (wait_ms > retry_ms ? wait_ms : retry_ms);

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

/* The next step after an attempt that ended at `position`. */
static int after(struct mirrors *mirrors, enum outcome outcome,
                 uint64_t position, uint64_t retry_ms, struct flo_err *err)
{
    struct flo_fetch *fetch = mirrors->fetch;
    uint32_t attempts_max = fetch->attempts_max != 0 ? fetch->attempts_max : 6;
    bool has_moved = position > mirrors->position;

    mirrors->position = position;
    switch (outcome) {
    case GOOD:
        return 0;
    case FATAL:
        fetch->is_passing =
            err->code == FLO_E_DISK_FULL || err->code == FLO_E_INTERRUPTED;
        return err->code;
    case PERMANENT:
        if (err->code == FLO_E_TARGET_HASH &&
            !mirrors->has_lied[mirrors->next]) {
            mirrors->has_lied[mirrors->next] = true;
            return 0;
        }
        mirrors->is_out[mirrors->next] = true;
        fetch->is_passing =
            err->code == FLO_E_NET_CONTENT || err->code == FLO_E_NET_TLS;
        mirrors->next++;
        return 0;
    case PASSING:
        break;
    }
    fetch->is_passing = true;
    mirrors->next = (mirrors->next + 1) % fetch->url_count;
    mirrors->failures = has_moved ? 1 : mirrors->failures + 1;
    if (mirrors->failures >= attempts_max) {
        return err->code;
    }
    flo_log_err(FLO_LOG_INFO, "fetch", err);
    return pause_for(mirrors, retry_ms, err);
}

static int begin(struct mirrors *mirrors, struct flo_fetch *fetch,
                 const char *path, const struct flo_digest *digest,
                 struct flo_err *err)
{
    memset(mirrors, 0, sizeof(*mirrors));
    mirrors->fetch = fetch;
    mirrors->path = path;
    flo_digest_text(digest, mirrors->digest);
    if (fetch->url_count == 0) {
        fetch->is_passing = false;
        return flo_fail(err, FLO_E_BLOB_ABSENT,
                        "%s is not here and there is no mirror to ask",
                        mirrors->digest);
    }
    return open_handle(fetch, err);
}

int flo_fetch_artifact(struct flo_fetch *fetch,
                       const struct flo_artifact *artifact, int *fd,
                       struct flo_err *err)
{
    struct flo_part *part = NULL;
    struct mirrors mirrors;
    struct flo_err own = {0};
    char url[600];
    int rv;

    err = err == NULL ? &own : err;
    fetch->is_passing = false;
    rv = flo_part_open(fetch->store, artifact, &part, err);
    if (rv < 0) {
        fetch->is_passing = rv == FLO_E_DISK_FULL;
        return rv;
    }
    bool is_begun = false;
    for (;;) {
        enum outcome outcome = GOOD;
        uint64_t retry_ms = 0;
        if (flo_part_position(part) == artifact->bytes) {
            rv = flo_part_finish(part, fd, err);
            if (rv == 0) {
                break;
            }
            outcome = judge(rv, NULL);
        } else {
            if (!is_begun) {
                rv = begin(&mirrors, fetch, "/v1/blobs/", &artifact->digest,
                           err);
                is_begun = true;
            }
            if (rv < 0 || !next_url(&mirrors, url, sizeof(url))) {
                rv = rv < 0 ? rv : err->code;
                break;
            }
            outcome =
                get_artifact(fetch, url, part, artifact->bytes, &retry_ms, err);
        }
        /* Bytes of an earlier run were wrong: no mirror is to blame. */
        rv = is_begun ? after(&mirrors, outcome, flo_part_position(part),
                              retry_ms, err)
                      : (outcome == FATAL ? rv : 0);
        if (rv < 0) {
            break;
        }
    }
    if (fetch->on_progress != NULL && rv == 0) {
        fetch->on_progress(fetch->context, artifact->bytes, artifact->bytes);
    }
    flo_part_close(part);
    return rv;
}

/* ---- into memory ---- */

struct wanted {
    size_t bytes_max;
    flo_fetch_check_fn check;
    void *context;
};

static enum outcome get_document(struct flo_fetch *fetch, const char *url,
                                 const struct wanted *wanted,
                                 struct flo_buf *out, uint64_t *retry_ms,
                                 struct flo_err *err)
{
    struct flo_http_answer answer = {.status = 0};
    struct transfer transfer = {.fetch = fetch, .answer = &answer};
    struct flo_http_request request = {
        .url = url,
        .answer_bytes_max = wanted->bytes_max,
        .on_progress = on_progress,
        .context = &transfer,
    };
    enum outcome outcome = GOOD;
    int rv = call(fetch, &request, &answer, err);

    *retry_ms = answer.retry_after_ms;
    if (rv == FLO_E_REST_TOO_LARGE) {
        rv = flo_fail(err, FLO_E_META_TOO_LARGE,
                      "%s: more than the %zu bytes that are allowed", url,
                      wanted->bytes_max);
    }
    if (rv < 0) {
        return judge(rv, &answer);
    }
    if (answer.status != 200) {
        refused(&answer, url, err);
        outcome = judge(0, &answer);
    } else {
        rv = wanted->check(wanted->context,
                           answer.body.data != NULL ? answer.body.data : "",
                           answer.body.bytes, err);
        if (rv < 0) {
            flo_wrap(err, rv, "%s", url);
            outcome = judge(rv, &answer);
        }
    }
    if (outcome != GOOD) {
        flo_buf_deinit(&answer.body);
        return outcome;
    }
    fetch->fetched_bytes += answer.body.bytes;
    *out = answer.body;
    return GOOD;
}

static int get(struct flo_fetch *fetch, const char *path,
               const struct flo_digest *name, const struct wanted *wanted,
               struct flo_buf *out, struct flo_err *err)
{
    struct mirrors mirrors;
    struct flo_err own = {0};
    char url[600];

    err = err == NULL ? &own : err;
    fetch->is_passing = false;
    int rv = begin(&mirrors, fetch, path, name, err);

    while (rv == 0 && next_url(&mirrors, url, sizeof(url))) {
        uint64_t retry_ms = 0;
        enum outcome outcome =
            get_document(fetch, url, wanted, out, &retry_ms, err);
        if (outcome == GOOD) {
            return 0;
        }
        rv = after(&mirrors, outcome, 0, retry_ms, err);
    }
    return rv < 0 ? rv : err->code;
}

int flo_fetch_envelope(struct flo_fetch *fetch,
                       const struct flo_digest *release,
                       flo_fetch_check_fn check, void *context,
                       struct flo_buf *out, struct flo_err *err)
{
    const struct wanted wanted = {FLO_ENVELOPE_BYTES_MAX, check, context};

    return get(fetch, "/v1/envelopes/", release, &wanted, out, err);
}

int flo_fetch_small(struct flo_fetch *fetch, const struct flo_digest *digest,
                    size_t bytes_max, flo_fetch_check_fn check, void *context,
                    struct flo_buf *out, struct flo_err *err)
{
    const struct wanted wanted = {bytes_max, check, context};

    return get(fetch, "/v1/blobs/", digest, &wanted, out, err);
}

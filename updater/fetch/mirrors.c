/* Mirror fetch: tries one mirror after the other, with pauses, and resumes
 * downloads. */
#include <string.h>

#include <flotilla/errors/net.h>

#include "base/host/digest.h"
#include "updater/fetch/get.h"

static int open_handle(struct flo_fetch *fetch, struct flo_err *err)
{
    return fetch->handle != NULL ? 0 : flo_http_open(&fetch->http, &fetch->handle, err);
}

struct mirrors {
    struct flo_fetch *fetch;
    const char *path; /* path of the request before the digest */
    char digest[FLO_DIGEST_TEXT];
    bool is_out[FLO_FETCH_MIRRORS_MAX];
    /* true: the mirror sent wrong bytes once, which may be a transfer error */
    bool has_lied[FLO_FETCH_MIRRORS_MAX];
    size_t next;
    size_t failures;   /* failures in a row without a new byte */
    uint64_t position; /* bytes of the artifact that were there after the last attempt */
};

/* Writes the URL of the next usable mirror.  Returns false when none is
 * left. */
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
            snprintf(url, url_bytes, "%.*s%s%s", (int)chars, base, mirrors->path, mirrors->digest);
            return true;
        }
    }
    return false;
}

/* Returns how often each mirror that is left failed in a row. */
static size_t rounds_of(const struct mirrors *mirrors, bool *is_whole)
{
    size_t left = 0;

    for (size_t i = 0; i < mirrors->fetch->url_count; i++) {
        left += !mirrors->is_out[i];
    }
    *is_whole = mirrors->failures % left == 0;
    return mirrors->failures / left;
}

/* Pauses for a random time (full jitter) up to a bound that doubles, but at
 * least as long as the server asked for.  Returns FLO_E_INTERRUPTED when the
 * agent closed the connection. */
static int pause_for(const struct flo_fetch *fetch, size_t rounds, uint64_t retry_ms,
                     struct flo_err *err)
{
    uint64_t low = fetch->pause_ms_min != 0 ? fetch->pause_ms_min : 500;
    uint64_t high = fetch->pause_ms_max != 0 ? fetch->pause_ms_max : 30000;
    size_t shift = rounds < 16 ? rounds : 16;
    uint64_t bound = low << shift < high ? low << shift : high;
    uint64_t random = 0;

    flo_random(&random, sizeof(random));
    uint64_t wait_ms = random % (bound + 1);
    retry_ms = retry_ms < high ? retry_ms : high;
    return flo_fetch_pause(fetch, wait_ms > retry_ms ? wait_ms : retry_ms, err);
}

/* Decides after an attempt whether there will be another one, and with which
 * mirror.  `position` is the number of bytes that are here now. */
static int after(struct mirrors *mirrors, enum flo_get_outcome outcome, uint64_t position,
                 uint64_t retry_ms, struct flo_err *err)
{
    struct flo_fetch *fetch = mirrors->fetch;
    uint32_t attempts_max = fetch->attempts_max != 0 ? fetch->attempts_max : 6;
    bool has_moved = position > mirrors->position, is_whole;

    mirrors->position = position;
    switch (outcome) {
    case FLO_GET_GOOD:
        fetch->first = mirrors->next;
        return 0;
    case FLO_GET_FATAL:
        fetch->is_passing = err->code == FLO_E_DISK_FULL || err->code == FLO_E_INTERRUPTED;
        return err->code;
    case FLO_GET_PERMANENT:
        if (err->code == FLO_E_TARGET_HASH && !mirrors->has_lied[mirrors->next]) {
            mirrors->has_lied[mirrors->next] = true;
            return 0;
        }
        mirrors->is_out[mirrors->next] = true;
        fetch->is_passing = err->code == FLO_E_NET_CONTENT || err->code == FLO_E_NET_TLS;
        mirrors->next++;
        return 0;
    case FLO_GET_PASSING:
        break;
    }
    fetch->is_passing = true;
    mirrors->next = (mirrors->next + 1) % fetch->url_count;
    mirrors->failures = has_moved ? 1 : mirrors->failures + 1;
    size_t rounds = rounds_of(mirrors, &is_whole);
    if (rounds >= attempts_max) {
        return err->code;
    }
    flo_log_err(FLO_LOG_INFO, "fetch", err);
    return is_whole ? pause_for(fetch, rounds, retry_ms, err) : 0;
}

static int begin(struct mirrors *mirrors, struct flo_fetch *fetch, const char *path,
                 const struct flo_digest *digest, struct flo_err *err)
{
    memset(mirrors, 0, sizeof(*mirrors));
    mirrors->fetch = fetch;
    mirrors->path = path;
    mirrors->next = fetch->first;
    flo_digest_text(digest, mirrors->digest);
    if (fetch->url_count == 0) {
        fetch->is_passing = false;
        return flo_fail(err, FLO_E_BLOB_ABSENT, "%s is not here and there is no mirror to ask",
                        mirrors->digest);
    }
    return open_handle(fetch, err);
}

int flo_fetch_artifact(struct flo_fetch *fetch, const struct flo_artifact *artifact, int *fd,
                       struct flo_err *err)
{
    struct flo_part *part = NULL;
    struct mirrors mirrors;
    struct flo_err own = {0};
    char url[600];
    int rv;

    err = err == NULL ? &own : err;
    fetch->is_passing = false;
    fetch->slow_count = 0;
    rv = flo_part_open(fetch->store, artifact, &part, err);
    if (rv < 0) {
        fetch->is_passing = rv == FLO_E_DISK_FULL;
        return rv;
    }
    flo_fetch_tell_kept(fetch, part);
    if (fetch->fetched_bytes == 0 && fetch->found_bytes == 0) {
        fetch->found_bytes = flo_part_position(part);
    }
    rv = flo_neighbours_ask(fetch, part, artifact, err);
    if (rv < 0) {
        fetch->is_passing = rv == FLO_E_DISK_FULL || rv == FLO_E_INTERRUPTED;
        flo_part_close(part);
        return rv;
    }
    bool is_begun = false;
    for (;;) {
        enum flo_get_outcome outcome = FLO_GET_GOOD;
        uint64_t retry_ms = 0;
        if (flo_part_position(part) == artifact->bytes) {
            rv = flo_part_finish(part, fd, err);
            if (rv == 0) {
                break;
            }
            flo_neighbours_lied(fetch, err);
            outcome = flo_get_judge(rv, NULL);
        } else {
            if (!is_begun) {
                rv = begin(&mirrors, fetch, "/v1/blobs/", &artifact->digest, err);
                is_begun = true;
            }
            if (rv < 0 || !next_url(&mirrors, url, sizeof(url))) {
                if (rv == 0) {
                    rv = err->code;
                }
                break;
            }
            outcome =
                flo_get_artifact(fetch, fetch->handle, url, part, artifact->bytes, &retry_ms, err);
        }
        /* A wrong artifact is no mirror's fault when its bytes came from an
         * earlier run or from a neighbour. */
        rv = is_begun ? after(&mirrors, outcome, flo_part_position(part), retry_ms, err)
                      : (outcome == FLO_GET_FATAL ? rv : 0);
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

static int get(struct flo_fetch *fetch, const char *path, const struct flo_digest *name,
               const struct flo_get_wanted *wanted, struct flo_buf *out, struct flo_err *err)
{
    struct mirrors mirrors;
    struct flo_err own = {0};
    char url[600];

    err = err == NULL ? &own : err;
    fetch->is_passing = false;
    FLO_TRY(begin(&mirrors, fetch, path, name, err));
    while (next_url(&mirrors, url, sizeof(url))) {
        uint64_t retry_ms = 0;
        enum flo_get_outcome outcome = flo_get_document(fetch, url, wanted, out, &retry_ms, err);
        FLO_TRY(after(&mirrors, outcome, 0, retry_ms, err));
        if (outcome == FLO_GET_GOOD) {
            return 0;
        }
    }
    return err->code;
}

int flo_fetch_envelope(struct flo_fetch *fetch, const struct flo_digest *release,
                       flo_fetch_check_fn check, void *context, struct flo_buf *out,
                       struct flo_err *err)
{
    const struct flo_get_wanted wanted = {FLO_ENVELOPE_BYTES_MAX, check, context};

    return get(fetch, "/v1/envelopes/", release, &wanted, out, err);
}

int flo_fetch_small(struct flo_fetch *fetch, const struct flo_digest *digest, size_t bytes_max,
                    flo_fetch_check_fn check, void *context, struct flo_buf *out,
                    struct flo_err *err)
{
    const struct flo_get_wanted wanted = {bytes_max, check, context};

    return get(fetch, "/v1/blobs/", digest, &wanted, out, err);
}

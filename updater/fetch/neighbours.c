/* Neighbour fetch: gets bytes from devices on the local network, before the
 * mirrors.
 *
 * A round asks each neighbour once, in random order.  While a neighbour
 * downloads the artifact, this device waits, up to a limit, so that a site
 * downloads it only once.  Until `turn_ms` it waits in any case, because a
 * neighbour may begin a download.  A neighbour that does not answer, is too
 * slow or has other bytes is not asked for a while.  No error of a neighbour
 * fails a job: the mirrors provide the missing bytes. */
#include <string.h>

#include <flotilla/errors/neighbour.h>
#include <flotilla/errors/net.h>

#include "updater/fetch/get.h"

#define PATIENCE_MS 1000 /* timeout to connect */
#define SLOW_BYTES 16384 /* least bytes per second, measured over SLOW_TIMES timeouts */
#define SLOW_TIMES 5
#define ASIDE_MS 60000
#define EVER_MS UINT64_MAX
#define PAUSE_MS 1000
#define PAUSE_MS_MAX 5000

enum answer { NOTHING, GIVES, FETCHES, OURS };

static int open_handle(struct flo_fetch *fetch, struct flo_err *err)
{
    struct flo_http_options options = fetch->http;
    uint64_t patience_ms =
        fetch->neighbours.patience_ms > 0 ? fetch->neighbours.patience_ms : PATIENCE_MS;

    options.meets_device = true;
    options.connect_timeout_ms = patience_ms;
    options.low_speed_bytes = SLOW_BYTES;
    options.low_speed_ms = SLOW_TIMES * patience_ms;
    options.rate_bytes_per_s = 0; /* the rate limit is for the uplink, not for neighbours */
    return fetch->neighbours.handle != NULL
               ? 0
               : flo_http_open(&options, &fetch->neighbours.handle, err);
}

static void shuffle(size_t *order, size_t count)
{
    uint32_t random = 0;

    for (size_t i = 0; i < count; i++) {
        order[i] = i;
    }
    for (size_t i = count; i > 1; i--) {
        flo_random(&random, sizeof(random));
        size_t other = random % i;
        size_t kept = order[i - 1];
        order[i - 1] = order[other];
        order[other] = kept;
    }
}

static void put_aside(struct flo_neighbours *neighbours, size_t which, uint64_t for_ms,
                      const struct flo_err *err)
{
    neighbours->aside_ms[which] = for_ms == EVER_MS ? EVER_MS : flo_now_ms() + for_ms;
    flo_log(for_ms == EVER_MS ? FLO_LOG_WARN : FLO_LOG_INFO, "neighbours", "%s is put aside: %s",
            neighbours->urls[which], err->what);
}

static enum answer judge(struct flo_fetch *fetch, size_t which, enum flo_get_outcome outcome,
                         const struct flo_err *err)
{
    struct flo_neighbours *neighbours = &fetch->neighbours;

    if (outcome == FLO_GET_GOOD) {
        return GIVES;
    }
    if (outcome == FLO_GET_FATAL) {
        return OURS;
    }
    switch (err->code) {
    case FLO_E_NEIGHBOUR_FETCHES:
    case FLO_E_NEIGHBOUR_BUSY:
        return FETCHES;
    case FLO_E_BLOB_ABSENT:
        return NOTHING;
    case FLO_E_TARGET_HASH:
    case FLO_E_NET_CONTENT:
        put_aside(neighbours, which, EVER_MS, err);
        return NOTHING;
    default:
        put_aside(neighbours, which, ASIDE_MS, err);
        return NOTHING;
    }
}

static enum answer ask_one(struct flo_fetch *fetch, size_t which, struct flo_part *part,
                           const struct flo_artifact *artifact, struct flo_err *err)
{
    struct flo_neighbours *neighbours = &fetch->neighbours;
    uint64_t before = neighbours->bytes;
    char digest[FLO_DIGEST_TEXT];
    char url[FLO_NEIGHBOURS_URL_BYTES + FLO_DIGEST_TEXT + 16];
    uint64_t retry_ms = 0;

    flo_digest_text(&artifact->digest, digest);
    snprintf(url, sizeof(url), "%s/v1/blobs/%s", neighbours->urls[which], digest);
    enum flo_get_outcome outcome =
        flo_get_artifact(fetch, neighbours->handle, url, part, artifact->bytes, &retry_ms, err);

    neighbours->gave[which] = neighbours->gave[which] || neighbours->bytes > before;
    return judge(fetch, which, outcome, err);
}

/* Asks each neighbour once, until one gives all bytes or this device fails. */
static enum answer ask_all(struct flo_fetch *fetch, struct flo_part *part,
                           const struct flo_artifact *artifact, struct flo_err *err)
{
    struct flo_neighbours *neighbours = &fetch->neighbours;
    size_t order[FLO_NEIGHBOURS_MAX];
    enum answer best = NOTHING;

    shuffle(order, neighbours->count);
    for (size_t i = 0; i < neighbours->count; i++) {
        if (flo_now_ms() < neighbours->aside_ms[order[i]]) {
            continue;
        }
        enum answer answer = ask_one(fetch, order[i], part, artifact, err);
        if (answer == OURS || flo_part_position(part) == artifact->bytes) {
            return answer == OURS ? OURS : GIVES;
        }
        /* The neighbour may have filled a gap before bytes of an earlier run.
         * The bytes that are missing after those are asked for in the next
         * round. */
        best = answer == GIVES || answer == FETCHES ? FETCHES : best;
    }
    return best;
}

/* Tells whether any neighbour may still be asked.  Neighbours that sent wrong
 * bytes are not, so nobody waits for them. */
static bool is_any_left(const struct flo_neighbours *neighbours)
{
    for (size_t i = 0; i < neighbours->count; i++) {
        if (neighbours->aside_ms[i] != EVER_MS) {
            return true;
        }
    }
    return false;
}

static bool is_to_wait(const struct flo_neighbours *neighbours, enum answer answer, bool is_begun,
                       uint64_t now_ms)
{
    uint64_t since_ms = now_ms - neighbours->asked_ms;

    return is_any_left(neighbours) && since_ms < neighbours->wait_ms &&
           (answer == FETCHES || (!is_begun && since_ms < neighbours->turn_ms));
}

static uint64_t pause_of(const struct flo_neighbours *neighbours, uint32_t round)
{
    uint64_t low = neighbours->pause_ms != 0 ? neighbours->pause_ms : PAUSE_MS;
    uint64_t bound = low * (round + 1);
    uint64_t random = 0;

    bound = bound < PAUSE_MS_MAX ? bound : PAUSE_MS_MAX;
    flo_random(&random, sizeof(random));
    return bound / 2 + random % (bound / 2 + 1);
}

/* Asks neighbours in rounds.  A device that has begun to download does not
 * wait, else two such devices would wait for each other. */
int flo_neighbours_ask(struct flo_fetch *fetch, struct flo_part *part,
                       const struct flo_artifact *artifact, struct flo_err *err)
{
    struct flo_neighbours *neighbours = &fetch->neighbours;
    bool is_begun = flo_part_position(part) > 0;

    memset(neighbours->gave, 0, sizeof(neighbours->gave));
    if (neighbours->count == 0 || flo_part_position(part) == artifact->bytes) {
        return 0;
    }
    FLO_TRY(open_handle(fetch, err));
    if (neighbours->asked_ms == 0) {
        neighbours->asked_ms = flo_now_ms();
    }
    for (uint32_t round = 0;; round++) {
        enum answer answer = ask_all(fetch, part, artifact, err);
        if (answer == OURS) {
            return err->code;
        }
        if (answer == GIVES || !is_to_wait(neighbours, answer, is_begun, flo_now_ms())) {
            return 0;
        }
        if (neighbours->on_wait != NULL) {
            neighbours->on_wait(fetch->context);
        }
        FLO_TRY(flo_fetch_pause(fetch, pause_of(neighbours, round), err));
    }
}

void flo_neighbours_lied(struct flo_fetch *fetch, const struct flo_err *err)
{
    struct flo_neighbours *neighbours = &fetch->neighbours;

    for (size_t i = 0; i < neighbours->count; i++) {
        if (neighbours->gave[i]) {
            put_aside(neighbours, i, EVER_MS, err);
            neighbours->gave[i] = false;
        }
    }
}

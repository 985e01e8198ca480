/* Bundle fetch: fills partial downloads from a bundle file, for example on a
 * USB stick.
 *
 * The bundle is read twice.  The first pass verifies and lists all of it, so
 * that the plan is made before a byte is written. */
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/bundle.h>
#include <flotilla/plural.h>
#include <flotilla/release.h>

#include "updater/fetch/fetch.h"

/* ---- first pass ---- */

static int on_release(void *context, const struct flo_release_verified *verified,
                      const void *envelope, size_t envelope_bytes, struct flo_err *err)
{
    struct flo_offer *offer = context;
    bool is_it = flo_digest_is_zero(&offer->wanted)
                     ? offer->envelope.bytes == 0 /* zero: the bundle's first release */
                     : flo_digest_equal(&offer->wanted, &verified->digest);

    if (!is_it) {
        return 0;
    }
    offer->release = verified->digest;
    flo_buf_add(&offer->envelope, envelope, envelope_bytes);
    return offer->envelope.failed ? flo_fail(err, FLO_E_MEMORY, "no memory for the release") : 0;
}

static int on_offered(void *context, const struct flo_digest *digest, uint64_t bytes, bool *wanted,
                      struct flo_err *err)
{
    struct flo_offer *offer = context;

    (void)bytes;
    if (offer->count == FLO_OFFERED_MAX) {
        return flo_fail(err, FLO_E_BUNDLE_LIMIT, "more than %d artifacts", FLO_OFFERED_MAX);
    }
    offer->digests[offer->count++] = *digest;
    *wanted = false;
    return 0;
}

/* Accepts a bundle that lacks a file: the file may be on the device, and the
 * plan checks that. */
static int on_lacking(void *context, const struct flo_release *release,
                      const struct flo_release_file *file, struct flo_err *err)
{
    (void)context, (void)release, (void)file, (void)err;
    return 0;
}

int flo_fetch_bundle_look(const char *path, const struct flo_trust *trust,
                          const struct flo_digest *release, struct flo_offer *out,
                          struct flo_err *err)
{
    struct flo_bundle_facts facts;
    struct flo_bundle_handlers handlers = {
        .context = out, .on_release = on_release, .on_blob = on_offered, .on_lacking = on_lacking};

    memset(out, 0, sizeof(*out));
    out->wanted = *release;
    int rv = flo_bundle_read(path, trust, &handlers, &facts, err);

    if (rv < 0) {
        flo_buf_deinit(&out->envelope);
    }
    return rv;
}

/* ---- second pass ---- */

struct taking {
    struct flo_fetch *fetch;
    const struct flo_artifact *wanted;
    size_t wanted_count;
    size_t taken;
    struct flo_part *part; /* blob in progress, or NULL */
    uint64_t offset;       /* offset in the present blob of the next byte */
    uint64_t total;
    /* offset in the blob at which the worker last checked whether the agent
     * wants to stop */
    uint64_t looked_at;
    bool is_resumed; /* true: the part has bytes of an earlier run */
};

static int on_blob(void *context, const struct flo_digest *digest, uint64_t bytes, bool *wanted,
                   struct flo_err *err)
{
    struct taking *taking = context;

    *wanted = false;
    for (size_t i = 0; i < taking->wanted_count; i++) {
        const struct flo_artifact *artifact = &taking->wanted[i];
        if (!flo_digest_equal(&artifact->digest, digest)) {
            continue;
        }
        if (artifact->bytes != bytes) {
            return flo_fail(err, FLO_E_BUNDLE_SIZE, "an artifact has %llu bytes, %llu are signed",
                            (unsigned long long)bytes, (unsigned long long)artifact->bytes);
        }
        *wanted = true;
        taking->offset = 0;
        taking->looked_at = 0;
        taking->total = bytes;
        int rv = flo_part_open(taking->fetch->store, artifact, &taking->part, err);
        taking->is_resumed = rv == 0 && flo_part_position(taking->part) > 0;
        return rv;
    }
    return 0;
}

static int look_around(struct taking *taking, struct flo_err *err)
{
    struct flo_fetch *fetch = taking->fetch;

    if (taking->offset - taking->looked_at < FLO_PART_UNIT) {
        return 0;
    }
    taking->looked_at = taking->offset;
    if (flo_fetch_is_stopped(fetch)) {
        return flo_fail(err, FLO_E_INTERRUPTED, "the agent went away; what was read is kept");
    }
    if (fetch->on_progress != NULL) {
        fetch->on_progress(fetch->context, flo_part_position(taking->part), taking->total);
    }
    return 0;
}

static int on_data(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    struct taking *taking = context;
    const char *p = data;
    int rv = 0;

    if (taking->part == NULL) {
        return 0;
    }
    /* The bytes are taken in small steps, each written or skipped as a whole,
     * because they may overlap bytes of an earlier run. */
    while (rv == 0 && bytes > 0) {
        uint64_t position = flo_part_position(taking->part);
        size_t step = bytes;
        if (taking->offset < position) {
            uint64_t known = position - taking->offset;
            step = known < bytes ? (size_t)known : bytes;
        } else {
            uint64_t room = FLO_PART_UNIT / 16;
            step = room < bytes ? (size_t)room : bytes;
            rv = flo_part_write(taking->part, p, step, err);
        }
        taking->offset += step;
        p += step;
        bytes -= step;
    }
    FLO_TRY(rv);
    return look_around(taking, err);
}

static int on_blob_end(void *context, const struct flo_digest *digest, struct flo_err *err)
{
    struct taking *taking = context;
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    (void)digest;
    if (taking->part == NULL) {
        return 0;
    }
    int rv = flo_part_finish(taking->part, &fd, err);

    flo_part_close(taking->part);
    taking->part = NULL;
    taking->taken++;
    return rv;
}

static int take_once(struct taking *taking, const char *path, const struct flo_trust *trust,
                     struct flo_err *err)
{
    struct flo_bundle_handlers handlers = {.context = taking,
                                           .on_blob = on_blob,
                                           .on_data = on_data,
                                           .on_lacking = on_lacking,
                                           .on_blob_end = on_blob_end};
    struct flo_bundle_facts facts;

    taking->part = NULL;
    taking->taken = 0;
    taking->is_resumed = false;
    int rv = flo_bundle_read(path, trust, &handlers, &facts, err);

    flo_part_close(taking->part);
    if (rv == 0 && taking->taken != taking->wanted_count) {
        return flo_fail(err, FLO_E_BUNDLE_MISSING, "%zu of %zu artifact%s %s in the bundle",
                        taking->taken, taking->wanted_count, flo_s(taking->wanted_count),
                        flo_plural(taking->taken, "is", "are"));
    }
    return rv;
}

/* Copies artifacts from a bundle into partial/.  An artifact with wrong bytes
 * of an earlier run is copied again from 0 in another pass.  A disk that
 * corrupts new data ends the passes. */
int flo_fetch_bundle_take(struct flo_fetch *fetch, const char *path, const struct flo_trust *trust,
                          const struct flo_artifact *wanted, size_t wanted_count,
                          struct flo_err *err)
{
    struct taking taking = {.fetch = fetch, .wanted = wanted, .wanted_count = wanted_count};
    struct flo_err own = {0};

    err = err == NULL ? &own : err;
    int rv = take_once(&taking, path, trust, err);

    for (size_t i = 0; i < wanted_count && rv == FLO_E_TARGET_HASH && taking.is_resumed; i++) {
        flo_log_err(FLO_LOG_WARN, "fetch", err);
        rv = take_once(&taking, path, trust, err);
    }
    return rv;
}

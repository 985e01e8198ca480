/* BSDIFF40 decoder: applies a patch as a stream.
 *
 * Three bzip2 decoders read one descriptor at three offsets.  The old file is
 * read by pread and the new one is output in pieces, so memory does not depend
 * on file sizes.  A decoder needs at most 3.7 MB.  bzip2's small mode needs 2.4
 * MB at half the speed; it is used when the limit requires it.  So all three
 * fit in 16 MiB.
 *
 * Three things that bsdiff never writes are refused: a position outside the old
 * file, bytes past the last one used, and negative lengths (CVE-2014-9862,
 * CVE-2020-14315). */
#include "updater/delta/sink.h"

#include <inttypes.h>
#include <stdlib.h>

#include <flotilla/errors/patch.h>

#include "updater/delta/bsdiff40_part.h"

/* bytes of read-ahead after a jump in the old file */
#define OLD_JUMP_BYTES (16u << 10)
#define OLD_WINDOW_BYTES (256u << 10)
/* Most control entries (add, insert, seek) in a row that give no byte of the
 * new file.  bsdiff writes at most one in a row.  A patch of only such entries
 * would keep the decoder busy for a very long time. */
#define IDLE_TRIPLES_MAX 64

struct apply {
    const struct flo_delta_job *job;
    struct delta_sink *sink;
    struct part control;
    struct part diff;
    struct part extra;
    struct part_memory memory; /* bytes that bzip2 has allocated */
    uint64_t old_bytes;
    uint64_t window_offset; /* offset in the old file of the window's first byte */
    size_t window_bytes;
    size_t window_next; /* size in bytes of the last read-ahead */
    size_t out_bytes;
    uint8_t window[OLD_WINDOW_BYTES];
    uint8_t out[DELTA_PIECE_BYTES];
};

/* ---- old and new ---- */

/* Points `data` to at least one byte of the old file at `offset`, which is
 * inside the file.  Read-ahead is small after a jump and doubles during
 * sequential reading. */
static int old_window(struct apply *apply, uint64_t offset, const uint8_t **data, size_t *bytes,
                      struct flo_err *err)
{
    uint64_t window_end = apply->window_offset + apply->window_bytes;

    if (offset < apply->window_offset || offset >= window_end) {
        bool goes_on = offset == window_end && apply->window_bytes > 0;
        size_t next = goes_on ? 2 * apply->window_next : OLD_JUMP_BYTES;
        next = next > OLD_WINDOW_BYTES ? OLD_WINDOW_BYTES : next;
        apply->window_next = next;
        uint64_t left = apply->old_bytes - offset;
        apply->window_offset = offset;
        apply->window_bytes = left < next ? (size_t)left : next;
        int rv =
            flo_fd_pread_all(apply->job->base_fd, apply->window, apply->window_bytes, offset, err);
        if (rv < 0) {
            apply->window_bytes = 0;
            return flo_wrap(err, rv, "base");
        }
    }
    size_t skip = (size_t)(offset - apply->window_offset);
    *data = apply->window + skip;
    *bytes = apply->window_bytes - skip;
    return 0;
}

static int out_flush(struct apply *apply, struct flo_err *err)
{
    size_t bytes = apply->out_bytes;

    apply->out_bytes = 0;
    return bytes == 0 ? 0 : flo_delta_sink_write(apply->sink, apply->out, bytes, err);
}

static int out_room(struct apply *apply, uint64_t wanted, size_t *room, struct flo_err *err)
{
    if (apply->out_bytes == sizeof apply->out) {
        int rv = out_flush(apply, err);
        FLO_TRY(rv);
    }
    *room = sizeof apply->out - apply->out_bytes;
    *room = wanted < *room ? (size_t)wanted : *room;
    return 0;
}

/* Outputs bytes of the new file: old + diff, byte by byte. */
static int add_old(struct apply *apply, uint64_t old_offset, uint64_t bytes, struct flo_err *err)
{
    while (bytes > 0) {
        size_t room = 0;
        size_t seen = 0;
        const uint8_t *old = NULL;
        FLO_TRY(out_room(apply, bytes, &room, err));
        FLO_TRY(old_window(apply, old_offset, &old, &seen, err));
        size_t count = seen < room ? seen : room;
        uint8_t *out = apply->out + apply->out_bytes;
        FLO_TRY(flo_bsdiff40_part_read(&apply->diff, out, count, err));
        for (size_t i = 0; i < count; i++) {
            out[i] = (uint8_t)(out[i] + old[i]);
        }
        apply->out_bytes += count;
        old_offset += count;
        bytes -= count;
    }
    return 0;
}

static int insert(struct apply *apply, uint64_t bytes, struct flo_err *err)
{
    while (bytes > 0) {
        size_t room = 0;
        FLO_TRY(out_room(apply, bytes, &room, err));
        FLO_TRY(flo_bsdiff40_part_read(&apply->extra, apply->out + apply->out_bytes, room, err));
        apply->out_bytes += room;
        bytes -= room;
    }
    return 0;
}

/* ---- triples ---- */

struct triple {
    int64_t add;
    int64_t insert;
    int64_t seek;
};

static int triple_check(const struct apply *apply, const struct triple *triple, uint64_t new_left,
                        uint64_t old_offset, struct flo_err *err)
{
    if (triple->add < 0 || triple->insert < 0) {
        return flo_fail(err, FLO_E_PATCH_BOUNDS,
                        "a length in the patch is negative (add %" PRId64 ", insert %" PRId64 ")",
                        triple->add, triple->insert);
    }
    if ((uint64_t)triple->add > new_left ||
        (uint64_t)triple->insert > new_left - (uint64_t)triple->add) {
        return flo_fail(err, FLO_E_PATCH_BOUNDS,
                        "the patch writes behind the end of the new file (add "
                        "%" PRId64 ", insert %" PRId64 ", %" PRIu64 " left)",
                        triple->add, triple->insert, new_left);
    }
    if ((uint64_t)triple->add > apply->old_bytes - old_offset) {
        return flo_fail(err, FLO_E_PATCH_BOUNDS,
                        "the patch reads %" PRId64 " bytes at %" PRIu64 " of a base of %" PRIu64,
                        triple->add, old_offset, apply->old_bytes);
    }
    return 0;
}

static int seek_old(const struct apply *apply, uint64_t *old_offset, int64_t seek,
                    struct flo_err *err)
{
    int64_t target;

    if (__builtin_add_overflow((int64_t)*old_offset, seek, &target) || target < 0 ||
        (uint64_t)target > apply->old_bytes) {
        return flo_fail(err, FLO_E_PATCH_BOUNDS,
                        "the patch seeks by %" PRId64 " from %" PRIu64 " of a base of %" PRIu64,
                        seek, *old_offset, apply->old_bytes);
    }
    *old_offset = (uint64_t)target;
    return 0;
}

static int run_triples(struct apply *apply, struct flo_err *err)
{
    uint64_t left = apply->job->new_bytes;
    uint64_t old_offset = 0;
    unsigned idle = 0;

    while (left > 0) {
        uint8_t data[24];
        FLO_TRY(flo_bsdiff40_part_read(&apply->control, data, sizeof data, err));
        struct triple triple = {flo_bsdiff40_get(data), flo_bsdiff40_get(data + 8),
                                flo_bsdiff40_get(data + 16)};
        FLO_TRY(triple_check(apply, &triple, left, old_offset, err));
        FLO_TRY(add_old(apply, old_offset, (uint64_t)triple.add, err));
        FLO_TRY(insert(apply, (uint64_t)triple.insert, err));
        uint64_t progress = (uint64_t)triple.add + (uint64_t)triple.insert;
        left -= progress;
        old_offset += (uint64_t)triple.add;
        idle = progress == 0 ? idle + 1 : 0;
        if (idle > IDLE_TRIPLES_MAX) {
            return flo_fail(err, FLO_E_PATCH_BOUNDS,
                            "%u triples of the patch in a row write nothing", idle);
        }
        FLO_TRY(seek_old(apply, &old_offset, triple.seek, err));
    }
    return out_flush(apply, err);
}

/* Chooses bzip2's mode by the memory limit.  Fails with the numbers when
 * neither mode fits. */
static int start_parts(struct apply *apply, struct flo_err *err)
{
    struct part *parts[] = {&apply->control, &apply->diff, &apply->extra};
    uint64_t fast = 0;
    uint64_t small = 0;

    for (size_t i = 0; i < FLO_COUNT(parts); i++) {
        fast += flo_bsdiff40_part_memory_bytes(parts[i], false);
        small += flo_bsdiff40_part_memory_bytes(parts[i], true);
    }
    if (small > apply->memory.bytes_max) {
        return flo_fail(err, FLO_E_PATCH_LIMIT,
                        "the patch needs %" PRIu64 " bytes of memory, allowed "
                        "are %" PRIu64,
                        small + sizeof *apply, apply->memory.bytes_max + sizeof *apply);
    }
    for (size_t i = 0; i < FLO_COUNT(parts); i++) {
        FLO_TRY(
            flo_bsdiff40_part_start(parts[i], &apply->memory, fast > apply->memory.bytes_max, err));
    }
    return 0;
}

static int run(struct apply *apply, const struct bsdiff40_head *head, struct flo_err *err)
{
    uint64_t offset = BSDIFF40_HEAD_BYTES;
    int fd = apply->job->patch_fd;

    flo_bsdiff40_part_place(&apply->control, "control", fd, offset, head->control_bytes);
    offset += head->control_bytes;
    flo_bsdiff40_part_place(&apply->diff, "diff", fd, offset, head->diff_bytes);
    offset += head->diff_bytes;
    flo_bsdiff40_part_place(&apply->extra, "extra", fd, offset, head->extra_bytes);
    FLO_TRY(start_parts(apply, err));
    FLO_TRY(run_triples(apply, err));
    FLO_TRY(flo_bsdiff40_part_finish(&apply->control, err));
    FLO_TRY(flo_bsdiff40_part_finish(&apply->diff, err));
    return flo_bsdiff40_part_finish(&apply->extra, err);
}

int flo_delta_bsdiff40_apply(const struct flo_delta_job *job, uint64_t patch_bytes,
                             struct delta_sink *sink, struct flo_err *err)
{
    uint8_t data[BSDIFF40_HEAD_BYTES];
    size_t bytes = patch_bytes < sizeof data ? (size_t)patch_bytes : sizeof data;
    struct bsdiff40_head head;
    uint64_t old_bytes = 0;

    FLO_TRY(flo_fd_pread_all(job->patch_fd, data, bytes, 0, err));
    FLO_TRY(flo_bsdiff40_head_read(data, bytes, patch_bytes, &head, err));
    if (head.new_bytes != job->new_bytes) {
        return flo_fail(err, FLO_E_PATCH_LIMIT,
                        "the patch makes %" PRIu64 " bytes, expected are "
                        "%" PRIu64,
                        head.new_bytes, job->new_bytes);
    }
    FLO_TRY(flo_delta_file_bytes(job->base_fd, "base", &old_bytes, err));
    if (job->memory_bytes_max < sizeof(struct apply)) {
        return flo_fail(err, FLO_E_PATCH_LIMIT,
                        "%" PRIu64 " bytes of memory are allowed, the patch "
                        "needs more",
                        job->memory_bytes_max);
    }
    struct apply *apply = calloc(1, sizeof *apply);
    if (apply == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to apply the patch");
    }
    apply->job = job;
    apply->sink = sink;
    apply->old_bytes = old_bytes;
    apply->memory.bytes_max = job->memory_bytes_max - sizeof *apply;
    int rv = run(apply, &head, err);
    flo_bsdiff40_part_close(&apply->control);
    flo_bsdiff40_part_close(&apply->diff);
    flo_bsdiff40_part_close(&apply->extra);
    free(apply);
    return rv;
}

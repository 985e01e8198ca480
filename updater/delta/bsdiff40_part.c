/* BSDIFF40 part: the bzip2 streams of a patch; see bsdiff40_part.h. */
#include "updater/delta/bsdiff40_part.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include <flotilla/errors/patch.h>

/* ---- memory ---- */

/* Allocates memory for bzip2 and counts it.  A header in front of each block
 * has the block's size. */
static void *part_alloc(void *context, int count, int bytes)
{
    struct part_memory *memory = context;
    uint64_t need = (uint64_t)count * (uint64_t)bytes + 16;

    if (need > memory->bytes_max - memory->bytes) {
        return NULL;
    }
    uint64_t *block = malloc((size_t)need);
    if (block == NULL) {
        memory->is_short = true;
        return NULL;
    }
    memory->bytes += need;
    block[0] = need;
    return block + 2;
}

static void part_free(void *context, void *data)
{
    struct part_memory *memory = context;

    if (data != NULL) {
        uint64_t *block = (uint64_t *)data - 2;
        memory->bytes -= block[0];
        free(block);
    }
}

uint64_t flo_bsdiff40_part_memory_bytes(const struct part *part, bool small)
{
    char head[4];
    uint64_t level = 9;

    if (part->end - part->offset >= sizeof head &&
        pread(part->fd, head, sizeof head, (off_t)part->offset) == (ssize_t)sizeof head &&
        head[3] >= '1' && head[3] <= '9') {
        level = (uint64_t)(head[3] - '0');
    }
    return 100000 * level * (small ? 5 : 8) / 2 + (70u << 10);
}

/* ---- decoding a part ---- */

void flo_bsdiff40_part_place(struct part *part, const char *name, int fd, uint64_t offset,
                             uint64_t bytes)
{
    part->name = name;
    part->fd = fd;
    part->offset = offset;
    part->end = offset + bytes;
}

int flo_bsdiff40_part_start(struct part *part, struct part_memory *memory, bool small,
                            struct flo_err *err)
{
    part->stream.bzalloc = part_alloc;
    part->stream.bzfree = part_free;
    part->stream.opaque = memory;
    if (BZ2_bzDecompressInit(&part->stream, 0, small) != BZ_OK) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to decode the patch");
    }
    part->is_open = true;
    return 0;
}

static int part_fill(struct part *part, struct flo_err *err)
{
    uint64_t left = part->end - part->offset;
    size_t bytes = left < PART_INPUT_BYTES ? (size_t)left : PART_INPUT_BYTES;

    if (bytes == 0) {
        return flo_fail(err, FLO_E_PATCH_TRUNCATED, "the patch's %s part ends too early",
                        part->name);
    }
    int rv = flo_fd_pread_all(part->fd, part->input, bytes, part->offset, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "patch");
    }
    part->offset += bytes;
    part->stream.next_in = part->input;
    part->stream.avail_in = (unsigned)bytes;
    return 0;
}

/* Decodes up to `bytes` bytes.  *got is smaller than `bytes` only at the end of
 * the stream. */
static int part_decode(struct part *part, void *out, size_t bytes, size_t *got, struct flo_err *err)
{
    part->stream.next_out = out;
    part->stream.avail_out = (unsigned)bytes;
    while (part->stream.avail_out > 0 && !part->is_ended) {
        if (part->stream.avail_in == 0) {
            int rv = part_fill(part, err);
            FLO_TRY(rv);
        }
        int result = BZ2_bzDecompress(&part->stream);
        if (result == BZ_STREAM_END) {
            part->is_ended = true;
        } else if (result == BZ_MEM_ERROR) {
            const struct part_memory *memory = part->stream.opaque;
            return memory->is_short ? flo_fail(err, FLO_E_MEMORY, "no memory to decode the patch")
                                    : flo_fail(err, FLO_E_PATCH_LIMIT,
                                               "the patch's %s part needs more memory than "
                                               "allowed",
                                               part->name);
        } else if (result != BZ_OK) {
            return flo_fail(err, FLO_E_PATCH_STREAM,
                            "the patch's %s part is damaged near byte "
                            "%" PRIu64 " (bzip2 %d)",
                            part->name, part->offset - part->stream.avail_in, result);
        }
    }
    *got = bytes - part->stream.avail_out;
    return 0;
}

int flo_bsdiff40_part_read(struct part *part, void *out, size_t bytes, struct flo_err *err)
{
    size_t got = 0;

    FLO_TRY(part_decode(part, out, bytes, &got, err));
    if (got < bytes) {
        return flo_fail(err, FLO_E_PATCH_BOUNDS,
                        "the patch's %s part holds fewer bytes than its "
                        "triples use",
                        part->name);
    }
    return 0;
}

int flo_bsdiff40_part_finish(struct part *part, struct flo_err *err)
{
    char more;
    size_t got = 0;

    FLO_TRY(part_decode(part, &more, 1, &got, err));
    if (got > 0) {
        return flo_fail(err, FLO_E_PATCH_BOUNDS,
                        "the patch's %s part holds more bytes than the new "
                        "file takes",
                        part->name);
    }
    uint64_t behind = part->end - part->offset + part->stream.avail_in;
    if (behind > 0) {
        return flo_fail(err, FLO_E_PATCH_STREAM,
                        "%" PRIu64 " bytes stand behind the end of the "
                        "patch's %s part",
                        behind, part->name);
    }
    return 0;
}

void flo_bsdiff40_part_close(struct part *part)
{
    if (part->is_open) {
        (void)BZ2_bzDecompressEnd(&part->stream);
        part->is_open = false;
    }
}

/* BSDIFF40 part: a bzip2 decoder over a range of the patch file, with its
 * memory counted. */
#ifndef FLOTILLA_DELTA_BSDIFF40_PART_H
#define FLOTILLA_DELTA_BSDIFF40_PART_H

#include <bzlib.h>

#include <flotilla/base.h>

#define PART_INPUT_BYTES (32u << 10)

/* Memory used by all decoders of a patch together. */
struct part_memory {
    uint64_t bytes;
    uint64_t bytes_max;
    bool is_short; /* true: the system had no memory left */
};

struct part {
    const char *name;
    int fd;
    uint64_t offset; /* offset of the next byte to read */
    uint64_t end;
    bz_stream stream;
    bool is_open;
    bool is_ended; /* the decoder has reached the end of its stream */
    char input[PART_INPUT_BYTES];
};

void flo_bsdiff40_part_place(struct part *part, const char *name, int fd, uint64_t offset,
                             uint64_t bytes);
/* Returns the bytes of memory that a decoder of this part will need, by the
 * level in the part's header "BZh1". */
uint64_t flo_bsdiff40_part_memory_bytes(const struct part *part, bool small);
/* FLO_E_MEMORY. */
FLO_MUST_USE int flo_bsdiff40_part_start(struct part *part, struct part_memory *memory, bool small,
                                         struct flo_err *err);
/* Reads exactly `bytes` bytes.  Returns FLO_E_PATCH_BOUNDS when the stream is
 * shorter, or FLO_E_PATCH_TRUNCATED, _STREAM or _LIMIT. */
FLO_MUST_USE int flo_bsdiff40_part_read(struct part *part, void *out, size_t bytes,
                                        struct flo_err *err);
/* Checks that the stream has ended and that no byte follows it. */
FLO_MUST_USE int flo_bsdiff40_part_finish(struct part *part, struct flo_err *err);
void flo_bsdiff40_part_close(struct part *part);

#endif

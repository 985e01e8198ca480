/* Input: a file of requests, read line by line, and looked through for a
 * custom_id that stands on two lines. */
#ifndef FLOTILLA_BATCH_INPUT_H
#define FLOTILLA_BATCH_INPUT_H

#include "agent/serve/batch/lines.h"
#include "agent/serve/batch/twice.h"

struct flo_batch_in {
    int fd; /* the caller's */
    /* The reader, whose bytes_max is the caller's too. */
    struct flo_batch_reader reader;
    /* Bytes of the file, read and not taken yet. */
    char piece[65536];
    size_t at, bytes;
    bool is_ended;
};
/* Read on behind so many lines of so many bytes. */
void flo_batch_in_go(struct flo_batch_in *in, uint64_t number, uint64_t offset);
/* 1: the reader has the next line (which `next` takes only if it is not blank);
 * 0: there is none.  FLO_E_IO_READ. */
FLO_MUST_USE int flo_batch_in_line(struct flo_batch_in *in, struct flo_err *err);
FLO_MUST_USE int flo_batch_in_next(struct flo_batch_in *in, struct flo_err *err);
/* The reader's line came without an end: the file may be torn there. */
bool flo_batch_in_is_torn(const struct flo_batch_in *in);
void flo_batch_in_deinit(struct flo_batch_in *in);

/* A look through all lines, in steps. */
struct flo_batch_check {
    struct flo_twice twice;
    uint64_t count; /* requests of this pass */
};
/* Begin at the first line.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_batch_check_open(struct flo_batch_check *check, struct flo_batch_in *in,
                                      struct flo_err *err);
/* So many lines more.  1: the end, and `count` is right; 0: there are more.
 * FLO_E_BATCH_TWICE names a custom_id and both lines; FLO_E_IO_READ. */
FLO_MUST_USE int flo_batch_check_step(struct flo_batch_check *check, struct flo_batch_in *in,
                                      unsigned lines_max, struct flo_err *err);
void flo_batch_check_deinit(struct flo_batch_check *check);

#endif

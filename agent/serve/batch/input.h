/* Input: reads a file of requests line by line, and checks it for a custom_id
 * used twice. */
#ifndef FLOTILLA_BATCH_INPUT_H
#define FLOTILLA_BATCH_INPUT_H

#include "agent/serve/batch/lines.h"
#include "agent/serve/batch/twice.h"

struct flo_batch_in {
    int fd; /* the caller's */
    /* Line reader; the caller sets its bytes_max. */
    struct flo_batch_reader reader;
    /* Bytes read from the file and not consumed yet. */
    char piece[65536];
    size_t at, bytes;
    bool is_ended;
};
/* Continues after this many lines and bytes. */
void flo_batch_in_go(struct flo_batch_in *in, uint64_t number, uint64_t offset);
/* Reads the next line into the reader; `next` skips blank lines.  Returns 1 if
 * there is a line, 0 at the end of the file.  FLO_E_IO_READ. */
FLO_MUST_USE int flo_batch_in_line(struct flo_batch_in *in, struct flo_err *err);
FLO_MUST_USE int flo_batch_in_next(struct flo_batch_in *in, struct flo_err *err);
/* Did the last line have no line end?  The file may be truncated there. */
bool flo_batch_in_is_torn(const struct flo_batch_in *in);
void flo_batch_in_deinit(struct flo_batch_in *in);

/* State of a check that goes through all lines, in steps. */
struct flo_batch_check {
    struct flo_twice twice;
    uint64_t count; /* number of requests seen in this pass */
};
/* Begins the check at the first line.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_batch_check_open(struct flo_batch_check *check, struct flo_batch_in *in,
                                      struct flo_err *err);
/* Checks some more lines.  Returns 1 when the check is done and `count` is
 * valid, 0 when there is more to do. FLO_E_BATCH_TWICE names a repeated
 * custom_id and both lines; FLO_E_IO_READ. */
FLO_MUST_USE int flo_batch_check_step(struct flo_batch_check *check, struct flo_batch_in *in,
                                      unsigned lines_max, struct flo_err *err);
void flo_batch_check_deinit(struct flo_batch_check *check);

#endif

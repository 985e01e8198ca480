/* Input: reads a file of requests line by line, and finds a custom_id that is
 * used twice. */
#ifndef FLOTILLA_BATCH_INPUT_H
#define FLOTILLA_BATCH_INPUT_H

#include "agent/serve/batch/lines.h"
#include "agent/serve/batch/twice.h"

struct flo_batch_in {
    int fd; /* the caller's */
    /* Reader of the lines; the caller sets its bytes_max. */
    struct flo_batch_reader reader;
    /* Bytes that were read from the file and not passed to the reader yet. */
    char piece[65536];
    size_t at, bytes;
    bool is_ended;
};
/* Continues the reading after this number of lines, at this offset in the
 * file. */
void flo_batch_in_go(struct flo_batch_in *in, uint64_t number, uint64_t offset);
/* Reads the next line.  Returns 1 if there is a line, 0 at the end of the file.
 * FLO_E_IO_READ  the disk failed */
FLO_MUST_USE int flo_batch_in_line(struct flo_batch_in *in, struct flo_err *err);
/* Reads the next line that is not blank, as flo_batch_in_line() does. */
FLO_MUST_USE int flo_batch_in_next(struct flo_batch_in *in, struct flo_err *err);
/* Tells whether the last line has no line end.  The file may be cut off
 * there. */
bool flo_batch_in_is_torn(const struct flo_batch_in *in);
void flo_batch_in_deinit(struct flo_batch_in *in);

/* State of the check that no custom_id is on two lines.  The check reads all
 * lines of the file, in several steps. */
struct flo_batch_check {
    struct flo_twice twice;
    uint64_t count; /* number of requests read in this pass over the file */
};
/* Begins the check at the first line.
 * FLO_E_MEMORY  no memory for the table of names */
FLO_MUST_USE int flo_batch_check_open(struct flo_batch_check *check, struct flo_batch_in *in,
                                      struct flo_err *err);
/* Checks at most `lines_max` lines.  Returns 1 when the check is done and
 * `count` is valid, 0 when there is more to do.
 * FLO_E_BATCH_TWICE  a custom_id is on two lines, which the text names
 * FLO_E_IO_READ  the disk failed */
FLO_MUST_USE int flo_batch_check_step(struct flo_batch_check *check, struct flo_batch_in *in,
                                      unsigned lines_max, struct flo_err *err);
void flo_batch_check_deinit(struct flo_batch_check *check);

#endif

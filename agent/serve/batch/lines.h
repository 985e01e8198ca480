/* Lines of a batch: reads requests one by one from bytes, and writes answers as
 * lines.
 *
 * A batch is a file of JSON objects in OpenAI's form, one object a line.  A
 * file may be as large as the disk allows, because only one line at a time is
 * in memory.  Pure. */
#ifndef FLOTILLA_BATCH_LINES_H
#define FLOTILLA_BATCH_LINES_H

#include "base/host/json.h"

/* limit of a line's bytes: the body and its custom_id */
#define FLO_BATCH_LINE_BYTES_MAX ((1u << 20) + 4096)
#define FLO_BATCH_ID_BYTES_MAX 512

/* ---- lines out of bytes ---- */

/* Reader of lines.  The caller sets it to zero, and then bytes_max.  `offset`
 * and `number` may be set to continue after an earlier line. */
struct flo_batch_reader {
    uint64_t offset;     /* offset in the file of the next byte */
    uint64_t number;     /* number of the line, from 1; 0: before the first line */
    uint64_t begin;      /* offset in the file of the line's first byte */
    uint64_t bytes;      /* length of the line, without its line end */
    bool is_open;        /* the line has begun, and its end has not been read */
    bool is_whole;       /* the end of the line has been read */
    size_t bytes_max;    /* number of bytes of a line that are stored; the rest is dropped */
    struct flo_buf line; /* stored bytes of the line */
};

/* Reads bytes up to the end of the line; is_whole tells whether that end was
 * reached.  Returns how many bytes were read. */
size_t flo_batch_reader_take(struct flo_batch_reader *reader, const char *data, size_t bytes);
/* Ends the file.  Returns true when the last line has no line end; the line
 * counts as complete then. */
bool flo_batch_reader_end(struct flo_batch_reader *reader);
/* Tells whether the complete line is blank, so that it is skipped. */
bool flo_batch_reader_is_blank(const struct flo_batch_reader *reader);
void flo_batch_reader_deinit(struct flo_batch_reader *reader);

/* ---- a line ---- */

/* Returns the i-th path that requests of a batch may have; NULL: there are no
 * more. */
const char *flo_batch_endpoint(size_t i);
/* Returns the index of a path in the list of flo_batch_endpoint(); -1: the path
 * is not allowed in a batch. */
int flo_batch_endpoint_find(const char *path);

struct flo_batch_line {
    char custom_id[FLO_BATCH_ID_BYTES_MAX + 1]; /* empty: none */
    int endpoint;
    struct flo_buf body; /* JSON of the request's body, with batch priority added */
};
/* Reads a complete line.  `endpoint` is the path that all lines of a batch must
 * have; -1: any path.  After an error the body is empty, and custom_id is set
 * if it could be read.
 * FLO_E_REST_TOO_LARGE  the line is longer than FLO_BATCH_LINE_BYTES_MAX
 * FLO_E_REST_SCHEMA  the line is no JSON object
 * FLO_E_INFER_PARAM  a member is missing or wrong; the error names it */
FLO_MUST_USE int flo_batch_line_read(const struct flo_batch_reader *reader, int endpoint,
                                     struct flo_batch_line *out, struct flo_err *err);
/* Reads only the custom_id of a line; empty: the line has none. */
void flo_batch_line_id(const struct flo_batch_reader *reader, char out[FLO_BATCH_ID_BYTES_MAX + 1]);
void flo_batch_line_deinit(struct flo_batch_line *line);

/* ---- an answer ---- */

struct flo_batch_answer {
    /* id of the batch; "": the answer belongs to a command that converts a
     * file, and not to a batch */
    const char *batch;
    uint64_t number;       /* number of the request's line in the input file */
    const char *custom_id; /* empty: none */
    int status;            /* HTTP status */
    const char *body;      /* JSON */
    size_t bytes;
    const char *code, *what; /* error instead of status and body; NULL: the request was answered */
};
/* Writes the answer as one line, with its line end. */
void flo_batch_answer_add(const struct flo_batch_answer *answer, struct flo_buf *out);
/* Facts about an answer that were read from its line: its id, and whether it
 * failed. */
struct flo_batch_answered {
    uint64_t number;
    char custom_id[FLO_BATCH_ID_BYTES_MAX + 1];
    bool has_failed;
};
/* Reads the line of an answer.  Returns false when it is no valid answer. */
bool flo_batch_answer_read(const struct flo_batch_reader *reader, struct flo_batch_answered *out);

/* Number of times that a request is sent when each answer is a 503.  A busy
 * device and the limit of an app do not count. */
#define FLO_BATCH_TRIES_MAX 3
/* Tells whether a request must be sent again.  There is no limit of tries while
 * the device is busy or an app's limit is used up.  After any other 503, at
 * most FLO_BATCH_TRIES_MAX tries are made. */
bool flo_batch_comes_again(int status, const char *body, size_t bytes, unsigned tries);

#endif

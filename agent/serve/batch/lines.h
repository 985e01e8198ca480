/* Lines of a batch: reads requests one by one from bytes, and writes answers as
 * lines.
 *
 * A batch is a file of JSON objects, one a line, in OpenAI's form.  A file may
 * be as large as the disk allows; only one line at a time is in memory.
 * Pure. */
#ifndef FLOTILLA_BATCH_LINES_H
#define FLOTILLA_BATCH_LINES_H

#include "base/host/json.h"

#define FLO_BATCH_LINE_BYTES_MAX ((1u << 20) + 4096) /* limit for a body with its custom_id */
#define FLO_BATCH_ID_BYTES_MAX 512

/* ---- lines out of bytes ---- */

/* Line reader.  Zero-initialise and set bytes_max; `offset` and `number` may be
 * those of an earlier line. */
struct flo_batch_reader {
    uint64_t offset;     /* file offset of the next byte */
    uint64_t number;     /* line number, from 1; 0: before the first line */
    uint64_t begin;      /* offset of the line's first byte */
    uint64_t bytes;      /* length of the line in bytes, without its end */
    bool is_open;        /* a line has begun and not ended yet */
    bool is_whole;       /* ... the line has ended */
    size_t bytes_max;    /* largest number of bytes that are kept of a line */
    struct flo_buf line; /* text of the line, up to bytes_max bytes */
};

/* Consumes bytes up to the end of the line; is_whole then tells whether the end
 * was reached.  Returns how many bytes were consumed. */
size_t flo_batch_reader_take(struct flo_batch_reader *reader, const char *data, size_t bytes);
/* Ends the file.  true: the last line had no line end; it counts as complete
 * now. */
bool flo_batch_reader_end(struct flo_batch_reader *reader);
/* Is the complete line blank?  Such lines are skipped. */
bool flo_batch_reader_is_blank(const struct flo_batch_reader *reader);
void flo_batch_reader_deinit(struct flo_batch_reader *reader);

/* ---- a line ---- */

/* Returns path i of the requests allowed in a batch; NULL after the last. */
const char *flo_batch_endpoint(size_t i);
/* Returns the index of a path; -1: not allowed in a batch. */
int flo_batch_endpoint_find(const char *path);

struct flo_batch_line {
    char custom_id[FLO_BATCH_ID_BYTES_MAX + 1]; /* empty: none */
    int endpoint;
    struct flo_buf body; /* JSON, with batch priority set */
};
/* Parses a complete line.  `endpoint` is the path that all lines of a batch
 * must have; -1: any.  After an error custom_id is set if it could be read, and
 * the body is empty.
 *
 * FLO_E_REST_TOO_LARGE longer than FLO_BATCH_LINE_BYTES_MAX FLO_E_REST_SCHEMA
 * no JSON object FLO_E_INFER_PARAM a member is missing or wrong; the error
 * names it */
FLO_MUST_USE int flo_batch_line_read(const struct flo_batch_reader *reader, int endpoint,
                                     struct flo_batch_line *out, struct flo_err *err);
/* Reads only the custom_id; empty: none. */
void flo_batch_line_id(const struct flo_batch_reader *reader, char out[FLO_BATCH_ID_BYTES_MAX + 1]);
void flo_batch_line_deinit(struct flo_batch_line *line);

/* ---- an answer ---- */

struct flo_batch_answer {
    const char *batch;     /* id of the batch; "": a file is only converted */
    uint64_t number;       /* number of the request's line */
    const char *custom_id; /* empty: none */
    int status;            /* HTTP status */
    const char *body;      /* JSON */
    size_t bytes;
    const char *code, *what; /* error code and text, instead of status and body; NULL: none */
};
/* Appends the answer as a line, with a line end. */
void flo_batch_answer_add(const struct flo_batch_answer *answer, struct flo_buf *out);
/* Result of reading an answer's line back: its id, and whether the request
 * failed. */
struct flo_batch_answered {
    uint64_t number;
    char custom_id[FLO_BATCH_ID_BYTES_MAX + 1];
    bool has_failed;
};
/* Reads an answer's line back.  false: invalid. */
bool flo_batch_answer_read(const struct flo_batch_reader *reader, struct flo_batch_answered *out);

/* Should the request be sent again?  Yes while the device is busy or an app's
 * limit is used up, however often it was sent.  After any other 503 only up to
 * FLO_BATCH_TRIES_MAX tries. */
#define FLO_BATCH_TRIES_MAX 3
bool flo_batch_comes_again(int status, const char *body, size_t bytes, unsigned tries);

#endif

/* Lines of a batch: requests one by one out of bytes, and answers as lines.
 *
 * A batch is a file of JSON objects, one a line, in OpenAI's form.  A file may
 * be as long as the disk has room; one line at a time is in memory.  Pure. */
#ifndef FLOTILLA_BATCH_LINES_H
#define FLOTILLA_BATCH_LINES_H

#include "base/host/json.h"

#define FLO_BATCH_LINE_BYTES_MAX ((1u << 20) + 4096) /* a body and its name */
#define FLO_BATCH_ID_BYTES_MAX 512

/* ---- lines out of bytes ---- */

/* Zero-initialise and set bytes_max; `offset` and `number` may be those of an
 * earlier line. */
struct flo_batch_reader {
    uint64_t offset;     /* place of the next byte */
    uint64_t number;     /* number of the line, from 1; 0: none was begun */
    uint64_t begin;      /* offset of the line */
    uint64_t bytes;      /* bytes of the line, without its end */
    bool is_open;        /* bytes of the line came, and not its end */
    bool is_whole;       /* ... or its end, too */
    size_t bytes_max;    /* bytes of a line that is kept */
    struct flo_buf line; /* as much of it */
};

/* Take bytes up to the end of the line; is_whole tells whether that came.
 * Returns how many were taken. */
size_t flo_batch_reader_take(struct flo_batch_reader *reader, const char *data, size_t bytes);
/* The file ends here.  true: its last line had no end, and is whole now. */
bool flo_batch_reader_end(struct flo_batch_reader *reader);
/* Has the whole line nothing but blanks?  Such lines are passed over. */
bool flo_batch_reader_is_blank(const struct flo_batch_reader *reader);
void flo_batch_reader_deinit(struct flo_batch_reader *reader);

/* ---- a line ---- */

/* Path i of the requests that a batch may have; NULL: that was all. */
const char *flo_batch_endpoint(size_t i);
/* Index of a path; -1: no batch may have it. */
int flo_batch_endpoint_find(const char *path);

struct flo_batch_line {
    char custom_id[FLO_BATCH_ID_BYTES_MAX + 1]; /* empty: it has none */
    int endpoint;
    struct flo_buf body; /* JSON, with priority batch */
};
/* Read a whole line.  `endpoint` is the path that all lines of a batch have;
 * -1: any.  After an error custom_id is set where it could be read, and the
 * body is empty.
 *
 * FLO_E_REST_TOO_LARGE  longer than FLO_BATCH_LINE_BYTES_MAX
 * FLO_E_REST_SCHEMA     no JSON object
 * FLO_E_INFER_PARAM     a member is missing or wrong; the sentence names it */
FLO_MUST_USE int flo_batch_line_read(const struct flo_batch_reader *reader, int endpoint,
                                     struct flo_batch_line *out, struct flo_err *err);
/* The custom_id alone; empty: it has none. */
void flo_batch_line_id(const struct flo_batch_reader *reader, char out[FLO_BATCH_ID_BYTES_MAX + 1]);
void flo_batch_line_deinit(struct flo_batch_line *line);

/* ---- an answer ---- */

struct flo_batch_answer {
    const char *batch;     /* the id of the batch; "": of a file alone */
    uint64_t number;       /* number of the line that it answers */
    const char *custom_id; /* empty: the line has none */
    int status;            /* status of HTTP */
    const char *body;      /* JSON */
    size_t bytes;
    const char *code, *what; /* in place of status and body; NULL */
};
/* Append the answer as a line, with its end. */
void flo_batch_answer_add(const struct flo_batch_answer *answer, struct flo_buf *out);
/* An answer's line says whose it is, and whether the request failed. */
struct flo_batch_answered {
    uint64_t number;
    char custom_id[FLO_BATCH_ID_BYTES_MAX + 1];
    bool has_failed;
};
/* Read one back.  false: no such line. */
bool flo_batch_answer_read(const struct flo_batch_reader *reader, struct flo_batch_answered *out);

/* Is the request to be sent once more?  A device that is busy, or an app that
 * has used up a limit, may take it later, however often it was sent.  Any other
 * 503 is the request's own fault after `tries` of FLO_BATCH_TRIES_MAX. */
#define FLO_BATCH_TRIES_MAX 3
bool flo_batch_comes_again(int status, const char *body, size_t bytes, unsigned tries);

#endif

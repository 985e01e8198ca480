/* Reply: parses an HTTP/1.x answer from an untrusted server. */
#include "engine/http/http.h"

#include <string.h>
#include <strings.h>

#define LINES_MAX 128
#define BODY_MAX (1ull << 32) /* largest Content-Length accepted */

static int bad(const struct flo_reply_reader *reader, struct flo_err *err, const char *what)
{
    return flo_fail(err, reader->peer->bad, "HTTP of %s: %s", reader->peer->name, what);
}

/* "HTTP/1.1 200 OK" */
static int read_status(struct flo_reply_reader *reader, struct flo_err *err)
{
    const char *line = reader->line;
    int status = 0;

    if (strncmp(line, "HTTP/1.", 7) != 0 || line[7] == '\0' || line[8] != ' ') {
        return bad(reader, err, "no status line");
    }
    for (int i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9') {
            return bad(reader, err, "no status");
        }
        status = 10 * status + (line[i] - '0');
    }
    reader->status = status;
    reader->state = FLO_REPLY_HEAD;
    return 0;
}

/* Parses a number of base 10 or 16, and sets *end behind it.  Returns false if
 * there are no digits or the number is too large. */
static bool number(const char *text, unsigned base, uint64_t *out, const char **end)
{
    uint64_t value = 0;
    const char *p = text;

    for (;; p++) {
        unsigned digit = *p >= '0' && *p <= '9'   ? (unsigned)(*p - '0')
                         : *p >= 'a' && *p <= 'f' ? (unsigned)(*p - 'a') + 10
                         : *p >= 'A' && *p <= 'F' ? (unsigned)(*p - 'A') + 10
                                                  : 99;
        if (digit >= base) {
            break;
        }
        value = value * base + digit;
        if (value > BODY_MAX) {
            return false;
        }
    }
    *out = value;
    *end = p;
    return p > text;
}

static int begin_body(struct flo_reply_reader *reader)
{
    if (reader->status >= 100 && reader->status < 200) {
        reader->state = FLO_REPLY_STATUS; /* a status 1xx is followed by the real answer */
        reader->has_length = reader->is_chunked = false;
        return 0;
    }
    if (reader->status == 204 || reader->status == 304 ||
        (reader->has_length && !reader->is_chunked && reader->left == 0)) {
        reader->state = FLO_REPLY_DONE;
    } else {
        reader->state = reader->is_chunked   ? FLO_REPLY_CHUNK
                        : reader->has_length ? FLO_REPLY_LENGTH
                                             : FLO_REPLY_TO_END;
    }
    return 0;
}

static const char *value_of(const char *line, const char *name)
{
    size_t chars = strlen(name);

    if (strncasecmp(line, name, chars) != 0 || line[chars] != ':') {
        return NULL;
    }
    line += chars + 1;
    return line + strspn(line, " \t");
}

static int read_head(struct flo_reply_reader *reader, struct flo_err *err)
{
    const char *value, *end;

    if (reader->line_bytes == 0) {
        return begin_body(reader);
    }
    if (++reader->lines > LINES_MAX) {
        return bad(reader, err, "more than 128 lines of a head");
    }
    if ((value = value_of(reader->line, "content-length")) != NULL) {
        if (reader->has_length || !number(value, 10, &reader->left, &end) ||
            end[strspn(end, " \t")] != '\0') {
            return bad(reader, err, "an impossible length");
        }
        reader->has_length = true;
    } else if ((value = value_of(reader->line, "transfer-encoding")) != NULL) {
        if (strcasecmp(value, "chunked") != 0) {
            return bad(reader, err, "an unknown transfer encoding");
        }
        reader->is_chunked = true;
    } else if ((value = value_of(reader->line, "content-type")) != NULL) {
        reader->is_stream = strncasecmp(value, "text/event-stream", 17) == 0;
    }
    return 0;
}

static int read_chunk(struct flo_reply_reader *reader, struct flo_err *err)
{
    const char *end;

    if (!number(reader->line, 16, &reader->left, &end) ||
        (*end != '\0' && *end != ';' && *end != ' ')) {
        return bad(reader, err, "no size of a chunk");
    }
    reader->state = reader->left > 0 ? FLO_REPLY_DATA : FLO_REPLY_TRAILER;
    return 0;
}

static int read_line(struct flo_reply_reader *reader, struct flo_err *err)
{
    switch (reader->state) {
    case FLO_REPLY_STATUS:
        return read_status(reader, err);
    case FLO_REPLY_HEAD:
        return read_head(reader, err);
    case FLO_REPLY_CHUNK:
        return read_chunk(reader, err);
    case FLO_REPLY_AFTER:
        reader->state = FLO_REPLY_CHUNK;
        return reader->line_bytes == 0 ? 0 : bad(reader, err, "a chunk is too long");
    default: /* a trailer: ignored */
        if (reader->line_bytes == 0) {
            reader->state = FLO_REPLY_DONE;
        }
        return ++reader->lines > LINES_MAX ? bad(reader, err, "too many trailers") : 0;
    }
}

static int add_to_line(struct flo_reply_reader *reader, char c, struct flo_err *err)
{
    int rv = 0;

    if (c == '\0') {
        return bad(reader, err, "a NUL in a head");
    }
    if (c == '\n') {
        if (reader->line_bytes > 0 && reader->line[reader->line_bytes - 1] == '\r') {
            reader->line_bytes--;
        }
        reader->line[reader->line_bytes] = '\0';
        rv = read_line(reader, err);
        reader->line_bytes = 0;
        return rv;
    }
    if (reader->line_bytes == FLO_REPLY_LINE_MAX - 1) {
        return bad(reader, err, "a line of more than 8 KiB");
    }
    reader->line[reader->line_bytes++] = c;
    return 0;
}

static bool is_body(enum flo_reply_state state)
{
    return state == FLO_REPLY_LENGTH || state == FLO_REPLY_DATA || state == FLO_REPLY_TO_END;
}

int flo_reply_read(struct flo_reply_reader *reader, const char *data, size_t bytes,
                   flo_body_fn *take, void *context, struct flo_err *err)
{
    int rv = 0;

    while (bytes > 0 && rv == 0 && reader->state != FLO_REPLY_DONE) {
        size_t n = 1;
        if (is_body(reader->state)) {
            bool has_end = reader->state != FLO_REPLY_TO_END;
            n = has_end && reader->left < bytes ? (size_t)reader->left : bytes;
            rv = take(context, data, n, err);
            reader->left -= has_end ? n : 0;
            if (has_end && reader->left == 0) {
                reader->state = reader->state == FLO_REPLY_DATA ? FLO_REPLY_AFTER : FLO_REPLY_DONE;
            }
        } else {
            rv = add_to_line(reader, *data, err);
        }
        data += n;
        bytes -= n;
    }
    return rv;
}

int flo_reply_end(struct flo_reply_reader *reader, struct flo_err *err)
{
    if (reader->state == FLO_REPLY_DONE || reader->state == FLO_REPLY_TO_END) {
        reader->state = FLO_REPLY_DONE;
        return 0;
    }
    return flo_fail(err, reader->peer->bad, "%s closed the connection in the middle of an answer",
                    reader->peer->name);
}

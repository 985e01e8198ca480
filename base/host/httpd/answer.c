/* HTTP answers: complete ones, errors, files with ranges, streams. */
#include "base/host/httpd/connection.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <flotilla/errors/db.h>
#include <flotilla/errors/enrol.h>
#include <flotilla/errors/fleet.h>
#include <flotilla/errors/infer.h>
#include <flotilla/errors/lead.h>
#include <flotilla/errors/local.h>
#include <flotilla/errors/mqtt.h>
#include <flotilla/errors/neighbour.h>
#include <flotilla/errors/rest.h>
#include <flotilla/errors/state.h>

#define BACKLOG_BYTES_DEFAULT (1u << 20)
#define HEADERS_BYTES_MAX 16384
#define HEAD_BYTES 1024 /* more than the status line and the headers of each answer */
#define CHUNK_BYTES 128 /* more than the size and the end of a chunk */

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < FLO_COUNT(reasons); i++) {
        if (reasons[i].status == status) {
            return reasons[i].text;
        }
    }
    return "Answer";
}

int flo_httpd_status_of(int code)
{
    switch (code) {
    case FLO_E_REST_TOO_LARGE:
        return 413;
    case FLO_E_REST_STALE:
        return 412;
    case FLO_E_REST_MEANING:
    case FLO_E_REST_SELECTOR:
        return 422;
    case FLO_E_REST_LIMIT:
    case FLO_E_INFER_QUOTA:
    case FLO_E_NEIGHBOUR_BUDGET:
        return 429;
    case FLO_E_FROZEN:
    case FLO_E_CHANGE_FREEZE:
        return 423;
    case FLO_E_REST_METHOD:
        return 405;
    case FLO_E_INFER_BUSY:
    case FLO_E_INFER_GUARD_FAILED:
    case FLO_E_DB: /* as of a full or dead disk */
    case FLO_E_DB_UNREACHABLE:
    case FLO_E_DB_REPLACED:
    case FLO_E_DB_SLOW:
    case FLO_E_LEAD_NONE:
    case FLO_E_MQTT_LIST:
    case FLO_E_NEIGHBOUR_FETCHES:
    case FLO_E_NEIGHBOUR_BUSY:
    case FLO_E_STATE_SUPERSEDED: /* another controller has just become the leader */
        return 503;
    case FLO_E_REST_AUTH:
    case FLO_E_LOCAL_AUTH:
    case FLO_E_ENROL_TOKEN:
        return 401;
    case FLO_E_NOT_BUILT:
        return 501;
    default:
        break;
    }
    switch (flo_error_exit(code)) {
    case FLO_EXIT_USAGE:
        return 400;
    case FLO_EXIT_ABSENT:
        return 404;
    case FLO_EXIT_AUTH:
        return 403;
    case FLO_EXIT_STATE:
        return 409;
    case FLO_EXIT_VERIFY:
    case FLO_EXIT_REFUSED:
        return 422;
    case FLO_EXIT_NETWORK:
        return 502;
    default:
        return 500;
    }
}

static bool is_head(const struct flo_httpd_request *request)
{
    return request->head.method != NULL && strcmp(request->head.method, "HEAD") == 0;
}

static struct evbuffer *output_of(struct flo_httpd_request *request)
{
    return bufferevent_get_output(request->connection->bev);
}

/* Marks the request as answered, and wakes the event loop. */
static void finish(struct flo_httpd_request *request)
{
    request->is_answered = true;
    event_active(request->connection->kick, 0, 0);
}

void flo_httpd_add_header(struct flo_httpd_request *request, const char *name, const char *value)
{
    /* A header with a line end is left out, because it would start another
     * header. */
    if (strpbrk(name, "\r\n: ") != NULL || strpbrk(value, "\r\n") != NULL) {
        return;
    }
    request->headers.bytes_max = HEADERS_BYTES_MAX;
    flo_buf_text(&request->headers, name);
    flo_buf_add(&request->headers, ": ", 2);
    flo_buf_text(&request->headers, value);
    flo_buf_add(&request->headers, "\r\n", 2);
}

/* ---- an answer without memory ---- */

bool flo_httpd_lack_ready(struct flo_httpd *httpd)
{
    httpd->piece = httpd->piece != NULL ? httpd->piece : evbuffer_new();
    httpd->lack = httpd->lack != NULL ? httpd->lack : evbuffer_new();
    if (httpd->piece == NULL || httpd->lack == NULL) {
        return false;
    }
    return evbuffer_get_length(httpd->lack) > 0 ||
           evbuffer_add_printf(httpd->lack,
                               "HTTP/1.1 500 Internal Server Error\r\n"
                               "Content-Type: application/problem+json\r\n"
                               "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
                               "{\"type\":\"/errors/%s\",\"status\":500,\"title\":\"%s\","
                               "\"code\":\"%s\",\"fix\":\"%s\"}\n",
                               flo_error_id(FLO_E_MEMORY), flo_error_meaning(FLO_E_MEMORY),
                               flo_error_id(FLO_E_MEMORY), flo_error_fix(FLO_E_MEMORY)) > 0;
}

void flo_httpd_lack(struct httpd_connection *connection)
{
    connection->closes = true;
    evbuffer_add_buffer(bufferevent_get_output(connection->bev), connection->httpd->lack);
    (void)flo_httpd_lack_ready(connection->httpd); /* else with the next answer */
}

static void answer_lack(struct flo_httpd_request *request)
{
    request->is_begun = true;
    flo_httpd_lack(request->connection);
    finish(request);
}

/* ---- answers ---- */

/* Writes status line and headers, and `body_or_null` of `bytes`.  `bytes` < 0
 * means that the length is unknown.  Returns false when there is no memory; the
 * answer says so then. */
static bool write_head(struct flo_httpd_request *request, int status, const char *content_type,
                       int64_t bytes, const void *body_or_null)
{
    struct httpd_connection *connection = request->connection;
    const struct flo_httpd_options *options = &connection->httpd->options;
    struct evbuffer *out = connection->httpd->piece;
    size_t body_bytes = body_or_null == NULL ? 0 : (size_t)bytes;
    char date[40];
    struct tm tm;
    time_t now = (time_t)(flo_wall_ms() / 1000);
    gmtime_r(&now, &tm);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (bytes < 0 && !request->is_chunked) {
        connection->closes = true;
    }
    if (request->head.method != NULL && !connection->body_ended) {
        /* the answer comes before the whole body was read, so the connection
         * closes after it */
        connection->closes = true;
    }
    /* From here on all fits into the piece. */
    if (request->headers.failed ||
        evbuffer_expand(out, HEAD_BYTES + request->headers.bytes + body_bytes) < 0) {
        answer_lack(request);
        return false;
    }
    evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, reason_of(status), date);
    if (options->server_name != NULL) {
        evbuffer_add_printf(out, "Server: %s\r\n", options->server_name);
    }
    if (content_type != NULL) {
        evbuffer_add_printf(out,
                            "Content-Type: %s\r\n"
                            "X-Content-Type-Options: nosniff\r\n",
                            content_type);
    }
    if (request->is_chunked) {
        evbuffer_add_printf(out, "Transfer-Encoding: chunked\r\n");
    } else if (bytes >= 0 && status != 304 && status != 204) {
        evbuffer_add_printf(out, "Content-Length: %lld\r\n", (long long)bytes);
    }
    if (connection->closes) {
        evbuffer_add_printf(out, "Connection: close\r\n");
    } else if (request->head.minor == 0) {
        evbuffer_add_printf(out, "Connection: keep-alive\r\n");
    }
    evbuffer_add(out, request->headers.data, request->headers.bytes);
    evbuffer_add(out, "\r\n", 2);
    evbuffer_add(out, body_or_null, body_bytes);
    evbuffer_add_buffer(output_of(request), out);
    (void)flo_httpd_lack_ready(connection->httpd);
    request->is_begun = true;
    return true;
}

void flo_httpd_answer(struct flo_httpd_request *request, int status, const char *content_type,
                      const void *body, size_t bytes)
{
    if (request->is_begun || request->is_answered) {
        return;
    }
    if (write_head(request, status, content_type, (int64_t)bytes, is_head(request) ? NULL : body)) {
        finish(request);
    }
}

void flo_httpd_request_id(const struct flo_httpd_request *request, char *out)
{
    snprintf(out, FLO_HTTPD_ID_TEXT, "%08x-%012llx", (unsigned)request->connection->httpd->run,
             (unsigned long long)(request->number & 0xffffffffffff));
}

static void problem_text(struct flo_buf *body, const char *name, const char *text)
{
    flo_buf_printf(body, ",\"%s\":\"", name);
    flo_buf_json_text(body, text, strlen(text));
    flo_buf_text(body, "\"");
}

/* Adds the wrong member or parameter to the document, if the error names
 * one. */
static void problem_errors(struct flo_buf *body, const struct flo_err *err)
{
    bool is_query = err->at[0] == '?';

    if (err->at[0] == '\0') {
        return;
    }
    flo_buf_printf(body, ",\"errors\":[{\"%s\":\"", is_query ? "parameter" : "pointer");
    flo_buf_json_text(body, err->at + is_query, strlen(err->at + is_query));
    flo_buf_text(body, "\"");
    problem_text(body, "detail", err->what);
    flo_buf_text(body, "}]");
}

/* Writes an RFC 9457 document.  `title` is equal for all errors of a type;
 * `detail` is about this error. */
static void problem_body(const struct flo_httpd_request *request, const struct flo_err *err,
                         int status, struct flo_buf *body)
{
    const char *id = flo_error_id(err->code);
    const char *fix = err->fix[0] != '\0' ? err->fix : flo_error_fix(err->code);
    const char *path = request->head.path;
    char number[FLO_HTTPD_ID_TEXT];

    flo_httpd_request_id(request, number);
    flo_buf_printf(body, "{\"type\":\"/errors/%s\",\"status\":%d", id, status);
    problem_text(body, "title", flo_error_meaning(err->code));
    problem_text(body, "detail", err->what);
    problem_text(body, "instance", path != NULL ? path : "");
    problem_text(body, "code", id);
    problem_text(body, "why", err->why);
    problem_text(body, "fix", fix);
    problem_text(body, "request_id", number);
    problem_errors(body, err);
    flo_buf_text(body, "}\n");
}

void flo_httpd_answer_status(struct flo_httpd_request *request, int status,
                             const struct flo_err *err)
{
    const struct flo_httpd_options *options = &request->connection->httpd->options;
    if (request->is_answered) {
        return;
    }
    if (request->is_begun) {
        finish(request); /* an answer that has begun cannot become an error, so it ends here */
        return;
    }
    struct flo_buf body = {.bytes_max = 65536};
    const char *type = options->error_type;
    if (options->error_body != NULL) {
        options->error_body(request, err, status, &body);
        type = type != NULL ? type : "application/json";
    } else {
        problem_body(request, err, status, &body);
        type = "application/problem+json";
    }
    if (status == 503 || status == 429) {
        flo_httpd_add_header(request, "Retry-After", "1");
    }
    if (status == 401) {
        flo_httpd_add_header(request, "WWW-Authenticate", "Bearer");
    }
    if (body.failed) {
        answer_lack(request);
    } else {
        flo_httpd_answer(request, status, type, body.data, body.bytes);
    }
    flo_buf_deinit(&body);
}

void flo_httpd_answer_err(struct flo_httpd_request *request, const struct flo_err *err)
{
    flo_httpd_answer_status(request, flo_httpd_status_of(err->code), err);
}

/* ---- files ---- */

/* Tells whether `etag` (quoted) is in an If-None-Match list. */
static bool etag_matches(const char *list, const char *etag)
{
    size_t bytes = strlen(etag);
    while (list != NULL && *list != '\0') {
        list += strspn(list, " \t,");
        if (*list == '*') {
            return true;
        }
        if (strncmp(list, "W/", 2) == 0) {
            list += 2;
        }
        if (strncmp(list, etag, bytes) == 0) {
            return true;
        }
        list += strcspn(list, ",");
    }
    return false;
}

static bool read_number(const char **text, uint64_t *out)
{
    const char *p = *text;
    uint64_t value = 0;
    if (*p < '0' || *p > '9') {
        return false;
    }
    for (; *p >= '0' && *p <= '9'; p++) {
        if (value > INT64_MAX / 10 - 1) {
            return false;
        }
        value = value * 10 + (uint64_t)(*p - '0');
    }
    *text = p;
    *out = value;
    return true;
}

enum range { RANGE_NONE, RANGE_GIVEN, RANGE_OUTSIDE };

/* Parses one range, "bytes=a-b", "a-" or "-n".  A request with another form
 * gets the whole file. */
static enum range read_range(const char *text, uint64_t size, uint64_t *from, uint64_t *bytes)
{
    uint64_t first, last;
    if (text == NULL || strncasecmp(text, "bytes=", 6) != 0) {
        return RANGE_NONE;
    }
    text += 6;
    if (*text == '-') {
        text++;
        if (!read_number(&text, &last) || *text != '\0') {
            return RANGE_NONE;
        }
        if (last == 0 || size == 0) {
            return RANGE_OUTSIDE;
        }
        *bytes = last < size ? last : size;
        *from = size - *bytes;
        return RANGE_GIVEN;
    }
    if (!read_number(&text, &first) || *text++ != '-') {
        return RANGE_NONE;
    }
    last = size - 1;
    if (*text != '\0' && (!read_number(&text, &last) || *text != '\0' || last < first)) {
        return RANGE_NONE;
    }
    if (first >= size) {
        return RANGE_OUTSIDE;
    }
    *from = first;
    *bytes = (last < size - 1 ? last : size - 1) - first + 1;
    return RANGE_GIVEN;
}

bool flo_httpd_file_pump(struct httpd_connection *connection)
{
    struct evbuffer *out = bufferevent_get_output(connection->bev);
    char piece[HTTPD_FILE_PIECE_BYTES];
    while (connection->file_left > 0 && evbuffer_get_length(out) < 4 * HTTPD_FILE_PIECE_BYTES) {
        size_t bytes =
            connection->file_left < sizeof(piece) ? (size_t)connection->file_left : sizeof(piece);
        struct flo_err err = {0};
        if (flo_fd_pread_all(connection->file_fd, piece, bytes, connection->file_offset, &err) <
            0) {
            return false; /* the client sees a truncated answer and retries */
        }
        if (evbuffer_add(out, piece, bytes) < 0) {
            return false;
        }
        connection->file_offset += bytes;
        connection->file_left -= bytes;
        const struct flo_httpd_options *options = &connection->httpd->options;
        if (options->on_sent != NULL && !options->on_sent(options->sent_context, bytes)) {
            return false;
        }
    }
    if (connection->file_left == 0) {
        close(connection->file_fd);
        connection->file_fd = -1;
    }
    return true;
}

void flo_httpd_answer_file(struct flo_httpd_request *request, int fd, const char *content_type,
                           const char *etag)
{
    struct httpd_connection *connection = request->connection;
    struct flo_err err = {0};
    struct stat st;
    char quoted[160], text[96];
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        flo_fail(&err, FLO_E_IO_READ, "not a regular file");
        flo_httpd_answer_err(request, &err);
        return;
    }
    uint64_t size = (uint64_t)st.st_size;
    uint64_t from = 0, bytes = size;
    snprintf(quoted, sizeof(quoted), "\"%s\"", etag);
    flo_httpd_add_header(request, "ETag", quoted);
    flo_httpd_add_header(request, "Accept-Ranges", "bytes");
    if (etag_matches(flo_httpd_header(request, "if-none-match"), quoted)) {
        close(fd);
        flo_httpd_answer(request, 304, NULL, NULL, 0);
        return;
    }
    const char *if_range = flo_httpd_header(request, "if-range");
    enum range range = RANGE_NONE;
    if (if_range == NULL || strcmp(if_range, quoted) == 0) {
        range = read_range(flo_httpd_header(request, "range"), size, &from, &bytes);
    }
    if (range == RANGE_OUTSIDE) {
        close(fd);
        snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)size);
        flo_httpd_add_header(request, "Content-Range", text);
        flo_fail(&err, FLO_E_REST_HEADER, "the range begins behind the %llu bytes of this file",
                 (unsigned long long)size);
        flo_httpd_answer_status(request, 416, &err);
        return;
    }
    if (range == RANGE_GIVEN) {
        snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)from,
                 (unsigned long long)(from + bytes - 1), (unsigned long long)size);
        flo_httpd_add_header(request, "Content-Range", text);
    }
    bool is_begun =
        write_head(request, range == RANGE_GIVEN ? 206 : 200, content_type, (int64_t)bytes, NULL);
    if (!is_begun || is_head(request) || bytes == 0) {
        close(fd);
    } else {
        connection->file_fd = fd;
        connection->file_offset = from;
        connection->file_left = bytes;
    }
    if (is_begun) {
        finish(request);
    }
}

/* ---- streams ---- */

void flo_httpd_stream_begin(struct flo_httpd_request *request, int status, const char *content_type)
{
    if (request->is_begun || request->is_answered) {
        return;
    }
    request->is_chunked = request->head.minor == 1 && !is_head(request);
    (void)write_head(request, status, content_type, -1, NULL);
}

bool flo_httpd_stream_chunk(struct flo_httpd_request *request, const void *data, size_t bytes,
                            size_t backlog_bytes_max)
{
    struct evbuffer *out = output_of(request);
    if (!request->is_begun || request->is_answered) {
        return false;
    }
    if (bytes == 0 || is_head(request)) {
        return true;
    }
    if (backlog_bytes_max == 0) {
        backlog_bytes_max = BACKLOG_BYTES_DEFAULT;
    }
    if (evbuffer_get_length(out) + bytes > backlog_bytes_max) {
        return false;
    }
    if (evbuffer_expand(out, bytes + CHUNK_BYTES) < 0) {
        return false;
    }
    if (request->is_chunked) {
        evbuffer_add_printf(out, "%zx\r\n", bytes);
    }
    int rv = evbuffer_add(out, data, bytes);
    if (request->is_chunked) {
        evbuffer_add(out, "\r\n", 2);
    }
    return rv == 0;
}

void flo_httpd_stream_end(struct flo_httpd_request *request)
{
    if (!request->is_begun || request->is_answered) {
        return;
    }
    if (request->is_chunked && evbuffer_add(output_of(request), "0\r\n\r\n", 5) < 0) {
        request->connection->closes = true; /* this shows the client the truncation */
    }
    finish(request);
}

void flo_httpd_stream_abort(struct flo_httpd_request *request)
{
    if (request->is_answered) {
        return;
    }
    request->connection->closes = true;
    request->is_begun = true;
    finish(request); /* the last chunk is missing, which shows the client the truncation */
}

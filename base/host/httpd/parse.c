/* HTTP parser: HTTP/1.1 heads and chunked bodies; see parse.h. */
#include "base/host/httpd/parse.h"

#include <string.h>
#include <strings.h>

#include <flotilla/errors/rest.h>

#define TARGET_BYTES_MAX 8192
#define CHUNK_LINE_BYTES_MAX 256
#define TRAILER_BYTES_MAX 4096

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

/* Kinds of text to decode: a path, a query (in which '+' is a blank), or one
 * segment of a path. */
enum escaped { ESCAPED_PATH, ESCAPED_QUERY, ESCAPED_SEGMENT };

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

/* Tells whether an escaped character stays escaped for now.  A slash stays,
 * because routes are split at slashes and this slash is part of a segment.  A
 * percent sign stays too, so that each text has one meaning. */
static bool stays_escaped(int value)
{
    return value == '/' || value == '%';
}

/* Decodes "%41" to "A" in place.  Returns false for a bad escape, a NUL or
 * another control character. */
static bool unescape(char *text, enum escaped what)
{
    char *out = text;
    for (const char *in = text; *in != '\0'; in++) {
        int value = (unsigned char)*in;
        if (*in == '%') {
            int high = hex_value(in[1]);
            int low = high < 0 ? -1 : hex_value(in[2]);
            if (low < 0) {
                return false;
            }
            value = high * 16 + low;
            if (what == ESCAPED_PATH && stays_escaped(value)) {
                memcpy(out, value == '/' ? "%2F" : "%25", 3);
                out += 3;
                in += 2;
                continue;
            }
            in += 2;
        } else if (*in == '+' && what == ESCAPED_QUERY) {
            value = ' ';
        }
        if (value < 0x20 || value == 0x7f) {
            return false;
        }
        *out++ = (char)value;
    }
    *out = '\0';
    return true;
}

void flo_httpd_segment_decode(char *text)
{
    unescape(text, ESCAPED_SEGMENT);
}

static int refuse(int *status, int value, struct flo_err *err, const char *what)
{
    *status = value;
    return flo_fail(err, FLO_E_REST_HEADER, "%s", what);
}

static int parse_query(char *text, struct httpd_head *head, int *status, struct flo_err *err)
{
    while (text != NULL && *text != '\0') {
        char *next = strchr(text, '&');
        if (next != NULL) {
            *next++ = '\0';
        }
        if (head->n_query == HTTPD_QUERY_MAX) {
            return refuse(status, 400, err, "more than 32 query parameters");
        }
        char *value = strchr(text, '=');
        if (value != NULL) {
            *value++ = '\0';
        } else {
            value = text + strlen(text);
        }
        if (!unescape(text, ESCAPED_QUERY) || (*value != '\0' && !unescape(value, ESCAPED_QUERY))) {
            return refuse(status, 400, err, "a bad escape in the query");
        }
        if (*text != '\0') {
            head->query[head->n_query].name = text;
            head->query[head->n_query].value = value;
            head->n_query++;
        }
        text = next;
    }
    return 0;
}

/* Returns the path in "http://host/path", the form of requests to proxies. */
static char *target_path(char *target)
{
    if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0) {
        char *host = strchr(target, ':') + 3;
        char *path = host + strcspn(host, "/?#");
        return *path == '/' ? path : NULL;
    }
    return target[0] == '/' ? target : NULL;
}

static int parse_request_line(char *line, struct httpd_head *head, int *status, struct flo_err *err)
{
    char *target = strchr(line, ' ');
    if (target == NULL || target == line || target - line > 16) {
        return refuse(status, 400, err, "no request line");
    }
    *target++ = '\0';
    for (const char *c = line; *c != '\0'; c++) {
        if (!is_token_char(*c)) {
            return refuse(status, 400, err, "a bad character in the method");
        }
    }
    char *version = strchr(target, ' ');
    if (version == NULL || strchr(version + 1, ' ') != NULL) {
        return refuse(status, 400, err, "no request line");
    }
    *version++ = '\0';
    if (strncmp(version, "HTTP/", 5) != 0) {
        return refuse(status, 400, err, "no request line");
    }
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0) {
        return refuse(status, 505, err, "only HTTP/1.0 and HTTP/1.1 are known");
    }
    head->minor = version[7] - '0';
    if (strlen(target) > TARGET_BYTES_MAX) {
        return refuse(status, 414, err, "the target is longer than 8192 bytes");
    }
    char *path = target_path(target);
    if (path == NULL) {
        return refuse(status, 400, err, "the target is no path");
    }
    char *query = strchr(path, '?');
    if (query != NULL) {
        *query++ = '\0';
    }
    if (!unescape(path, ESCAPED_PATH)) {
        return refuse(status, 400, err, "a bad escape in the path");
    }
    head->method = line;
    head->path = path;
    return parse_query(query, head, status, err);
}

static int parse_header(char *line, struct httpd_head *head, int *status, struct flo_err *err)
{
    char *colon = strchr(line, ':');
    if (colon == NULL || colon == line) {
        return refuse(status, 400, err, "a header without name or colon");
    }
    if (head->n_headers == HTTPD_HEADERS_MAX) {
        return refuse(status, 431, err, "more than 100 headers");
    }
    *colon = '\0';
    for (const char *c = line; *c != '\0'; c++) {
        if (!is_token_char(*c)) {
            return refuse(status, 400, err, "a bad character in a header's name");
        }
    }
    char *value = colon + 1 + strspn(colon + 1, " \t");
    size_t bytes = strlen(value);
    while (bytes > 0 && (value[bytes - 1] == ' ' || value[bytes - 1] == '\t')) {
        value[--bytes] = '\0';
    }
    for (const char *c = value; *c != '\0'; c++) {
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f) {
            return refuse(status, 400, err, "a control character in a header's value");
        }
    }
    head->headers[head->n_headers].name = line;
    head->headers[head->n_headers].value = value;
    head->n_headers++;
    return 0;
}

/* Parses a number of digits only.  Returns false when it is not one, or needs
 * more than 63 bits. */
static bool parse_length(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    if (*text == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || value > INT64_MAX / 10 - 1) {
            return false;
        }
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *out = value;
    return true;
}

/* Tells whether `word` is in the comma-separated `list`. */
static bool has_word(const char *list, const char *word)
{
    size_t bytes = strlen(word);
    while (*list != '\0') {
        list += strspn(list, " \t,");
        size_t n = strcspn(list, " \t,");
        if (n == bytes && strncasecmp(list, word, bytes) == 0) {
            return true;
        }
        list += n;
    }
    return false;
}

/* Reads the headers that tell the body's length and whether the connection
 * closes. */
static int read_meaning(struct httpd_head *head, int *status, struct flo_err *err)
{
    bool has_length = false;
    bool closes = false;
    size_t hosts = 0;
    head->keeps_alive = head->minor == 1;
    for (size_t i = 0; i < head->n_headers; i++) {
        const char *name = head->headers[i].name;
        const char *value = head->headers[i].value;
        if (strcasecmp(name, "content-length") == 0) {
            uint64_t bytes;
            if (!parse_length(value, &bytes) || (has_length && bytes != head->content_bytes)) {
                return refuse(status, 400, err, "a bad Content-Length");
            }
            has_length = true;
            head->content_bytes = bytes;
        } else if (strcasecmp(name, "transfer-encoding") == 0) {
            if (strcasecmp(value, "chunked") != 0 || head->is_chunked) {
                return refuse(status, 501, err, "a transfer encoding other than chunked");
            }
            head->is_chunked = true;
        } else if (strcasecmp(name, "connection") == 0) {
            /* `close` holds, whatever else is there */
            closes = closes || has_word(value, "close");
            head->keeps_alive = !closes && (head->keeps_alive || has_word(value, "keep-alive"));
        } else if (strcasecmp(name, "expect") == 0) {
            if (strcasecmp(value, "100-continue") != 0) {
                return refuse(status, 417, err, "an unknown expectation");
            }
            head->expects_continue = head->minor == 1;
        } else if (strcasecmp(name, "host") == 0) {
            hosts++;
        }
    }
    if (head->is_chunked && (has_length || head->minor == 0)) {
        return refuse(status, 400, err, "chunks together with a length or HTTP/1.0");
    }
    if (hosts > 1 || (hosts == 0 && head->minor == 1)) {
        return refuse(status, 400, err, "not exactly one Host header");
    }
    return 0;
}

bool flo_httpd_head_may_begin(char first)
{
    return is_token_char(first);
}

int flo_httpd_head_parse(char *text, size_t bytes, struct httpd_head *head, int *status,
                         struct flo_err *err)
{
    memset(head, 0, sizeof(*head));
    *status = 400;
    if (bytes < 4 || memcmp(text + bytes - 4, "\r\n\r\n", 4) != 0) {
        return refuse(status, 400, err, "the head has no end");
    }
    if (memchr(text, '\0', bytes) != NULL) {
        return refuse(status, 400, err, "a NUL in the head");
    }
    text[bytes - 2] = '\0'; /* keeps the CRLF of the last line, and drops the empty line */
    char *line = text;
    bool is_first = true;
    while (*line != '\0') {
        char *end = strchr(line, '\n');
        if (end == NULL || end == line || end[-1] != '\r') {
            return refuse(status, 400, err, "a line without CRLF");
        }
        end[-1] = '\0';
        if (strchr(line, '\r') != NULL) {
            return refuse(status, 400, err, "a CR inside a line");
        }
        FLO_TRY(is_first ? parse_request_line(line, head, status, err)
                         : parse_header(line, head, status, err));
        is_first = false;
        line = end + 1;
    }
    if (is_first) {
        return refuse(status, 400, err, "no request line");
    }
    return read_meaning(head, status, err);
}

const char *flo_httpd_head_find(const struct httpd_head *head, const char *name)
{
    for (size_t i = 0; i < head->n_headers; i++) {
        if (strcasecmp(head->headers[i].name, name) == 0) {
            return head->headers[i].value;
        }
    }
    return NULL;
}

/* Reads one character of a "<hex>[;extension]CRLF" line.  Returns false for a
 * malformed line. */
static bool chunk_size_char(struct httpd_chunked *chunked, char c)
{
    if (++chunked->line_bytes > CHUNK_LINE_BYTES_MAX) {
        return false;
    }
    if (chunked->saw_cr) {
        if (c != '\n' || !chunked->has_digit) {
            return false;
        }
        chunked->state = chunked->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
        chunked->line_bytes = 0;
        chunked->has_digit = false;
        chunked->in_extension = false;
        chunked->saw_cr = false;
        return true;
    }
    if (c == '\r') {
        chunked->saw_cr = true;
        return true;
    }
    if (chunked->in_extension) {
        return (unsigned char)c >= 0x20 || c == '\t';
    }
    int value = hex_value(c);
    if (value >= 0) {
        if (chunked->left >> 58 != 0) {
            return false;
        }
        chunked->left = chunked->left * 16 + (uint64_t)value;
        chunked->has_digit = true;
        return true;
    }
    chunked->in_extension = true;
    return chunked->has_digit && (c == ';' || c == ' ' || c == '\t');
}

/* Reads one character of the trailers, which are skipped up to the empty
 * line. */
static bool chunk_trailer_char(struct httpd_chunked *chunked, char c)
{
    if (++chunked->trailer_bytes > TRAILER_BYTES_MAX) {
        return false;
    }
    if (chunked->saw_cr) {
        if (c != '\n') {
            return false;
        }
        chunked->is_done = chunked->line_bytes == 0;
        chunked->saw_cr = false;
        chunked->line_bytes = 0;
    } else if (c == '\r') {
        chunked->saw_cr = true;
    } else if (c == '\n') {
        return false;
    } else {
        chunked->line_bytes++;
    }
    return true;
}

/* Reads one character of the CRLF after a chunk's data. */
static bool chunk_end_char(struct httpd_chunked *chunked, char c)
{
    if (!chunked->saw_cr) {
        chunked->saw_cr = true;
        return c == '\r';
    }
    chunked->saw_cr = false;
    chunked->state = CHUNK_SIZE;
    return c == '\n';
}

ptrdiff_t flo_httpd_chunked_next(struct httpd_chunked *chunked, const char *data, size_t bytes,
                                 const char **piece, size_t *piece_bytes)
{
    *piece = data;
    *piece_bytes = 0;
    size_t i = 0;
    while (i < bytes && !chunked->is_done) {
        bool fits = true;
        switch (chunked->state) {
        case CHUNK_SIZE:
            fits = chunk_size_char(chunked, data[i++]);
            break;
        case CHUNK_DATA: {
            size_t n = bytes - i;
            if (n > chunked->left) {
                n = (size_t)chunked->left;
            }
            *piece = data + i;
            *piece_bytes = n;
            chunked->left -= n;
            if (chunked->left == 0) {
                chunked->state = CHUNK_END;
            }
            return (ptrdiff_t)(i + n);
        }
        case CHUNK_END:
            fits = chunk_end_char(chunked, data[i++]);
            break;
        case CHUNK_TRAILER:
            fits = chunk_trailer_char(chunked, data[i++]);
            break;
        }
        if (!fits) {
            return -1;
        }
    }
    return (ptrdiff_t)i;
}

/* Byte buffer: grows up to a bound; messages and documents are built in it.
 *
 * After a failure all later calls do nothing, so a builder checks once, at its
 * end. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <flotilla/base.h>

enum { BUF_BYTES_MAX_DEFAULT = 64 << 20, SECRET_BYTES_MAX = 64 << 10 };

/* Reallocates the data as realloc does, but wipes the old block when it moves,
 * because buffers may hold keys and tokens. */
static char *grown(struct flo_buf *buf, size_t capacity)
{
    if (buf->capacity > SECRET_BYTES_MAX || buf->data == NULL) {
        return realloc(buf->data, capacity);
    }
    char *data = malloc(capacity);
    if (data != NULL) {
        memcpy(data, buf->data, buf->capacity);
        explicit_bzero(buf->data, buf->capacity);
        free(buf->data);
    }
    return data;
}

/* Reserves room for `bytes` more and the final NUL.  On failure sets `failed`
 * and returns false. */
static bool buf_reserve(struct flo_buf *buf, size_t bytes)
{
    size_t bytes_max = buf->bytes_max != 0 ? buf->bytes_max : BUF_BYTES_MAX_DEFAULT;

    bytes_max -= bytes_max == SIZE_MAX; /* for the NUL */
    if (buf->failed || buf->bytes > bytes_max || bytes > bytes_max - buf->bytes) {
        buf->failed = true;
        return false;
    }
    size_t need = buf->bytes + bytes + 1;
    if (need <= buf->capacity) {
        return true;
    }
    size_t capacity = buf->capacity < 32 ? 64 : 2 * buf->capacity;
    capacity = capacity < need ? need : capacity;
    capacity = capacity > bytes_max + 1 ? bytes_max + 1 : capacity;
    char *data = grown(buf, capacity);
    if (data == NULL) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

void flo_buf_add(struct flo_buf *buf, const void *data, size_t bytes)
{
    if (!buf_reserve(buf, bytes)) {
        return;
    }
    if (bytes > 0) {
        memcpy(buf->data + buf->bytes, data, bytes);
    }
    buf->bytes += bytes;
    buf->data[buf->bytes] = '\0';
}

void flo_buf_text(struct flo_buf *buf, const char *text)
{
    flo_buf_add(buf, text, strlen(text));
}

void flo_buf_printf(struct flo_buf *buf, const char *format, ...)
{
    va_list args;

    if (!buf_reserve(buf, 0)) {
        return;
    }
    size_t room = buf->capacity - buf->bytes; /* space left, with the final NUL */
    va_start(args, format);
    int chars = vsnprintf(buf->data + buf->bytes, room, format, args);
    va_end(args);
    if (chars >= 0 && (size_t)chars < room) {
        buf->bytes += (size_t)chars;
        return;
    }
    /* the text does not fit as a whole, so the part that did is removed
     * again */
    buf->data[buf->bytes] = '\0';
    if (chars < 0 || !buf_reserve(buf, (size_t)chars)) {
        buf->failed = true;
        return;
    }
    va_start(args, format);
    vsnprintf(buf->data + buf->bytes, (size_t)chars + 1, format, args);
    va_end(args);
    buf->bytes += (size_t)chars;
}

/* Returns the JSON escape of an ASCII character, or NULL when it needs none. */
static const char *json_escape(unsigned char c, char *room)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        if (c >= 0x20 && c != 0x7f) {
            return NULL;
        }
        snprintf(room, 8, "\\u%04x", (unsigned)c);
        return room;
    }
}

void flo_buf_json_text(struct flo_buf *buf, const char *text, size_t bytes)
{
    size_t begin = 0; /* start of the run that is copied unchanged */
    size_t valid = flo_utf8_valid(text, bytes);

    for (size_t i = 0; i < bytes;) {
        char room[8];
        const char *escape = NULL;
        if (i == valid) {
            escape = "\xef\xbf\xbd";
        } else {
            escape = json_escape((unsigned char)text[i], room);
        }
        if (escape != NULL) {
            flo_buf_add(buf, text + begin, i - begin);
            flo_buf_text(buf, escape);
            begin = i + 1;
        }
        if (i == valid) {
            valid = i + 1 + flo_utf8_valid(text + i + 1, bytes - i - 1);
        }
        i++;
    }
    flo_buf_add(buf, text + begin, bytes - begin);
}

void flo_buf_deinit(struct flo_buf *buf)
{
    free(buf->data);
    buf->data = NULL;
    buf->bytes = 0;
    buf->capacity = 0;
}

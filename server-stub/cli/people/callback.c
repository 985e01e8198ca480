/* Callback: parses the query of the address to which a provider sends the
 * browser. */
#include "server-stub/cli/people/callback.h"

#include <string.h>

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Decodes a value up to & or the end of the query.  Returns false when the
 * value is too long, or no text. */
static bool decode(const char *text, size_t chars, char *out, size_t bytes)
{
    size_t count = 0;

    if (out[0] != '\0') {
        return false; /* repeated parameter */
    }
    for (size_t i = 0; i < chars; i++) {
        int value = (unsigned char)text[i];
        if (text[i] == '%') {
            int high = i + 2 < chars ? hex(text[i + 1]) : -1;
            int low = i + 2 < chars ? hex(text[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            value = 16 * high + low;
            i += 2;
        } else if (text[i] == '+') {
            value = ' ';
        }
        if (value < ' ' || value > '~' || count + 1 >= bytes) {
            return false;
        }
        out[count++] = (char)value;
    }
    out[count] = '\0';
    return true;
}

static bool read_field(const char *text, size_t chars, struct flo_callback *out)
{
    const struct {
        const char *name;
        char *value;
        size_t bytes;
    } fields[] = {{"code", out->code, sizeof(out->code)},
                  {"state", out->state, sizeof(out->state)},
                  {"error", out->error, sizeof(out->error)},
                  {"iss", out->issuer, sizeof(out->issuer)}};
    const char *equals = memchr(text, '=', chars);
    size_t name = equals != NULL ? (size_t)(equals - text) : chars;

    for (size_t i = 0; equals != NULL && i < FLO_COUNT(fields); i++) {
        if (strlen(fields[i].name) == name && memcmp(fields[i].name, text, name) == 0) {
            return decode(equals + 1, chars - name - 1, fields[i].value, fields[i].bytes);
        }
    }
    return true; /* Other parameters, such as session_state, are ignored. */
}

bool flo_callback_read(const char *text, struct flo_callback *out)
{
    struct flo_callback got = {.code = ""};
    const char *path = strstr(text, FLO_CALLBACK_PATH "?");

    if (path == NULL) {
        return false;
    }
    path += strlen(FLO_CALLBACK_PATH "?");
    size_t left = strcspn(path, " #\r\n");
    for (;;) {
        size_t chars = 0;
        while (chars < left && path[chars] != '&') {
            chars++;
        }
        if (!read_field(path, chars, &got)) {
            return false;
        }
        if (chars == left) {
            break;
        }
        path += chars + 1;
        left -= chars + 1;
    }
    if (got.state[0] == '\0' || (got.code[0] == '\0') == (got.error[0] == '\0')) {
        return false;
    }
    *out = got;
    return true;
}

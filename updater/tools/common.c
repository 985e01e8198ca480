/* Common parts of flotilla-updater's commands: parses numbers, opens files and
 * prints answers. */
#include "updater/tools/tools.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/host/json.h"

int tool_bytes(const char *text, const char *name, uint64_t *out, struct flo_err *err)
{
    static const struct {
        const char *suffix;
        uint64_t factor;
    } units[] = {{"", 1},          {"K", 1024},    {"KiB", 1024},   {"M", 1 << 20},
                 {"MiB", 1 << 20}, {"G", 1 << 30}, {"GiB", 1 << 30}};
    char *end = NULL;

    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    for (size_t i = 0; i < FLO_COUNT(units); i++) {
        if (end != text && text[0] != '-' && errno == 0 && strcmp(end, units[i].suffix) == 0 &&
            flo_mul_u64(number, units[i].factor, out)) {
            return 0;
        }
    }
    return flo_fail(err, FLO_E_USAGE, "%s: \"%s\" is no number of bytes", name, text);
}

struct tool_line tool_line = {.codec = "auto"};
struct flo_ticker tool_ticker;

const struct flo_flag tool_flags_trust[] = {
    {"trust", "TRUST.json", "keys that may sign", FLO_TEXT(struct tool_line, trust)},
    /* The flag --root is an alias of --trust until TUF's root replaces it. */
    {"root", "TRUST.json", "the same", FLO_TEXT(struct tool_line, trust)},
    FLO_FLAGS_END,
};

void tool_answer(json_t *json, const char *format, ...)
{
    struct flo_buf text = {0};
    va_list arguments;

    flo_ticker_stop(&tool_ticker);
    if (tool_line.args.is_json) {
        flo_json_dump(json, &text);
        (void)printf("%s\n", text.failed ? "{}" : text.data);
        flo_buf_deinit(&text);
    } else {
        va_start(arguments, format);
        (void)vprintf(format, arguments);
        va_end(arguments);
    }
    json_decref(json);
}

json_t *tool_digest(const struct flo_digest *digest)
{
    char text[FLO_DIGEST_TEXT];

    flo_digest_text(digest, text);
    return json_string(text);
}

int tool_load_trust(struct flo_trust **trust, struct flo_err *err)
{
    return tool_line.trust != NULL ? flo_trust_load(tool_line.trust, trust, err)
                                   : flo_fail(err, FLO_E_USAGE, "--trust TRUST.json is needed");
}

/* Common parts of flotilla-updater's commands: parses numbers, opens files and
 * prints answers. */
#include "updater/tools/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

int tool_create(const char *path, int *fd, struct flo_err *err)
{
    char folder[PATH_MAX];

    if (strlen(path) >= sizeof folder) {
        return flo_fail(err, FLO_E_IO_OPEN, "a path is too long");
    }
    (void)strcpy(folder, path);
    int opened = open(dirname(folder), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
    if (opened < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    *fd = opened;
    return 0;
}

int tool_commit(int fd, const char *path, struct flo_err *err)
{
    char source[64];
    char beside[PATH_MAX];

    (void)snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    int chars = snprintf(beside, sizeof beside, "%s.%ld.new", path, (long)getpid());
    if (chars < 0 || (size_t)chars >= sizeof beside) {
        return flo_fail(err, FLO_E_IO_WRITE, "a path is too long");
    }
    (void)unlink(beside);
    if (fdatasync(fd) != 0 || linkat(AT_FDCWD, source, AT_FDCWD, beside, AT_SYMLINK_FOLLOW) != 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    if (rename(beside, path) != 0) {
        int rv = flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
        (void)unlink(beside);
        return rv;
    }
    return 0;
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

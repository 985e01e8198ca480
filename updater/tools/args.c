/* Command lines, files and answers of flotilla-updater's commands. */
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

static const struct tool_option *
find_option(const char *word, const struct tool_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t chars = strlen(options[i].name);
        if (strncmp(word, options[i].name, chars) == 0 &&
            (word[chars] == '\0' || word[chars] == '=')) {
            return &options[i];
        }
    }
    return NULL;
}

static int unknown_option(const char *word, const struct tool_option *options,
                          size_t count, struct flo_err *err)
{
    const char *names[TOOL_OPTIONS_MAX];

    for (size_t i = 0; i < count; i++) {
        names[i] = options[i].name;
    }
    const char *near = flo_nearest(word, names, count);
    (void)flo_fail(err, FLO_E_USAGE, "unknown option %s", word);
    return near == NULL ? FLO_E_USAGE
                        : flo_err_fix(err, "did you mean %s?", near);
}

/* Handle argv[*i]; moves on when the value is the next word. */
static int take_option(int argc, char **argv, int *i,
                       const struct tool_option *option, struct flo_err *err)
{
    const char *equals = strchr(argv[*i], '=');

    if (option->is_flag) {
        *option->value = option->name;
        return equals == NULL ? 0
                              : flo_fail(err, FLO_E_USAGE, "%s takes no value",
                                         option->name);
    }
    if (equals != NULL) {
        *option->value = equals + 1;
        return 0;
    }
    if (*i + 1 >= argc) {
        return flo_fail(err, FLO_E_USAGE, "%s needs a value", option->name);
    }
    *option->value = argv[++*i];
    return 0;
}

int tool_args(int argc, char **argv, const struct tool_option *options,
              size_t option_count, const char **operands, size_t count,
              const char *usage, struct flo_err *err)
{
    size_t found = 0;
    bool only_operands = false;

    for (int i = 0; i < argc; i++) {
        if (!only_operands && strcmp(argv[i], "--help") == 0) {
            printf("usage: flotilla-updater %s\n", usage);
            exit(0);
        }
        if (!only_operands && strcmp(argv[i], "--") == 0) {
            only_operands = true;
        } else if (!only_operands && argv[i][0] == '-' && argv[i][1] != '\0') {
            const struct tool_option *option =
                find_option(argv[i], options, option_count);
            int rv = option == NULL
                         ? unknown_option(argv[i], options, option_count, err)
                         : take_option(argc, argv, &i, option, err);
            if (rv < 0) {
                return rv;
            }
        } else if (found < count) {
            operands[found++] = argv[i];
        } else {
            found++;
        }
    }
    if (found != count) {
        return flo_fail(err, FLO_E_USAGE, "usage: flotilla-updater %s", usage);
    }
    return 0;
}

int tool_bytes(const char *text, const char *name, uint64_t *out,
               struct flo_err *err)
{
    static const struct {
        const char *suffix;
        uint64_t factor;
    } units[] = {{"", 1},         {"K", 1024},      {"KiB", 1024},
                 {"M", 1 << 20},  {"MiB", 1 << 20}, {"G", 1 << 30},
                 {"GiB", 1 << 30}};
    char *end = NULL;

    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    for (size_t i = 0; i < FLO_COUNT(units); i++) {
        if (end != text && text[0] != '-' && errno == 0 &&
            strcmp(end, units[i].suffix) == 0 &&
            flo_mul_u64(number, units[i].factor, out)) {
            return 0;
        }
    }
    return flo_fail(err, FLO_E_USAGE, "%s: \"%s\" is no number of bytes", name,
                    text);
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
    int chars =
        snprintf(beside, sizeof beside, "%s.%ld.new", path, (long)getpid());
    if (chars < 0 || (size_t)chars >= sizeof beside) {
        return flo_fail(err, FLO_E_IO_WRITE, "a path is too long");
    }
    (void)unlink(beside);
    if (fdatasync(fd) != 0 ||
        linkat(AT_FDCWD, source, AT_FDCWD, beside, AT_SYMLINK_FOLLOW) != 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    if (rename(beside, path) != 0) {
        int rv = flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
        (void)unlink(beside);
        return rv;
    }
    return 0;
}

struct flo_ticker tool_ticker;

void tool_answer(bool wants_json, json_t *json, const char *format, ...)
{
    struct flo_buf text = {0};
    va_list arguments;

    flo_ticker_stop(&tool_ticker);
    if (wants_json) {
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

int tool_fail(bool wants_json, const struct flo_err *err)
{
    flo_ticker_stop(&tool_ticker);
    if (wants_json) {
        const char *fix =
            err->fix[0] != '\0' ? err->fix : flo_error_fix(err->code);
        tool_answer(true,
                    json_pack("{s:{s:s,s:s,s:s,s:s}}", "error", "id",
                              flo_error_id(err->code), "what", err->what, "why",
                              err->why, "fix", fix),
                    "%s", "");
    }
    return flo_err_print(stderr, err);
}

json_t *tool_digest(const struct flo_digest *digest)
{
    char text[FLO_DIGEST_TEXT];

    flo_digest_text(digest, text);
    return json_string(text);
}

int tool_verify(int argc, char **argv, const char *usage,
                int (*verify)(const char *path, const char *trust_path,
                              bool wants_json, struct flo_err *err))
{
    const char *trust = NULL;
    const char *json = NULL;
    /* --root is the same until TUF's root takes its place. */
    const struct tool_option options[] = {{"--trust", false, &trust},
                                          {"--root", false, &trust},
                                          {"--json", true, &json}};
    const char *path = NULL;
    struct flo_err err = {0};
    int rv = tool_args(argc, argv, options, FLO_COUNT(options), &path, 1, usage,
                       &err);

    if (rv == 0 && trust == NULL) {
        rv = flo_fail(&err, FLO_E_USAGE, "usage: flotilla-updater %s", usage);
    }
    if (rv == 0) {
        rv = verify(path, trust, json != NULL, &err);
    }
    return rv == 0 ? 0 : tool_fail(json != NULL, &err);
}

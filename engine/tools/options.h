/* Options of a command, from a table: `--name VALUE`, `--name=VALUE`,
 * `--flag`, `-n VALUE` where the name is one letter; whatever else stands there
 * is a positional argument. */
#ifndef FLOTILLA_ENGINE_OPTIONS_H
#define FLOTILLA_ENGINE_OPTIONS_H

#include <flotilla/base.h>

enum flo_option_kind {
    FLO_OPTION_TEXT, /* const char * */
    FLO_OPTION_FLAG, /* bool */
    FLO_OPTION_U64,  /* uint64_t, decimal */
};

struct flo_option {
    const char *name; /* without the dashes */
    enum flo_option_kind kind;
    void *out;
    const char *help; /* one line, begins with the value's name if any */
};

/* Read argv[1..]; positional arguments go to `positionals` in order.
 * Returns -1 to go on, or an exit code: 0 after --help was printed on stdout,
 * 2 after an error was printed on stderr. */
int flo_options_read(int argc, char **argv, const char *usage,
                     const struct flo_option *options, size_t option_count,
                     const char **positionals, size_t positional_count);

#endif

/* What the commands of flotilla-updater share: the command line, the answer.
 *
 * Exit codes and the error form are those of all Flotilla programs. */
#ifndef FLOTILLA_UPDATER_TOOLS_H
#define FLOTILLA_UPDATER_TOOLS_H

#include <flotilla/release.h>

#include "base/host/json.h"
#include "base/ticker.h"

#define TOOL_OPERANDS_MAX 8
#define TOOL_OPTIONS_MAX 8

/* One option of a command: "--codec" with a value or, when `is_flag`, without.
 * Later ones win. */
struct tool_option {
    const char *name;
    bool is_flag;
    const char **value; /* a flag's is set to its name */
};

/* Split argv[0..] into options and exactly `count` operands; `usage` goes into
 * the error; --help prints it and ends the program.  FLO_E_USAGE names the
 * nearest option for an unknown one. */
FLO_MUST_USE int tool_args(int argc, char **argv,
                           const struct tool_option *options,
                           size_t option_count, const char **operands,
                           size_t count, const char *usage,
                           struct flo_err *err);
/* A whole number of bytes: 16777216, 16M, 16MiB, 512K, 1G. */
FLO_MUST_USE int tool_bytes(const char *text, const char *name, uint64_t *out,
                            struct flo_err *err);

/* A new nameless file in the folder of `path`; tool_commit gives it the name,
 * replacing what was there, once it is whole. */
FLO_MUST_USE int tool_create(const char *path, int *fd, struct flo_err *err);
FLO_MUST_USE int tool_commit(int fd, const char *path, struct flo_err *err);

/* Says on stderr that the command goes on, until its answer or error. */
extern struct flo_ticker tool_ticker;

/* The answer: `json` on one line when wanted, else the printf text.  Takes
 * `json`. */
void tool_answer(bool wants_json, json_t *json, const char *format, ...)
    FLO_PRINTF(3, 4);
/* The error on stderr and, when wanted, as {"error":{...}} on stdout; returns
 * the exit code. */
int tool_fail(bool wants_json, const struct flo_err *err);

/* "sha256:<hex>" as a JSON text. */
json_t *tool_digest(const struct flo_digest *digest);

int tool_delta(int argc, char **argv);
int tool_bundle(int argc, char **argv);
int tool_release(int argc, char **argv);

/* A whole "verify FILE --trust TRUST.json [--json]": reads the command line,
 * calls `verify`, prints its error; the exit code. */
int tool_verify(int argc, char **argv, const char *usage,
                int (*verify)(const char *path, const char *trust_path,
                              bool wants_json, struct flo_err *err));

#endif

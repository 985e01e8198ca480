/* Commands of flotilla-updater: the command line and the answer, which all
 * commands share.
 *
 * Exit codes and the form of errors are those of all Flotilla programs. */
#ifndef FLOTILLA_UPDATER_TOOLS_H
#define FLOTILLA_UPDATER_TOOLS_H

#include <flotilla/release.h>

#include "base/args/args.h"
#include "base/host/json.h"
#include "base/ticker.h"

/* The command line of the process: the flags of all commands. */
struct tool_line {
    struct flo_args args;
    /* flags of `delta`; `base` and `expected` are digests as text */
    const char *codec, *base, *expected;
    const char *partial;
    uint32_t threads;
    uint64_t memory_bytes_max;
    const char *blobs, *variant, *without; /* flags of `bundle` */
    bool is_compressed;
    const char *trust, *key;
};
extern struct tool_line tool_line;
extern const struct flo_flag tool_flags_trust[];

extern const struct flo_verb tool_delta_create, tool_delta_apply, tool_delta_info,
    tool_bundle_create, tool_bundle_verify, tool_release_sign, tool_release_verify,
    tool_release_inspect;

/* Parses a number of bytes: 16777216, 16M, 16MiB, 512K, 1G. */
FLO_MUST_USE int tool_bytes(const char *text, const char *name, uint64_t *out, struct flo_err *err);

/* The progress line on stderr, which lasts until the command's answer or
 * error. */
extern struct flo_ticker tool_ticker;

/* Prints the answer of a command: `json` on one line when JSON was asked for,
 * else the printf text.  Takes ownership of `json`. */
void tool_answer(json_t *json, const char *format, ...) FLO_PRINTF(2, 3);

/* Makes the JSON text "sha256:<hex>". */
json_t *tool_digest(const struct flo_digest *digest);
/* Loads the trusted keys of --trust.  Returns FLO_E_USAGE without that flag. */
FLO_MUST_USE int tool_load_trust(struct flo_trust **trust, struct flo_err *err);

#endif

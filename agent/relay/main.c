/* flotilla-relay: the command line. */
#include <signal.h>
#include <sys/prctl.h>

#include "agent/relay/relay.h"
#include "base/scratch.h"

static struct relay_settings line = {.timeout_ms = 60000, .sessions = 4};

static const struct flo_flag flags[] = {
    {"listen", "unix:PATH", "socket of the proxy, the only client",
     FLO_TEXT(struct relay_settings, listen), .is_needed = true},
    {"to", "URL", "https://HOST[:PORT][/BASE]; BASE replaces /v1 of the forwarded paths",
     FLO_TEXT(struct relay_settings, to), .is_needed = true},
    {"key-file", "FILE", "key for Authorization: Bearer (mode 0600); read again when it changes",
     FLO_TEXT(struct relay_settings, key_file)},
    {"ca-file", "FILE", "authorities of the server, in place of the system's",
     FLO_TEXT(struct relay_settings, ca_file)},
    {"cert-file", "FILE", "our certificate; read again when it changes",
     FLO_TEXT(struct relay_settings, cert_file)},
    {"cert-key-file", "FILE", "its key", FLO_TEXT(struct relay_settings, cert_key_file)},
    {"device", NULL, "the server is a device of the fleet, known by its certificate alone",
     FLO_SWITCH(struct relay_settings, is_device)},
    {"timeout", "MS", "limit of a call, 1 to 3600000 milliseconds (60000)",
     FLO_U64(struct relay_settings, timeout_ms), .min = 1, .max = 3600000},
    {"sessions", "N", "calls at the same time, 1 to 16 (4)",
     FLO_U32(struct relay_settings, sessions), .min = 1, .max = RELAY_SESSIONS_MAX},
    {"sandbox", "required|preferred", "on a kernel without a sandbox: refuse, or warn (required)",
     FLO_TEXT(struct relay_settings, sandbox)},
    FLO_FLAGS_END,
};

static int run(void *state, struct flo_err *err)
{
    const struct relay_settings *settings = state;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    FLO_TRY(relay_check(settings, err));
    return relay_run(settings, err);
}

static const struct flo_verb verb = {
    .name = "",
    .usage = "--listen unix:PATH --to URL [--key-file FILE] [--ca-file FILE] "
             "[--cert-file FILE --cert-key-file FILE] [--device] [--timeout MS] [--sessions N] "
             "[--sandbox required|preferred]",
    .help = "forward requests of a proxy to one server",
    .flags = {flags},
    .state = &line,
    .run = run,
    .example = "--listen unix:/tmp/relay.sock --to https://api.example.com/v1 --key-file api.key",
    .more = "The agent starts it for each endpoint of its configuration.  Redirects are not\n"
            "followed, so the key goes to the named host alone.\n",
};
static const struct flo_verb *const verbs[] = {&verb};

int main(int argc, char **argv)
{
    static const struct flo_args_program program = {
        .name = "flotilla-relay",
        .about = "Forwards requests to another device or to an endpoint",
        .verbs = verbs,
        .count = FLO_COUNT(verbs),
    };
    flo_scratch_clear();
    return flo_args_main(&program, argc, argv);
}

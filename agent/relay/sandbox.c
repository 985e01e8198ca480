/* Sandbox of the relay: it connects to servers, accepts on its open socket and
 * reads files.  An unlisted call fails with ENOSYS; a call that only an
 * attacker would make kills the process. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "agent/relay/relay.h"

#define EVER FLO_SANDBOX_EVER
#define WRITES (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_PATH)
#define FILES 4
#define DESCRIPTORS 256
/* Writable memory of the process, and more for each session: a body that grows,
 * and an answer. */
#define MEMORY_BYTES (64ull << 20)
#define SESSION_BYTES (24ull << 20)
#define AROUND_BYTES (1ull << 30)

static const struct flo_sandbox_rule rules[] = {
#include "base/sandbox/calls.def"
    FLO_CALL_IF(EVER, openat, 2, WRITES, 0),
#ifdef SYS_open
    FLO_CALL_IF(EVER, open, 1, WRITES, 0),
#endif
#include "base/sandbox/network.def"
#include "base/sandbox/serving.def"
};

static const struct flo_sandbox_policy policy = {rules, FLO_COUNT(rules), ENOSYS};

/* The folder of a file, where its successor will be.  A folder of everybody's
 * is not opened for one file of it. */
static const char *place_of(const char *file, char path[PATH_MAX])
{
    static const char *const shared[] = {"", "/etc", "/tmp", "/run", "/var/run", "/home", "/root"};

    if (file == NULL || realpath(file, path) == NULL) {
        return NULL;
    }
    char *slash = strrchr(path, '/');
    *slash = '\0';
    for (size_t i = 0; i < FLO_COUNT(shared); i++) {
        if (strcmp(path, shared[i]) == 0) {
            *slash = '/';
            break;
        }
    }
    return path;
}

static int restrict_files(const struct relay_settings *settings, struct flo_err *err)
{
    const char *const files[FILES] = {settings->key_file, settings->ca_file, settings->cert_file,
                                      settings->cert_key_file};
    struct flo_sandbox_path paths[FILES + FLO_SANDBOX_NETWORK_PATHS];
    char places[FILES][PATH_MAX];

    for (size_t i = 0; i < FILES; i++) {
        paths[i] = (struct flo_sandbox_path){place_of(files[i], places[i]), FLO_SANDBOX_READ};
    }
    flo_sandbox_network_paths(paths + FILES);
    return flo_sandbox_files(paths, FLO_COUNT(paths), FLO_SANDBOX_CONNECTS, err);
}

int relay_sandbox_enter(const struct relay_settings *settings, struct flo_err *err)
{
    uint64_t bytes = MEMORY_BYTES + settings->sessions * SESSION_BYTES;
    enum flo_sandbox_mode mode = FLO_SANDBOX_REQUIRED;

    if (settings->sandbox != NULL && !flo_sandbox_mode_parse(settings->sandbox, &mode)) {
        return flo_fail(err, FLO_E_USAGE, "--sandbox: required or preferred");
    }
    flo_sandbox_network_begin();
    flo_sandbox_close_memory();
    flo_sandbox_limit(RLIMIT_NOFILE, DESCRIPTORS);
    if (flo_sandbox_is_built()) { /* a sanitizer's shadow memory is larger */
        flo_sandbox_limit(RLIMIT_DATA, bytes);
        flo_sandbox_limit(RLIMIT_AS, bytes + AROUND_BYTES);
    }
    FLO_TRY(flo_sandbox_keep_rights(0, 0, err));
    return flo_sandbox_close(restrict_files(settings, err), &policy, mode, err);
}

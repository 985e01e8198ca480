/* Broker: start mosquitto. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/process.h>

#include "server-stub/mqtt/broker/process.h"

static const char *const programs[] = {"/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto",
                                       "/usr/bin/mosquitto"};

/* OpenSSL settings.  Neither agents nor controllers store TLS sessions, and
 * ticket keys end with the broker.  Two tickets per connection cost a fifth of
 * its handshake.  The sections have the names of Debian's own file. */
const char flo_broker_openssl[] = "# Made by flotilla-controller; edits are "
                                  "lost.\n"
                                  "openssl_conf = openssl_init\n"
                                  ".include /etc/ssl/openssl.cnf\n"
                                  "[openssl_init]\n"
                                  "ssl_conf = ssl_sect\n"
                                  "[ssl_sect]\n"
                                  "system_default = system_default_sect\n"
                                  "[system_default_sect]\n"
                                  "NumTickets = 0\n";

const char *flo_broker_program(void)
{
    for (size_t i = 0; i < FLO_COUNT(programs); i++) {
        if (access(programs[i], X_OK) == 0) {
            return programs[i];
        }
    }
    return NULL;
}

int flo_broker_spawn(const char *dir, struct flo_broker_said *said, pid_t *pid, struct flo_err *err)
{
    char conf[4096];
    char openssl[4200] = "OPENSSL_CONF=";
    size_t chars = strlen(openssl);
    char preload[8192];
    const char *const argv[] = {"/usr/bin/env", preload, flo_broker_program(), "-c", conf, NULL};
    int ends[2];

    if (argv[2] == NULL) {
        flo_fail(err, FLO_E_PROCESS, "mosquitto is not installed");
        return flo_err_fix(err, "apt-get install mosquitto, or --broker URL");
    }
    if (!flo_path_join(conf, sizeof(conf), dir, "mosquitto/mosquitto.conf") ||
        !flo_path_join(openssl + chars, sizeof(openssl) - chars, dir, "mosquitto/openssl.cnf")) {
        return flo_fail(err, FLO_E_IO_OPEN, "path %s is too long", dir);
    }
    /* The pipe does not block, so that mosquitto never waits: lines that nobody
     * reads are lost. */
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        return flo_fail_errno(err, FLO_E_PROCESS, "pipe of the broker");
    }
    int guard = flo_broker_guard_preload(preload, sizeof(preload));
    int rv =
        flo_process_spawn_with(guard >= 0 ? argv : argv + 2, openssl, guard, ends[1], pid, err);
    flo_fd_cleanup(&guard);
    close(ends[1]);
    flo_fd_cleanup(&said->fd);
    said->fd = ends[0];
    return rv;
}

void flo_broker_said(struct flo_broker_said *said, struct flo_buf *out)
{
    char piece[16384];
    ssize_t got;

    while (said->fd >= 0 && (got = read(said->fd, piece, sizeof(piece))) > 0) {
        flo_broker_lines_take(&said->lines, piece, (size_t)got, out);
    }
    flo_broker_lines_tell(&said->lines, flo_now_ms(), flo_wall_ms(), out);
}

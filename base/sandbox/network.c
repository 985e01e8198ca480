/* Files that TLS and name lookup need: see base/sandbox.h. */
#include <limits.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/sandbox.h"

/* The folder of resolv.conf.  On many systems it is a link to a file that a
 * service replaces by renaming, so its folder must be readable.  Shared folders
 * are not allowed. */
static const char *resolver(char path[PATH_MAX])
{
    static const char *const shared[] = {"", "/etc", "/tmp", "/run", "/var/run"};
    char *slash;

    if (realpath("/etc/resolv.conf", path) == NULL) {
        return NULL;
    }
    slash = strrchr(path, '/');
    *slash = '\0';
    for (size_t i = 0; i < FLO_COUNT(shared); i++) {
        if (strcmp(path, shared[i]) == 0) {
            *slash = '/';
            break;
        }
    }
    return path;
}

void flo_sandbox_network_paths(struct flo_sandbox_path out[FLO_SANDBOX_NETWORK_PATHS])
{
    static char resolv[PATH_MAX];
    const struct flo_sandbox_path paths[] = {
        {resolver(resolv), FLO_SANDBOX_READ},
        {"/etc/hosts", FLO_SANDBOX_READ},
        {"/etc/host.conf", FLO_SANDBOX_READ},
        {"/etc/nsswitch.conf", FLO_SANDBOX_READ},
        {"/etc/gai.conf", FLO_SANDBOX_READ},
        {"/etc/services", FLO_SANDBOX_READ},
        {"/etc/ssl/certs", FLO_SANDBOX_READ},
        {"/etc/ssl/cert.pem", FLO_SANDBOX_READ},
        {"/etc/ssl/ca-bundle.pem", FLO_SANDBOX_READ},
        {"/etc/ssl/openssl.cnf", FLO_SANDBOX_READ},
        {"/etc/pki/ca-trust", FLO_SANDBOX_READ},
        {"/etc/pki/tls/certs", FLO_SANDBOX_READ},
        {"/etc/pki/tls/cert.pem", FLO_SANDBOX_READ},
        {"/etc/pki/tls/openssl.cnf", FLO_SANDBOX_READ},
        {"/etc/pki/tls/openssl.d", FLO_SANDBOX_READ},
        {"/etc/ca-certificates", FLO_SANDBOX_READ},
        {"/etc/crypto-policies", FLO_SANDBOX_READ},
        {"/etc/localtime", FLO_SANDBOX_READ},
        {"/usr", FLO_SANDBOX_READ},
        {"/lib", FLO_SANDBOX_READ},
        {"/lib64", FLO_SANDBOX_READ},
    };

    _Static_assert(FLO_COUNT(paths) == FLO_SANDBOX_NETWORK_PATHS, "rows");
    memcpy(out, paths, sizeof paths);
}

void flo_sandbox_network_begin(void)
{
    struct addrinfo *found = NULL;

    if (getaddrinfo("localhost", NULL, NULL, &found) == 0) {
        freeaddrinfo(found);
    }
}

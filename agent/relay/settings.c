/* Settings of the relay: checks of the command line, and URLs. */
#include <stdio.h>
#include <string.h>

#include "agent/relay/relay.h"

#define SOCKET_BYTES_MAX 107 /* longest path of a unix socket */
#define BASE_BYTES_MAX 512

/* The path of a base URL; "" when it has none. */
static const char *path_of(const char *url)
{
    const char *host = strstr(url, "://");

    return host == NULL ? "" : host + 3 + strcspn(host + 3, "/");
}

static int check_base(const char *to, struct flo_err *err)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-/";
    const char *path;

    FLO_TRY(flo_url_check(to, &flo_url_http, err));
    path = path_of(to);
    if (strlen(to) > BASE_BYTES_MAX) {
        return flo_fail(err, FLO_E_CFG_RANGE, "--to: %zu characters, at most %d", strlen(to),
                        BASE_BYTES_MAX);
    }
    if (path[strspn(path, letters)] != '\0' || strstr(path, "//") != NULL ||
        strstr(path, "/.") != NULL) {
        flo_fail(err, FLO_E_CFG_RANGE, "--to: `%s` is no path of a base URL", path);
        return flo_err_fix(err, "https://host[:port][/base], of letters, digits, - . _ ~ /");
    }
    return 0;
}

static int check_tls(const struct relay_settings *settings, struct flo_err *err)
{
    bool is_tls = strncmp(settings->to, "https://", 8) == 0;

    if ((settings->cert_file == NULL) != (settings->cert_key_file == NULL)) {
        return flo_fail(err, FLO_E_USAGE, "--cert-file and --cert-key-file go together");
    }
    if (!is_tls && (settings->ca_file != NULL || settings->cert_file != NULL)) {
        return flo_fail(err, FLO_E_USAGE, "--ca-file and --cert-file need an https:// address");
    }
    if (settings->is_device && (settings->ca_file == NULL || settings->cert_file == NULL)) {
        return flo_fail(err, FLO_E_USAGE,
                        "--device needs --ca-file, --cert-file and --cert-key-file: "
                        "devices know each other by certificates of the fleet");
    }
    return 0;
}

int relay_check(const struct relay_settings *settings, struct flo_err *err)
{
    if (strncmp(settings->listen, "unix:/", 6) != 0 ||
        strlen(settings->listen + 5) > SOCKET_BYTES_MAX) {
        flo_fail(err, FLO_E_USAGE, "--listen: `%.200s` is no unix socket", settings->listen);
        return flo_err_fix(err, "--listen unix:/PATH, of at most %d bytes", SOCKET_BYTES_MAX);
    }
    FLO_TRY(check_base(settings->to, err));
    return check_tls(settings, err);
}

void relay_url(const char *to, const char *path, char out[RELAY_URL_BYTES_MAX])
{
    size_t bytes = strlen(to);
    bool has_path = path_of(to)[0] != '\0';

    while (bytes > 0 && to[bytes - 1] == '/') {
        bytes--;
    }
    snprintf(out, RELAY_URL_BYTES_MAX, "%.*s%s", (int)bytes, to,
             has_path ? path + strlen("/v1") : path);
}

/* URLs: checks addresses of other machines, from configuration, jobs and
 * enrolment. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/base.h>

const struct flo_url_kind flo_url_mqtt = {.secure = "mqtts", .plain = "mqtt", .needs_port = true};
const struct flo_url_kind flo_url_http = {.secure = "https", .plain = "http", .has_path = true};

static bool is_loopback(const char *host, size_t bytes)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};

    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        if (strlen(names[i]) == bytes && memcmp(names[i], host, bytes) == 0) {
            return true;
        }
    }
    return false;
}

/* Returns the length of a well-formed host, or 0 when there is none. */
static size_t host_bytes(const char *text)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
    size_t bytes;

    if (text[0] != '[') {
        return text[0] == '-' || text[0] == '.' ? 0 : strspn(text, letters);
    }
    bytes = strspn(text + 1, "0123456789abcdefABCDEF:.");
    return bytes < 2 || text[1 + bytes] != ']' ? 0 : bytes + 2;
}

/* Skips the port after ":".  Returns NULL when it is not 1 to 65535. */
static const char *skip_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long port = digits == 0 || digits > 5 ? 0 : strtoul(text, NULL, 10);

    return port < 1 || port > 65535 ? NULL : text + digits;
}

/* Returns the host part of a URL with that scheme, or NULL for another
 * scheme. */
static const char *after_scheme(const char *url, const char *scheme)
{
    size_t bytes = scheme == NULL ? 0 : strlen(scheme);

    return bytes > 0 && strncmp(url, scheme, bytes) == 0 && strncmp(url + bytes, "://", 3) == 0
               ? url + bytes + 3
               : NULL;
}

static int refuse(const char *url, const struct flo_url_kind *kind, const char *why,
                  struct flo_err *err)
{
    flo_fail(err, FLO_E_CFG_RANGE, "`%.200s`: %s", url, why);
    return flo_err_fix(err, "%s://host%s%s%s%s", kind->secure,
                       kind->needs_port ? ":port" : "[:port]", kind->plain == NULL ? "" : ", or ",
                       kind->plain == NULL ? "" : kind->plain,
                       kind->plain == NULL ? "" : ":// on this machine");
}

int flo_url_check(const char *url, const struct flo_url_kind *kind, struct flo_err *err)
{
    const char *plain = after_scheme(url, kind->plain);
    const char *host = plain != NULL ? plain : after_scheme(url, kind->secure);

    if (host == NULL) {
        return refuse(url, kind, "another kind of address", err);
    }
    size_t bytes = host_bytes(host);
    const char *rest = host + bytes;
    if (bytes == 0) {
        return refuse(url, kind, "it names no host", err);
    }
    if (plain != NULL && !is_loopback(host, bytes)) {
        return refuse(url, kind, "without TLS only to this machine", err);
    }
    if (*rest == ':') {
        rest = skip_port(rest + 1);
        if (rest == NULL) {
            return refuse(url, kind, "the port is none of 1 to 65535", err);
        }
    } else if (kind->needs_port) {
        return refuse(url, kind, "the port is missing", err);
    }
    if (*rest != '\0' && !(kind->has_path && *rest == '/')) {
        return refuse(url, kind, "something stands behind the host", err);
    }
    return 0;
}

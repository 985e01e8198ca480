/* Upstream of the relay: the one server to which requests go.
 *
 * A file may be replaced while the process runs.  A new key counts for the next
 * call.  New certificates need new connections, so they get a client of their
 * own; the client before it is closed when its calls have ended. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/relay/relay.h"
#include "base/host/crypto.h"

#define FILES 3 /* certificate, key and authorities of TLS */

/* How a file was when it was read last. */
struct stamp {
    uint64_t inode, bytes, changed_ns;
};

/* A client, and the clients before it. */
struct client {
    struct client *older;
    struct flo_http_async *http;
};

struct relay_upstream {
    struct event_base *base;
    const struct relay_settings *settings;
    struct client *client; /* the newest first */
    struct stamp files[FILES];
    struct stamp key_stamp;
    char *authorization; /* header with the key; NULL: no key file */
};

/* ---- files ---- */

/* Opens the file, because the sandbox allows no stat of a path. */
static struct stamp look_at(const char *path)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        return (struct stamp){0};
    }
    return (struct stamp){
        .inode = st.st_ino,
        .bytes = (uint64_t)st.st_size,
        .changed_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec,
    };
}

static bool is_same(const struct stamp *a, const struct stamp *b)
{
    return a->inode == b->inode && a->bytes == b->bytes && a->changed_ns == b->changed_ns;
}

static void forget_key(struct relay_upstream *upstream)
{
    if (upstream->authorization != NULL) {
        flo_secret_wipe(upstream->authorization, strlen(upstream->authorization));
        free(upstream->authorization);
        upstream->authorization = NULL;
    }
}

static int make_header(const char *path, char *key, size_t bytes, char **out, struct flo_err *err)
{
    static const char head[] = "Authorization: Bearer ";

    while (bytes > 0 && strchr(" \t\r\n", key[bytes - 1]) != NULL) {
        key[--bytes] = '\0';
    }
    for (size_t i = 0; i < bytes; i++) {
        if (key[i] <= ' ' || key[i] > '~') {
            bytes = 0;
        }
    }
    if (bytes == 0) {
        flo_fail(err, FLO_E_CFG_RANGE, "%s: no key", path);
        return flo_err_fix(err, "write the key alone into the file: one line of letters, "
                                "digits and signs");
    }
    *out = malloc(sizeof(head) + bytes);
    if (*out == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%s", path);
    }
    memcpy(*out, head, sizeof(head) - 1);
    memcpy(*out + sizeof(head) - 1, key, bytes + 1);
    return 0;
}

/* A key that cannot be read any more is used no more. */
static int read_key(struct relay_upstream *upstream, struct flo_err *err)
{
    const char *path = upstream->settings->key_file;
    char *key;
    size_t bytes;

    if (path == NULL) {
        return 0;
    }
    struct stamp now = look_at(path);
    if (upstream->authorization != NULL && is_same(&now, &upstream->key_stamp)) {
        return 0;
    }
    forget_key(upstream);
    upstream->key_stamp = now;
    FLO_TRY(flo_secret_read(path, RELAY_KEY_BYTES_MAX, &key, &bytes, err));
    int rv = make_header(path, key, bytes, &upstream->authorization, err);
    flo_secret_wipe(key, bytes);
    free(key);
    return rv;
}

/* ---- clients ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int open_client(struct relay_upstream *upstream, struct flo_err *err)
{
    const struct relay_settings *settings = upstream->settings;
    const struct flo_http_options options = {
        .ca_file = settings->ca_file,
        .cert_file = settings->cert_file,
        .key_file = settings->cert_key_file,
        .connect_timeout_ms = least(RELAY_CONNECT_MS_MAX, settings->timeout_ms),
        .timeout_ms = settings->timeout_ms,
        .low_speed_bytes = 1,
        .low_speed_ms = RELAY_SILENT_MS,
        .meets_device = settings->is_device,
    };
    struct client *client = calloc(1, sizeof(*client));

    if (client == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a client");
    }
    int rv = flo_http_async_open(upstream->base, &options, &client->http, err);
    if (rv < 0) {
        free(client);
        return rv;
    }
    client->older = upstream->client;
    upstream->client = client;
    return 0;
}

/* Closes the clients from *at on that have no calls. */
static void close_idle(struct client **at)
{
    while (*at != NULL) {
        struct client *client = *at;
        if (flo_http_async_calls(client->http) > 0) {
            at = &client->older;
            continue;
        }
        *at = client->older;
        flo_http_async_close(client->http);
        free(client);
    }
}

static int follow_files(struct relay_upstream *upstream, struct flo_err *err)
{
    const struct relay_settings *settings = upstream->settings;
    const char *paths[FILES] = {settings->ca_file, settings->cert_file, settings->cert_key_file};
    bool is_new = upstream->client == NULL;

    for (size_t i = 0; i < FILES; i++) {
        struct stamp now = look_at(paths[i]);
        is_new = is_new || !is_same(&now, &upstream->files[i]);
        upstream->files[i] = now;
    }
    if (is_new) {
        FLO_TRY(open_client(upstream, err));
    }
    close_idle(&upstream->client->older);
    return 0;
}

/* Checks that the files are there.  The sandbox, which is entered next, lets the
 * process read the folders of those alone. */
static int check_files(const struct relay_settings *settings, struct flo_err *err)
{
    const char *paths[FILES] = {settings->ca_file, settings->cert_file, settings->cert_key_file};

    for (size_t i = 0; i < FILES; i++) {
        if (paths[i] != NULL && look_at(paths[i]).inode == 0) {
            return flo_fail(err, FLO_E_ABSENT, "%s cannot be read", paths[i]);
        }
    }
    return 0;
}

int relay_upstream_open(struct event_base *base, const struct relay_settings *settings,
                        struct relay_upstream **out, struct flo_err *err)
{
    FLO_TRY(check_files(settings, err));
    struct relay_upstream *upstream = calloc(1, sizeof(*upstream));
    if (upstream == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the upstream");
    }
    upstream->base = base;
    upstream->settings = settings;
    int rv = read_key(upstream, err);
    if (rv == 0) {
        rv = follow_files(upstream, err);
    }
    if (rv < 0) {
        relay_upstream_close(upstream);
        return rv;
    }
    *out = upstream;
    return 0;
}

void relay_upstream_close(struct relay_upstream *upstream)
{
    if (upstream == NULL) {
        return;
    }
    while (upstream->client != NULL) {
        struct client *client = upstream->client;
        upstream->client = client->older;
        flo_http_async_close(client->http);
        free(client);
    }
    forget_key(upstream);
    free(upstream);
}

int relay_upstream_begin(struct relay_upstream *upstream, const struct relay_request *request,
                         const struct flo_http_async_events *events, void *context,
                         struct flo_http_async_call **out, struct flo_err *err)
{
    char url[RELAY_URL_BYTES_MAX], accept[256];

    FLO_TRY(read_key(upstream, err));
    FLO_TRY(follow_files(upstream, err));
    relay_url(upstream->settings->to, request->path, url);
    snprintf(accept, sizeof(accept), "Accept: %.200s",
             request->accept != NULL ? request->accept : "*/*");
    const char *const headers[] = {accept, upstream->authorization, NULL};
    const struct flo_http_request call = {
        .method = "POST",
        .url = url,
        .headers = headers,
        .body = request->bytes > 0 ? request->body : "",
        .body_bytes = request->bytes,
        .content_type = request->content_type,
    };
    return flo_http_async_begin(upstream->client->http, &call, events, context, out, err);
}

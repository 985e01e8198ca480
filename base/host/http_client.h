/* HTTP client: libcurl, blocking, http and https only, bounded.
 *
 * Used for the updater's downloads, enrolment and the command line.  Each
 * thread needs its own handle.  Connections are kept between calls.  Proxies
 * are those of the environment (https_proxy, no_proxy, ...), but never for
 * loopback. */
#ifndef FLOTILLA_HOST_HTTP_CLIENT_H
#define FLOTILLA_HOST_HTTP_CLIENT_H

#include <flotilla/base.h>

struct flo_http;

struct flo_http_options {
    const char *ca_file;   /* NULL: the system's CA certificates */
    const char *cert_file; /* client certificate; NULL: none */
    const char *key_file;
    const char *bearer; /* bearer token, which is never logged; NULL: none */
    /* Region and keys for AWS Signature V4, for an S3-compatible store, in
     * place of a bearer token.  NULL: none.  The header x-amz-content-sha256
     * then has the digest of the request's body. */
    const char *s3_region, *s3_access_key, *s3_secret_key;
    const char *unix_socket;     /* NULL: TCP */
    uint64_t connect_timeout_ms; /* timeout to connect; 0: 10000 */
    uint64_t timeout_ms;         /* limit for the whole call, in milliseconds; 0: none */
    uint64_t low_speed_bytes;    /* least bytes per second, measured over low_speed_ms; 0: 1024 */
    uint64_t low_speed_ms;       /* 0: 30000 */
    /* Rate limit for all answers of the handle together, from the first byte;
     * 0: none.  low_speed_bytes is at most half of a low limit. */
    uint64_t rate_bytes_per_s;
    /* Fingerprint for enrolment, in place of ca_file: the server's chain must
     * have a CA certificate with this SHA-256 (hex prefix of >= 32 digits).
     * Any such server certificate is accepted; its host name is still
     * checked. */
    const char *ca_fingerprint;
    /* For URLs that a person entered: no proxy is used, and the client connects
     * to public addresses only, whatever the name resolves to.  takes_private
     * also allows private networks and loopback, but never link-local addresses
     * (a cloud's metadata service). */
    bool is_direct;
    bool takes_private;
    /* true: the peer is a device, which shows a client certificate of ca_file.
     * Devices have no host name, so none is checked, and no proxy is used. */
    bool meets_device;
};

struct flo_http_request {
    const char *method; /* NULL: GET */
    const char *url;
    const char *const *headers; /* lines "Name: value"; NULL ends the list; or NULL */
    const char *body;           /* NULL: none */
    size_t body_bytes;
    int body_fd;              /* descriptor of a file to send in place of `body`; 0: none */
    const char *content_type; /* content type of the body; NULL: application/json */
    uint64_t range_from;      /* first byte to ask for (Range: bytes=from-); 0: all bytes */
    const char *if_range;     /* ETag that the range requires (If-Range), or NULL */
    size_t answer_bytes_max;  /* most bytes of an answer; 0: 1 MiB; ignored if on_data is set */
    uint64_t low_speed_ms;    /* low_speed_ms for this call; 0: the handle's value */
    /* Called for each piece of a 2xx body, which is then not stored.  A
     * non-zero return stops the call with that (negative) code.  NULL: the body
     * is in the answer. */
    int (*on_data)(void *context, const void *data, size_t bytes);
    /* Called at least each second.  A non-zero return cancels the call.
     * Or NULL. */
    int (*on_progress)(void *context, uint64_t done, uint64_t total);
    void *context;
};

/* Tells whether a direct call may connect to this address, a struct sockaddr.
 * Pure. */
bool flo_http_may_connect(const void *address, bool takes_private);
/* Tells whether a direct call met an address to which it may not connect. */
bool flo_http_was_refused(const struct flo_http *http);

struct flo_http_answer {
    int status; /* HTTP status; 0: no answer came */
    char etag[96];
    char content_type[96];
    char content_range[96];
    char location[512];
    uint64_t retry_after_ms; /* 0: none */
    uint64_t content_bytes;  /* Content-Length or 0 */
    struct flo_buf body;     /* body, unless on_data took it; freed by flo_buf_deinit */
};

FLO_MUST_USE int flo_http_open(const struct flo_http_options *options, struct flo_http **out,
                               struct flo_err *err);
void flo_http_close(struct flo_http *http);

/* Sends a request and waits for its answer.  Returns 0 when an HTTP answer
 * came, whatever its status.  The members of `answer` from the answer's head
 * are set before the first on_data.  A 200 to a range request means that the
 * body starts at byte 0.  A 206 of a wrong range, and an answer that is not
 * HTTP, are FLO_E_NET_CONTENT.  Redirects are not followed.
 * FLO_E_NET_UNREACHABLE, FLO_E_NET_TIMEOUT, FLO_E_NET_TLS, FLO_E_NET_STALLED,
 * FLO_E_REST_TOO_LARGE (answer larger than allowed), FLO_E_USAGE (the URL: only
 * http and https), or what a callback returned. */
FLO_MUST_USE int flo_http_call(struct flo_http *http, const struct flo_http_request *request,
                               struct flo_http_answer *answer, struct flo_err *err);
/* Turns a non-2xx answer into an error.  Code, detail and fix come from its
 * problem document if there is one; else the code is FLO_E_NET_STATUS.  `what`
 * is put in front of the message; "" adds no text. */
int flo_http_fail(const struct flo_http_answer *answer, const char *what, struct flo_err *err);
/* Tells whether a later attempt can succeed (5xx, 408, 425, 429, no answer). */
bool flo_http_is_passing(int code, const struct flo_http_answer *answer);

#endif

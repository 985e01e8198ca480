/* Setup of libcurl's handles: see setup.h.
 *
 * Only http and https are allowed, no redirect is followed, and every length
 * has a bound. Content is not decoded, because a digest is over the bytes on
 * the wire. */
#include "base/host/http/setup.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <flotilla/errors/net.h>

#include "base/host/http/pin.h"
#include "base/host/tls_ciphers.h"
#include "base/host/tls_time.h"

#define CONNECT_TIMEOUT_MS 10000
#define LOW_SPEED_BYTES 1024
#define LOW_SPEED_MS 30000
#define LOOPBACK "127.0.0.1,localhost,::1"

static void start_curl(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

void flo_http_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, start_curl);
    flo_tls_watch();
}

/* ---- options ---- */

static bool copy_text(const char **out, const char *text)
{
    *out = text == NULL ? NULL : strdup(text);
    return text == NULL || *out != NULL;
}

static void free_text(const char **text)
{
    void *owned;

    memcpy(&owned, text, sizeof owned);
    free(owned);
    *text = NULL;
}

int flo_http_options_copy(const struct flo_http_options *options, struct flo_http_options *out,
                          struct flo_err *err)
{
    *out = *options;
    bool copied = copy_text(&out->ca_file, options->ca_file);
    copied &= copy_text(&out->cert_file, options->cert_file);
    copied &= copy_text(&out->key_file, options->key_file);
    copied &= copy_text(&out->bearer, options->bearer);
    copied &= copy_text(&out->s3_region, options->s3_region);
    copied &= copy_text(&out->s3_access_key, options->s3_access_key);
    copied &= copy_text(&out->s3_secret_key, options->s3_secret_key);
    copied &= copy_text(&out->unix_socket, options->unix_socket);
    copied &= copy_text(&out->ca_fingerprint, options->ca_fingerprint);
    if (!copied) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for an HTTP client");
    }
    if (options->ca_fingerprint != NULL &&
        !flo_http_fingerprint_is_valid(options->ca_fingerprint)) {
        return flo_fail(err, FLO_E_NET_TLS,
                        "the CA fingerprint is no run of 32 to 64 lower-case "
                        "hex digits");
    }
    return 0;
}

void flo_http_options_free(struct flo_http_options *options)
{
    free_text(&options->ca_file);
    free_text(&options->cert_file);
    free_text(&options->key_file);
    free_text(&options->bearer);
    free_text(&options->s3_region);
    free_text(&options->s3_access_key);
    free_text(&options->s3_secret_key);
    free_text(&options->unix_socket);
    free_text(&options->ca_fingerprint);
}

long flo_http_seconds(uint64_t ms)
{
    uint64_t seconds = (ms + 999) / 1000;

    return seconds > 86400 ? 86400 : (long)seconds;
}

/* Adds the hosts of no_proxy.  A port behind a name or an IPv4 address is left out,
 * because libcurl would take it for a part of the name. */
static void add_hosts(struct flo_buf *list, const char *hosts)
{
    while (*hosts != '\0') {
        size_t chars = strcspn(hosts, ", "), name = strcspn(hosts, ":, ");
        bool has_port = name < chars &&
                        hosts[name + 1 + strspn(hosts + name + 1, "0123456789")] == hosts[chars];
        flo_buf_text(list, list->bytes > 0 ? "," : "");
        flo_buf_add(list, hosts, has_port ? name : chars);
        hosts += chars + (hosts[chars] != '\0');
    }
}

/* Loopback never uses a proxy, nor do the hosts in no_proxy. They are added
 * here, because libcurl ignores the environment once CURLOPT_NOPROXY is set. */
static void set_no_proxy(CURL *curl)
{
    const char *hosts = getenv("no_proxy");
    struct flo_buf list = {0};

    if (hosts == NULL || hosts[0] == '\0') {
        hosts = getenv("NO_PROXY");
    }
    if (hosts == NULL || strcmp(hosts, "*") != 0) {
        flo_buf_text(&list, LOOPBACK);
    }
    add_hosts(&list, hosts == NULL ? "" : hosts);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, list.failed ? LOOPBACK : list.data);
    flo_buf_deinit(&list);
}

void flo_http_setup(CURL *curl, const struct flo_http_options *options)
{
    uint64_t connect_ms = options->connect_timeout_ms;
    uint64_t slow_ms = options->low_speed_ms;

    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    set_no_proxy(curl);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "flotilla/" FLO_VERSION);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(connect_ms == 0 ? CONNECT_TIMEOUT_MS : connect_ms));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)options->timeout_ms);
    curl_easy_setopt(
        curl, CURLOPT_LOW_SPEED_LIMIT,
        (long)(options->low_speed_bytes == 0 ? LOW_SPEED_BYTES : options->low_speed_bytes));
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
                     flo_http_seconds(slow_ms == 0 ? LOW_SPEED_MS : slow_ms));
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_SSL_CIPHER_LIST, FLO_TLS_CIPHERS);
    if (options->meets_device) {
        flo_http_meet_device(curl);
    }
    if (options->cert_file != NULL) {
        curl_easy_setopt(curl, CURLOPT_SSLCERT, options->cert_file);
        curl_easy_setopt(curl, CURLOPT_SSLKEY, options->key_file);
    }
    if (options->ca_fingerprint != NULL) {
        flo_http_pin(curl, options->ca_fingerprint);
    } else if (options->ca_file != NULL) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, options->ca_file);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
}

/* ---- heads ---- */

int flo_http_header_add(struct curl_slist **list, struct flo_err *err, const char *format, ...)
{
    char line[4096];
    va_list arguments;

    va_start(arguments, format);
    int chars = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (chars < 0 || (size_t)chars >= sizeof line || strpbrk(line, "\r\n") != NULL) {
        return flo_fail(err, FLO_E_USAGE, "a request header is too long or has a line break");
    }
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a request header");
    }
    *list = longer;
    return 0;
}

/* Copies the value of "Name: value\r\n" to `out`; false: another header. */
static bool header_value(const char *line, size_t bytes, const char *name, char *out,
                         size_t out_bytes)
{
    size_t name_bytes = strlen(name);

    if (bytes <= name_bytes || line[name_bytes] != ':' ||
        strncasecmp(line, name, name_bytes) != 0) {
        return false;
    }
    const char *value = line + name_bytes + 1;
    const char *end = line + bytes;
    while (value < end && (*value == ' ' || *value == '\t')) {
        value++;
    }
    while (end > value && (unsigned char)end[-1] <= ' ') {
        end--;
    }
    /* A value that does not fit is ignored, because a truncated one would be
     * wrong. */
    size_t value_bytes = (size_t)(end - value);
    if (value_bytes < out_bytes) {
        memcpy(out, value, value_bytes);
        out[value_bytes] = '\0';
    }
    return true;
}

void flo_http_head_line(CURL *curl, const char *line, size_t bytes, struct flo_http_answer *answer)
{
    char number[32] = "";

    if (bytes > 5 && strncasecmp(line, "HTTP/", 5) == 0) {
        long status = 0;
        flo_buf_deinit(&answer->body);
        memset(answer, 0, sizeof *answer); /* an interim (1xx) answer is discarded */
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        answer->status = (int)status;
        return;
    }
    if (header_value(line, bytes, "etag", answer->etag, sizeof answer->etag) ||
        header_value(line, bytes, "content-type", answer->content_type,
                     sizeof answer->content_type) ||
        header_value(line, bytes, "content-range", answer->content_range,
                     sizeof answer->content_range) ||
        header_value(line, bytes, "location", answer->location, sizeof answer->location)) {
        return;
    }
    if (header_value(line, bytes, "content-length", number, sizeof number)) {
        answer->content_bytes = strtoull(number, NULL, 10);
    } else if (header_value(line, bytes, "retry-after", number, sizeof number)) {
        /* seconds, or a time as "Fri, 31 Dec 1999 23:59:59 GMT" */
        bool is_count = number[0] >= '0' && number[0] <= '9';
        int64_t seconds = is_count ? strtoll(number, NULL, 10)
                                   : curl_getdate(number, NULL) - (int64_t)(flo_wall_ms() / 1000);
        answer->retry_after_ms = 1000 * (uint64_t)(seconds < 0       ? 0
                                                   : seconds > 86400 ? 86400
                                                                     : seconds);
    }
}

/* ---- what went wrong ---- */

/* Returns whether the first byte of an answer has come. From then on libcurl's
 * errors are about the answer: "unsupported protocol" for a first line that is
 * not HTTP, "out of memory" for a header line above its limit. */
static bool has_begun(CURL *curl)
{
    curl_off_t first_us = 0;

    (void)curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &first_us);
    return first_us > 0;
}

static int code_of(CURL *curl, CURLcode result, const char *reason)
{
    switch (result) {
    case CURLE_OPERATION_TIMEDOUT:
        return strstr(reason, "too slow") != NULL ? FLO_E_NET_STALLED : FLO_E_NET_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
        return FLO_E_NET_TLS;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return has_begun(curl) ? FLO_E_NET_CONTENT : FLO_E_USAGE;
    case CURLE_OUT_OF_MEMORY:
        return has_begun(curl) ? FLO_E_NET_CONTENT : FLO_E_MEMORY;
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_FILESIZE_EXCEEDED:
    case CURLE_RANGE_ERROR:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
        return FLO_E_NET_CONTENT;
    default:
        return FLO_E_NET_UNREACHABLE;
    }
}

int flo_http_fail_curl(CURL *curl, CURLcode result, const char *url, const char *reason,
                       struct flo_err *err)
{
    char problem[FLO_TLS_PROBLEM_BYTES];
    int code = code_of(curl, result, reason);

    if (code == FLO_E_NET_TLS && flo_tls_problem(problem)) {
        reason = problem;
    }
    return flo_fail(err, code, "%s: %s", url,
                    reason[0] != '\0' ? reason : curl_easy_strerror(result));
}

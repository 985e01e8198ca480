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
        flo_buf_text(&list, LOOPBACK ",");
    }
    flo_buf_text(&list, hosts == NULL ? "" : hosts);
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

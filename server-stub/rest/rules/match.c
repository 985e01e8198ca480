/* REST: ETag and If-Match.  A tag covers what people decide, and not counters,
 * so that only a decision changes it. */
#include <string.h>

#include <flotilla/errors/rest.h>

#include "base/host/digest.h"

#include "server-stub/rest/rest.h"

void flo_rest_etag_of(struct flo_rest_call *call, const char *text)
{
    struct flo_digest digest;
    char hex[65];

    flo_sha256(text, strlen(text), &digest);
    flo_hex_encode(digest.bytes, FLO_DIGEST_BYTES, hex);
    snprintf(call->etag, sizeof(call->etag), "\"%.16s\"", hex);
}

/* Tells whether the list of tags, such as `"a", "b"`, has this tag.  A weak tag
 * never matches (RFC 9110, 13.1.1).  Quotes may be missing, because shells
 * remove them. */
static bool names(const char *list, const char *etag)
{
    size_t chars = strlen(etag) - 2;

    for (const char *at = list; *at != '\0';) {
        at += strspn(at, " ,\t");
        size_t quote = *at == '"';
        if (strncmp(at + quote, etag + 1, chars) == 0 && strcspn(at, ",") == chars + 2 * quote) {
            return true;
        }
        at += strcspn(at, ",");
    }
    return false;
}

int flo_rest_match(struct flo_rest_call *call, const char *what, struct flo_err *err)
{
    const char *match = flo_httpd_header(call->request, "If-Match");
    size_t chars = 0;

    if (match == NULL || strcmp(match, "*") == 0 || names(match, call->etag)) {
        return 0;
    }
    while (match[chars] >= ' ' && match[chars] <= '~') {
        chars++;
    }
    if (chars == 0 || match[chars] != '\0') {
        flo_fail(err, FLO_E_REST_SCHEMA, "If-Match: * or an ETag belongs here");
        return flo_err_fix(err, "If-Match: %s", call->etag);
    }
    flo_fail(err, FLO_E_REST_STALE, "%s has the ETag %s now, not %.60s", what, call->etag, match);
    return FLO_E_REST_STALE;
}

/* Trust display: a statement as JSON.  Its texts are names and digests, so only
 * the certificate's subject needs cleaning. */
#include <string.h>

#include "updater/trust/trust.h"

static json_t *floors_json(const struct flo_trust *trust)
{
    json_t *list = json_array();
    char text[FLO_NAME_MAX + 32];

    for (size_t i = 0; i < trust->floor_count; i++) {
        snprintf(text, sizeof(text), "%s=%llu", trust->floors[i].model,
                 (unsigned long long)trust->floors[i].number);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

static json_t *authorities_json(const struct flo_trust *trust)
{
    json_t *list = json_array();
    char digest[FLO_DIGEST_TEXT];
    char text[FLO_DIGEST_TEXT + 80];

    for (size_t i = 0; i < flo_trust_ca_count(trust); i++) {
        const char *pem = flo_trust_ca(trust, i);
        struct flo_certificate facts;
        if (flo_certificate_read(pem, strlen(pem), &facts, NULL) < 0) {
            continue;
        }
        flo_digest_text(&facts.fingerprint, digest);
        snprintf(text, sizeof(text), "%s %s", digest, facts.common_name);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

json_t *flo_trust_object(const struct flo_trust *trust)
{
    json_t *keys = json_array();
    json_t *releases = json_array();
    char text[FLO_DIGEST_TEXT];

    for (size_t i = 0; i < trust->revoked_key_count; i++) {
        json_array_append_new(keys, json_string(trust->revoked_keys[i]));
    }
    for (size_t i = 0; i < trust->revoked_release_count; i++) {
        flo_digest_text(&trust->revoked_releases[i], text);
        json_array_append_new(releases, json_string(text));
    }
    flo_digest_text(flo_trust_digest(trust), text);
    return json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:o}", "digest", text, "fleet",
                     trust->fleet, "number", (json_int_t)trust->number, "epoch",
                     (json_int_t)trust->epoch, "threshold", (json_int_t)trust->threshold,
                     "issued_at_ms", (json_int_t)trust->issued_at_ms, "revoked_keys", keys,
                     "revoked_releases", releases, "floors", floors_json(trust), "authorities",
                     authorities_json(trust));
}

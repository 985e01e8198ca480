/* Trust display: a statement as JSON.  Its texts are names and digests, so only
 * the certificate's subject needs cleaning. */
#include <string.h>

#include "updater/trust/trust.h"

static void add_pair(json_t *list, const char *model, uint64_t number)
{
    char text[FLO_NAME_MAX + 32];

    snprintf(text, sizeof(text), "%s=%llu", model, (unsigned long long)number);
    json_array_append_new(list, json_string(text));
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

void flo_trust_revoked(const struct flo_trust *trust, json_t **keys, json_t **releases)
{
    char text[FLO_DIGEST_TEXT];

    *keys = json_array();
    *releases = json_array();
    for (size_t i = 0; i < trust->revoked_key_count; i++) {
        json_array_append_new(*keys, json_string(trust->revoked_keys[i]));
    }
    for (size_t i = 0; i < trust->revoked_release_count; i++) {
        flo_digest_text(&trust->revoked_releases[i], text);
        json_array_append_new(*releases, json_string(text));
    }
}

json_t *flo_trust_object(const struct flo_trust *trust)
{
    json_t *keys, *releases, *floors = json_array(), *publishers = json_array();
    char text[FLO_DIGEST_TEXT];

    flo_trust_revoked(trust, &keys, &releases);
    for (size_t i = 0; i < trust->floor_count; i++) {
        add_pair(floors, trust->floors[i].model, trust->floors[i].number);
    }
    for (size_t i = 0; i < trust->publisher_count; i++) {
        add_pair(publishers, trust->publishers[i].model, trust->publishers[i].needed);
    }
    flo_digest_text(flo_trust_digest(trust), text);
    return json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:o,s:o}", "digest", text, "fleet",
                     trust->fleet, "number", (json_int_t)trust->number, "epoch",
                     (json_int_t)trust->epoch, "threshold", (json_int_t)trust->threshold,
                     "issued_at_ms", (json_int_t)trust->issued_at_ms, "revoked_keys", keys,
                     "revoked_releases", releases, "floors", floors, "publishers", publishers,
                     "authorities", authorities_json(trust));
}

#include "agent/shell/identity/enrol_answer.h"

#include <string.h>

#include <flotilla/errors/meta.h>
#include <flotilla/errors/net.h>
#include <flotilla/errors/sig.h>
#include <flotilla/errors/trust.h>
#include <flotilla/release.h>

#include "agent/shell/identity/identity.h"
#include "base/host/crypto.h"

static int read_fields(struct flo_enrol_answer *out, json_t **trust, json_t **groups,
                       struct flo_err *err)
{
    const json_t *json = out->json;

    FLO_TRY(flo_json_get_uuid(json, "device", &out->device, err));
    FLO_TRY(flo_json_get_name(json, "fleet", &out->fleet, err));
    FLO_TRY(flo_json_get_text(json, "certificate", FLO_PEM_BYTES_MAX, &out->certificate, err));
    FLO_TRY(flo_json_get_text(json, "ca", FLO_PEM_BYTES_MAX, &out->ca, err));
    FLO_TRY(flo_json_get_text(json, "mqtt", 512, &out->broker, err));
    FLO_TRY(flo_json_opt_text(json, "api", 512, "", &out->api, err));
    FLO_TRY(flo_json_opt_u64(json, "at_ms", 0, INT64_MAX, 0, &out->at_ms, err));
    FLO_TRY(flo_json_get_object(json, "trust", trust, err));
    FLO_TRY(flo_json_get_array(json, "groups", FLO_GROUPS_MAX, groups, err));
    out->groups = *groups;
    return 0;
}

int flo_enrol_url_check(const char *key, const char *url, const struct flo_url_kind *kind,
                        struct flo_err *err)
{
    int rv = flo_url_check(url, kind, err);

    return rv < 0 ? flo_wrap(err, rv, "%s", key) : 0;
}

static int check_groups(const json_t *groups, struct flo_err *err)
{
    for (size_t i = 0; i < json_array_size(groups); i++) {
        const char *group = json_string_value(json_array_get(groups, i));
        if (group == NULL || !flo_name_is_valid(group)) {
            return flo_fail(err, FLO_E_META_NAME, "groups[%zu] is no name", i);
        }
    }
    return 0;
}

/* Verifies that the certificate belongs to the device.  If *at_ms is outside of
 * the certificate's validity, *at_ms becomes the beginning of that validity:
 * the controller's clock was set meanwhile. */
static int check_certificate(const char *pem, const char *device, struct flo_certificate *facts,
                             uint64_t *at_ms, struct flo_err *err)
{
    int rv = flo_certificate_read(pem, strlen(pem), facts, err);

    if (rv < 0) {
        return flo_wrap(err, rv, "certificate");
    }
    if (strcmp(facts->common_name, device) != 0) {
        return flo_fail(err, FLO_E_NET_TLS, "certificate: it is for %s, not %s", facts->common_name,
                        device);
    }
    if (*at_ms < facts->not_before_ms || *at_ms >= facts->not_after_ms) {
        *at_ms = facts->not_before_ms;
    }
    return 0;
}

static int check_certificates(struct flo_enrol_answer *answer, struct flo_err *err)
{
    struct flo_authority_names names;
    struct flo_certificate facts;

    FLO_TRY(check_certificate(answer->certificate, answer->device, &facts, &answer->at_ms, err));
    answer->from_ms = facts.not_before_ms;
    int rv = flo_authorities_read(answer->ca, strlen(answer->ca), &names, err);
    return rv < 0 ? flo_wrap(err, rv, "ca") : 0;
}

static int take_trust(struct flo_enrol_answer *out, const json_t *json, struct flo_err *err)
{
    struct flo_trust *trust = NULL;
    int rv;

    flo_json_dump_canonical(json, &out->trust);
    rv = out->trust.failed ? flo_fail(err, FLO_E_MEMORY, "trust")
                           : flo_trust_parse(out->trust.data, out->trust.bytes, &trust, err);
    if (rv == 0 && !flo_trust_is_signed(trust)) {
        rv = flo_fail(err, FLO_E_TRUST_NONE,
                      "trust is a list of keys that "
                      "nobody signed");
        flo_err_fix(err, "the controller is older than this agent: upgrade it, "
                         "then flotilla key trust PUBLISHER.pub");
    }
    if (rv == 0 && strcmp(flo_trust_fleet(trust), out->fleet) != 0) {
        rv = flo_fail(err, FLO_E_META_FLEET, "trust is of fleet %s, not %s", flo_trust_fleet(trust),
                      out->fleet);
    }
    flo_trust_free(trust);
    return rv;
}

static int read_answer(const char *data, size_t bytes, struct flo_enrol_answer *out,
                       struct flo_err *err)
{
    json_t *trust = NULL;
    json_t *groups = NULL;

    FLO_TRY(flo_json_parse(data, bytes, FLO_ENROL_ANSWER_BYTES_MAX, &out->json, err));
    FLO_TRY(read_fields(out, &trust, &groups, err));
    FLO_TRY(flo_enrol_url_check("mqtt", out->broker, &flo_url_mqtt, err));
    if (out->api[0] != '\0') {
        FLO_TRY(flo_enrol_url_check("api", out->api, &flo_url_http, err));
    }
    FLO_TRY(check_groups(groups, err));
    FLO_TRY(check_certificates(out, err));
    return take_trust(out, trust, err);
}

int flo_enrol_answer_read(const char *data, size_t bytes, struct flo_enrol_answer *out,
                          struct flo_err *err)
{
    *out = (struct flo_enrol_answer){0};
    int rv = read_answer(data, bytes, out, err);
    if (rv < 0) {
        flo_enrol_answer_deinit(out);
        return flo_wrap(err, rv, "the controller's answer");
    }
    return 0;
}

void flo_enrol_answer_deinit(struct flo_enrol_answer *answer)
{
    json_decref(answer->json);
    flo_buf_deinit(&answer->trust);
    *answer = (struct flo_enrol_answer){0};
}

int flo_enrol_answer_identity(const struct flo_enrol_answer *answer, const char *name,
                              const char *controller, struct flo_buf *out, struct flo_err *err)
{
    json_t *identity =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:O, s:I}", "v", 1, "device", answer->device,
                  "fleet", answer->fleet, "name", name, "controller",
                  answer->api[0] != '\0' ? answer->api : controller, "mqtt", answer->broker,
                  "groups", answer->groups, "enrolled_at_ms", (json_int_t)answer->from_ms);

    if (identity != NULL) {
        flo_json_dump_pretty(identity, out);
        json_decref(identity);
    }
    return identity == NULL || out->failed ? flo_fail(err, FLO_E_MEMORY, "identity") : 0;
}

/* ---- renewal ---- */

static int read_renewed(struct flo_renew_answer *out, const char *device, const char *keyid,
                        struct flo_err *err)
{
    struct flo_authority_names names;
    struct flo_certificate facts;
    const char *id;

    FLO_TRY(flo_json_get_uuid(out->json, "device", &id, err));
    FLO_TRY(flo_json_get_text(out->json, "certificate", FLO_PEM_BYTES_MAX, &out->certificate, err));
    FLO_TRY(flo_json_opt_text(out->json, "ca", FLO_PEM_BYTES_MAX, "", &out->ca, err));
    FLO_TRY(flo_json_get_u64(out->json, "at_ms", 0, INT64_MAX, &out->at_ms, err));
    FLO_TRY(check_certificate(out->certificate, device, &facts, &out->at_ms, err));
    int rv = out->ca[0] == '\0' ? 0 : flo_authorities_read(out->ca, strlen(out->ca), &names, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "ca");
    }
    if (strcmp(id, device) != 0) {
        return flo_fail(err, FLO_E_NET_TLS, "it is for %s, not %s", id, device);
    }
    return strcmp(facts.key.keyid, keyid) == 0
               ? 0
               : flo_fail(err, FLO_E_SIG_BAD, "certificate: it is of another key");
}

int flo_renew_answer_read(const char *data, size_t bytes, const char *device, const char *keyid,
                          struct flo_renew_answer *out, struct flo_err *err)
{
    int rv;

    *out = (struct flo_renew_answer){0};
    rv = flo_json_parse(data, bytes, FLO_ENROL_ANSWER_BYTES_MAX, &out->json, err);
    if (rv == 0) {
        rv = read_renewed(out, device, keyid, err);
    }
    if (rv < 0) {
        flo_renew_answer_deinit(out);
        return flo_wrap(err, rv, "the controller's answer");
    }
    return 0;
}

void flo_renew_answer_deinit(struct flo_renew_answer *answer)
{
    json_decref(answer->json);
    *answer = (struct flo_renew_answer){0};
}

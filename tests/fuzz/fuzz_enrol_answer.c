/* Answers to an enrolment and to a renewal, by a controller or by another in
 * its place: each is refused with a reason, or all of it can be used. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/release.h>

#include "agent/shell/identity/enrol_answer.h"
#include "agent/shell/identity/identity.h"
#include "tests/fuzz/must.h"

#define CONTROLLER "https://10.0.0.1:8443"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void same(const json_t *json, const char *key, const char *text)
{
    const char *found = json_string_value(json_object_get(json, key));

    must(found != NULL && strcmp(found, text) == 0);
}

/* As flo_identity_load wants them. */
static void check(const struct flo_enrol_answer *answer)
{
    struct flo_buf text = {0};
    struct flo_trust *trust = NULL;
    json_t *json = NULL;

    must(flo_trust_parse(answer->trust.data, answer->trust.bytes, &trust, NULL) == 0);
    must(strcmp(flo_trust_fleet(trust), answer->fleet) == 0);
    flo_trust_free(trust);
    must(flo_enrol_answer_identity(answer, "gw-1", CONTROLLER, &text, NULL) == 0);
    must(flo_json_parse(text.data, text.bytes, 65536, &json, NULL) == 0);
    must(flo_url_check(answer->broker, &flo_url_mqtt, NULL) == 0);
    must(answer->api[0] == '\0' || flo_url_check(answer->api, &flo_url_http, NULL) == 0);
    must(flo_uuid_is_valid(answer->device) && flo_name_is_valid(answer->fleet));
    same(json, "device", answer->device);
    same(json, "fleet", answer->fleet);
    same(json, "mqtt", answer->broker);
    same(json, "controller", answer->api[0] != '\0' ? answer->api : CONTROLLER);
    must(json_equal(json_object_get(json, "groups"), answer->groups) &&
         json_array_size(answer->groups) <= FLO_GROUPS_MAX);
    json_decref(json);
    flo_buf_deinit(&text);
}

/* The same bytes as the answer to a renewal of the device that they name, for
 * the key that they hold. */
static void renewed(const struct flo_enrol_answer *as, const uint8_t *data, size_t bytes)
{
    struct flo_renew_answer answer;
    struct flo_certificate facts;
    struct flo_err err = {0};

    must(flo_certificate_read(as->certificate, strlen(as->certificate), &facts, NULL) == 0);
    if (flo_renew_answer_read((const char *)data, bytes, as->device, facts.key.keyid, &answer,
                              &err) == 0) {
        must(strcmp(answer.certificate, as->certificate) == 0);
        must(answer.at_ms >= facts.not_before_ms && answer.at_ms <= facts.not_after_ms);
        flo_renew_answer_deinit(&answer);
        must(flo_renew_answer_read((const char *)data, bytes, as->device, "", &answer, &err) < 0 &&
             answer.json == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_renew_answer other;
    struct flo_enrol_answer answer;
    struct flo_err err = {0};

    if (flo_enrol_answer_read((const char *)data, bytes, &answer, &err) == 0) {
        check(&answer);
        renewed(&answer, data, bytes);
        flo_enrol_answer_deinit(&answer);
    } else if (flo_renew_answer_read((const char *)data, bytes,
                                     "00000000-0000-4000-8000-000000000000", "", &other,
                                     &err) == 0) {
        must(false); /* no certificate is of no key */
    } else {
        must(err.code != 0 && err.what[0] != '\0' && answer.json == NULL);
    }
    return 0;
}

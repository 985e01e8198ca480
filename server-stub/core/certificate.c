#include "server-stub/core/certificate.h"

#include <assert.h>
#include <string.h>

#include <flotilla/errors/ca.h>
#include <flotilla/errors/certificate.h>
#include <flotilla/plural.h>

static const char *const words[FLO_CERTIFICATE_STATES] = {
    [FLO_CERTIFICATE_ISSUED] = "issued",     [FLO_CERTIFICATE_HELD] = "held",
    [FLO_CERTIFICATE_REPLACED] = "replaced", [FLO_CERTIFICATE_REVOKED] = "revoked",
    [FLO_CERTIFICATE_UNKNOWN] = "unknown",
};

const char *flo_certificate_word(enum flo_certificate_state state)
{
    assert(state < FLO_CERTIFICATE_STATES);
    return words[state];
}

enum flo_certificate_state flo_certificate_parse(const char *word)
{
    int state = 0;

    assert(word != NULL);
    while (state < FLO_CERTIFICATE_STATES && strcmp(words[state], word) != 0) {
        state++;
    }
    return (enum flo_certificate_state)state;
}

/* Returns 0 when the device may renew its expired certificate.  A replaced
 * certificate is refused, so that a copy of an old disk is not let in again. */
static int check_out_of_date(const struct flo_certificate_ask *ask, struct flo_err *err)
{
    char text[25];

    assert(ask->is_out_of_date);
    if (!ask->is_known) {
        return flo_fail(err, FLO_E_CERT_OVERDUE,
                        "the certificate is out of date and not known here");
    }
    flo_time_text(ask->until_ms, text);
    if (ask->until_ms > ask->now_ms) {
        return 0; /* the certificate is not valid yet: the clock was set back since it was issued */
    }
    if (ask->state == FLO_CERTIFICATE_REPLACED) {
        return flo_fail(err, FLO_E_CERT_OVERDUE,
                        "the certificate ended on %.10s, and the device had a "
                        "later one",
                        text);
    }
    return ask->now_ms - ask->until_ms <= ask->grace_ms
               ? 0
               : flo_fail(err, FLO_E_CERT_OVERDUE,
                          "the certificate ended on %.10s, more than %llu day%s ago", text,
                          (unsigned long long)(ask->grace_ms / 86400000),
                          flo_s(ask->grace_ms / 86400000));
}

int flo_certificate_may_renew(const struct flo_certificate_ask *ask, struct flo_err *err)
{
    assert(ask->life_ms > 0);
    if (ask->is_absent && !ask->is_out_of_date) {
        return flo_fail(err, FLO_E_CERT_UNKNOWN, "known authority, unknown device");
    }
    if (!ask->is_active) {
        return flo_fail(err, FLO_E_CERT_REVOKED, "the device is retired");
    }
    if (ask->is_known && ask->state == FLO_CERTIFICATE_REVOKED) {
        return flo_fail(err, FLO_E_CERT_REVOKED, "the certificate was taken back");
    }
    if (ask->is_out_of_date) {
        int rv = check_out_of_date(ask, err);
        FLO_TRY(rv);
    }
    return ask->count < FLO_CERTIFICATES_MAX
               ? 0
               : flo_fail(err, FLO_E_REST_LIMIT,
                          "the device got %llu certificate%s in a twelfth of "
                          "their life",
                          (unsigned long long)ask->count, flo_s(ask->count));
}

int flo_authority_may_retire(bool is_newest, uint64_t holders, bool is_confirmed,
                             struct flo_err *err)
{
    if (is_newest) {
        return flo_fail(err, FLO_E_STATE,
                        "it is the newest authority: devices get certificates "
                        "of it");
    }
    return holders == 0 || is_confirmed
               ? 0
               : flo_fail(err, FLO_E_CA_HELD, "%llu device%s %s certificates of it",
                          (unsigned long long)holders, flo_s(holders),
                          flo_plural(holders, "holds", "hold"));
}

/* Enrolment answers: reads the controller's answers to an enrolment and to a
 * renewal into a checked struct.
 *
 * Nothing is stored before the whole answer is valid.  A device with
 * identity.json counts as enrolled, and with an unreadable certificate it could
 * never connect. */
#ifndef FLOTILLA_AGENT_ENROL_ANSWER_H
#define FLOTILLA_AGENT_ENROL_ANSWER_H

#include <flotilla/base.h>

#include "base/host/json.h"

#define FLO_ENROL_ANSWER_BYTES_MAX (1u << 20)

/* Checks the address in the field `key`: it uses TLS, or it is this machine's.
 * FLO_E_CFG_RANGE  it does neither */
FLO_MUST_USE int flo_enrol_url_check(const char *key, const char *url,
                                     const struct flo_url_kind *kind, struct flo_err *err);

struct flo_enrol_answer {
    json_t *json; /* parsed answer, which owns all texts of this struct */
    const char *device;
    const char *fleet;
    const char *certificate; /* the device's certificate as PEM; its common name is `device` */
    const char *ca;          /* one or more certificate authorities as PEM */
    uint64_t at_ms;          /* the controller's time */
    uint64_t from_ms;        /* beginning of the validity of the certificate */
    const char *broker;
    const char *api; /* "": not given */
    const json_t *groups;
    struct flo_buf trust; /* text of trust.json, the trusted keys of the fleet */
};

/* Reads the answer to an enrolment.
 * FLO_E_META_...  not JSON; a field is missing or wrong; a group is no name;
 * the trusted keys are another fleet's
 * FLO_E_SIG_...  a certificate or key cannot be read
 * FLO_E_NET_TLS  the certificate is another device's, or there is no CA
 * FLO_E_CFG_RANGE  an address has no TLS and is not this machine's */
FLO_MUST_USE int flo_enrol_answer_read(const char *data, size_t bytes, struct flo_enrol_answer *out,
                                       struct flo_err *err);
void flo_enrol_answer_deinit(struct flo_enrol_answer *answer);
/* Appends the text of identity.json to `out`. */
FLO_MUST_USE int flo_enrol_answer_identity(const struct flo_enrol_answer *answer, const char *name,
                                           const char *controller, struct flo_buf *out,
                                           struct flo_err *err);

struct flo_renew_answer {
    json_t *json;            /* owns `certificate` */
    const char *certificate; /* certificate as PEM, for this device and the requested key */
    const char *ca;          /* certificate authorities as PEM; "": the answer names none */
    uint64_t at_ms;          /* the controller's time */
};
/* Reads the answer to a renewal of `device`, for the key `keyid`.
 * FLO_E_META_...  not JSON; a field is missing or wrong
 * FLO_E_SIG_...  the certificate cannot be read, or is of another key
 * FLO_E_NET_TLS  the certificate is another device's */
FLO_MUST_USE int flo_renew_answer_read(const char *data, size_t bytes, const char *device,
                                       const char *keyid, struct flo_renew_answer *out,
                                       struct flo_err *err);
void flo_renew_answer_deinit(struct flo_renew_answer *answer);

#endif

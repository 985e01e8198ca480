/* Enrolment answers: the controller's replies to an enrolment and to a renewal,
 * as bytes in and a checked struct out.
 *
 * Nothing is stored before the whole answer is valid.  A device with
 * identity.json counts as enrolled, and with an unreadable certificate it could
 * never connect. */
#ifndef FLOTILLA_AGENT_ENROL_ANSWER_H
#define FLOTILLA_AGENT_ENROL_ANSWER_H

#include <flotilla/base.h>

#include "base/host/json.h"

#define FLO_ENROL_ANSWER_BYTES_MAX (1u << 20)

/* Checks the address in the field `key`: it has TLS or is this machine's.
 * FLO_E_CFG_RANGE. */
FLO_MUST_USE int flo_enrol_url_check(const char *key, const char *url,
                                     const struct flo_url_kind *kind, struct flo_err *err);

struct flo_enrol_answer {
    json_t *json; /* owner of the pointers below */
    const char *device;
    const char *fleet;
    const char *certificate; /* certificate as PEM; its common name is `device` */
    const char *ca;          /* authorities as PEM, one or several */
    uint64_t at_ms;          /* the controller's time */
    uint64_t from_ms;        /* begin of the certificate's validity */
    const char *broker;
    const char *api; /* "": not given */
    const json_t *groups;
    struct flo_buf trust; /* text of the fleet's trust.json */
};

/* FLO_E_META_...   not JSON; a field is missing or wrong; a group is no name;
 *                  another fleet's trusted keys
 * FLO_E_SIG_...    a certificate or key that cannot be read
 * FLO_E_NET_TLS    a certificate of another device, or no CA
 * FLO_E_CFG_RANGE  an address without TLS that is not this machine's */
FLO_MUST_USE int flo_enrol_answer_read(const char *data, size_t bytes, struct flo_enrol_answer *out,
                                       struct flo_err *err);
void flo_enrol_answer_deinit(struct flo_enrol_answer *answer);
/* Append the text of identity.json. */
FLO_MUST_USE int flo_enrol_answer_identity(const struct flo_enrol_answer *answer, const char *name,
                                           const char *controller, struct flo_buf *out,
                                           struct flo_err *err);

struct flo_renew_answer {
    json_t *json;            /* owns `certificate` */
    const char *certificate; /* certificate as PEM, for this device and this key */
    const char *ca;          /* authorities as PEM, several; "": not given */
    uint64_t at_ms;          /* the controller's time */
};
/* Reads the answer to a renewal of `device`, for the key `keyid`.
 *
 * FLO_E_META_...   not JSON; a field is missing or wrong
 * FLO_E_SIG_...    a certificate that cannot be read, or of another key
 * FLO_E_NET_TLS    a certificate of another device */
FLO_MUST_USE int flo_renew_answer_read(const char *data, size_t bytes, const char *device,
                                       const char *keyid, struct flo_renew_answer *out,
                                       struct flo_err *err);
void flo_renew_answer_deinit(struct flo_renew_answer *answer);

#endif

/* Certificates of devices: decides which device may renew its certificate, and
 * which certificate authority may be retired.  Pure. */
#ifndef FLOTILLA_SERVER_CERTIFICATE_H
#define FLOTILLA_SERVER_CERTIFICATE_H

#include <flotilla/base.h>

/* Life of a device's certificate.  Renewal begins 30 days before the end, which
 * is longer than any outage of a controller.  A short life keeps the list of
 * revoked certificates short and makes a stolen key useless soon. */
#define FLO_CERTIFICATE_LIFE_MS (UINT64_C(90) * 86400000)
/* A device that was in storage may renew its certificate this long after the
 * certificate ended. */
#define FLO_CERTIFICATE_GRACE_MS (UINT64_C(730) * 86400000)
/* Largest number of certificates that a device gets within a twelfth of
 * FLO_CERTIFICATE_LIFE_MS.  More than one is allowed because answers may be
 * lost. */
#define FLO_CERTIFICATES_MAX 8

enum flo_certificate_state {
    FLO_CERTIFICATE_ISSUED,   /* the device has not confirmed the certificate yet */
    FLO_CERTIFICATE_HELD,     /* the device confirmed the certificate */
    FLO_CERTIFICATE_REPLACED, /* the device holds a later certificate */
    FLO_CERTIFICATE_REVOKED,  /* the device was retired */
    FLO_CERTIFICATE_UNKNOWN,  /* the device is newer than the data, and people may adopt it */
    FLO_CERTIFICATE_STATES
};
const char *flo_certificate_word(enum flo_certificate_state state);
/* Returns the state of a word; FLO_CERTIFICATE_STATES for an unknown word. */
enum flo_certificate_state flo_certificate_parse(const char *word);

/* Renewal request: a device shows its certificate and asks for the next one. */
struct flo_certificate_ask {
    bool is_active; /* the controller knows the device, and it is not retired */
    bool is_absent; /* the controller has no row of the device: its data are older */
    bool is_known;  /* the controller has a row of the certificate */
    /* `state` and `until_ms` are set only if is_known is true */
    enum flo_certificate_state state;
    uint64_t until_ms;
    bool is_out_of_date; /* the certificate has expired, according to the TLS listener */
    uint64_t count;      /* number of certificates issued to the device within
                            the last twelfth of life_ms */
    uint64_t now_ms, life_ms, grace_ms;
};
/* Returns 0 when the device gets a certificate.
 *
 * FLO_E_CERT_UNKNOWN  known authority, unknown device: people may adopt it
 * FLO_E_CERT_REVOKED  the device is retired, or its certificate was taken back
 * FLO_E_CERT_OVERDUE  the certificate ended too long ago, or was replaced
 * FLO_E_REST_LIMIT    the device got too many certificates in a short time */
FLO_MUST_USE int flo_certificate_may_renew(const struct flo_certificate_ask *ask,
                                           struct flo_err *err);

/* Tells whether an authority may be retired.  Returns FLO_E_STATE when it is
 * the newest one.  Returns FLO_E_CA_HELD when `holders` devices still hold its
 * certificates, and the operator did not confirm. */
FLO_MUST_USE int flo_authority_may_retire(bool is_newest, uint64_t holders, bool is_confirmed,
                                          struct flo_err *err);

#endif

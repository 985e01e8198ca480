/* Certificates of devices: who gets the next one, and of which authority.
 * Pure. */
#ifndef FLOTILLA_SERVER_CERTIFICATE_H
#define FLOTILLA_SERVER_CERTIFICATE_H

#include <flotilla/base.h>

/* 30 days are left when renewal begins: longer than a controller is away.  A
 * short life keeps the list of revoked certificates short, and a key that was
 * copied useless soon. */
#define FLO_CERTIFICATE_LIFE_MS (UINT64_C(90) * 86400000)
/* A device in a drawer is renewed so long after its end. */
#define FLO_CERTIFICATE_GRACE_MS (UINT64_C(730) * 86400000)
/* So many a device gets in a twelfth of a life: answers may be lost. */
#define FLO_CERTIFICATES_MAX 8

enum flo_certificate_state {
    FLO_CERTIFICATE_ISSUED,   /* the device has not said that it has it */
    FLO_CERTIFICATE_HELD,     /* the device says that it has it */
    FLO_CERTIFICATE_REPLACED, /* the device holds a later one */
    FLO_CERTIFICATE_REVOKED,  /* the device was retired */
    FLO_CERTIFICATE_STATES
};
const char *flo_certificate_word(enum flo_certificate_state state);
/* FLO_CERTIFICATE_STATES: no such word. */
enum flo_certificate_state flo_certificate_parse(const char *word);

/* A device shows its certificate and asks for the next one. */
struct flo_certificate_ask {
    bool is_active;                   /* the device is known, not retired */
    bool is_known;                    /* the certificate is; else its */
    enum flo_certificate_state state; /* state and end are not */
    uint64_t until_ms;
    bool is_out_of_date; /* as the listener sees it */
    uint64_t count;      /* issued to the device in a twelfth of a life */
    uint64_t now_ms, life_ms, grace_ms;
};
/* 0: it gets one.
 *
 * FLO_E_CERT_REVOKED  the device is retired, or its certificate was taken back
 * FLO_E_CERT_OVERDUE  it ended too long ago, or a later one replaced it
 * FLO_E_REST_LIMIT    too many in a short time */
FLO_MUST_USE int flo_certificate_may_renew(const struct flo_certificate_ask *ask,
                                           struct flo_err *err);

/* An authority may go.  FLO_E_STATE: it is the newest.  FLO_E_CA_HELD:
 * `holders` devices hold certificates of it, and nobody confirmed. */
FLO_MUST_USE int flo_authority_may_retire(bool is_newest, uint64_t holders, bool is_confirmed,
                                          struct flo_err *err);

#endif

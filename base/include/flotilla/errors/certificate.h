/* Codes of the errors whose ids begin with `certificate.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_CERTIFICATE_H
#define FLOTILLA_ERRORS_CERTIFICATE_H

enum {
    FLO_E_CERT_OVERDUE = -417, /* certificate.overdue */
    FLO_E_CERT_REVOKED = -418, /* certificate.revoked */
    FLO_E_CERT_ENDING = -419,  /* certificate.ending */
    FLO_E_CERT_REFUSED = -420, /* certificate.refused */
    FLO_E_CERT_UNKNOWN = -421, /* certificate.unknown */
};

#endif

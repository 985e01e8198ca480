/* Codes of the errors whose ids begin with `net.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_NET_H
#define FLOTILLA_ERRORS_NET_H

enum {
    FLO_E_PORT_IN_USE = -609, /* net.port_in_use */
    FLO_E_NET_TIMEOUT = -610, /* net.timeout */
    FLO_E_NET_TLS = -611,     /* net.tls */
    FLO_E_NET_STALLED = -612, /* net.stalled */
    FLO_E_NET_STATUS = -613,  /* net.status */
    FLO_E_NET_CONTENT = -614, /* net.content */
    FLO_E_NET_BUDGET = -615,  /* net.budget */
};

#endif

/* Certificate renewal: when a device requests its next certificate.  Pure.
 *
 * The device asks when two thirds of the lifetime are over.  Devices enrolled
 * on one day spread over the following twelfth of the lifetime.  A failed
 * request is repeated with growing pauses.
 *
 * The clock may be wrong.  The age of a certificate is the time since it came,
 * by this device's own clock, so a constant error does no harm.  If the clock
 * goes back, the trusted time is used.  The age is at least the time that the
 * agent has run.  A clock that jumped ahead causes one renewal only: the next
 * is not requested within a twelfth of the lifetime.  A clock that stands still
 * cannot hide the end: brokers refuse an expired certificate, and the
 * controller asks the device to renew. */
#ifndef FLOTILLA_AGENT_RENEW_H
#define FLOTILLA_AGENT_RENEW_H

#include <flotilla/base.h>

enum flo_renew_why {
    FLO_RENEW_NOT,
    FLO_RENEW_DUE,       /* two thirds of the lifetime are over */
    FLO_RENEW_REFUSED,   /* a TLS connection was refused */
    FLO_RENEW_ASKED,     /* requested by the controller */
    FLO_RENEW_AUTHORITY, /* there is a newer CA */
    FLO_RENEW_WHYS
};
const char *flo_renew_word(enum flo_renew_why why);

/* The lifetime of a certificate. */
struct flo_renew_life {
    uint64_t issued_ms; /* time when it was issued, by the controller's clock */
    uint64_t until_ms;  /* time when it expires, by the controller's clock */
    uint64_t taken_ms;  /* time when it arrived, by this device's clock; 0: unknown */
    uint32_t place;     /* place of this device among those enrolled on the same day */
};

struct flo_renew {
    struct flo_renew_life life;
    uint64_t since_ms; /* uptime at which the certificate was known to be here */
    uint64_t next_ms;  /* no request is made before this uptime */
    uint32_t failures; /* number of failures in a row */
    enum flo_renew_why wanted;
    enum flo_renew_why why; /* reason of the renewal in progress */
    bool is_asking;
    bool is_warned;
};

/* Current values: uptime, trusted time, and a random number. */
struct flo_renew_now {
    uint64_t now_ms;
    uint64_t clock_ms;
    uint64_t random;
};

/* Call when the agent starts with this certificate. */
void flo_renew_begin(struct flo_renew *renew, const struct flo_renew_life *life,
                     const struct flo_renew_now *now);
/* Records a reason to renew early.  A newer CA does not wait for a twelfth of
 * the lifetime after the last renewal, because the older CA may be
 * compromised. */
void flo_renew_want(struct flo_renew *renew, enum flo_renew_why why,
                    const struct flo_renew_now *now);
/* Returns why to request now, or that there is no reason.  After a request,
 * done or failed must be called. */
enum flo_renew_why flo_renew_look(struct flo_renew *renew, const struct flo_renew_now *now);
/* Records the arrival of this certificate. */
void flo_renew_done(struct flo_renew *renew, const struct flo_renew_life *life,
                    const struct flo_renew_now *now);
/* Records a failed request.  The next request comes after `after_ms` at the
 * earliest (0: the default pause). */
void flo_renew_failed(struct flo_renew *renew, uint64_t after_ms, const struct flo_renew_now *now);
/* Returns true once, when less than a sixth of the lifetime is left. */
bool flo_renew_warns(struct flo_renew *renew, const struct flo_renew_now *now);
/* Returns the time until the next flo_renew_look(). */
uint64_t flo_renew_pause_ms(const struct flo_renew *renew);

#endif

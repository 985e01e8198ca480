/* Certificate renewal: decides when a device requests its next certificate.
 * Pure.
 *
 * The device asks when two thirds of the lifetime are over.  Devices enrolled
 * on one day spread over the following twelfth of the lifetime.  A failed
 * request is repeated with growing pauses.
 *
 * The clock may be wrong.  The age of a certificate is the time since it
 * arrived, by this device's own clock, so a constant error does no harm.  If
 * the clock goes back, the trusted time is used.  The age is at least the time
 * that the agent has run.  A clock that jumped ahead causes one renewal only:
 * the next is not requested within a twelfth of the lifetime.  A clock that
 * stands still cannot hide the end: brokers refuse an expired certificate, and
 * the controller asks the device to renew. */
#ifndef FLOTILLA_AGENT_RENEW_H
#define FLOTILLA_AGENT_RENEW_H

#include <flotilla/base.h>

enum flo_renew_why {
    FLO_RENEW_NOT,
    FLO_RENEW_DUE,       /* two thirds of the certificate's lifetime are over */
    FLO_RENEW_REFUSED,   /* the broker refused a TLS connection with this certificate */
    FLO_RENEW_ASKED,     /* the controller asks for a renewal */
    FLO_RENEW_AUTHORITY, /* a newer CA exists */
    FLO_RENEW_SPLIT,     /* another machine has this identity, and this one keeps it */
    FLO_RENEW_WHYS
};
const char *flo_renew_word(enum flo_renew_why why);

/* Lifetime of a certificate, and this device's place in the spread of
 * renewals. */
struct flo_renew_life {
    uint64_t issued_ms; /* time at which the CA issued it, by the controller's clock */
    uint64_t until_ms;  /* time at which it expires, by the controller's clock */
    uint64_t taken_ms;  /* time at which it arrived, by this device's clock; 0: unknown */
    /* position of this device among those enrolled on one day, as a share of
     * 2^32; it delays the renewal by that share of the spread */
    uint32_t place;
};

struct flo_renew {
    struct flo_renew_life life;
    uint64_t since_ms; /* uptime at which this certificate arrived, or the agent started with it */
    uint64_t next_ms;  /* uptime before which no request is made */
    uint32_t failures; /* number of failed requests in a row */
    enum flo_renew_why wanted;
    enum flo_renew_why why; /* reason of the renewal in progress */
    bool is_asking;
    bool is_warned;
};

/* Values of this moment: uptime, trusted time, and a random number. */
struct flo_renew_now {
    uint64_t now_ms;
    uint64_t clock_ms;
    uint64_t random;
};

/* Begins with the certificate that is there when the agent starts. */
void flo_renew_begin(struct flo_renew *renew, const struct flo_renew_life *life,
                     const struct flo_renew_now *now);
/* Records a reason to renew early.  A newer CA and a split are reasons to ask at
 * once, also within a twelfth of the lifetime after the last renewal: the older
 * CA may be compromised, and the other machine takes the connection. */
void flo_renew_want(struct flo_renew *renew, enum flo_renew_why why,
                    const struct flo_renew_now *now);
/* Returns the reason to request a certificate now, or FLO_RENEW_NOT.  After a
 * request, the caller calls flo_renew_done() or flo_renew_failed(). */
enum flo_renew_why flo_renew_look(struct flo_renew *renew, const struct flo_renew_now *now);
/* Records that the requested certificate has arrived. */
void flo_renew_done(struct flo_renew *renew, const struct flo_renew_life *life,
                    const struct flo_renew_now *now);
/* Records a failed request.  The next request comes after the default pause, or
 * after `after_ms` if that is longer. */
void flo_renew_failed(struct flo_renew *renew, uint64_t after_ms, const struct flo_renew_now *now);
/* Returns true once, when less than a sixth of the lifetime is left. */
bool flo_renew_warns(struct flo_renew *renew, const struct flo_renew_now *now);
/* Returns the time after which the caller calls flo_renew_look() again. */
uint64_t flo_renew_pause_ms(const struct flo_renew *renew);

#endif

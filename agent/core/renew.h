/* Renew: when a device asks for its next certificate.  Pure.
 *
 * Two thirds of a certificate's life after it came, the device asks.  Devices
 * of one day have places of their own in the twelfth of a life after that.  An
 * attempt that failed is made again, later each time.
 *
 * The clock may be wrong.  The age of a certificate is what this device's own
 * clock says has passed since it took it: a clock that is always wrong by the
 * same does no harm.  A clock that went back falls on the trusted time.  The
 * time that the agent has run counts at least.  A clock that jumped ahead
 * causes one renewal and no more: the next is not asked for within a twelfth of
 * a life.  A clock that stands still cannot hide the end: brokers refuse a
 * certificate that has ended, and the controller asks the device to renew. */
#ifndef FLOTILLA_AGENT_RENEW_H
#define FLOTILLA_AGENT_RENEW_H

#include <flotilla/base.h>

enum flo_renew_why {
    FLO_RENEW_NOT,
    FLO_RENEW_DUE,       /* two thirds of its life are over */
    FLO_RENEW_REFUSED,   /* a connection was refused by TLS */
    FLO_RENEW_ASKED,     /* the controller asks for it */
    FLO_RENEW_AUTHORITY, /* there is a newer authority */
    FLO_RENEW_WHYS
};
const char *flo_renew_word(enum flo_renew_why why);

/* A certificate's life. */
struct flo_renew_life {
    uint64_t issued_ms; /* by the controller's clock */
    uint64_t until_ms;  /* by the same */
    uint64_t taken_ms;  /* by this device's clock, when it came; 0: not known */
    uint32_t place;     /* among the devices of its day */
};

struct flo_renew {
    struct flo_renew_life life;
    uint64_t since_ms; /* uptime; it is here at least since */
    uint64_t next_ms;  /* uptime; not asked for before */
    uint32_t failures; /* in a row */
    enum flo_renew_why wanted;
    enum flo_renew_why why; /* reason of the renewal under way */
    bool is_asking;
    bool is_warned;
};

/* Now: uptime, the trusted time, and chance. */
struct flo_renew_now {
    uint64_t now_ms;
    uint64_t clock_ms;
    uint64_t random;
};

/* The agent has started with this certificate. */
void flo_renew_begin(struct flo_renew *renew, const struct flo_renew_life *life,
                     const struct flo_renew_now *now);
/* Something speaks for a renewal before it is due.  A newer authority does not
 * wait for the twelfth of a life after the last one: the older may be
 * stolen. */
void flo_renew_want(struct flo_renew *renew, enum flo_renew_why why,
                    const struct flo_renew_now *now);
/* Ask now, and why?  Then done or failed must follow. */
enum flo_renew_why flo_renew_look(struct flo_renew *renew, const struct flo_renew_now *now);
/* This one came. */
void flo_renew_done(struct flo_renew *renew, const struct flo_renew_life *life,
                    const struct flo_renew_now *now);
/* No certificate came; no request before `after_ms` (0: as we like). */
void flo_renew_failed(struct flo_renew *renew, uint64_t after_ms, const struct flo_renew_now *now);
/* Less than a sixth of its life is left, and that was not told yet. */
bool flo_renew_warns(struct flo_renew *renew, const struct flo_renew_now *now);
/* How long until the next look. */
uint64_t flo_renew_pause_ms(const struct flo_renew *renew);

#endif

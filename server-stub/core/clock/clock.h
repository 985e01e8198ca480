/* Clock: judges whether the controller's clock has leapt, by its sources.  Pure.
 *
 * Who signs by a wrong clock makes orders, certificates and statements that
 * devices refuse, or that hold for too long.  A controller that was switched off
 * for months is no leap: time moved on, and a synchronised kernel vouches for
 * it.  One device that lies decides nothing: a quorum of devices does. */
#ifndef FLOTILLA_SERVER_CLOCK_H
#define FLOTILLA_SERVER_CLOCK_H

#include <flotilla/base.h>

#define FLO_CLOCK_NEAR_MS UINT64_C(86400000) /* times that differ by less agree */
/* Without a time service, a controller may have been off for so long. */
#define FLO_CLOCK_OFF_MS (30 * FLO_CLOCK_NEAR_MS)
#define FLO_CLOCK_WITNESSES_MAX 32
#define FLO_CLOCK_QUORUM 3 /* devices, of which more than half agree */

/* Words of devices whose kernel keeps their clock right: the newest of each. */
struct flo_clock_witnesses {
    struct {
        uint64_t device;  /* first digits of its id */
        int64_t ahead_ms; /* the device's clock minus our steady clock */
    } items[FLO_CLOCK_WITNESSES_MAX];
    size_t count, next;
};
/* Takes what a device said; the oldest of too many devices is forgotten. */
void flo_clock_hear(struct flo_clock_witnesses *witnesses, uint64_t device, int64_t ahead_ms);

/* Who says what the time is; the first one that knows decides. */
enum flo_clock_source {
    FLO_CLOCK_PERSON,    /* a person confirmed this clock */
    FLO_CLOCK_DEVICES,   /* a quorum of devices with synchronised clocks */
    FLO_CLOCK_AUTHORITY, /* the certificates of the own authorities */
    FLO_CLOCK_STEADY,    /* the last good time of this process, and its steady clock */
    FLO_CLOCK_RECORDS, /* the newest record of the audit, and the last good time in the database */
    FLO_CLOCK_NOBODY,
};
/* Returns the source's name for people, such as "its audit". */
const char *flo_clock_source_text(enum flo_clock_source source);

/* All in ms since 1970; 0: that one is unknown. */
struct flo_clock_sources {
    uint64_t now_ms;      /* the machine's clock */
    uint64_t uptime_ms;   /* the steady clock */
    bool is_synchronised; /* the kernel says that a time service keeps it right */
    bool was_kept;        /* the kernel said so, too, when the last good time was noted */
    uint64_t confirmed_ms, authority_ms, steady_ms, recorded_ms;
    const struct flo_clock_witnesses *witnesses;
};
struct flo_clock_verdict {
    int code; /* FLO_E_CLOCK_AHEAD, FLO_E_CLOCK_BEHIND; 0: it has not leapt */
    enum flo_clock_source source;
    uint64_t said_ms; /* time by that source */
};
void flo_clock_judge(const struct flo_clock_sources *sources, struct flo_clock_verdict *out);

#endif

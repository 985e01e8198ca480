/* Silence: tells whether the controller's newest word is too old.  Pure.
 *
 * The controller signs a newest statement each interval.  A device that is
 * connected and hears none for three intervals is stale: somebody between them
 * may hold back releases and rollbacks.
 *
 * The device's clock may be wrong, so it decides nothing once a statement was
 * heard.  Silence is counted by the steady clock, and only while the device is
 * connected and awake.  A statement's delay is compared with the smallest delay
 * so far.  Statements that were recorded and played back later have a larger
 * one, even if their numbers grow.  An answer by HTTPS comes from the controller
 * itself, so its time is true whatever the clocks say. */
#ifndef FLOTILLA_AGENT_SILENCE_H
#define FLOTILLA_AGENT_SILENCE_H

#include <flotilla/agent.h>
#include <flotilla/newest.h>

/* looks in an interval, about */
#define FLO_SILENCE_LOOKS 4

/* The caller begins with number and interval_ms of the word that an earlier run
 * stored, and with the present looked_ms. */
struct flo_silence {
    uint64_t number;      /* number of the newest word; 0: none was heard of these keys */
    uint64_t interval_ms; /* 0: the fleet hands out none */
    bool is_anchored;     /* the next two are known */
    int64_t delay_ms;     /* least difference between a word's arrival and its time */
    uint64_t anchored_ms; /* when that one arrived */
    uint64_t silent_ms;   /* how long the device was connected without a newer word */
    uint64_t looked_ms;   /* by a clock that stands still while the machine sleeps */
    bool asks;            /* the controller is asked by HTTPS, before the device is stale */
    bool is_stale;
};

/* Ways of a statement: from anybody, from the controller by HTTPS, in a bundle. */
enum flo_word_way { FLO_WORD_BY_ANYBODY, FLO_WORD_DIRECT, FLO_WORD_IN_BUNDLE };
/* Tells whether a verified statement may count; the one that was heard last may,
 * unless it is a bundle's and expired.  A bundle's days are told by the
 * controller's time, if a word was heard since the boot.  Else they are told by
 * this machine's clock, but not before the trusted time.
 * now_ms: the steady clock that counts sleep; awake_ms: the one that does not.
 * FLO_E_TRUST_NEWEST  it is older than one that was heard, expired, or from the
 *                     future */
FLO_MUST_USE int flo_silence_admit(const struct flo_silence *silence,
                                   const struct flo_newest *newest,
                                   const struct flo_agent_time *time, enum flo_word_way way,
                                   uint64_t now_ms, struct flo_err *err);
/* Counts a statement whose root the device's own document reached. */
void flo_silence_hear(struct flo_silence *silence, const struct flo_newest *newest, bool is_direct,
                      uint64_t now_ms);
/* Counts the time since the last look, of a long gap two pauses only.  Call it
 * FLO_SILENCE_LOOKS times an interval, and after a word was heard.  Returns true
 * when is_stale changed. */
bool flo_silence_look(struct flo_silence *silence, bool is_online, uint64_t awake_ms);

#endif

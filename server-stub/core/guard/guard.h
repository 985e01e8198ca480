/* Guard: one device's part of the broker.  Pure.
 *
 * mosquitto bounds a client's messages, but neither its subscriptions nor its
 * requests, and lets a client that reads nothing pile up what is sent to it.
 * Each device has a bucket for each share of shares.def, which fills again with
 * time and outlives its connections; and a connection hears so many bytes,
 * counted as if it read none, before it is made again. */
#ifndef FLOTILLA_SERVER_GUARD_H
#define FLOTILLA_SERVER_GUARD_H

#include <flotilla/base.h>

enum flo_guard_share {
#define FLO_GUARD_SHARE(name, ...) FLO_GUARD_##name,
#include "server-stub/core/guard/shares.def"
#undef FLO_GUARD_SHARE
    FLO_GUARD_SHARES
};
const char *flo_guard_share_word(enum flo_guard_share share);

/* Subscriptions that a device holds: its own topics, and its groups'. */
#define FLO_GUARD_HELD_MAX 64
/* Bytes that a connection hears before it is made again, and more until that is
 * done; and those that each message costs the broker besides: its entry, its
 * topic and its packet. */
#define FLO_GUARD_HEARD_MAX (5u << 18)
#define FLO_GUARD_HEARD_MORE (1u << 18)
#define FLO_GUARD_MESSAGE_BYTES 512
/* After this time away the broker keeps no session (mosquitto.conf). */
#define FLO_GUARD_SESSION_MS 3600000

/* Zero-initialise. */
struct flo_guard_device {
    struct {
        uint64_t used_us; /* filling time that the requests took */
        uint64_t at_ms;   /* when that was so */
    } shares[FLO_GUARD_SHARES];
    uint64_t heard; /* bytes, by this connection */
    uint64_t left_ms;
    bool is_away;
};

/* Take so much of a share.  false: that is not left, and nothing was taken. */
bool flo_guard_take(struct flo_guard_device *device, enum flo_guard_share share, uint64_t count,
                    uint64_t now_ms);
/* The device subscribes, with a session that began with this connection or
 * not: one that began has nothing under way. */
void flo_guard_begins(struct flo_guard_device *device, bool is_clean, uint64_t now_ms);
/* A message of so many bytes goes to it; of a retained one the broker has a
 * copy anyway.  false: too much is under way; the message stays out. */
bool flo_guard_hears(struct flo_guard_device *device, uint64_t bytes, bool is_retained);
/* The connection heard so much that it is to end soon: mosquitto tells nobody
 * whether it was read. */
bool flo_guard_is_full(const struct flo_guard_device *device);
void flo_guard_left(struct flo_guard_device *device, uint64_t now_ms);
/* True when nothing of it has to be remembered any more. */
bool flo_guard_is_idle(const struct flo_guard_device *device, uint64_t now_ms);

#endif

/* Guard: limits one device's use of the broker.  Pure.
 *
 * mosquitto bounds a client's messages, but neither its subscriptions nor its
 * requests.  If a client reads nothing, mosquitto queues for it without limit.
 *
 * Each device has a token bucket for each limit in shares.def.  A bucket
 * refills with time and outlives connections.  Also, the broker ends a
 * connection after a number of bytes was sent to it, as it cannot tell whether
 * they were read. */
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

/* Largest number of subscriptions of a device: its own topics, and those of its
 * groups. */
#define FLO_GUARD_HELD_MAX 64
/* Bytes that the broker sends to a connection until the device has to
 * reconnect. */
#define FLO_GUARD_HEARD_MAX (5u << 18)
/* Bytes that the broker may still send after FLO_GUARD_HEARD_MAX, until the
 * device reconnects.  Further messages are dropped. */
#define FLO_GUARD_HEARD_MORE (1u << 18)
/* Bytes that a message costs the broker itself: its entry, topic and packet. */
#define FLO_GUARD_MESSAGE_BYTES 512
/* Time offline after which the broker drops a session (mosquitto.conf). */
#define FLO_GUARD_SESSION_MS 3600000

/* Zero-initialise. */
struct flo_guard_device {
    struct {
        uint64_t used_us; /* time in which the bucket is full again: the refill
                             time of all tokens taken */
        uint64_t at_ms;   /* time of `used_us` */
    } shares[FLO_GUARD_SHARES];
    uint64_t heard; /* bytes sent to the device's connection */
    uint64_t left_ms;
    bool is_away;
};

/* Takes `count` tokens from the bucket of a share.  Returns false when fewer
 * are left; nothing was taken. */
bool flo_guard_take(struct flo_guard_device *device, enum flo_guard_share share, uint64_t count,
                    uint64_t now_ms);
/* Notes that the device subscribes.  is_clean: the session began with this
 * connection, so no messages are queued. */
void flo_guard_begins(struct flo_guard_device *device, bool is_clean, uint64_t now_ms);
/* Counts a message that the broker sends to the device.  Returns false when too
 * many bytes are queued, so the message must be dropped.  A retained message
 * counts once, because the broker keeps a copy of it anyway. */
bool flo_guard_hears(struct flo_guard_device *device, uint64_t bytes, bool is_retained);
/* Returns true when the connection must be closed soon, because mosquitto does
 * not tell whether the device read the bytes sent to it. */
bool flo_guard_is_full(const struct flo_guard_device *device);
void flo_guard_left(struct flo_guard_device *device, uint64_t now_ms);
/* Returns true when no state of the device has to be kept. */
bool flo_guard_is_idle(const struct flo_guard_device *device, uint64_t now_ms);

#endif

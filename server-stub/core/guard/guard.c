/* Guard: counts a device's use in token buckets, and the bytes sent to it. */
#include <assert.h>

#include "server-stub/core/guard/guard.h"

#define HOUR_US UINT64_C(3600000000)

static const struct {
    const char *word;
    uint64_t at_once, in_an_hour;
} shares[] = {
#define FLO_GUARD_SHARE(name, word, at_once, in_an_hour, meaning) {word, at_once, in_an_hour},
#include "server-stub/core/guard/shares.def"
#undef FLO_GUARD_SHARE
};

const char *flo_guard_share_word(enum flo_guard_share share)
{
    return shares[share].word;
}

static uint64_t used_at(const struct flo_guard_device *device, enum flo_guard_share share,
                        uint64_t now_ms)
{
    uint64_t at_ms = device->shares[share].at_ms;
    uint64_t used_us = device->shares[share].used_us;
    uint64_t since_us = now_ms > at_ms ? (now_ms - at_ms) * 1000 : 0;

    return used_us > since_us ? used_us - since_us : 0;
}

bool flo_guard_take(struct flo_guard_device *device, enum flo_guard_share share, uint64_t count,
                    uint64_t now_ms)
{
    uint64_t each_us = HOUR_US / shares[share].in_an_hour;
    uint64_t used_us = used_at(device, share, now_ms);

    assert(count <= UINT32_MAX);
    used_us += count * each_us;
    if (used_us > shares[share].at_once * each_us) {
        return false;
    }
    device->shares[share].used_us = used_us;
    device->shares[share].at_ms = now_ms;
    return true;
}

void flo_guard_begins(struct flo_guard_device *device, bool is_clean, uint64_t now_ms)
{
    if (device->is_away && (is_clean || now_ms >= device->left_ms + FLO_GUARD_SESSION_MS)) {
        device->heard = 0;
    }
    device->is_away = false;
}

bool flo_guard_hears(struct flo_guard_device *device, uint64_t bytes, bool is_retained)
{
    /* Cost of the packet, and of the broker's copy until the device
     * acknowledges the message. A retained message needs no copy of its own. */
    uint64_t cost = FLO_GUARD_MESSAGE_BYTES + bytes * (is_retained ? 1 : 2);

    bool fits = cost <= FLO_GUARD_HEARD_MAX + FLO_GUARD_HEARD_MORE - device->heard;

    device->heard = fits ? device->heard + cost : FLO_GUARD_HEARD_MAX + FLO_GUARD_HEARD_MORE;
    return fits;
}

bool flo_guard_is_full(const struct flo_guard_device *device)
{
    return device->heard >= FLO_GUARD_HEARD_MAX;
}

void flo_guard_left(struct flo_guard_device *device, uint64_t now_ms)
{
    device->is_away = true;
    device->left_ms = now_ms;
}

bool flo_guard_is_idle(const struct flo_guard_device *device, uint64_t now_ms)
{
    bool is_idle = device->is_away && now_ms >= device->left_ms + FLO_GUARD_SESSION_MS;

    for (int share = 0; is_idle && share < FLO_GUARD_SHARES; share++) {
        is_idle = used_at(device, (enum flo_guard_share)share, now_ms) == 0;
    }
    return is_idle;
}

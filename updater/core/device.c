/* Device record: which orders were seen, what may never run again, and what
 * time it is at least.  Pure; store/device.c keeps it. */
#include <string.h>

#include <flotilla/updater.h>

/* First 8 bytes of a key id of 64 hex digits; false when it is none, or all
 * zero, which marks a free entry. */
static bool keyid_prefix(const char *keyid, uint8_t out[8])
{
    static const uint8_t zero[8];
    char digits[17];

    if (strlen(keyid) < 16) {
        return false;
    }
    memcpy(digits, keyid, 16);
    digits[16] = '\0';
    return flo_hex_decode(digits, out, 8) && memcmp(out, zero, 8) != 0;
}

static const struct flo_replay *find(const struct flo_device *device,
                                     const uint8_t prefix[8])
{
    for (size_t i = 0; i < FLO_REPLAY_KEYS_MAX; i++) {
        if (memcmp(device->replay[i].keyid, prefix, 8) == 0) {
            return &device->replay[i];
        }
    }
    return NULL;
}

static bool is_seen(const struct flo_replay *replay, uint64_t seq)
{
    if (seq > replay->seq) {
        return false;
    }
    uint64_t back = replay->seq - seq;

    return back >= FLO_REPLAY_WINDOW ||
           (replay->bitmap[back / 8] >> (back % 8) & 1) != 0;
}

int flo_device_order_check(const struct flo_device *device, const char *keyid,
                           uint32_t epoch, uint64_t seq, struct flo_err *err)
{
    uint8_t prefix[8];

    if (!keyid_prefix(keyid, prefix)) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "key id `%.20s` is malformed",
                        keyid);
    }
    if (epoch < device->epoch) {
        return flo_fail(err, FLO_E_CMD_EPOCH, "epoch %u is older than %u",
                        epoch, device->epoch);
    }
    if (epoch > device->epoch) {
        return 0;
    }
    const struct flo_replay *replay = find(device, prefix);

    if (replay != NULL && is_seen(replay, seq)) {
        return flo_fail(err, FLO_E_CMD_NONCE_REUSED,
                        "seq %llu was handled before; the highest is %llu",
                        (unsigned long long)seq,
                        (unsigned long long)replay->seq);
    }
    return 0;
}

/* A free entry, else the one that has moved least. */
static struct flo_replay *take_entry(struct flo_device *device)
{
    static const uint8_t zero[8];
    struct flo_replay *lowest = &device->replay[0];

    for (size_t i = 0; i < FLO_REPLAY_KEYS_MAX; i++) {
        struct flo_replay *entry = &device->replay[i];
        if (memcmp(entry->keyid, zero, 8) == 0) {
            return entry;
        }
        if (entry->seq < lowest->seq) {
            lowest = entry;
        }
    }
    return lowest;
}

/* Bit i stands for seq - i: a higher seq moves every bit up. */
static void mark(struct flo_replay *replay, uint64_t seq)
{
    if (seq > replay->seq) {
        uint64_t up = seq - replay->seq;
        uint8_t moved[FLO_REPLAY_WINDOW / 8] = {0};

        for (uint64_t i = 0;
             up < FLO_REPLAY_WINDOW && i + up < FLO_REPLAY_WINDOW; i++) {
            if (replay->bitmap[i / 8] >> (i % 8) & 1) {
                moved[(i + up) / 8] |= (uint8_t)(1u << ((i + up) % 8));
            }
        }
        memcpy(replay->bitmap, moved, sizeof(moved));
        replay->seq = seq;
    }
    uint64_t back = replay->seq - seq;

    replay->bitmap[back / 8] |= (uint8_t)(1u << (back % 8));
}

int flo_device_order_accept(struct flo_device *device, const char *keyid,
                            uint32_t epoch, uint64_t seq, uint64_t issued_at_ms,
                            struct flo_err *err)
{
    uint8_t prefix[8];
    int rv = flo_device_order_check(device, keyid, epoch, seq, err);

    if (rv < 0) {
        return rv;
    }
    if (epoch > device->epoch) {
        memset(device->replay, 0, sizeof(device->replay));
        device->epoch = epoch;
    }
    (void)keyid_prefix(keyid, prefix);
    struct flo_replay *replay = NULL;
    for (size_t i = 0; i < FLO_REPLAY_KEYS_MAX && replay == NULL; i++) {
        if (memcmp(device->replay[i].keyid, prefix, 8) == 0) {
            replay = &device->replay[i];
        }
    }
    if (replay == NULL) {
        replay = take_entry(device);
        memset(replay, 0, sizeof(*replay));
        memcpy(replay->keyid, prefix, sizeof(prefix));
        replay->seq = seq;
    }
    mark(replay, seq);
    if (issued_at_ms > device->trusted_time_ms) {
        device->trusted_time_ms = issued_at_ms;
    }
    return 0;
}

bool flo_device_trust(struct flo_device *device,
                      const struct flo_digest *order_keys)
{
    if (flo_digest_equal(&device->order_keys, order_keys)) {
        return false;
    }
    if (!flo_digest_is_zero(&device->order_keys)) {
        device->epoch = 0;
        device->trusted_time_ms = 0;
        memset(device->replay, 0, sizeof(device->replay));
    }
    device->order_keys = *order_keys;
    return true;
}

uint64_t flo_device_time(const struct flo_device *device, uint64_t wall_ms,
                         uint64_t build_ms)
{
    uint64_t time_ms = wall_ms > build_ms ? wall_ms : build_ms;

    return time_ms > device->trusted_time_ms ? time_ms
                                             : device->trusted_time_ms;
}

bool flo_device_is_denied(const struct flo_device *device,
                          const struct flo_digest *release)
{
    if (flo_digest_is_zero(release)) {
        return false;
    }
    for (size_t i = 0; i < FLO_DENY_MAX; i++) {
        if (flo_digest_equal(&device->deny[i], release)) {
            return true;
        }
    }
    return false;
}

void flo_device_deny(struct flo_device *device,
                     const struct flo_digest *release)
{
    if (flo_digest_is_zero(release) || flo_device_is_denied(device, release)) {
        return;
    }
    device->deny[device->deny_next % FLO_DENY_MAX] = *release;
    device->deny_next = (device->deny_next + 1) % FLO_DENY_MAX;
}

void flo_device_allow(struct flo_device *device,
                      const struct flo_digest *release)
{
    for (size_t i = 0; i < FLO_DENY_MAX; i++) {
        if (flo_digest_equal(&device->deny[i], release)) {
            memset(&device->deny[i], 0, sizeof(device->deny[i]));
        }
    }
}

int flo_device_set_baseline(struct flo_device *device, const char *model,
                            const struct flo_digest *release,
                            struct flo_err *err)
{
    size_t free_entry = FLO_BASELINE_MAX;
    size_t i;

    if (!flo_name_is_valid(model)) {
        return flo_fail(err, FLO_E_META_NAME, "`%.80s` is no model name",
                        model);
    }
    for (i = 0; i < FLO_BASELINE_MAX; i++) {
        if (strcmp(device->baseline[i].model, model) == 0) {
            break;
        }
        if (device->baseline[i].model[0] == '\0' &&
            free_entry == FLO_BASELINE_MAX) {
            free_entry = i;
        }
    }
    if (i == FLO_BASELINE_MAX) {
        i = free_entry;
    }
    if (i == FLO_BASELINE_MAX) {
        return flo_fail(err, FLO_E_STATE,
                        "%s: %d other models have a baseline release", model,
                        FLO_BASELINE_MAX);
    }
    snprintf(device->baseline[i].model, sizeof(device->baseline[i].model), "%s",
             model);
    device->baseline[i].release = *release;
    return 0;
}

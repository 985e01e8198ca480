/* slots/_device.bin: the record of what belongs to the device, byte by byte.
 *
 *     0  magic "FLDV"
 *     4  u16 format 1        6  u16 flags: bit 0 frozen
 *     8  u64 generation
 *    16  u32 epoch          20  u32 deny_next
 *    24  u64 trusted time   32  u64 desired rev
 *    40  6 x { keyid[8], u64 seq, bitmap[32] }          (48 bytes each)
 *   328  32 x denied release[32]
 *  1352  8 x { model[64], release[32] }                 (96 bytes each)
 *  2120  order keys[32]
 *  2152  6 x what is behind those bitmaps[224], every bit inverted: an older
 *        version writes zeros here, and what it did not keep counts as seen
 *  3496  zero
 *  4092  u32 crc32c over 0..4091
 *
 * Two of them, at 0 and 4096, written in turn (record.c).  4096 bytes may tear
 * between sectors; the CRC tells, and the other record stands. */
#include <string.h>

#include "updater/store/store.h"

static const struct flo_record_kind KIND = {"FLDV", 1, 4096};
static const char NAME[] = "_device.bin";

#define NEAR_BYTES (FLO_REPLAY_WINDOW_OLD / 8)
#define FAR_BYTES (FLO_REPLAY_WINDOW / 8 - NEAR_BYTES)

struct disk_device {
    char magic[4];
    uint8_t format[2];
    uint8_t flags[2];
    uint8_t generation[8];
    uint8_t epoch[4];
    uint8_t deny_next[4];
    uint8_t trusted_time_ms[8];
    uint8_t desired_rev[8];
    struct {
        uint8_t keyid[8];
        uint8_t seq[8];
        uint8_t bitmap[NEAR_BYTES];
    } replay[6];
    uint8_t deny[32][32];
    struct {
        char model[64];
        uint8_t release[32];
    } baseline[8];
    uint8_t order_keys[32]; /* zero: an older version wrote it */
    uint8_t far_unseen[6][FAR_BYTES];
    uint8_t zero[596];
    uint8_t crc32c[4];
};
_Static_assert(sizeof(struct disk_device) == 4096, "on-disk layout");
_Static_assert(offsetof(struct disk_device, deny) == 328, "on-disk layout");
_Static_assert(offsetof(struct disk_device, far_unseen) == 2152,
               "on-disk layout");
_Static_assert(offsetof(struct disk_device, zero) == 3496, "on-disk layout");
_Static_assert(FLO_REPLAY_KEYS_MAX == 6 && FLO_DENY_MAX == 32 &&
                   FLO_BASELINE_MAX == 8,
               "on-disk layout");

static void invert(uint8_t *out, const uint8_t *in)
{
    for (size_t i = 0; i < FAR_BYTES; i++) {
        out[i] = (uint8_t)~in[i];
    }
}

static void encode(const struct flo_device *device, struct disk_device *disk)
{
    memset(disk, 0, sizeof(*disk));
    flo_put_u16(disk->flags, device->is_frozen ? 1 : 0);
    flo_put_u32(disk->epoch, device->epoch);
    flo_put_u32(disk->deny_next, device->deny_next);
    flo_put_u64(disk->trusted_time_ms, device->trusted_time_ms);
    flo_put_u64(disk->desired_rev, device->desired_rev);
    memcpy(disk->order_keys, device->order_keys.bytes, 32);
    for (size_t i = 0; i < FLO_REPLAY_KEYS_MAX; i++) {
        const struct flo_replay *replay = &device->replay[i];
        memcpy(disk->replay[i].keyid, replay->keyid, 8);
        flo_put_u64(disk->replay[i].seq, replay->seq);
        memcpy(disk->replay[i].bitmap, replay->bitmap, NEAR_BYTES);
        invert(disk->far_unseen[i], replay->bitmap + NEAR_BYTES);
    }
    for (size_t i = 0; i < FLO_DENY_MAX; i++) {
        memcpy(disk->deny[i], device->deny[i].bytes, 32);
    }
    for (size_t i = 0; i < FLO_BASELINE_MAX; i++) {
        const char *model = device->baseline[i].model;
        memcpy(disk->baseline[i].model, model, strnlen(model, 64));
        memcpy(disk->baseline[i].release, device->baseline[i].release.bytes,
               32);
    }
}

static void decode(const struct disk_device *disk, struct flo_device *device)
{
    device->is_frozen = (flo_get_u16(disk->flags) & 1) != 0;
    device->epoch = flo_get_u32(disk->epoch);
    device->deny_next = flo_get_u32(disk->deny_next) % FLO_DENY_MAX;
    device->trusted_time_ms = flo_get_u64(disk->trusted_time_ms);
    device->desired_rev = flo_get_u64(disk->desired_rev);
    memcpy(device->order_keys.bytes, disk->order_keys, 32);
    for (size_t i = 0; i < FLO_REPLAY_KEYS_MAX; i++) {
        struct flo_replay *replay = &device->replay[i];
        memcpy(replay->keyid, disk->replay[i].keyid, 8);
        replay->seq = flo_get_u64(disk->replay[i].seq);
        memcpy(replay->bitmap, disk->replay[i].bitmap, NEAR_BYTES);
        invert(replay->bitmap + NEAR_BYTES, disk->far_unseen[i]);
    }
    for (size_t i = 0; i < FLO_DENY_MAX; i++) {
        memcpy(device->deny[i].bytes, disk->deny[i], 32);
    }
    for (size_t i = 0; i < FLO_BASELINE_MAX; i++) {
        memcpy(device->baseline[i].model, disk->baseline[i].model, 64);
        memcpy(device->baseline[i].release.bytes, disk->baseline[i].release,
               32);
    }
}

int flo_store_device_read(struct flo_store *store, struct flo_device *out,
                          struct flo_err *err)
{
    union {
        struct disk_device disk;
        uint8_t bytes[4096];
    } record;
    struct flo_device device = {.generation = 0};
    int rv = flo_record_read(store, NAME, &KIND, record.bytes,
                             &device.generation, &device.is_repaired, err);

    memset(out, 0, sizeof(*out));
    if (rv < 0) {
        return rv;
    }
    if (device.generation > 0) {
        decode(&record.disk, &device);
    }
    *out = device;
    return 0;
}

int flo_store_device_write(struct flo_store *store, struct flo_device *device,
                           struct flo_err *err)
{
    union {
        struct disk_device disk;
        uint8_t bytes[4096];
    } record;

    encode(device, &record.disk);
    int rv = flo_record_write(store, NAME, &KIND, record.bytes,
                              &device->generation, err);
    if (rv == 0) {
        device->is_repaired = false;
    }
    return rv;
}

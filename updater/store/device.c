/* Layout of slots/_device.bin, the record of the device.
 *
 *     0  magic "FLDR"
 *     4  u16 format 2        6  u16 flags: 0 frozen, 1 frozen by emergency,
 *                                          2 all rollouts paused, 3 prompts
 *                                          stay, 4 they stay by emergency
 *     8  u64 generation
 *    16  u32 epoch          20  u32 era            24  u64 trusted time
 *    32  u64 top            40  u64 desired rev    48  u64 heartbeat_ms
 *    56  u64 x 5 numbers: freeze, emergency freeze, config, trust, report
 *    96  u64 pauses folded 104  u64 models folded
 *   112  u64 claimed time  120  u64 end of the peers' certificates
 *   128  order keys[32]    160  trust document[32]
 *   192  4 x body[32]: freeze, emergency freeze, config, report
 *   320  24 x { rollout[64], u64 number, u8 said: 0 resumed, 1 paused,
 *               2 aborted, zero[7] }                        (80 bytes each)
 *  2240  holder[16]         2256  u64 number of groups
 *  2264  body[32] of groups 2296  u8 count of groups  2297  zero[7]
 *  2304  16 x group[64]     3328  u64 x 2 numbers: prompts, emergency prompts
 *  3344  2 x body[32]: prompts, emergency prompts           3408  zero[684]
 *  4092  u32 crc32c over 0..4091
 *
 * The file has two such records, at 0 and 4096, which are written in turn
 * (record.c).  A write of 4096 bytes may be torn between sectors; then the CRC
 * fails, and the other record is valid. */
#include <string.h>

#include <flotilla/errors/state.h>
#include <flotilla/plural.h>

#include "updater/store/store.h"

static const struct flo_record_kind KIND = {"FLDR", 2, 4096};
static const char NAME[] = "_device.bin";

#define FLAG_FROZEN 1
#define FLAG_FROZEN_EMERGENCY 2
#define FLAG_ALL_PAUSED 4
#define FLAG_PROMPTS_STAY 8
#define FLAG_PROMPTS_STAY_EMERGENCY 16

struct disk_device {
    char magic[4];
    uint8_t format[2];
    uint8_t flags[2];
    uint8_t generation[8];
    uint8_t epoch[4];
    uint8_t era[4];
    uint8_t trusted_time_ms[8];
    uint8_t top[8];
    uint8_t desired_rev[8];
    uint8_t heartbeat_ms[8];
    uint8_t number[5][8];
    uint8_t pauses_folded[8];
    uint8_t models_folded[8];
    uint8_t claimed_time_ms[8];
    uint8_t needed_until_ms[8];
    uint8_t order_keys[32];
    uint8_t trust_document[32];
    uint8_t body[4][32];
    struct {
        char rollout[64];
        uint8_t number[8];
        uint8_t said;
        uint8_t zero[7];
    } pauses[FLO_PAUSES_MAX];
    uint8_t holder[16];
    uint8_t groups_number[8];
    uint8_t groups_body[32];
    uint8_t group_count;
    uint8_t zero_2[7];
    char groups[FLO_GROUPS_MAX][64];
    uint8_t prompts_number[2][8];
    uint8_t prompts_body[2][32];
    uint8_t zero_3[684];
    uint8_t crc32c[4];
};
_Static_assert(sizeof(struct disk_device) == 4096, "on-disk layout");
_Static_assert(offsetof(struct disk_device, number) == 56, "on-disk layout");
_Static_assert(offsetof(struct disk_device, order_keys) == 128, "on-disk layout");
_Static_assert(offsetof(struct disk_device, pauses) == 320, "on-disk layout");
_Static_assert(offsetof(struct disk_device, holder) == 2240, "on-disk layout");
_Static_assert(offsetof(struct disk_device, groups) == 2304, "on-disk layout");
_Static_assert(offsetof(struct disk_device, prompts_number) == 3328, "on-disk layout");

static uint16_t flags_of(const struct flo_device *device)
{
    unsigned flags = 0;

    flags |= device->is_frozen ? FLAG_FROZEN : 0;
    flags |= device->is_frozen_emergency ? FLAG_FROZEN_EMERGENCY : 0;
    flags |= device->all_paused ? FLAG_ALL_PAUSED : 0;
    flags |= device->prompts_stay ? FLAG_PROMPTS_STAY : 0;
    flags |= device->prompts_stay_emergency ? FLAG_PROMPTS_STAY_EMERGENCY : 0;
    return (uint16_t)flags;
}

/* Writes number and body of the orders about prompts, which the layout has at
 * the end of the record. */
static void encode_prompts(const struct flo_device *device, struct disk_device *disk)
{
    const struct flo_subject *const subjects[] = {&device->prompts, &device->prompts_emergency};

    for (size_t i = 0; i < FLO_COUNT(subjects); i++) {
        flo_put_u64(disk->prompts_number[i], subjects[i]->number);
        memcpy(disk->prompts_body[i], subjects[i]->body.bytes, 32);
    }
}

static void decode_prompts(const struct disk_device *disk, struct flo_device *device)
{
    struct flo_subject *const subjects[] = {&device->prompts, &device->prompts_emergency};

    for (size_t i = 0; i < FLO_COUNT(subjects); i++) {
        subjects[i]->number = flo_get_u64(disk->prompts_number[i]);
        memcpy(subjects[i]->body.bytes, disk->prompts_body[i], 32);
    }
}

static void encode(const struct flo_device *device, struct disk_device *disk)
{
    const struct flo_subject *const subjects[] = {&device->freeze, &device->freeze_emergency,
                                                  &device->config, &device->report};
    /* trust has no body in this list, because its document is stored elsewhere
     * in the record */
    static const size_t places[] = {0, 1, 2, 4};

    memset(disk, 0, sizeof(*disk));
    flo_put_u16(disk->flags, flags_of(device));
    flo_put_u32(disk->epoch, device->epoch);
    flo_put_u32(disk->era, device->era);
    flo_put_u64(disk->trusted_time_ms, device->trusted_time_ms);
    flo_put_u64(disk->claimed_time_ms, device->claimed_time_ms);
    flo_put_u64(disk->needed_until_ms, device->needed_until_ms);
    flo_put_u64(disk->top, device->top);
    flo_put_u64(disk->desired_rev, device->desired_rev);
    flo_put_u64(disk->heartbeat_ms, device->heartbeat_ms);
    flo_put_u64(disk->number[3], device->trust_number);
    for (size_t i = 0; i < FLO_COUNT(subjects); i++) {
        flo_put_u64(disk->number[places[i]], subjects[i]->number);
        memcpy(disk->body[i], subjects[i]->body.bytes, 32);
    }
    flo_put_u64(disk->pauses_folded, device->pauses_folded);
    flo_put_u64(disk->models_folded, device->models_folded);
    memcpy(disk->order_keys, device->order_keys.bytes, 32);
    memcpy(disk->trust_document, device->trust_document.bytes, 32);
    memcpy(disk->holder, device->holder, sizeof(disk->holder));
    for (size_t i = 0; i < FLO_PAUSES_MAX; i++) {
        const struct flo_pause *pause = &device->pauses[i];
        memcpy(disk->pauses[i].rollout, pause->rollout, strnlen(pause->rollout, 64));
        flo_put_u64(disk->pauses[i].number, pause->number);
        disk->pauses[i].said = (uint8_t)pause->said;
    }
    flo_put_u64(disk->groups_number, device->stated_groups.number);
    memcpy(disk->groups_body, device->stated_groups.body.bytes, 32);
    disk->group_count = (uint8_t)device->group_count;
    for (size_t i = 0; i < device->group_count; i++) {
        memcpy(disk->groups[i], device->groups[i], strnlen(device->groups[i], 64));
    }
    encode_prompts(device, disk);
}

static void decode(const struct disk_device *disk, struct flo_device *device)
{
    struct flo_subject *const subjects[] = {&device->freeze, &device->freeze_emergency,
                                            &device->config, &device->report};
    static const size_t places[] = {0, 1, 2, 4};
    uint16_t flags = flo_get_u16(disk->flags);

    device->is_frozen = (flags & FLAG_FROZEN) != 0;
    device->is_frozen_emergency = (flags & FLAG_FROZEN_EMERGENCY) != 0;
    device->all_paused = (flags & FLAG_ALL_PAUSED) != 0;
    device->prompts_stay = (flags & FLAG_PROMPTS_STAY) != 0;
    device->prompts_stay_emergency = (flags & FLAG_PROMPTS_STAY_EMERGENCY) != 0;
    device->epoch = flo_get_u32(disk->epoch);
    device->era = flo_get_u32(disk->era);
    device->trusted_time_ms = flo_get_u64(disk->trusted_time_ms);
    device->claimed_time_ms = flo_get_u64(disk->claimed_time_ms);
    device->needed_until_ms = flo_get_u64(disk->needed_until_ms);
    device->top = flo_get_u64(disk->top);
    device->desired_rev = flo_get_u64(disk->desired_rev);
    device->heartbeat_ms = flo_get_u64(disk->heartbeat_ms);
    device->trust_number = flo_get_u64(disk->number[3]);
    for (size_t i = 0; i < FLO_COUNT(subjects); i++) {
        subjects[i]->number = flo_get_u64(disk->number[places[i]]);
        memcpy(subjects[i]->body.bytes, disk->body[i], 32);
    }
    device->pauses_folded = flo_get_u64(disk->pauses_folded);
    device->models_folded = flo_get_u64(disk->models_folded);
    memcpy(device->order_keys.bytes, disk->order_keys, 32);
    memcpy(device->trust_document.bytes, disk->trust_document, 32);
    memcpy(device->holder, disk->holder, sizeof(device->holder));
    for (size_t i = 0; i < FLO_PAUSES_MAX; i++) {
        struct flo_pause *pause = &device->pauses[i];
        memcpy(pause->rollout, disk->pauses[i].rollout, 64);
        pause->number = flo_get_u64(disk->pauses[i].number);
        pause->said = (enum flo_rollout_said)disk->pauses[i].said;
    }
    device->stated_groups.number = flo_get_u64(disk->groups_number);
    memcpy(device->stated_groups.body.bytes, disk->groups_body, 32);
    device->group_count = disk->group_count;
    for (size_t i = 0; i < device->group_count; i++) {
        memcpy(device->groups[i], disk->groups[i], 64);
    }
    decode_prompts(disk, device);
}

/* Checks that a record with a valid CRC has no values of a newer format. */
static int check(const struct disk_device *disk, const char *path, struct flo_err *err)
{
    for (size_t i = 0; i < FLO_PAUSES_MAX; i++) {
        if (disk->pauses[i].said > FLO_ROLLOUT_ABORTED_BY_ORDER) {
            return flo_fail(err, FLO_E_STATE_SLOT, "%s/slots/%s: %u of a rollout does not fit",
                            path, NAME, disk->pauses[i].said);
        }
    }
    if (disk->group_count > FLO_GROUPS_MAX) {
        return flo_fail(err, FLO_E_STATE_SLOT, "%s/slots/%s: %u group%s %s not fit", path, NAME,
                        disk->group_count, flo_s(disk->group_count),
                        flo_plural(disk->group_count, "does", "do"));
    }
    return 0;
}

int flo_store_device_read(struct flo_store *store, struct flo_device *out, struct flo_err *err)
{
    union {
        struct disk_device disk;
        uint8_t bytes[4096];
    } record;
    struct flo_device device = {.generation = 0};

    memset(out, 0, sizeof(*out));
    FLO_TRY(flo_record_read(store, NAME, &KIND, record.bytes, &device.generation,
                            &device.is_repaired, err));
    if (device.generation > 0) {
        FLO_TRY(check(&record.disk, store->path, err));
        decode(&record.disk, &device);
    }
    *out = device;
    return 0;
}

int flo_store_device_write(struct flo_store *store, struct flo_device *device, struct flo_err *err)
{
    union {
        struct disk_device disk;
        uint8_t bytes[4096];
    } record;

    encode(device, &record.disk);
    FLO_TRY(flo_record_write(store, NAME, &KIND, record.bytes, &device->generation, err));
    device->is_repaired = false;
    return 0;
}

/* slots/<model>.bin: the record of one model's slots, byte by byte.
 *
 *     0  magic "FLSL"
 *     4  u16 format 1        6  u16 zero
 *     8  u64 generation
 *    16  current[32]        48  previous[32]       80  candidate[32]
 *   112  u8 phase          113  u8 tries_left     114  u16 zero
 *   116  u32 attempt       120  u64 order seq     128  zero[24]
 *   152  u64 soak_ms                              160  u32 soak requests
 *   164  u32 soak errors   168  u32 soak crashes  172  u32 rollout phase
 *   176  rollout[64]       240  order[64]         304  model[64]
 *   368  zero              508  u32 crc32c over 0..507
 *
 * Little endian; texts are padded with NUL.  record.c writes it and says why
 * no power cut can lose both. */
#include <string.h>

#include "updater/store/store.h"

static const struct flo_record_kind KIND = {"FLSL", 1, 512};

struct disk_slots {
    char magic[4];
    uint8_t format[2];
    uint8_t zero[2];
    uint8_t generation[8];
    uint8_t digest[3][32];
    uint8_t phase;
    uint8_t tries_left;
    uint8_t zero_2[2];
    uint8_t attempt[4];
    uint8_t order_seq[8];
    uint8_t zero_3[24];
    uint8_t soak_ms[8];
    uint8_t soak_requests[4];
    uint8_t soak_errors_ppm[4];
    uint8_t soak_crashes_max[4];
    uint8_t rollout_phase[4];
    char rollout[64];
    char order[64];
    char model[64];
    uint8_t zero_4[140];
    uint8_t crc32c[4];
};
_Static_assert(sizeof(struct disk_slots) == 512, "on-disk layout");
_Static_assert(offsetof(struct disk_slots, phase) == 112, "on-disk layout");
_Static_assert(offsetof(struct disk_slots, rollout) == 176, "on-disk layout");
_Static_assert(offsetof(struct disk_slots, crc32c) == 508, "on-disk layout");
_Static_assert(FLO_NAME_MAX == 64, "names fill their fields");

static void encode(const struct flo_slots *slots, struct disk_slots *disk)
{
    memset(disk, 0, sizeof(*disk));
    memcpy(disk->digest[0], slots->current.bytes, 32);
    memcpy(disk->digest[1], slots->previous.bytes, 32);
    memcpy(disk->digest[2], slots->candidate.bytes, 32);
    disk->phase = (uint8_t)slots->phase;
    disk->tries_left = slots->tries_left;
    flo_put_u32(disk->attempt, slots->attempt);
    flo_put_u64(disk->order_seq, slots->order_seq);
    flo_put_u64(disk->soak_ms, slots->soak_ms);
    flo_put_u32(disk->soak_requests, slots->soak_requests);
    flo_put_u32(disk->soak_errors_ppm, slots->soak_errors_ppm);
    flo_put_u32(disk->soak_crashes_max, slots->soak_crashes_max);
    flo_put_u32(disk->rollout_phase, slots->rollout_phase);
    memcpy(disk->rollout, slots->rollout, strnlen(slots->rollout, 64));
    memcpy(disk->order, slots->order, strnlen(slots->order, 64));
    memcpy(disk->model, slots->model, strnlen(slots->model, 64));
}

static void decode(const struct disk_slots *disk, struct flo_slots *slots)
{
    memcpy(slots->current.bytes, disk->digest[0], 32);
    memcpy(slots->previous.bytes, disk->digest[1], 32);
    memcpy(slots->candidate.bytes, disk->digest[2], 32);
    slots->phase = (enum flo_slot_phase)disk->phase;
    slots->tries_left = disk->tries_left;
    slots->attempt = flo_get_u32(disk->attempt);
    slots->order_seq = flo_get_u64(disk->order_seq);
    slots->soak_ms = flo_get_u64(disk->soak_ms);
    slots->soak_requests = flo_get_u32(disk->soak_requests);
    slots->soak_errors_ppm = flo_get_u32(disk->soak_errors_ppm);
    slots->soak_crashes_max = flo_get_u32(disk->soak_crashes_max);
    slots->rollout_phase = flo_get_u32(disk->rollout_phase);
    memcpy(slots->rollout, disk->rollout, 64);
    memcpy(slots->order, disk->order, 64);
}

/* A record with a right CRC that this program did not write: a newer format's
 * phase, or the file of another model put here by hand. */
static int check(const struct disk_slots *disk, const char *model,
                 const char *path, struct flo_err *err)
{
    static const uint8_t none[32];
    bool has_candidate = memcmp(disk->digest[2], none, 32) != 0;

    if (strncmp(disk->model, model, 64) != 0) {
        return flo_fail(err, FLO_E_STATE_SLOT,
                        "%s/slots/%s.bin is the record of another model", path,
                        model);
    }
    if (disk->phase > FLO_SLOT_TRIAL ||
        has_candidate != (disk->phase != FLO_SLOT_IDLE)) {
        return flo_fail(err, FLO_E_STATE_SLOT,
                        "%s/slots/%s.bin: phase %u does not fit", path, model,
                        disk->phase);
    }
    return 0;
}

static int file_name(const char *model, char out[FLO_NAME_MAX + 8],
                     struct flo_err *err)
{
    if (!flo_name_is_valid(model)) {
        return flo_fail(err, FLO_E_META_NAME, "`%.80s` is no model name",
                        model);
    }
    snprintf(out, FLO_NAME_MAX + 8, "%s.bin", model);
    return 0;
}

int flo_store_slots_read(struct flo_store *store, const char *model,
                         struct flo_slots *out, struct flo_err *err)
{
    char name[FLO_NAME_MAX + 8];
    union {
        struct disk_slots disk;
        uint8_t bytes[512];
    } record;
    struct flo_slots slots = {.generation = 0};
    int rv = file_name(model, name, err);

    if (rv < 0) {
        return rv;
    }
    memcpy(slots.model, model, strlen(model) + 1);
    *out = slots;
    rv = flo_record_read(store, name, &KIND, record.bytes, &slots.generation,
                         &slots.is_repaired, err);
    if (rv == 0 && slots.generation > 0) {
        rv = check(&record.disk, model, store->path, err);
        if (rv == 0) {
            decode(&record.disk, &slots);
        }
    }
    if (rv == 0) {
        *out = slots;
    }
    return rv;
}

int flo_store_slots_write(struct flo_store *store, struct flo_slots *slots,
                          struct flo_err *err)
{
    char name[FLO_NAME_MAX + 8];
    union {
        struct disk_slots disk;
        uint8_t bytes[512];
    } record;
    int rv = file_name(slots->model, name, err);

    if (rv < 0) {
        return rv;
    }
    encode(slots, &record.disk);
    rv = flo_record_write(store, name, &KIND, record.bytes, &slots->generation,
                          err);
    if (rv == 0) {
        slots->is_repaired = false;
    }
    return rv;
}

struct models {
    char (*names)[FLO_NAME_MAX + 1];
    size_t count;
    size_t count_max;
};

static int add_model(void *context, const char *name)
{
    struct models *models = context;
    size_t chars = strlen(name);
    char model[FLO_NAME_MAX + 1];

    if (chars < 5 || chars > FLO_NAME_MAX + 4 ||
        strcmp(name + chars - 4, ".bin") != 0) {
        return 0;
    }
    memcpy(model, name, chars - 4);
    model[chars - 4] = '\0';
    if (!flo_name_is_valid(model) || models->count == models->count_max) {
        return 0;
    }
    /* Insert in order; there are few. */
    size_t at = models->count++;
    while (at > 0 && strcmp(models->names[at - 1], model) > 0) {
        memcpy(models->names[at], models->names[at - 1], FLO_NAME_MAX + 1);
        at--;
    }
    memcpy(models->names[at], model, sizeof(model));
    return 0;
}

size_t flo_store_models(struct flo_store *store,
                        char (*names)[FLO_NAME_MAX + 1], size_t models_max)
{
    struct models models = {names, 0, models_max};

    (void)flo_store_each_name(store->slots_fd, add_model, &models);
    return models.count;
}

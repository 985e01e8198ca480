/* Layout of slots/<model>.bin, the record of one model.
 *
 *     0  magic "FLMR"
 *     4  u16 format 2        6  u16 flags: 0 assigned, 1 removed (tombstone),
 *                                          2 the target may be below the floor
 *     8  u64 generation
 *    16  current[32]        48  previous[32]       80  candidate[32]
 *   112  baseline[32]
 *   144  u64 x 4 numbers of current, previous, candidate, baseline
 *   176  u64 soft floor    184  u64 hard floor
 *   192  u64 stated number 200  stated target[32]  232  stated body[32]
 *   264  u8 stated op: 1 deploy, 2 rollback, 3 remove
 *   265  u8 outcome: 0 open, 1 done, 2 refused, 3 ended badly
 *   266  u8 phase          267  u8 tries left      268  u32 attempt
 *   272  u64 soak_ms       280  u32 soak requests
 *   284  u32 soak errors per million               288  u32 soak crashes
 *   292  u32 rollout phase
 *   296  u64 number of the emergency order          304  its body[32]
 *   336  rollout[64]       400  order[64]          464  model[64]
 *   528  u64 folded        536  u32 denials        540  u32 era
 *   544  48 x { release[32], u64 number, u64 statement, u8 cause, u8 lane,
 *               zero[14] }                         (64 bytes each)
 *  3616  u64 number of the candidate's order
 *  3624  stated rollout[64]                       3688  stated order[64]
 *  3752  u64 floor of the candidate               3760  zero[332]
 *  4092  u32 crc32c over 0..4091
 *
 * Little endian; texts are padded with NUL. record.c writes it, and explains
 * why no power cut can lose both records. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/state.h>

#include "updater/store/store.h"

static const struct flo_record_kind KIND = {"FLMR", 2, 4096};

#define FLAG_ASSIGNED 1
#define FLAG_REMOVED 2
#define FLAG_BELOW_FLOOR 4

/* Operations of orders, as numbers on disk. */
static const enum flo_order_op OPS[] = {
    [1] = FLO_ORDER_DEPLOY, [2] = FLO_ORDER_ROLLBACK, [3] = FLO_ORDER_REMOVE};

struct disk_denial {
    uint8_t release[32];
    uint8_t number[8];
    uint8_t statement[8];
    uint8_t cause;
    uint8_t lane;
    uint8_t zero[14];
};
struct disk_slots {
    char magic[4];
    uint8_t format[2];
    uint8_t flags[2];
    uint8_t generation[8];
    uint8_t digest[4][32];
    uint8_t number[4][8];
    uint8_t floor[8];
    uint8_t floor_hard[8];
    uint8_t stated_number[8];
    uint8_t stated_target[32];
    uint8_t stated_body[32];
    uint8_t stated_op;
    uint8_t stated_outcome;
    uint8_t phase;
    uint8_t tries_left;
    uint8_t attempt[4];
    uint8_t soak_ms[8];
    uint8_t soak_requests[4];
    uint8_t soak_errors_ppm[4];
    uint8_t soak_crashes_max[4];
    uint8_t rollout_phase[4];
    uint8_t emergency_number[8];
    uint8_t emergency_body[32];
    char rollout[64];
    char order[64];
    char model[64];
    uint8_t folded[8];
    uint8_t denial_count[4];
    uint8_t era[4];
    struct disk_denial denials[FLO_DENIALS_MAX];
    uint8_t order_seq[8];
    char stated_rollout[64];
    char stated_order[64];
    uint8_t candidate_floor[8];
    uint8_t zero[332];
    uint8_t crc32c[4];
};
_Static_assert(sizeof(struct disk_slots) == 4096, "on-disk layout");
_Static_assert(offsetof(struct disk_slots, number) == 144, "on-disk layout");
_Static_assert(offsetof(struct disk_slots, stated_op) == 264, "on-disk layout");
_Static_assert(offsetof(struct disk_slots, rollout) == 336, "on-disk layout");
_Static_assert(offsetof(struct disk_slots, denials) == 544, "on-disk layout");
_Static_assert(offsetof(struct disk_slots, order_seq) == 3616, "on-disk layout");
_Static_assert(offsetof(struct disk_slots, crc32c) == 4092, "on-disk layout");
_Static_assert(FLO_NAME_MAX == 64, "names fill their fields");

static void put_text(char out[64], const char *text)
{
    memcpy(out, text, strnlen(text, 64));
}

static uint16_t flags_of(const struct flo_slots *slots)
{
    unsigned flags = 0;

    flags |= flo_digest_is_zero(&slots->stated.target) ? 0 : FLAG_ASSIGNED;
    flags |= slots->is_removed ? FLAG_REMOVED : 0;
    flags |= slots->stated.below_floor ? FLAG_BELOW_FLOOR : 0;
    return (uint16_t)flags;
}

static uint8_t number_of(enum flo_order_op op)
{
    uint8_t number = 1;

    while (number < FLO_COUNT(OPS) - 1 && OPS[number] != op) {
        number++;
    }
    return OPS[number] == op ? number : 1;
}

static void encode_stated(const struct flo_stated *stated, struct disk_slots *disk)
{
    if (stated->number == 0) {
        return;
    }
    flo_put_u64(disk->stated_number, stated->number);
    memcpy(disk->stated_target, stated->target.bytes, 32);
    memcpy(disk->stated_body, stated->body.bytes, 32);
    disk->stated_op = number_of(stated->op);
    disk->stated_outcome = (uint8_t)stated->outcome;
    put_text(disk->stated_rollout, stated->rollout);
    put_text(disk->stated_order, stated->order);
}

static void encode_denials(const struct flo_slots *slots, struct disk_slots *disk)
{
    flo_put_u64(disk->folded, slots->folded);
    flo_put_u32(disk->denial_count, slots->denial_count);
    for (uint32_t i = 0; i < slots->denial_count; i++) {
        const struct flo_denial *denial = &slots->denials[i];
        struct disk_denial *out = &disk->denials[i];
        memcpy(out->release, denial->release.bytes, 32);
        flo_put_u64(out->number, denial->number);
        flo_put_u64(out->statement, denial->statement);
        out->cause = (uint8_t)denial->cause;
        out->lane = denial->lane;
    }
}

static void encode(const struct flo_slots *slots, struct disk_slots *disk)
{
    memset(disk, 0, sizeof(*disk));
    flo_put_u16(disk->flags, flags_of(slots));
    memcpy(disk->digest[0], slots->current.bytes, 32);
    memcpy(disk->digest[1], slots->previous.bytes, 32);
    memcpy(disk->digest[2], slots->candidate.bytes, 32);
    memcpy(disk->digest[3], slots->baseline.bytes, 32);
    flo_put_u64(disk->number[0], slots->current_number);
    flo_put_u64(disk->number[1], slots->previous_number);
    flo_put_u64(disk->number[2], slots->candidate_number);
    flo_put_u64(disk->number[3], slots->baseline_number);
    flo_put_u64(disk->floor, slots->floor);
    flo_put_u64(disk->floor_hard, slots->floor_hard);
    disk->phase = (uint8_t)slots->phase;
    disk->tries_left = slots->tries_left;
    flo_put_u32(disk->attempt, slots->attempt);
    flo_put_u64(disk->soak_ms, slots->soak_ms);
    flo_put_u32(disk->soak_requests, slots->soak_requests);
    flo_put_u32(disk->soak_errors_ppm, slots->soak_errors_ppm);
    flo_put_u32(disk->soak_crashes_max, slots->soak_crashes_max);
    flo_put_u32(disk->rollout_phase, slots->rollout_phase);
    flo_put_u64(disk->emergency_number, slots->emergency.number);
    memcpy(disk->emergency_body, slots->emergency.body.bytes, 32);
    flo_put_u32(disk->era, slots->era);
    flo_put_u64(disk->order_seq, slots->order_seq);
    flo_put_u64(disk->candidate_floor, slots->candidate_floor);
    put_text(disk->rollout, slots->rollout);
    put_text(disk->order, slots->order);
    put_text(disk->model, slots->model);
    encode_stated(&slots->stated, disk);
    encode_denials(slots, disk);
}

static void decode_stated(const struct disk_slots *disk, struct flo_stated *stated)
{
    stated->number = flo_get_u64(disk->stated_number);
    memcpy(stated->target.bytes, disk->stated_target, 32);
    memcpy(stated->body.bytes, disk->stated_body, 32);
    stated->op = OPS[disk->stated_op == 0 ? 1 : disk->stated_op];
    stated->outcome = (enum flo_stated_outcome)disk->stated_outcome;
    stated->below_floor = (flo_get_u16(disk->flags) & FLAG_BELOW_FLOOR) != 0;
    memcpy(stated->rollout, disk->stated_rollout, 64);
    memcpy(stated->order, disk->stated_order, 64);
}

static void decode_denials(const struct disk_slots *disk, struct flo_slots *slots)
{
    slots->folded = flo_get_u64(disk->folded);
    slots->denial_count = flo_get_u32(disk->denial_count);
    for (uint32_t i = 0; i < slots->denial_count; i++) {
        const struct disk_denial *denial = &disk->denials[i];
        struct flo_denial *out = &slots->denials[i];
        memcpy(out->release.bytes, denial->release, 32);
        out->number = flo_get_u64(denial->number);
        out->statement = flo_get_u64(denial->statement);
        out->cause = (enum flo_denial_cause)denial->cause;
        out->lane = denial->lane;
    }
}

static void decode(const struct disk_slots *disk, struct flo_slots *slots)
{
    memcpy(slots->current.bytes, disk->digest[0], 32);
    memcpy(slots->previous.bytes, disk->digest[1], 32);
    memcpy(slots->candidate.bytes, disk->digest[2], 32);
    memcpy(slots->baseline.bytes, disk->digest[3], 32);
    slots->current_number = flo_get_u64(disk->number[0]);
    slots->previous_number = flo_get_u64(disk->number[1]);
    slots->candidate_number = flo_get_u64(disk->number[2]);
    slots->baseline_number = flo_get_u64(disk->number[3]);
    slots->floor = flo_get_u64(disk->floor);
    slots->floor_hard = flo_get_u64(disk->floor_hard);
    slots->is_removed = (flo_get_u16(disk->flags) & FLAG_REMOVED) != 0;
    slots->phase = (enum flo_slot_phase)disk->phase;
    slots->tries_left = disk->tries_left;
    slots->attempt = flo_get_u32(disk->attempt);
    slots->order_seq = flo_get_u64(disk->order_seq);
    slots->candidate_floor = flo_get_u64(disk->candidate_floor);
    slots->soak_ms = flo_get_u64(disk->soak_ms);
    slots->soak_requests = flo_get_u32(disk->soak_requests);
    slots->soak_errors_ppm = flo_get_u32(disk->soak_errors_ppm);
    slots->soak_crashes_max = flo_get_u32(disk->soak_crashes_max);
    slots->rollout_phase = flo_get_u32(disk->rollout_phase);
    slots->emergency.number = flo_get_u64(disk->emergency_number);
    memcpy(slots->emergency.body.bytes, disk->emergency_body, 32);
    slots->era = flo_get_u32(disk->era);
    memcpy(slots->rollout, disk->rollout, 64);
    memcpy(slots->order, disk->order, 64);
    decode_stated(disk, &slots->stated);
    decode_denials(disk, slots);
}

/* Checks a record with a valid CRC that this program may not have written.  The
 * record may have values of a newer format, or be the file of another model
 * that a person copied. */
static int check(const struct disk_slots *disk, const char *model, const char *path,
                 struct flo_err *err)
{
    static const uint8_t none[32];
    bool has_candidate = memcmp(disk->digest[2], none, 32) != 0;
    uint32_t denials = flo_get_u32(disk->denial_count);

    if (strncmp(disk->model, model, 64) != 0) {
        return flo_fail(err, FLO_E_STATE_SLOT, "%s/slots/%s.bin is the record of another model",
                        path, model);
    }
    if (disk->phase > FLO_SLOT_TRIAL || has_candidate != (disk->phase != FLO_SLOT_IDLE)) {
        return flo_fail(err, FLO_E_STATE_SLOT, "%s/slots/%s.bin: phase %u does not fit", path,
                        model, disk->phase);
    }
    if (denials > FLO_DENIALS_MAX || disk->stated_op >= FLO_COUNT(OPS) ||
        disk->stated_outcome > FLO_STATED_FAILED) {
        return flo_fail(err, FLO_E_STATE_SLOT, "%s/slots/%s.bin: %u denials, statement %u/%u", path,
                        model, denials, disk->stated_op, disk->stated_outcome);
    }
    for (uint32_t i = 0; i < denials; i++) {
        if (disk->denials[i].cause >= FLO_DENIAL_CAUSES) {
            return flo_fail(err, FLO_E_STATE_SLOT, "%s/slots/%s.bin: cause %u of a denial", path,
                            model, disk->denials[i].cause);
        }
    }
    return 0;
}

static int file_name(const char *model, char out[FLO_NAME_MAX + 8], struct flo_err *err)
{
    if (!flo_name_is_valid(model)) {
        return flo_fail(err, FLO_E_META_NAME, "`%.80s` is no model name", model);
    }
    snprintf(out, FLO_NAME_MAX + 8, "%s.bin", model);
    return 0;
}

int flo_store_slots_read(struct flo_store *store, const char *model, struct flo_slots *out,
                         struct flo_err *err)
{
    char name[FLO_NAME_MAX + 8];
    union {
        struct disk_slots disk;
        uint8_t bytes[4096];
    } record;
    struct flo_slots slots = {.generation = 0};

    FLO_TRY(file_name(model, name, err));
    memcpy(slots.model, model, strlen(model) + 1);
    *out = slots;
    FLO_TRY(flo_record_read(store, name, &KIND, record.bytes, &slots.generation, &slots.is_repaired,
                            err));
    if (slots.generation > 0) {
        FLO_TRY(check(&record.disk, model, store->path, err));
        decode(&record.disk, &slots);
    }
    *out = slots;
    return 0;
}

int flo_store_slots_write(struct flo_store *store, struct flo_slots *slots, struct flo_err *err)
{
    char name[FLO_NAME_MAX + 8];
    union {
        struct disk_slots disk;
        uint8_t bytes[4096];
    } record;
    FLO_TRY(file_name(slots->model, name, err));
    encode(slots, &record.disk);
    FLO_TRY(flo_record_write(store, name, &KIND, record.bytes, &slots->generation, err));
    slots->is_repaired = false;
    return 0;
}

int flo_store_slots_remove(struct flo_store *store, const char *model, struct flo_err *err)
{
    char name[FLO_NAME_MAX + 8];

    FLO_TRY(file_name(model, name, err));
    if (unlinkat(store->slots_fd, name, 0) < 0 && errno != ENOENT) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "slots/%s", name);
    }
    return flo_store_sync_dir(store->slots_fd, "slots", err);
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

    if (chars < 5 || chars > FLO_NAME_MAX + 4 || strcmp(name + chars - 4, ".bin") != 0) {
        return 0;
    }
    memcpy(model, name, chars - 4);
    model[chars - 4] = '\0';
    if (!flo_name_is_valid(model) || models->count == models->count_max) {
        return 0;
    }
    /* The names are sorted by insertion, because there are few. */
    size_t at = models->count++;
    while (at > 0 && strcmp(models->names[at - 1], model) > 0) {
        memcpy(models->names[at], models->names[at - 1], FLO_NAME_MAX + 1);
        at--;
    }
    memcpy(models->names[at], model, sizeof(model));
    return 0;
}

int flo_store_models(struct flo_store *store, char (*names)[FLO_NAME_MAX + 1], size_t models_max,
                     size_t *out, struct flo_err *err)
{
    struct models models = {names, 0, models_max};
    int rv = flo_store_each_name(store->slots_fd, add_model, &models);

    if (rv < 0) {
        return flo_fail(err, rv, "%s/slots: its models cannot be listed", store->path);
    }
    *out = models.count;
    return 0;
}

/* Record upgrade: converts format 1, which agents before 0.2 wrote, to format
 * 2.
 *
 * slots/<model>.bin, two records of 512 bytes:
 *     0 "FLSL"   4 u16 format 1   8 u64 generation
 *    16 current[32]  48 previous[32]  80 candidate[32]: SHA-256 of envelopes
 *   112 u8 phase  113 u8 tries left  116 u32 attempt  120 u64 order seq
 *   152 u64 soak_ms  160 u32 soak requests  164 u32 soak errors
 *   168 u32 soak crashes  172 u32 rollout phase
 *   176 rollout[64]  240 order[64]  304 model[64]  508 u32 crc32c
 * slots/_device.bin, two records of 4096 bytes:
 *     0 "FLDV"   4 u16 format 1   6 u16 flags: 0 frozen   8 u64 generation
 *    16 u32 epoch  24 u64 trusted time  32 u64 desired rev
 *    40 6 x { keyid[8], u64 seq, bitmap[32] }
 *   328 32 x denied[32]  1352 8 x { model[64], release[32] }
 *  2120 order keys[32]  4092 u32 crc32c
 *
 * The body of each stored envelope becomes a blob, whose digest is the
 * release's id from now on. Models come first, the device last, and each file
 * is replaced as a whole. So after an interruption the upgrade can start
 * again. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/io.h>
#include <flotilla/errors/state.h>
#include <flotilla/plural.h>

#include "base/host/digest.h"
#include "updater/store/store.h"

static const struct flo_record_kind OLD_SLOTS = {"FLSL", 1, 512};
static const struct flo_record_kind OLD_DEVICE = {"FLDV", 1, 4096};
static const char DEVICE[] = "_device.bin";

#define OLD_KEYS 6
#define OLD_DENIED 32
#define OLD_BASELINES 8

/* Contents of a stored envelope.  A zero `id` means that there is no envelope,
 * or that it has no release. */
struct found {
    struct flo_digest id;
    uint64_t number;
    char model[FLO_NAME_MAX + 1];
};

static int read_envelope(struct flo_store *store, const uint8_t *digest, struct flo_buf *out,
                         struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_digest name;
    struct flo_digest actual;
    uint64_t bytes = 0;

    memcpy(name.bytes, digest, sizeof(name.bytes));
    FLO_TRY(flo_store_blob_open(store, &name, &fd, &bytes, err));
    if (bytes > FLO_ENVELOPE_BYTES_MAX) {
        return flo_fail(err, FLO_E_META_TOO_LARGE, "no envelope");
    }
    size_t size = (size_t)bytes;
    FLO_CLEANUP(flo_free_cleanup) char *data = malloc(size + 1);
    FLO_TRY(data == NULL ? flo_fail(err, FLO_E_MEMORY, "an envelope")
                         : flo_fd_pread_all(fd, data, size, 0, err));
    flo_buf_add(out, data, size);
    flo_sha256(out->data, out->bytes, &actual);
    if (!flo_digest_equal(&actual, &name)) {
        return flo_fail(err, FLO_E_TARGET_HASH, "no envelope");
    }
    return 0;
}

/* Stores the body of an envelope as a blob, and the envelope in releases/. */
static int adopt(struct flo_store *store, const uint8_t *digest, struct found *out,
                 struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {.bytes_max = FLO_ENVELOPE_BYTES_MAX + 1};
    FLO_CLEANUP(flo_envelope_deinit) struct flo_envelope envelope = {.body = NULL};
    FLO_CLEANUP(flo_free_cleanup) struct flo_release *release = calloc(1, sizeof(*release));

    FLO_TRY(release == NULL ? flo_fail(err, FLO_E_MEMORY, "a release")
                            : read_envelope(store, digest, &text, err));
    FLO_TRY(flo_envelope_parse(text.data, text.bytes, FLO_TYPE_RELEASE, &envelope, err));
    FLO_TRY(flo_release_parse(envelope.body, envelope.body_bytes, NULL, release, err));
    struct flo_release_document document = {text.data, text.bytes, envelope.body,
                                            envelope.body_bytes};
    flo_sha256(envelope.body, envelope.body_bytes, &out->id);
    out->number = release->number;
    memcpy(out->model, release->model, sizeof(out->model));
    flo_release_deinit(release);
    FLO_TRY(flo_store_release_put(store, &document, err));
    /* The envelope may come from an interrupted upgrade, so its name may not be
     * durable yet. */
    return flo_store_sync_dir(store->releases_fd, "releases", err);
}

/* Tells whether the error is the disk's, not the document's.  Then the upgrade
 * stops until the next start. */
static bool is_disk(int rv)
{
    return rv == FLO_E_IO_READ || rv == FLO_E_IO_WRITE || rv == FLO_E_IO_OPEN ||
           rv == FLO_E_DISK_FULL || rv == FLO_E_MEMORY || rv == FLO_E_DESCRIPTORS;
}

static int find(struct flo_store *store, const uint8_t *digest, struct found *out,
                struct flo_err *err)
{
    static const uint8_t none[32];
    struct flo_err why = {0};
    int rv;

    memset(out, 0, sizeof(*out));
    if (memcmp(digest, none, sizeof(none)) == 0) {
        return 0;
    }
    rv = adopt(store, digest, out, &why);
    if (rv < 0) {
        memset(out, 0, sizeof(*out));
        if (is_disk(rv)) {
            *err = why;
            return rv;
        }
        flo_log_err(FLO_LOG_WARN, "store", &why);
    }
    return 0;
}

static void copy_text(char out[FLO_NAME_MAX + 1], const uint8_t *from)
{
    memcpy(out, from, FLO_NAME_MAX);
    out[FLO_NAME_MAX] = '\0';
}

static void read_execution(const uint8_t *record, struct flo_slots *slots)
{
    slots->phase = record[112] == FLO_SLOT_TRIAL ? FLO_SLOT_TRIAL : FLO_SLOT_STAGED;
    slots->tries_left = record[113];
    slots->attempt = flo_get_u32(record + 116);
    slots->order_seq = 0; /* sequence numbers start again in the new format */
    slots->soak_ms = flo_get_u64(record + 152);
    slots->soak_requests = flo_get_u32(record + 160);
    slots->soak_errors_ppm = 20000; /* format 1 had a count in place of this share */
    slots->soak_crashes_max = flo_get_u32(record + 168);
    slots->rollout_phase = flo_get_u32(record + 172);
    copy_text(slots->rollout, record + 176);
    copy_text(slots->order, record + 240);
}

static int upgrade_model(struct flo_store *store, const char *model, struct flo_err *err)
{
    static const uint8_t none[32];
    struct flo_slots slots = {.generation = 0};
    struct found found[3];
    char name[FLO_NAME_MAX + 8];
    uint8_t record[FLO_RECORD_BYTES_MAX];
    uint64_t generation;
    bool is_repaired;
    int rv = flo_store_slots_read(store, model, &slots, err);

    if (rv != FLO_E_STATE_SLOT) {
        return rv; /* the record has format 2 already, or cannot be read now */
    }
    snprintf(name, sizeof(name), "%.64s.bin", model);
    if (flo_record_read(store, name, &OLD_SLOTS, record, &generation, &is_repaired, NULL) < 0 ||
        strncmp((const char *)record + 304, model, 64) != 0) {
        return 0; /* the record is damaged: the agent will recover it */
    }
    for (size_t i = 0; i < FLO_COUNT(found); i++) {
        FLO_TRY(find(store, record + 16 + 32 * i, &found[i], err));
    }
    if (memcmp(record + 16, none, 32) != 0 && flo_digest_is_zero(&found[0].id)) {
        return 0; /* the current document is lost: the agent will recover it */
    }
    memset(&slots, 0, sizeof(slots));
    snprintf(slots.model, sizeof(slots.model), "%.64s", model);
    slots.current = found[0].id;
    slots.current_number = found[0].number;
    slots.previous = found[1].id;
    slots.previous_number = found[1].number;
    slots.floor = found[0].number;
    if (!flo_digest_is_zero(&found[2].id)) {
        slots.candidate = found[2].id;
        slots.candidate_number = found[2].number;
        read_execution(record, &slots);
    }
    return flo_store_slots_write(store, &slots, err);
}

/* Moves the block of a release from the device record to the record of its
 * model. */
static int deny(struct flo_store *store, const struct found *found, struct flo_err *err)
{
    struct flo_slots slots;
    struct flo_denial said = {
        .release = found->id, .number = found->number, .cause = FLO_DENIAL_ORDERED};
    int rv = flo_store_slots_read(store, found->model, &slots, err);

    if (rv == FLO_E_STATE_SLOT) {
        return 0; /* the record is damaged: nothing is known about that model */
    }
    if (rv == 0) {
        (void)flo_slots_deny(&slots, &said);
        rv = flo_store_slots_write(store, &slots, err);
    }
    return rv;
}

static int keep_baseline(struct flo_store *store, const struct found *found, struct flo_err *err)
{
    struct flo_slots slots;
    int rv = flo_store_slots_read(store, found->model, &slots, err);

    if (rv == FLO_E_STATE_SLOT) {
        return 0;
    }
    if (rv == 0) {
        slots.baseline = found->id;
        slots.baseline_number = found->number;
        rv = flo_store_slots_write(store, &slots, err);
    }
    return rv;
}

static int move_to_models(struct flo_store *store, const uint8_t *record, struct flo_err *err)
{
    static const uint8_t none[32];
    struct found found;
    unsigned dropped = 0;
    int rv = 0;

    for (size_t i = 0; i < OLD_DENIED && rv == 0; i++) {
        const uint8_t *denied = record + 328 + 32 * i;
        rv = find(store, denied, &found, err);
        if (rv == 0 && !flo_digest_is_zero(&found.id)) {
            rv = deny(store, &found, err);
        } else if (memcmp(denied, none, sizeof(none)) != 0) {
            dropped++;
        }
    }
    for (size_t i = 0; i < OLD_BASELINES && rv == 0; i++) {
        rv = find(store, record + 1352 + 96 * i + 64, &found, err);
        if (rv == 0 && !flo_digest_is_zero(&found.id)) {
            rv = keep_baseline(store, &found, err);
        }
    }
    if (rv == 0 && dropped > 0) {
        flo_log(FLO_LOG_WARN, "store",
                "%u denied release%s %s not here any more: no denial is kept", dropped,
                flo_s(dropped), flo_plural(dropped, "is", "are"));
    }
    return rv;
}

static int upgrade_device(struct flo_store *store, struct flo_err *err)
{
    struct flo_device device;
    uint8_t record[FLO_RECORD_BYTES_MAX];
    uint64_t generation;
    bool is_repaired;
    int rv = flo_store_device_read(store, &device, err);

    if (rv != FLO_E_STATE_SLOT) {
        return rv;
    }
    if (flo_record_read(store, DEVICE, &OLD_DEVICE, record, &generation, &is_repaired, NULL) < 0) {
        return 0; /* the record is damaged: the agent makes a new one */
    }
    FLO_TRY(move_to_models(store, record, err));
    memset(&device, 0, sizeof(device));
    device.is_frozen = (flo_get_u16(record + 6) & 1) != 0;
    device.epoch = flo_get_u32(record + 16);
    device.trusted_time_ms = flo_get_u64(record + 24);
    device.desired_rev = flo_get_u64(record + 32);
    memcpy(device.order_keys.bytes, record + 2120, 32);
    for (size_t i = 0; i < OLD_KEYS; i++) {
        uint64_t seq = flo_get_u64(record + 40 + 48 * i + 8);
        device.top = seq > device.top ? seq : device.top;
    }
    return flo_store_device_write(store, &device, err);
}

int flo_store_upgrade(struct flo_store *store, struct flo_err *err)
{
    char models[FLO_MODELS_KEPT_MAX][FLO_NAME_MAX + 1];
    size_t count = 0;
    int rv = flo_store_models(store, models, FLO_COUNT(models), &count, err);

    for (size_t i = 0; i < count && rv == 0; i++) {
        rv = upgrade_model(store, models[i], err);
        if (rv == FLO_E_IO_READ || rv == FLO_E_IO_OPEN || rv == FLO_E_DESCRIPTORS) {
            rv = 0; /* an error of the disk: the upgrade is tried again at the next start */
        }
    }
    FLO_TRY(rv);
    return upgrade_device(store, err);
}

/* Store of a device: the calls of updater/store on a disk in memory, which may be
 * full, and may lose its power behind each write. */
#include <string.h>

#include <flotilla/errors/target.h>

#include "tests/sim/device/device.h"

static struct sim_device *of(const struct flo_store *store)
{
    return (struct sim_device *)(uintptr_t)store;
}

/* ---- the disk ---- */

int sim_disk_takes(struct sim_device *device, struct flo_err *err)
{
    if (!device->runs) {
        return flo_fail(err, FLO_E_IO_WRITE, "its power is off");
    }
    return device->disk_is_full ? flo_fail(err, FLO_E_DISK_FULL, "no room") : 0;
}

void sim_disk_wrote(struct sim_device *device)
{
    if (device->cut_after != 0 && --device->cut_after == 0) {
        sim_device_kill(device, true);
        sim_device_start_later(device, sim_between(&device->random, 100, 20000));
    }
}

uint64_t flo_store_disk_free(const struct flo_store *store)
{
    return of(store)->disk_is_full ? 0 : UINT64_C(1) << 40;
}

/* ---- records ---- */

int flo_store_slots_read(struct flo_store *store, const char *model, struct flo_slots *out,
                         struct flo_err *err)
{
    uint32_t place = sim_model_of(model);

    (void)err;
    memset(out, 0, sizeof(*out));
    if (place < SIM_MODELS_MAX) {
        *out = of(store)->disk.slots[place];
    }
    return 0;
}

static void look_at_change(struct sim_device *device, uint32_t model,
                           const struct flo_slots *before)
{
    const struct flo_slots *now = &device->disk.slots[model];
    bool was_trial = before->phase == FLO_SLOT_TRIAL;

    if (now->phase == FLO_SLOT_TRIAL && !was_trial) {
        sim_check_trial(device, model);
    } else if (now->phase == FLO_SLOT_TRIAL && now->tries_left > before->tries_left) {
        sim_check_untry(device, model);
    }
    sim_check_written(device);
}

int flo_store_slots_write(struct flo_store *store, struct flo_slots *slots, struct flo_err *err)
{
    struct sim_device *device = of(store);
    uint32_t model = sim_model_of(slots->model);
    struct flo_slots before;
    int rv = sim_disk_takes(device, err);

    if (rv == 0 && model == SIM_MODELS_MAX) {
        rv = flo_fail(err, FLO_E_TARGET_LIMIT, "model %s", slots->model);
    }
    if (rv < 0) {
        return rv;
    }
    before = device->disk.slots[model];
    slots->generation = before.generation + 1;
    device->disk.slots[model] = *slots;
    look_at_change(device, model, &before);
    sim_disk_wrote(device);
    return 0;
}

int flo_store_slots_remove(struct flo_store *store, const char *model, struct flo_err *err)
{
    int rv = sim_disk_takes(of(store), err);

    if (rv == 0 && sim_model_of(model) < SIM_MODELS_MAX) {
        memset(&of(store)->disk.slots[sim_model_of(model)], 0, sizeof(struct flo_slots));
    }
    return rv;
}

int flo_store_slots_recover(struct flo_store *store, const char *model, struct flo_slots *out,
                            struct flo_err *err)
{
    (void)store, (void)out;
    return flo_fail(err, FLO_E_ABSENT, "model %s", model);
}

int flo_store_upgrade(struct flo_store *store, struct flo_err *err)
{
    (void)store, (void)err;
    return 0;
}

int flo_store_models(struct flo_store *store, char (*models)[FLO_NAME_MAX + 1], size_t models_max,
                     size_t *out, struct flo_err *err)
{
    (void)err;
    *out = 0;
    for (size_t i = 0; i < SIM_MODELS_MAX && *out < models_max; i++) {
        if (of(store)->disk.slots[i].generation > 0) {
            snprintf(models[(*out)++], sizeof(models[0]), "%s", sim_models[i]);
        }
    }
    return 0;
}

int flo_store_device_read(struct flo_store *store, struct flo_device *out, struct flo_err *err)
{
    (void)err;
    *out = of(store)->disk.record;
    return 0;
}

int flo_store_device_write(struct flo_store *store, struct flo_device *device, struct flo_err *err)
{
    int rv = sim_disk_takes(of(store), err);

    if (rv == 0) {
        device->generation++;
        of(store)->disk.record = *device;
        sim_check_written(of(store));
        sim_disk_wrote(of(store));
    }
    return rv;
}

/* ---- releases ---- */

static const struct sim_release *find(const struct sim_device *device,
                                      const struct flo_digest *digest, struct flo_err *err)
{
    int release = sim_release_find(digest);

    if (release < 0 || (device->disk.blobs >> release & 1) == 0) {
        (void)flo_fail(err, FLO_E_BLOB_ABSENT, "no such document here");
        return NULL;
    }
    return &sim->releases[release];
}

bool flo_store_blob_has(struct flo_store *store, const struct flo_digest *digest, uint64_t bytes)
{
    struct flo_err err = {0};

    (void)bytes;
    return find(of(store), digest, &err) != NULL;
}

int flo_store_envelope_load(struct flo_store *store, const struct flo_digest *release,
                            struct flo_buf *out, struct flo_err *err)
{
    const struct sim_release *found = find(of(store), release, err);

    if (found == NULL) {
        return err->code;
    }
    flo_buf_add(out, found->envelope.data, found->envelope.bytes);
    return 0;
}

int flo_store_release_load(struct flo_store *store, const struct flo_digest *digest,
                           struct flo_release *out, struct flo_err *err)
{
    const struct sim_release *found = find(of(store), digest, err);

    if (found == NULL) {
        return err->code;
    }
    out->number = found->number;
    out->floor = found->floor;
    return 0;
}

void flo_store_keep_patches(struct flo_store *store, bool keeps)
{
    (void)store, (void)keeps;
}

void flo_store_keep_steps(struct flo_store *store, bool keeps)
{
    (void)store, (void)keeps;
}

/* Blobs that no slot names go. */
int flo_store_collect(struct flo_store *store, const struct flo_digest *keep, size_t keep_count,
                      struct flo_collected *out, struct flo_err *err)
{
    struct sim_device *device = of(store);
    uint32_t kept = 0;

    (void)keep, (void)keep_count, (void)out;
    for (int i = 0; i < sim->release_count; i++) {
        const struct flo_slots *slots = &device->disk.slots[sim->releases[i].model];
        const struct flo_digest *digest = &sim->releases[i].ref.digest;
        if (flo_digest_equal(digest, &slots->current) ||
            flo_digest_equal(digest, &slots->previous) ||
            flo_digest_equal(digest, &slots->candidate) ||
            flo_digest_equal(digest, &slots->baseline)) {
            kept |= 1u << i;
        }
    }
    if (!device->runs) {
        return flo_fail(err, FLO_E_IO_WRITE, "its power is off");
    }
    device->disk.blobs &= kept;
    device->disk.damaged &= kept;
    return 0;
}

/* Stored: reads keys and message numbers of devices from the store, and writes
 * numbers there. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/proofs/keys.h"
#include "server-stub/store/fleet.h"
#include "server-stub/store/seals.h"

/* name of a setting, which is "refuse" in a fleet that began with proofs */
#define SETTING "unproved"

/* ---- reading ---- */

struct loading {
    struct flo_proofs *proofs;
    bool has_keyless;
    struct flo_err *err;
};

static int add_row(void *context, const struct flo_fleet_certificate *row)
{
    struct loading *loading = context;
    struct flo_err why = {0};

    if (row->key[0] == '\0') {
        loading->has_keyless = true;
        return 0;
    }
    int rv = flo_proofs_add(loading->proofs, row, false, &why);
    if (rv == FLO_E_MEMORY) {
        *loading->err = why;
        return rv;
    }
    if (rv < 0) { /* A device whose row is damaged is asked to renew its certificate. */
        flo_log_err(FLO_LOG_ERROR, "proof", &why);
    }
    return 0;
}

int flo_proofs_load(struct flo_controller *controller, bool *has_keyless, struct flo_err *err)
{
    static const enum flo_certificate_state states[] = {FLO_CERTIFICATE_HELD,
                                                        FLO_CERTIFICATE_ISSUED};
    struct loading loading = {.proofs = controller->proofs, .err = err};
    char word[FLO_NAME_MAX + 1];
    int rv = flo_fleet_setting_get(controller->store, SETTING, word, sizeof(word), err);

    if (rv == 0) {
        rv = flo_fleet_certificate_each(controller->store, states, FLO_COUNT(states), 0, add_row,
                                        &loading, err);
    }
    controller->refuses_unproved =
        controller->options.unproved == FLO_UNPROVED_REFUSE ||
        (controller->options.unproved == FLO_UNPROVED_STORED && strcmp(word, "refuse") == 0) ||
        flo_fleet_doubts(controller->store, FLO_SEALED_UNPROVED) ||
        flo_fleet_doubts(controller->store, FLO_SEALED_CERTIFICATE);
    *has_keyless = loading.has_keyless;
    return rv;
}

int flo_proofs_begin(struct flo_controller *controller, struct flo_err *err)
{
    return flo_fleet_setting_set(controller->store, SETTING, "refuse", err);
}

/* ---- writing ---- */

int flo_proofs_issued(struct flo_proofs *proofs, const struct flo_fleet_certificate *row,
                      struct flo_err *err)
{
    pthread_mutex_lock(&proofs->mutex);
    int rv = flo_proofs_add(proofs, row, true, err);
    pthread_mutex_unlock(&proofs->mutex);
    return rv;
}

struct used {
    char serial[65];
    char text[FLO_PROOF_CONTROLLER_TEXT + 17 * FLO_PROOFS_CHANNELS + 2];
};

/* Copies the numbers to be stored, and marks the key in memory as stored. */
static void take_used(struct flo_proofs *proofs, struct flo_proofs_key *key, struct used *out)
{
    int at = snprintf(out->text, sizeof(out->text), "%s", key->of_order);

    for (size_t i = 0; i < FLO_PROOFS_CHANNELS; i++) {
        at += snprintf(out->text + at, sizeof(out->text) - (size_t)at, " %llx",
                       (unsigned long long)key->used[i]);
    }
    snprintf(out->text + at, sizeof(out->text) - (size_t)at, " %d", key->is_gone);
    snprintf(out->serial, sizeof(out->serial), "%s", key->serial);
    proofs->dirty -= key->is_dirty;
    key->is_dirty = false;
}

static int write_used(struct flo_controller *controller, const struct used *used,
                      struct flo_err *err)
{
    return flo_fleet_certificate_prove(controller->store, used->serial, used->text, err);
}

/* Takes the first key of the device whose changed numbers are not stored yet.
 * Returns false if there is none. */
static bool take_of(struct flo_proofs *proofs, const struct flo_proofs_device *device,
                    struct used *out)
{
    struct flo_proofs_key *key = device->newest;

    while (key != NULL && !key->is_dirty) {
        key = key->older;
    }
    if (key != NULL) {
        take_used(proofs, key, out);
    }
    return key != NULL;
}

/* Gets a changed key of the next touched device, from index *at on.  Returns
 * false if there is none. */
static bool next_touched(struct flo_proofs *proofs, size_t *at, struct used *out)
{
    bool found = false;

    pthread_mutex_lock(&proofs->mutex);
    while (!found && *at < proofs->touched_count) {
        found = take_of(proofs, &proofs->devices[proofs->touched[*at]], out);
        *at += found ? 0 : 1;
    }
    pthread_mutex_unlock(&proofs->mutex);
    return found;
}

int flo_proofs_write_batch(struct flo_controller *controller, size_t *count, struct flo_err *err)
{
    struct used used;
    int rv = 0;

    *count = 0;
    while (rv == 0 && next_touched(controller->proofs, count, &used)) {
        rv = write_used(controller, &used, err);
    }
    return rv;
}

void flo_proofs_settle(struct flo_proofs *proofs, size_t count, bool is_committed)
{
    size_t done = is_committed ? count : 0;

    pthread_mutex_lock(&proofs->mutex);
    for (size_t i = 0; i < count; i++) {
        struct flo_proofs_device *device = &proofs->devices[proofs->touched[i]];
        device->is_touched = !is_committed;
        for (struct flo_proofs_key *key = is_committed ? NULL : device->newest; key != NULL;
             key = key->older) {
            proofs->dirty += !key->is_dirty;
            key->is_dirty = true;
        }
    }
    proofs->touched_count -= done;
    if (done > 0) {
        memmove(proofs->touched, proofs->touched + done,
                proofs->touched_count * sizeof(*proofs->touched));
    }
    pthread_mutex_unlock(&proofs->mutex);
}

/* Takes the next key whose changed numbers are not stored yet, of any device.
 * Returns false if there is none. */
static bool next_dirty(struct flo_proofs *proofs, struct used *out)
{
    bool found = false;

    pthread_mutex_lock(&proofs->mutex);
    for (size_t i = 0; i < proofs->ids.count && proofs->dirty > 0 && !found; i++) {
        proofs->from = (proofs->from + 1) % proofs->ids.count;
        found = take_of(proofs, &proofs->devices[proofs->from], out);
    }
    pthread_mutex_unlock(&proofs->mutex);
    return found;
}

/* Writes message numbers.  Numbers that a failed transaction lost are written
 * with the device's next message. */
int flo_proofs_write(struct flo_controller *controller, size_t count_max, bool *is_done,
                     struct flo_err *err)
{
    struct used used;
    int rv = 0;

    *is_done = false;
    for (size_t i = 0; i < count_max && rv == 0 && !*is_done; i++) {
        *is_done = !next_dirty(controller->proofs, &used);
        rv = *is_done ? 0 : write_used(controller, &used, err);
    }
    return rv;
}

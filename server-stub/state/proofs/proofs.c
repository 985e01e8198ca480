/* Proofs: keeps the keys of all devices, and checks messages with them. */
#include "server-stub/state/proofs/keys.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {"good", "again", "none", "wrong", "old"};

const char *flo_proof_word(enum flo_proof_word word)
{
    return words[word];
}

/* ---- keys ---- */

static bool grow(void **items, size_t *capacity, size_t wanted, size_t bytes)
{
    void *grown = wanted <= *capacity ? *items : realloc(*items, wanted * bytes);

    if (grown == NULL) {
        return false;
    }
    *items = grown;
    *capacity = wanted > *capacity ? wanted : *capacity;
    return true;
}

/* Finds a device; NULL: unknown. */
static struct flo_proofs_device *find_device(struct flo_proofs *proofs, const char *id)
{
    size_t number = flo_ids_find(&proofs->ids, id);

    return number == SIZE_MAX ? NULL : &proofs->devices[number];
}

static struct flo_proofs_device *keep_device(struct flo_proofs *proofs, const char *id)
{
    size_t count = proofs->ids.count;
    size_t number = flo_ids_keep(&proofs->ids, id);

    if (number == SIZE_MAX || !grow((void **)&proofs->devices, &proofs->capacity,
                                    proofs->ids.capacity, sizeof(*proofs->devices))) {
        return NULL;
    }
    if (number == count) {
        proofs->devices[number] = (struct flo_proofs_device){0};
    }
    return &proofs->devices[number];
}

/* Parses "<8> n n n n n n d".  The text has the order key of the device's last
 * proof, the highest number that each channel used, in hex, and 1 if the device
 * is gone. */
static void read_used(struct flo_proofs_key *key, const char *text)
{
    char *end;

    if (strlen(text) < sizeof(key->of_order)) {
        return;
    }
    memcpy(key->of_order, text, sizeof(key->of_order) - 1);
    text += sizeof(key->of_order) - 1;
    for (size_t i = 0; i < FLO_PROOFS_CHANNELS; i++) {
        key->used[i] = strtoull(text, &end, 16);
        text = end;
    }
    key->is_gone = strtoull(text, NULL, 16) != 0;
}

static bool is_newer(const struct flo_proofs_key *a, const struct flo_proofs_key *b)
{
    if (a->is_held != b->is_held) {
        return b->is_held;
    }
    return a->issued_at_ms != b->issued_at_ms ? a->issued_at_ms > b->issued_at_ms
                                              : strcmp(a->serial, b->serial) > 0;
}

int flo_proofs_add(struct flo_proofs *proofs, const struct flo_fleet_certificate *row,
                   bool is_newest, struct flo_err *err)
{
    struct flo_public_key point;

    FLO_TRY(flo_public_key_parse(row->key, strlen(row->key), &point, err));
    struct flo_proofs_device *device = keep_device(proofs, row->device);
    size_t serial_bytes = strlen(row->serial) + 1;
    struct flo_proofs_key *key =
        device == NULL ? NULL : calloc(1, offsetof(struct flo_proofs_key, serial) + serial_bytes);
    if (key == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "proofs of devices");
    }
    key->point = point;
    key->issued_at_ms = row->issued_at_ms;
    key->is_held = row->state == FLO_CERTIFICATE_HELD;
    memcpy(key->serial, row->serial, serial_bytes);
    read_used(key, row->proved);
    struct flo_proofs_key **place = &device->newest;
    while (!is_newest && *place != NULL && is_newer(*place, key)) {
        place = &(*place)->older;
    }
    key->older = *place;
    *place = key;
    if (key->of_order[0] != '\0') {
        proofs->proved += !device->is_proved;
        device->is_proved = true;
    }
    return 0;
}

/* Frees this key and all older ones. */
static void drop_keys(struct flo_proofs *proofs, struct flo_proofs_key **from)
{
    while (*from != NULL) {
        struct flo_proofs_key *key = *from;
        *from = key->older;
        proofs->dirty -= key->is_dirty;
        if (key->heard != NULL) {
            flo_secret_wipe(key->heard, sizeof(*key->heard));
        }
        free(key->heard);
        free(key);
    }
}

void flo_proofs_forget(struct flo_proofs *proofs, const char *id)
{
    pthread_mutex_lock(&proofs->mutex);
    struct flo_proofs_device *device = find_device(proofs, id);
    if (device != NULL) {
        drop_keys(proofs, &device->newest);
        proofs->proved -= device->is_proved;
        device->is_proved = false;
    }
    pthread_mutex_unlock(&proofs->mutex);
}

static void leave(struct flo_proofs_key *key)
{
    if (!key->is_left) {
        key->is_left = true;
        key->late_since_ms = flo_now_ms();
    }
}

static bool is_over(const struct flo_proofs_key *key)
{
    return flo_now_ms() - key->late_since_ms > FLO_PROOFS_LATE_MS;
}

void flo_proofs_held(struct flo_proofs *proofs, const char *id, const char *serial)
{
    pthread_mutex_lock(&proofs->mutex);
    const struct flo_proofs_device *device = find_device(proofs, id);
    struct flo_proofs_key *key = device == NULL ? NULL : device->newest;
    while (key != NULL && strcmp(key->serial, serial) != 0) {
        key = key->older;
    }
    if (key != NULL) {
        key->is_held = true;
        if (key->older != NULL) {
            leave(key->older);
            drop_keys(proofs, &key->older->older);
        }
    }
    pthread_mutex_unlock(&proofs->mutex);
}

/* ---- order keys ---- */

/* Copies the key, because another thread reads the original. */
static int copy_key(const struct flo_key *key, struct flo_key **out, struct flo_err *err)
{
    char pem[FLO_KEY_PEM_MAX];

    *out = NULL;
    if (key == NULL) {
        return 0;
    }
    FLO_TRY(flo_key_pem(key, pem, err));
    int rv = flo_key_parse(pem, strlen(pem), out, err);
    flo_secret_wipe(pem, sizeof(pem));
    return rv;
}

int flo_proofs_use(struct flo_proofs *proofs, const struct flo_key *order,
                   const struct flo_key *before, struct flo_err *err)
{
    const struct flo_key *keys[FLO_PROOFS_ORDER_KEYS] = {order, before};
    struct flo_key *copies[FLO_PROOFS_ORDER_KEYS] = {0};
    int rv = 0;

    for (size_t i = 0; i < FLO_PROOFS_ORDER_KEYS && rv == 0; i++) {
        rv = copy_key(keys[i], &copies[i], err);
    }
    pthread_mutex_lock(&proofs->mutex);
    for (size_t i = 0; i < FLO_PROOFS_ORDER_KEYS; i++) {
        flo_key_free(rv < 0 ? copies[i] : proofs->orders[i]);
        proofs->orders[i] = rv < 0 ? proofs->orders[i] : copies[i];
    }
    for (size_t i = 0; i < proofs->ids.count && rv == 0; i++) {
        for (struct flo_proofs_key *key = proofs->devices[i].newest; key != NULL;
             key = key->older) {
            if (key->heard != NULL) {
                flo_secret_wipe(key->heard->secrets, sizeof(key->heard->secrets));
                memset(key->heard->has_secret, 0, sizeof(key->heard->has_secret));
            }
        }
    }
    pthread_mutex_unlock(&proofs->mutex);
    return rv;
}

/* ---- judging ---- */

static bool is_late(const struct flo_proofs_key *key, size_t channel)
{
    return key->late ==
               (channel == FLO_PROOFS_TELE ? FLO_PROOFS_TELE_LATE : FLO_PROOFS_OTHERS_LATE) &&
           !is_over(key);
}

/* Returns the index of the order key for which a proof was made, or
 * FLO_PROOFS_ORDER_KEYS if the device may not use that key any more. */
static size_t order_of(const struct flo_proofs *proofs, const struct flo_proofs_key *key,
                       size_t channel, const struct flo_proof *proof)
{
    bool knows_newest = proofs->orders[0] != NULL &&
                        strncmp(key->of_order, flo_key_public(proofs->orders[0])->keyid,
                                sizeof(key->of_order) - 1) == 0 &&
                        !is_late(key, channel);

    for (size_t i = 0; i < FLO_PROOFS_ORDER_KEYS; i++) {
        if (proofs->orders[i] != NULL && (i == 0 || !knows_newest) &&
            strncmp(proof->controller, flo_key_public(proofs->orders[i])->keyid,
                    sizeof(proof->controller) - 1) == 0) {
            return i;
        }
    }
    return FLO_PROOFS_ORDER_KEYS;
}

/* Returns the secret that a device's key shares with this order key, borrowed.
 * NULL: it cannot be computed. */
static const struct flo_proof_key *secret_of(const struct flo_proofs *proofs,
                                             struct flo_proofs_key *key, size_t order)
{
    struct flo_err err = {0};
    int rv = 0;

    if (key->heard == NULL && (key->heard = calloc(1, sizeof(*key->heard))) == NULL) {
        rv = flo_fail(&err, FLO_E_MEMORY, "a secret of a device");
    }
    if (rv == 0 && !key->heard->has_secret[order]) {
        rv = flo_proof_key_controller(proofs->orders[order], &key->point,
                                      &key->heard->secrets[order], &err);
        key->heard->has_secret[order] = rv == 0;
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_ERROR, "proof", &err);
        return NULL;
    }
    return &key->heard->secrets[order];
}

/* Returns the device's key that made this proof, or NULL.  The key's part
 * `heard` is then allocated. */
static struct flo_proofs_key *maker_of(const struct flo_proofs *proofs,
                                       const struct flo_proofs_device *device, size_t channel,
                                       const struct flo_proof *proof, const char *path,
                                       const char *message)
{
    for (struct flo_proofs_key *key = device->newest;
         key != NULL && !(key->is_left && (channel != FLO_PROOFS_TELE || is_over(key)));
         key = key->older) {
        size_t order = order_of(proofs, key, channel, proof);
        const struct flo_proof_key *secret =
            strncmp(key->point.keyid, proof->device, sizeof(proof->device) - 1) == 0 &&
                    order < FLO_PROOFS_ORDER_KEYS
                ? secret_of(proofs, key, order)
                : NULL;
        if (secret != NULL && flo_proof_holds(proof, secret, path, message)) {
            return key;
        }
    }
    return NULL;
}

static void change(struct flo_proofs *proofs, struct flo_proofs_key *key)
{
    proofs->dirty += !key->is_dirty;
    key->is_dirty = true;
}

/* Marks the device for the next write.  Without memory for the mark, the
 * device's number is written later with all others. */
static void touch(struct flo_proofs *proofs, struct flo_proofs_device *device)
{
    size_t wanted = proofs->touched_count + 1;

    if (!device->is_touched && (wanted <= proofs->touched_capacity ||
                                grow((void **)&proofs->touched, &proofs->touched_capacity,
                                     2 * wanted, sizeof(*proofs->touched)))) {
        device->is_touched = true;
        proofs->touched[proofs->touched_count++] = (uint32_t)(device - proofs->devices);
    }
}

/* Returns whether the messages of a channel are states, of which a new one
 * replaces the one before. */
static bool is_state(size_t channel)
{
    return channel == FLO_PROOFS_REPORTED || channel == FLO_PROOFS_PRESENCE;
}

/* Returns whether a message with a used number is accepted.  Accepted is only
 * the newest message that the broker retains and sends again, and a presence
 * message only if nobody reported the device gone since. */
static bool may_be_again(const struct flo_proofs *proofs, const struct flo_proofs_key *key,
                         size_t channel, uint64_t number)
{
    return number == key->used[channel] && key->heard->seen[channel] != proofs->turn &&
           is_state(channel) && !(channel == FLO_PROOFS_PRESENCE && key->is_gone);
}

/* Notes for which order key the device made its proof.  One of the device's two
 * connections may be behind: its messages may still use the older order key,
 * which does not make that key current again. */
static void note_order(const struct flo_proofs *proofs, struct flo_proofs_key *key, size_t channel,
                       const struct flo_proof *proof)
{
    bool is_newest = proofs->orders[0] != NULL &&
                     strncmp(proof->controller, flo_key_public(proofs->orders[0])->keyid,
                             sizeof(proof->controller) - 1) == 0;
    bool is_other = strcmp(key->of_order, proof->controller) != 0;

    if (!is_other && is_late(key, channel)) {
        key->late = FLO_PROOFS_NONE_LATE;
    } else if (is_other && (is_newest || !is_late(key, channel))) {
        key->late_since_ms = flo_now_ms();
        key->late = key->of_order[0] == '\0'     ? FLO_PROOFS_NONE_LATE
                    : channel == FLO_PROOFS_TELE ? FLO_PROOFS_OTHERS_LATE
                                                 : FLO_PROOFS_TELE_LATE;
        memcpy(key->of_order, proof->controller, sizeof(key->of_order));
    }
}

static enum flo_proof_word use_number(struct flo_proofs *proofs, struct flo_proofs_key *key,
                                      size_t channel, const struct flo_proof *proof)
{
    bool is_again = may_be_again(proofs, key, channel, proof->number);

    if (proof->number <= key->used[channel] && !is_again) {
        return FLO_PROOF_OLD;
    }
    key->heard->seen[channel] = proofs->turn;
    if (is_again) {
        return FLO_PROOF_AGAIN;
    }
    key->used[channel] = proof->number;
    key->is_gone = key->is_gone && channel != FLO_PROOFS_PRESENCE;
    note_order(proofs, key, channel, proof);
    change(proofs, key);
    return FLO_PROOF_GOOD;
}

static enum flo_proof_word judge(struct flo_proofs *proofs, size_t channel,
                                 struct flo_proofs_device *device, const char *path,
                                 const char *message, size_t *bytes)
{
    struct flo_proofs_key *key = NULL;
    struct flo_proof proof;

    if (device != NULL && flo_proof_find(message, *bytes, &proof)) {
        key = maker_of(proofs, device, channel, &proof, path, message);
    }
    if (key == NULL) {
        return device != NULL && device->is_proved ? FLO_PROOF_WRONG : FLO_PROOF_NONE;
    }
    enum flo_proof_word word = use_number(proofs, key, channel, &proof);
    if (word == FLO_PROOF_OLD) {
        return word;
    }
    if (word == FLO_PROOF_GOOD && is_state(channel)) {
        touch(proofs, device);
    }
    if (channel == FLO_PROOFS_TELE && key->older != NULL && key->older->is_left) {
        drop_keys(proofs, &key->older);
    }
    proofs->proved += !device->is_proved;
    device->is_proved = true;
    *bytes = proof.before + 1; /* with a brace */
    return word;
}

static void list_add(struct flo_proofs_list *list, const char *device)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], device) == 0) {
            return;
        }
    }
    if (list->count < FLO_PROOFS_TOLD) {
        snprintf(list->items[list->count++], sizeof(list->items[0]), "%s", device);
    }
}

/* Reports a device in whose name a message without a valid proof arrived.  Only
 * known devices are reported, because strangers can invent names.  A used
 * number is not reported, because the network may deliver a message twice. */
static void tell(struct flo_proofs *proofs, struct flo_proofs_device *device, const char *id,
                 enum flo_proof_word word, bool refuses)
{
    if (word == FLO_PROOF_WRONG || (word == FLO_PROOF_NONE && refuses)) {
        list_add(&proofs->told, id);
    }
    device->old = word == FLO_PROOF_OLD ? device->old + 1 : 0;
    if (device->old == FLO_PROOFS_BEHIND || word == FLO_PROOF_WRONG) {
        device->old = 0;
        list_add(&proofs->behind, id);
    }
}

enum flo_proof_word flo_proofs_judge(struct flo_proofs *proofs, enum flo_topic topic,
                                     const char *id, const char *path, const char *message,
                                     size_t *bytes, bool refuses)
{
    pthread_mutex_lock(&proofs->mutex);
    struct flo_proofs_device *device = find_device(proofs, id);
    enum flo_proof_word word =
        judge(proofs, (size_t)(topic - FLO_TOPIC_REPORTED), device, path, message, bytes);
    proofs->counts[word]++;
    if (device != NULL) {
        tell(proofs, device, id, word, refuses);
    } else if (flo_uuid_is_valid(id)) {
        list_add(&proofs->behind, id);
    }
    pthread_mutex_unlock(&proofs->mutex);
    return word;
}

/* ---- what is asked ---- */

uint64_t flo_proofs_count(struct flo_proofs *proofs, enum flo_proof_word word)
{
    pthread_mutex_lock(&proofs->mutex);
    uint64_t count = proofs->counts[word];
    pthread_mutex_unlock(&proofs->mutex);
    return count;
}

uint64_t flo_proofs_missing(struct flo_proofs *proofs, uint64_t devices)
{
    pthread_mutex_lock(&proofs->mutex);
    uint64_t proved = proofs->proved;
    pthread_mutex_unlock(&proofs->mutex);
    return devices > proved ? devices - proved : 0;
}

static bool list_take(struct flo_proofs *proofs, struct flo_proofs_list *list, char *device)
{
    pthread_mutex_lock(&proofs->mutex);
    bool is_there = list->count > 0;
    if (is_there) {
        memcpy(device, list->items[--list->count], sizeof(list->items[0]));
    }
    pthread_mutex_unlock(&proofs->mutex);
    return is_there;
}

bool flo_proofs_told(struct flo_proofs *proofs, char *device)
{
    return list_take(proofs, &proofs->told, device);
}

bool flo_proofs_behind(struct flo_proofs *proofs, char *device)
{
    return list_take(proofs, &proofs->behind, device);
}

void flo_proofs_gone(struct flo_proofs *proofs, const char *id)
{
    pthread_mutex_lock(&proofs->mutex);
    struct flo_proofs_device *device = find_device(proofs, id);
    for (struct flo_proofs_key *key = device == NULL ? NULL : device->newest; key != NULL;
         key = key->older) {
        if (!key->is_gone) {
            key->is_gone = true;
            change(proofs, key);
            touch(proofs, device);
        }
    }
    pthread_mutex_unlock(&proofs->mutex);
}

void flo_proofs_again(struct flo_proofs *proofs)
{
    pthread_mutex_lock(&proofs->mutex);
    proofs->turn++;
    pthread_mutex_unlock(&proofs->mutex);
}

/* ---- life ---- */

int flo_proofs_new(struct flo_proofs **out, struct flo_err *err)
{
    struct flo_proofs *proofs = calloc(1, sizeof(*proofs));

    if (proofs == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "proofs");
    }
    pthread_mutex_init(&proofs->mutex, NULL);
    proofs->turn = 1;
    *out = proofs;
    return 0;
}

void flo_proofs_free(struct flo_proofs *proofs)
{
    if (proofs == NULL) {
        return;
    }
    for (size_t i = 0; i < proofs->ids.count; i++) {
        drop_keys(proofs, &proofs->devices[i].newest);
    }
    for (size_t i = 0; i < FLO_PROOFS_ORDER_KEYS; i++) {
        flo_key_free(proofs->orders[i]);
    }
    free(proofs->devices);
    free(proofs->touched);
    flo_ids_deinit(&proofs->ids);
    pthread_mutex_destroy(&proofs->mutex);
    free(proofs);
}

/* Kept: the leader's part of the keyring.  Without a shared database there is
 * no keyring. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/keyring/memory.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/transaction.h"

/* Numbers of the keyring that are skipped after a restore.  Fewer are used
 * between two backups. */
#define RESTORED_SKIP 100000

struct flo_keyring_kept *flo_keyring_new(void)
{
    return calloc(1, sizeof(struct flo_keyring_kept));
}

void flo_keyring_free(struct flo_keyring_kept *kept)
{
    if (kept != NULL) {
        flo_keyring_deinit(&kept->as_stored);
    }
    free(kept);
}

static json_t *row_of(const char *name, const char *pem)
{
    return json_pack("{s:s,s:s}", "name", name, "key", pem);
}

/* Copies the list of admitted controllers before a change, so that a failed
 * transaction can restore the list. */
static int remember(struct flo_keyring_kept *kept, struct flo_err *err)
{
    if (kept->before == NULL) {
        kept->before = json_deep_copy(kept->as_stored.controllers);
    }
    return kept->before == NULL ? flo_fail(err, FLO_E_MEMORY, "keyring") : 0;
}

/* Admits the leader itself, which has the files already. */
static int admit_self(struct flo_controller *controller, json_t *list, struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *own = NULL;
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    FLO_TRY(flo_keyring_own(controller->dir, &own, err));
    const char *keyid = flo_key_public(own)->keyid;
    flo_public_key_pem(flo_key_public(own), pem);
    snprintf(controller->keyring->own, sizeof(controller->keyring->own), "%s", keyid);
    if (json_object_get(list, keyid) == NULL) {
        FLO_TRY(remember(controller->keyring, err));
        const char *name = controller->options.name;
        json_object_set_new(list, keyid, row_of(name != NULL ? name : "", pem));
    }
    return 0;
}

struct row {
    struct flo_controller *controller;
    struct flo_err *err;
};

/* Removes dismissed controllers from the list, because an older restored
 * document may still name them. */
static int leave_out_dismissed(struct flo_controller *controller, struct flo_err *err)
{
    json_t *list = controller->keyring->as_stored.controllers;
    const char *keyid;
    json_t *one;
    void *next;

    json_object_foreach_safe(list, next, keyid, one)
    {
        bool is_dismissed = false;
        FLO_TRY(flo_keyring_dismissed(controller->dir, keyid, &is_dismissed, err));
        if (is_dismissed) {
            FLO_TRY(remember(controller->keyring, err));
            json_object_del(list, keyid);
        }
    }
    return 0;
}

static int take_row(void *context, uint64_t number, const char *digest, const char *body)
{
    const struct row *row = context;
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *own = NULL;
    struct flo_controller *controller = row->controller;
    struct flo_err why = {0};

    FLO_TRY(flo_keyring_own(controller->dir, &own, row->err));
    int rv = flo_keyring_open(body, strlen(body), own, flo_pki_ca(controller->pki)->data, NULL,
                              &controller->keyring->as_stored, &why);
    flo_json_secret_cleanup(&controller->keyring->as_stored.files);
    if (rv == FLO_E_MEMORY) {
        return flo_fail(row->err, rv, "keyring");
    }
    if (rv == 0) {
        snprintf(controller->keyring->digest, sizeof(controller->keyring->digest), "%s", digest);
        rv = leave_out_dismissed(controller, row->err);
    } else {
        /* This controller cannot open the stored document, but has the files
         * from elsewhere.  It does not know the other controllers' keys, so
         * people must admit them again. */
        flo_log_err(FLO_LOG_WARN, "keyring", &why);
        controller->keyring->as_stored.number = number;
        rv = 0;
    }
    FLO_TRY(rv);
    return controller->options.is_restored
               ? rv
               : flo_keyring_number_check(controller->dir, number, row->err);
}

static int store(struct flo_controller *controller, json_t *files, const char *digest,
                 struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct flo_keyring next = controller->keyring->as_stored;

    next.files = files;
    next.number++;
    snprintf(next.fleet, sizeof(next.fleet), "%s", controller->fleet);
    FLO_TRY(flo_keyring_seal(&next, flo_pki_oldest(controller->pki)->key, &text, err));
    FLO_TRY(flo_fleet_keyring_put(controller->store, next.number, digest, text.data, err));
    next.files = NULL;
    controller->keyring->as_stored = next;
    return 0;
}

/* Stores the document if the keyring's files changed.  A number whose
 * transaction failed is not used again. */
static int keep(struct flo_controller *controller, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_secret_cleanup) json_t *files = NULL;
    char digest[FLO_KEYRING_DIGEST];

    if (!controller->has_new_files || !flo_controller_is_shared(controller)) {
        return 0;
    }
    int rv = flo_keyring_read(controller->dir, &files, err);
    if (rv == 0) {
        rv = flo_keyring_digest(files, digest, err);
    }
    if (rv == 0 &&
        (controller->keyring->before != NULL || strcmp(digest, controller->keyring->digest) != 0)) {
        rv = store(controller, files, digest, err);
        controller->keyring->is_written = rv == 0;
        snprintf(controller->keyring->digest, sizeof(controller->keyring->digest), "%s",
                 rv == 0 ? digest : "");
    }
    flo_secret_stack_wipe();
    return rv < 0 ? flo_wrap(err, rv, "keyring") : 0;
}

int flo_keyring_load(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_keyring *stored = &controller->keyring->as_stored;
    struct row row = {controller, err};

    if (!flo_controller_is_shared(controller)) {
        return 0;
    }
    FLO_TRY(flo_fleet_keyring(controller->store, take_row, &row, err));
    if (stored->controllers == NULL && (stored->controllers = json_object()) == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "keyring");
    }
    if (controller->options.is_restored) {
        stored->number += RESTORED_SKIP;
    }
    int rv = admit_self(controller, stored->controllers, err);
    controller->has_new_files = true; /* The files may have changed; keep() compares them. */
    FLO_TRY(rv);
    return keep(controller, err);
}

/* ---- who is admitted ---- */

bool flo_keyring_is_admitted(const struct flo_controller *controller, const char *keyid)
{
    return json_object_get(controller->keyring->as_stored.controllers, keyid) != NULL;
}

void flo_keyring_settle(struct flo_controller *controller, bool is_committed)
{
    struct flo_keyring_kept *kept = controller->keyring;
    struct flo_err err = {0};

    if (is_committed) {
        controller->has_new_files = false;
    } else if (kept->before != NULL) {
        json_decref(kept->as_stored.controllers);
        kept->as_stored.controllers = json_incref(kept->before);
    }
    if (kept->is_written && !is_committed) {
        kept->digest[0] = '\0';
    } else if (kept->is_written &&
               flo_keyring_number_set(controller->dir, kept->as_stored.number, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "keyring", &err);
    }
    kept->is_written = false;
    json_decref(kept->before);
    kept->before = NULL;
}

const struct flo_transaction_part flo_keyring_part = {.write = keep, .settle = flo_keyring_settle};

/* Sets the row of the controller with this key in the keyring; NULL removes
 * it. */
static int change(struct flo_controller *controller, const char *keyid, json_t *row_or_null,
                  struct flo_err *err)
{
    json_t *list = controller->keyring->as_stored.controllers;
    int rv = remember(controller->keyring, err);

    if (rv == 0) {
        rv = flo_keyring_dismissed_set(controller->dir, keyid, row_or_null == NULL, err);
    }
    if (rv < 0) {
        json_decref(row_or_null);
        return rv;
    }
    if (row_or_null != NULL) {
        json_object_set_new(list, keyid, row_or_null);
    } else {
        json_object_del(list, keyid);
    }
    controller->has_new_files = true;
    return 0;
}

int flo_keyring_admit(struct flo_controller *controller, const char *name, const char *pem,
                      struct flo_err *err)
{
    json_t *list = controller->keyring->as_stored.controllers;
    struct flo_public_key key;

    FLO_TRY(!flo_controller_is_shared(controller)
                ? flo_fail(err, FLO_E_STATE,
                           "the tables of this controller are in files of its "
                           "own")
                : flo_public_key_parse(pem, strlen(pem), &key, err));
    if (json_object_get(list, key.keyid) == NULL &&
        json_object_size(list) >= FLO_KEYRING_CONTROLLERS_MAX) {
        flo_fail(err, FLO_E_STATE, "%d controllers are admitted already",
                 FLO_KEYRING_CONTROLLERS_MAX);
        return flo_err_fix(err, "flotilla controller dismiss KEYID");
    }
    json_t *row = row_of(name, pem);
    return row == NULL ? flo_fail(err, FLO_E_MEMORY, "keyring")
                       : change(controller, key.keyid, row, err);
}

int flo_keyring_dismiss(struct flo_controller *controller, const char *keyid, struct flo_err *err)
{
    if (strcmp(keyid, controller->keyring->own) == 0) {
        return flo_fail(err, FLO_E_STATE, "this controller leads");
    }
    if (!flo_keyring_is_admitted(controller, keyid)) {
        return flo_fail(err, FLO_E_ABSENT, "no admitted controller %.64s", keyid);
    }
    return change(controller, keyid, NULL, err);
}

/* Seals: opens the key that seals token and user rows (store/seals.h), and
 * seals older rows.  The key is derived from DIR/keys/audit.key, by an
 * agreement with its own public half.  DIR/keys/rows.sealed says that rows were
 * sealed once: from then on a row without a seal has no right.  The marker is a
 * file, so that somebody who can only write to the database cannot make the
 * controller seal all rows again. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server-stub/state/audit/audit.h"
#include "server-stub/state/audit/head.h"
#include "server-stub/state/pki/memory.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/store/seals.h"

#define PURPOSE "flotilla seals of rows 1"
#define MARKER "keys/rows.sealed"

static int use_key(struct flo_controller *controller, const struct flo_key *key,
                   struct flo_err *err)
{
    uint8_t secret[FLO_DIGEST_BYTES];
    int rv = flo_key_agree(key, flo_key_public(key), PURPOSE, secret, err);

    if (rv == 0) {
        flo_fleet_seal_with(controller->store, secret, controller->fleet);
    }
    flo_secret_wipe(secret, sizeof(secret));
    return rv;
}

/* Opens the key of the seals.  A lost key is replaced only on request, because
 * another key makes all seals invalid. */
static int open_key(struct flo_controller *controller, struct flo_key **out, struct flo_err *err)
{
    char path[4096];
    bool was_made;

    FLO_TRY(flo_audit_head_was_made(controller, &was_made, err));
    FLO_TRY(flo_pki_path(controller, "keys/audit.key", path, err));
    if (access(path, F_OK) == 0 || !was_made) {
        return flo_pki_key(controller, "keys/audit.key", path, out, err);
    }
    if (controller->options.seals_again) {
        flo_audit_key_is_new(controller->audit);
        return flo_pki_key(controller, "keys/audit.key", path, out, err);
    }
    flo_log(FLO_LOG_ERROR, "pki",
            "%s is gone: no token and no user has a right; put it back, or "
            "give --seal-again once",
            path);
    return 0;
}

int flo_pki_seals_key(struct flo_controller *controller, struct flo_err *err)
{
    static const uint8_t nobodys[FLO_DIGEST_BYTES]; /* the key of an in-memory store is all zeros */
    struct flo_key *key = NULL;

    if (flo_pki_in_memory(controller)) {
        flo_fleet_seal_with(controller->store, nobodys, controller->fleet);
        return 0;
    }
    int rv = open_key(controller, &key, err);
    if (rv == 0 && key != NULL) {
        rv = use_key(controller, key, err);
    }
    controller->pki->has_seal_key = rv == 0 && key != NULL;
    flo_key_free(key);
    return rv;
}

static int seal_all(struct flo_controller *controller, uint64_t wrong, struct flo_err *err)
{
    const char *why = flo_audit_has_new_key(controller->audit) ? "key made again"
                      : controller->options.seals_again        ? "--seal-again"
                                                               : "first time";
    char detail[96];
    uint64_t count;

    FLO_TRY(flo_controller_begin(controller, err));
    int rv = flo_fleet_seal_all(controller->store, &count, err);
    if (rv == 0) {
        snprintf(detail, sizeof(detail), "%s: %llu rows, %llu were not right", why,
                 (unsigned long long)count, (unsigned long long)wrong);
        flo_log(FLO_LOG_INFO, "pki", "rows were sealed, %s", detail);
        rv = flo_controller_audit(controller, "controller", "rows.seal", "token, user", "ok",
                                  detail, err);
    }
    if (rv < 0) {
        flo_controller_cancel(controller);
        return rv;
    }
    return flo_controller_commit(controller, err);
}

/* Seals the rows of tokens and people.  The marker file is written last, when
 * the sealed rows are on disk. */
int flo_pki_seals_rows(struct flo_controller *controller, struct flo_err *err)
{
    char path[4096];
    uint64_t right, wrong;

    if (!controller->pki->has_seal_key) {
        return 0;
    }
    FLO_TRY(flo_pki_path(controller, MARKER, path, err));
    int rv = flo_fleet_seals_count(controller->store, &right, &wrong, err);
    FLO_TRY(rv);
    bool is_marked = access(path, F_OK) == 0;
    if (controller->options.seals_again || (!is_marked && right == 0 && wrong > 0)) {
        rv = seal_all(controller, wrong, err);
    }
    FLO_TRY(rv);
    if (is_marked) {
        return rv;
    }
    controller->has_new_files = true;
    return flo_file_write(path, "1\n", 2, 0600, err);
}

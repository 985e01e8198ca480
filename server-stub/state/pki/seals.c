/* Seals: opens the key that seals rows (store/seals.h), and seals older rows.
 * The key is derived from DIR/keys/audit.key, by an agreement with its own
 * public half.  DIR/keys/rows.sealed says that rows were sealed once: from then
 * on a row without a seal has no effect.  The marker is a
 * file, so that somebody who can only write to the database cannot make the
 * controller seal all rows again. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server-stub/state/audit/audit.h"
#include "server-stub/state/audit/head.h"
#include "server-stub/state/pki/memory.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/rules/rules.h"
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
            "%s is gone: no token and no user has a right, no rule and no group is known; "
            "put it back, or give --seal-again once",
            path);
    return 0;
}

/* Gets which rows were sealed already, by the marker file: 0 none, 1 those of
 * tokens and people, 2 all. */
static int read_marker(const struct flo_controller *controller, int *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    char path[4096];
    size_t bytes;

    FLO_TRY(flo_pki_path(controller, MARKER, path, err));
    int rv = flo_file_read(path, 16, &text, &bytes, err);
    *out = rv < 0 ? 0 : text[0] == '1' ? 1 : 2;
    return rv == FLO_E_ABSENT ? 0 : rv;
}

static int seal_all(struct flo_controller *controller, bool with_rights, uint64_t wrong,
                    struct flo_err *err)
{
    const char *why = flo_audit_has_new_key(controller->audit) ? "key made again"
                      : controller->options.seals_again        ? "--seal-again"
                                                               : "first time";
    char detail[96];
    uint64_t count;

    FLO_TRY(flo_fleet_seal_all(controller->store, with_rights, &count, err));
    if (count == 0) {
        return 0;
    }
    snprintf(detail, sizeof(detail), "%s: %llu rows, %llu were not right", why,
             (unsigned long long)count, (unsigned long long)wrong);
    flo_log(FLO_LOG_INFO, "pki", "rows were sealed, %s", detail);
    return flo_controller_audit(controller, "controller", "rows.seal",
                                with_rights ? "all" : "group, device, certificate, setting", "ok",
                                detail, err);
}

int flo_pki_seals_open(struct flo_controller *controller, struct flo_err *err)
{
    static const uint8_t nobodys[FLO_DIGEST_BYTES]; /* the key of an in-memory store is all zeros */
    struct flo_key *key = NULL;
    uint64_t right, wrong;
    int marker = 2;

    if (flo_pki_in_memory(controller)) {
        flo_fleet_seal_with(controller->store, nobodys, controller->fleet);
        return flo_fleet_seals_open(controller->store, &right, &wrong, err);
    }
    int rv = open_key(controller, &key, err);
    if (rv == 0 && key != NULL) {
        rv = use_key(controller, key, err);
    }
    controller->pki->has_seal_key = rv == 0 && key != NULL;
    flo_key_free(key);
    FLO_TRY(rv);
    FLO_TRY(read_marker(controller, &marker, err));
    FLO_TRY(flo_fleet_seals_open(controller->store, &right, &wrong, err));
    bool is_all = controller->options.seals_again || (marker == 0 && right == 0);
    bool has_sums = flo_fleet_seals_number(controller->store) > 0;
    return controller->pki->has_seal_key && (is_all || (marker < 2 && !has_sums))
               ? seal_all(controller, is_all, wrong, err)
               : 0;
}

/* The marker file is written last, when the sealed rows are on disk. */
int flo_pki_seals_settle(struct flo_controller *controller, struct flo_err *err)
{
    uint64_t told = flo_audit_head_seals(controller);
    char path[4096];
    int marker;

    if (!controller->pki->has_seal_key) {
        return 0;
    }
    if (flo_fleet_seals_were(controller->store, told)) {
        controller->refuses_unproved = true;
        FLO_TRY(flo_rules_load(controller, err));
    }
    FLO_TRY(read_marker(controller, &marker, err));
    if (marker == 2) {
        return 0;
    }
    FLO_TRY(flo_pki_path(controller, MARKER, path, err));
    controller->has_new_files = true;
    return flo_file_write(path, "2\n", 2, 0600, err);
}

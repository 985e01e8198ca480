/* PKI: its keys, trust and the first admin's token.
 *
 * DIR/pki:    ca.pem and ca*.key (authorities.c), revoked.pem
 *             (certificates.c), server.{key,pem}, mqtt.{key,pem} and
 *             telemetry.{key,pem} (leaves.c)
 * DIR/keys:   order.key
 * DIR/trust:  release-<keyid>.pem
 *
 * With ":memory:" all keys are made and kept in memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/keys.h>
#include <flotilla/plural.h>

#include "base/host/digest.h"

#include "server-stub/core/access/tokens.h"
#include "server-stub/state/clock/clock.h"
#include "server-stub/state/pki/memory.h"
#include "server-stub/state/pki/pki.h"

static int order_key_open(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_pki *pki = controller->pki;
    char path[4096];

    FLO_TRY(flo_pki_key(controller, "keys/order.key", path, &pki->order_key, err));
    flo_public_key_pem(flo_key_public(pki->order_key), pki->order_public_pem);
    return 0;
}

/* Checks whether a missing key may be made.  A key that enrolled devices know
 * is never made again: with another key they would accept no order, and each
 * would have to enrol again. */
static int check_known(const struct flo_controller *controller, struct flo_err *err)
{
    static const char *const names[] = {"pki/ca.pem", "keys/order.key"};
    size_t count = FLO_COUNT(names) - controller->options.makes_order_key;
    struct flo_fleet_device_count found;
    char path[4096];

    FLO_TRY(flo_fleet_device_counts(controller->store, &found, err));
    for (size_t i = 0; i < count && found.devices > 0; i++) {
        FLO_TRY(flo_pki_path(controller, names[i], path, err));
        if (access(path, F_OK) < 0 && errno == ENOENT) {
            return flo_fail(err, FLO_E_KEYS_ABSENT, "%s is not there, and %llu device%s %s it",
                            path, (unsigned long long)found.devices, flo_s(found.devices),
                            flo_plural(found.devices, "knows", "know"));
        }
    }
    return 0;
}

void flo_pki_keyless(struct flo_pki *pki, bool has_keyless)
{
    pki->has_keyless = has_keyless;
}

int flo_pki_open(struct flo_controller *controller, struct flo_err *err)
{
    static const char *const folders[] = {"pki", "keys", "trust", "blobs", "mosquitto"};
    char path[4096];

    FLO_TRY(flo_pki_in_memory(controller) ? 0 : check_known(controller, err));
    for (size_t i = 0; i < FLO_COUNT(folders) && !flo_pki_in_memory(controller); i++) {
        FLO_TRY(flo_pki_path(controller, folders[i], path, err));
        FLO_TRY(flo_dir_make(path, 0700, err));
    }
    FLO_TRY(flo_pki_seals_open(controller, err));
    int rv = flo_pki_authorities_open(controller, err);
    if (rv == 0) {
        rv = order_key_open(controller, err);
    }
    if (rv == 0) {
        rv = flo_pki_path(controller, "pki/revoked.pem", controller->pki->files.revoked_file, err);
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "keys");
    }
    FLO_TRY(flo_pki_leaves(controller, err));
    return flo_clock_is_leapt(controller) ? 0 : flo_pki_revoked_write(controller, err);
}

struct flo_pki *flo_pki_new(void)
{
    return calloc(1, sizeof(struct flo_pki));
}

void flo_pki_free(struct flo_pki *pki)
{
    if (pki != NULL) {
        flo_pki_authorities_close(pki);
        flo_key_free(pki->order_key);
    }
    free(pki);
}

/* ---- tokens ---- */

int flo_token_make(struct flo_controller *controller, const struct flo_fleet_token *spec, char *id,
                   char *out, struct flo_err *err)
{
    uint8_t random[38];
    struct flo_fleet_token token = *spec;

    flo_random(random, sizeof(random));
    flo_access_token_text(random, id, out);
    flo_secret_wipe(random, sizeof(random));
    token.id = id;
    token.kind = "access";
    token.group = "";
    token.created_at_ms = flo_wall_ms();
    flo_sha256(out, strlen(out), &token.secret);
    return flo_fleet_token_add(controller->store, &token, err);
}

int flo_pki_admin_token(struct flo_controller *controller, struct flo_err *err)
{
    char id[FLO_TOKEN_ID_TEXT];
    char text[FLO_TOKEN_TEXT + 1];
    char path[4096];
    char made[8];
    struct flo_fleet_token spec = {.name = "admin", .role = "admin"};

    FLO_TRY(flo_fleet_setting_get(controller->store, "admin", made, sizeof(made), err));
    if (made[0] != '\0' || flo_pki_in_memory(controller)) {
        return 0;
    }
    FLO_TRY(flo_pki_path(controller, "admin.token", path, err));
    FLO_TRY(flo_token_make(controller, &spec, id, text, err));
    strcat(text, "\n");
    int rv = flo_file_write(path, text, strlen(text), 0600, err);
    flo_secret_wipe(text, sizeof(text));
    FLO_TRY(rv);
    return flo_fleet_setting_set(controller->store, "admin", "1", err);
}

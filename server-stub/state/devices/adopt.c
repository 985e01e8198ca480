/* Adopt: devices that enrolled after the backup from which the data come.  An
 * authority of the fleet issued their certificates, and no row names them. */
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/devices/devices.h"
#include "server-stub/state/foreign.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/proofs/proofs.h"
#include "server-stub/state/telemetry_link.h"

/* Certificate of an unknown device; serial "": none is kept. */
struct found {
    const char *id;
    char serial[65], key[FLO_PUBLIC_KEY_PEM_MAX];
    uint64_t issued_at_ms;
};

static int find(void *context, const struct flo_fleet_certificate *one)
{
    struct found *found = context;

    if (strcmp(one->device, found->id) == 0 && one->key[0] != '\0') {
        snprintf(found->serial, sizeof(found->serial), "%s", one->serial);
        snprintf(found->key, sizeof(found->key), "%s", one->key);
        found->issued_at_ms = one->issued_at_ms;
    }
    return 0;
}

/* Returns the name of the authority that issued the certificate; "": it was
 * retired. */
static const char *authority_of(const struct flo_pki *pki, const struct flo_buf *pem)
{
    for (size_t i = 0; i < flo_pki_authority_count(pki); i++) {
        const struct flo_authority *one = flo_pki_authority_at(pki, i);
        if (flo_certificate_is_by(pem->data, pem->bytes, one->pem, one->bytes, NULL) == 0) {
            return one->name;
        }
    }
    return "";
}

int flo_devices_unknown(struct flo_controller *controller, const struct flo_buf *pem,
                        const char *address, struct flo_err *err)
{
    struct flo_certificate facts;
    struct found none = {.id = ""};
    char key[FLO_PUBLIC_KEY_PEM_MAX], what[112];

    FLO_TRY(flo_certificate_read(pem->data, pem->bytes, &facts, err));
    snprintf(what, sizeof(what), "%.36s at %.60s", facts.common_name, address);
    flo_foreign_device(controller, FLO_FOREIGN_DEVICE, "known authority, unknown device", what);
    int rv = flo_fleet_certificate_get(controller->store, facts.serial, find, &none, err);
    if (rv != FLO_E_ABSENT) {
        return rv;
    }
    flo_public_key_pem(&facts.key, key);
    return flo_fleet_certificate_add(
        controller->store,
        &(struct flo_fleet_certificate){.serial = facts.serial,
                                        .device = facts.common_name,
                                        .authority = authority_of(controller->pki, pem),
                                        .state = FLO_CERTIFICATE_UNKNOWN,
                                        .issued_at_ms = facts.not_before_ms,
                                        .until_ms = facts.not_after_ms,
                                        .key = key,
                                        .proved = ""},
        err);
}

int flo_devices_adopt(struct flo_controller *controller, const char *id, const char *name,
                      struct flo_err *err)
{
    static const char groups[][FLO_NAME_MAX + 1] = {"all"};
    struct found found = {.id = id};
    char own[FLO_NAME_MAX + 1];

    FLO_TRY(flo_fleet_certificate_list(controller->store, FLO_CERTIFICATE_UNKNOWN, flo_wall_ms(),
                                       find, &found, err));
    if (found.serial[0] == '\0') {
        flo_fail(err, FLO_E_ABSENT, "no unknown device %.40s asked for its certificate", id);
        return flo_err_fix(err, "flotilla device unknown lists those that did; one that is on asks "
                                "within ten minutes");
    }
    snprintf(own, sizeof(own), "dev-%.8s", id);
    const struct flo_fleet_device device = {.id = id,
                                            .name = name[0] != '\0' ? name : own,
                                            .labels = "{}",
                                            .profile = "{}",
                                            .groups = "[\"all\"]",
                                            .enrolled_at_ms = found.issued_at_ms};
    const struct flo_fleet_certificate row = {.serial = found.serial,
                                              .device = id,
                                              .state = FLO_CERTIFICATE_ISSUED,
                                              .issued_at_ms = found.issued_at_ms,
                                              .key = found.key,
                                              .proved = ""};
    FLO_TRY(flo_groups_enrol(controller, groups[0], err));
    flo_telemetry_link_device(controller, id, NULL);
    FLO_TRY(flo_fleet_device_add(controller->store, &device, groups, 1, err));
    FLO_TRY(flo_fleet_certificate_adopt(controller->store, found.serial, err));
    FLO_TRY(flo_proofs_issued(controller->proofs, &row, err));
    flo_foreign_over(controller, FLO_FOREIGN_DEVICE, id);
    flo_outgoing_desired(controller, id);
    flo_outgoing_ask(controller, id, "");
    flo_outgoing_change(controller, FLO_OBJECT_DEVICE, id);
    return 0;
}

#include "server-stub/state/devices/twins.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/mqtt.h>

#include "server-stub/core/device/lives.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/foreign.h"
#include "server-stub/state/outgoing.h"

#define REPORT_BYTES_MAX 65536
#define MACHINE_BYTES 56
#define DEVICES_MAX 16 /* devices whose machines are remembered; a further one forgets them */
#define MACHINES_MAX 8 /* starts of the agents on the machines of one device */

static int take_report(void *context, const struct flo_fleet_device *device)
{
    (void)!flo_json_parse(device->reported, strlen(device->reported), REPORT_BYTES_MAX, context,
                          NULL);
    return 0;
}

/* ---- machines ---- */

static void note(struct flo_controller *controller, const char *device, const json_t *report)
{
    const json_t *life = json_object_get(report, "life");
    const char *boot = flo_json_text(life, "id", "");
    json_t *entry = json_object_get(controller->twins, device);
    char host[FLO_NAME_MAX + 1], address[FLO_NAME_MAX + 1], serial[FLO_NAME_MAX + 1];

    if (!flo_uuid_is_valid(boot)) {
        return;
    }
    if (entry == NULL) {
        if (controller->twins == NULL || json_object_size(controller->twins) == DEVICES_MAX) {
            json_decref(controller->twins);
            controller->twins = json_object();
        }
        entry = json_pack("{s:{}}", "machines");
        json_object_set_new(controller->twins, device, entry);
    }
    json_t *machines = json_object_get(entry, "machines");
    if (json_object_size(machines) == MACHINES_MAX) {
        json_object_clear(machines);
    }
    flo_json_copy_text(life, "host", host, sizeof(host));
    flo_json_copy_text(life, "address", address, sizeof(address));
    flo_json_copy_text(life, "serial", serial, sizeof(serial));
    json_object_set_new(machines, boot,
                        json_pack("{s:s, s:s, s:s, s:s, s:I}", "boot", boot, "host", host,
                                  "address", address, "serial", serial, "heard_at_ms",
                                  (json_int_t)flo_wall_ms()));
}

static bool is_heard(const json_t *machine)
{
    return flo_json_number(machine, "heard_at_ms") + FLO_LIVES_TWICE_MS > flo_wall_ms();
}

json_t *flo_twins_machines(const struct flo_controller *controller, const char *device)
{
    json_t *machines = json_object_get(json_object_get(controller->twins, device), "machines");
    json_t *list = json_array();
    const char *boot;
    json_t *machine;

    json_object_foreach(machines, boot, machine)
    {
        if (is_heard(machine)) {
            json_array_append(list, machine);
        }
    }
    return list;
}

/* ---- one of them keeps the identity ---- */

int flo_twins_keep(struct flo_controller *controller, const char *device, const char *boot,
                   struct flo_err *err)
{
    json_t *entry = json_object_get(controller->twins, device);

    if (json_object_get(json_object_get(entry, "machines"), boot) == NULL) {
        flo_fail(err, FLO_E_ABSENT, "no machine with boot %.40s uses this identity", boot);
        return flo_err_fix(err, "flotilla device split NAME lists the machines that do");
    }
    json_object_set_new(entry, "kept", json_string(boot));
    json_object_del(entry, "serial");
    flo_outgoing_renewal(controller, device);
    return 0;
}

const char *flo_twins_kept(const struct flo_controller *controller, const char *device)
{
    const json_t *entry = json_object_get(controller->twins, device);
    const char *kept = flo_json_text(entry, "kept", "");

    return is_heard(json_object_get(json_object_get(entry, "machines"), kept)) ? kept : NULL;
}

int flo_twins_may_renew(const struct flo_controller *controller, const char *device,
                        const char *life, struct flo_err *err)
{
    const char *kept = flo_twins_kept(controller, device);

    if (kept == NULL || strcmp(kept, life) == 0) {
        return 0;
    }
    flo_fail(err, FLO_E_MQTT_IDENTITY, "the machine with boot %s keeps this identity", kept);
    return flo_err_fix(err, "remove the identity of this machine, and enrol it with a new token");
}

void flo_twins_renewed(struct flo_controller *controller, const char *device, const char *serial)
{
    json_t *entry = json_object_get(controller->twins, device);

    if (json_object_get(entry, "kept") != NULL) {
        json_object_set_new(entry, "serial", json_string(serial));
    }
}

int flo_twins_held(struct flo_controller *controller, const char *device, const char *serial,
                   struct flo_err *err)
{
    struct flo_lives *lives = flo_fleet_device_lives(controller->store, device);
    const json_t *entry = json_object_get(controller->twins, device);
    const char *renewed = flo_json_text(entry, "serial", NULL); /* a device may tell "" */

    if (renewed == NULL || strcmp(renewed, serial) != 0) {
        return 0;
    }
    FLO_TRY(flo_fleet_certificate_revoke(controller->store, device, serial, err));
    flo_log(FLO_LOG_INFO, "device", "device %s: the machine with boot %s keeps the identity",
            device, flo_json_text(entry, "kept", "?"));
    json_object_del(controller->twins, device);
    if (lives != NULL) {
        *lives = (struct flo_lives){.ids = {lives->ids[0]}};
    }
    flo_foreign_over(controller, FLO_FOREIGN_IDENTITY, device);
    controller->outgoing->has_retired = true; /* the list of revoked certificates is new */
    flo_outgoing_ask(controller, device, "");
    return 0;
}

/* ---- being told ---- */

/* Writes "HOST (ADDRESS, serial SERIAL)" without what the machine did not tell. */
static void write_machine(const json_t *report, char out[static MACHINE_BYTES])
{
    const json_t *life = json_object_get(report, "life");
    const char *address = flo_json_text(life, "address", "");
    const char *serial = flo_json_text(life, "serial", "");
    char text[2 * MACHINE_BYTES];

    snprintf(text, sizeof(text), "%.20s (%.15s%s%.10s)", flo_json_text(life, "host", "?"), address,
             serial[0] == '\0' ? "" : ", serial ", serial);
    flo_text_clean(text, strlen(text), out, MACHINE_BYTES);
}

/* Records the machine of the stored report and that of the new one. */
static int tell(struct flo_controller *controller, const char *device, const json_t *report,
                struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *before = NULL;
    char machines[2][MACHINE_BYTES];
    char what[160];

    FLO_TRY(flo_fleet_device_get(controller->store, device, take_report, &before, err));
    write_machine(before, machines[0]);
    write_machine(report, machines[1]);
    bool is_turned = strcmp(machines[0], machines[1]) > 0;
    note(controller, device, before);
    snprintf(what, sizeof(what), "%s: %s and %s", device, machines[is_turned],
             machines[!is_turned]);
    flo_foreign_device(controller, FLO_FOREIGN_IDENTITY, "two machines have one identity", what);
    return 0;
}

/* Returns the text about a device's two machines. */
static const char *find_text(const struct flo_controller *controller, const char *device)
{
    enum flo_foreign_kind kind;
    const char *what;

    for (size_t i = 0; flo_foreign_at(controller, i, flo_wall_ms(), &kind, &what); i++) {
        if (kind == FLO_FOREIGN_IDENTITY && strncmp(what, device, strlen(device)) == 0) {
            return what + strlen(device) + 2;
        }
    }
    return "another one";
}

int flo_twins_look(struct flo_controller *controller, const char *device, json_t *report,
                   bool *is_twice, struct flo_err *err)
{
    const char *id = json_string_value(json_object_get(json_object_get(report, "life"), "id"));
    struct flo_lives *lives = flo_fleet_device_lives(controller->store, device);
    uint64_t now_ms = flo_now_ms();

    *is_twice = false;
    if (lives == NULL || !flo_uuid_is_valid(id)) {
        return 0;
    }
    bool is_back = flo_lives_heard(lives, (strtoull(id, NULL, 16) << 32) + 1, now_ms);
    *is_twice = flo_lives_are_two(lives, now_ms);
    if (*is_twice && is_back) {
        FLO_TRY(tell(controller, device, report, err));
    }
    if (*is_twice) {
        note(controller, device, report);
        if (flo_twins_kept(controller, device) != NULL) {
            flo_outgoing_renewal(controller, device);
        }
        json_object_set_new(report, "degraded",
                            json_pack("{s:s, s:o, s:I}", "id", flo_error_id(FLO_E_MQTT_IDENTITY),
                                      "text",
                                      json_sprintf("two machines use this identity: %s",
                                                   find_text(controller, device)),
                                      "since_ms", (json_int_t)flo_wall_ms()));
    }
    return 0;
}

bool flo_twins_are(struct flo_controller *controller, const char *device)
{
    const struct flo_lives *lives = flo_fleet_device_lives(controller->store, device);

    return lives != NULL && flo_lives_are_two(lives, flo_now_ms());
}

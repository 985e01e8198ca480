#include "server-stub/state/devices/twins.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/mqtt.h>

#include "server-stub/core/device/lives.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/foreign.h"

#define REPORT_BYTES_MAX 65536
#define MACHINE_BYTES 56

static int take_report(void *context, const struct flo_fleet_device *device)
{
    (void)!flo_json_parse(device->reported, strlen(device->reported), REPORT_BYTES_MAX, context,
                          NULL);
    return 0;
}

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
    snprintf(what, sizeof(what), "%s: %s and %s", device, machines[is_turned],
             machines[!is_turned]);
    flo_foreign_twice(controller, what);
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

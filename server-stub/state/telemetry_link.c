/* Telemetry link: informs the telemetry thread (the lane) which devices and
 * releases exist. */
#include <string.h>

#include "server-stub/state/proofs/proofs.h"
#include "server-stub/state/telemetry_link.h"
#include "server-stub/store/fleet.h"

static void tell(struct flo_controller *controller, const char *device, const char *hardware)
{
    if (flo_fleet_device_hardware(controller->store, device, hardware)) {
        flo_lane_device(controller->lane, device, hardware);
    }
}

void flo_telemetry_link_device(struct flo_controller *controller, const char *device,
                               const json_t *profile_or_null)
{
    char hardware[FLO_HARDWARE_TEXT];

    flo_hardware_class(profile_or_null, hardware);
    tell(controller, device, hardware);
}

static int tell_device(void *context, const struct flo_select_device *device)
{
    const union flo_select_value *values = device->values;
    char hardware[FLO_HARDWARE_TEXT];

    flo_hardware_class_of(values[FLO_SELECT_ARCH].text, values[FLO_SELECT_KERNEL].text,
                          values[FLO_SELECT_MEMORY].number, hardware);
    tell(context, values[FLO_SELECT_ID].text, hardware);
    return 0;
}

/* Writes the names of a release's variants, a blank before each; nothing if it
 * has one. */
static void list_variants(const char *body, char out[FLO_LANE_VARIANTS])
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    size_t used = 0;

    out[0] = '\0';
    if (body == NULL ||
        flo_json_parse(body, strlen(body), FLO_RELEASE_BYTES_MAX, &json, NULL) < 0) {
        return;
    }
    const json_t *variants = json_object_get(json, "variants");
    size_t count = json_array_size(variants);
    for (size_t i = 0; count > 1 && count <= FLO_RELEASE_VARIANTS_MAX && i < count; i++) {
        const char *name = json_string_value(json_object_get(json_array_get(variants, i), "name"));
        if (flo_name_is_valid(name)) {
            used += (size_t)snprintf(out + used, FLO_LANE_VARIANTS - used, " %s", name);
        }
    }
}

void flo_telemetry_link_release(struct flo_controller *controller,
                                const struct flo_fleet_release *release)
{
    char variants[FLO_LANE_VARIANTS];

    list_variants(release->body, variants);
    flo_lane_release(controller->lane, release->digest, release->model, release->version, variants);
}

static int tell_release(void *context, const struct flo_fleet_release *release)
{
    flo_telemetry_link_release(context, release);
    return 0;
}

/* Checks a telemetry message's proof, and returns whether the message is
 * accepted.  Called on the telemetry thread. */
static bool may_come(void *context, const char *device, const struct flo_mqtt_message *message)
{
    const struct flo_controller *controller = context;
    bool refuses = controller->refuses_unproved;
    size_t bytes = message->bytes;
    enum flo_proof_word word = flo_proofs_judge(controller->proofs, FLO_TOPIC_TELE, device,
                                                message->topic, message->data, &bytes, refuses);

    return word == FLO_PROOF_GOOD || (word == FLO_PROOF_NONE && !refuses);
}

/* Sets up the handover, by which leaders that share a database pass telemetry
 * evidence on. */
static int hand_on(struct flo_controller *controller, struct flo_err *err)
{
    const struct flo_controller_options *options = &controller->options;
    struct flo_handed *handed = NULL;

    FLO_TRY(options->store != NULL && options->epoch != 0
                ? flo_handed_open(options->store, options->epoch, &handed, err)
                : 0);
    if (handed != NULL) {
        flo_lane_hand_on(controller->lane, handed);
    }
    return 0;
}

int flo_telemetry_link_open(struct flo_controller *controller, struct flo_err *err)
{
    uint64_t block_ms = controller->options.evidence_block_ms;

    FLO_TRY(flo_lane_open(controller->dir, controller->fleet,
                          block_ms > 0 ? block_ms : FLO_BLOCK_MS, &controller->lane, err));
    FLO_TRY(hand_on(controller, err));
    flo_lane_judge(controller->lane, (struct flo_lane_judge){may_come, controller});
    FLO_TRY(flo_fleet_facts_each(controller->store, NULL, tell_device, controller, err));
    return flo_fleet_release_list(controller->store, tell_release, controller, err);
}

/* Show: prints a rollout for people: a line for each phase, and the important
 * devices.
 *
 * Ten thousand rows would hide the three that failed, so those come first.
 * Devices that wait for their turn or are done are only counted. */
#include <string.h>

#include <flotilla/plural.h>
#include <flotilla/proto.h>

#include "server-stub/cli/rollout/rollout.h"
#include "server-stub/cli/view/view.h"

#define DEVICES_SHOWN 20

static void print_phases(const json_t *rollout)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    size_t i;
    json_t *phase;

    json_array_foreach(json_object_get(rollout, "phases"), i, phase)
    {
        flo_view_phase(phase, &text);
    }
    printf("%s", text.data != NULL ? text.data : "");
}

/* Groups in which devices are shown, in this order. */
enum rank { BAD, UNDER_WAY, WAITS, GOOD, RANKS };

static enum rank rank_of(const json_t *device)
{
    const char *word = flo_out_text(device, "state", "");
    enum flo_execution state;

    if (json_is_object(json_object_get(device, "error"))) {
        return BAD;
    }
    for (int i = 0; i < FLO_EXECUTION_COUNT; i++) {
        state = (enum flo_execution)i;
        if (strcmp(flo_execution_word(state), word) == 0) {
            return state == FLO_EXECUTION_QUEUED                         ? WAITS
                   : !flo_execution_is_end(state)                        ? UNDER_WAY
                   : flo_execution_kind(state) == FLO_EXECUTION_END_GOOD ? GOOD
                                                                         : BAD;
        }
    }
    return BAD;
}

/* Chooses the devices that are shown: all of a small rollout, and of a large
 * one those that neither wait for their turn nor are done. */
static json_t *chosen(const json_t *devices, size_t shown)
{
    json_t *list = json_array();
    enum rank most = json_array_size(devices) <= shown ? RANKS : WAITS;

    for (enum rank rank = BAD; rank < most; rank++) {
        json_t *device;
        size_t i;
        json_array_foreach(devices, i, device)
        {
            if (json_array_size(list) < shown && rank_of(device) == rank) {
                json_array_append(list, device);
            }
        }
    }
    return list;
}

void flo_rollout_print_saved(uint64_t bytes, uint64_t full_bytes)
{
    char text[32];

    if (full_bytes > bytes && bytes > 0) {
        flo_out_bytes(full_bytes, text);
        printf(" (full would be %s; saved %.0f %%)", text,
               100.0 * (double)(full_bytes - bytes) / (double)full_bytes);
    }
    printf("\n");
}

static void print_transfer(const json_t *rollout)
{
    const json_t *transfer = json_object_get(rollout, "transfer");
    uint64_t bytes = flo_out_u64(transfer, "bytes");
    char text[32];

    if (transfer != NULL) {
        flo_out_bytes(bytes, text);
        printf("fetched %s by %llu device%s", text,
               (unsigned long long)flo_out_u64(transfer, "devices"),
               flo_s(flo_out_u64(transfer, "devices")));
        flo_rollout_print_saved(bytes, flo_out_u64(transfer, "full_bytes"));
        bytes = flo_out_u64(transfer, "neighbour_bytes");
    }
    if (transfer != NULL && bytes > 0) {
        flo_out_bytes(bytes, text);
        printf("%s of it came from neighbours, not over the uplink\n", text);
    }
}

void flo_rollout_print_devices(const struct flo_cli *cli, const json_t *rollout)
{
    const json_t *devices = json_object_get(rollout, "devices");
    size_t here = json_array_size(devices);
    uint64_t members = flo_out_u64(rollout, "members");
    uint64_t all = devices != NULL && members > here ? members : here;
    bool is_wide = flo_out_form(cli) == FLO_OUT_WIDE;
    FLO_CLEANUP(flo_json_cleanup)
    json_t *list = chosen(devices, is_wide ? here : DEVICES_SHOWN);
    size_t count = json_array_size(list);

    print_phases(rollout);
    print_transfer(rollout);
    if (count > 0 || all == 0) {
        flo_out_table(cli, list, FLO_COLUMNS(rollout_device));
    }
    if (count < all) {
        printf("%llu more device%s: -o wide\n", (unsigned long long)(all - count),
               flo_s(all - count));
    }
}

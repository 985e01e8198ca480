/* Where: implements `rollout explain --devices`, which prints the found slices
 * device by device. */
#include <stdio.h>
#include <string.h>

#include <flotilla/plural.h>

#include "server-stub/cli/rollout/rollout.h"

/* Builds the row of a device.  `release` tells whether it has the "new" or the
 * "old" one.  A device with the old one has no wave. */
static json_t *row_of(const json_t *device)
{
    json_t *row = json_deep_copy(device);
    bool is_updated = json_is_true(json_object_get(device, "updated"));

    json_object_set_new(row, "release", json_string(is_updated ? "new" : "old"));
    if (!is_updated) {
        json_object_del(row, "wave");
    }
    return row;
}

static void print_slice(const struct flo_cli *cli, const json_t *slice)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *rows = json_array();
    const json_t *devices = json_object_get(slice, "devices");
    uint64_t members = flo_out_u64(slice, "members");
    uint64_t listed = json_array_size(devices);
    char plain[FLO_OUT_PLAIN];
    json_t *device;
    size_t i;

    printf("%s\n", flo_out_plain(slice, "text", "?", plain));
    json_array_foreach((json_t *)(uintptr_t)devices, i, device)
    {
        json_array_append_new(rows, row_of(device));
    }
    if (listed > 0) {
        flo_out_table(cli, rows, FLO_COLUMNS(slice_device));
    }
    if (members > listed) {
        printf("%llu more device%s there\n", (unsigned long long)(members - listed),
               flo_s(members - listed));
    }
    printf("\n");
}

int flo_rollout_explain_devices(struct flo_cli *cli, const char *id, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    const json_t *items;
    char path[256];
    json_t *slice;
    size_t i;

    snprintf(path, sizeof(path), "/v1/rollouts/%s/slices", id);
    FLO_TRY(flo_api_get(cli, path, &answer, err));
    items = json_object_get(answer, "items");
    if (flo_out_is_data(cli)) {
        flo_out_json(cli, items);
        return 0;
    }
    json_array_foreach((json_t *)(uintptr_t)items, i, slice)
    {
        print_slice(cli, slice);
    }
    if (json_array_size(items) == 0) {
        printf("no label of its devices stands out\n");
    }
    return 0;
}

/* Plan rows: writes the targets of a plan, and the devices that it lists. */
#include <string.h>

#include "server-stub/state/recall/plan.h"

/* Returns the row that counts devices with this way and this target, and adds
 * it if missing. */
static json_t *target_row(json_t *targets, const char *way, const char *to)
{
    size_t i;
    json_t *row;

    json_array_foreach(targets, i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "way")), way) == 0 &&
            strcmp(json_string_value(json_object_get(row, "to")), to) == 0) {
            return row;
        }
    }
    row = json_pack("{s:s,s:s,s:i,s:i,s:i,s:i}", "way", way, "to", to, "devices", 0, "online", 0,
                    "offline", 0, "bytes_each", 0);
    json_array_append_new(targets, row);
    return row;
}

void flo_plan_take(struct flo_orders_plan *plan, size_t place, const char *way, const char *to,
                   bool is_online, uint64_t bytes, json_t *item)
{
    json_t *row = target_row(plan->targets[place], way, to);

    flo_json_count(row, "devices", 1);
    flo_json_count(row, is_online ? "online" : "offline", 1);
    json_integer_set(json_object_get(row, "bytes_each"), (json_int_t)bytes);
    if (json_array_size(plan->items[place]) < FLO_PLAN_DEVICES) {
        json_array_append(plan->items[place], item);
    }
    json_decref(item);
}

/* Tell: sends a device a numbered, signed statement with its groups.  A device
 * reports which groups it knows.  While they differ from the store's, its
 * desired document carries the statement. */
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/membership/tell.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/store/groups.h"

/* Pause after which a device that still knows other groups gets a new
 * statement.  It has a new number, because the controller's data may be older
 * than what the device knows. */
#define AGAIN_MS 600000

struct wanted {
    char groups[FLO_GROUPS_MAX * (FLO_NAME_MAX + 3) + 3]; /* JSON */
    bool is_any;  /* the desired document has a statement about groups */
    bool is_said; /* that statement names the device's present groups */
};

static int take_groups(void *context, const struct flo_fleet_device *device)
{
    struct wanted *wanted = context;

    snprintf(wanted->groups, sizeof(wanted->groups), "%s", device->groups);
    return 0;
}

static int take_statement(void *context, const struct flo_fleet_group_statement *statement)
{
    struct wanted *wanted = context;

    wanted->is_any = statement->envelope[0] != '\0';
    wanted->is_said = wanted->is_any && strcmp(statement->groups, wanted->groups) == 0 &&
                      flo_wall_ms() < statement->issued_at_ms + AGAIN_MS &&
                      flo_wall_ms() >= statement->issued_at_ms;
    return 0;
}

static int read_names(const char *text, struct flo_order *order, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *names = NULL;

    FLO_TRY(flo_json_parse(text, strlen(text), 1 << 16, &names, err));
    for (size_t i = 0; i < json_array_size(names) && order->group_count < FLO_GROUPS_MAX; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        snprintf(order->groups[order->group_count++], sizeof(order->groups[0]), "%.64s",
                 name != NULL ? name : "");
    }
    return 0;
}

static int sign(struct flo_controller *controller, const char *device, const struct wanted *wanted,
                struct flo_err *err)
{
    struct flo_order order = {.op = FLO_ORDER_GROUPS, .by = "controller"};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) envelope = {0};
    int rv = read_names(wanted->groups, &order, err);

    snprintf(order.scope.device, sizeof(order.scope.device), "%s", device);
    order.scope.bucket_to = FLO_BUCKETS;
    if (rv == 0) {
        rv = flo_orders_sign_alone(controller, &order, &envelope, err);
    }
    if (rv == 0) {
        rv = flo_fleet_group_statement_set(
            controller->store, device,
            &(struct flo_fleet_group_statement){wanted->groups, envelope.data, order.issued_at_ms},
            err);
    }
    flo_outgoing_desired(controller, device);
    return rv;
}

/* Removes the statement from the desired document, because the device now knows
 * its groups. */
static int untell(struct flo_controller *controller, const char *device, struct flo_err *err)
{
    struct wanted wanted = {.is_said = false};

    FLO_TRY(flo_fleet_group_statement_get(controller->store, device, take_statement, &wanted, err));
    if (!wanted.is_any) {
        return 0;
    }
    flo_outgoing_desired(controller, device);
    return flo_fleet_group_statement_set(controller->store, device,
                                         &(struct flo_fleet_group_statement){"", "", 0}, err);
}

int flo_groups_tell(struct flo_controller *controller, const char *device, struct flo_err *err)
{
    struct wanted wanted = {.is_said = false};
    enum flo_groups_news news = flo_fleet_groups_news(controller->store, device);

    if (news != FLO_GROUPS_DIFFER) {
        return news == FLO_GROUPS_TOLD ? untell(controller, device, err) : 0;
    }
    FLO_TRY(flo_fleet_device_get(controller->store, device, take_groups, &wanted, err));
    FLO_TRY(flo_fleet_group_statement_get(controller->store, device, take_statement, &wanted, err));
    return wanted.is_said ? 0 : sign(controller, device, &wanted, err);
}

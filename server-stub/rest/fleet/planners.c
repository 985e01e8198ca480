/* REST: planners of rollouts and orders.  The last step asks the telemetry
 * thread for the baseline of each device. */
#include <stdlib.h>

#include "base/host/yaml.h"

#include "server-stub/rest/rest.h"
#include "server-stub/state/forecast/forecast.h"
#include "server-stub/state/recall/recall.h"
#include "server-stub/state/rollouts/view.h"

/* ---- a rollout ---- */

struct of_rollout {
    struct flo_controller *controller;
    struct flo_rollout_entry *entry;
    struct flo_forecast_plan *forecast;
    json_t *file; /* the specification in the form for `rollout start --file` */
    json_t *out;  /* the plan; NULL: the first slice of work has not run yet */
};

static int first_slice(struct of_rollout *plan, struct flo_err *err)
{
    FLO_TRY(flo_rollouts_labels_read(plan->controller, plan->entry, err));
    FLO_TRY(flo_object_rollout(plan->controller, plan->entry, 0, &plan->out, err));
    json_object_set(plan->out, "file", plan->file);
    return 0;
}

static int rollout_on(void *context, uint64_t until_ms, bool *is_whole, struct flo_err *err)
{
    struct of_rollout *plan = context;

    return plan->out == NULL ? first_slice(plan, err)
                             : flo_forecast_plan_on(plan->forecast, until_ms, is_whole, err);
}

static struct flo_observe_bases *rollout_bases(void *context)
{
    return flo_forecast_bases(((struct of_rollout *)context)->entry);
}

static int rollout_end(void *context, const struct flo_observe_bases *bases_or_null, json_t **out,
                       struct flo_err *err)
{
    struct of_rollout *plan = context;
    (void)err;

    json_object_set_new(plan->out, "plan", flo_forecast_plan_end(plan->forecast, bases_or_null));
    *out = json_incref(plan->out);
    return 0;
}

static void rollout_drop(void *context)
{
    struct of_rollout *plan = context;

    flo_forecast_plan_free(plan->forecast);
    flo_rollouts_entry_free(plan->entry);
    json_decref(plan->file);
    json_decref(plan->out);
    free(plan);
}

static int read_file(const struct flo_rest_call *call, json_t **out, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    flo_yaml_dump(call->in, &text);
    *out = text.failed ? NULL : json_stringn(text.data, text.bytes);
    return *out != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "rollout.yaml");
}

int flo_rest_plan_rollout(struct flo_rest_call *call, struct flo_rollout_entry *entry,
                          struct flo_err *err)
{
    static const struct flo_rest_planner planner = {false, rollout_on, rollout_bases, rollout_end,
                                                    rollout_drop};
    struct of_rollout *plan = calloc(1, sizeof(*plan));

    if (plan == NULL) {
        flo_rollouts_entry_free(entry);
        return flo_fail(err, FLO_E_MEMORY, "plan of a rollout");
    }
    *plan = (struct of_rollout){.controller = call->controller, .entry = entry};
    int rv = read_file(call, &plan->file, err);
    if (rv == 0) {
        rv = flo_forecast_plan_new(call->controller, entry, &plan->forecast, err);
    }
    if (rv < 0) {
        rollout_drop(plan);
        return rv;
    }
    return flo_rest_plan_begin(call, &planner, plan, err);
}

/* ---- an order ---- */

static int order_on(void *context, uint64_t until_ms, bool *is_whole, struct flo_err *err)
{
    return flo_orders_plan_on(context, until_ms, is_whole, err);
}

static struct flo_observe_bases *order_bases(void *context)
{
    (void)context;
    return NULL; /* A plan of an order compares no devices, so it needs no baselines. */
}

static int order_end(void *context, const struct flo_observe_bases *bases_or_null, json_t **out,
                     struct flo_err *err)
{
    (void)bases_or_null;
    return flo_orders_plan_end(context, out, err);
}

static void order_drop(void *context)
{
    flo_orders_plan_free(context);
}

int flo_rest_plan_order(struct flo_rest_call *call, struct flo_orders_plan *plan,
                        struct flo_err *err)
{
    static const struct flo_rest_planner planner = {true, order_on, order_bases, order_end,
                                                    order_drop};

    return flo_rest_plan_begin(call, &planner, plan, err);
}

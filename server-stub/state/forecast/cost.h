/* Cost: the costs of a rollout before its start; forecast.h shows them. */
#ifndef FLOTILLA_SERVER_STATE_FORECAST_COST_H
#define FLOTILLA_SERVER_STATE_FORECAST_COST_H

#include "server-stub/state/forecast/forecast.h"

struct flo_fleet_device;
struct flo_observe_bases;
struct flo_rollout;

/* largest number of groups or versions with a sum; further ones are not
 * counted */
#define FLO_FORECAST_SUMS_MAX 256

struct flo_forecast_sum {
    char name[FLO_NAME_MAX + 1];
    uint32_t devices;
    uint32_t takes;
    uint32_t idle; /* number of devices without an update: they have the release
                      already, or cannot take it */
    uint64_t bytes;
};
/* Zero-initialise. */
struct flo_forecast_costs {
    struct flo_forecast_sum phases[16]; /* FLO_ROLLOUT_PHASES_MAX */
    struct flo_forecast_sum groups[FLO_FORECAST_SUMS_MAX];
    size_t group_count;
    struct flo_forecast_sum before[FLO_FORECAST_SUMS_MAX]; /* by version */
    size_t before_count;
    uint32_t kept;       /* number of devices whose rollback needs no download */
    uint32_t first;      /* number of devices without an earlier release of the model */
    uint64_t bytes_most; /* number of bytes for the device that downloads most */
    /* Members that can be compared with others in the rollout's gates, as the
     * telemetry thread found; NULL: not known. */
    const struct flo_observe_bases *bases;
    /* for each member, whether it takes the release; NULL: nobody needs the
     * answer */
    uint8_t *takes;
};
void flo_forecast_cost_add(struct flo_forecast_costs *costs, const struct flo_rollout *core,
                           const struct flo_fleet_device *device, const struct flo_forecast *one);
/* Adds to a plan with phases: which devices can be compared, what the gates can
 * detect, and where their result is uncertain. */
void flo_forecast_sight(const struct flo_forecast_costs *costs, const struct flo_rollout *core,
                        json_t *plan);
/* Adds to the plan the phases with their duration, the groups, the rollback,
 * and the obstacles to a start. */
void flo_forecast_cost_close(struct flo_forecast_costs *costs, struct flo_controller *controller,
                             struct flo_rollout_entry *entry, json_t *plan);

#endif

/* A controller in memory with one device and one release, for fuzz targets. */
#ifndef TESTS_FUZZ_FLEET_H
#define TESTS_FUZZ_FLEET_H

#include "server-stub/state/controller.h"
#include "tests/fuzz/must.h"

#define DEVICE "11111111-1111-4111-8111-111111111111"
#define DIGEST                                                                                     \
    "sha256:"                                                                                      \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static inline struct flo_controller *open_fleet(void)
{
    const char groups[1][FLO_NAME_MAX + 1] = {"all"};
    const struct flo_controller_options options = {
        .dir = ":memory:", .fleet = "demo", .unproved = FLO_UNPROVED_TAKE};
    const struct flo_fleet_device device = {
        .id = DEVICE, .name = "gw-1", .labels = "{}", .profile = "{}", .groups = "[\"all\"]"};
    const struct flo_fleet_release release = {.model = "tiny",
                                              .version = "2.1.0",
                                              .number = 1,
                                              .digest = DIGEST,
                                              .state = "published",
                                              .body = "{}"};
    struct flo_controller *controller = NULL;
    struct flo_err err = {0};

    flo_log_level_set(FLO_LOG_ERROR);
    must(flo_controller_open(&options, &controller, &err) == 0);
    must(flo_controller_begin(controller, &err) == 0);
    must(flo_fleet_device_add(controller->store, &device, groups, 1, &err) == 0);
    must(flo_fleet_release_add(controller->store, &release, &err) == 0);
    must(flo_controller_commit(controller, &err) == 0);
    flo_fleet_device_heard(controller->store, device.id, 1, 0);
    return controller;
}

#endif

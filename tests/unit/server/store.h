/* The store by itself, for its tests. */
#ifndef FLOTILLA_TESTS_STORE_H
#define FLOTILLA_TESTS_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/host/db.h"
#include "base/host/digest.h"

#include "server-stub/store/sqlite/inside.h"

#define DEVICE "11111111-1111-4111-8111-111111111111"
#define OTHER "22222222-2222-4222-8222-222222222222"
#define BOOT "33333333-3333-4333-8333-333333333333"

static inline struct flo_fleet_store *store_new(void)
{
    struct flo_fleet_store *store = NULL;
    struct flo_err err = {0};

    if (flo_fleet_open(":memory:", &store, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return store;
}

static inline int take_online(void *context,
                              const struct flo_fleet_device *device)
{
    *(bool *)context = device->is_online;
    return 0;
}

static inline bool is_online(struct flo_fleet_store *store, const char *device)
{
    bool online = false;

    assert_int_equal(
        flo_fleet_device_get(store, device, take_online, &online, NULL), 0);
    return online;
}

#endif

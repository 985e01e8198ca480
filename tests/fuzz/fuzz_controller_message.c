/* Messages of devices into a controller that is in the middle of a rollout.
 *
 * Input: first byte chooses topic and retain flag, the rest is the payload;
 * inputs separated by 0x1E are several messages of one batch.  The batch is
 * rolled back, so every run begins alike. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/mqtt/ingest.h"
#include "server-stub/state/recall/recall.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "tests/fuzz/fuzz_fleet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct flo_controller *controller;
static struct flo_ingest ingest;

static void set_up(void)
{
    json_t *spec = json_pack("{s:s}", "release", "tiny@2.1.0");
    struct flo_rollout_entry *entry;
    struct flo_err err = {0};
    char id[FLO_NAME_MAX + 1];

    controller = open_fleet();
    ingest.controller = controller;
    must(flo_controller_begin(controller, &err) == 0);
    must(flo_rollouts_create(controller, spec, &(struct flo_actor){"ops", "user:ops"}, false,
                             &entry, &err) == 0);
    must(flo_orders_fleet(controller, FLO_ORDER_CONFIG, "ops", 1000, id, &err) == 0);
    must(flo_controller_commit(controller, &err) == 0);
    json_decref(spec);
}

static void message(const uint8_t *data, size_t bytes)
{
    static const char *const topics[] = {
        "flotilla/v1/demo/d/" DEVICE "/event",
        "flotilla/v1/demo/d/" DEVICE "/reported",
        "flotilla/v1/demo/d/" DEVICE "/ack",
        "flotilla/v1/demo/d/" DEVICE "/tele",
        "flotilla/v1/demo/d/" DEVICE "/presence",
        "flotilla/v1/demo/d/22222222-2222-4222-8222-222222222222/event",
        "flotilla/v1/demo/d/../event",
        "flotilla/v1/demo/c/mark"};
    struct flo_err err = {0};
    char *copy = malloc(bytes);

    if (bytes < 1 || copy == NULL) {
        free(copy);
        return;
    }
    memcpy(copy, data + 1, bytes - 1);
    int rv = flo_ingest(&ingest, topics[data[0] & 7], copy, bytes - 1, (data[0] & 8) != 0, &err);
    must(rv == 0);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_err err = {0};

    if (controller == NULL) {
        set_up();
    }
    if (bytes > 65536 || flo_controller_begin(controller, &err) < 0) {
        return 0;
    }
    while (bytes > 0) {
        const uint8_t *end = memchr(data, 0x1e, bytes);
        size_t part = end != NULL ? (size_t)(end - data) : bytes;
        message(data, part);
        part += end != NULL ? 1 : 0;
        data += part;
        bytes -= part;
    }
    flo_controller_cancel(controller);
    return 0;
}

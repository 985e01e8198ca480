/* Trusted keys and orders of devices, verified once: the same envelope gives the
 * same result for all who trust the same keys.  trust.json is on the disk. */
#include <stdlib.h>
#include <string.h>

#include "base/host/digest.h"
#include "tests/sim/device/device.h"
#include "tests/sim/ports/ports.h"

/* ---- statements ---- */

#define STATEMENTS_MAX 64
static struct {
    struct flo_digest text;
    struct flo_trust *trust;
} statements[STATEMENTS_MAX];
static size_t statement_count;

void sim_trust_forget(void)
{
    for (size_t i = 0; i < statement_count; i++) {
        flo_trust_free(statements[i].trust);
    }
    statement_count = 0;
}

int __wrap_flo_trust_parse(const char *json, size_t bytes, struct flo_trust **out,
                           struct flo_err *err)
{
    struct flo_digest digest;
    size_t at = 0;

    if (sim->actor == NULL) {
        return __real_flo_trust_parse(json, bytes, out, err);
    }
    flo_sha256(json, bytes, &digest);
    while (at < statement_count && !flo_digest_equal(&statements[at].text, &digest)) {
        at++;
    }
    if (at == STATEMENTS_MAX) {
        return flo_fail(err, FLO_E_MEMORY, "a statement");
    }
    if (at == statement_count) {
        int rv = __real_flo_trust_parse(json, bytes, &statements[at].trust, err);
        if (rv < 0) {
            return rv;
        }
        statements[statement_count++].text = digest;
    }
    *out = statements[at].trust;
    return 0;
}

/* All devices share it. */
void __wrap_flo_trust_cleanup(struct flo_trust **trust)
{
    if (sim->actor == NULL) {
        __real_flo_trust_cleanup(trust);
    }
}

int __wrap_flo_trust_store(const char *path, const struct flo_trust *trust, struct flo_err *err)
{
    struct sim_device *device = (struct sim_device *)(uintptr_t)sim->actor;
    int rv =
        device == NULL ? __real_flo_trust_store(path, trust, err) : sim_disk_takes(device, err);

    if (device != NULL && rv == 0) {
        device->disk.trust = trust;
        sim_check_trust(device);
        sim_disk_wrote(device);
    }
    return rv;
}

const struct flo_trust *sim_trust_of(const struct sim_device *device)
{
    return device->disk.trust != NULL ? device->disk.trust : sim->controller.trust;
}

struct flo_trust *sim_trust_load(const struct sim_device *device)
{
    return (struct flo_trust *)(uintptr_t)sim_trust_of(device);
}

/* ---- orders ---- */

#define ORDERS_MAX 4096
static struct {
    struct flo_digest text;
    const struct flo_trust *trust; /* by whose keys */
    int rv;
    struct flo_err err;
    struct flo_order_verified *verified;
} orders[ORDERS_MAX];

void sim_orders_forget(void)
{
    for (size_t i = 0; i < ORDERS_MAX; i++) {
        free(orders[i].verified);
    }
    memset(orders, 0, sizeof(orders));
}

int __wrap_flo_order_verify(const void *data, size_t bytes, const struct flo_trust *trust,
                            struct flo_order_verified *out, struct flo_err *err)
{
    struct flo_digest digest;
    size_t at;

    if (sim->actor == NULL) {
        return __real_flo_order_verify(data, bytes, trust, out, err);
    }
    flo_sha256(data, bytes, &digest);
    at = (digest.bytes[0] | (size_t)digest.bytes[1] << 8) % ORDERS_MAX;
    if (orders[at].verified == NULL || orders[at].trust != trust ||
        !flo_digest_equal(&orders[at].text, &digest)) {
        free(orders[at].verified);
        orders[at].verified = calloc(1, sizeof(*orders[at].verified));
        orders[at].text = digest;
        orders[at].trust = trust;
        orders[at].err = (struct flo_err){0};
        orders[at].rv =
            __real_flo_order_verify(data, bytes, trust, orders[at].verified, &orders[at].err);
    }
    *out = *orders[at].verified;
    *err = orders[at].err;
    return orders[at].rv;
}

int __wrap_flo_agent_step(struct flo_agent *agent, const struct flo_agent_event *event,
                          struct flo_agent_actions *actions)
{
    int rv = __real_flo_agent_step(agent, event, actions);

    sim->steps++;
    if (sim->look != NULL) {
        sim->look((struct sim_device *)(uintptr_t)sim->actor, agent);
    }
    return rv;
}

/* The checks hear of each order that is judged. */
void __wrap_flo_agent_intake(const struct flo_intake_facts *facts, struct flo_intake_verdict *out)
{
    struct sim_device *device = (struct sim_device *)(uintptr_t)sim->actor;

    __real_flo_agent_intake(facts, out);
    if (facts->standing != FLO_STATEMENT_AGAIN) {
        sim_check_kept(device, facts->order);
    }
    if (out->kind == FLO_INTAKE_ACT && facts->order->op == FLO_ORDER_DEPLOY) {
        sim_check_order(device, facts->order);
    }
}

/* Messages of a broker to a device: desired, cmd, lists of orders.
 *
 * First byte: the topic (d, c, o).  Texts stay in their limits; each order then
 * goes the way of flo_shell_order, up to the point where it is taken. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/agent.h>
#include <flotilla/release.h>
#include <flotilla/updater.h>

#include "agent/shell/link/heard.h"

#define DEVICE "11111111-1111-4111-8111-111111111111"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A key of the corpus.  Nobody has its private half any more. */
static const char order_key[] = "-----BEGIN PUBLIC KEY-----\n"
                                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPybMAAQWpj5RhAdRBxZftUF9hlaz\n"
                                "0chQecNS/N8JIy5xw4vbdQ9gV5I0VY03twcGdCm3aQEUVNCjVkkVCowEDg==\n"
                                "-----END PUBLIC KEY-----\n";

static struct flo_trust *trust;

static void set_up(void)
{
    if (trust == NULL) {
        trust = flo_trust_new("demo");
        if (trust == NULL || flo_trust_add(trust, order_key, FLO_ROLE_ORDER, NULL, NULL) < 0) {
            abort();
        }
    }
}

static void stand(const struct flo_order_verified *verified)
{
    static const char groups[][FLO_NAME_MAX + 1] = {"all", "edge"};
    static struct flo_device device;
    static struct flo_slots slots;
    struct flo_agent_time time = {.clock_ms = 1, .trusted_ms = 1};
    enum flo_standing standing;
    uint64_t by;

    (void)flo_agent_order_admit(&verified->order, DEVICE, groups, 2, &time, NULL);
    (void)flo_statement_look(&device, &slots, &verified->order, &verified->body, &standing, &by,
                             NULL);
}

static void take(const json_t *envelope)
{
    static struct flo_order_verified verified;
    struct flo_buf text = {.bytes_max = FLO_ENVELOPE_BYTES_MAX};

    if (!json_is_object(envelope)) {
        abort();
    }
    flo_json_dump_canonical(envelope, &text);
    if (!text.failed && flo_order_verify(text.data, text.bytes, trust, &verified, NULL) == 0) {
        if (verified.role != FLO_ROLE_ORDER || strcmp(verified.order.fleet, "demo") != 0) {
            abort();
        }
        stand(&verified);
    }
    flo_buf_deinit(&text);
}

static void take_trust(const json_t *envelope)
{
    struct flo_buf text = {.bytes_max = FLO_TRUST_BYTES_MAX};
    struct flo_trust *next = NULL;
    enum flo_trust_standing standing;

    flo_json_dump_canonical(envelope, &text);
    if (!text.failed && flo_trust_parse(text.data, text.bytes, &next, NULL) == 0 &&
        flo_trust_follows(trust, next, &standing, NULL) == 0 && standing == FLO_TRUST_NEXT) {
        abort(); /* nobody here has a key that it trusts */
    }
    flo_trust_free(next);
    flo_buf_deinit(&text);
}

static void check(enum flo_topic topic, const struct flo_heard *heard)
{
    bool is_cmd = topic == FLO_TOPIC_CMD;

    size_t orders_max = topic == FLO_TOPIC_DESIRED ? FLO_HEARD_ORDERS_MAX
                        : topic == FLO_TOPIC_ORDER || topic == FLO_TOPIC_EMERGENCY
                            ? FLO_HEARD_LIST_MAX
                        : is_cmd ? FLO_HEARD_LIST_MAX + 1
                                 : 1;

    if (heard->order_count > orders_max ||
        heard->trust_count > (topic == FLO_TOPIC_TRUST || is_cmd ? FLO_HEARD_TRUST_MAX : 0) ||
        heard->assignment_count > FLO_ASSIGNMENTS_MAX ||
        heard->assignment_count > heard->order_count ||
        (!is_cmd && (heard->ack != 0 || heard->boot[0] != '\0' || heard->op[0] != '\0')) ||
        heard->ack > INT64_MAX || heard->rev > INT64_MAX || strlen(heard->boot) > FLO_NAME_MAX ||
        strlen(heard->op) > 32 ||
        (heard->heartbeat_ms != 0 &&
         (heard->heartbeat_ms < FLO_HEARTBEAT_MS_MIN ||
          heard->heartbeat_ms > FLO_HEARTBEAT_MS_MAX || topic != FLO_TOPIC_DESIRED))) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_heard heard;
    struct flo_err err = {0};
    enum flo_topic topic;

    set_up();
    if (bytes < 2) {
        return 0;
    }
    topic = data[0] == 'd'   ? FLO_TOPIC_DESIRED
            : data[0] == 'c' ? FLO_TOPIC_CMD
            : data[0] == 't' ? FLO_TOPIC_TRUST
            : data[0] == 'e' ? FLO_TOPIC_EMERGENCY
            : data[0] == 'm' ? FLO_TOPIC_MARK
                             : FLO_TOPIC_ORDER;
    if (flo_heard_read(topic, (const char *)data + 1, bytes - 1, &heard, &err) < 0) {
        if (err.code == 0 || err.what[0] == '\0' || heard.json != NULL) {
            abort();
        }
        return 0;
    }
    check(topic, &heard);
    for (size_t i = 0; i < heard.order_count; i++) {
        take(heard.orders[i]);
    }
    for (size_t i = 0; i < heard.trust_count; i++) {
        take_trust(heard.trust[i]);
    }
    flo_heard_deinit(&heard);
    return 0;
}

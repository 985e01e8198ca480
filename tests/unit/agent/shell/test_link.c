/* Messages to the broker and their times; this broker only takes notes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/shell/link/link.h"
#include "agent/shell/queue/timers.h"
#include "agent/shell/renewal/renewal.h"
#include "agent/shell/trust/trust.h"
#include "tests/shell_rooms.h"
#include "unit/remove_tree.h"

#define NOT_AUTHORIZED 0x87
#define IN_FLIGHT 16

static struct flo_shell shell;
static char dir[64];
static int log_fd; /* what is written in place of stderr */
static int stderr_fd;

/* ---- the broker ---- */

struct flo_mqtt {
    struct flo_mqtt_handlers agent;
    uint64_t tokens[1000]; /* of telemetry that came and has no answer */
    size_t waiting;
    size_t came;
    size_t subscriptions;
    char filters[2048]; /* a line each */
};
static struct flo_mqtt broker;

int flo_mqtt_open(struct event_base *base, const struct flo_mqtt_options *options,
                  const struct flo_mqtt_handlers *handlers, struct flo_mqtt **out,
                  struct flo_err *err)
{
    (void)base, (void)options, (void)err;
    broker.agent = *handlers;
    *out = &broker;
    return 0;
}

void flo_mqtt_close(struct flo_mqtt *mqtt, const char *bye)
{
    (void)mqtt, (void)bye;
}

int flo_mqtt_use(struct flo_mqtt *mqtt, const char *cert_file, const char *key_file, bool at_once,
                 struct flo_err *err)
{
    (void)mqtt, (void)cert_file, (void)key_file, (void)at_once, (void)err;
    return 0;
}

void flo_renewal_connected(struct flo_shell *unused)
{
    (void)unused;
}

void flo_renewal_refused(struct flo_shell *unused)
{
    (void)unused;
}

void flo_renewal_asked(struct flo_shell *unused, const char *life)
{
    (void)unused, (void)life;
}

void flo_mqtt_spread(struct flo_mqtt *mqtt, uint64_t ms)
{
    (void)mqtt, (void)ms;
}

bool flo_mqtt_is_connected(const struct flo_mqtt *mqtt)
{
    return mqtt != NULL;
}

int flo_mqtt_subscribe(struct flo_mqtt *mqtt, const char *filter, int qos, struct flo_err *err)
{
    (void)qos, (void)err;
    strcat(strcat(mqtt->filters, filter), "\n");
    mqtt->subscriptions++;
    return 0;
}

int flo_mqtt_publish(struct flo_mqtt *mqtt, const char *topic, const void *data, size_t bytes,
                     int qos, bool retained, uint32_t expiry_s, uint64_t token, struct flo_err *err)
{
    (void)data, (void)bytes, (void)qos, (void)retained, (void)expiry_s;
    (void)err;
    if (strstr(topic, "/tele") != NULL) {
        assert_true(mqtt->waiting < FLO_COUNT(mqtt->tokens));
        mqtt->tokens[mqtt->waiting++] = token;
        mqtt->came++;
    }
    return 0;
}

/* Answers what has come until now; how much it was. */
static size_t answer(bool is_delivered, int reason)
{
    uint64_t tokens[FLO_COUNT(broker.tokens)];
    size_t count = broker.waiting;

    memcpy(tokens, broker.tokens, sizeof(tokens));
    broker.waiting = 0;
    for (size_t i = 0; i < count; i++) {
        broker.agent.on_delivered(&shell, tokens[i], is_delivered, reason);
    }
    return count;
}

/* ---- the shell around it ---- */

void flo_shell_later(struct event *event, unsigned in_ms)
{
    struct timeval delay = {.tv_sec = (time_t)(in_ms / 1000),
                            .tv_usec = (suseconds_t)(in_ms % 1000) * 1000};

    evtimer_add(event, &delay);
}

void flo_shell_set_heartbeat(struct flo_shell *unused, uint64_t heartbeat_ms)
{
    (void)unused, (void)heartbeat_ms;
}

json_t *flo_report_reported(const struct flo_shell *unused)
{
    (void)unused;
    return NULL;
}

void flo_shell_clock_tell(struct flo_shell *unused)
{
    (void)unused;
}

uint64_t flo_shell_clock_ms(const struct flo_shell *unused)
{
    (void)unused;
    return 1;
}

void flo_shell_clock_peer(struct flo_shell *unused)
{
    (void)unused;
}

bool flo_shell_degrade(struct flo_shell *unused, const struct flo_err *err)
{
    (void)unused;
    fail_msg("%s", err->what);
    return false;
}

void flo_shell_note(struct flo_shell *unused, const char *type, const struct flo_err *err)
{
    (void)unused;
    fail_msg("%s: %s", type, err->what);
}

bool flo_shell_trust_hear(struct flo_shell *unused, enum flo_trust_way way,
                          const json_t *const *list, size_t count)
{
    (void)unused, (void)way, (void)list;
    return count > 0;
}

uint64_t flo_shell_trust_number(const struct flo_shell *unused)
{
    (void)unused;
    return 0;
}

void flo_shell_trust_then(struct flo_shell *unused, void (*then)(struct flo_shell *shell))
{
    (void)unused, (void)then;
}

void flo_shell_newest_hear(struct flo_shell *unused, enum flo_trust_way way, bool is_desired,
                           const json_t *json)
{
    (void)unused, (void)way, (void)is_desired, (void)json;
}

void flo_shell_trust_fetch(struct flo_shell *unused)
{
    (void)unused;
}

void flo_loop_order(struct flo_shell *unused, const json_t *envelope, bool is_list)
{
    (void)unused, (void)envelope, (void)is_list;
}

void flo_loop_spread(struct flo_shell *unused, uint64_t ms)
{
    (void)unused, (void)ms;
}

/* ---- given ---- */

static int begin(void **state)
{
    struct flo_err err = {0};

    (void)state;
    shell_empty(&shell);
    memset(&broker, 0, sizeof(broker));
    shell.base = event_base_new();
    snprintf(dir, sizeof(dir), "/tmp/flo-link-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(flo_settings_load(NULL, dir, &shell.settings, &err), 0);
    assert_int_equal(flo_outbox_db_open(dir, 1 << 20, &shell.db, &err), 0);
    strcpy(shell.identity.fleet, "demo");
    strcpy(shell.identity.device, "0a0a0a0a-0000-4000-8000-00000000000a");
    assert_int_equal(flo_shell_link_open(&shell, &err), 0);
    log_fd = memfd_create("log", MFD_CLOEXEC);
    stderr_fd = dup(STDERR_FILENO);
    assert_true(dup2(log_fd, STDERR_FILENO) >= 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    dup2(stderr_fd, STDERR_FILENO);
    close(stderr_fd);
    close(log_fd);
    flo_shell_link_end(&shell, NULL);
    event_base_free(shell.base);
    flo_outbox_db_close(shell.db);
    flo_settings_deinit(&shell.settings);
    return remove_tree(dir);
}

static void windows(unsigned count)
{
    while (count-- > 0) {
        flo_outbox_windows_add(shell.db, "{}");
    }
}

static void heartbeat(void)
{
    windows(1);
    flo_shell_link_flush(&shell);
}

/* ---- then ---- */

static unsigned lines_told(const char *words)
{
    char text[65536] = "";
    unsigned count = 0;

    assert_true(pread(log_fd, text, sizeof(text) - 1, 0) >= 0);
    for (const char *at = text; (at = strstr(at, words)) != NULL; at++) {
        count++;
    }
    return count;
}

static void telemetry_follows_as_fast_as_the_broker_takes_it(void **state)
{
    (void)state;
    windows(100);

    broker.agent.on_connected(&shell, true);

    assert_int_equal(broker.waiting, IN_FLIGHT);
    while (answer(true, 0) > 0) {
    }
    assert_int_equal(broker.came, 100);
    assert_int_equal(shell.report->telemetry_in_flight, 0);
}

static void what_waited_goes_at_the_pace_that_the_controller_takes(void **state)
{
    struct timeval soon = {.tv_usec = 10000};

    (void)state;
    windows(FLO_TELEMETRY_SENT_BURST + 50);
    broker.agent.on_connected(&shell, true);
    while (answer(true, 0) > 0) {
    }
    size_t at_once = broker.came;
    assert_true(at_once >= FLO_TELEMETRY_SENT_BURST);
    while (broker.came < FLO_TELEMETRY_SENT_BURST + 3) { /* nobody calls the agent */
        event_base_loopexit(shell.base, &soon);
        event_base_dispatch(shell.base);
        (void)answer(true, 0);
    }
}

static void telemetry_that_the_broker_refuses_waits_for_the_next_heartbeat(void **state)
{
    (void)state;
    windows(100);
    broker.agent.on_connected(&shell, true);

    assert_int_equal(answer(false, NOT_AUTHORIZED), IN_FLIGHT);
    assert_int_equal(broker.waiting, 0);

    heartbeat();
    assert_int_equal(answer(false, NOT_AUTHORIZED), IN_FLIGHT);
    assert_int_equal(broker.waiting, 0);

    heartbeat(); /* now it may */
    while (answer(true, 0) > 0) {
    }
    assert_int_equal(broker.came, IN_FLIGHT + IN_FLIGHT + 102);
}

static void a_refusal_of_telemetry_is_told_once_per_connection(void **state)
{
    (void)state;
    windows(20);
    broker.agent.on_connected(&shell, true);
    answer(false, 0); /* lost with the session, not refused */
    assert_int_equal(lines_told("telemetry refused"), 0);

    heartbeat();
    answer(false, NOT_AUTHORIZED);
    heartbeat();
    answer(false, NOT_AUTHORIZED);
    assert_int_equal(lines_told("telemetry refused, reason 0x87"), 1);

    broker.agent.on_connected(&shell, true);
    answer(false, NOT_AUTHORIZED);
    assert_int_equal(lines_told("telemetry refused, reason 0x87"), 2);
}

/* ---- messages ---- */

static void desired(const char *text)
{
    char path[FLO_TOPIC_TEXT];
    const struct flo_mqtt_message message = {.topic = path, .data = text, .bytes = strlen(text)};

    assert_int_equal(
        flo_topic_build(FLO_TOPIC_DESIRED, shell.identity.fleet, shell.identity.device, path, NULL),
        0);
    broker.agent.on_message(&shell, &message);
}

/* DV28 */
static void a_message_that_is_refused_is_counted_and_changes_nothing(void **state)
{
    struct flo_buf text = {0};

    (void)state;
    desired("{\"v\":2,\"rev\":5,\"assignments\":[]}");
    assert_int_equal(shell.report->rev, 5);
    assert_int_equal(shell.report->messages_refused, 0);

    flo_buf_text(&text, "{\"v\":2,\"rev\":6,\"assignments\":[");
    for (int i = 0; i < 9; i++) {
        flo_buf_printf(&text, "%s{\"model\":\"m%d\",\"order\":{}}", i > 0 ? "," : "", i);
    }
    flo_buf_text(&text, "]}");
    desired(text.data);
    assert_int_equal(shell.report->messages_refused, 1);
    assert_int_equal(shell.report->rev, 5);
    assert_int_equal(lines_told("mqtt.schema"), 1);

    flo_buf_deinit(&text);
    flo_buf_printf(&text,
                   "{\"v\":2,\"rev\":7,\"assignments\":[{\"model\":\"a\","
                   "\"order\":{\"x\":\"%05120d\"}}]}",
                   0);
    desired(text.data);
    desired("no JSON");
    assert_int_equal(shell.report->messages_refused, 3);
    assert_int_equal(shell.report->rev, 5);
    desired("{\"v\":2,\"rev\":8,\"assignments\":[]}");
    assert_int_equal(shell.report->rev, 8);
    assert_int_equal(shell.report->messages_refused, 3);
    flo_buf_deinit(&text);
}

/* ---- subscriptions ---- */

#define OWN                                                                                        \
    "flotilla/v1/demo/d/0a0a0a0a-0000-4000-8000-00000000000a/cmd\n"                                \
    "flotilla/v1/demo/d/0a0a0a0a-0000-4000-8000-00000000000a/desired\n"
#define EACH                                                                                       \
    "flotilla/v1/demo/c/trust\nflotilla/v1/demo/c/emergency\n"                                     \
    "flotilla/v1/demo/g/all/order\n"

static void mark(const char *text)
{
    const struct flo_mqtt_message message = {
        .topic = "flotilla/v1/demo/c/mark", .data = text, .bytes = strlen(text)};

    broker.agent.on_message(&shell, &message);
}

static void what_is_for_everybody_is_one_subscription(void **state)
{
    (void)state;
    broker.agent.on_connected(&shell, true);
    mark("{\"v\":1,\"all\":true}");
    assert_string_equal(broker.filters, "flotilla/v1/demo/c/+\n" OWN);
}

static void a_broker_that_refuses_it_is_asked_for_each(void **state)
{
    (void)state;
    broker.agent.on_connected(&shell, true);
    broker.filters[0] = '\0';
    broker.agent.on_refused(&shell, "flotilla/v1/demo/c/+", NOT_AUTHORIZED);
    assert_string_equal(broker.filters, EACH);
}

static void the_list_of_an_older_controller_is_heard(void **state)
{
    (void)state;
    broker.agent.on_connected(&shell, true);
    broker.filters[0] = '\0';
    mark("{\"v\":1}");
    assert_string_equal(broker.filters, "flotilla/v1/demo/g/all/order\n");
}

/* While the connection lasts nothing else would bring it. */
static void an_order_that_no_disk_took_is_asked_for_again(void **state)
{
    (void)state;
    broker.agent.on_connected(&shell, true);
    size_t once = broker.subscriptions;
    flo_shell_link_ask_again(&shell);
    assert_int_equal(broker.subscriptions, once);

    shell.records->orders_are_due = true;
    flo_shell_link_ask_again(&shell);
    flo_shell_link_ask_again(&shell);
    assert_int_equal(broker.subscriptions, 2 * once);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_that_is_refused_is_counted_and_changes_nothing,
                                        begin, end),
        cmocka_unit_test_setup_teardown(an_order_that_no_disk_took_is_asked_for_again, begin, end),
        cmocka_unit_test_setup_teardown(telemetry_follows_as_fast_as_the_broker_takes_it, begin,
                                        end),
        cmocka_unit_test_setup_teardown(what_waited_goes_at_the_pace_that_the_controller_takes,
                                        begin, end),
        cmocka_unit_test_setup_teardown(
            telemetry_that_the_broker_refuses_waits_for_the_next_heartbeat, begin, end),
        cmocka_unit_test_setup_teardown(a_refusal_of_telemetry_is_told_once_per_connection, begin,
                                        end),
        cmocka_unit_test_setup_teardown(what_is_for_everybody_is_one_subscription, begin, end),
        cmocka_unit_test_setup_teardown(a_broker_that_refuses_it_is_asked_for_each, begin, end),
        cmocka_unit_test_setup_teardown(the_list_of_an_older_controller_is_heard, begin, end),
    };

    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}

/* The queue between paho's threads and the loop; meant to run under TSan. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/host/mqtt_queue.h"
#include "unit/waits.h"

#define THREADS 4
#define EACH 5000

struct pusher {
    struct flo_mqtt_queue *queue;
    uint64_t number;
};

static void *push_many(void *context)
{
    struct pusher *pusher = context;
    uint64_t i;

    for (i = 0; i < EACH; i++) {
        struct flo_mqtt_item item = {.kind = FLO_MQTT_MESSAGE, .token = pusher->number};
        char data[32];
        int bytes = snprintf(data, sizeof(data), "%llu", (unsigned long long)i);

        flo_mqtt_queue_push(pusher->queue, &item, "t/x", 3, data, (size_t)bytes);
    }
    return NULL;
}

static void many_threads_push_and_each_keeps_its_order(void **state)
{
    struct flo_mqtt_queue queue;
    struct pusher pushers[THREADS];
    pthread_t threads[THREADS];
    uint64_t next[THREADS] = {0};
    size_t taken = 0;
    size_t i;

    (void)state;
    assert_int_equal(flo_mqtt_queue_init(&queue, (size_t)THREADS * EACH, (size_t)THREADS * EACH,
                                         100, NULL, NULL),
                     0);
    for (i = 0; i < THREADS; i++) {
        pushers[i] = (struct pusher){.queue = &queue, .number = i};
        pthread_create(&threads[i], NULL, push_many, &pushers[i]);
    }

    while (taken < (size_t)THREADS * EACH) {
        struct pollfd wake = {.fd = queue.wake_fd, .events = POLLIN};
        struct flo_mqtt_item *item;

        assert_int_equal(poll(&wake, 1, (int)WAITS_HANG_MS), 1);
        flo_mqtt_queue_calm(&queue);
        while ((item = flo_mqtt_queue_take(&queue)) != NULL) {
            assert_string_equal(item->text, "t/x");
            assert_int_equal(strtoull(item->data, NULL, 10), next[item->token]++);
            free(item);
            taken++;
        }
    }

    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(next[i], EACH);
    }
    assert_int_equal(flo_mqtt_queue_dropped(&queue), 0);
    flo_mqtt_queue_deinit(&queue);
}

/* Wakes since the last time. */
static uint64_t wakes(const struct flo_mqtt_queue *queue)
{
    uint64_t count = 0;

    (void)!read(queue->wake_fd, &count, sizeof(count));
    return count;
}

static void those_that_wait_wake_their_reader_once(void **state)
{
    struct flo_mqtt_queue queue;
    struct flo_mqtt_item message = {.kind = FLO_MQTT_MESSAGE};
    struct flo_mqtt_item *item;

    (void)state;
    assert_int_equal(flo_mqtt_queue_init(&queue, 9, 9, 100, NULL, NULL), 0);

    for (int i = 0; i < 3; i++) {
        flo_mqtt_queue_push(&queue, &message, "a", 1, "x", 1);
    }
    assert_int_equal(wakes(&queue), 1);

    while ((item = flo_mqtt_queue_take(&queue)) != NULL) {
        free(item);
    }
    flo_mqtt_queue_push(&queue, &message, "a", 1, "x", 1);

    assert_int_equal(wakes(&queue), 1);
    flo_mqtt_queue_deinit(&queue);
}

static void one_message_too_many_is_dropped_and_counted(void **state)
{
    struct flo_mqtt_queue queue;
    struct flo_mqtt_item message = {.kind = FLO_MQTT_MESSAGE};
    struct flo_mqtt_item lost = {.kind = FLO_MQTT_LOST};

    (void)state;
    assert_int_equal(flo_mqtt_queue_init(&queue, 2, 2, 4, NULL, NULL), 0);

    flo_mqtt_queue_push(&queue, &message, "a", 1, "1234", 4);
    flo_mqtt_queue_push(&queue, &message, "a", 1, "12345", 5);
    flo_mqtt_queue_push(&queue, &message, "a", 1, "x", 1);
    flo_mqtt_queue_push(&queue, &message, "a", 1, "y", 1);
    flo_mqtt_queue_push(&queue, &lost, "bye", 3, NULL, 0);

    assert_int_equal(flo_mqtt_queue_dropped(&queue), 2);
    assert_int_equal(queue.rooms[0].messages, 2);
    flo_mqtt_queue_deinit(&queue);
}

static void one_that_floods_loses_its_own_messages_only(void **state)
{
    static const char payload[60 << 10];
    struct flo_mqtt_queue queue;
    struct flo_mqtt_item message = {.kind = FLO_MQTT_MESSAGE};
    char topic[8];

    (void)state;
    assert_int_equal(flo_mqtt_queue_init(&queue, 200000, 256, sizeof(payload), NULL, NULL), 0);

    for (int i = 0; i < 5000; i++) {
        snprintf(topic, sizeof(topic), "d/1/%d", i % 5);
        flo_mqtt_queue_push(&queue, &message, topic, 5, payload, sizeof(payload));
    }
    flo_mqtt_queue_push(&queue, &message, "d/2/x", 5, "mine", 4);
    assert_int_equal(flo_mqtt_queue_dropped(&queue), 5000 - 256);
    assert_int_equal(queue.rooms[0].messages, 257);

    /* A handled message makes room again. */
    free(flo_mqtt_queue_take(&queue));
    flo_mqtt_queue_push(&queue, &message, "d/1/x", 5, "more", 4);
    assert_int_equal(queue.rooms[0].messages, 257);
    flo_mqtt_queue_deinit(&queue);
}

static void what_waits_is_bounded_in_bytes(void **state)
{
    static const char payload[60 << 10];
    struct flo_mqtt_queue queue;
    struct flo_mqtt_item message = {.kind = FLO_MQTT_MESSAGE};
    char topic[16];

    (void)state;
    assert_int_equal(flo_mqtt_queue_init(&queue, 200000, 256, sizeof(payload), NULL, NULL), 0);

    for (int i = 0; i < 5000; i++) {
        int chars = snprintf(topic, sizeof(topic), "d/%d/x", i);
        flo_mqtt_queue_push(&queue, &message, topic, (size_t)chars, payload, sizeof(payload));
    }
    assert_true(queue.rooms[0].bytes <= FLO_MQTT_ROOM_BYTES_MAX);
    assert_true(queue.rooms[0].messages > 1000);
    while (queue.rooms[0].messages > 0) {
        free(flo_mqtt_queue_take(&queue));
    }
    assert_int_equal(queue.rooms[0].bytes, 0);
    flo_mqtt_queue_deinit(&queue);
}

/* The broker acknowledges in the controller's place: an agent that comes back
 * sends the measurements of its whole outage at once. */
static void telemetry_takes_no_room_from_anything_else(void **state)
{
    struct flo_mqtt_queue queue;
    struct flo_mqtt_item message = {.kind = FLO_MQTT_MESSAGE};
    struct flo_mqtt_item connected = {.kind = FLO_MQTT_CONNECTED};
    const struct flo_mqtt_item *last = NULL;

    (void)state;
    assert_int_equal(flo_mqtt_queue_init(&queue, 200000, 256, 100, "tele", NULL), 0);

    for (int i = 0; i < 300; i++) {
        flo_mqtt_queue_push(&queue, &message, "d/1/tele", 8, "{}", 2);
    }
    assert_true(queue.is_dropping);
    flo_mqtt_queue_push(&queue, &message, "d/1/presence", 12, "{}", 2);

    assert_int_equal(flo_mqtt_queue_dropped(&queue), 300 - 256);
    for (const struct flo_mqtt_item *item = queue.first; item != NULL; item = item->next) {
        last = item;
    }
    assert_string_equal(last->text, "d/1/presence");
    flo_mqtt_queue_push(&queue, &connected, NULL, 0, NULL, 0);
    assert_false(queue.is_dropping);
    flo_mqtt_queue_deinit(&queue);
    for (size_t i = 0; i < FLO_COUNT(queue.rooms); i++) {
        assert_int_equal(queue.rooms[i].bytes, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_threads_push_and_each_keeps_its_order),
        cmocka_unit_test(those_that_wait_wake_their_reader_once),
        cmocka_unit_test(one_message_too_many_is_dropped_and_counted),
        cmocka_unit_test(one_that_floods_loses_its_own_messages_only),
        cmocka_unit_test(what_waits_is_bounded_in_bytes),
        cmocka_unit_test(telemetry_takes_no_room_from_anything_else),
    };

    return cmocka_run_group_tests_name("mqtt queue", tests, NULL, NULL);
}

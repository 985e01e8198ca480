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

#include <cmocka.h>

#include "base/host/mqtt_queue.h"

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
        struct flo_mqtt_item item = {.kind = FLO_MQTT_MESSAGE,
                                     .token = pusher->number};
        char data[32];
        int bytes = snprintf(data, sizeof(data), "%llu", (unsigned long long)i);

        flo_mqtt_queue_push(pusher->queue, &item, "t/x", 3, data,
                            (size_t)bytes);
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
    assert_int_equal(
        flo_mqtt_queue_init(&queue, (size_t)THREADS * EACH, 100, NULL), 0);
    for (i = 0; i < THREADS; i++) {
        pushers[i] = (struct pusher){.queue = &queue, .number = i};
        pthread_create(&threads[i], NULL, push_many, &pushers[i]);
    }

    while (taken < (size_t)THREADS * EACH) {
        struct pollfd wake = {.fd = queue.wake_fd, .events = POLLIN};
        struct flo_mqtt_item *item;

        assert_int_equal(poll(&wake, 1, 20000), 1);
        flo_mqtt_queue_calm(&queue);
        while ((item = flo_mqtt_queue_take(&queue)) != NULL) {
            assert_string_equal(item->text, "t/x");
            assert_int_equal(strtoull(item->data, NULL, 10),
                             next[item->token]++);
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

static void one_message_too_many_is_dropped_and_counted(void **state)
{
    struct flo_mqtt_queue queue;
    struct flo_mqtt_item message = {.kind = FLO_MQTT_MESSAGE};
    struct flo_mqtt_item lost = {.kind = FLO_MQTT_LOST};

    (void)state;
    assert_int_equal(flo_mqtt_queue_init(&queue, 2, 4, NULL), 0);

    flo_mqtt_queue_push(&queue, &message, "a", 1, "1234", 4);
    flo_mqtt_queue_push(&queue, &message, "a", 1, "12345", 5);
    flo_mqtt_queue_push(&queue, &message, "a", 1, "x", 1);
    flo_mqtt_queue_push(&queue, &message, "a", 1, "y", 1);
    flo_mqtt_queue_push(&queue, &lost, "bye", 3, NULL, 0);

    assert_int_equal(flo_mqtt_queue_dropped(&queue), 2);
    assert_int_equal(queue.messages, 2);
    flo_mqtt_queue_deinit(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_threads_push_and_each_keeps_its_order),
        cmocka_unit_test(one_message_too_many_is_dropped_and_counted),
    };

    return cmocka_run_group_tests_name("mqtt queue", tests, NULL, NULL);
}

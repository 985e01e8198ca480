/* Messages to a service manager over NOTIFY_SOCKET. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/host/service.h"

/* A manager that listens at an abstract name of its own. */
struct manager {
    int fd;
    char heard[64];
};

static void manager_open(struct manager *manager)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[64];
    int bytes = snprintf(name, sizeof(name), "@flotilla-service-test-%ld", (long)getpid());

    manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(manager->fd >= 0);
    memcpy(address.sun_path + 1, name + 1, (size_t)bytes - 1);
    assert_int_equal(bind(manager->fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes)),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
}

/* The next datagram, "" when none waits. */
static const char *hear(struct manager *manager)
{
    ssize_t bytes = recv(manager->fd, manager->heard, sizeof(manager->heard) - 1, MSG_DONTWAIT);

    manager->heard[bytes > 0 ? bytes : 0] = '\0';
    return manager->heard;
}

static void a_service_says_ready_and_stopping(void **state)
{
    struct manager manager;
    struct event_base *base = event_base_new();

    (void)state;
    manager_open(&manager);
    unsetenv("WATCHDOG_USEC");
    struct flo_service *service = flo_service_open();
    assert_non_null(service);
    assert_null(getenv("NOTIFY_SOCKET")); /* no child speaks for it */
    flo_service_ready(service, base);
    assert_string_equal(hear(&manager), "READY=1");
    assert_string_equal(hear(&manager), "");
    flo_service_stop(service);
    assert_string_equal(hear(&manager), "STOPPING=1");
    event_base_free(base);
    close(manager.fd);
}

static void a_loop_that_turns_feeds_the_watchdog(void **state)
{
    struct manager manager;
    struct event_base *base = event_base_new();

    (void)state;
    manager_open(&manager);
    setenv("WATCHDOG_USEC", "20000", 1);
    unsetenv("WATCHDOG_PID");
    struct flo_service *service = flo_service_open();
    flo_service_ready(service, base);
    assert_string_equal(hear(&manager), "READY=1");
    assert_string_equal(hear(&manager), ""); /* not before the loop turns */
    while (hear(&manager)[0] == '\0') {
        event_base_loop(base, EVLOOP_ONCE);
    }
    assert_string_equal(manager.heard, "WATCHDOG=1");
    flo_service_stop(service);
    event_base_free(base);
    close(manager.fd);
}

static void the_watchdog_of_another_process_is_not_fed(void **state)
{
    struct manager manager;
    struct event_base *base = event_base_new();

    (void)state;
    manager_open(&manager);
    setenv("WATCHDOG_USEC", "1000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    struct flo_service *service = flo_service_open();
    assert_non_null(service);
    assert_null(getenv("NOTIFY_SOCKET")); /* no child speaks for it */
    flo_service_ready(service, base);
    assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
    flo_service_stop(service);
    event_base_free(base);
    close(manager.fd);
}

static void without_a_manager_nothing_is_said(void **state)
{
    static const char *const names[] = {"", "relative/path", "@", "/"};
    struct event_base *base = event_base_new();
    char long_name[200];

    (void)state;
    unsetenv("NOTIFY_SOCKET");
    assert_null(flo_service_open());
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        assert_null(flo_service_open());
    }
    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[0] = '/';
    long_name[sizeof(long_name) - 1] = '\0';
    setenv("NOTIFY_SOCKET", long_name, 1);
    assert_null(flo_service_open());
    flo_service_ready(NULL, base);
    flo_service_stop(NULL);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_says_ready_and_stopping),
        cmocka_unit_test(a_loop_that_turns_feeds_the_watchdog),
        cmocka_unit_test(the_watchdog_of_another_process_is_not_fed),
        cmocka_unit_test(without_a_manager_nothing_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

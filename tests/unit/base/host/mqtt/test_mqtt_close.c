/* Closing the MQTT client while the broker's name is asked for. */
#include <netdb.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/host/mqtt.h"

#define CLOSE_MS_MAX 3000 /* 1 s, and what the machine is late */
#define EXIT_CODE 7

/* A name server that says nothing, for longer than anybody shall wait. */
int getaddrinfo(const char *host, const char *port,
                const struct addrinfo *hints, struct addrinfo **out)
{
    (void)host, (void)port, (void)hints, (void)out;
    sleep(20);
    return EAI_AGAIN;
}

/* Functions that a library has registered must not run next to
 * paho's threads. */
static void tidy_up(void)
{
    raise(SIGKILL);
}

/* A program that is stopped soon after its start. */
static void run(void)
{
    struct event_base *base = event_base_new();
    struct flo_mqtt_options options = {.url = "mqtt://localhost:1883",
                                       .client_id = "a"};
    struct flo_mqtt_handlers handlers = {0};
    struct timeval soon = {.tv_usec = 100000};
    struct flo_mqtt *mqtt = NULL;

    atexit(tidy_up);
    if (flo_mqtt_open(base, &options, &handlers, &mqtt, NULL) < 0) {
        _exit(1);
    }
    event_base_loopexit(base, &soon);
    event_base_dispatch(base);
    uint64_t begin_ms = flo_now_ms();
    flo_mqtt_close(mqtt, NULL);
    if (flo_now_ms() - begin_ms > CLOSE_MS_MAX) {
        _exit(2);
    }
    event_base_free(base);
    printf("last words"); /* not flushed yet */
    exit(EXIT_CODE);
}

static void a_close_does_not_wait_for_a_name_server_that_is_silent(void **state)
{
    char said[32] = "";
    int ends[2];
    int status = 0;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        run();
    }
    close(ends[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_CODE);
    assert_true(read(ends[0], said, sizeof(said) - 1) > 0);
    assert_string_equal(said, "last words");
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_close_does_not_wait_for_a_name_server_that_is_silent),
    };

    return cmocka_run_group_tests_name("mqtt close", tests, NULL, NULL);
}

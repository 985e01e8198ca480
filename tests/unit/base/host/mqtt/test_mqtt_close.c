/* Closing the MQTT client while the broker's name is asked for. */
#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <MQTTAsync.h>
#include <cmocka.h>
#include <event2/event.h>

#include "base/host/mqtt.h"
#include "unit/waits.h"

#define EXIT_CODE 7

static int asked[2]; /* a pipe: a byte when the name server is asked */
static sem_t may_begin;
static bool is_late;    /* paho's threads begin when its lock was seen free */
static bool is_opening; /* threads that begin now are paho's */

/* A name server that never says anything. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **out)
{
    (void)host, (void)port, (void)hints, (void)out;
    if (write(asked[1], "", 1) == 1) {
        waits_hang();
    }
    return EAI_AGAIN;
}

static void await_asked(void)
{
    struct pollfd wait = {.fd = asked[0], .events = POLLIN};

    if (poll(&wait, 1, (int)WAITS_HANG_MS) != 1) {
        _exit(3);
    }
}

/* In place of paho's: the lock was free, and is taken at once. */
int MQTTAsync_isConnected(MQTTAsync client)
{
    static int (*real)(MQTTAsync);

    *(void **)&real = dlsym(RTLD_NEXT, "MQTTAsync_isConnected");
    int rv = real(client);
    if (is_late) {
        sem_post(&may_begin);
        await_asked();
    }
    return rv;
}

struct begin {
    void *(*run)(void *);
    void *context;
};

static void *begin_late(void *context)
{
    struct begin begin = *(struct begin *)context;

    free(context);
    sem_wait(&may_begin);
    sem_post(&may_begin); /* the next one too */
    return begin.run(begin.context);
}

/* In place of the system's. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *context)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    struct begin *begin = is_opening ? malloc(sizeof(*begin)) : NULL;

    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    if (begin == NULL) {
        return real(thread, attributes, run, context);
    }
    *begin = (struct begin){run, context};
    return real(thread, attributes, begin_late, begin);
}

/* Functions that a library has registered must not run next to
 * paho's threads. */
static void tidy_up(void)
{
    raise(SIGKILL);
}

/* A program that is stopped while paho asks for the name. */
static void run(void)
{
    struct event_base *base = event_base_new();
    struct flo_mqtt_options options = {.url = "mqtt://localhost:1883", .client_id = "a"};
    struct flo_mqtt_handlers handlers = {0};
    struct flo_mqtt *mqtt = NULL;

    atexit(tidy_up);
    is_opening = is_late;
    if (flo_mqtt_open(base, &options, &handlers, &mqtt, NULL) < 0) {
        _exit(1);
    }
    is_opening = false;
    if (!is_late) {
        await_asked();
    }
    flo_mqtt_close(mqtt, NULL);
    event_base_free(base);
    printf("last words"); /* not flushed yet */
    exit(EXIT_CODE);
}

static void closes_and_ends(void)
{
    char said[32] = "";
    int ends[2];
    int status = 0;

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pipe(asked), 0);
    assert_int_equal(sem_init(&may_begin, 0, 0), 0);
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
    close(asked[0]);
    close(asked[1]);
}

static void a_close_does_not_wait_for_a_name_server_that_is_silent(void **state)
{
    (void)state;
    is_late = false;
    closes_and_ends();
}

static void nor_for_one_that_is_asked_while_it_closes(void **state)
{
    (void)state;
    is_late = true;
    closes_and_ends();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_close_does_not_wait_for_a_name_server_that_is_silent),
        cmocka_unit_test(nor_for_one_that_is_asked_while_it_closes),
    };

    return cmocka_run_group_tests_name("mqtt close", tests, NULL, NULL);
}

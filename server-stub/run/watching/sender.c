/* Sender: its threads, the HTTPS requests to webhooks, and the alert
 * command. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include <flotilla/errors/net.h>
#include <flotilla/errors/process.h>

#include "base/host/crypto.h"
#include "base/host/http_client.h"
#include "base/host/wake.h"

#include "server-stub/core/alert/alert.h"
#include "server-stub/run/watching/sender.h"

#define THREADS 4
#define TIMEOUT_MS 10000
#define CONNECT_MS 5000
#define STEP_US 20000

extern char **environ;

struct flo_sender {
    struct flo_sender_options options;
    void (*done)(void *context, const struct flo_sending *sent);
    void *context;
    pthread_t threads[THREADS];
    size_t thread_count;
    struct event *event;
    int wake_fd;
    pthread_mutex_t mutex; /* guards the members that follow it */
    pthread_cond_t work;
    struct flo_sending *first, **last;
    struct flo_sending *sent;
    char busy[THREADS][FLO_NAME_MAX + 1]; /* "": free */
    bool ends;
};

static void sending_free(struct flo_sending *sending)
{
    free(sending->body);
    flo_secret_wipe(sending->secret, sizeof(sending->secret));
    free(sending);
}

/* ---- HTTPS ---- */

static void post(const struct flo_sender *sender, struct flo_sending *sending)
{
    struct flo_http_options options = {.ca_file = sender->options.ca_file,
                                       .connect_timeout_ms = CONNECT_MS,
                                       .timeout_ms = TIMEOUT_MS,
                                       .is_direct = true,
                                       .takes_private = sender->options.takes_private};
    uint64_t seconds = flo_wall_ms() / 1000;
    char id[64];
    char time[64];
    char signature[32 + FLO_ALERT_SIGNATURE];
    const char *headers[] = {id, time, signature, NULL};
    struct flo_http_request request = {.method = "POST",
                                       .url = sending->url,
                                       .headers = headers,
                                       .body = sending->body,
                                       .body_bytes = strlen(sending->body),
                                       .answer_bytes_max = 65536};
    struct flo_http_answer answer = {0};
    struct flo_http *http = NULL;

    snprintf(id, sizeof(id), "Flotilla-Delivery: %s", sending->id);
    snprintf(time, sizeof(time), "Flotilla-Timestamp: %llu", (unsigned long long)seconds);
    memcpy(signature, "Flotilla-Signature: ", 21);
    flo_alert_sign(sending->secret, seconds, sending->body, request.body_bytes,
                   signature + strlen(signature));
    int rv = flo_http_open(&options, &http, &sending->err);
    if (rv == 0) {
        rv = flo_http_call(http, &request, &answer, &sending->err);
    }
    sending->status = answer.status;
    sending->retry_after_ms = answer.retry_after_ms;
    if (rv == FLO_E_NET_UNREACHABLE && answer.status == 0 && flo_http_was_refused(http)) {
        flo_fail(&sending->err, FLO_E_NET_UNREACHABLE,
                 "its host has no address that a webhook may have: it is "
                 "private (--webhook-private) or link-local");
    }
    if (rv == 0 && (answer.status < 200 || answer.status > 299)) {
        flo_fail(&sending->err, FLO_E_NET_STATUS, "the receiver answered %d%s", answer.status,
                 answer.status >= 300 && answer.status < 400 ? ": redirects are not followed" : "");
    }
    flo_buf_deinit(&answer.body);
    flo_http_close(http);
}

/* ---- command ---- */

static bool start(const char *command, int fd, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    char *argv[] = {(char *)(uintptr_t)command, NULL};

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1, 0);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    int rv = posix_spawn(pid, command, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    errno = rv;
    return rv == 0;
}

static void await(pid_t pid, struct flo_sending *sending)
{
    int status = 0;

    for (uint64_t waited = 0; waitpid(pid, &status, WNOHANG) == 0; waited += STEP_US) {
        if (waited > TIMEOUT_MS * UINT64_C(1000)) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            flo_fail(&sending->err, FLO_E_NET_TIMEOUT, "the command took more than %d s",
                     TIMEOUT_MS / 1000);
            return;
        }
        usleep(STEP_US);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        flo_fail(&sending->err, FLO_E_PROCESS, "the command ended with %d",
                 WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
}

/* Runs the alert command without a shell and without arguments.  Its standard
 * input is the message. */
static void run_command(const struct flo_sender *sender, struct flo_sending *sending)
{
    int ends[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        flo_fail_errno(&sending->err, FLO_E_PROCESS, "the command's input");
        return;
    }
    if (!start(sender->options.command, ends[1], &pid)) {
        flo_fail_errno(&sending->err, FLO_E_PROCESS, "%s", sender->options.command);
        close(ends[0]);
        close(ends[1]);
        return;
    }
    close(ends[1]);
    (void)!send(ends[0], sending->body, strlen(sending->body), MSG_NOSIGNAL);
    close(ends[0]);
    await(pid, sending);
}

/* ---- threads ---- */

static void *work(void *context)
{
    struct flo_sender *sender = context;
    size_t place = 0;

    pthread_mutex_lock(&sender->mutex);
    for (;;) {
        struct flo_sending *sending = sender->first;
        if (sender->ends) {
            break;
        }
        if (sending == NULL) {
            pthread_cond_wait(&sender->work, &sender->mutex);
            continue;
        }
        sender->first = sending->next;
        sender->last = sender->first == NULL ? &sender->first : sender->last;
        for (place = 0; sender->busy[place][0] != '\0'; place++) {
        }
        memcpy(sender->busy[place], sending->target, sizeof(sender->busy[place]));
        pthread_mutex_unlock(&sender->mutex);
        if (sending->url[0] != '\0') {
            post(sender, sending);
        } else {
            run_command(sender, sending);
        }
        pthread_mutex_lock(&sender->mutex);
        sending->next = sender->sent;
        sender->sent = sending;
        sender->busy[place][0] = '\0';
        flo_wake_poke(sender->wake_fd);
    }
    pthread_mutex_unlock(&sender->mutex);
    return NULL;
}

static void on_sent(evutil_socket_t fd, short what, void *context)
{
    struct flo_sender *sender = context;

    (void)what;
    flo_wake_calm(fd);
    pthread_mutex_lock(&sender->mutex);
    struct flo_sending *sent = sender->sent;
    sender->sent = NULL;
    pthread_mutex_unlock(&sender->mutex);
    while (sent != NULL) {
        struct flo_sending *next = sent->next;
        sender->done(sender->context, sent);
        sending_free(sent);
        sent = next;
    }
}

bool flo_sender_is_busy(struct flo_sender *sender, const char *target)
{
    bool is_busy = false;
    size_t count = 0;

    pthread_mutex_lock(&sender->mutex);
    for (size_t i = 0; i < THREADS; i++) {
        is_busy = is_busy || strcmp(sender->busy[i], target) == 0;
    }
    for (const struct flo_sending *s = sender->first; s != NULL; s = s->next) {
        is_busy = is_busy || strcmp(s->target, target) == 0;
        count++;
    }
    for (const struct flo_sending *s = sender->sent; s != NULL; s = s->next) {
        is_busy = is_busy || strcmp(s->target, target) == 0;
    }
    pthread_mutex_unlock(&sender->mutex);
    return is_busy || count >= 4 * THREADS;
}

void flo_sender_send(struct flo_sender *sender, struct flo_sending *sending)
{
    pthread_mutex_lock(&sender->mutex);
    sending->next = NULL;
    *sender->last = sending;
    sender->last = &sending->next;
    pthread_cond_signal(&sender->work);
    pthread_mutex_unlock(&sender->mutex);
}

int flo_sender_open(const struct flo_sender_options *options, struct event_base *base,
                    void (*done)(void *context, const struct flo_sending *sent), void *context,
                    struct flo_sender **out, struct flo_err *err)
{
    struct flo_sender *sender = calloc(1, sizeof(*sender));

    if (sender == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "sender");
    }
    sender->options = *options;
    sender->done = done;
    sender->context = context;
    sender->last = &sender->first;
    pthread_mutex_init(&sender->mutex, NULL);
    pthread_cond_init(&sender->work, NULL);
    sender->wake_fd = flo_wake_open();
    *out = sender;
    sender->event = sender->wake_fd < 0
                        ? NULL
                        : event_new(base, sender->wake_fd, EV_READ | EV_PERSIST, on_sent, sender);
    if (sender->event == NULL || event_add(sender->event, NULL) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "sender");
    }
    for (size_t i = 0; i < THREADS; i++) {
        if (pthread_create(&sender->threads[i], NULL, work, sender) != 0) {
            return flo_fail(err, FLO_E_PROCESS, "the sender's thread");
        }
        sender->thread_count++;
    }
    return 0;
}

void flo_sender_close(struct flo_sender *sender)
{
    if (sender == NULL) {
        return;
    }
    pthread_mutex_lock(&sender->mutex);
    sender->ends = true;
    pthread_cond_broadcast(&sender->work);
    pthread_mutex_unlock(&sender->mutex);
    for (size_t i = 0; i < sender->thread_count; i++) {
        pthread_join(sender->threads[i], NULL);
    }
    if (sender->event != NULL) {
        on_sent(sender->wake_fd, 0, sender);
        event_free(sender->event);
    }
    /* Messages that were not sent are freed; the store still has them. */
    while (sender->first != NULL) {
        struct flo_sending *next = sender->first->next;
        sending_free(sender->first);
        sender->first = next;
    }
    flo_fd_cleanup(&sender->wake_fd);
    pthread_cond_destroy(&sender->work);
    pthread_mutex_destroy(&sender->mutex);
    free(sender);
}

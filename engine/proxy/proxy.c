/* flotilla-engine proxy: the loop between the agent and a runtime.
 *
 * The agent sends OPEN with a folder and the runtime's configuration.  READY
 * follows when the runtime is healthy.  The runtime has crashed if it exits,
 * fails three health checks in a row or takes too much memory.  FAILED for
 * request 0 then tells the reason, and the process exits. */
#include "engine/proxy/proxy.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <flotilla/errors/runtime.h>

#include "base/args/args.h"

#define SOCKET 3
#define OUTPUT_BYTES (1u << 20) /* most unsent bytes; with more, the agent is slow */
#define TICK_MS 100
#define HEALTH_MS 100   /* milliseconds between health checks while the runtime starts */
#define HEALTHY_MS 5000 /* milliseconds between health checks while the runtime serves */
#define ANSWER_MS 5000  /* most milliseconds that a health check may take */
#define MISSES_MAX 3
#define POLLS_MAX (4 + FLO_RUNTIME_SESSIONS_MAX)

/* ---- to the agent ---- */

static struct flo_wire_text text_of(const char *text)
{
    return (struct flo_wire_text){text, strlen(text)};
}

static bool send_output(struct flo_proxy *proxy)
{
    size_t at = 0;

    while (at < proxy->out.bytes) {
        ssize_t n = send(proxy->socket, proxy->out.data + at, proxy->out.bytes - at,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            if (errno != EAGAIN) {
                return false;
            }
            break;
        }
        at += n > 0 ? (size_t)n : 0;
    }
    if (at > 0) {
        memmove(proxy->out.data, proxy->out.data + at, proxy->out.bytes - at);
        proxy->out.bytes -= at;
    }
    return !proxy->out.failed;
}

/* ---- the end ---- */

/* Sends the error (NULL: none) to the agent, ends the runtime and exits. */
_Noreturn static void end(struct flo_proxy *proxy, const struct flo_err *err)
{
    int status = err == NULL ? FLO_EXIT_OK : FLO_EXIT_OTHER;

    if (err != NULL) {
        bool is_open = proxy->state == FLO_PROXY_SERVES;
        flo_proxy_forget_all(proxy);
        flo_proxy_fail(proxy, is_open ? 0 : proxy->open_id, err);
        for (int i = 0; i < 10 && proxy->out.bytes > 0; i++) {
            struct pollfd wait = {.fd = proxy->socket, .events = POLLOUT};
            if (!send_output(proxy) || (proxy->out.bytes > 0 && poll(&wait, 1, TICK_MS) <= 0)) {
                break;
            }
        }
    }
    flo_exchange_end(&proxy->health);
    flo_check_end(&proxy->check);
    flo_runtime_stop(&proxy->process, proxy->runtime.stop_ms);
    exit(status);
}

/* ---- memory ---- */

static bool is_check(const struct flo_proxy *proxy)
{
    return proxy->runtime.api == FLO_RUNTIME_NONE;
}

/* Looks at the processes of a check; those of a server are the guard's. */
static void check_memory(struct flo_proxy *proxy, uint64_t now_ms)
{
    struct flo_err err = {0};

    if (flo_guard_memory(proxy, now_ms, &err) < 0) {
        proxy->runtime.stop_ms = 0;
        end(proxy, &err);
    }
}

/* ---- health ---- */

static int pass_over(void *context, const char *data, size_t bytes, struct flo_err *err)
{
    (void)context, (void)data, (void)bytes, (void)err;
    return 0;
}

static void say_ready(struct flo_proxy *proxy)
{
    struct flo_wire_message message = {.type = FLO_WIRE_READY, .request = proxy->open_id};

    proxy->state = FLO_PROXY_SERVES;
    if (!is_check(proxy)) {
        flo_guard_serves(proxy);
    }
    message.ready.kernel = text_of(proxy->runtime.name);
    message.ready.runtime = text_of(proxy->runtime.name);
    message.ready.context = proxy->runtime.context;
    message.ready.sessions = proxy->runtime.sessions;
    message.ready.abilities = proxy->runtime.abilities;
    message.ready.is_sandboxed = proxy->process.is_sandboxed;
    flo_proxy_put(proxy, &message);
}

static void answer_pings(struct flo_proxy *proxy)
{
    const struct flo_wire_message pong = {.type = FLO_WIRE_PONG};

    for (; proxy->ping > 0; proxy->ping--) {
        flo_proxy_put(proxy, &pong);
    }
}

static void health_ended(struct flo_proxy *proxy, bool is_good, uint64_t now_ms)
{
    struct flo_err err = {0};
    bool serves = proxy->state == FLO_PROXY_SERVES;

    flo_exchange_end(&proxy->health);
    proxy->misses = is_good ? 0 : proxy->misses + 1;
    proxy->next_ms = now_ms + (serves && is_good ? HEALTHY_MS : HEALTH_MS);
    if (is_good) {
        proxy->good_ms = now_ms;
        if (!serves) {
            say_ready(proxy);
            proxy->next_ms = now_ms + HEALTHY_MS;
        }
        answer_pings(proxy);
    } else if (serves && proxy->misses == MISSES_MAX) {
        flo_fail(&err, FLO_E_RUNTIME_HEALTH, "the runtime %s was not healthy %d times in a row",
                 proxy->runtime.name, MISSES_MAX);
        end(proxy, &err);
    }
}

static void health_go_on(struct flo_proxy *proxy)
{
    struct flo_err err = {0};
    int rv = flo_exchange_go_on(&proxy->health, pass_over, NULL, &err);

    if (rv != 0) {
        health_ended(proxy, rv == 1 && proxy->health.reader.status == 200, flo_now_ms());
    }
}

static void check_health(struct flo_proxy *proxy, uint64_t now_ms)
{
    uint64_t waited_ms = now_ms - proxy->started_ms;
    struct flo_err err = {0};

    if (proxy->state == FLO_PROXY_STARTS && waited_ms > proxy->runtime.ready_ms) {
        flo_fail(&err, FLO_E_RUNTIME_HEALTH, "the runtime %s was not healthy within %llu ms",
                 proxy->runtime.name, (unsigned long long)proxy->runtime.ready_ms);
        flo_guard_look(proxy);
        flo_proxy_add_words(proxy, &err);
        end(proxy, &err);
    }
    if (proxy->health.fd >= 0) {
        if (now_ms - proxy->asked_ms > ANSWER_MS) {
            health_ended(proxy, false, now_ms);
        }
    } else if (now_ms >= proxy->next_ms) {
        proxy->asked_ms = now_ms;
        flo_body_health(&proxy->runtime, &proxy->health.out);
        if (flo_guard_connect(proxy, &proxy->health, &err) < 0) {
            health_ended(proxy, false, now_ms);
        }
    }
}

/* ---- frames of the agent ---- */

static void open_runtime(struct flo_proxy *proxy, const struct flo_wire_open *in, uint32_t id)
{
    struct flo_err err = {0};

    proxy->open_id = id;
    if (in->runtime.bytes == 0 || !in->is_tree) {
        flo_fail(&err, FLO_E_RUNTIME_START, "OPEN names no runtime or folder");
        end(proxy, &err);
    }
    int rv = flo_runtime_read(&proxy->runtime, in->runtime, &err);
    struct flo_runtime *runtime = &proxy->runtime;
    if (rv == 0 && in->context > 0 && in->context < runtime->context) {
        runtime->context = in->context;
    }
    if (rv == 0 && in->sessions > 0 && in->sessions < runtime->sessions) {
        runtime->sessions = in->sessions;
    }
    if (rv == 0 && runtime->threads == 0) {
        runtime->threads = in->threads;
    }
    if (rv == 0 && runtime->api == FLO_RUNTIME_NONE) {
        proxy->process.is_sandboxed = flo_sandbox_has_landlock();
        say_ready(proxy); /* no process starts now: each check starts its own */
        return;
    }
    if (rv == 0) {
        rv = flo_guard_split(proxy, in->entry, &err);
    }
    if (rv < 0) {
        end(proxy, &err);
    }
    proxy->state = FLO_PROXY_STARTS;
    proxy->started_ms = flo_now_ms();
}

static void send_stats(struct flo_proxy *proxy, uint32_t id)
{
    struct flo_wire_message message = {.type = FLO_WIRE_STATS_ANSWER, .request = id};
    uint32_t count = 0;

    for (const struct flo_proxy_request *r = proxy->requests; r != NULL; r = r->next) {
        count++;
    }
    proxy->looked_ms = 0;
    if (is_check(proxy)) {
        check_memory(proxy, flo_now_ms());
    } else if (proxy->guard >= 0) {
        flo_guard_look(proxy);
    }
    message.stats.running = proxy->n_running;
    message.stats.queued = count - proxy->n_running;
    message.stats.requests = proxy->n_requests;
    message.stats.tokens_in = proxy->tokens_in;
    message.stats.tokens_out = proxy->tokens_out;
    message.stats.rss_bytes = proxy->rss_bytes;
    message.stats.rss_bytes_peak = proxy->rss_bytes_peak;
    flo_proxy_put(proxy, &message);
}

static void refuse(struct flo_proxy *proxy, const struct flo_wire_message *message)
{
    struct flo_err err = {0};

    flo_fail(&err, FLO_E_NOT_BUILT, "%s: not of the runtime %s",
             flo_wire_type_name((int)message->type), proxy->runtime.name);
    flo_proxy_fail(proxy, message->request, &err);
}

/* Handles a message.  Returns false if the agent broke the protocol. */
static bool handle(struct flo_proxy *proxy, const struct flo_wire_message *message)
{
    if (proxy->state == FLO_PROXY_WAITS) {
        if (message->type != FLO_WIRE_OPEN) {
            return false;
        }
        open_runtime(proxy, &message->open, message->request);
        return true;
    }
    switch (message->type) {
    case FLO_WIRE_GENERATE:
    case FLO_WIRE_EMBED:
        if (is_check(proxy)) {
            flo_check_take(proxy, message);
            return true;
        }
        flo_proxy_take(proxy, message);
        return proxy->state == FLO_PROXY_SERVES;
    case FLO_WIRE_CANCEL:
        if (is_check(proxy)) {
            flo_check_cancel(proxy, message->request);
            return true;
        }
        flo_proxy_cancel(proxy, message->request);
        return true;
    case FLO_WIRE_STATS:
        send_stats(proxy, message->request);
        return true;
    case FLO_WIRE_PING:
        proxy->ping++;
        if (proxy->state == FLO_PROXY_SERVES && proxy->misses == 0) {
            answer_pings(proxy);
        }
        return true;
    case FLO_WIRE_OPEN:
        return false;
    default:
        refuse(proxy, message);
        return true;
    }
}

static bool handle_input(struct flo_proxy *proxy)
{
    static struct flo_wire_message message;
    struct flo_err err = {0};
    size_t at = 0;

    while (at < proxy->in.bytes) {
        ptrdiff_t used = flo_wire_read(proxy->in.data + at, proxy->in.bytes - at, &message, &err);
        if (used == 0) {
            break;
        }
        if (used < 0 || !handle(proxy, &message)) {
            return false;
        }
        at += (size_t)used;
    }
    if (at > 0) {
        memmove(proxy->in.data, proxy->in.data + at, proxy->in.bytes - at);
        proxy->in.bytes -= at;
    }
    return true;
}

/* Receives bytes and descriptors.  The first descriptor is the folder; any
 * other is closed.  Returns false if the agent is gone. */
static bool receive(struct flo_proxy *proxy)
{
    size_t count = proxy->tree >= 0;

    return flo_wire_receive(proxy->socket, &proxy->in, &proxy->tree, 1, &count) >= 0;
}

/* ---- the loop ---- */

/* Continues the request with this descriptor.  It is searched for each time,
 * because a request that ends frees itself. */
static void go_on(struct flo_proxy *proxy, int fd)
{
    for (struct flo_proxy_request *r = proxy->requests; r != NULL; r = r->next) {
        if (r->exchange.fd == fd) {
            flo_proxy_go_on(proxy, r);
            return;
        }
    }
}

static size_t list_polls(const struct flo_proxy *proxy, struct pollfd *polls)
{
    bool is_full = proxy->out.bytes > OUTPUT_BYTES;
    size_t n = 0;

    polls[n++] = (struct pollfd){
        .fd = proxy->socket,
        .events = (short)((is_full ? 0 : POLLIN) | (proxy->out.bytes > 0 ? POLLOUT : 0))};
    polls[n++] =
        (struct pollfd){.fd = proxy->health.fd,
                        .events = proxy->health.fd < 0 ? 0 : flo_exchange_events(&proxy->health)};
    polls[n++] = (struct pollfd){.fd = proxy->check.pid > 0 ? proxy->check.output : proxy->guard,
                                 .events = POLLIN};
    for (const struct flo_proxy_request *r = proxy->requests;
         r != NULL && n < POLLS_MAX && !is_full; r = r->next) {
        if (r->exchange.fd >= 0) {
            polls[n++] =
                (struct pollfd){.fd = r->exchange.fd, .events = flo_exchange_events(&r->exchange)};
        }
    }
    return n;
}

static bool turn(struct flo_proxy *proxy)
{
    struct pollfd polls[POLLS_MAX];
    size_t n = list_polls(proxy, polls);

    if (poll(polls, n, TICK_MS) < 0 && errno != EINTR) {
        return false;
    }
    if (polls[1].revents != 0 && proxy->health.fd >= 0) {
        health_go_on(proxy);
    }
    for (size_t i = 3; i < n; i++) {
        if (polls[i].revents != 0) {
            go_on(proxy, polls[i].fd);
        }
    }
    if ((polls[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
        (!receive(proxy) || !handle_input(proxy))) {
        return false;
    }
    if (proxy->state != FLO_PROXY_WAITS) {
        uint64_t now_ms = flo_now_ms();
        if (is_check(proxy)) {
            flo_check_go_on(proxy);
            check_memory(proxy, now_ms);
        } else {
            struct flo_err err = {0};
            if (flo_guard_hear(proxy, &err) < 0) {
                end(proxy, &err);
            }
            check_health(proxy, now_ms);
            flo_proxy_begin(proxy);
        }
    }
    return send_output(proxy);
}

void flo_proxy_clear(void)
{
    flo_scratch_clear();
}

int flo_cmd_proxy(void *line, struct flo_err *err)
{
    static struct flo_proxy proxy = {
        .socket = SOCKET, .tree = -1, .guard = -1, .mode = FLO_SANDBOX_REQUIRED};
    const char *word = ((const struct flo_args *)line)->words[0];
    int type = 0;
    socklen_t bytes = sizeof(type);

    if ((word != NULL && !flo_sandbox_mode_parse(word, &proxy.mode)) ||
        getsockopt(SOCKET, SOL_SOCKET, SO_TYPE, &type, &bytes) < 0 || type != SOCK_STREAM) {
        return flo_fail(err, FLO_E_USAGE,
                        "proxy is started by flotilla-agent, with a socket as "
                        "descriptor 3");
    }
    signal(SIGINT, SIG_IGN); /* the agent handles Ctrl-C and ends this process */
    signal(SIGPIPE, SIG_IGN);
    /* if the agent dies, this process is killed, and the keeper ends the
     * runtime */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    proxy.process.report = proxy.process.errors = proxy.process.keeper = -1;
    proxy.check.output = proxy.check.report = -1;
    proxy.in.bytes_max = 4 * FLO_WIRE_FRAME_BYTES_MAX;
    proxy.out.bytes_max = 16 * FLO_WIRE_FRAME_BYTES_MAX;
    flo_exchange_init(&proxy.health, &flo_proxy_peer);
    while (turn(&proxy)) {
    }
    end(&proxy, NULL);
}

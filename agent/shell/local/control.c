/* Control socket: receives requests of an operator at the device for the
 * running agent.  Only the agent's user and root may connect.
 *
 * status answers at once.  rollback answers when the core has the outcome.
 * update reports each state until the release serves on trial or the execution
 * has ended. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>

#include "agent/shell/local/local.h"
#include "agent/shell/report/operators.h"
#include "agent/shell/trust/trust.h"

/* limit of a request's bytes, enough for a trust statement */
#define REQUEST_BYTES_MAX (128u << 10)
/* limit of the answer bytes that a client has not read yet */
#define UNREAD_BYTES_MAX (1u << 20)

struct flo_control {
    struct evconnlistener *listener;
    struct event *resume; /* timer that accepts clients again after an error */
    char path[108];
};

/* ---- requests ---- */

static void refuse(struct flo_operator *client, const struct flo_err *err)
{
    json_t *json = json_pack("{s:i, s:b, s:{s:s, s:s}}", "v", 1, "done", 1, "error", "id",
                             flo_error_id(err->code), "what", err->what);

    if (json != NULL) {
        flo_operator_send(client, json);
        json_decref(json);
    }
}

static int update(struct flo_operator *client, const json_t *json, struct flo_err *err)
{
    struct flo_shell *shell = flo_operator_shell(client);
    struct flo_agent_execution execution = {0};
    const char *bundle = NULL;
    const char *model = NULL;
    const char *version = NULL;
    bool is_to_end = false;
    int rv = flo_json_get_text(json, "bundle", sizeof(execution.bundle) - 1, &bundle, err);

    /* Updates wait while the device record cannot be read, because the blocked
     * releases are not known then. */
    if (flo_shell_device_is_unread(shell)) {
        return flo_fail(err, FLO_E_STATE, "slots/_device.bin cannot be read: updates wait");
    }
    FLO_TRY(rv);
    FLO_TRY(flo_json_get_name(json, "model", &model, err));
    FLO_TRY(flo_json_get_name(json, "version", &version, err));
    FLO_TRY(flo_json_get_digest(json, "release", &execution.release.digest, err));
    FLO_TRY(flo_json_opt_bool(json, "to_end", false, &is_to_end, err));
    flo_operator_wait(client, is_to_end ? FLO_WAIT_END : FLO_WAIT_UPDATE, "");
    if (flo_digest_is_zero(&execution.release.digest)) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "field `release`: a digest of zeros names no release");
    }
    if (bundle[0] != '/') { /* an empty path would start a download without an order */
        return flo_fail(err, FLO_E_USAGE, "bundle `%s`: no absolute path", bundle);
    }
    FLO_TRY(flo_shell_newest_bundle(shell, json, err));
    snprintf(execution.bundle, sizeof(execution.bundle), "%s", bundle);
    snprintf(execution.release.model, sizeof(execution.release.model), "%s", model);
    snprintf(execution.release.version, sizeof(execution.release.version), "%s", version);
    return flo_loop_install(shell, &execution, err);
}

/* Carries out an operator's order.  The answer comes at once, or after the core
 * has acted. */
static int order(struct flo_operator *client, const json_t *json, struct flo_err *err)
{
    struct flo_shell *shell = flo_operator_shell(client);
    char id[FLO_NAME_MAX + 1];
    json_t *envelope = NULL;

    FLO_TRY(flo_json_get_object(json, "order", &envelope, err));
    FLO_TRY(flo_orders_check(shell, envelope, id, err));
    flo_operator_wait(client, FLO_WAIT_ORDER, id);
    return flo_loop_order_by_hand(shell, envelope, id, err);
}

static int trust(struct flo_operator *client, const json_t *json, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    json_t *envelope = NULL;
    uint64_t number;

    FLO_TRY(flo_json_get_object(json, "statement", &envelope, err));
    FLO_TRY(flo_loop_trust(flo_operator_shell(client), envelope, &number, err));
    answer = json_pack("{s:i, s:b, s:I}", "v", 1, "done", 1, "number", (json_int_t)number);
    if (answer != NULL) {
        flo_operator_send(client, answer);
    }
    return 0;
}

static int operate(struct flo_shell *shell, const json_t *json, enum flo_agent_event_kind kind,
                   struct flo_err *err)
{
    const char *model = "";

    FLO_TRY(flo_json_opt_text(json, "model", FLO_NAME_MAX, "", &model, err));
    return flo_loop_operator(shell, kind, model, err);
}

static void take_request(struct flo_operator *client, const char *line, size_t bytes)
{
    struct flo_shell *shell = flo_operator_shell(client);
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct flo_err err = {0};
    const char *op = NULL;
    int rv = flo_json_parse(line, bytes, REQUEST_BYTES_MAX, &json, &err);

    if (rv == 0) {
        rv = flo_json_get_text(json, "op", 32, &op, &err);
    }
    if (rv == 0 && strcmp(op, "status") == 0) {
        json_t *status = flo_control_status(shell);
        if (status != NULL) {
            json_object_set_new(status, "done", json_true());
            json_object_set_new(status, "newest", flo_shell_newest_json(shell));
            flo_operator_send(client, status);
            json_decref(status);
        }
    } else if (rv == 0 && strcmp(op, "rollback") == 0) {
        flo_operator_wait(client, FLO_WAIT_ANSWER, "");
        rv = operate(shell, json, FLO_AGENT_GO_BACK, &err);
    } else if (rv == 0 && strcmp(op, "remove") == 0) {
        flo_operator_wait(client, FLO_WAIT_ANSWER, "");
        rv = operate(shell, json, FLO_AGENT_REMOVE, &err);
    } else if (rv == 0 && strcmp(op, "order") == 0) {
        rv = order(client, json, &err);
    } else if (rv == 0 && strcmp(op, "trust") == 0) {
        rv = trust(client, json, &err);
    } else if (rv == 0 && strcmp(op, "update") == 0) {
        rv = update(client, json, &err);
    } else if (rv == 0) {
        rv = flo_fail(&err, FLO_E_USAGE, "no operation `%s`", op);
    }
    if (rv < 0) {
        flo_operator_wait(client, FLO_WAIT_NOTHING, "");
        refuse(client, &err);
    }
}

/* Tells whether a client does not read its answers, so that it is
 * disconnected. */
static bool is_deaf(struct bufferevent *stream)
{
    return evbuffer_get_length(bufferevent_get_output(stream)) > UNREAD_BYTES_MAX;
}

static void on_read(struct bufferevent *stream, void *context)
{
    struct evbuffer *input = bufferevent_get_input(stream);
    struct flo_operator *client = context;
    size_t bytes;
    char *line;

    while (!is_deaf(stream) && (line = evbuffer_readln(input, &bytes, EVBUFFER_EOL_LF)) != NULL) {
        take_request(client, line, bytes);
        free(line);
    }
    if (is_deaf(stream) || evbuffer_get_length(input) > REQUEST_BYTES_MAX) {
        flo_operator_free(client);
    }
}

static void on_closed(struct bufferevent *stream, short what, void *context)
{
    (void)stream;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0) {
        flo_operator_free(context);
    }
}

static bool is_allowed(evutil_socket_t fd)
{
    struct ucred peer;
    socklen_t bytes = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int address_bytes, void *context)
{
    struct flo_shell *shell = context;
    struct bufferevent *stream =
        is_allowed(fd) ? bufferevent_socket_new(shell->base, fd, BEV_OPT_CLOSE_ON_FREE) : NULL;
    struct flo_operator *client = stream == NULL ? NULL : flo_operator_new(shell, stream);

    (void)listener, (void)address, (void)address_bytes;
    if (client != NULL) {
        bufferevent_setcb(stream, on_read, NULL, on_closed, client);
        bufferevent_enable(stream, EV_READ | EV_WRITE);
    } else if (stream != NULL) {
        bufferevent_free(stream);
    } else {
        evutil_closesocket(fd);
    }
}

static void on_resume(evutil_socket_t fd, short what, void *context)
{
    const struct flo_shell *shell = context;

    (void)fd, (void)what;
    evconnlistener_enable(shell->control->listener);
}

/* Without a descriptor, the loop would spin on the error. */
static void on_accept_error(struct evconnlistener *listener, void *context)
{
    static const struct timeval retry = {.tv_usec = 100000};
    const struct flo_shell *shell = context;

    evconnlistener_disable(listener);
    event_add(shell->control->resume, &retry);
}

/* ---- open, close ---- */

int flo_control_open(struct flo_shell *shell, struct flo_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct flo_control *control = calloc(1, sizeof(*control));
    bool is_stuck;
    int rv;
    mode_t mask;

    if (control == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "control socket");
    }
    if (strlen(shell->settings.control) >= sizeof(address.sun_path)) {
        free(control);
        flo_fail(err, FLO_E_CFG_RANGE, "control socket %s: %zu characters, at most %zu",
                 shell->settings.control, strlen(shell->settings.control),
                 sizeof(address.sun_path) - 1);
        return flo_err_fix(err, "set control_socket to a shorter path");
    }
    snprintf(control->path, sizeof(control->path), "%.107s", shell->settings.control);
    memcpy(address.sun_path, control->path, sizeof(address.sun_path));
    /* The agent holds the state lock, so a socket at this path is left over
     * from an earlier agent. */
    is_stuck = unlink(control->path) < 0 && errno == EROFS;
    mask = umask(0177);
    control->listener = evconnlistener_new_bind(shell->base, on_accept, shell,
                                                LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 8,
                                                (struct sockaddr *)&address, (int)sizeof(address));
    umask(mask);
    if (control->listener == NULL) {
        is_stuck = is_stuck || errno == EROFS || errno == ENOSPC;
        rv = flo_fail_errno(err, FLO_E_IO_OPEN, "control socket %s", control->path);
        free(control);
        if (is_stuck) { /* on a read-only or full disk the agent continues without the socket */
            flo_log_err(FLO_LOG_WARN, "control", err);
            return 0;
        }
        return rv;
    }
    control->resume = evtimer_new(shell->base, on_resume, shell);
    if (control->resume != NULL) {
        evconnlistener_set_error_cb(control->listener, on_accept_error);
    }
    shell->control = control;
    return 0;
}

void flo_control_close(struct flo_shell *shell)
{
    struct flo_control *control = shell->control;

    if (control == NULL) {
        return;
    }
    flo_operators_free(shell);
    evconnlistener_free(control->listener);
    flo_event_drop(&control->resume);
    unlink(control->path);
    free(control);
    shell->control = NULL;
}

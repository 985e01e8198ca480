/* The control socket: an operator at the device asks the running agent.
 *
 * Only the agent's user and root may connect.  status answers at once;
 * rollback when the core says how it went; update tells each state until the
 * release serves on trial or the execution ended. */
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

#include "agent/shell/shell.h"

#define REQUEST_BYTES_MAX 8192
#define UNREAD_BYTES_MAX (1u << 20) /* of answers */
#define CLIENTS_MAX 16

enum wait_kind { WAIT_NOTHING, WAIT_ROLLBACK, WAIT_UPDATE };

struct client {
    struct flo_control *control;
    struct bufferevent *stream;
    enum wait_kind wait;
    bool is_ending;
};

struct flo_control {
    struct flo_shell *shell;
    struct evconnlistener *listener;
    char path[108];
    struct client *clients[CLIENTS_MAX];
};

/* ---- answers
 * -------------------------------------------------------------------- */

static void client_free(struct client *client)
{
    size_t i;

    for (i = 0; i < CLIENTS_MAX; i++) {
        if (client->control->clients[i] == client) {
            client->control->clients[i] = NULL;
        }
    }
    bufferevent_free(client->stream);
    free(client);
}

static void send_line(struct client *client, const json_t *json)
{
    struct flo_buf text = {0};

    flo_json_dump(json, &text);
    flo_buf_text(&text, "\n");
    if (!text.failed) {
        bufferevent_write(client->stream, text.data, text.bytes);
    }
    flo_buf_deinit(&text);
}

/* To everybody who waits for this kind; a local command keeps it. */
static void deliver(struct flo_shell *shell, enum wait_kind kind, json_t *json,
                    bool is_done)
{
    size_t i;

    if (json == NULL) {
        return;
    }
    json_object_set_new(json, "done", json_boolean(is_done));
    for (i = 0; shell->control != NULL && i < CLIENTS_MAX; i++) {
        struct client *client = shell->control->clients[i];
        if (client != NULL && client->wait == kind) {
            send_line(client, json);
            if (is_done) {
                client->wait = WAIT_NOTHING;
            }
        }
    }
    if (shell->is_local && is_done) {
        json_decref(shell->local_answer);
        shell->local_answer = json_incref(json);
        event_base_loopbreak(shell->base);
    }
    json_decref(json);
}

void flo_control_acked(struct flo_shell *shell, const char *word,
                       const struct flo_agent_error *error)
{
    json_t *json = json_pack("{s:i, s:s, s:s, s:s}", "v", 1, "outcome", word,
                             "model", shell->agent.slots.current.model,
                             "version", shell->agent.slots.current.version);

    if (json != NULL && error->code != 0) {
        json_object_set_new(json, "error", flo_report_error(error));
    }
    deliver(shell, WAIT_ROLLBACK, json, true);
}

void flo_control_report(struct flo_shell *shell,
                        const struct flo_agent_execution *execution)
{
    bool is_end = flo_execution_is_end(execution->state);

    if (execution->bundle[0] == '\0' ||
        !flo_digest_equal(&execution->release.digest, &shell->installing)) {
        return; /* nobody here waits for it */
    }
    deliver(shell, WAIT_UPDATE, flo_report_execution(execution),
            is_end || execution->state == FLO_EXECUTION_SOAKING);
}

static json_t *slot_status(struct flo_shell *shell,
                           const struct flo_release_ref *ref, const char *state)
{
    struct flo_release *release;
    uint64_t bytes = 0;
    uint32_t i;

    if (flo_digest_is_zero(&ref->digest)) {
        return json_null();
    }
    release = calloc(1, sizeof(*release));
    if (release != NULL && flo_store_release_load(shell->store, &ref->digest,
                                                  release, NULL) == 0) {
        for (i = 0; i < release->file_count; i++) {
            bytes += release->files[i].bytes;
        }
        flo_release_deinit(release);
    }
    free(release);
    return json_pack("{s:s, s:s, s:s, s:I}", "model", ref->model, "version",
                     ref->version, "state", state, "bytes", (json_int_t)bytes);
}

static bool is_served(const struct flo_agent *agent,
                      const struct flo_release_ref *release)
{
    return agent->live >= 0 &&
           flo_digest_equal(&agent->engines[agent->live].release.digest,
                            &release->digest);
}

json_t *flo_control_status(struct flo_shell *shell)
{
    const struct flo_agent *agent = &shell->agent;
    struct flo_serve_status serving = {0};
    const char *candidate = agent->has_execution
                                ? flo_execution_word(agent->execution.state)
                                : "staged";
    json_t *json;

    if (shell->serve != NULL) {
        flo_serve_get_status(shell->serve, &serving);
    }
    json = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:i,"
        " s:{s:o, s:o, s:o}, s:I, s:I, s:I}",
        "v", 1, "agent", FLO_VERSION, "device", shell->identity.device, "name",
        shell->identity.name, "fleet", shell->identity.fleet, "controller",
        shell->identity.controller, "enrolled", (int)shell->identity.is_there,
        "online", (int)flo_mqtt_is_connected(shell->mqtt), "frozen",
        (int)agent->is_frozen, "pid", (int)getpid(), "slots", "current",
        slot_status(shell, &agent->slots.current,
                    is_served(agent, &agent->slots.current) ? "serving"
                    : shell->serve == NULL                  ? "stopped"
                    : agent->live >= 0                      ? "kept"
                                                            : "loading"),
        "previous",
        slot_status(shell, &agent->slots.previous,
                    is_served(agent, &agent->slots.previous) ? "serving"
                                                             : "kept"),
        "candidate", slot_status(shell, &agent->slots.candidate, candidate),
        "engine_rss_bytes",
        (json_int_t)(serving.is_live ? serving.roles[serving.live].rss_bytes
                                     : 0),
        "queue", (json_int_t)serving.held, "outbox_corrupt",
        (json_int_t)(shell->db == NULL ? 0 : flo_outbox_db_corrupt(shell->db)));
    if (json != NULL && agent->has_execution) {
        json_object_set_new(json, "execution",
                            flo_report_execution(&agent->execution));
        json_object_set_new(json, "reason",
                            json_string(agent->execution.reason));
    }
    return json;
}

/* ---- requests
 * ---------------------------------------------------------------------- */

static void refuse(struct client *client, const struct flo_err *err)
{
    json_t *json =
        json_pack("{s:i, s:b, s:{s:s, s:s}}", "v", 1, "done", 1, "error", "id",
                  flo_error_id(err->code), "what", err->what);

    if (json != NULL) {
        send_line(client, json);
        json_decref(json);
    }
}

static int update(struct flo_shell *shell, const json_t *json,
                  struct flo_err *err)
{
    struct flo_agent_execution execution = {0};
    const char *bundle = NULL;
    const char *model = NULL;
    const char *version = NULL;
    int rv = flo_json_get_text(json, "bundle", sizeof(execution.bundle) - 1,
                               &bundle, err);

    if (shell->device_is_unread) { /* which releases it denies */
        return flo_fail(err, FLO_E_STATE,
                        "slots/_device.bin cannot be read: updates wait");
    }
    if (rv < 0 || (rv = flo_json_get_name(json, "model", &model, err)) < 0 ||
        (rv = flo_json_get_name(json, "version", &version, err)) < 0 ||
        (rv = flo_json_get_digest(json, "release", &execution.release.digest,
                                  err)) < 0) {
        return rv;
    }
    if (bundle[0] != '/') { /* "" would be a download that nobody ordered */
        return flo_fail(err, FLO_E_USAGE, "bundle `%s`: no absolute path",
                        bundle);
    }
    snprintf(execution.bundle, sizeof(execution.bundle), "%s", bundle);
    snprintf(execution.release.model, sizeof(execution.release.model), "%s",
             model);
    snprintf(execution.release.version, sizeof(execution.release.version), "%s",
             version);
    flo_shell_install(shell, &execution);
    return 0;
}

static void go_back(struct flo_shell *shell)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_GO_BACK};

    event.fits_both = flo_shell_fits_both(shell, &shell->slots.current,
                                          &shell->slots.previous);
    flo_shell_event(shell, &event);
}

static void take_request(struct client *client, const char *line, size_t bytes)
{
    struct flo_shell *shell = client->control->shell;
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
            send_line(client, status);
            json_decref(status);
        }
    } else if (rv == 0 && strcmp(op, "rollback") == 0) {
        client->wait = WAIT_ROLLBACK;
        go_back(shell);
    } else if (rv == 0 && strcmp(op, "update") == 0) {
        client->wait = WAIT_UPDATE;
        rv = update(shell, json, &err);
    } else if (rv == 0) {
        rv = flo_fail(&err, FLO_E_USAGE, "no operation `%s`", op);
    }
    if (rv < 0) {
        client->wait = WAIT_NOTHING;
        refuse(client, &err);
    }
}

/* Who asks and does not listen is not waited for. */
static bool is_deaf(const struct client *client)
{
    return evbuffer_get_length(bufferevent_get_output(client->stream)) >
           UNREAD_BYTES_MAX;
}

static void on_read(struct bufferevent *stream, void *context)
{
    struct evbuffer *input = bufferevent_get_input(stream);
    struct client *client = context;
    size_t bytes;
    char *line;

    while (!is_deaf(client) &&
           (line = evbuffer_readln(input, &bytes, EVBUFFER_EOL_LF)) != NULL) {
        take_request(client, line, bytes);
        free(line);
    }
    if (is_deaf(client) || evbuffer_get_length(input) > REQUEST_BYTES_MAX) {
        client_free(client);
    }
}

static void on_closed(struct bufferevent *stream, short what, void *context)
{
    (void)stream;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0) {
        client_free(context);
    }
}

static bool is_allowed(evutil_socket_t fd)
{
    struct ucred peer;
    socklen_t bytes = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd,
                      struct sockaddr *address, int address_bytes,
                      void *context)
{
    struct flo_control *control = context;
    struct client *client = calloc(1, sizeof(*client));
    size_t i = 0;

    (void)listener;
    (void)address;
    (void)address_bytes;
    while (i < CLIENTS_MAX && control->clients[i] != NULL) {
        i++;
    }
    if (client != NULL && i < CLIENTS_MAX && is_allowed(fd)) {
        client->control = control;
        client->stream = bufferevent_socket_new(control->shell->base, fd,
                                                BEV_OPT_CLOSE_ON_FREE);
    }
    if (client == NULL || client->stream == NULL) {
        evutil_closesocket(fd);
        free(client);
        return;
    }
    control->clients[i] = client;
    bufferevent_setcb(client->stream, on_read, NULL, on_closed, client);
    bufferevent_enable(client->stream, EV_READ | EV_WRITE);
}

/* ---- open, close
 * --------------------------------------------------------------------- */

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
        flo_fail(err, FLO_E_CFG_RANGE,
                 "control socket %s: %zu characters, at most %zu",
                 shell->settings.control, strlen(shell->settings.control),
                 sizeof(address.sun_path) - 1);
        return flo_err_fix(err, "set control_socket to a shorter path");
    }
    control->shell = shell;
    snprintf(control->path, sizeof(control->path), "%.107s",
             shell->settings.control);
    memcpy(address.sun_path, control->path, sizeof(address.sun_path));
    /* The state lock says that nobody uses it. */
    is_stuck = unlink(control->path) < 0 && errno == EROFS;
    mask = umask(0177);
    control->listener = evconnlistener_new_bind(
        shell->base, on_accept, control,
        LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 8,
        (struct sockaddr *)&address, (int)sizeof(address));
    umask(mask);
    if (control->listener == NULL) {
        is_stuck = is_stuck || errno == EROFS || errno == ENOSPC;
        rv = flo_fail_errno(err, FLO_E_IO_OPEN, "control socket %s",
                            control->path);
        free(control);
        if (is_stuck) { /* a disk that takes no name: serve all the same */
            flo_log_err(FLO_LOG_WARN, "control", err);
            return 0;
        }
        return rv;
    }
    shell->control = control;
    return 0;
}

void flo_control_close(struct flo_control *control)
{
    size_t i;

    if (control == NULL) {
        return;
    }
    for (i = 0; i < CLIENTS_MAX; i++) {
        if (control->clients[i] != NULL) {
            client_free(control->clients[i]);
        }
    }
    evconnlistener_free(control->listener);
    unlink(control->path);
    free(control);
}

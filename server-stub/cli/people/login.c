/* Login and logout: with a token from a file, from a prompt, or from an
 * identity provider.
 *
 * The provider sends the browser to a port of this machine (RFC 8252).  If the
 * browser is on another machine, a person copies the address from its address
 * bar and pastes it here. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <flotilla/errors/net.h>
#include <flotilla/errors/rest.h>

#include "base/host/crypto.h"
#include "server-stub/cli/cli.h"
#include "server-stub/cli/people/callback.h"

/* longest wait, which is the time that the controller allows for a login */
#define WAIT_MS 600000
#define HEAD_MS 5000

/* ---- one request of a browser ---- */

static void answer(int fd, bool is_it)
{
    static const char page[] = "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                               "Cache-Control: no-store\r\nConnection: close\r\n\r\n%s";
    const char *text =
        is_it ? "Flotilla: go back to the terminal.\n" : "Flotilla: nothing is here.\n";
    char out[512];
    int bytes =
        snprintf(out, sizeof(out), page, is_it ? "200 OK" : "404 Not Found", strlen(text), text);

    (void)!send(fd, out, (size_t)bytes, MSG_NOSIGNAL);
}

/* Reads the head of the browser's request as far as it arrives in time; the
 * rest is ignored. */
static bool read_head(int fd, char *out)
{
    uint64_t until_ms = flo_now_ms() + HEAD_MS;
    size_t bytes = 0;

    while (bytes < FLO_CALLBACK_HEAD_MAX - 1 && flo_now_ms() < until_ms) {
        struct pollfd one = {.fd = fd, .events = POLLIN};
        if (poll(&one, 1, (int)(until_ms - flo_now_ms())) <= 0) {
            return false;
        }
        ssize_t got = recv(fd, out + bytes, FLO_CALLBACK_HEAD_MAX - 1 - bytes, 0);
        if (got <= 0) {
            return false;
        }
        bytes += (size_t)got;
        out[bytes] = '\0';
        char *end = strstr(out, "\r\n");
        if (end != NULL) {
            *end = '\0';
            return true;
        }
    }
    return false;
}

static bool take_browser(int listener, const char *state, struct flo_callback *out)
{
    char head[FLO_CALLBACK_HEAD_MAX];
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0 || !read_head(fd, head)) {
        return false;
    }
    bool is_it =
        strncmp(head, "GET " FLO_CALLBACK_PATH "?", strlen("GET " FLO_CALLBACK_PATH "?")) == 0 &&
        flo_callback_read(head, out) && strcmp(out->state, state) == 0;
    answer(fd, is_it);
    return is_it;
}

static bool take_pasted(const char *state, struct flo_callback *out)
{
    char line[FLO_CALLBACK_HEAD_MAX];

    if (fgets(line, sizeof(line), stdin) == NULL || line[0] == '\n') {
        return false;
    }
    if (flo_callback_read(line, out) && strcmp(out->state, state) == 0) {
        return true;
    }
    fputs("that is no address of this login\n", stderr);
    return false;
}

static int await(int listener, const char *state, uint64_t wait_ms, struct flo_callback *out,
                 struct flo_err *err)
{
    uint64_t until_ms = flo_now_ms() + wait_ms;
    bool reads = isatty(STDIN_FILENO) == 1;

    while (flo_now_ms() < until_ms) {
        struct pollfd both[] = {{.fd = listener, .events = POLLIN},
                                {.fd = STDIN_FILENO, .events = POLLIN}};
        int count = poll(both, reads ? 2 : 1, (int)(until_ms - flo_now_ms()));
        if (count < 0 && errno != EINTR) {
            return flo_fail_errno(err, FLO_E_IO_READ, "poll");
        }
        if (count > 0 && (both[0].revents & POLLIN) != 0 && take_browser(listener, state, out)) {
            return 0;
        }
        if (count > 0 && reads && both[1].revents != 0) {
            if (take_pasted(state, out)) {
                return 0;
            }
            reads = feof(stdin) == 0;
        }
    }
    return flo_fail(err, FLO_E_NET_TIMEOUT, "no browser came back within %llu s",
                    (unsigned long long)(wait_ms / 1000));
}

/* ---- the way by the provider ---- */

static int open_port(uint64_t spec, int *out, uint16_t *port, struct flo_err *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)spec)};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1; /* allows the port to be used again soon after a login */

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(fd, (struct sockaddr *)&address, bytes) < 0 || listen(fd, 4) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &bytes) < 0) {
        flo_fail_errno(err, FLO_E_PORT_IN_USE, "127.0.0.1:%llu", (unsigned long long)spec);
        flo_fd_cleanup(&fd);
        return FLO_E_PORT_IN_USE;
    }
    *port = ntohs(address.sin_port);
    *out = fd;
    return 0;
}

static int finish(struct flo_cli *cli, const json_t *login, const struct flo_callback *back,
                  json_t **session, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body =
        json_pack("{s:s,s:s}", "state", back->state, "secret", flo_out_text(login, "secret", ""));

    json_object_set_new(body, back->code[0] != '\0' ? "code" : "error",
                        json_string(back->code[0] != '\0' ? back->code : back->error));
    flo_json_put_text(body, "iss", back->issuer);
    return flo_api_call(cli, "POST", "/v1/login/finish", body, session, err);
}

static int by_provider(struct flo_cli *cli, const char *name, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *login = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *session = NULL;
    struct flo_callback back = {.code = ""};
    uint64_t spec;
    uint64_t wait_ms;
    uint16_t port = 0;

    FLO_TRY(flo_args_u64(&cli->args, "port", 1, 65535, 0, &spec, err));
    FLO_TRY(flo_args_ms(&cli->args, "timeout", WAIT_MS, &wait_ms, err));
    wait_ms = wait_ms < WAIT_MS ? wait_ms : WAIT_MS;
    FLO_CLEANUP(flo_fd_cleanup) int listener = -1;
    char redirect[64];
    FLO_TRY(open_port(spec, &listener, &port, err));
    snprintf(redirect, sizeof(redirect), "http://127.0.0.1:%u%s", port, FLO_CALLBACK_PATH);
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body = json_pack("{s:s}", "redirect", redirect);
    FLO_TRY(flo_api_call(cli, "POST", "/v1/login/start", body, &login, err));
    fprintf(stderr,
            "open this address in a browser to sign in with %s:\n\n  %s\n\n"
            "waiting; from a browser on another machine, paste the address at "
            "which it ends\n",
            name, flo_out_text(login, "url", ""));
    FLO_TRY(await(listener, flo_out_text(login, "state", ""), wait_ms, &back, err));
    FLO_TRY(finish(cli, login, &back, &session, err));
    snprintf(cli->token, sizeof(cli->token), "%s", flo_out_text(session, "token", ""));
    return 0;
}

/* ---- a prompt ---- */

static int ask_token(struct flo_cli *cli, struct flo_err *err)
{
    struct termios before;
    struct termios silent;

    if (isatty(STDIN_FILENO) != 1 || tcgetattr(STDIN_FILENO, &before) != 0) {
        flo_fail(err, FLO_E_USAGE, "login needs --token-file FILE");
        flo_err_fix(err, "a terminal would be asked for the token");
        return FLO_E_USAGE;
    }
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    fputs("access token (flt_pat_…): ", stderr);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    char *got = fgets(cli->token, sizeof(cli->token), stdin);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fputs("\n", stderr);
    cli->token[got != NULL ? strcspn(cli->token, "\r\n") : 0] = '\0';
    return 0;
}

/* ---- the commands ---- */

static int check_token(const struct flo_cli *cli, struct flo_err *err)
{
    if (strncmp(cli->token, "flt_pat_", 8) == 0) {
        return 0;
    }
    flo_fail(err, FLO_E_REST_AUTH, "%s holds %s",
             flo_args_text(&cli->args, "token-file", "the line"),
             strncmp(cli->token, "flt1.", 5) == 0 ? "an enrolment token, which is for devices"
                                                  : "no access token (flt_pat_…)");
    return flo_err_fix(err, "DATA/admin.token of the controller, or flotilla "
                            "token create --kind access");
}

static int get_token(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *provider = NULL;

    if (flo_args_has(&cli->args, "token-file")) {
        return flo_context_load(cli, err);
    }
    FLO_TRY(flo_context_know(cli, err));
    if (!flo_args_has(&cli->args, "token")) {
        FLO_TRY(flo_api_get(cli, "/v1/login", &provider, err));
    }
    const char *name = flo_out_text(provider, "name", NULL);
    return name != NULL ? by_provider(cli, name, err) : ask_token(cli, err);
}

int flo_cmd_login(struct flo_cli *cli, struct flo_err *err)
{
    char path[1200];
    FLO_CLEANUP(flo_json_cleanup) json_t *version = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *me = NULL;
    const char *name = flo_args_text(&cli->args, "name", "default");

    /* The address, which is the command's first word, is stored as the flag
     * --controller, whose checks it then gets. */
    static const struct flo_flag address = {.name = "controller"};
    cli->args.flags[cli->args.flag_count] = &address;
    cli->args.values[cli->args.flag_count++] = cli->args.words[0];
    int rv = get_token(cli, err);
    if (rv == 0) {
        rv = check_token(cli, err);
    }
    /* The next call makes a new connection, because this one may have been made
     * without the token. */
    flo_http_close(cli->http);
    cli->http = NULL;
    FLO_TRY(rv);
    FLO_TRY(flo_api_get(cli, "/v1/version", &version, err));
    FLO_TRY(flo_api_get(cli, "/v1/me", &me, err));
    FLO_TRY(flo_context_save(name, cli, path, sizeof(path), err));
    const char *fleet = flo_out_text(version, "fleet", "?");
    const char *as = flo_out_text(me, "name", "?");
    const char *role = flo_out_text(me, "role", "?");
    flo_out_done(cli,
                 json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "fleet", fleet, "controller",
                           cli->controller, "name", as, "role", role, "context", name, "file",
                           path),
                 "logged in to fleet %s at %s as %s (%s) · context \"%s\" "
                 "written to %s\n",
                 fleet, cli->controller, as, role, name, path);
    return 0;
}

int flo_cmd_logout(struct flo_cli *cli, struct flo_err *err)
{
    struct flo_err why = {0};
    int rv = flo_api_call(cli, "POST", "/v1/logout", NULL, NULL, &why);
    bool was_session = rv == 0;

    /* A token from a file stays valid at a logout, and an expired one is no
     * error. */
    if (rv < 0 && why.code != FLO_E_STATE && why.code != FLO_E_REST_AUTH) {
        *err = why;
        return rv;
    }
    FLO_TRY(flo_context_forget(cli, err));
    flo_out_done(cli,
                 json_pack("{s:s,s:b}", "controller", cli->controller, "ended", (int)was_session),
                 "logged out of %s%s\n", cli->controller,
                 was_session ? ": the session has ended" : ": its token is forgotten here");
    return 0;
}

/* flotilla-controller: command line. */
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server-stub/mqtt/broker/broker.h"
#include "server-stub/run/run.h"

#define LINGER_MS 60000
#define LINGER_MS_MAX 3600000

static const char help[] =
    "flotilla-controller --data DIR [options]\n"
    "\n"
    "  --data DIR             everything it keeps: databases, keys, blobs\n"
    "  --listen HOST:PORT     REST and dashboard for people: HTTP on "
    "loopback,\n"
    "                         else HTTPS by the fleet's own authority\n"
    "                         (127.0.0.1:8080)\n"
    "  --tls                  HTTPS on loopback too\n"
    "  --listen-devices H:P   HTTPS for devices (same host, 8443; where\n"
    "                         that is taken a free one, which is kept)\n"
    "  --public-host NAME     under which devices reach this machine (the "
    "host\n"
    "                         of --listen-devices)\n"
    "  --host-name NAME       another name under which it is served, as that\n"
    "                         of a reverse proxy; up to 8 times\n"
    "  --broker URL|embedded  MQTT broker (embedded: starts mosquitto)\n"
    "  --broker-linger DURATION\n"
    "                         so long mosquitto waits for a controller that\n"
    "                         is restarted, 0s to 1h (60s); 0s, or Ctrl-C:\n"
    "                         it ends with it\n"
    "  --fleet NAME           name of the fleet, at first start (demo)\n"
    "  --heartbeat DURATION   how often devices report, 200ms to 7d (60s)\n"
    "  --restored             DIR comes from a backup: give new orders "
    "numbers\n"
    "                         that no device has seen, pause what ran then\n"
    "  --new-order-key        make DIR/keys/order.key anew where it was "
    "deleted\n"
    "                         though devices know it: enrol each again\n"
    "  --fingerprint          print that of DIR's authority, for `flotilla "
    "login\n"
    "                         --fingerprint`, and end\n"
    "  --check                open DIR (with the two above: do that) and "
    "check\n"
    "                         options, start nothing\n"
    "  (root goes on as the user who owns DIR)\n"
    "  --version, --help\n";

struct line {
    struct flo_controller_options options;
    bool check;
    bool fingerprint;
};

/* getopt says `:` for an option without its value, `?` for an unknown one. */
static int refuse(int letter, const char *word, const struct option *options,
                  struct flo_err *err)
{
    const char *names[32] = {NULL};
    size_t count = 0;
    const char *near;

    if (letter == ':') {
        return flo_fail(err, FLO_E_USAGE, "%s needs a value", word);
    }
    for (; options[count].name != NULL && count < FLO_COUNT(names); count++) {
        names[count] = options[count].name;
    }
    flo_fail(err, FLO_E_USAGE, "unknown option %s", word);
    near = strncmp(word, "--", 2) == 0 ? flo_nearest(word + 2, names, count)
                                       : NULL;
    return near != NULL ? flo_err_fix(err, "did you mean --%s?", near)
                        : FLO_E_USAGE;
}

static int read_line(int argc, char **argv, struct line *out,
                     struct flo_err *err)
{
    static const struct option options[] = {
        {"data", required_argument, NULL, 'd'},
        {"listen", required_argument, NULL, 'l'},
        {"listen-devices", required_argument, NULL, 'D'},
        {"public-host", required_argument, NULL, 'p'},
        {"host-name", required_argument, NULL, 'N'},
        {"broker", required_argument, NULL, 'b'},
        {"fleet", required_argument, NULL, 'f'},
        {"heartbeat", required_argument, NULL, 'H'},
        {"broker-linger", required_argument, NULL, 'L'},
        {"restored", no_argument, NULL, 'r'},
        {"new-order-key", no_argument, NULL, 'n'},
        {"tls", no_argument, NULL, 't'},
        {"fingerprint", no_argument, NULL, 'F'},
        {"check", no_argument, NULL, 'c'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int letter;

    opterr = 0;
    while ((letter = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        switch (letter) {
        case 'd':
            out->options.dir = optarg;
            break;
        case 'l':
            out->options.listen = optarg;
            break;
        case 'D':
            out->options.listen_devices = optarg;
            break;
        case 'p':
            out->options.public_host = optarg;
            break;
        case 'N':
            if (out->options.host_name_count == FLO_CONTROLLER_HOST_NAMES_MAX) {
                return flo_fail(err, FLO_E_USAGE,
                                "--host-name %s: at most %d of them", optarg,
                                FLO_CONTROLLER_HOST_NAMES_MAX);
            }
            out->options.host_names[out->options.host_name_count++] = optarg;
            break;
        case 'b':
            out->options.broker = optarg;
            break;
        case 'f':
            out->options.fleet = optarg;
            break;
        case 'H':
            if (!flo_duration_parse(optarg, &out->options.heartbeat_ms) ||
                out->options.heartbeat_ms < FLO_HEARTBEAT_MS_MIN ||
                out->options.heartbeat_ms > FLO_HEARTBEAT_MS_MAX) {
                return flo_fail(err, FLO_E_USAGE,
                                "--heartbeat %s: 200ms to 7d are possible",
                                optarg);
            }
            break;
        case 'L':
            if (!flo_duration_parse(optarg, &out->options.broker_linger_ms) ||
                out->options.broker_linger_ms > LINGER_MS_MAX) {
                return flo_fail(err, FLO_E_USAGE,
                                "--broker-linger %s: 0s to 1h are possible",
                                optarg);
            }
            break;
        case 'r':
            out->options.is_restored = true;
            break;
        case 'n':
            out->options.makes_order_key = true;
            break;
        case 't':
            out->options.is_tls = true;
            break;
        case 'F':
            out->fingerprint = true;
            break;
        case 'c':
            out->check = true;
            break;
        case 'v':
            puts("flotilla-controller " FLO_VERSION);
            exit(0);
        case 'h':
            fputs(help, stdout);
            exit(0);
        default:
            return refuse(letter, argv[optind - 1], options, err);
        }
    }
    if (optind < argc) {
        return flo_fail(err, FLO_E_USAGE, "`%s` is too much", argv[optind]);
    }
    if (out->options.dir == NULL) {
        return flo_fail(err, FLO_E_USAGE, "--data is needed");
    }
    if (out->options.listen == NULL) {
        out->options.listen = "127.0.0.1:8080";
    }
    return 0;
}

/* One controller per folder.  The lock lives as long as the process. */
static int lock(const char *dir, struct flo_err *err)
{
    char path[4096];
    int rv = flo_dir_make(dir, 0700, err);

    if (rv < 0) {
        return rv;
    }
    if (!flo_path_join(path, sizeof(path), dir, "lock")) {
        return flo_fail(err, FLO_E_IO_OPEN, "path %s is too long", dir);
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        flo_fail(err, FLO_E_STATE_LOCKED, "another controller works in %s",
                 dir);
        return flo_err_fix(err, "stop that one first, or give another folder");
    }
    return 0;
}

/* Of DIR/pki/ca.pem; beside a controller that runs, too. */
static int print_fingerprint(const char *dir, struct flo_err *err)
{
    struct flo_certificate certificate;
    char path[4096];
    char hex[65];
    char *pem = NULL;
    size_t bytes;

    if (!flo_path_join(path, sizeof(path), dir, "pki/ca.pem")) {
        return flo_fail(err, FLO_E_IO_OPEN, "path %s is too long", dir);
    }
    int rv = flo_file_read(path, FLO_PEM_BYTES_MAX, &pem, &bytes, err);
    if (rv == 0) {
        rv = flo_certificate_read(pem, bytes, &certificate, err);
    }
    free(pem);
    if (rv == 0) {
        flo_hex_encode(certificate.fingerprint.bytes, FLO_DIGEST_BYTES, hex);
        puts(hex);
    }
    return rv;
}

int main(int argc, char **argv)
{
    struct flo_controller *controller = NULL;
    struct flo_err err = {0};
    struct line line = {.options.broker_linger_ms = LINGER_MS};
    char *dir = NULL;

    if (argc == 5 && strcmp(argv[1], FLO_BROKER_KEEPER) == 0) {
        umask(077);
        return flo_broker_keeper(argv[2], argv[3], argv[4]);
    }
    int rv = read_line(argc, argv, &line, &err);

    umask(077);
    if (rv == 0 && line.fingerprint) {
        rv = print_fingerprint(line.options.dir, &err);
        return rv < 0 ? flo_err_print(stderr, &err) : 0;
    }
    if (rv == 0) { /* root's command for a service: its keys and files */
        rv = flo_process_as_owner(line.options.dir, &err);
    }
    if (rv == 0) {
        rv = lock(line.options.dir, &err);
    }
    if (rv == 0) {
        dir = realpath(line.options.dir, NULL); /* mosquitto wants it whole */
        line.options.dir = dir != NULL ? dir : line.options.dir;
        rv = flo_controller_open(&line.options, &controller, &err);
    }
    if (rv == 0 && !line.check) {
        rv = flo_controller_run(controller, &err);
    }
    if (rv == 0 && line.check) {
        printf("fleet %s in %s is fine\n", controller->fleet, controller->dir);
    }
    flo_controller_close(controller);
    free(dir);
    return rv < 0 ? flo_err_print(stderr, &err) : 0;
}

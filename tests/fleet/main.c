/* flotilla-sim: thousands of devices against a real controller. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/x509.h>

#include "tests/fleet/fleet.h"

#define DESCRIPTORS 100 /* for all but the devices */
#define IDLE_MS 1000

struct fleet fleet = {.prefix = "sim", .enrolling = 8, .dial_per_s = 500, .pace = 100};
static struct sim_world world;
struct sim_world *sim = &world;
static uint64_t began_ms;

static int usage(void)
{
    fprintf(stderr, "flotilla-sim --controller https://HOST:PORT --token-file PATH\n"
                    "             [--devices N] [--seed N] [--prefix NAME]\n"
                    "             [--scripts slow=50,offline=20,...]\n"
                    "             [--interval MS] [--pace THOUSANDTHS]\n"
                    "             [--enrolling N] [--dial-per-s N] [--unproved 1] "
                    "[--trace]\n"
                    "Scripts are shares of a thousand devices:");
    for (int i = 0; i < FLEET_SCRIPTS; i++) {
        fprintf(stderr, " %s", fleet_script_word((enum fleet_script)i));
    }
    fprintf(stderr, ".\nIt asks for orders on stdin: figures, order ID, flood "
                    "MS, events PATH, quit.\n");
    return 2;
}

/* ---- time ---- */

uint64_t fleet_now_ms(void)
{
    return flo_now_ms() - began_ms;
}

void fleet_turn(void)
{
    uint64_t now_ms = fleet_now_ms();

    if (now_ms > sim->now_ms) {
        sim->now_ms = now_ms;
    }
}

static void run(void)
{
    while (!fleet.is_over && !sim->has_failed) {
        sim_run_until(fleet_now_ms());
        uint64_t next_ms = sim_schedule_next();
        uint64_t now_ms = fleet_now_ms();
        uint64_t wait_ms = next_ms <= now_ms            ? 0
                           : next_ms - now_ms > IDLE_MS ? IDLE_MS
                                                        : next_ms - now_ms;
        struct timeval wait = {.tv_sec = (time_t)(wait_ms / 1000),
                               .tv_usec = (suseconds_t)(wait_ms % 1000) * 1000};
        if (wait_ms == 0) {
            (void)event_base_loop(fleet.base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
        } else {
            (void)event_base_loopexit(fleet.base, &wait);
            (void)event_base_loop(fleet.base, EVLOOP_ONCE);
        }
    }
}

/* ---- the beginning ---- */

static bool take_option(const char *name, const char *value, uint32_t *count)
{
    uint64_t number = strtoull(value, NULL, 10);

    if (strcmp(name, "--controller") == 0) {
        fleet.controller = value;
    } else if (strcmp(name, "--token-file") == 0) {
        fleet.token_file = value;
    } else if (strcmp(name, "--prefix") == 0) {
        fleet.prefix = value;
    } else if (strcmp(name, "--devices") == 0) {
        *count = (uint32_t)number;
    } else if (strcmp(name, "--seed") == 0) {
        sim->seed = number;
    } else if (strcmp(name, "--interval") == 0) {
        fleet.interval_ms = (uint32_t)number;
    } else if (strcmp(name, "--pace") == 0) {
        fleet.pace = (unsigned)number;
    } else if (strcmp(name, "--unproved") == 0) {
        fleet.is_unproved = number != 0;
    } else if (strcmp(name, "--enrolling") == 0) {
        fleet.enrolling = (uint32_t)number;
    } else if (strcmp(name, "--dial-per-s") == 0) {
        fleet.dial_per_s = (uint32_t)number;
    } else if (strcmp(name, "--scripts") == 0) {
        return fleet_scripts_read(value);
    } else {
        return false;
    }
    return true;
}

static bool take_options(int argc, char **argv, uint32_t *count)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            sim->is_traced = true;
        } else if (i + 1 == argc || !take_option(argv[i], argv[i + 1], count)) {
            return false;
        } else {
            i++;
        }
    }
    return fleet.controller != NULL && fleet.token_file != NULL && *count > 0 &&
           fleet.enrolling > 0 && fleet.dial_per_s > 0;
}

static bool take_descriptors(uint32_t count)
{
    struct rlimit limit;

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < count + DESCRIPTORS) {
        fprintf(stderr,
                "%u devices need as many descriptors: `ulimit -Hn` is "
                "%llu\n",
                count, (unsigned long long)limit.rlim_max);
        return false;
    }
    return true;
}

static void on_device(const struct sim_call *call)
{
    sim_device_start(&sim->devices[call->a]);
}

static void world_open(uint32_t count)
{
    sim->device_count = count;
    sim->model_count = SIM_MODELS_MAX;
    sim->wall_ms = flo_wall_ms();
    sim->chance = sim_random_of(sim->seed, "chance");
    sim->net = sim_random_of(sim->seed, "net");
    sim->devices = calloc(count, sizeof(*sim->devices));
    fleet.devices = calloc(count, sizeof(*fleet.devices));
    if (sim->devices == NULL || fleet.devices == NULL) {
        abort();
    }
    for (uint32_t i = 0; i < count; i++) {
        struct sim_device *device = &sim->devices[i];
        sim_device_init(device, i);
        device->is_in_lab = false;
        device->is_synchronised = true;
        fleet_script_draw(device);
    }
}

static void devices_begin(void)
{
    for (uint32_t i = 0; i < sim->device_count; i++) {
        sim_later((uint64_t)i * 1000 / fleet.dial_per_s,
                  (struct sim_call){.fn = on_device, .a = i});
        fleet_script_begin(&sim->devices[i]);
    }
    if (fleet.interval_ms > 0) {
        fleet_flood(fleet.interval_ms);
    }
}

static int open_all(struct flo_err *err)
{
    double seconds = 0;
    int rv = fleet_enrol(&seconds, err);

    rv = rv < 0 ? rv : fleet_links_open(err);
    rv = rv < 0 ? rv : fleet_envelopes_open(err);
    rv = rv < 0 ? rv : fleet_figures_listen(err);
    if (rv == 0) {
        printf("{\"enrolled\":%u,\"seconds\":%.3f,\"per_s\":%.1f}\n", sim->device_count, seconds,
               sim->device_count / seconds);
        fflush(stdout);
        devices_begin();
    }
    return rv;
}

static void close_all(void)
{
    fleet_envelopes_close();
    fleet_figures_close();
    for (uint32_t i = 0; i < sim->device_count; i++) {
        sim_device_deinit(&sim->devices[i]);
        X509_free(fleet.devices[i].certificate);
    }
    fleet_links_close();
    EVP_PKEY_free(fleet.key);
    for (int i = 0; i < sim->release_count; i++) {
        flo_buf_deinit(&sim->releases[i].envelope);
    }
    sim_schedule_clear();
    sim_orders_forget();
    sim_trust_forget();
    flo_trust_free(sim->controller.trust);
    free(sim->devices);
    free(fleet.devices);
    event_base_free(fleet.base);
}

/* The identities are for this run alone. */
static void folder_remove(void)
{
    char path[4300];

    for (uint32_t i = 0; i < sim->device_count; i++) {
        snprintf(path, sizeof(path), "%s/%05u.pem", fleet.folder, i);
        (void)unlink(path);
    }
    (void)unlink(fleet.ca_file);
    (void)unlink(fleet.key_file);
    (void)rmdir(fleet.folder);
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/flotilla-sim-XXXXXX";
    struct flo_err err = {0};
    uint32_t count = 100;

    sim->seed = 1;
    if (!take_options(argc, argv, &count)) {
        return usage();
    }
    (void)signal(SIGPIPE, SIG_IGN);
    flo_log_level_set(FLO_LOG_ERROR);
    fleet.folder = mkdtemp(folder);
    if (fleet.folder == NULL || !take_descriptors(count)) {
        return 1;
    }
    began_ms = flo_now_ms();
    fleet.base = event_base_new();
    world_open(count);
    int rv = open_all(&err);
    if (rv == 0) {
        run();
        fleet_figures_print();
    } else {
        fprintf(stderr, "%s: %s\n", flo_error_id(err.code), err.what);
    }
    if (sim->has_failed) {
        fprintf(stderr, "%s violated: %s\n", sim_rule_word(sim->rule), sim->what);
    }
    close_all();
    folder_remove();
    return rv < 0 || sim->has_failed;
}

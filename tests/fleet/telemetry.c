/* Telemetry: windows of numbers, as an agent sends them that answers a request
 * every other second or so. */
#include <string.h>

#include "tests/fleet/fleet.h"

#define SHAPES 64

/* Counters and histograms, made once: what counts is their size. */
static struct flo_buf shapes[SHAPES];

static void add_histogram(struct flo_buf *out, const char *name, uint64_t typical, size_t requests)
{
    struct sim_random random = sim_random_of(requests, name);
    struct flo_histogram histogram = {0};

    for (size_t i = 0; i < requests; i++) {
        flo_histogram_add(&histogram, typical * sim_between(&random, 80, 120) / 100);
    }
    flo_buf_printf(out, "\"%s\":\"", name);
    flo_histogram_encode(&histogram, out);
    flo_buf_text(out, "\"");
}

static void shapes_make(void)
{
    for (size_t i = 0; i < SHAPES && shapes[i].bytes == 0; i++) {
        size_t requests = 1 + i % 8;
        flo_buf_printf(&shapes[i],
                       "\"counters\":{\"requests\":%zu,\"errors\":0,"
                       "\"tokens_out\":%zu,\"tokens_in\":%zu,"
                       "\"engine_restarts\":0,\"lost\":0},\"histograms\":{",
                       requests, 24 * requests, 12 * requests);
        add_histogram(&shapes[i], "ttft_us", 120000, requests);
        flo_buf_text(&shapes[i], ",");
        add_histogram(&shapes[i], "token_us", 25000, requests);
        flo_buf_text(&shapes[i], ",");
        add_histogram(&shapes[i], "request_us", 1100000, requests);
        flo_buf_text(&shapes[i], ",");
        add_histogram(&shapes[i], "queue_us", 300, requests);
        flo_buf_text(&shapes[i], "}");
    }
}

static void add_release(struct flo_buf *out, const struct sim_device *device)
{
    for (uint32_t i = 0; i < sim->model_count; i++) {
        const struct flo_release_ref *current = &sim_agent_of(device, i)->slots.current;
        char digest[FLO_DIGEST_TEXT];
        if (!flo_digest_is_zero(&current->digest)) {
            flo_digest_text(&current->digest, digest);
            flo_buf_printf(out,
                           "\"model\":\"%s\",\"release\":\"%s\","
                           "\"version\":\"%s\",",
                           current->model, digest, current->version);
            return;
        }
    }
}

static void window_send(struct sim_device *device, uint32_t interval_ms)
{
    struct fleet_device *it = fleet_of(device);
    const struct flo_buf *shape = &shapes[(device->index + it->windows) % SHAPES];
    struct flo_buf text = {0};
    char name[FLO_TOPIC_TEXT];
    struct flo_err err = {0};

    if (!it->link.is_up ||
        flo_topic_build(FLO_TOPIC_TELE, fleet.name, device->id, name, &err) < 0) {
        return;
    }
    flo_buf_printf(&text, "{\"v\":1,\"seq\":%llu,\"at_ms\":%llu,\"window_ms\":%u,",
                   (unsigned long long)++it->windows,
                   (unsigned long long)sim_device_wall_ms(device), interval_ms);
    add_release(&text, device);
    flo_buf_add(&text, shape->data, shape->bytes);
    flo_buf_printf(&text,
                   ",\"gauges\":{\"agent_rss_bytes\":%llu,"
                   "\"engine_rss_bytes\":600000000,"
                   "\"disk_free_bytes\":8000000000,\"queue\":0}}",
                   (unsigned long long)(7000000 + it->windows));
    fleet.figures.windows_made++;
    (void)fleet_link_publish(device, FLO_TOPIC_TELE, name, text.data, text.bytes, false);
    flo_buf_deinit(&text);
}

static void on_window(const struct sim_call *call)
{
    struct sim_device *device = &sim->devices[call->a];

    if (fleet_of(device)->flood != fleet.flood || fleet.interval_ms == 0) {
        return;
    }
    /* The clock of all windows goes on evenly, however late this one is. */
    uint64_t next_ms = call->b + fleet.interval_ms;
    if (next_ms < sim->now_ms) {
        next_ms = sim->now_ms;
    }
    if (device->runs) {
        window_send(device, fleet.interval_ms);
    }
    sim_later(next_ms - sim->now_ms,
              (struct sim_call){.fn = on_window, .a = call->a, .b = next_ms});
}

void fleet_flood(uint32_t interval_ms)
{
    shapes_make();
    fleet.flood++;
    fleet.interval_ms = interval_ms;
    for (uint32_t i = 0; interval_ms > 0 && i < sim->device_count; i++) {
        uint64_t in_ms = (uint64_t)interval_ms * i / sim->device_count;
        fleet.devices[i].flood = fleet.flood;
        sim_later(in_ms, (struct sim_call){.fn = on_window, .a = i, .b = sim->now_ms + in_ms});
    }
}

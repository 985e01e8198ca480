/* Figures: what was counted, as JSON, when somebody asks on stdin. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "tests/fleet/fleet.h"

static struct event *listener;
static struct evbuffer *heard;

/* ---- what devices say ---- */

static struct fleet_order *order_of(const char *id, size_t chars)
{
    for (size_t i = 0; i < fleet.order_count && i < FLEET_ORDERS_MAX; i++) {
        struct fleet_order *order = &fleet.orders[i];
        if (strlen(order->id) == chars && memcmp(order->id, id, chars) == 0) {
            return order;
        }
    }
    if (chars >= sizeof(fleet.orders[0].id)) {
        return NULL;
    }
    struct fleet_order *order = &fleet.orders[fleet.order_count++ % FLEET_ORDERS_MAX];
    free(order->at_ms);
    memset(order, 0, sizeof(*order));
    memcpy(order->id, id, chars);
    order->at_ms = calloc(sim->device_count, sizeof(*order->at_ms));
    if (order->at_ms == NULL) {
        abort();
    }
    return order;
}

/* An answer to an order goes out. */
void fleet_answered(const struct sim_device *device, const char *text, size_t bytes)
{
    static const char key[] = "\"order\":\"";
    const char *id = memmem(text, bytes, key, strlen(key));

    if (id == NULL) {
        return;
    }
    id += strlen(key);
    const char *end = memchr(id, '"', (size_t)(text + bytes - id));
    struct fleet_order *order = end == NULL ? NULL : order_of(id, (size_t)(end - id));
    if (order != NULL) {
        order->at_ms[device->index] = flo_wall_ms();
    }
}

void fleet_told(const char *event, size_t bytes)
{
    static const char key[] = "\"state\":\"";
    static const char end[] = "\"end\":true";
    const char *state = memmem(event, bytes, key, strlen(key));

    if (state == NULL || memmem(event, bytes, end, strlen(end)) == NULL) {
        return;
    }
    state += strlen(key);
    for (int i = 0; i < FLO_EXECUTION_COUNT; i++) {
        const char *word = flo_execution_word((enum flo_execution)i);
        if (strncmp(state, word, strlen(word)) == 0 && state[strlen(word)] == '"') {
            fleet.figures.ends[i]++;
        }
    }
}

/* ---- questions ---- */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void order_print(const char *id, uint64_t since_ms)
{
    const struct fleet_order *order = order_of(id, strlen(id));
    uint64_t *sorted = calloc(sim->device_count, sizeof(*sorted));
    size_t count = 0;

    for (uint32_t i = 0; i < sim->device_count; i++) {
        if (order != NULL && order->at_ms[i] != 0) {
            sorted[count++] = order->at_ms[i] > since_ms ? order->at_ms[i] - since_ms : 0;
        }
    }
    qsort(sorted, count, sizeof(*sorted), compare);
    printf("{\"order\":\"%s\",\"answered\":%zu", id, count);
    if (count > 0) {
        printf(",\"p50_ms\":%llu,\"p99_ms\":%llu,\"max_ms\":%llu",
               (unsigned long long)sorted[count / 2], (unsigned long long)sorted[count * 99 / 100],
               (unsigned long long)sorted[count - 1]);
    }
    printf("}\n");
    free(sorted);
}

/* The last number of each device's events, to compare with what is stored. */
static void events_write(const char *path)
{
    FILE *file = fopen(path, "we");
    uint64_t waiting = 0;

    for (uint32_t i = 0; file != NULL && i < sim->device_count; i++) {
        const struct sim_device *device = &sim->devices[i];
        fprintf(file, "%s %s %llu %llu\n", device->id, sim_outbox_boot(device),
                (unsigned long long)sim_outbox_last(device),
                (unsigned long long)sim_outbox_acked(device));
        waiting += sim_outbox_last(device) - sim_outbox_acked(device);
    }
    printf("{\"events\":\"%s\",\"waiting\":%llu}\n", file != NULL && fclose(file) == 0 ? path : "",
           (unsigned long long)waiting);
}

void fleet_figures_print(void)
{
    const struct fleet_figures *f = &fleet.figures;
    const char *comma = "";
    struct rusage usage;
    uint64_t waiting = 0;
    uint32_t running = 0;

    (void)getrusage(RUSAGE_SELF, &usage);
    for (uint32_t i = 0; i < sim->device_count; i++) {
        waiting += fleet.devices[i].link.waiting;
        running += sim->devices[i].runs;
    }
    printf("{\"devices\":%u,\"running\":%u,\"up\":%u,\"subscribed\":%u,"
           "\"connections\":%llu,\"connections_lost\":%llu,\"refused\":%llu,",
           sim->device_count, running, f->up, f->subscribed, (unsigned long long)f->connections,
           (unsigned long long)f->connections_lost, (unsigned long long)f->refused);
    printf("\"windows\":{\"made\":%llu,\"sent\":%llu,\"acked\":%llu,"
           "\"dropped\":%llu},\"messages_out\":%llu,\"messages_in\":%llu,"
           "\"bytes_out\":%llu,\"bytes_in\":%llu,\"unacked\":%llu,",
           (unsigned long long)f->windows_made, (unsigned long long)f->windows_sent,
           (unsigned long long)f->windows_acked, (unsigned long long)f->windows_dropped,
           (unsigned long long)f->messages_out, (unsigned long long)f->messages_in,
           (unsigned long long)f->bytes_out, (unsigned long long)f->bytes_in,
           (unsigned long long)waiting);
    printf("\"envelopes\":%llu,\"envelopes_failed\":%llu,\"attacks\":%llu,"
           "\"steps\":%llu,\"cpu_s\":%.2f,\"ends\":{",
           (unsigned long long)f->envelopes, (unsigned long long)f->envelopes_failed,
           (unsigned long long)f->attacks, (unsigned long long)sim->steps,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    for (int i = 0; i < FLO_EXECUTION_COUNT; i++) {
        if (f->ends[i] > 0) {
            printf("%s\"%s\":%llu", comma, flo_execution_word((enum flo_execution)i),
                   (unsigned long long)f->ends[i]);
            comma = ",";
        }
    }
    printf("}}\n");
}

/* All connections break at once, and each device dials again. */
static uint32_t cut_all(void)
{
    uint32_t before = fleet.figures.up;

    for (uint32_t i = 0; i < sim->device_count; i++) {
        sim_client_cut(&sim->devices[i].client);
    }
    return before - fleet.figures.up;
}

static void answer(char *line)
{
    char *rest = line + strcspn(line, " ");
    char *end;

    if (*rest != '\0') {
        *rest++ = '\0';
    }
    if (strcmp(line, "figures") == 0) {
        fleet_figures_print();
    } else if (strcmp(line, "order") == 0) {
        end = rest + strcspn(rest, " ");
        order_print(rest, *end == '\0' ? 0 : (*end = '\0', strtoull(end + 1, NULL, 10)));
    } else if (strcmp(line, "flood") == 0) {
        fleet_flood((uint32_t)strtoul(rest, NULL, 10));
        printf("{\"flood\":%u}\n", fleet.interval_ms);
    } else if (strcmp(line, "cut") == 0) {
        printf("{\"cut\":%u}\n", cut_all());
    } else if (strcmp(line, "events") == 0) {
        events_write(rest);
    } else if (strcmp(line, "quit") == 0) {
        fleet.is_over = true;
    } else {
        printf("{\"error\":\"figures, order ID [SINCE_AT_MS], flood MS, "
               "cut, events PATH or quit\"}\n");
    }
    fflush(stdout);
}

static void on_line(evutil_socket_t fd, short what, void *context)
{
    char *line;

    (void)what, (void)context;
    fleet_turn();
    if (evbuffer_read(heard, fd, 4096) <= 0) {
        event_del(listener); /* an end can be read for ever */
        fleet.is_over = true;
        return;
    }
    while ((line = evbuffer_readln(heard, NULL, EVBUFFER_EOL_LF)) != NULL) {
        answer(line);
        free(line);
    }
}

int fleet_figures_listen(struct flo_err *err)
{
    heard = evbuffer_new();
    listener = event_new(fleet.base, 0, EV_READ | EV_PERSIST, on_line, NULL);
    if (heard == NULL || listener == NULL || event_add(listener, NULL) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "stdin");
    }
    return 0;
}

void fleet_figures_close(void)
{
    if (listener != NULL) {
        event_free(listener);
        evbuffer_free(heard);
    }
    for (size_t i = 0; i < FLEET_ORDERS_MAX; i++) {
        free(fleet.orders[i].at_ms);
    }
}

/* A hostile device: it has a good certificate, and no manners. */
#include <string.h>

#include "tests/fleet/fleet.h"

#define FLOOD 50
#define LARGE (1u << 20)

static void say(struct sim_device *device, enum flo_topic topic, const char *id, const char *text)
{
    char name[FLO_TOPIC_TEXT];
    struct flo_err err = {0};

    if (flo_topic_build(topic, fleet.name, id, name, &err) == 0) {
        (void)fleet_link_publish(device, topic, name, text, strlen(text),
                                 flo_topic_fact(topic)->is_retained);
    }
}

static void flood(struct sim_device *device)
{
    struct flo_buf text = {0};

    for (unsigned i = 0; i < FLOOD; i++) {
        text.bytes = 0;
        flo_buf_printf(&text,
                       "{\"v\":1,\"seq\":%llu,\"at_ms\":%llu,"
                       "\"window_ms\":1,\"counters\":{\"requests\":1}}",
                       (unsigned long long)sim_next(&device->random) >> 12,
                       (unsigned long long)sim_device_wall_ms(device));
        say(device, FLO_TOPIC_TELE, device->id, text.data);
    }
    flo_buf_deinit(&text);
}

/* It speaks for its neighbour. */
static void lie(struct sim_device *device)
{
    const struct sim_device *other = &sim->devices[(device->index + 1) % sim->device_count];
    struct flo_buf text = {0};

    say(device, FLO_TOPIC_PRESENCE, other->id, "{\"v\":1,\"online\":false}");
    say(device, FLO_TOPIC_ACK, other->id, "{\"v\":1,\"order\":\"o-0001\",\"outcome\":\"done\"}");
    flo_buf_printf(&text,
                   "{\"v\":2,\"device\":\"%s\",\"name\":\"%s\",\"rev\":1,"
                   "\"models\":[],\"frozen\":false}",
                   other->id, sim_name(other));
    say(device, FLO_TOPIC_REPORTED, device->id, text.data);
    say(device, FLO_TOPIC_REPORTED, other->id, text.data);
    flo_buf_deinit(&text);
}

static void talk_large(struct sim_device *device)
{
    struct flo_buf text = {0};

    flo_buf_text(&text, "{\"v\":1,\"type\":\"note\",\"what\":\"");
    while (text.bytes < LARGE && !text.failed) {
        flo_buf_text(&text, "<script>alert(1)</script>");
    }
    flo_buf_text(&text, "\"}");
    say(device, FLO_TOPIC_EVENT, device->id, text.data);
    flo_buf_deinit(&text);
}

static void talk_nonsense(struct sim_device *device)
{
    static const char *const texts[] = {
        "{",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        "\xff\xfe\x00",
        "null",
        "{\"v\":1,\"v\":1}",
        "{\"v\":99}",
        "{\"v\":2,\"device\":\"<img src=x onerror=alert(1)>\",\"name\":"
        "\"<b>\",\"rev\":-1,\"models\":{}}"};
    static const enum flo_topic topics[] = {FLO_TOPIC_EVENT, FLO_TOPIC_REPORTED, FLO_TOPIC_ACK,
                                            FLO_TOPIC_TELE, FLO_TOPIC_PRESENCE};
    size_t topic = sim_below(&device->random, FLO_COUNT(topics));
    size_t text = sim_below(&device->random, FLO_COUNT(texts));

    say(device, topics[topic], device->id, texts[text]);
}

static void talk_of_other_times(struct sim_device *device)
{
    say(device, FLO_TOPIC_TELE, device->id,
        "{\"v\":1,\"seq\":9007199254740991,\"at_ms\":9007199254740991,"
        "\"window_ms\":9007199254740991,\"counters\":{\"requests\":1}}");
    say(device, FLO_TOPIC_TELE, device->id,
        "{\"v\":1,\"seq\":1,\"at_ms\":0,\"window_ms\":1000,"
        "\"counters\":{\"requests\":1}}");
    say(device, FLO_TOPIC_EVENT, device->id,
        "{\"from\":1,\"v\":1,\"boot\":"
        "\"00000000-0000-4000-8000-000000000000\",\"seq\":9007199254740991,"
        "\"at_ms\":9007199254740991,\"type\":\"note\",\"error\":{\"id\":"
        "\"internal\",\"what\":\"<script>alert(1)</script>\"}}");
}

/* It plays controller, and listens to all. */
static void rule(struct sim_device *device)
{
    static const char *const all[] = {"#", "flotilla/v1/+/d/+/tele"};
    struct flo_buf packet = {0};

    say(device, FLO_TOPIC_ORDER_ALL, "", "{\"v\":1,\"orders\":[]}");
    say(device, FLO_TOPIC_DESIRED, device->id, "{\"v\":2,\"rev\":1}");
    fleet_packet_subscribe(&packet, 65535, all, FLO_COUNT(all));
    fleet_link_write(device, packet.data, packet.bytes);
    flo_buf_deinit(&packet);
}

static void break_the_protocol(struct sim_device *device)
{
    uint8_t noise[64];

    for (size_t i = 0; i < sizeof(noise); i++) {
        noise[i] = (uint8_t)sim_next(&device->random);
    }
    fleet_link_write(device, noise, sizeof(noise));
}

void fleet_attack(struct sim_device *device)
{
    static void (*const attacks[])(struct sim_device *) = {
        flood, lie, talk_large, talk_nonsense, talk_of_other_times, rule, break_the_protocol};

    if (!fleet_of(device)->link.is_up) {
        return;
    }
    fleet.figures.attacks++;
    attacks[sim_below(&device->random, FLO_COUNT(attacks))](device);
}
